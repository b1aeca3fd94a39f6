# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fuzzes for a while: ``run [--seconds N] [NAME...]``; ``make fuzz`` calls it.

One fuzzer after the other, all of them if none is named.  What they have covered is kept in ``build/fuzz/corpus``, and
the next run goes on from there; an input that led to a fault is in ``build/fuzz/found``, and gets a name and a place in
``tests/fuzz/kept`` when the fault is mended.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys

from ansible_collections.rebootless.splice.tests.fuzz import inputs, native
from ansible_collections.rebootless.splice.tests.fuzz.reader import MEGABYTES, SECONDS
from ansible_collections.rebootless.splice.tests.support.places import COLLECTION

BUILD = COLLECTION / "build" / "fuzz"
PYTHON = "ansible_collections.rebootless.splice.tests.fuzz.cover"


def directory(*names: str) -> pathlib.Path:
    """A directory below ``BUILD``, made if it is not there."""
    path = BUILD.joinpath(*names)
    path.mkdir(parents=True, exist_ok=True)
    return path


def fuzz(name: str, seconds: int) -> bool:
    """Runs one fuzzer; True if it found nothing."""
    corpus, seeds, found = directory("corpus", name), directory("seeds", name), directory("found")
    for title, data in inputs.sound(name):
        (seeds / title).write_bytes(data)
    before = set(found.glob(f"{name}-*"))
    if name in native.PARSERS:
        command, longest = [os.fspath(native.build(name, BUILD, "clang"))], native.PARSERS[name].longest
    else:
        command, longest = [sys.executable, "-m", PYTHON, name, os.fspath(found)], inputs.READERS[name].longest
    options = [f"-max_total_time={seconds}", f"-timeout={SECONDS}", f"-rss_limit_mb={MEGABYTES}", f"-max_len={longest}"]
    options += [f"-artifact_prefix={found}/{name}-", "-print_final_stats=1"]
    places = [corpus, seeds, *([inputs.KEPT / name] if inputs.kept(name) else [])]
    with (BUILD / f"{name}.log").open("w") as log:
        done = subprocess.run(
            [*command, *options, *map(os.fspath, places)], stdout=log, stderr=subprocess.STDOUT, check=False
        )
    text = (BUILD / f"{name}.log").read_text(errors="replace")
    faults = [line for line in text.splitlines() if line.startswith(("FAULT", "SUMMARY", "==")) or "ERROR:" in line]
    new = sorted(set(found.glob(f"{name}-*")) - before)
    runs = next((line.split()[-1] for line in text.splitlines() if "number_of_executed_units" in line), "?")
    bad = bool(done.returncode or new or faults)
    print(f"{name}: {runs} inputs, {len(list(corpus.iterdir()))} kept{', FAULTS' if bad else ''}", flush=True)
    for line in [*faults, *map(str, new)]:
        print(f"    {line}", flush=True)
    return not bad


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=600, help="for each fuzzer")
    parser.add_argument("names", nargs="*", choices=[*inputs.NAMES, []], metavar="NAME")
    options = parser.parse_args()
    good = [fuzz(name, options.seconds) for name in options.names or inputs.NAMES]
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
