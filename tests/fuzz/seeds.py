# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What fuzzers begin with: sound inputs, those of the helper module in the layout of ``tests/fuzz/kernel``."""

from __future__ import annotations

import struct
import typing as t
from collections.abc import Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._common import match_program as layout
from ansible_collections.rebootless.splice.plugins.module_utils._common import module_signature
from ansible_collections.rebootless.splice.tests.support.matching.harness import (
    ABS64,
    FENTRY,
    PC32,
    RELOCATION,
    Writer,
    field,
)
from ansible_collections.rebootless.splice.tests.support.matching.world import World

MODULE = 0xFFFF  # in a table of pointers: struct module itself
TEXT, KERNEL = 0x40001000, 0x41000000  # of update.c
ELF_HEADER, ELF_IDENT = struct.Struct("<16sHHIQQQIHHHHHH"), b"\x7fELF\x02\x01\x01" + bytes(9)
BUILD_ID = bytes(range(1, 21))


def program_of(number: int) -> bytes:
    """The match program of a random kernel."""
    return World(number).program


def program_seed(number: int) -> bytes:
    """A match program with a memory and a symbol table in which it matches."""
    world = World(number)
    memory = world.memory()
    regions = [(at, bytes(data)) for at, data in memory.regions.items()]
    rows = [
        (index, address)
        for index, symbol in enumerate(layout.Program(world.program).symbols)
        if symbol.in_symbol_table
        for address in memory.lookup(symbol.name, symbol.object)
    ]
    head = [struct.pack("<B", len(regions)), *(struct.pack("<QH", at, len(data)) + data for at, data in regions)]
    table = [struct.pack("<B", len(rows)), *(struct.pack("<HQ", *row) for row in rows)]
    return b"".join(head + table) + world.program


class Image:
    """A module as update.c takes it: text, then data, with pointers from one place to another."""

    def __init__(self, text: bytes) -> None:
        self.text_size = len(text)
        self.image = bytearray(text)
        self.pointers: list[tuple[int, int]] = []

    def add(self, data: bytes, align: int = 8) -> int:
        """Where the data is put, counted from the image's begin; aligned as the module loader does it."""
        self.image += bytes(-(len(self.image) - self.text_size) % align)
        self.image += data
        return len(self.image) - len(data)

    def string(self, text: str) -> int:
        return self.add(text.encode() + b"\0", 1)

    def row(self, layout_: str, *values: int | None) -> tuple[bytes, list[tuple[int, int]]]:
        """A structure; its pointers (P) are offsets in the image, None for NULL."""
        data, pointers = b"", []
        for kind, value in zip(layout_, values, strict=True):
            if kind == "P":
                if value is not None:
                    pointers.append((len(data), value))
                data += bytes(8)
            else:
                data += struct.pack("<" + kind, value)
        return data, pointers

    def table(self, rows: list[tuple[bytes, list[tuple[int, int]]]]) -> int | None:
        """Where the rows are; None if there are none."""
        if not rows:
            return None
        at = self.add(b"".join(data for data, _pointers in rows))
        size = len(rows[0][0])
        for number, (_data, pointers) in enumerate(rows):
            self.pointers += [(at + number * size + place, to) for place, to in pointers]
        return at


class Code(t.NamedTuple):
    """Where in the kernel an object has the function that is replaced, and the constants that are exchanged."""

    function: int
    constants: int


# As update.c divides the kernel's memory among text, data, and the text and data of a module.
CODE = {"vmlinux": Code(0x100, 0x200), "kvm_amd": Code(0x410, 0x510)}
CALLED = 0x180
NAMES: tuple[tuple[int, str], ...] = ((0x100, "victim"), (0x120, "next"), (CALLED, "called"), (0x200, "table"))
NAMES += ((0x410, "victim"), (0x430, "next"), (0x510, "table"))
MEMORY = 0x540
FUNCTION = bytes.fromhex("0f1f440000") + b"\xe8" + bytes(4) + b"\x90" * 22 + b"\xc3"
CONSTANTS = bytes(range(16))


def _program(object_name: str) -> bytes:
    """A match program of an object with a function and constants."""
    writer = Writer()
    called = writer.glob("called", layout.SYMBOL_NEEDED)
    flags = layout.SYMBOL_KALLSYMS | layout.SYMBOL_NEEDED
    writer.local(1, 0, "victim", flags, object_name)
    writer.local(2, 0, "table", flags, object_name)
    writer.section(".data", size=64, obj=object_name)
    places = [
        (0, 5, FENTRY, [(FUNCTION[:5], [])]),
        (5, 5, RELOCATION, [(b"\xe8" + bytes(4), [(1, PC32, called, -4)])]),
    ]
    writer.section(".text", FUNCTION, places, obj=object_name)
    pointer = [(0, 8, RELOCATION, [(bytes(8), [(0, ABS64, called, 0)])])]
    writer.section(".rodata", CONSTANTS, pointer, obj=object_name)
    writer.sections[2] = (*writer.sections[2][:3], layout.SECTION_COMPARED, *writer.sections[2][4:])
    return writer.serialize()


def _memory() -> bytes:
    """The kernel's memory, in which each object of ``CODE`` is as its program says."""
    memory = bytearray(MEMORY)
    for code in CODE.values():
        at = code.function
        memory[at : at + len(FUNCTION)] = FUNCTION
        memory[at + 6 : at + 10] = field(PC32, KERNEL + CALLED, -4, KERNEL + at + 6)
        memory[code.constants : code.constants + 16] = (KERNEL + CALLED).to_bytes(8, "little") + CONSTANTS[8:]
    return bytes(memory)


def update_seed(objects: tuple[str, ...] = ("vmlinux",), first_field: int = 6) -> bytes:
    """An update module that replaces a function, exchanges constants, and has fields for the helper to write."""
    image = Image(FUNCTION)
    image.image[first_field : first_field + 4] = field(PC32, 0, -4, TEXT + first_field)
    rows: list[t.Any] = []
    for object_name in objects:
        pointer = image.add(bytes(8))
        program = _program(object_name)
        at = image.add(program)
        datum = image.add(CONSTANTS)
        functions = [image.row("PPIIII", image.string("victim"), 0, 1, len(FUNCTION), image.text_size, 5)]
        data = [image.row("PPII", image.string("table"), datum, 2, len(CONSTANTS))]
        fixups = [image.row("PIIq", pointer, ABS64, 0, 0)]
        if not rows:
            fixups.append(image.row("PIIq", first_field, PC32, 0, -4))
        tables = [image.table(table) for table in (functions, data, fixups)]
        counts = (len(program), len(functions), len(data), len(fixups), 0, 0, 0, 0)
        rows.append(image.row("PPPPPPPIIIIIIII", image.string(object_name), at, *tables, None, None, *counts))
    texts = [image.string(text) for text in ("cve-2026-1", "1.0", "ab" * 32)]
    table = image.table(rows)
    descriptor = image.row("IIPPPPIIPP", 2, len(rows), *texts, image.add(BUILD_ID), 20, 0, table, MODULE)
    at = image.add(b"")
    image.table([descriptor])
    head = struct.pack("<HHB", at, image.text_size, len(image.pointers))
    pointers = b"".join(struct.pack("<HH", *row) for row in image.pointers)
    names = b"".join(struct.pack("<HB", at, len(text)) + text.encode() for at, text in NAMES)
    memory = _memory()
    kernel = struct.pack("<H", len(memory)) + memory
    return head + pointers + struct.pack("<B", len(NAMES)) + names + kernel + bytes(image.image)


def note_seed(build_id: bytes = BUILD_ID) -> bytes:
    """A kernel's notes: one of Linux, then its build ID."""
    first = struct.pack("<III", 6, 4, 0x100) + b"Linux\0\0\0" + bytes(4)
    return first + struct.pack("<III", 4, len(build_id), 3) + b"GNU\0" + build_id + bytes(-len(build_id) % 4)


def core_seed() -> bytes:
    """What /proc/kcore begins with, and eight bytes of a kernel."""
    header = ELF_HEADER.pack(ELF_IDENT, 4, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 7, 64 + 56, 0xFFFFFFFF81000000, 0, 8, 8, 4096)
    return header + segment + FUNCTION[:8]


def elf_seed() -> bytes:
    """A module file with nothing but what it says of itself."""
    contents = [
        (b"", b""),
        (b".modinfo", b"name=rbl_u\0vermagic=6.1.0-50-cloud-amd64 SMP\0"),
        (b".note.gnu.build-id", note_seed()[-36:]),
    ]
    names = b"\0".join(name for name, _content in contents) + b"\0.shstrtab\0"
    contents.append((b".shstrtab", names))
    rows, body = b"", b""
    for name, content in contents:
        rows += struct.pack("<IIQQQQIIQQ", names.index(name + b"\0"), 1, 0, 0, 64 + len(body), len(content), 0, 0, 1, 0)
        body += content
    header = ELF_HEADER.pack(ELF_IDENT, 1, 62, 1, 0, 0, 64 + len(body), 0, 64, 0, 0, 64, len(contents), 3)
    return header + body + rows


def signature_seed() -> bytes:
    """A module with a signature that names its signer as scripts/sign-file does; nothing would verify it."""
    identifier = _der(0x30, _der(0x30, b""), _der(0x02, b"\x00\xf0\xa1"))
    info = _der(0x30, _der(0x02, b"\x01"), identifier, _der(0x04, bytes(200)))
    content = _der(0x30, _der(0x06, b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"))
    signed = _der(0x30, _der(0x02, b"\x01"), _der(0x31), content, _der(0x31, info))
    message = _der(0x30, _der(0x06, b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"), _der(0xA0, signed))
    return module_signature.append(elf_seed(), message)


def _der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    return bytes((tag, size) if size < 0x80 else (tag, 0x82, size >> 8, size & 0xFF)) + content


def shared_name_seed(length: int = 1 << 22, count: int = 65000) -> bytes:
    """An ELF file with ``count`` sections, all of which have the same name of ``length`` bytes; none is that long."""
    names = b"\0" + b"a" * length + b"\0"
    header = ELF_HEADER.pack(ELF_IDENT, 1, 62, 1, 0, 0, 64 + len(names), 0, 64, 0, 0, 64, count, 0)
    return header + names + struct.pack("<IIQQQQIIQQ", 1, 3, 0, 0, 64, len(names), 0, 0, 1, 0) * count


def seeds(parser: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of each input that a fuzzer of ``native.PARSERS`` begins with."""
    if parser == "program":
        # The worlds whose memories are small.
        worlds = ((f"world{number}", program_seed(number)) for number in range(60))
        yield from sorted(worlds, key=lambda row: len(row[1]))[:8]
    elif parser == "update":
        yield "vmlinux", update_seed()
        yield "absent_module", update_seed(objects=("vmlinux", "kvm"))
        yield "two_objects", update_seed(objects=("vmlinux", "kvm_amd"))
        yield "module", update_seed(objects=("kvm_amd",))
        # What is at the begin of a module's memory has nothing before it.
        yield "field_at_begin", update_seed(first_field=0)
    elif parser == "control":
        commands = ("apply", "apply 60\n", "extend 3600", "confirm", "reverse", "reverse force", "forget")
        for command in (*commands, "apply 60 signal", "apply refuse", "reverse signal", "reverse  wait"):
            yield command.strip().replace(" ", "_"), command.encode()
    elif parser == "notes":
        yield "build_id", note_seed()
