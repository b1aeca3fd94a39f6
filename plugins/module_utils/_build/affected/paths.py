# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the path of a patched file says of the units that it can change."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.architecture import (
    Architecture,
    SourcePaths,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import (
    HEADER_SUFFIX,
    SOURCE_SUFFIXES,
    Unit,
    UnitMap,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

_COMPOSITE = re.compile(r"\s*(?P<name>[\w.-]+?)-(?:y|m|objs)\s*[:+]?=")  # a makefile's list of an object's parts


@dataclasses.dataclass(frozen=True)
class NotApplicable:
    """A patched file that has no part in the running kernel: its path, and why."""

    file: str
    code: str
    reason: str


_EFI_STUB = r"drivers/firmware/efi/libstub/.*"
# What a patched path says without looking further.  Patterns for fullmatch, first hit counts.
_NOT_KERNEL = (
    (r"(Documentation|LICENSES)/.*", "documentation", "is documentation"),
    (r"(tools|scripts|samples|usr)/.*", "not_in_kernel", "is not part of the kernel, but of what is built beside it"),
    (r"(MAINTAINERS|CREDITS|COPYING|README|\.mailmap|.*\.(rst|txt|yaml))", "documentation", "is documentation"),
    (r"(.*/)?\.gitignore", "not_in_kernel", "is not part of the kernel"),
)


def is_boot_only(path: str, arch: Architecture) -> bool:
    """Whether the file or unit ``path`` runs only while the kernel boots (``arch/x86/boot/``, the EFI stub)."""
    return re.fullmatch(f"{arch.paths.boot_only}|{_EFI_STUB}", path) is not None


def _refused(paths: SourcePaths) -> tuple[tuple[str, str, str, str], ...]:
    """Patterns -> (code, what it is, next step): a patch of such a file is refused, unless it is a unit's source."""
    return (
        (
            f"{paths.vdso}.*|{paths.vdso_headers}",
            "vdso_not_supported",
            "is part of the vdso, which is mapped into every process and cannot be exchanged",
            "Reboot into a fixed kernel for this fix.",
        ),
        (
            "|".join(f"{directory}.*" for directory in paths.carried),
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


def judge(path: str, units: UnitMap, source: Path, arch: Architecture) -> list[Unit] | NotApplicable | None:
    """The units that a patch of ``path`` may change, or why it changes nothing in this kernel.

    None if others include the file: then the graph of includes has to say it (``IncludeGraph``).  Raises
    ``RebootlessError`` for what cannot be made live: ``build_file_not_supported``, ``vdso_not_supported``,
    ``embedded_code_not_supported``, ``file_not_supported``.
    """
    elsewhere = not_concerned(path, arch)
    if elsewhere is not None:
        return elsewhere
    for pattern, code, what, next_step in _refused(arch.paths):
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


def not_concerned(path: str, arch: Architecture) -> NotApplicable | None:
    """Why a file of that path, in the source or not, is no part of a kernel of the architecture; None if it may be."""
    for pattern, code, what in _NOT_KERNEL:
        if re.fullmatch(pattern, path):
            return NotApplicable(path, code, f"{path} {what}.")
    if is_boot_only(path, arch):
        return NotApplicable(path, "boot_only", f"{path} runs only while the kernel boots.")
    other = re.match(r"arch/(?P<arch>[^/]+)/", path)
    if other is not None and other["arch"] != arch.source:
        return NotApplicable(path, "other_architecture", f"{path} belongs to another architecture ({other['arch']}).")
    return None


def not_built(path: str, source: Path) -> NotApplicable:
    """That this configuration does not build ``path``, and which options would."""
    options = _options_for(path, source)
    needs = f"; it would need {' or '.join(options)}" if options else ""
    return NotApplicable(path, "not_built", f"This kernel's configuration does not build {path}{needs}.")


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
