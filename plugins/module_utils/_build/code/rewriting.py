# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rewrites: what a mechanism of the kernel makes of the bytes at a place.

The mechanisms themselves are each architecture's (``arch/``).
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.contents import Content
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import (
    ObjectCode,
    Relocation,
    Section,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

TRAMPOLINE, KEY = "__SCT__", "__SCK__"  # of static calls, include/linux/static_call_types.h

# A content, and the (CPU feature, present) under which it is written; None: under any.
Variant = t.Tuple[t.Optional[t.Tuple[int, bool]], Content]
Variants = t.Callable[[Content], t.Iterable[Variant]]


@dataclasses.dataclass(frozen=True)
class Rewrite:
    """Bytes ``[offset, offset + length)`` of a section, and what a mechanism makes of their content before it."""

    section: Section
    offset: int
    length: int
    kind: int
    variants: Variants

    end = property(lambda self: self.offset + self.length)


@dataclasses.dataclass(frozen=True)
class TableEntry:
    """One entry of a special section: its relocated fields by their offset in it, and its bytes."""

    table: Section
    offset: int
    fields: dict[int, Relocation]
    data: bytes

    def location(self, field: int, pre: ObjectCode) -> tuple[Section, int]:
        """The section and offset that a field points to."""
        relocation = self.fields.get(field)
        if relocation is None or relocation.target_section is None:
            raise broken(pre, self.table, self.offset, "an entry does not point into the same object")
        return relocation.target_section, relocation.target_offset


def entries(pre: ObjectCode, section: Section, size: int) -> Iterator[TableEntry]:
    """The entries of a special section, each with its relocated fields."""
    if section.size % size:
        raise broken(pre, section, 0, f"{section.size} bytes are no whole number of {size}-byte entries")
    for offset in range(0, section.size, size):
        fields = {r.offset - offset: r for r in section.relocations_in(offset, offset + size)}
        if fields:
            yield TableEntry(section, offset, fields, section.data[offset : offset + size])


def broken(pre: ObjectCode, section: Section, offset: int, what: str) -> RebootlessError:
    """The refusal for code that is not as the kernel's source says."""
    return RebootlessError(
        "unknown_rewrite",
        f"{pre.path}: {section.name}+{offset:#x}: {what}.",
        "The kernel may rewrite this code in a way that this release does not know; report the unit.",
        unit=pre.path,
        section=section.name,
        offset=offset,
    )


def one_of(*contents: Content) -> Variants:
    """The variants of a place that keeps its content or gets one of these."""
    return lambda current: [(None, content) for content in (current, *contents)]
