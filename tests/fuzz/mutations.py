# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of sound inputs that are likely to hurt: the same ones in each run, for the unit tests."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence

# Numbers at the edge of what fields hold; as text, what Python's own readers stumble over.
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 62, 1 << 63, (1 << 64) - 1)
WORDS = (
    *(
        b"",
        b"\0",
        b"\n",
        b" ",
        b"\r\n",
        b"\xff",
        b"\xf0\x9f",
        b"0x",
        b"-1",
        b"1e999",
        b"NaN",
        b"Infinity",
        b"null",
        b"true",
    ),
    *(b"{}", b"[]", b'""', b'"\\ud800"', b"9" * 5000, b"[" * 2000, b'{"a":' * 2000, b"\xd9\xa3", b"1.5", b'"\\u0000"'),
    *(
        b"../",
        b"/dev/null",
        b"\\",
        b'"',
        b"'",
        b"(",
        b")",
        b"{",
        b"}",
        b"#",
        b"*/",
        b"@@ -1 +1 @@\n",
        b"--- a/\0\n",
        b"{0}",
    ),
)
SEPARATORS = b' ,:\n\t"'


def mutations(inputs: Sequence[bytes], count: int, longest: int, seed: str) -> Iterator[bytes]:
    """``count`` changed inputs, none longer than ``longest`` bytes; each seed has its own."""
    rng = random.Random(seed)
    for _unused in range(count):
        data = bytearray(rng.choice(inputs))
        for _again in range(rng.choice((1, 1, 1, 2, 4))):
            _mutate(data, rng, inputs)
        yield bytes(data[:longest])


def _mutate(data: bytearray, rng: random.Random, inputs: Sequence[bytes]) -> None:
    at = rng.randrange(len(data) + 1)
    size = min(rng.choice((1, 2, 4, 8, 8, 40, 400)), len(data) - at)
    kind = rng.randrange(7)
    if kind == 0:
        data[at:] = b""
    elif kind == 1:
        del data[at : at + size]
    elif kind == 2:
        data[at:at] = data[at : at + size] * rng.choice((1, 2, 20))
    elif kind == 3 and size:
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 4:
        other = rng.choice(inputs)
        start = rng.randrange(len(other) + 1)
        data[at : at + size] = other[start : start + size]
    elif kind == 5:
        width = rng.choice((1, 2, 4, 8))
        at -= at % width
        data[at : at + width] = struct.pack("<Q", rng.choice(EDGES))[:width]
    else:
        start, end = _word_at(data, at)
        data[start:end] = rng.choice(WORDS)


def _word_at(data: bytearray, at: int) -> tuple[int, int]:
    """A word of a text, such as one number of JSON."""
    start = end = at
    while start and data[start - 1] not in SEPARATORS and at - start < 60:
        start -= 1
    while end < len(data) and data[end] not in SEPARATORS and end - at < 60:
        end += 1
    return start, end
