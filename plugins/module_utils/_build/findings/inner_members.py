# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One name for each member, by whichever way a function comes to it.

gcc's dumps call a struct by the typedef that a variable was declared with, and a member of a struct within another one
by the whole path.  Of the member ``skc_flags``, a function that has the whole ``struct sock`` says that it lies in its
``__sk_common``, and one that is given that part alone says the same of a ``struct sock_common``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set

from ansible_collections.rebootless.splice.plugins.module_utils._build.members.values import VARIABLE, Member
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.dwarf_types import DebugTypes

_ARRAY = re.compile(r" ?(?:\[\d*\])+$")
_INDEX = re.compile(r"(?:\[\d*\])+$")
_NAMELESS = re.compile(r"(?P<type>(?:(?:struct|union) )?[\w ]+?(?: \*)*(?: \[\d+\])?) (?P<name>\w+) @\d+:\d+")


class Names:
    """``types`` of all units that an update changes; ``direct`` are the structs to which functions there have pointers.

    A struct within another one that nothing there has a pointer to, such as a lock, is told by the whole path.
    """

    def __init__(self, types: Iterable[DebugTypes], direct: Iterable[str]) -> None:
        self._types = list(types)
        self._direct: Set[str] = {self.struct(name) for name in direct}
        self._known: dict[Member, Member] = {}

    def struct(self, words: str) -> str:
        """A struct's name in the debug information."""
        for types in self._types:
            name = types.struct_of(words)
            if name in types.layouts:
                return name
        return words

    def member(self, member: Member) -> Member:
        """The member by its struct's own name, from the innermost struct on that functions have pointers to."""
        if member not in self._known:
            self._known[member] = self._find(member)
        return self._known[member]

    def _find(self, member: Member) -> Member:
        struct, path = self._of_variable(member.struct), member.path
        found = Member(struct, path)
        if "->" in path:  # the way to it is what is meant
            return found
        steps = path.split(".")
        for number, step in enumerate(steps[:-1]):
            struct = _ARRAY.sub("", self._type_of(struct, _INDEX.sub("", step)))
            if not struct:
                break
            if struct in self._direct:
                found = Member(struct, ".".join(steps[number + 1 :]))
        return found

    def _of_variable(self, words: str) -> str:
        """The struct that a variable is, if functions have pointers to such; else the variable."""
        name = words.removeprefix(VARIABLE)
        for types in self._types if name != words else ():
            if types.variables.get(name) in self._direct:
                return types.variables[name]
        return self.struct(words)

    def _type_of(self, struct: str, name: str) -> str:
        for types in self._types:
            layout = types.layouts.get(struct)
            for field in layout.members if layout else ():
                if field.name == name:
                    return field.type
                for inside in _NAMELESS.finditer(field.type) if not field.name else ():
                    if inside["name"] == name:
                        return inside["type"].strip()
        return ""
