# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which units a patched source belongs to, and whether this kernel has them.

The kernel's own makefiles, evaluated under its configuration, say what is linked into vmlinux and into each module
(kbuild.py, *scan*); Kbuild asked for an object by name would compile sources that the configuration leaves out.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path, PurePosixPath
from typing import Container, Iterable, Mapping

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.graphs import closure
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.include_lines import (
    OF_SOURCES,
    find_includes,
    resolve,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common import strict_json

VMLINUX = "vmlinux"
SOURCE_SUFFIXES = (".c", ".S")
HEADER_SUFFIX = ".h"


@dataclasses.dataclass(frozen=True)
class Unit:
    """An optimization unit.

    ``name`` is its object's path (``virt/kvm/kvm_main.o``), ``target`` the same as Kbuild spells it
    (``arch/x86/kvm/../../../virt/kvm/kvm_main.o``), ``objects`` what it is linked into: ``vmlinux``, or modules by the
    name that the kernel gives them (``kvm_intel``).
    """

    name: str
    target: str
    objects: tuple[str, ...]


class UnitMap:
    """All units of a kernel, and which sources are included by others.

    ``units`` maps names to ``Unit``; ``includers`` maps a source that others include (``kernel/sched/core_sched.c``) to
    the sources that include it; ``modules`` maps a module's name to its file without the suffix.
    """

    def __init__(
        self, units: Mapping[str, Unit], includers: Mapping[str, list[str]], modules: Mapping[str, str]
    ) -> None:
        self.units = dict(units)
        self.includers = dict(includers)
        self.modules = dict(modules)

    @classmethod
    def from_scan(cls, lines: Iterable[str], includers: Mapping[str, list[str]]) -> UnitMap:
        """The map of what ``Kbuild.scan`` returned."""
        units: dict[str, Unit] = {}
        modules: dict[str, str] = {}
        for line in lines:
            kind, *words = line.split()
            linked_into = VMLINUX
            if kind == "module":
                module, *parts = words
                path = _normal(module)[: -len(".o")]
                linked_into = module_name(path)
                modules[linked_into] = path
                words = parts or [module]  # a module without a list of parts is its own only part
            for target in words:
                if target.endswith(".o"):
                    name = _normal(target)
                    known = units.get(name, Unit(name, target, ()))
                    objects = tuple(dict.fromkeys((*known.objects, linked_into)))
                    units[name] = dataclasses.replace(known, objects=objects)
        return cls(units, includers, modules)

    def to_json(self) -> str:
        """The map as JSON, for ``from_json``."""
        units = {unit.name: [unit.target, *unit.objects] for unit in self.units.values()}
        return strict_json.exact(
            {"units": units, "includers": self.includers, "modules": self.modules}, sort_keys=True
        ).decode()

    @classmethod
    def from_json(cls, text: str) -> UnitMap:
        """The map that ``to_json`` wrote."""
        data = strict_json.parse(text.encode())
        units = {name: Unit(name, row[0], tuple(row[1:])) for name, row in data["units"].items()}
        return cls(units, data["includers"], data["modules"])

    def unit_of(self, source: str) -> Unit | None:
        """The unit that ``source`` is compiled to; None if this kernel has none."""
        stem, suffix = os.path.splitext(source)
        return self.units.get(f"{stem}.o") if suffix in SOURCE_SUFFIXES else None

    def units_of(self, sources: Iterable[str]) -> list[Unit]:
        """The units that some of ``sources`` are compiled to, sorted by name."""
        found = {unit.name: unit for unit in map(self.unit_of, sources) if unit is not None}
        return [found[name] for name in sorted(found)]

    def units_including(self, source: str) -> list[Unit]:
        """The units whose sources include the ``.c`` or ``.S`` ``source``, not through headers."""
        return self.units_of(closure([source], self.includers) - {source})

    def without_source(self, sources: Container[str]) -> list[Unit]:
        """The units whose source is none of ``sources`` with their name: it is generated, or has another name."""
        return [
            unit
            for name, unit in sorted(self.units.items())
            if not any(f"{name.removesuffix('.o')}{suffix}" in sources for suffix in SOURCE_SUFFIXES)
        ]


def module_name(path: str) -> str:
    """What the kernel calls the module of that file: ``arch/x86/kvm/kvm-intel`` is ``kvm_intel``."""
    return PurePosixPath(path).name.replace("-", "_").replace(",", "_")


def find_includers(source: Path, arch: str) -> dict[str, list[str]]:
    """For each ``.c`` or ``.S`` below ``source`` that others include: the files that include it, sorted.

    ``arch`` is the architecture's name below ``arch/``.

    Names are resolved as the compiler would with the kernel's include directories; what cannot be resolved is left out.
    """

    def is_file(path: str) -> bool:
        return (source / path).is_file()

    def in_directories(name: str) -> list[str]:
        paths = (_normal(os.path.join(place, name)) for place in ("", "include", f"arch/{arch}/include"))
        return list(filter(is_file, paths))[:1]

    includers: dict[str, set[str]] = {}
    for include in find_includes(source, OF_SOURCES, (HEADER_SUFFIX, *SOURCE_SUFFIXES), ["."]):
        for included in resolve(include, is_file, in_directories):
            includers.setdefault(included, set()).add(include.includer)
    return {name: sorted(files) for name, files in sorted(includers.items())}


def _normal(path: str) -> str:
    return os.path.normpath(path)
