# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers of facts about members, and the words that sentences about them are made of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.members.facts import Fact

_BOUND, _OFFSET = re.compile(r"[<>]=? (_Literal .*|-?\d+[ul]*)"), re.compile(r"([-+]|<<|>>) \d+")


def bits(rows: Sequence[Fact]) -> set[int]:
    """Each bit of each mask, as a mask of its own."""
    masks = [fact.number for fact in rows if isinstance(fact.number, int) and fact.number > 0]
    return {1 << at for mask in masks for at in range(mask.bit_length()) if mask >> at & 1}


def numbers(rows: Sequence[Fact]) -> set[int]:
    """The values."""
    return {fact.number for fact in rows if isinstance(fact.number, int)}


def within(number: int, bound: Fact) -> bool:
    """Whether a number is what ``bound`` says: ``< 4``."""
    limit = bound.number if isinstance(bound.number, int) else 0
    below, equal = number < limit, number == limit
    return {"<": below, "<=": below or equal, ">": not (below or equal), ">=": not below}[bound.words]


def number_words(number: int) -> str:
    """A number as a sentence has it."""
    return str(number) if -1 <= number < 10 else f"{number:#x}"


def values_words(rows: Sequence[Fact]) -> list[str]:
    """What is stored, in words."""
    return list(dict.fromkeys(number_words(f.number) if isinstance(f.number, int) else f.words for f in rows))


def and_words(words: Sequence[str] | Mapping[str, object]) -> str:
    """``a, b and c``; of more than four, the first three and how many there are."""
    shown = list(words)
    *most, last = shown if len(shown) < 5 else [*shown[:3], f"{len(shown) - 3} more"]
    return f"{', '.join(most)} and {last}" if most else last


def tells(fact: Fact) -> bool:
    """Whether a fact says what the values of a member mean: not that it is cleared, or that it is bounded."""
    return fact.number != 0 and not _BOUND.fullmatch(fact.words)


def counted_otherwise(read: Sequence[Fact]) -> bool:
    """Whether code counts on from a value: ``place - 1``"""
    return any(_OFFSET.fullmatch(fact.words) for fact in read)


def who(functions: Sequence[str], verb: str) -> str:
    """``f sets``, ``f and g set``"""
    return f"{and_words(functions)} {verb}{'s' if len(functions) == 1 else ''}"
