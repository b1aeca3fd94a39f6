# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers that a build host has: patches, object files, kernel images, and what the kernel's build leaves."""

from __future__ import annotations

import types as types_module
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text import (
    declarations,
    item_names,
    source_items,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.macros import MacroTable
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation import line_numbers, saved_command
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patches import (
    apply_patches,
    parse_patch,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel import config, kallsyms_table
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.exports import read_symvers
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.vmlinux import VmlinuxImage
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.dwarf_types import DebugTypes
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.dwarf_variables import DebugVariables
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.descriptor import Says
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.proof import prove
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.reader import Object
from ansible_collections.rebootless.splice.tests.fuzz.reader import PART, Reader, parts, scratch
from ansible_collections.rebootless.splice.tests.support.matching import kernel_image

# ---- patches ----

SOURCE = [f"line {number}" for number in range(1, 31)]
PATH = "net/unix/af_unix.c"
PATCH = b"""\
diff --git a/net/unix/af_unix.c b/net/unix/af_unix.c
--- a/net/unix/af_unix.c
+++ b/net/unix/af_unix.c
@@ -3,6 +3,7 @@ static int f(void)
 line 3
 line 4
 line 5
+new
 line 6
 line 7
 line 8
@@ -20,7 +21,6 @@
 line 20
 line 21
 line 22
-line 23
 line 24
 line 25
 line 26
"""
OLD_STYLE = b"""\
From: A developer
---
 net/unix/af_unix.c | 2 +-
Index: old/net/unix/af_unix.c
--- old/net/unix/af_unix.c\t2026-01-01 10:00:00.000000000 +0000
+++ new/net/unix/af_unix.c\t2026-01-02 10:00:00.000000000 +0000
@@ -28,3 +28,3 @@
 line 28
 line 29
-line 30
+line thirty
\\ No newline at end of file
--\x20
2.39.2
"""


def read_patch(data: bytes) -> None:
    """A patch, applied to a source; lines that it does not change keep their numbers and their text."""
    root = scratch("source")
    path = root / PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in SOURCE))
    for file in apply_patches([parse_patch("p.patch", data)], root):
        kept = [line for line in file.lines if line.origin is not None]
        assert [line.text for line in kept] == [SOURCE[line.origin - 1] for line in kept if line.origin]
        assert file.text(numbered=False).count(b"\n") == len(file.lines) + sum("\n" in line.text for line in file.lines)
        file.text()
        file.marked()


def read_source(data: bytes) -> None:
    """Two versions of a source as the texts are compared; a text is the same as itself."""
    before, after = parts(data, 2)
    table = MacroTable.of([before, after])
    assert MacroTable.from_json(table.to_json()) == table
    item_names.change(before, after, table)
    source_items.pieces(before)
    comparer = declarations.Comparer()
    comparer.same_object(before, after)
    assert comparer.same_object(before, before)
    text = after.decode("utf-8", "surrogateescape").split("\n")
    lines = [line_numbers.Line(line, number if number % 3 else None) for number, line in enumerate(text, 1)]
    for assembler in (False, True):
        line_numbers.renumber(lines, assembler)
        line_numbers.mark_moved(lines, "moved", assembler)


SOURCES = PART.join(
    [
        b"#include <a.h>\n#define F(x) do { x; } while (0) /* c */\nstruct s { int a; };\nstatic inline int f(void)\n"
        b"{\n\treturn 1;\n}\n#ifdef CONFIG_X\nextern int g(int (*h)(void));\n#endif\ntypedef unsigned long t;\n",
        b"#include <a.h>\n#define F(x) do { x; } while (0)\nstruct s { int a, b; };\nstatic inline int f(void)\n"
        b'{\n\treturn g("(\\"", 1);\n}\n#if 1\nextern int g(int (*h)(void));\n#else\n#endif\n',
    ]
)

# ---- object files ----


def read_object(data: bytes) -> None:
    """An object; what it says of its sections and symbols holds together."""
    read = ObjectFile("a.o", data)
    for section in read.sections:
        assert all(symbol.section is section for symbol in section.symbols)
        assert all(relocation.symbol in read.symbols for relocation in section.relocations[:20])


def read_second(data: bytes) -> None:
    """The same object, as the second reader reads it."""
    read = Object("a.o", data)
    for area in read.areas:
        assert len(area.data) in (area.size, 0) or not area.is_loaded
        area.fields_in(0, area.size)
        assert all(field.mark in read.marks for field in area.fields[:20])
        if area.is_merged:
            area.literal(0)


def read_finished(data: bytes) -> None:
    """A finished module, of which nothing was compiled: all in it is too much, or it cannot be read."""
    prove(data, Says("cve-2026-1.fix", "1.0", "ab" * 32, "0123456789abcdef"), [], ())


def read_debug(data: bytes) -> None:
    """The debug information of an object: its types, and its variables."""
    path = scratch("debug.o", data)
    types = DebugTypes(path)
    for name in ["f", *types.layouts]:
        types.prototype(name)
    variables = DebugVariables(str(path))
    for section, start in list(variables._by_place)[:20]:
        piece: t.Any = types_module.SimpleNamespace(section=types_module.SimpleNamespace(index=section), start=start)
        assert len(list(variables.leaves(piece, range(64)))) <= 512
        variables.owner(piece)
        variables.type_name(piece)


# ---- kernels ----


def read_image(data: bytes) -> None:
    image = VmlinuxImage(scratch("vmlinuz", data))
    assert image.build_id
    assert len(image.read(image.segments[0].address, 1) or b"1") == 1
    for name in {name for _letter, name, _address in image.symbols[:20]}:
        assert image.lookup(name, "vmlinux")


def read_symbol_table(data: bytes) -> None:
    """The kernel's own symbol table in the bytes of a segment."""
    try:
        found = kallsyms_table.decode(data)
    except kallsyms_table.TableError:
        return
    assert all(address >= 0 for _letter, _name, address in found)


def _symbols(number: int) -> list[tuple[str, str, int]]:
    return [("t", f"f{index % 7}", kernel_image.BASE + 16 * index) for index in range(number)]


def image_seed(late: bool) -> bytes:
    data = bytes(64) + kernel_image.symbol_tables(_symbols(300), late=late)
    return kernel_image.elf([(kernel_image.BASE, data, len(data))])


# ---- the kernel's build ----


def read_build(data: bytes) -> None:
    """Files that the kernel's build leaves: exports, saved commands, a configuration."""
    exports, command, options = parts(data, 3)
    text = command.decode("utf-8", "surrogateescape")
    saved_command.read_made(text)
    saved_command.read_recipes(text)
    wanted = config.parse(options.decode("utf-8", "replace"))
    assert not config.differences(wanted, wanted)
    read_symvers(scratch("Module.symvers", exports))


BUILD = PART.join(
    [
        b"0x1234abcd\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n0x00000001\tkvm_f\tarch/x86/kvm/kvm\tEXPORT_SYMBOL_GPL\tKVM\n",
        b"savedcmd_a.o := gcc -Wp,-MMD,./.a.o.d -I. -c -o a.o a.c\n\nsource_a.o := a.c\n\ndeps_a.o := \\\n"
        b"    $(wildcard include/config/X) \\\n  a.h \\\n",
        b'CONFIG_X86=y\n# CONFIG_KASAN is not set\nCONFIG_CC_VERSION_TEXT="gcc-12 (Debian 12.2.0-14) 12.2.0"\n',
    ]
)

READERS = {
    "patch": Reader(read_patch, lambda: [("git", PATCH), ("old_style", OLD_STYLE)]),
    "source": Reader(read_source, lambda: [("sources", SOURCES)]),
    "object": Reader(read_object, list, 16384),
    "second_reader": Reader(read_second, list, 16384),
    "finished_module": Reader(read_finished, list, 32768),
    "debug": Reader(read_debug, list, 16384),
    "image": Reader(read_image, lambda: [("early", image_seed(False)), ("late", image_seed(True))], 16384),
    "symbol_table": Reader(
        read_symbol_table,
        lambda: [
            ("early", bytes(64) + kernel_image.symbol_tables(_symbols(300))),
            ("late", bytes(64) + kernel_image.symbol_tables(_symbols(300), late=True)),
        ],
        16384,
    ),
    "build": Reader(read_build, lambda: [("kbuild", BUILD)]),
}
