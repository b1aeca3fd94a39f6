# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Safety findings about data, and which changed data needs none.

Data that exists keeps its value, size and place in the running kernel.  Constants are the exception:
``decision/decide.py`` says when their bytes can be exchanged, or when another object can stand in for them.
"""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.decide import (
    CONSTANT_CHANGED,
    COPY,
    Decision,
    Fate,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import Change, UnitChange
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.finding import Finding, finding
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.initial_values import (
    ValueChange,
    value_changes,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.lifetimes import PER_SITE
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import Piece, counterless

# State of one message or one lock class: nothing is lost when the code that used it is gone.
_FORGETTABLE = ("__key", "_rs", "__already_done", "__print_once", "__warned", "descriptor")
_SHOWN = 3  # members of one variable in a sentence; the details have all


def data_findings(decision: Decision) -> Iterator[Finding]:
    """The findings about the data of one unit."""
    change = decision.change
    for datum, fate in decision.data.items():
        piece = datum.piece
        common = {"data": counterless(datum.name) or datum.name, "section": piece.section.name}
        if fate.how == COPY:
            continue
        if datum.lifetime == "registered":
            yield from _registered(change, datum, common)
        elif datum.lifetime == "init data":
            if datum.change != "removed":
                yield finding(
                    change,
                    "init_data_changed",
                    f"The data {datum.name} changes, but only code that has run at start used it.",
                    **common,
                )
        elif datum.change == "removed":
            if not _is_forgettable(piece):
                yield finding(
                    change,
                    "data_removed",
                    f"The variable {datum.name} is gone; what it holds in the running kernel would be lost.",
                    size=datum.pre_size,
                    **common,
                )
        elif datum.pre is not None and datum.post is not None:
            if datum.is_constant_of_one_size:
                yield from _changed_constant(change, datum, fate, common)
            else:
                yield _changed_data(change, datum, datum.pre, datum.post, common)
        elif datum.lifetime == "unknown":
            yield finding(
                change,
                "registered_entry_changed",
                f"The data {datum.name} is new in section {piece.section.name}, and what the kernel does with that "
                "section is not known.",
                **common,
            )


def _registered(change: UnitChange, datum: Change, common: dict) -> Iterator[Finding]:
    """Initcalls are told by the code that they run; a module's own tables are not read again once it is loaded."""
    piece = datum.piece
    if piece.section.name.startswith((".initcall", ".con_initcall", ".exitcall")):
        return
    verb = {"changed": "changes", "new": "is new", "removed": "is gone"}[datum.change]
    yield finding(
        change,
        "registered_entry_changed",
        f"The entry {datum.name} of section {piece.section.name} {verb}; the kernel reads that section only at start.",
        **common,
    )


def _is_forgettable(piece: Piece) -> bool:
    if piece.lifetime in PER_SITE or piece.lifetime == "constant" or not piece.size:
        return True
    return (counterless(piece.name) or piece.name) in _FORGETTABLE


def _changed_constant(change: UnitChange, datum: Change, fate: Fate, common: dict) -> Iterator[Finding]:
    """A constant of unchanged size, if exchanging its bytes would not reach all code that uses it."""
    if not fate.why:
        return
    values = _values(change, datum)
    yield finding(
        change,
        CONSTANT_CHANGED,
        f"The constant {datum.name} changes ({_shown(values)}), and its bytes cannot be exchanged: {fate.why}.",
        changes=[str(value) for value in values],
        size=datum.pre_size,
        why=fate.why,
        **common,
    )


def _changed_data(change: UnitChange, datum: Change, pre: Piece, post: Piece, common: dict) -> Finding:
    kind = "constant" if pre.lifetime == "constant" else "variable"
    if pre.size != post.size:
        return finding(
            change,
            "data_resized",
            f"The {kind} {datum.name} {'grows' if post.size > pre.size else 'shrinks'} from {pre.size} to {post.size} "
            "bytes.",
            pre_size=pre.size,
            post_size=post.size,
            **common,
        )
    if pre.lifetime != post.lifetime:
        return finding(
            change,
            "data_moved",
            f"The {kind} {datum.name} moves from section {pre.section.name} to {post.section.name}.",
            pre_section=pre.section.name,
            **common,
        )
    values = _values(change, datum)
    return finding(
        change,
        f"{kind}_changed",
        f"The initial value of the {kind} {datum.name} changes ({_shown(values)}); the running kernel keeps the old "
        "one.",
        changes=[str(value) for value in values],
        size=pre.size,
        **common,
    )


def _values(change: UnitChange, datum: Change) -> list[ValueChange]:
    pieces, types = change.difference.correlation, change.difference.variables
    if datum.pre is None or datum.post is None:
        return []
    return value_changes(pieces.pre, datum.pre, types[0], pieces.post, datum.post, types[1])


def _shown(values: list[ValueChange]) -> str:
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    return "; ".join(str(value) for value in values[:_SHOWN]) + more if values else "in what it refers to"
