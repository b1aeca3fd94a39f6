# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replacement code as assembler source.

Bytes are ``.byte``, relocated fields ``.reloc offset, TYPE, symbol+addend``, so that the kernel's own build assembles,
checks (objtool) and links it like any other module, and no ELF file has to be written here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import (
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHF_WRITE,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement import late_static_keys
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.parts import (
    CarriedField,
    Chunk,
    Part,
    Replacement,
)

_LETTERS = ((SHF_ALLOC, "a"), (SHF_WRITE, "w"), (SHF_EXECINSTR, "x"))
_PER_LINE = 16
# objtool makes the first one, and complains about one that it did not make; the others are the helper's.  Such entries
# stand in a file of their own.
NOT_FOR_OBJTOOL = (late_static_keys.STATIC_CALLS, late_static_keys.JUMP_ENTRIES)


def described(part: Part) -> list[Chunk]:
    """The chunks that the descriptor of ``part`` points to, each once."""
    found = [row.chunk for row in part.functions if row.chunk]
    found += [row.chunk for row in part.data] + [row.chunk for row in part.hooks]
    found += part.jump_entries[:1]  # an array begins with its first entry
    found += [chunk for chunk, field in part.fixups]
    return list({id(chunk): chunk for chunk in found}.values())


class Listing:
    """The assembler text of a replacement, in two files.

    ``code`` is for objtool to read, ``tables`` is not.  ``handle(chunk)`` is the global name under which other files
    (the descriptor) know a chunk.
    """

    def __init__(self, replacement: Replacement):
        self.replacement = replacement
        self._numbers = {id(chunk): number for number, chunk in enumerate(replacement.chunks)}
        tables = [c for c in replacement.chunks if c.section.startswith(NOT_FOR_OBJTOOL)]
        self._handled = {id(chunk) for part in replacement.parts for chunk in described(part)}
        self._handled |= {id(f.target) for c in tables for f in c.fields if isinstance(f.target, Chunk)}
        code = [c for c in replacement.chunks if not c.section.startswith(NOT_FOR_OBJTOOL)]
        self.code = "\n".join(self._file(code))
        self.tables = "\n".join(self._file(tables))

    def handle(self, chunk: Chunk) -> str:
        """The chunk's global name."""
        return f"rbl_chunk_{self._numbers[id(chunk)]}"

    def _local(self, chunk: Chunk) -> str:
        """The chunk's name in its own file; gas makes relocations to the section of it, as it does for compilers.

        objtool takes a jump to a function's own symbol for a tail call.
        """
        return f".Lchunk_{self._numbers[id(chunk)]}"

    def _file(self, chunks: list[Chunk]) -> Iterator[str]:
        used = {f.target for c in chunks for f in c.fields if isinstance(f.target, str)}
        yield from (f".weak {quoted(name)}" for name in self.replacement.weak if name in used)
        here = {id(c) for c in chunks}
        for chunk in chunks:
            yield from self._chunk(chunk, here)
        yield from self._annotations(chunks)

    def _chunk(self, chunk: Chunk, here: set[int]) -> Iterator[str]:
        label, named = quoted(chunk.label), chunk.kind in ("function", "data")
        letters = "".join(letter for flag, letter in _LETTERS if chunk.flags & flag)
        yield ""
        yield f'.section {quoted(chunk.section)},"{letters}",@{"nobits" if chunk.nobits else "progbits"}'
        if chunk.align > 1:
            yield f".balign {chunk.align}"
        if id(chunk) in self._handled:
            yield f".globl {self.handle(chunk)}"
            yield f"{self.handle(chunk)}:"
        if named:
            yield f".type {label},@{'function' if chunk.kind == 'function' else 'object'}"
            yield f"{label}:"
        yield f"{self._local(chunk)}:"
        if chunk.nobits:
            yield f".skip {chunk.size}"
        elif chunk.kind == "entry":
            yield from self._entry(chunk, here)
        else:
            yield from _bytes(chunk.data)
            for field in chunk.fields:
                place = f"{self._local(chunk)}+{field.offset}"
                yield f".reloc {place}, {field.type.name}, {self._target(field, here)}"
        if named:
            yield f".size {label}, {chunk.size}"

    def _entry(self, chunk: Chunk, here: set[int]) -> Iterator[str]:
        """Fields of entries are expressions: objtool wants them to be relative to sections, which is what gas makes."""
        position = 0
        for field in chunk.fields:
            yield from _bytes(chunk.data[position : field.offset])
            if field.symbol is None and field.type.expression:
                yield field.type.expression.format(self._target(field, here))
            else:
                yield f".reloc ., {field.type.name}, {self._target(field, here)}"
                yield from _bytes(bytes(field.size))
            position = field.offset + field.size
        yield from _bytes(chunk.data[position:])

    def _annotations(self, chunks: Iterable[Chunk]) -> Iterator[str]:
        """Tells objtool which calls do not come back; it knows the kernel's own such functions only by their names."""
        ends = [(chunk, end) for chunk in chunks for end in chunk.never_returns_at]
        if ends:
            yield ""
            yield ".section .discard.unreachable"
        for chunk, end in ends:
            yield f".long {self._local(chunk)}+{end} - ."

    def _target(self, field: CarriedField, here: set[int]) -> str:
        if isinstance(field.target, str):
            name = quoted(field.target)
        else:
            name = self._local(field.target) if id(field.target) in here else self.handle(field.target)
        return f"{name}{field.addend:+d}" if field.addend else name


def _bytes(data: bytes) -> Iterator[str]:
    for start in range(0, len(data), _PER_LINE):
        yield ".byte " + ",".join(f"0x{byte:02x}" for byte in data[start : start + _PER_LINE])


def quoted(name: str) -> str:
    """A symbol or section as the assembler takes it: in quotes if it has other characters than names in C."""
    return name if name.replace(".", "_").replace("$", "_").isidentifier() else f'"{name}"'
