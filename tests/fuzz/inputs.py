# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kept inputs: those that once led to a fault, and sound ones that only a compiler makes."""

from __future__ import annotations

import pathlib

from ansible_collections.rebootless.splice.tests.fuzz import native, of_build, of_feed, of_fleet, of_target, seeds

KEPT = pathlib.Path(__file__).resolve().parent / "kept"
SOUND = "sound-"  # before the names of inputs that must not be refused

READERS = {**of_target.READERS, **of_fleet.READERS, **of_build.READERS, **of_feed.READERS}
NAMES = (*native.PARSERS, *READERS)


def kept(name: str) -> list[pathlib.Path]:
    """The kept inputs of a fuzzer."""
    return sorted((KEPT / name).glob("*"))


def sound(name: str) -> list[tuple[str, bytes]]:
    """Inputs that the fuzzer's parser must take."""
    made = seeds.seeds(name) if name in native.PARSERS else READERS[name].seeds()
    return [*made, *((path.name, path.read_bytes()) for path in kept(name) if path.name.startswith(SOUND))]
