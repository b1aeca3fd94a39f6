# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that are seeded into the memory of a kernel that matches: none of them may match."""

from __future__ import annotations

import bisect
import dataclasses
import random
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.match_program import (
    PLACE_KINDS,
    Program,
    ProgramPlace,
    ProgramSection,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.matcher import Matcher, Target

VMLINUX = "vmlinux"
RETURN = PLACE_KINDS.index("return thunk")
JMP32 = 0xE9
Random = random.Random


@dataclasses.dataclass
class Flipped:
    """A target in which the bits ``mask`` of the byte at ``address`` are other ones."""

    target: Target
    address: int
    mask: int

    def prefetch(self, names: set[tuple[str, str]]) -> None:
        self.target.prefetch(names)

    def lookup(self, name: str, object_name: str) -> list[int]:
        return self.target.lookup(name, object_name)

    def read(self, address: int, length: int) -> bytes | None:
        data = self.target.read(address, length)
        if data is None or not address <= self.address < address + length:
            return data
        changed = bytearray(data)
        changed[self.address - address] ^= self.mask
        return bytes(changed)


@dataclasses.dataclass
class Watched:
    """A target that remembers in ``read_from`` which bytes from ``start`` on it was asked for."""

    target: Target
    start: int
    read_from: set[tuple[int, int]] = dataclasses.field(default_factory=set)

    def prefetch(self, names: set[tuple[str, str]]) -> None:
        self.target.prefetch(names)

    def lookup(self, name: str, object_name: str) -> list[int]:
        return self.target.lookup(name, object_name)

    def read(self, address: int, length: int) -> bytes | None:
        if address >= self.start:
            self.read_from.add((address, length))
        return self.target.read(address, length)


@dataclasses.dataclass(frozen=True)
class Matched:
    """A program, a target that it matches, and the sections' addresses there."""

    program: Program
    target: Target
    bases: t.Mapping[int, int]

    @property
    def sections(self) -> list[tuple[int, ProgramSection]]:
        """The sections that were compared, each with its address."""
        found = [(base, self.program.sections[index]) for index, base in self.bases.items()]
        return [(base, section) for base, section in found if section.compared]

    def byte(self, address: int) -> int:
        """What stands at an address that was compared."""
        content = self.target.read(address, 1)
        if content is None:
            raise LookupError(f"{address:#x} was compared and cannot be read")
        return content[0]


Fault = tuple[str, Target]  # what it is, and the target that has it


def outside_places(matched: Matched, choose: Random, count: int) -> t.Iterator[Fault]:
    """Bytes flipped that are the same in every running kernel."""
    found = matched.sections
    for base, section in choose.choices(found, [section.size for _base, section in found], k=count) if found else ():
        offset = choose.choice(fixed_bytes(matched.program, section))
        mask = choose.randrange(1, 256)
        what = f"{section.name}+{offset:#x} with bits {mask:#x} flipped"
        yield what, Flipped(matched.target, base + offset, mask)


def in_places(matched: Matched, choose: Random, count: int) -> t.Iterator[Fault]:
    """First bytes of places flipped, where the kernel writes at boot, to what none of their contents begins with."""
    found = [
        (base + place.offset, section, place, firsts)
        for base, section in matched.sections
        for place in matched.program.places_of(section)
        if place.n_contents > 1 and (firsts := first_bytes(matched.program, place))
    ]
    for address, section, place, firsts in choose.choices(found, k=count) if found else ():
        byte = matched.byte(address)
        mask = choose.choice([mask for mask in range(1, 256) if byte ^ mask not in firsts])
        what = f"{section.name}+{place.offset:#x} ({PLACE_KINDS[place.kind]}) with bits {mask:#x} flipped"
        yield what, Flipped(matched.target, address, mask)


def first_bytes(program: Program, place: ProgramPlace) -> set[int]:
    """What the contents of a place begin with; empty if one of them begins with an address."""
    contents = program.contents_of(place)
    if any(reloc.offset == 0 for content in contents for reloc in program.relocs_of(content)):
        return set()
    return {program.content_bytes(place, content)[0] for content in contents}


def in_thunks(matched: Matched, matcher: Matcher, start: int, choose: Random, count: int) -> t.Iterator[Fault]:
    """Bytes flipped in thunks that the kernel has allocated, from the address ``start`` on, and this unit jumps to."""
    watched = Watched(matched.target, start)
    matcher.match(matched.program.blob, watched)
    found = sorted(watched.read_from)
    for address, length in choose.choices(found, k=count) if found else ():
        at, mask = address + choose.randrange(length), choose.randrange(1, 256)
        yield f"the thunk at {address:#x} with bits {mask:#x} of {at:#x} flipped", Flipped(matched.target, at, mask)


def of_return_thunk(matched: Matched) -> t.Iterator[Fault]:
    """The pointer ``x86_return_thunk`` leads elsewhere than the returns of this unit jump to.

    Returns that jump where the compiler had them jump are as sound as before, wherever the pointer leads.
    """
    (pointer,) = matched.target.lookup("x86_return_thunk", VMLINUX)
    (compiled,) = matched.target.lookup("__x86_return_thunk", VMLINUX)
    if matched.target.read(pointer, 8) == compiled.to_bytes(8, "little"):
        return
    jumps = any(
        place.kind == RETURN and matched.byte(base + place.offset) == JMP32
        for base, section in matched.sections
        for place in matched.program.places_of(section)
    )
    if jumps:
        yield "another return thunk", Flipped(matched.target, pointer, 1)


class FixedBytes(t.Sequence[int]):
    """The offsets in a section that are in no place with several contents, without a list of them all."""

    def __init__(self, size: int, variable: list[tuple[int, int]]) -> None:
        starts, ends = [0, *(end for start, end in variable)], [*(start for start, end in variable), size]
        self._spans = [(start, end) for start, end in zip(starts, ends, strict=True) if start < end]
        self._counts = [0]
        for start, end in self._spans:
            self._counts.append(self._counts[-1] + end - start)

    def __len__(self) -> int:
        return self._counts[-1]

    def __getitem__(self, index: t.Any) -> t.Any:
        span = bisect.bisect_right(self._counts, index) - 1
        return self._spans[span][0] + index - self._counts[span]


def fixed_bytes(program: Program, section: ProgramSection) -> t.Sequence[int]:
    """The offsets whose content is the same in every running kernel, addresses aside; all if none is."""
    variable = [(p.offset, p.offset + p.length) for p in program.places_of(section) if p.n_contents > 1]
    return FixedBytes(section.size, variable) or range(section.size)
