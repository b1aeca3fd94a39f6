# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finished update modules without a kernel's headers: gcc and ld do to the sources what Kbuild would do."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.module import (
    Identity,
    write_update_module,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.parts import Replacement
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.descriptor import Says
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.unit import CheckedUnit
from ansible_collections.rebootless.splice.tests.support.objects import object_file
from ansible_collections.rebootless.splice.tests.support.places import FIXTURES, KMOD

IDENTITY = Identity("cve-2026-1.fix", "1.0", "ab" * 32, "0123456789abcdef")
SAYS = Says(IDENTITY.name, IDENTITY.version, IDENTITY.digest, IDENTITY.build_id)
# scripts/module.lds.S
_SCRIPT = "SECTIONS { /DISCARD/ : { *(.discard) *(.discard.*) } }\n"
_THUNKS = {".return_sites": "__x86_return_thunk", ".retpoline_sites": "__x86_indirect_thunk_"}


def checked(construct: str, object_name: str = "vmlinux") -> CheckedUnit:
    """A fixture as the check is told of it."""
    exact, post = (object_file(construct, which).path for which in ("exact", "post"))
    return CheckedUnit(object_name, f"fixtures/{construct}.o", exact, post)


def finished(directory: pathlib.Path, replacement: Replacement) -> bytes:
    """The update module that holds ``replacement``, linked in ``directory``."""
    shutil.rmtree(directory, ignore_errors=True)
    write_update_module(directory, IDENTITY, replacement, KMOD)
    stubs = directory / "stubs" / "linux"
    stubs.mkdir(parents=True)
    for header in ("types.h", "module.h", "kernel.h"):
        shutil.copyfile(FIXTURES / "diff_module_stub.h", stubs / header)

    def run(*command: str) -> None:
        subprocess.run(command, cwd=directory, check=True)

    # modpost's: every module has one.
    (directory / "module.s").write_text(".data\n.globl __this_module\n__this_module: .zero 64\n", encoding="ascii")
    run("as", "module.s", "-o", "module.o")
    flags = ("-std=gnu11", "-O2", "-mcmodel=kernel", "-fno-PIE", "-D__KERNEL__", "-fno-asynchronous-unwind-tables")
    run("gcc", *flags, f"-I{stubs.parent}", "-c", "update.c", "-o", "update.o")
    run("objcopy", "--rename-section", ".text=.init.text", "update.o")
    for name in ("replacement", "tables"):
        run("gcc", "-Wa,-I.", "-c", f"{name}.S", "-o", f"{name}.o")
    (directory / "sites.s").write_text(_sites(ObjectFile(directory / "replacement.o")), encoding="ascii")
    run("as", "sites.s", "-o", "sites.o")
    (directory / "module.lds").write_text(_SCRIPT, encoding="ascii")
    # The sites come first: their sections are empty, so that offsets in them are those of the replacement's.
    parts = ("sites.o", "update.o", "module.o", "replacement.o", "tables.o")
    run("ld", "-r", "-z", "noexecstack", "-T", "module.lds", *parts, "-o", "update.ko")
    return (directory / "update.ko").read_bytes()


def _sites(code: ObjectFile) -> str:
    """The tables of returns and indirect branches, which objtool makes."""
    lines: list[str] = []
    for section in code.sections:
        for r in section.relocations if section.is_text and section.name != ".altinstr_replacement" else ():
            table = next((table for table, name in _THUNKS.items() if r.symbol.name.startswith(name)), None)
            if table is not None:
                label = f".L{len(lines)}"
                lines.append(f'.section "{section.name}","ax",@progbits\n{label}:')
                lines.append(f'.section {table},"a",@progbits\n.long {label} + {r.offset - 1} - .')
    return "\n".join(lines) + "\n"
