# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random kernels for the property tests: a match program, and a memory and symbol table in which it matches."""

from __future__ import annotations

import random

from ansible_collections.rebootless.splice.tests.support.matching import harness

START = 0xFFFFFFFF81000000
KINDS = (harness.RELOCATION, harness.FENTRY, harness.RETURN, 6)


class World:
    """``program`` and ``memory`` match, with the true ``bases`` (by section) and ``values`` (by symbol).

    ``spots`` are the places as they stand in memory: (address, length, kind, relocs, [allowed bytes]);
    ``plain`` the addresses of bytes outside of them.
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.writer = harness.Writer()
        self.table: dict = {}
        self.values: dict = {}
        self.bases: dict = {}
        self.spots: list = []
        self.plain: list = []
        self.regions: dict = {}
        self._decoy_addresses: dict = {}
        self._next = START + self.rng.randrange(64) * 0x200000
        self._low = self._global(99, 0x1C000 + self.rng.randrange(0x1000))
        self._globals = [self._global(number) for number in range(self.rng.randint(2, 6))]
        self._literals = [self._literal() for _unused in range(self.rng.randint(0, 4))]
        self._data = [self._data_section(number) for number in range(self.rng.randint(0, 2))]
        sections = [self._reserve(number) for number in range(self.rng.randint(1, 4))]
        self._pointers = [self._pointer(number) for number in range(2)]
        for section in sections:
            self._text_section(*section)
        # A literal is known only from a reference, every other symbol here also from the table.
        self.writer.symbols = [
            (*row[:3], row[3] | (self.rng.randint(0, 1) if row[2] != 2 else 0), *row[4:]) for row in self.writer.symbols
        ]
        self.program = self.writer.serialize()

    def memory(self) -> harness.Memory:
        return harness.Memory({address: bytearray(data) for address, data in self.regions.items()}, self.table)

    def _place(self, size: int) -> int:
        address = self._next
        self._next += size + self.rng.randrange(1, 0x3000)
        return address

    def _global(self, number: int, address: int = 0) -> int:
        symbol = self.writer.glob(f"global{number}")
        address = address or self._place(64)
        self.table[f"global{number}", "vmlinux"] = [address]
        self.values[symbol] = address
        return symbol

    def _literal(self) -> int:
        data = self.rng.randbytes(self.rng.randint(6, 40))
        symbol = self.writer.literal(data)
        self.values[symbol] = self._place(len(data))
        self.regions[self.values[symbol]] = data
        return symbol

    def _data_section(self, number: int) -> int:
        section = self.writer.section(".data", size=256, unit=f"d{number}.o")
        self.bases[section] = self._place(256)
        self.writer.local(section, 16, f"data{number}")
        self.table[f"data{number}", "vmlinux"] = [self.bases[section] + 16]
        self.values[len(self.writer.symbols) - 1] = self.bases[section] + 16
        symbol = self.writer.local(section, self.rng.randrange(256))
        self.values[symbol] = self.bases[section] + self.writer.symbols[symbol][5]
        return symbol

    def _pointer(self, number: int) -> int:
        """A global whose memory points to another one: what indirect fields go through."""
        symbol = self._global(100 + number)
        goal = self.values[self.rng.choice(self._globals)]
        self.regions[self.values[symbol] + 8] = goal.to_bytes(8, "little")
        return symbol

    def _reserve(self, number: int) -> tuple[int, int, int]:
        size = self.rng.choice((64, 700, 4096, 5000, 9000)) + self.rng.randrange(100)
        base = self._place(size)
        # The rows of symbols come before their section's, so the section's index is foretold.
        section = len(self.bases)
        self.bases[section] = base
        for offset in (0, 48):
            name = f"function{number}_{offset}"
            symbol = self.writer.local(section, offset, name)
            self.values[symbol] = base + offset
            self.table[name, "vmlinux"] = [base + offset]
        if self.rng.random() < 0.4:
            self._decoys(section, f"function{number}_0", f"function{number}_48", size)
        return section, base, size

    def _decoys(self, section: int, first: str, second: str, size: int) -> None:
        """Other functions of the same names, elsewhere: with another first byte, or unreadable."""
        for _unused in range(self.rng.randint(1, 3)):
            address = self._place(size)
            self.table[first, "vmlinux"].insert(0, address)
            self.table[second, "vmlinux"].append(address + 48)
            if self.rng.random() < 0.7:
                self.regions[address] = self.rng.randbytes(size)
                self._decoy_addresses.setdefault(section, []).append(address)

    def _text_section(self, section: int, base: int, size: int) -> None:
        pre = bytearray(self.rng.randbytes(size))
        run, offset = bytearray(pre), 2
        places: list[tuple] = []
        self.plain.append(base + 1)
        for address in self._decoy_addresses.get(section, ()):
            self.regions[address] = bytes([pre[0] ^ 0xFF]) + self.regions[address][1:]
        while True:
            gap = self.rng.choice((0, 0, 1, 3, 9, 30) if places else (0, 1))
            length = self.rng.choice((1, 4, 5, 8, 12, 40))
            if offset + gap + length > size or len(places) > 200:
                break
            self.plain += range(base + offset, base + offset + gap)
            offset += gap
            if self.rng.random() < 0.05:
                offset += min(self.rng.randrange(3000), size - offset - length)
            places.append(self._random_place(base, offset, length, run))
            offset += length
        assert section == self.writer.section(".text", bytes(pre), places, unit=f"u{section}.o")
        self.regions[base] = run

    def _random_place(self, base: int, offset: int, length: int, run: bytearray) -> tuple:
        single = self.rng.random() < 0.5
        contents, allowed = [], []
        for _unused in range(1 if single else self.rng.randint(2, 4)):
            content, relocs = bytearray(self.rng.randbytes(length)), []
            concrete = bytearray(content)
            kinds = [kind for kind, width in harness.WIDTH.items() if width <= length and kind != harness.PC8]
            if kinds and self.rng.random() < (0.9 if single else 0.5):
                kind = self.rng.choice(kinds)
                at = self.rng.randrange(length - harness.WIDTH[kind] + 1)
                relocs.append(self._random_reloc(kind, at))
                concrete[at : at + harness.WIDTH[kind]] = self._field(relocs[0], base + offset + at)
            contents.append((bytes(content), relocs))
            allowed.append(bytes(concrete))
        kind = self.rng.choice(KINDS[:1] if single else KINDS[1:])
        run[offset : offset + length] = self.rng.choice(allowed)
        self.spots.append((base + offset, length, kind, contents[0][1] if single else None, allowed))
        return offset, length, kind, contents

    def _random_reloc(self, kind: int, at: int) -> tuple:
        if kind in harness.THROUGH_MEMORY:
            return at, kind, self.rng.choice(self._pointers), 8
        if kind == harness.ABS32:
            return at, kind, self._low, 4
        symbols = [symbol for symbol in self.values if symbol not in self._pointers]
        return at, kind, self.rng.choice(symbols), self.rng.choice((-4, 0, 4, 0x30))

    def _field(self, reloc: tuple, address: int) -> bytes:
        at, kind, symbol, addend = reloc
        if kind not in harness.THROUGH_MEMORY:
            return harness.field(kind, self.values[symbol], addend, address)
        pointer = self.regions[self.values[symbol] + addend]
        return harness.field_through(kind, pointer, address)
