# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a kernel exports to modules, and with which checksums.

Sources: scripts/mod/modpost.c (``Module.symvers``), scripts/Makefile.build (``#SYMVER`` lines of ``.cmd`` files).
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping

from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import VMLINUX, module_name
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError


@dataclasses.dataclass(frozen=True)
class Export:
    """One line of ``Module.symvers``; ``module`` is ``vmlinux`` or the path of a module without its suffix."""

    name: str
    crc: int
    module: str
    kind: str
    namespace: str


def read_symvers(path: str | pathlib.Path) -> dict[str, Export]:
    """The exports in a ``Module.symvers`` file, by name.  Raises ``RebootlessError`` (``bad_symvers``)."""
    try:
        lines = pathlib.Path(path).read_text(encoding="ascii").splitlines()
        rows = [line.split("\t") for line in lines if line]
        return {row[1]: Export(row[1], int(row[0], 16), row[2], row[3], (row + [""])[4]) for row in rows}
    except (OSError, ValueError, IndexError) as error:
        raise RebootlessError(
            "bad_symvers",
            f"{path} is not a list of exported symbols as Kbuild writes it: {error}.",
            "Prepare the kernel tree again.",
            path=str(path),
        ) from error


def definer(exports: Mapping[str, Export], name: str, object_name: str) -> str:
    """The object (``vmlinux``, or a module by the kernel's name) that defines ``name`` for a unit of ``object_name``.

    The unit itself does not define it: it is another unit's of the same object, or an export.
    """
    export = exports.get(name)
    return object_name if object_name == VMLINUX or export is None else module_name(export.module)


def is_exported_by(object_file: ObjectFile, name: str) -> bool:
    """Whether the unit exports ``name``: ``__ksymtab_`` of include/linux/export.h, ``__export_symbol_`` since 6.4."""
    wanted = (f"__ksymtab_{name}", f"__export_symbol_{name}")
    return any(s.name in wanted and s.section is not None for s in object_file.symbols)


def export_checksums(object_path: str | pathlib.Path) -> dict[str, int]:
    """``{name: CRC}`` of what Kbuild computed beside an object, in its ``.cmd`` file; empty if it computed nothing."""
    path = pathlib.Path(object_path)
    command = path.with_name(f".{path.name}.cmd")
    if not command.is_file():
        return {}
    words = [line.split() for line in command.read_text(encoding="utf-8").splitlines() if line.startswith("#SYMVER ")]
    return {word[1]: int(word[2], 16) for word in words}
