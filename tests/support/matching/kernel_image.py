# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""For tests of the image reader: writes symbol tables, ELF kernels and boot images as the kernel's build does."""

from __future__ import annotations

import re
import struct

BASE = 0xFFFFFFFF81000000
NOTE = struct.pack("<III", 4, 20, 3) + b"GNU\0" + bytes(range(20))


def _aligned(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def symbol_tables(symbols, *, late=False, sequences=True, absolute_percpu=True) -> bytes:
    """What scripts/kallsyms.c writes for ``[(type letter, name, address)]`` in ascending order.

    ``late``: in the order of 6.4 and later; ``sequences``: with seqs_of_names.
    """
    tokens = {bytes([code]): code for code in range(33, 127)}
    tokens.update({pair: code for code, pair in enumerate((b"_a", b"fun", b"ction", b"sym", b"__"), 128)})
    token = re.compile(b"|".join(re.escape(text) for text in sorted(tokens, key=len, reverse=True)))
    table = b"".join({code: text for text, code in tokens.items()}.get(code, b"") + b"\0" for code in range(256))
    index = [0]
    for text in table.split(b"\0")[:255]:
        index.append(index[-1] + len(text) + 1)
    names, markers = bytearray(), []
    for number, (letter, name, _address) in enumerate(symbols):
        if number % 256 == 0:
            markers.append(len(names))
        codes = bytes(tokens[text] for text in token.findall((letter + name).encode()))
        length = len(codes)
        names += bytes([length]) if length < 128 else bytes([length & 127 | 128, length >> 7])
        names += codes
    base = min((address for letter, _name, address in symbols if letter != "A"), default=BASE)
    if absolute_percpu:
        offsets = [address if letter == "A" else base - 1 - address for letter, _name, address in symbols]
    else:
        offsets = [address - base for _letter, _name, address in symbols]
    addresses = _aligned(struct.pack(f"<{len(offsets)}{'i' if absolute_percpu else 'I'}", *offsets))
    relative_base = struct.pack("<Q", base)
    start = (
        struct.pack("<Q", len(symbols)) + _aligned(bytes(names)) + _aligned(struct.pack(f"<{len(markers)}I", *markers))
    )
    order = sorted(range(len(symbols)), key=lambda number: symbols[number][1])
    seqs = _aligned(b"".join(number.to_bytes(3, "big") for number in order)) if sequences else b""
    end = _aligned(table) + struct.pack("<256H", *index)
    if late:
        return start + end + addresses + relative_base + seqs
    return addresses + relative_base + start + seqs + end


def elf(segments, note=NOTE, machine=62) -> bytes:
    """An ELF kernel of ``[(address, data, size in memory)]`` and a segment of notes."""
    rows = [(1, address, data, size) for address, data, size in segments] + [(4, 0, note, len(note))]
    offset, headers, body = 64 + 56 * len(rows), b"", b""
    for kind, address, data, size in rows:
        headers += struct.pack("<IIQQQQQQ", kind, 5, offset + len(body), address, address, len(data), size, 8)
        body += data
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = struct.pack("<16sHHIQQQIHHHHHH", ident, 2, machine, 1, BASE, 64, 0, 0, 64, 56, len(rows), 0, 0, 0)
    return header + headers + body


def boot_image(payload: bytes, sectors=3, protocol=0x20F) -> bytes:
    """A bzImage with that payload, some bytes into its protected-mode part."""
    image = bytearray((sectors + 1) * 512 if sectors else 5 * 512)
    image[0x1F1] = sectors
    image[0x202:0x208] = b"HdrS" + struct.pack("<H", protocol)
    struct.pack_into("<II", image, 0x248, 0x2C4, len(payload))
    return bytes(image) + bytes(0x2C4) + payload + b"the rest"
