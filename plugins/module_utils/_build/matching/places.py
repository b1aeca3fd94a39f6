# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where running code may differ from a pre object, and what exactly may stand there.

``places_of`` follows the kernel through its boot, symbolically: it starts from the object's bytes and lets every
mechanism of ``Kernel.rewriters`` write over them, in the order in which the kernel does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.code import rewriting
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.architecture import Kernel, Rewriter
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.contents import (
    Content,
    content_of,
    field_of,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.rewriting import (
    Rewrite,
    TableEntry,
    entries,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import Section
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects import special_sections
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

MAX_LENGTH = 256  # RBL_MAX_PLACE
MAX_CONTENTS = 256


@dataclasses.dataclass(frozen=True)
class Place:
    """``contents[0]`` is the object's own; all are as long as the place."""

    offset: int
    length: int
    kind: int  # enum rbl_place_kind
    contents: tuple[Content, ...]


class Places:
    """The places of all sections of one pre object.

    Raises ``RebootlessError``: ``unknown_special_section`` if a section that is not in the table points into code that
    stays in memory, ``unknown_rewrite`` if code is not as the kernel's source says, ``too_many_contents``.
    """

    def __init__(self, pre: ObjectFile, kernel: Kernel):
        self.pre = pre
        special_sections.check_sections(pre, pre.arch)
        self._rewrites: dict[Section, list[tuple[int, Rewrite]]] = {}
        for phase, (name, rewriter) in enumerate(kernel.rewriters):
            for section in special_sections.sections_of(pre, name):
                for rewrite in self._rewrites_of(section, rewriter, phase):
                    self._rewrites.setdefault(rewrite.section, []).append((phase, rewrite))

    def _rewrites_of(self, section: Section, rewriter: Rewriter, phase: int) -> Iterator[Rewrite]:
        more = (lambda *where: self._before(phase, *where),) if rewriter.needs_before else ()
        parts: list[tuple[int, Section | TableEntry]] = [(0, section)]
        if not rewriter.whole_section:
            parts = [(entry.offset, entry) for entry in entries(self.pre, section, rewriter.entry_size)]
        for offset, part in parts:
            try:
                yield from rewriter.function(self.pre, part, *more)
            except ValueError as error:
                raise rewriting.broken(self.pre, section, offset, str(error)) from error

    def _before(self, phase: int, section: Section, start: int, end: int) -> list[Content]:
        """The contents that a range can have before ``phase``."""
        inside = [(p, r) for p, r in self._rewrites.get(section, []) if p < phase and r.offset < end and r.end > start]
        if any(r.offset < start or r.end > end for p, r in inside):
            raise rewriting.broken(self.pre, section, start, "code is rewritten across the bounds of an alternative")
        return self._simulate(section, start, end, inside)

    def _simulate(self, section: Section, start: int, end: int, writes: list) -> list[Content]:
        """The object's bytes, then all that the writes can have made of them, one after the other."""
        original = content_of(section, start, end)
        states: list[tuple[Content, frozenset]] = [(original, frozenset())]
        for _phase, rewrite in sorted(writes, key=lambda w: w[0]):
            low, high = rewrite.offset - start, rewrite.end - start
            written: dict[tuple[Content, frozenset], None] = {}
            for content, features in states:
                for condition, variant in rewrite.variants(content.cut(low, high)):
                    if condition is not None and (condition[0], not condition[1]) in features:
                        continue
                    known = features | {condition} if condition is not None else features
                    written[content.overwritten(low, variant), known] = None
            states = list(written)
            if len(states) > MAX_CONTENTS:
                raise RebootlessError(
                    "too_many_contents",
                    f"{self.pre.path}: {section.name}+{start:#x} can have more than {MAX_CONTENTS} contents.",
                    "Report this unit: its match program cannot be built.",
                    section=section.name,
                    offset=start,
                )
        return list(dict.fromkeys([original, *(content for content, features in states)]))

    def of(self, section: Section) -> list[Place]:
        """The section's places, ascending and not overlapping; every relocated field is in one."""
        fields = [f for f in map(field_of, section.relocations) if f is not None]
        spans: list[tuple] = [(f.offset, f.end, None) for f in fields]
        spans += [(w.offset, w.end, (phase, w)) for phase, w in self._rewrites.get(section, [])]
        spans.sort(key=lambda span: span[:2])
        return [self._place(section, *group) for group in overlapping(spans)]

    def _place(self, section: Section, start: int, end: int, writes: list) -> Place:
        if end - start > MAX_LENGTH:
            raise rewriting.broken(self.pre, section, start, f"a place of {end - start} bytes, more than {MAX_LENGTH}")
        if not writes:
            return Place(start, end - start, self.pre.arch.relocation_kind, (content_of(section, start, end),))
        kinds = {write.kind for phase, write in writes}
        try:
            contents = self._simulate(section, start, end, writes)
        except ValueError as error:
            raise rewriting.broken(self.pre, section, start, str(error)) from error
        return Place(start, end - start, kinds.pop() if len(kinds) == 1 else self.pre.arch.mixed_kind, tuple(contents))


def overlapping(spans: list[tuple]) -> list[tuple[int, int, list]]:
    """Groups sorted ``(start, end, item)`` spans that overlap: ``(start, end, items that are not None)``."""
    groups: list[tuple[int, int, list]] = []
    for low, high, item in spans:
        start, end, items = groups.pop() if groups and low < groups[-1][1] else (low, high, [])
        groups.append((start, max(end, high), items if item is None else [*items, item]))
    return groups
