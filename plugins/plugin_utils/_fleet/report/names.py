# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many names of hosts in little room."""

from __future__ import annotations

import re
import typing as t

# Prefix, number, rest: of a host's name the last number of its first label, of an address the last number.
NAME = re.compile(r"^([^.]*?)(\d{1,15})([^.\d]*(?:\..*)?)$")
ADDRESS = re.compile(r"^(.*[.:])(\d{1,15})()$")


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts web2 before web10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d{1,15})", name)]


def ranges(names: t.Iterable[str]) -> list[str]:
    """The names in Ansible's own notation for inventories: ``web[01:17].example``, sorted.

    Only runs of three and more whose numbers are written with the same count of digits, or without leading zeros, are
    put together; every name of the input is in exactly one of the results.
    """
    groups: dict[tuple[str, str, int], list[tuple[int, str]]] = {}
    result = []
    for name in sorted(set(names), key=natural):
        found = (ADDRESS if name[:1].isdigit() else NAME).match(name)
        if found is None or "[" in name:
            result.append(name)
            continue
        before, digits, after = found.groups()
        padded = len(digits) if digits.startswith("0") and len(digits) > 1 else 0
        groups.setdefault((before, after, padded), []).append((int(digits), digits))
    for (before, after, padded), members in _joined(groups).items():
        result += _runs(before, after, padded, members)
    return sorted(result, key=natural)


def _joined(groups: dict[tuple[str, str, int], list[tuple[int, str]]]) -> dict:
    """web08, web09, web10: numbers that fill the width of padded ones belong to them."""
    for before, after, width in [key for key in groups if key[2]]:
        plain = groups.get((before, after, 0), [])
        filling = [member for member in plain if len(member[1]) == width]
        groups[before, after, width] += filling
        groups[before, after, 0] = [member for member in plain if len(member[1]) != width]
    return groups


def _runs(before: str, after: str, padded: int, members: list[tuple[int, str]]) -> list[str]:
    result: list[str] = []
    run: list[tuple[int, str]] = []
    for member in [*sorted(members), (-1, "")]:
        if run and member[0] == run[-1][0] + 1:
            run.append(member)
            continue
        if len(run) > 2:
            result.append(f"{before}[{run[0][1]}:{run[-1][1]}]{after}")
        else:
            result += [f"{before}{digits}{after}" for _number, digits in run]
        run = [member]
    return result
