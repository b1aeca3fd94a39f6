# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON that comes from elsewhere: packages, records on a disk, answers of hosts.

Python's own reader takes more than RFC 8259 has, and fails in more ways than by ``ValueError``: at 1,000 brackets in
one another it raises ``RecursionError``, ``NaN`` and ``1e999`` become numbers that no other reader takes, and half of a
surrogate pair becomes a string that cannot be written to a file.
"""

from __future__ import annotations

import json
import math
import os
import re
import typing as t

DEEPEST = 64  # tables and lists in one another; a plan has 6
HALF = re.compile(r"\\u[dD][89a-fA-F]")  # an escape of a surrogate, which stands for something only in a pair


def parse(content: bytes) -> t.Any:
    """What the JSON in UTF-8 says.

    Raises ``ValueError`` for all that is none, and for what is nested deeper than ``DEEPEST``.
    """
    text = content.decode("utf-8")
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if _is_deep(value):
        raise ValueError("it is nested too deeply")
    if HALF.search(text):
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # UnicodeEncodeError is a ValueError
    return value


def read(path: str | os.PathLike[str]) -> t.Any:
    """What a file says.  Raises ``OSError`` if it cannot be read, and ``ValueError`` as ``parse`` does."""
    with open(path, "rb") as file:
        return parse(file.read())


def exact(value: t.Any, **options: t.Any) -> bytes:
    """JSON that ``parse`` reads as the same value; ``options`` are those of ``json.dumps``.

    Raises ``ValueError`` for a number that JSON has not (``nan``, ``inf``).
    """
    return json.dumps(value, allow_nan=False, **options).encode()


def is_same(value: t.Any, wanted: t.Any) -> bool:
    """Whether a value is the text or number that is wanted, and none that Python only takes for equal.

    So ``true`` and ``1.0`` are not the format 1.  What Ansible marks with where it comes from is of a type of its own,
    which is made from ``str`` or ``int``.
    """
    alike = isinstance(value, type(wanted)) and isinstance(value, bool) is isinstance(wanted, bool)
    return alike and bool(value == wanted)


def is_whole(value: t.Any) -> bool:
    """Whether a value is a whole number; Python's ``True`` is an ``int``, and none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: t.Any) -> bool:
    """Whether a value is a number that JSON has."""
    return is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def write(value: t.Any, **options: t.Any) -> bytes:
    """JSON in UTF-8 that ``parse`` reads, also of what a broken host says; ``options`` are those of ``json.dumps``.

    What cannot be said in JSON is written as text: half of a surrogate pair, as the name of a file that is no UTF-8
    has it, as ``\\udcff``, ``nan`` and ``inf`` by their names, what is nested too deeply as ``...``.
    """
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False, **options).encode()


def plain(value: t.Any) -> t.Any:
    """The value with text in the place of all that cannot be said in JSON, as ``write`` writes it."""
    return _plain(value, DEEPEST)


def _plain(value: t.Any, levels: int) -> t.Any:
    if isinstance(value, (dict, list, tuple)):
        if not levels:
            return "..."
        if isinstance(value, dict):
            return {_plain(str(key), 0): _plain(child, levels - 1) for key, child in value.items()}
        return [_plain(child, levels - 1) for child in value]
    if isinstance(value, int) and value.bit_length() > 64:
        return hex(value)  # Python reads no number of more than 4,300 digits
    if value is None or isinstance(value, bool) or is_number(value):
        return value
    return str(value).encode(errors="backslashreplace").decode()


def _no_number(word: str) -> t.NoReturn:
    raise ValueError(f"{word} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large")
    return number


def _is_deep(value: t.Any) -> bool:
    level = [value]
    for _depth in range(DEEPEST):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node if isinstance(node, list) else ())
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True
