# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""New definitions of what runs already: the linker of a fixed kernel would take them in place of weak ones.

``mm/hugetlb.c`` defines ``vma_mmu_pagesize()`` weakly.  A patch that adds a definition to another unit reaches callers
of it only when the kernel is linked; in the one that runs they go on calling the weak one.
"""

from __future__ import annotations

from typing import Callable, Iterator, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import UnitChange
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.finding import Finding, finding

Defines = Callable[[str, str], bool]


def overrides(changes: Sequence[UnitChange], defines: Defines) -> dict[int, list[Finding]]:
    """The findings ``overrides_running`` of an update, by ``id()`` of the unit's change that has the new definition.

    ``defines(name, object_name)`` says whether a running object has a global symbol of that name.  What another unit of
    the update gives up is not overridden: it moves.
    """
    gone = {
        (change.object_name, name)
        for change in changes
        for row in (*change.difference.functions, *change.difference.data)
        if row.pre is not None and row.post is None
        for name in (row.pre.name, *row.pre.aliases)
    }
    return {id(change): list(_of_unit(change, gone, defines)) for change in changes}


def _of_unit(change: UnitChange, gone: set[tuple[str, str]], defines: Defines) -> Iterator[Finding]:
    for row in (*change.difference.functions, *change.difference.data):
        if row.pre is not None or row.post is None or not row.post.is_global or row.post.lifetime == "custom":
            continue
        for name in (row.post.name, *row.post.aliases):
            if (change.object_name, name) not in gone and defines(name, change.object_name):
                yield finding(
                    change,
                    "overrides_running",
                    f"{name} is new in {change.unit}, and {change.object_name} has another one, which unchanged code "
                    "would go on using.",
                    **{"function" if row.post.kind == "function" else "data": name},
                )
