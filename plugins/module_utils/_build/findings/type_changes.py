# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Safety findings about types: what existing objects look like to new code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import UnitChange
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.finding import Finding, finding
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.dwarf_types import Layout, Member

# Constants that count the others, so that a new one changes them: what no object holds as its kind.
_COUNTING = re.compile(r"(^|_)_*(MAX|NUM|NUMBER|COUNT|CNT|LAST|NR|SIZE|END|TOTAL)(_|$)", re.IGNORECASE)


def type_findings(change: UnitChange) -> Iterator[Finding]:
    """Layouts, enumerations and variables of one unit whose type is another one in post."""
    yield from _layouts(change)
    yield from _enumerations(change)
    yield from _variables(change)


def _layouts(change: UnitChange) -> Iterator[Finding]:
    pre, post = (types.layouts for types in change.difference.types)
    changed = [(pre[name], post[name]) for name in sorted(set(pre) & set(post)) if pre[name] != post[name]]
    causes = [(a, b) for a, b in changed if _words(a) != _words(b)]
    followers = [a.name for a, b in changed if (a, b) not in causes]
    for a, b in causes or changed:
        yield finding(
            change,
            "layout_changed",
            f"{_what_changed(a, b)}; objects of the old layout are alive.",
            type=a.name,
            pre_size=a.size,
            post_size=b.size,
            also_changed=followers,
        )


def _enumerations(change: UnitChange) -> Iterator[Finding]:
    """Constants of enumerations with another value: existing objects hold the old one."""
    pre, post = (
        {constant: values for values in types.constants for constant in values} for types in change.difference.types
    )
    for constant in sorted(set(pre) & set(post)):
        before, after = pre[constant][constant], post[constant][constant]
        if before != after and not (_counts(constant, pre[constant]) and _counts(constant, post[constant])):
            yield finding(
                change,
                "constant_renumbered",
                f"The constant {constant} was {before} and becomes {after}; existing objects hold the old number.",
                symbol=constant,
                before=before,
                after=after,
            )


def _counts(constant: str, values: dict[str, int]) -> bool:
    """Whether a constant of an enumeration is its end rather than one of its kinds."""
    kinds = [v for name, v in values.items() if name != constant and not _COUNTING.search(name)]
    return bool(_COUNTING.search(constant)) and values[constant] >= max(kinds, default=values[constant])


def _variables(change: UnitChange) -> Iterator[Finding]:
    """Variables that keep name and size, and become something else: what they hold means something else then."""
    pre, post = (types.variables for types in change.difference.types)
    correlation = change.difference.correlation
    for name in sorted(set(pre) & set(post)):
        piece = correlation.pre.by_name.get(name)
        other = correlation.post_of(piece) if piece is not None else None
        if piece is None or other is None or pre[name] == post[name] or piece.lifetime == "constant":
            continue
        if piece.size == other.size:
            yield finding(
                change,
                "variable_retyped",
                f"The variable {name} was {pre[name]} and becomes {post[name]}; it keeps what it holds.",
                data=name,
                before=pre[name],
                after=post[name],
            )


def _words(layout: Layout) -> list[tuple]:
    """What the source says of a type, without what follows from the sizes of other types."""
    return [(m.name, m.type, m.bits) for m in layout.members]


def _what_changed(a: Layout, b: Layout) -> str:
    if a.size != b.size:
        return f"{a.name} {'grows' if b.size > a.size else 'shrinks'} from {a.size} to {b.size} bytes"
    ours, theirs = _by_name(a.members), _by_name(b.members)
    for name in (*ours, *theirs):
        if name not in theirs:
            return f"the member {name} of {a.name} is gone"
        if name not in ours:
            return f"{a.name} has a new member {name}"
        if ours[name] != theirs[name]:
            member = f"the member {name} of {a.name}" if name else a.name
            if ours[name].type != theirs[name].type:
                return f"{member} was {ours[name].type} and becomes {theirs[name].type}"
            if ours[name].bits != theirs[name].bits:
                return f"{member} was {_width(ours[name].bits)} and becomes {_width(theirs[name].bits)}"
            return f"{member} moves from bit {ours[name].offset} to {theirs[name].offset}"
    return f"{a.name} changes"


def _width(bits: int) -> str:
    return f"a bit-field of {bits} bit{'s' * (bits != 1)}" if bits else "no bit-field"


def _by_name(members: Iterable[Member]) -> dict[str, Member]:
    return {m.name: m for m in members}
