# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls that move from one function to another.

Functions that run one after the other on the same object (the operations of a network namespace, open and release,
probe and remove) share its work.  Where a patch gives a part of that work from one to the other, an object for which
the one has run and the other has not, at the moment of the switch, gets it twice or not at all: no stack shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Dict

from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import (
    Change,
    UnitChange,
    is_living,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.finding import Finding, finding
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import Piece, Pieces, family
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.uses import is_branch

# What leaves nothing behind when the function returns, or only writes to a log: messages, locks, plain computation.
# What the compiler has called on an architecture is in its record (``calls_without_work``).
_NO_WORK = re.compile(
    r"__SC[TK]__|__trace|trace_|__cond_resched|schedule|preempt_|_*might_|lockdep_|__ubsan|__stack_chk"
    r"|_*(dev_|netdev_|vfs_|net_)?(printk|warn|err|info|dbg|emerg|crit|notice|alert)|__(warn|dynamic)_|.*printk|panic$"
    r"|_raw_|mutex_|rt_mutex_|ww_mutex_|down_|up_|down$|up$|_*rcu_read_|__local_bh|queued_|osq_|_*percpu_(down|up)"
    r"|mem(cpy|set|move|cmp|chr|scan|weight)|str[a-z]+|(v?s[cn]*printf)$|sscanf|_*copy_(to|from)_|_copy_|_*(get|put)_user"
    r"|__check_object|_*(find|bitmap)_[a-z_]*bit|ktime_|jiffies_|msecs_|usecs_|nla_|_*ratelimit|cpumask_|hweight|sort|bsearch"
)
_Work = Dict[str, None]  # in order


def moved_work(changes: Sequence[UnitChange]) -> dict[int, list[Finding]]:
    """The findings ``work_moved`` of an update, by ``id()`` of the unit's change that loses the work.

    A call moves from a changed function that no longer makes it to one that did not make it, if neither calls the
    other.
    """
    rows = [
        (change, function, *_works(change, function))
        for change in changes
        for function in change.difference.functions
        if function.change == "changed" and is_living(change, function)
    ]
    found: dict[int, dict[str, tuple[_Work, _Work]]] = {}
    for change, function, before, after in rows:
        for called in (name for name in before if name not in after):
            for other, gainer, its_before, its_after in rows:
                if gainer is function or called in its_before or called not in its_after:
                    continue
                nested = family(gainer.name) in after or family(function.name) in its_after
                if other.object_name == change.object_name and not nested:
                    fro, to = found.setdefault(id(change), {}).setdefault(called, ({}, {}))
                    fro[function.name], to[gainer.name] = None, None
    return {
        id(change): [_finding(change, called, *pair) for called, pair in found[id(change)].items()]
        for change in changes
        if id(change) in found
    }


def _finding(change: UnitChange, called: str, fro: _Work, to: _Work) -> Finding:
    return finding(
        change,
        "work_moved",
        f"The call of {called} moves from {' and '.join(fro)} to {' and '.join(to)}; what has been through one of them "
        "and not through the other when the code is exchanged would get it twice or not at all.",
        function=called,
        before=list(fro),
        after=list(to),
    )


def _works(change: UnitChange, function: Change) -> tuple[_Work, _Work]:
    """What a function calls before and after the patch."""
    correlation = change.difference.correlation
    functions = change.difference.functions
    gone = {id(f.pre) for f in functions if f.change == "removed"}
    new = {id(f.post) for f in functions if f.change == "new"}
    return (
        dict.fromkeys(_calls(correlation.pre, [function.pre, *function.pre_parts], gone)),
        dict.fromkeys(_calls(correlation.post, [function.post, *function.post_parts], new)),
    )


def _calls(pieces: Pieces, parts: Sequence[Piece | None], only_theirs: set[int]) -> Iterator[str]:
    """The functions of other units that ``parts`` call, be it through functions of their own unit.

    Those the compiler inlines as it likes.  What a function does that is new, or gone, is the work of the code that
    refers to it (``only_theirs``), be it by its address.
    """
    todo = [part for part in parts if part is not None]
    seen = {id(part) for part in todo}
    while todo:
        piece = todo.pop(0)
        for r in pieces.references(piece):
            calls = is_branch(piece, r)
            if isinstance(r.target, str):
                yield from [r.target] if calls and _is_work(piece, r.target) else []
            elif isinstance(r.target, Piece) and id(r.target) not in seen and (calls or id(r.target) in only_theirs):
                seen.add(id(r.target))
                todo.append(r.target)


def _is_work(caller: Piece, called: str) -> bool:
    return not (called.startswith(caller.arch.calls_without_work) or _NO_WORK.match(called))
