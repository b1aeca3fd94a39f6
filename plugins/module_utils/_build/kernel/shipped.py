# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The distribution's own kernel and modules, as a target for the matcher.

The kernel is the image's.  Modules are linked as the kernel's loader would (``apply_relocate_add``), at addresses of
their own in the range for modules, against the kernel's and each other's exported symbols.
"""

from __future__ import annotations

import functools
from pathlib import Path

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import Section, Symbol
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.compression import (
    Damaged,
    compression_of,
    decompress,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.exports import Export, read_symvers
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import VMLINUX, module_name
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.vmlinux import VmlinuxImage
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

_DEPENDS = b"depends="  # in .modinfo, written by scripts/mod/modpost.c
_PAGE = 0x1000


class DistributionTarget:
    """A target for ``Matcher``: the tree's vmlinuz, and those of its modules that the match asks for.

    Raises ``RebootlessError``: ``bad_image``, ``no_distribution_module``, ``module_not_linked``.
    """

    def __init__(self, tree: KernelTree) -> None:
        self._tree = tree
        self._kernel = VmlinuxImage(Path(tree.vmlinuz))
        self._modules: dict[str, ModuleImage] = {}
        self._needs: dict[str, frozenset[str]] = {}
        self._base = self._free = tree.architecture.modules_base

    def prefetch(self, names: set[tuple[str, str]]) -> None:
        """Reads every module that is named as an object."""
        for object_name in sorted({object_name for _name, object_name in names} - {"", VMLINUX}):
            self.module(object_name)

    def lookup(self, name: str, object_name: str) -> list[int]:
        """Every address of that name in ``vmlinux``, a module, or (``""``) all that was read."""
        if object_name == VMLINUX:
            return self._kernel.lookup(name, VMLINUX)
        if object_name:
            return self.module(object_name).addresses.get(name, [])
        everywhere = [image.addresses.get(name, []) for image in self._modules.values()]
        return [*self._kernel.lookup(name, VMLINUX), *(address for found in everywhere for address in found)]

    def defines(self, name: str, object_name: str) -> bool:
        """Whether ``vmlinux`` or a module has a global symbol of that name; all but init code and data is known."""
        if object_name == VMLINUX:
            return name in self._globals
        return self.module(object_name).global_address(name) is not None

    def read(self, address: int, length: int) -> bytes | None:
        """``length`` bytes at ``address``, or None if they are not all there."""
        if address < self._base:
            return self._kernel.read(address, length)
        image = next((m for m in self._modules.values() if m.base <= address < m.end), None)
        return image.read(address, length) if image else None

    def module(self, name: str) -> ModuleImage:
        """The linked module of that name; it is read when it is first asked for."""
        if name not in self._modules:
            image = ModuleImage(self._object(name), self._free)
            self._free = (image.end // _PAGE + 1) * _PAGE
            self._modules[name] = image  # before linking: what it needs may be read meanwhile
            image.link(self._exported)
        return self._modules[name]

    def needs(self, name: str) -> frozenset[str]:
        """The modules that are loaded whenever the module of that name is: what it depends on, and they in turn."""
        if name not in self._needs:
            section = self._object(name).section_of(".modinfo")
            fields = section.data.split(b"\0") if section is not None else []
            words = [f[len(_DEPENDS) :].decode() for f in fields if f.startswith(_DEPENDS)]
            direct = {module_name(word) for word in ",".join(words).split(",") if word}
            self._needs[name] = frozenset(direct.union(*(self.needs(other) for other in direct)))
        return self._needs[name]

    def _object(self, name: str) -> ObjectFile:
        path = self._tree.units.modules.get(name)
        files = sorted(Path(self._tree.modules, "kernel").glob(f"{path}.ko*")) if path and self._tree.modules else []
        if not files:
            raise RebootlessError(
                "no_distribution_module",
                f"The distribution's module {name} is not in the kernel tree, so the match cannot be tried on it.",
                "Give the directory with the distribution's modules when the tree is prepared.",
                module=name,
            )
        return ObjectFile(files[0], _contents(files[0]))

    @functools.cached_property
    def _globals(self) -> dict[str, int]:
        return {name: address for letter, name, address in self._kernel.symbols if letter.isupper()}

    @functools.cached_property
    def _exports(self) -> dict[str, Export]:
        return read_symvers(Path(self._tree.headers, "Module.symvers"))

    def _exported(self, name: str) -> int | None:
        """Where the symbol that a module imports is; None if nothing exports it."""
        export = self._exports.get(name)
        if export is not None and export.module != VMLINUX:
            owner = next((m for m, path in self._tree.units.modules.items() if path == export.module), None)
            return self.module(owner).global_address(name) if owner else None
        return self._globals.get(name)


class ModuleImage:
    """A module laid out from address ``base`` on; ``addresses`` maps names to addresses, as kallsyms would."""

    def __init__(self, module: ObjectFile, base: int) -> None:
        self.base = base
        self._object = module
        self._where: dict[Section, int] = {}
        address = base
        for section in module.sections:
            if section.is_alloc:
                align = max(section.align, 1)
                address = (address + align - 1) // align * align
                self._where[section] = address
                address += section.size
        self.end = address
        self._memory = bytearray(address - base)
        self.addresses: dict[str, list[int]] = {}
        for symbol in module.symbols:
            if symbol.name and symbol.section in self._where and symbol.kind not in ("section", "file"):
                self.addresses.setdefault(symbol.name, []).append(self._value(symbol))

    def read(self, address: int, length: int) -> bytes | None:
        """``length`` bytes at ``address``, or None if they are not all in the module."""
        start = address - self.base
        return bytes(self._memory[start : start + length]) if start + length <= len(self._memory) else None

    def global_address(self, name: str) -> int | None:
        """The address of the module's global symbol ``name``."""
        symbols = (s for s in self._object.symbols if s.name == name and s.binding != "local" and not s.undefined)
        return next((self._value(s) for s in symbols if s.section in self._where), None)

    def link(self, exported) -> None:
        """Copies the sections and writes every relocated field; ``exported`` maps names to addresses or None."""
        for section, address in self._where.items():
            start = address - self.base
            if not section.nobits:
                self._memory[start : start + section.size] = section.data
            for r in section.relocations:
                if not r.size:
                    continue
                value = exported(r.symbol.name) if r.symbol.undefined else self._value(r.symbol)
                if value is None:
                    if r.symbol.binding != "weak":
                        raise RebootlessError(
                            "module_not_linked",
                            f"{self._object.path} needs the symbol {r.symbol.name}, which nothing exports.",
                            "Check that the tree's modules and image are of the same kernel.",
                            symbol=r.symbol.name,
                        )
                    value = 0
                field = value + r.addend - (address + r.offset if r.relative else 0)
                data = (field & (1 << 8 * r.size) - 1).to_bytes(r.size, "little")
                self._memory[start + r.offset : start + r.offset + r.size] = data

    def _value(self, symbol: Symbol) -> int:
        return symbol.value + (self._where.get(symbol.section, 0) if symbol.section is not None else 0)


def _contents(path: Path) -> bytes:
    """A module's file without its compression."""
    data = path.read_bytes()
    compression = compression_of(data)
    try:
        return decompress(compression, data) if compression is not None else data
    except Damaged as error:
        raise RebootlessError("bad_image", f"{path} cannot be decompressed: {error}.", path=str(path)) from error
