# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A dozen fixes of the corpus, one of each awkward kind, on the way that all of them go: ``make corpus``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t

import pytest

from ansible_collections.rebootless.splice.tests.corpus import entries, run, verdicts
from ansible_collections.rebootless.splice.tests.corpus.run import DEFAULT
from ansible_collections.rebootless.splice.tests.support.places import CACHE

LAB = os.environ.get("REBOOTLESS_LAB", "integration")
# CVE: (kind, verdict, code of the finding or of the reason)
KINDS = {
    "CVE-2026-52928": ("a function of the kernel", "automatic", ""),
    "CVE-2026-68388": ("a clone that gcc made, with static branches whose keys are in its module", "automatic", ""),
    "CVE-2026-74493": ("a part that gcc split off", "automatic", ""),
    "CVE-2026-68335": ("per-CPU variables of a module", "automatic", ""),
    "CVE-2026-68297": ("a constant of a module that is exchanged, with new data that it points to", "automatic", ""),
    "CVE-2026-68377": ("a new function that is called when the kernel likes", "automatic", ""),
    "CVE-2026-68182": ("an interrupt handler, whose address is compared", "automatic", ""),
    "CVE-2026-74481": ("several functions that call each other", "automatic", ""),
    "CVE-2026-64569": ("code that this configuration leaves out", "not applicable", "same_object"),
    "CVE-2026-68175": ("an initial value, with custom code", "custom", "variable_changed"),
}


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, t.Any]]:
    """The results of all of them, by CVE; one run for all tests here."""
    work = CACHE / "integration" / "corpus"
    only = ",".join(KINDS)
    lab = f"{LAB}-corpus"
    command = [sys.executable, "-m", run.__name__, "--only", only, "--work", os.fspath(work), "--lab", lab]
    done = subprocess.run([*command, "--cache", os.fspath(CACHE)], capture_output=True, text=True, check=False)
    results = json.loads((work / DEFAULT.stem / "coverage.json").read_text(encoding="utf-8"))
    assert done.stdout.splitlines()[-1] == verdicts.summary(results["rows"]), done.stdout + done.stderr
    return {row["name"]: row for row in results["rows"]}


@pytest.mark.parametrize("cve", KINDS)
def test_entry_has_the_right_result(rows: dict[str, dict[str, t.Any]], cve: str) -> None:
    kind, verdict, code = KINDS[cve]
    row = rows[cve]
    assert (row["verdict"], row["code"]) == (verdict, code), f"{kind}: {row['reason']}\n{row['details']}"


@pytest.mark.parametrize("cve", [cve for cve, (_kind, verdict, _code) in KINDS.items() if verdict == "automatic"])
def test_what_is_automatic_was_seen_to_be(rows: dict[str, dict[str, t.Any]], cve: str) -> None:
    facts = rows[cve]["trial"]
    assert facts["redirected"] or facts["exchanged"]
    assert facts["replacement_bytes"] > 0 and facts["compared"] > 20_000_000
    assert all(facts["modules"].values())


def test_entries_are_the_corpus_own() -> None:
    assert set(KINDS) <= {entry.name for entry in entries.read_manifest(DEFAULT).entries}
