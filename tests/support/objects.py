# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiles the fixtures ``diff_<construct>.c`` as the kernel compiles its units, before and after (``-DPOST``)."""

from __future__ import annotations

import functools
import pathlib
import subprocess
import tempfile

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.record import X86_64
from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.decide import Decision, decide
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import UnitChange, compare
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.exports import Export
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.tests.support.compiler import KERNEL_FLAGS
from ansible_collections.rebootless.splice.tests.support.places import FIXTURES

KERNEL = X86_64.kernel_of("6.1.176-1")
SECTIONED = ["-ffunction-sections", "-fdata-sections"]
# What compiled code refers to for the sake of tracing and mitigations alone.
EXPORTS = {name: Export(name, 1, "vmlinux", "EXPORT_SYMBOL", "") for name in ("__fentry__", "__x86_return_thunk")}
OBJECTS = {"exact": [], "pre": SECTIONED, "post": [*SECTIONED, "-DPOST"]}
# Constructs that only some kernels' configurations have.
CONFIGURED = {
    "landing_mark": ("-fcf-protection=branch",),
    # scripts/Makefile.kasan, with CONFIG_KASAN_OUTLINE
    "sanitized": (
        *("-fsanitize=kernel-address", "-fasan-shadow-offset=0xdffffc0000000000", "--param=asan-globals=1"),
        *("--param=asan-instrumentation-with-call-threshold=0", "--param=asan-stack=1"),
    ),
}


def compile_fixture(construct: str, output: pathlib.Path, *flags: str) -> pathlib.Path:
    """``output``, compiled from ``diff_<construct>.c``."""
    source = FIXTURES / f"diff_{construct}.c"
    flags = (*CONFIGURED.get(construct, ()), *flags)
    subprocess.run(["gcc", *KERNEL_FLAGS, *flags, "-c", str(source), "-o", str(output)], check=True)
    return output


def compile_text(text: str, directory: pathlib.Path, *flags: str) -> ObjectFile:
    """The object of C source, compiled in ``directory`` like the fixtures; it can include ``diff_kernel.h``."""
    source, output = directory / "text.c", directory / "text.o"
    source.write_text(text, encoding="utf-8")
    subprocess.run(["gcc", *KERNEL_FLAGS, f"-I{FIXTURES}", *flags, "-c", str(source), "-o", str(output)], check=True)
    return ObjectFile(output)


@functools.cache
def _directory() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="differencing")


@functools.cache
def object_file(construct: str, which: str) -> ObjectFile:
    """One of the fixture's objects: ``exact``, ``pre`` or ``post``."""
    path = pathlib.Path(_directory().name) / f"{construct}.{which}.o"
    return ObjectFile(compile_fixture(construct, path, *OBJECTS[which]))


@functools.cache
def difference(construct: str):
    """The fixture's two objects with a section for each symbol, compared."""
    return compare(object_file(construct, "pre"), object_file(construct, "post"))


def unit_change(construct: str, object_name: str = "vmlinux") -> UnitChange:
    """The fixture's three compiles, compared."""
    return UnitChange(object_name, f"fixtures/{construct}.o", object_file(construct, "exact"), difference(construct))


def decision(construct: str, object_name: str = "vmlinux") -> Decision:
    """What is decided about the fixture's change."""
    return decide(unit_change(construct, object_name), KERNEL)


def dump(construct: str, *flags: str) -> str:
    """What the compiler understands of the fixture's functions (``Compiler.understood``)."""
    with tempfile.TemporaryDirectory(prefix="dumps") as scratch:
        output, source = pathlib.Path(scratch, "dump"), FIXTURES / f"diff_{construct}.c"
        options = ["-g0", "-flto", f"-fdump-tree-ssa-gimple={output}", "-S", "-o", "/dev/null"]
        subprocess.run(["gcc", *KERNEL_FLAGS, *flags, *options, str(source)], check=True)
        return output.read_text(encoding="utf-8")
