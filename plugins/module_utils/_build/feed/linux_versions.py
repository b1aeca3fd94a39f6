# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions of Linux as the kernel's CNA writes them, and which of them hold what came with another one."""

from __future__ import annotations

import re
from typing import Tuple

Version = Tuple[int, ...]
NUMBERS = re.compile(r"\d{1,4}(?:\.\d{1,4}){0,3}")
ALWAYS: Version = (0,)  # what was there from the beginning


def parse(text: str) -> Version:
    """The numbers of ``6.1.177``; ``0`` stands for the beginning.  Raises ``ValueError`` for what is no version."""
    if NUMBERS.fullmatch(text) is None:
        raise ValueError(f"{text[:40]!r} is no version of Linux")
    return tuple(map(int, text.split(".")))


def series(version: Version) -> Version:
    """The mainline version that a stable one follows, itself for a mainline one: 6.1 of 6.1.177, 2.6.12 of 2.6.12.3."""
    return version[:3] if version[:2] == (2, 6) else version[:2]


def is_in_series(version: Version, of: Version) -> bool:
    """Whether it is a release of the stable series that begins with the mainline version ``of``."""
    return version != series(version) and series(version) == of


def holds(kernel: Version, version: Version) -> bool:
    """Whether ``kernel`` has what came with ``version``.

    A stable series has what its mainline version had, and its own releases; of another series' releases it has nothing.
    """
    base = series(version)
    if version in (ALWAYS, base):
        return version <= series(kernel)
    return base == series(kernel) and version <= kernel
