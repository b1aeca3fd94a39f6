# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of single values in files and variables that come from elsewhere; each takes any value, and says yes or no."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import strict_json

Check = t.Callable[[t.Any], bool]

SHA256 = re.compile(r"[0-9a-f]{64}")
HEX = re.compile(r"[0-9a-f]+")


def text(value: t.Any) -> bool:
    return isinstance(value, str)


def filled(value: t.Any) -> bool:
    return isinstance(value, str) and value != ""


def whole(low: int, high: int = 1 << 40) -> Check:
    """A whole number from ``low`` to ``high``; True and False are none."""
    return lambda value: strict_json.is_whole(value) and low <= value <= high


def matches(pattern: re.Pattern[str]) -> Check:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def one_of(*values: t.Any) -> Check:
    return lambda value: any(strict_json.is_same(value, one) for one in values)


def boolean(value: t.Any) -> bool:
    return isinstance(value, bool)


def table(value: t.Any) -> bool:
    return isinstance(value, dict)


def list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)
