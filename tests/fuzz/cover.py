# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives a reader inputs that libFuzzer makes, by what they cover of its code: ``cover READER FOUND [libFuzzer's …]``.

Goes on after a fault, and keeps the first input for each place that raises in the directory FOUND.  An input that
takes too long, or too much memory, ends the run: libFuzzer keeps it there as well.
"""

from __future__ import annotations

import hashlib
import pathlib
import sys
import traceback

import atheris

with atheris.instrument_imports(include=["ansible_collections.rebootless", "elftools", "tarfile", "unidiff"]):
    from ansible_collections.rebootless.splice.tests.fuzz import inputs
    from ansible_collections.rebootless.splice.tests.fuzz.reader import is_accepted


class Faults:
    """The faults of a reader so far, each told once."""

    def __init__(self, name: str, directory: pathlib.Path) -> None:
        self.name, self.directory = name, directory
        self._known: set[str] = set()

    def note(self, data: bytes, error: BaseException) -> None:
        """Keeps the input and says what it led to, unless the place is known."""
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "plugins" in f.filename]
        where = [f"{pathlib.Path(f.filename).name}:{f.lineno}" for f in frames[-1:]]
        # One that recurses until there is no more stack ends anywhere.
        what = " ".join([type(error).__name__, *(where if not isinstance(error, RecursionError) else [])])
        if what in self._known:
            return
        self._known.add(what)
        path = self.directory / f"{self.name}-{hashlib.sha256(data).hexdigest()[:12]}"
        path.write_bytes(data)
        print(f"FAULT {self.name}: {what}: {str(error)[:300]} ({path})", flush=True)


def main() -> None:
    """Runs until libFuzzer ends."""
    name, found, *arguments = sys.argv[1:]
    faults, reader = Faults(name, pathlib.Path(found)), inputs.READERS[name]

    def give(data: bytes) -> None:
        try:
            is_accepted(reader, data)
        except Exception as error:
            faults.note(data, error)

    atheris.Setup([sys.argv[0], *arguments], give)
    atheris.Fuzz()


main()
