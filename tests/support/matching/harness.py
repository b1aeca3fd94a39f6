# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""For tests of the matcher: writes match programs by hand, and runs the matcher under ASan and UBSan."""

from __future__ import annotations

import ctypes
import dataclasses
import re
import struct
import subprocess
import zlib
from pathlib import Path

from ansible_collections.rebootless.splice.plugins.module_utils._common import match_program as layout
from ansible_collections.rebootless.splice.plugins.module_utils._common import matcher as binding
from ansible_collections.rebootless.splice.tests.support.places import KMOD

MATCHER = ("matcher/match.c", "matcher/check.c", "arch/x86/forms.c")
ABS64, PC32, ABS32, ABS32S, PC8, PC64, INDIRECT_PC32, COPY64, COPY8 = range(1, 10)
WIDTH = {ABS64: 8, PC32: 4, ABS32: 4, ABS32S: 4, PC8: 1, PC64: 8, INDIRECT_PC32: 4, COPY64: 8, COPY8: 1}
RELATIVE = (PC32, PC8, PC64)
RELOCATION, FENTRY, RETURN = 0, 1, 2
# Codes by number, from the header that numbers them.
CODES = [name.lower() for name in re.findall(r"^RBL_CODE\((\w+)", (KMOD / "codes.h").read_text(), re.M)]
TEXT = layout.SECTION_TEXT | layout.SECTION_COMPARED


class Writer:
    """Builds the blob of a match program row by row; the places of a section are given with the section."""

    def __init__(self):
        self.strings, self.pool = bytearray(1), bytearray()
        self.sections, self.symbols, self.places, self.contents, self.relocs = [], [], [], [], []

    def string(self, text):
        if not text:
            return 0
        self.strings += text.encode() + b"\0"
        return len(self.strings) - 1 - len(text.encode())

    def bytes(self, data):
        self.pool += data
        return len(self.pool) - len(data)

    def section(self, name, data=None, places=(), unit="a.o", obj="vmlinux", size=0):
        """``places``: (offset, length, kind, [(bytes, [(offset, type, symbol, addend)])]), ascending."""
        first = len(self.places)
        for offset, length, kind, contents in places:
            self.places.append((offset, length, kind, len(self.contents), len(contents)))
            for content, relocs in contents:
                self.contents.append((self.bytes(content), len(self.relocs), len(relocs), 0))
                self.relocs += relocs
        names = [self.string(text) for text in (obj, unit, name)]
        if data is None:
            self.sections.append((*names, 0, size, layout.NONE, 0, 0))
        else:
            self.sections.append((*names, TEXT, len(data), self.bytes(data), first, len(places)))
        return len(self.sections) - 1

    def _symbol(self, name, obj, kind, flags, section, offset, size):
        self.symbols.append((self.string(name), self.string(obj), kind, flags, section, offset, size, 0))
        return len(self.symbols) - 1

    def glob(self, name, flags=0, obj="vmlinux"):
        return self._symbol(name, obj, layout.SYMBOL_GLOBAL, flags, layout.NONE, 0, 0)

    def local(self, section, offset, name="", flags=layout.SYMBOL_KALLSYMS, obj="vmlinux"):
        return self._symbol(name, obj, layout.SYMBOL_LOCAL, flags if name else 0, section, offset, 0)

    def literal(self, data, flags=0):
        return self._symbol("", "", layout.SYMBOL_LITERAL, flags, layout.NONE, self.bytes(data), len(data))

    def serialize(self):
        body, tables, offset = b"", [], layout.HEADER.size
        parts = [
            (b"".join(row.pack(*values) for values in getattr(self, name)), len(getattr(self, name)))
            for name, row in layout.ROWS.items()
        ]
        for data, count in [*parts, (bytes(self.strings), len(self.strings)), (bytes(self.pool), len(self.pool))]:
            tables += [offset + len(body), count]
            body += data + bytes(-len(data) % 8)
        blob = layout.HEADER.pack(layout.MAGIC, layout.VERSION, layout.HEADER.size + len(body), 0, 0, *tables) + body
        return seal(blob)


def seal(blob):
    """The program with the checksum that its bytes have."""
    blob = blob[:16] + bytes(4) + blob[20:]
    return blob[:16] + struct.pack("<I", zlib.crc32(blob)) + blob[20:]


def field(kind, value, addend, address):
    """The bytes of a relocated field."""
    number = value + addend - (address if kind in RELATIVE else 0)
    return (number & (1 << 8 * WIDTH[kind]) - 1).to_bytes(WIDTH[kind], "little")


# Fields that are not made from their symbol's value, but from what stands there.
THROUGH_MEMORY = (INDIRECT_PC32, COPY64, COPY8)


def field_through(kind, pointed, address):
    """The bytes of such a field; ``pointed`` are the eight bytes at its symbol."""
    if kind == INDIRECT_PC32:
        return field(PC32, int.from_bytes(pointed, "little"), -4, address)
    return pointed[: WIDTH[kind]]


@dataclasses.dataclass
class Memory:
    """A target: ``regions`` of bytes by address, ``table`` of addresses by (name, object)."""

    regions: dict
    table: dict

    def prefetch(self, names):
        self.asked = names

    def read(self, address, length):
        for start, data in self.regions.items():
            if start <= address and address + length <= start + len(data):
                return bytes(data[address - start : address - start + length])
        return None

    def lookup(self, name, object_name):
        return self.table.get((name, object_name), [])


class Sanitized:
    """The matcher in a process of its own, under AddressSanitizer and UndefinedBehaviorSanitizer."""

    FLAGS = (
        *("-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror"),
        *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    )

    def __init__(self, directory):
        self._binary = Path(directory) / "driver"
        sources = [Path(__file__).with_name("driver.c"), *(KMOD / name for name in MATCHER)]
        subprocess.run(["gcc", *self.FLAGS, f"-I{KMOD / 'matcher'}", *sources, "-o", self._binary], check=True)
        self._log = Path(directory) / "driver.log"
        self._start()

    def _start(self):
        self._process = subprocess.Popen(
            [self._binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log.open("w")
        )
        assert self._process.stdin and self._process.stdout
        self._input, self._output = self._process.stdin, self._process.stdout

    def close(self):
        self._input.close()
        assert self._process.wait() == 0, self._log.read_text()
        self._output.close()

    def match(self, program, memory):
        """A ``MatchResult``, as ``Matcher.match`` gives; asserts that no sanitizer complained."""
        case = [struct.pack("<I", len(program)), program, struct.pack("<I", len(memory.regions))]
        for address, data in memory.regions.items():
            case += [struct.pack("<QI", address, len(data)), bytes(data)]
        names = [row for row in self._names(program, memory) if row[1]]
        case.append(struct.pack("<I", len(names)))
        for symbol, found in names:
            case.append(struct.pack(f"<II{len(found)}Q", symbol, len(found), *found))
        try:
            self._input.write(b"".join(case))
            self._input.flush()
            code, sections, symbols = struct.unpack("<III", self._take(12))
            report = binding._Report.from_buffer_copy(self._take(ctypes.sizeof(binding._Report)))
            bases = list(struct.unpack(f"<{sections}Q", self._take(8 * sections)))
            values = list(struct.unpack(f"<{symbols}Q", self._take(8 * symbols)))
            known = self._take(symbols)
        except (BrokenPipeError, EOFError):
            self._process.wait()
            log = self._log.read_text()
            self._start()
            raise AssertionError(f"the matcher crashed:\n{log}") from None
        return binding.make_result((CODES[code], "", ""), report, bases, values, known)

    def _take(self, size):
        data = self._output.read(size)
        if len(data) != size:
            raise EOFError
        return data

    @staticmethod
    def _names(program, memory):
        try:
            view = layout.Program(program)
        except Exception:
            return []
        return [(i, sorted(memory.lookup(s.name, s.object))) for i, s in enumerate(view.symbols) if s.in_symbol_table]
