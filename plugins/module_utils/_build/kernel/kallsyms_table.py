# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's own symbol table, decoded from an image.

A distribution's vmlinux has no ELF symbols left, but the tables behind ``/proc/kallsyms`` are in its ``.rodata``, in
an order that changed with 6.4 and without any label.  They are found by what they must look like, and every step is
proved by the next table: nothing is taken on a guess.  Each table begins at a multiple of 8:

    up to 6.3   offsets, relative_base, num_syms, names, markers, [seqs_of_names,] token_table, token_index
    from 6.4    num_syms, names, markers, token_table, token_index, offsets, relative_base, seqs_of_names

Sources: scripts/kallsyms.c (``write_src``), kernel/kallsyms.c (``kallsyms_expand_symbol``, ``kallsyms_sym_address``).
"""

from __future__ import annotations

import struct

TOKENS = 256  # strings in the token table
BLOCK = 256  # symbols from one marker to the next
MAX_SYMBOLS = 1 << 21
MAX_TRIES = 64  # places that begin like a table; a kernel has one or two
MAX_TOKEN_TABLE = 8192  # bytes; offsets into it are 16-bit, real ones have about 1 KiB
DIGITS = b"".join(b"%d\0" % digit for digit in range(10))  # characters in use are tokens of their own
KERNEL_HALF = 1 << 63


class TableError(ValueError):
    """The tables were not found, or contradict one another."""


def decode(data: bytes) -> list[tuple[str, str, int]]:
    """All symbols as (type letter, name, address), in the table's order (by address), from the bytes of a segment that
    holds the tables.  Raises ``TableError``.
    """
    token_table, token_index, tokens = _find_tokens(data)
    number, names, markers = _find_names(data, token_table)
    addresses = _addresses_before(data, names - 8, number) or _addresses_after(data, token_index + 2 * TOKENS, number)
    if addresses is None:
        raise TableError("no table of addresses beside the table of names")
    symbols = []
    position = names
    for address in addresses:
        start, position = _name_bounds(data, position)
        text = b"".join([tokens[code] for code in data[start:position]]).decode("utf-8", "replace")
        symbols.append((text[:1], text[1:], address))
    return symbols


def _align(position: int) -> int:
    return position + 7 & ~7


def _find_tokens(data: bytes) -> tuple[int, int, list[bytes]]:
    """Where the token table and the token index are, and the tokens.  The index proves the table."""
    digits = data.find(DIGITS)
    for _unused in range(MAX_TRIES):
        if digits < 0:
            break
        for start in range(digits & ~7, max(digits - MAX_TOKEN_TABLE, -1), -8):
            tokens = data[start : start + MAX_TOKEN_TABLE].split(b"\0", TOKENS)[:TOKENS]
            offsets = [0]
            for token in tokens:
                offsets.append(offsets[-1] + len(token) + 1)
            if len(tokens) < TOKENS or start + offsets[ord("0")] != digits:
                continue
            index = _align(start + offsets.pop())
            if data[index : index + 2 * TOKENS] == struct.pack(f"<{TOKENS}H", *offsets):
                return start, index, tokens
        digits = data.find(DIGITS, digits + 1)
    raise TableError("no token table")


def _find_names(data: bytes, token_table: int) -> tuple[int, int, int]:
    """Number of symbols, where their names begin, and where the markers are.

    Between the markers and the token table there may be 3 bytes for each symbol (``seqs_of_names``, backported to 6.1).
    """
    for end in range(token_table, max(token_table - 3 * MAX_SYMBOLS, 0), -8):
        # Without seqs_of_names the number of markers is open; with it, it follows from the distance.
        number = (token_table - end) // 3 or None
        for markers, count in _marker_tables(data, end, number):
            found = _names_before(data, markers, count)
            if found and (number is None or _align(3 * found[0]) == token_table - end):
                return (*found, markers)
    raise TableError("no table of names")


def _marker_tables(data: bytes, end: int, number: int | None):
    """(start, count) of each ascending row of integers from 0 on that ends, but for padding, at ``end``."""
    for last in (end - 4, end - 8):
        if number is not None:
            # The distance tells the number of symbols up to 7 bytes of padding.
            counts = {-(-n // BLOCK) for n in range(max(number - 2, 1), number + 1)}
            for count in counts:
                start = last + 4 - 4 * count
                if start >= 0 and start % 8 == 0 and _ascending(data, start, count):
                    yield start, count
            continue
        position = last
        while position >= 0 and struct.unpack_from("<I", data, position)[0]:
            position -= 4
        count = (last - position) // 4 + 1
        if position >= 0 and position % 8 == 0 and count > 1 and _ascending(data, position, count):
            yield position, count


def _ascending(data: bytes, start: int, count: int) -> bool:
    """Whether each block of names takes at least 2 bytes a symbol: a length and a type."""
    if data[start : start + 4] != bytes(4):
        return False
    row = struct.unpack_from(f"<{count}I", data, start)
    return all(later - earlier >= 2 * BLOCK for earlier, later in zip(row, row[1:]))


def _names_before(data: bytes, markers: int, count: int) -> tuple[int, int] | None:
    """Number of symbols and start of the names that end where ``markers`` begin and agree with each marker."""
    row = struct.unpack_from(f"<{count}I", data, markers)
    for names in range(markers - row[-1] & ~7, max(markers - row[-1] - 0x4000 * BLOCK, 8), -8):
        (number,) = struct.unpack_from("<Q", data, names - 8)
        if -(-number // BLOCK) != count:
            continue
        position = names
        for symbol in range(number):
            if symbol % BLOCK == 0 and position - names != row[symbol // BLOCK]:
                break
            position = _name_bounds(data, position)[1]
            if position > markers:
                break
        else:
            if _align(position) == markers:
                return number, names
    return None


def _name_bounds(data: bytes, position: int) -> tuple[int, int]:
    """Start and end of the codes of the name at ``position``, before which goes their number in ULEB128."""
    length = data[position]
    if length & 0x80:
        return position + 2, position + 2 + (length & 0x7F | data[position + 1] << 7)
    return position + 1, position + 1 + length


def _addresses_before(data: bytes, num_syms: int, number: int) -> list[int] | None:
    offsets = num_syms - 8 - _align(4 * number)
    return _addresses(data, offsets, num_syms - 8, number) if offsets >= 0 else None


def _addresses_after(data: bytes, offsets: int, number: int) -> list[int] | None:
    return _addresses(data, offsets, offsets + _align(4 * number), number)


def _addresses(data: bytes, offsets: int, relative_base: int, number: int) -> list[int] | None:
    """The addresses, if these are offsets and their base: then they ascend, as the table is sorted.

    With CONFIG_KALLSYMS_ABSOLUTE_PERCPU (until 6.14) offsets from 0 on are absolute, and negative ones count down from
    base - 1; else all are unsigned distances from base.
    """
    if relative_base + 8 > len(data):
        return None
    (base,) = struct.unpack_from("<Q", data, relative_base)
    if base < KERNEL_HALF:
        return None
    raw = struct.unpack_from(f"<{number}i", data, offsets)
    for addresses in (
        [offset if offset >= 0 else base - 1 - offset for offset in raw],
        [base + (offset & 0xFFFFFFFF) for offset in raw],
    ):
        if addresses[-1] >= base and all(earlier <= later for earlier, later in zip(addresses, addresses[1:])):
            return addresses
    return None
