# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints the slowest tests of several runs of pytest: ``slowest.py DIRECTORY``, where their JUnit files are."""

from __future__ import annotations

import pathlib
import sys
import typing as t
from xml.etree import ElementTree

SHOWN = 10


def durations(directory: pathlib.Path) -> t.Iterator[tuple[float, str]]:
    """Seconds that a test and its fixtures took, and its name."""
    for path in directory.glob("*.xml"):
        for case in ElementTree.parse(path).iter("testcase"):
            yield float(case.attrib["time"]), f"{case.attrib['classname']}::{case.attrib['name']}"


if __name__ == "__main__":
    found = sorted(durations(pathlib.Path(sys.argv[1])), reverse=True)
    if not found:
        sys.exit(f"{sys.argv[1]} has no durations of tests: no run of pytest wrote its JUnit file there.")
    print(f"The {SHOWN} slowest tests:")
    for seconds, name in found[:SHOWN]:
        print(f"{seconds:7.1f} s  {name}")
