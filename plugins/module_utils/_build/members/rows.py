# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the functions of a unit do to the members of objects, also through accessors."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.rebootless.splice.plugins.module_utils._build.members.dump import Function
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.facts import EQUAL, TEST, BitFields, Row
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.reader import Reader, bit
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.values import Called, Parameter, constant


def rows_of(functions: Mapping[str, Function], bit_fields: BitFields) -> dict[str, list[Row]]:
    """All rows of each function.

    ``bit_fields(member, at, mask)`` has those of a struct that the ``mask`` from bit ``at`` covers, each with its
    value.  What a function does with a number that its caller gives is the caller's: ``sock_set_flag (sk, 25)``.
    """
    readers = {name: Reader(function, bit_fields) for name, function in functions.items()}
    found = {name: list(reader.rows()) for name, reader in readers.items()}
    _ask_through_accessors(readers, found)
    waiting = {name: [row for row in rows if isinstance(row.fact.number, Parameter)] for name, rows in found.items()}
    for _level in range(3):  # as deep as the kernel's accessors are nested
        more: dict[str, list[Row]] = {}
        for name, reader in readers.items():
            for called in reader.calls:
                for row in waiting.get(called.function, ()):
                    filled = _filled(row, called, functions[name], reader)
                    if filled is not None:
                        (
                            more.setdefault(name, []) if isinstance(filled.fact.number, Parameter) else found[name]
                        ).append(filled)
        waiting = more
    return {name: [row for row in rows if not isinstance(row.fact.number, Parameter)] for name, rows in found.items()}


def _ask_through_accessors(readers: Mapping[str, Reader], found: Mapping[str, list[Row]]) -> None:
    """Adds what functions fail without and ask for through a function that says it: ``if (!PageFoo (page)) return``."""
    for _level in range(3):
        for name, reader in readers.items():
            for called, value in reader.called_as:
                answered = readers[called.function].answered if called.function in readers else []
                if reader.refusals.refused(value, 0):
                    found[name] += [Row(fact, reader.is_living(called), True) for fact in answered]
                if value in reader.answers:
                    reader.answered += [fact for fact in answered if fact not in reader.answered]


def _filled(row: Row, called: Called, caller: Function, reader: Reader) -> Row | None:
    fact = row.fact
    if not isinstance(fact.number, Parameter) or fact.number.place >= len(called.arguments):
        return None
    words = called.arguments[fact.number.place]
    number = constant(words)
    if number is not None:
        filled: int | Parameter = bit(number.number) if fact.words == "bit" else number.number
        fact = fact._replace(number=filled, words="")
        return Row(fact, reader.is_living(called), fact.what in (TEST, EQUAL) and reader.refuses(called))
    index = caller.parameter(words)
    return row._replace(fact=fact._replace(number=Parameter(index))) if index is not None else None
