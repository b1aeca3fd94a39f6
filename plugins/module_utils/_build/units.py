# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which units a patched source belongs to, and whether this kernel has them.  Private to rebootless.splice.

The kernel's own makefiles, evaluated under its configuration, say what is linked into vmlinux and into each module
(kbuild.py, *scan*); Kbuild asked for an object by name would compile sources that the configuration leaves out.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
from pathlib import Path, PurePosixPath
from typing import Container, Iterable, Mapping

from ansible_collections.rebootless.splice.plugins.module_utils._build.commands import clean_environment
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

VMLINUX = "vmlinux"
SOURCE_SUFFIXES = (".c", ".S")
HEADER_SUFFIX = ".h"
_INCLUDE = re.compile(r'^(?P<file>[^:]+):\s*#\s*include\s*[<"](?P<name>[^">]+)[">]')
_COMPOSITE = re.compile(r"\s*(?P<name>[\w.-]+?)-(?:y|m|objs)\s*[:+]?=")  # a makefile's list of an object's parts
_SOURCE_ARCHITECTURES = {"x86_64": "x86"}  # of the machine -> name below arch/


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


@dataclasses.dataclass(frozen=True)
class NotApplicable:
    """A patched file that has no part in the running kernel: its path, and why."""

    file: str
    code: str
    reason: str


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
        return json.dumps({"units": units, "includers": self.includers, "modules": self.modules}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> UnitMap:
        """The map that ``to_json`` wrote."""
        data = json.loads(text)
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
        reached: set[str] = set()
        waiting = [source]
        while waiting:
            new = set(self.includers.get(waiting.pop(), [])) - reached
            reached |= new
            waiting += new
        return self.units_of(reached - {source})

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


def find_includers(source: Path) -> dict[str, list[str]]:
    """For each ``.c`` or ``.S`` below ``source`` that others include: the files that include it, sorted.

    Names are resolved as the compiler would with the kernel's include directories; what cannot be resolved is left out.
    """
    command = ["grep", "-rE", "--include=*.[chS]", r'^\s*#\s*include\s*[<"][^">]*\.[cS][">]', "."]
    done = subprocess.run(
        command, cwd=source, capture_output=True, text=True, errors="replace", env=clean_environment(), check=False
    )
    if done.returncode > 1:
        raise RebootlessError("scan_failed", f"{source} cannot be searched.", "Read grep's output.", output=done.stderr)
    includers: dict[str, set[str]] = {}
    for line in done.stdout.splitlines():
        match = _INCLUDE.match(line)
        if match is None:
            continue
        includer = _normal(match["file"])
        places = (os.path.dirname(includer), "", "include", "arch/x86/include")
        paths = (_normal(os.path.join(place, match["name"])) for place in places)
        included = next((path for path in paths if (source / path).is_file()), None)
        if included is not None:
            includers.setdefault(included, set()).add(includer)
    return {name: sorted(files) for name, files in sorted(includers.items())}


# What a patched path says without looking further.  Patterns for fullmatch, first hit counts.
_NOT_KERNEL = (
    (r"(Documentation|LICENSES)/.*", "documentation", "is documentation"),
    (r"(tools|scripts|samples|usr)/.*", "not_in_kernel", "is not part of the kernel, but of what is built beside it"),
    (r"(MAINTAINERS|CREDITS|COPYING|README|\.mailmap|.*\.(rst|txt|yaml))", "documentation", "is documentation"),
    (r"(.*/)?\.gitignore", "not_in_kernel", "is not part of the kernel"),
    (r"arch/x86/boot/.*", "boot_only", "runs only while the kernel boots"),
    (r"drivers/firmware/efi/libstub/.*", "boot_only", "runs only while the kernel boots"),
)
# Patterns -> (code, what it is, next step): a patch that touches one of these is refused, unless it is a unit's source.
_REFUSED = (
    (
        r"arch/x86/(entry/vdso/.*|include/asm/vdso\.h)",
        "vdso_not_supported",
        "is part of the vdso, which is mapped into every process and cannot be exchanged",
        "Reboot into a fixed kernel for this fix.",
    ),
    (
        r"arch/x86/(realmode|purgatory)/.*",
        "embedded_code_not_supported",
        "is code that the kernel only carries as data for another environment",
        "Reboot into a fixed kernel for this fix.",
    ),
    (
        r"(.*/)?(Makefile|Kbuild|Kconfig)([.\-_].*)?",
        "build_file_not_supported",
        "decides how the kernel is built",
        "Leave this file out of the patch, if the fix does not depend on it.",
    ),
)


def judge(path: str, units: UnitMap, source: Path, arch: str = "x86_64") -> list[Unit] | NotApplicable | None:
    """The units that a patch of ``path`` may change, or why it changes nothing in this kernel.

    None if others include the file: then the graph of includes has to say it (touched.py).  Raises ``RebootlessError``
    for what cannot be made live: ``build_file_not_supported``, ``vdso_not_supported``, ``embedded_code_not_supported``,
    ``file_not_supported``.
    """
    for pattern, code, what in _NOT_KERNEL:
        if re.fullmatch(pattern, path):
            return NotApplicable(path, code, f"{path} {what}.")
    other = re.match(r"arch/(?P<arch>[^/]+)/", path)
    if other is not None and other["arch"] != _SOURCE_ARCHITECTURES[arch]:
        return NotApplicable(path, "other_architecture", f"{path} belongs to another architecture ({other['arch']}).")
    for pattern, code, what, next_step in _REFUSED:
        if re.fullmatch(pattern, path) and not (path.endswith(".c") and units.unit_of(path)):
            raise RebootlessError(code, f"The patch changes {path}, which {what}.", next_step, file=path)
    if path.endswith(HEADER_SUFFIX) or path in units.includers:
        return None
    if not path.endswith(SOURCE_SUFFIXES):
        raise RebootlessError(
            "file_not_supported",
            f"The patch changes {path}, and it is not known how this kernel is built from such a file.",
            "Leave this file out of the patch, if the fix does not depend on it.",
            file=path,
        )
    unit = units.unit_of(path)
    return [unit] if unit is not None else not_built(path, source)


def not_built(path: str, source: Path) -> NotApplicable:
    """That this configuration does not build ``path``, and which options would."""
    options = _options_for(path, source)
    needs = f"; it would need {' or '.join(options)}" if options else ""
    return NotApplicable(path, "not_built", f"This kernel's configuration does not build {path}{needs}.")


def source_architecture(arch: str) -> str:
    """The name below ``arch/`` of the machine that uname -m calls ``arch``."""
    return _SOURCE_ARCHITECTURES[arch]


def _options_for(path: str, source: Path) -> list[str]:
    """The configuration options that the nearest makefile names for the file's object, or for what it is a part of."""
    for directory in Path(path).parents:
        for name in ("Kbuild", "Makefile"):
            makefile = source / directory / name
            if makefile.is_file():
                text = makefile.read_text(encoding="utf-8", errors="replace").replace("\\\n", " ")
                return _options_in(text, os.path.splitext(os.path.basename(path))[0], set())
    return []


def _options_in(makefile: str, stem: str, seen: set[str]) -> list[str]:
    """The options of the lines that list ``stem``.o; if they name none, those of the object that it is linked into."""
    lines = re.findall(rf"^.*[\s/]{re.escape(stem)}\.o(?:\s.*)?$", makefile, re.MULTILINE)
    options = re.findall(r"\$\((CONFIG_\w+)\)", " ".join(lines))
    for line in lines:
        whole = _COMPOSITE.match(line)
        if not options and whole is not None and whole["name"] not in seen:
            options = _options_in(makefile, whole["name"], seen | {stem, whole["name"]})
    return list(dict.fromkeys(options))


def _normal(path: str) -> str:
    return os.path.normpath(path)
