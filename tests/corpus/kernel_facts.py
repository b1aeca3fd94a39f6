# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a kernel has what decides how it rewrites itself: CPU features, ``pv_ops``, the return thunk."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import VMLINUX
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.vmlinux import VmlinuxImage
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.dwarf_types import DebugTypes, Layout

FEATURES = "arch/x86/include/asm/cpufeatures.h"
WITH_LAYOUTS = "arch/x86/kernel/paravirt.o"  # the unit whose debug information has all that is needed here
_WORDS = re.compile(r"#define\s+(NCAPINTS|NBUGINTS)\s+(\d+)")
_FEATURE = re.compile(r"#define\s+X86_FEATURE_(\w+)\s+\(\s*(\d+)\s*\*\s*32\s*\+\s*(\d+)\s*\)")
_BUG = re.compile(r"#define\s+X86_(BUG_\w+)\s+X86_BUG\(\s*(?:(\d+)\s*\*\s*32\s*\+\s*)?(\d+)\s*\)")


@dataclasses.dataclass(frozen=True)
class FeatureNames:
    """The features of a kernel by name (``SMAP``, ``BUG_ITS``), and how many words of 32 they are."""

    numbers: dict[str, int]
    words: int

    def vector(self, names: t.Iterable[str]) -> bytes:
        """The contents of ``x86_capability`` of a processor with these features.

        Raises ``LookupError`` for a name that the kernel does not have.
        """
        bits = 0
        for name in names:
            if name not in self.numbers:
                raise LookupError(f"{FEATURES} of this kernel has no feature {name}")
            bits |= 1 << self.numbers[name]
        return bits.to_bytes(4 * self.words, "little")

    def names(self, vector: bytes) -> set[str]:
        """The features that are set in ``x86_capability``; those that have no name are left out."""
        bits = int.from_bytes(vector, "little")
        return {name for name, number in self.numbers.items() if bits >> number & 1}


def feature_names(header: str) -> FeatureNames:
    """The features that the text of ``cpufeatures.h`` names."""
    words = {name: int(count) for name, count in _WORDS.findall(header)}
    numbers = {name: 32 * int(word) + int(bit) for name, word, bit in _FEATURE.findall(header)}
    for name, word, bit in _BUG.findall(header):
        numbers[name] = 32 * (words["NCAPINTS"] + int(word or 0)) + int(bit)
    return FeatureNames(numbers, words["NCAPINTS"] + words["NBUGINTS"])


class KernelFacts:
    """``features`` by name, ``slots`` of ``pv_ops`` as in ``pv_slots``, ``capability``, their address."""

    def __init__(self, tree: KernelTree, compiled: pathlib.Path) -> None:
        """``compiled`` is the object of the unit ``WITH_LAYOUTS``."""
        self.image = VmlinuxImage(tree.vmlinuz)
        self.table: dict[str, list[int]] = {}
        for _letter, name, address in self.image.symbols:
            self.table.setdefault(name, []).append(address)
        self.features = feature_names(pathlib.Path(tree.source, FEATURES).read_text(encoding="utf-8"))
        self.series = tree.kernel.series
        self.modules_base = tree.architecture.modules_base
        layouts = DebugTypes(compiled).layouts
        self.slots = pv_slots(layouts)
        self.capability = self.address("boot_cpu_data") + offset_of(layouts["struct cpuinfo_x86"], "x86_capability")

    def address(self, name: str) -> int:
        """The address of a symbol.  Raises ``LookupError`` unless the kernel has one of that name."""
        found = self.table.get(name, [])
        if len(found) != 1:
            raise LookupError(f"{VMLINUX} has {len(found)} symbols {name}")
        return found[0]


def pv_slots(layouts: t.Mapping[str, Layout]) -> dict[str, int]:
    """The offsets in ``pv_ops`` of its groups, as "mmu", and of the pointers in them, as "mmu.set_pte"."""
    slots = {}
    for group in layouts["struct paravirt_patch_template"].members:
        slots[group.name] = group.offset // 8
        for member in layouts[group.type].members:
            slots[f"{group.name}.{member.name}"] = (group.offset + member.offset) // 8
    return slots


def offset_of(layout: Layout, name: str) -> int:
    """The offset of a member, also of one in a union without a name."""
    for member in layout.members:
        if member.name == name:
            return member.offset // 8
        inside = re.search(rf"\b{name} @(\d+):", member.type) if not member.name else None
        if inside:
            return (member.offset + int(inside[1])) // 8
    raise LookupError(f"{layout.name} has no member {name}")
