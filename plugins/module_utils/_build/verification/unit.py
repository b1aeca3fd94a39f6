# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A unit as the check looks at it: what was compiled of it after the patch, and what of it runs."""

from __future__ import annotations

import dataclasses
import functools
import os
import re

from ansible_collections.rebootless.splice.plugins.module_utils._build.verification import tables
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.bodies import Bodies, Body
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.reader import Area, Mark, Object

VMLINUX = "vmlinux"
_HOOKS = ".rbl.hooks"  # kmod/rebootless_custom.h
# gcc numbers clones and static locals, __COUNTER__ what is made by macros: include/linux/compiler.h, btf_ids.h.
_NUMBERED = re.compile(r"(\.(isra|constprop|part|cold|localalias|lto_priv)|\.\d+)+$")
_COUNTED = re.compile(r"(__UNIQUE_ID_.*?|__BTF_ID__.*__)\d+$")
_PART = re.compile(r"\.cold(\.\d+)?$")
_GONE = (".init", ".meminit", ".cpuinit")


@dataclasses.dataclass(frozen=True)
class CheckedUnit:
    """Paths of a unit's objects: ``exact`` is compiled as the kernel runs it, ``post`` with a section for each symbol.

    ``object_name`` is ``vmlinux`` or the module that the unit is linked into, ``name`` its path in the kernel build.
    """

    object_name: str
    name: str
    exact: str | os.PathLike
    post: str | os.PathLike


def stem(name: str) -> str:
    """A name without the numbers that the compiler gave it."""
    name = _NUMBERED.sub("", name)
    counted = _COUNTED.match(name)
    return counted.group(1) if counted else name


def is_part(name: str) -> bool:
    """Whether gcc has split it off a function, for paths that are seldom taken."""
    return _PART.search(name) is not None


def is_numbered(name: str) -> bool:
    """Whether the compiler numbers things of that name: another one may have it in another compilation."""
    return stem(name) != name


class ComparedUnit:
    """The objects of one unit, and where in the module its bodies were found (``placed``)."""

    def __init__(self, checked: CheckedUnit, objects: dict[str, Object]) -> None:
        self.object_name, self.name = checked.object_name, checked.name
        self.post = _known(objects, checked.post)
        self.exact = _known(objects, checked.exact)
        self.bodies = Bodies(self.post)
        self.placed: dict[int, tuple[int, int]] = {}
        self.replaced: set[int] = set()
        self.running: dict[int, tuple[str, int]] = {}

    @functools.cached_property
    def _rows(self) -> dict[int, list[tables.TableEntry]]:
        found: dict[int, list[tables.TableEntry]] = {}
        for rows in self.bodies.tables.values():
            for row in rows:
                if row.code.mark.section is not None:
                    meant = self.bodies.meaning(row.code, 0)
                    found.setdefault(id(meant.body), []).append(row)  # type: ignore[union-attr]
        return found

    @functools.cached_property
    def running_bodies(self) -> Bodies:
        """The bodies of what runs."""
        return Bodies(self.exact)

    def entries(self, body: Body) -> list[tables.TableEntry]:
        """The entries of tables that are about a body, in the order of each table."""
        return self._rows.get(id(body), [])

    def hooks(self) -> list[tuple[int, Body]]:
        """Stage and function of the custom code's hooks."""
        found = []
        for area in self.post.areas_called(_HOOKS):
            for field in area.fields_in(0, area.size):
                stage = int.from_bytes(area.data[field.offset - 8 : field.offset - 4], "little")
                found.append((stage, self.bodies.meaning(field, 0).body))  # type: ignore[union-attr]
        return found

    def runs_at(self, section: str, offset: int) -> list[Mark]:
        """The symbols at a place of what runs."""
        areas = self.exact.areas_called(section)
        return [mark for mark in areas[0].marks if mark.value == offset and mark.kind != "section"] if areas else []

    def runs(self, body: Body, name: str) -> Mark | None:
        """What runs under that very name and is there to stay, or as long as ``body`` is."""
        for mark in self.exact.by_name.get(name, ()):
            if mark.section is not None:
                area = self.exact.areas[mark.section]
                if not area.name.startswith(_GONE) or body.area.name.startswith(_GONE):
                    return mark
        return None

    def runs_marked(self, name: str) -> bool:
        """Whether what runs under that name begins with a landing mark, so that pointers may lead to it."""
        body = self.running_bodies.named(name)
        return body is not None and body.is_marked

    def unknown_tables(self) -> list[tuple[Area, Body]]:
        """Sections that are no known table, and point to something that the module carries."""
        found = []
        for area in self.post.areas:
            if not area.is_loaded or area.is_code or area.is_merged or not area.fields:
                continue
            if tables.is_table(area.name) or tables.is_known(area.name):
                continue
            for field in area.fields_in(0, area.size):
                meant = self.bodies.meaning(field, 0)
                body = getattr(meant, "body", None)
                if body is not None and body.is_code and id(body) in self.placed:
                    found.append((area, body))
        return found


def _known(objects: dict[str, Object], path: str | os.PathLike) -> Object:
    """A file that units of several modules share is read once."""
    key = os.fspath(path)
    if key not in objects:
        objects[key] = Object(path)
    return objects[key]
