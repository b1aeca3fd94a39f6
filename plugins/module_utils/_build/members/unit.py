# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a unit does with the members of objects, before and after a patch."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Container, Mapping, Set

from ansible_collections.rebootless.splice.plugins.module_utils._build.members import calls
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.dump import Function, read_dump
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.facts import BitFields, Row
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.rows import rows_of
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.values import (
    Called,
    Held,
    Values,
    assignment,
)

_CALL = re.compile(r"\b([A-Za-z_]\w*) \(")


@dataclasses.dataclass(frozen=True)
class Members:
    """By function, what is done with members: ``before`` in all functions, ``after`` in those that are not the same.

    ``on_stack`` are the types of variables of functions, if no function finds or makes such objects in memory;
    ``calls`` are the unit's own functions that each one calls now.
    """

    before: Mapping[str, list[Row]]
    after: Mapping[str, list[Row]]
    on_stack: frozenset[str]
    calls: Mapping[str, Set[str]]

    @property
    def gone(self) -> dict[str, list[Row]]:
        """What the functions that are not the same did before."""
        return {name: self.before[name] for name in self.after if name in self.before}


def read_members(
    before: str, after: str, bit_fields: BitFields, patched_words: Container[str], custom_words: Container[str] = ()
) -> Members:
    """Reads two dumps of a unit (``Compiler.understood``).

    ``patched_words`` are those of the patched files: a function that is in the second dump alone and that they do not
    name is one of a header, which nothing in the unit had called.  ``custom_words`` are those that only custom code
    has: what its functions do to objects is for its author to know.  Raises ``RebootlessError`` (``dump_not_read``).
    """
    pre, post = read_dump(before), read_dump(after)
    post = {name: function for name, function in post.items() if name in pre or name not in custom_words}
    called_now = [name for name in post if name not in pre and name not in patched_words]
    changed = {
        name for name in post if name not in called_now and (name not in pre or pre[name].text != post[name].text)
    }
    if not changed:
        return Members({}, {}, frozenset(), {})
    rows = rows_of(post, bit_fields)
    old = {**rows_of(pre, bit_fields), **{name: rows[name] for name in called_now}}
    kinds = {kind for functions in (pre, post) for function in functions.values() for kind in _on_stack(function)}
    kinds -= {kind for function in post.values() for kind in _found_in_memory(function, kinds)}
    callees = {name: post.keys() & set(_CALL.findall(function.text)) for name, function in post.items()}
    return Members(old, {name: rows[name] for name in post if name in changed}, frozenset(kinds), callees)


def _on_stack(function: Function) -> set[str]:
    return {kind for kind in function.types.values() if kind.startswith(("struct", "union")) and "*" not in kind}


def _found_in_memory(function: Function, kinds: Set[str]) -> Set[str]:
    """Those of the types to which a function gets pointers from memory, or from what hands out memory."""
    if not any(kind.endswith("*") and kind.removesuffix("*").strip() in kinds for kind in function.types.values()):
        return set()
    values, found = Values(function), set()
    for statement in function.statements:
        named = assignment(statement)
        kind = function.type_of(named[0]) if named else ""
        if named and kind.endswith("*") and (of := kind.removesuffix("*").strip()) in kinds:
            value = values.value(named[1])
            is_made = isinstance(value, Called) and calls.MAKES.fullmatch(value.function)
            if is_made or isinstance(value, Held) or named[1].startswith("__MEM"):
                found.add(of)
    return found
