# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Code that runs only while something is set up.

A changed probe function is exchanged, and does nothing for the devices that are bound already.  Where a function runs
is told by who uses it: a table of operations that holds its address, or the functions that call it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Tuple

from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.decide import INIT_CODE_CHANGED
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import (
    Change,
    UnitChange,
    is_living,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.finding import Finding, finding
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.initial_values import source_name
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import Piece
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.uses import is_branch, uses

# The struct and its member that hold the function -> when it runs, and what it does not run for any more.
_DEVICE = ("a device is bound to its driver", "devices that are bound stay as they are until they are bound anew")
_MOUNT = ("a file system is mounted", "those that are mounted stay as they are until they are mounted anew")
_NAMESPACE = ("a network namespace is made", "those that exist stay as they are")
_BOOT = ("the kernel or the module starts", "it has run")
_SLOTS = tuple(
    (re.compile(pattern), when)
    for pattern, when in (
        (r"\w+_driver\.(probe(_new)?|(auto_)?attach|connect|bind)", _DEVICE),
        (r"rmi_function_handler\.probe|input_handler\.connect|acpi_scan_handler\.attach", _DEVICE),
        (r"file_system_type\.(mount|init_fs_context)|fs_context_operations\.get_tree", _MOUNT),
        (r"pernet_operations\.init", _NAMESPACE),
    )
)
_INITCALLS = (".initcall", ".con_initcall")
REMARK = "existing_objects"
_FILLS = "fill_super"  # given to mount_bdev() and its like, which call it at once
_When = Tuple[str, str]


def setup_code(change: UnitChange) -> Iterator[Finding]:
    """A row for each changed function that runs only while something is set up, and for each new one of boot alone.

    Of boot code in the kernel itself it is a finding (``init_code_changed``): it brings nothing about.  Else it is a
    remark (``existing_objects``): the fix is live for what is set up from now on.
    """
    for function in change.difference.functions:
        # What is new is used by what is new, or by what changes: eventfd_limit() of late_initcall(eventfd_limit).
        side, piece = (1, function.post) if function.change == "new" else (0, function.pre)
        if function.change == "removed" or not is_living(change, function) or piece is None:
            continue
        found = _runs(change, piece, {id(piece)}, side)
        if found is None or len(found) != 1:
            continue
        ((when, where),) = found.items()
        if when == _BOOT and change.object_name == "vmlinux":
            yield finding(
                change,
                INIT_CODE_CHANGED,
                f"The function {function.name} {'is new' if side else 'changes'}, but only {where} calls it, which "
                "runs while the kernel starts, and has run.",
                function=function.name,
                change=function.change,
            )
        elif not side:
            yield _remark(change, function, when, where)


def _remark(change: UnitChange, function: Change, when: _When, where: str) -> Finding:
    return finding(
        change,
        REMARK,
        f"The function {function.name} runs only when {when[0]} ({where}): {when[1]}.",
        function=function.name,
        where=where,
    )


def _runs(change: UnitChange, function: Piece, seen: set[int], side: int) -> dict[_When, str] | None:
    """When ``function`` runs, with the member or function that says so; None if at other times, too.

    ``side`` is 0 for a function of pre, 1 for one of post.  What is in ``seen`` has been asked already, such as the
    function that a cold part jumps back to.
    """
    pieces = (change.difference.correlation.pre, change.difference.correlation.post)[side]
    found: dict[_When, str] = {}
    if function.is_global:
        return None  # other units may call it
    for user, r in uses(pieces, function):
        if user.section.name.startswith(_INITCALLS) or (user.lifetime == "init" and is_branch(user, r)):
            found.setdefault(_BOOT, user.name)
        elif user.kind != "function":
            members = list(change.difference.variables[side].leaves(user, range(r.offset, r.offset + 1)))
            slot = f"{members[0].struct}.{members[0].path.rpartition('.')[2]}" if members else ""
            when = next((when for pattern, when in _SLOTS if pattern.fullmatch(slot)), None)
            if when is None:
                return None
            found.setdefault(when, f"{slot} of {source_name(user.name)}")
        elif not is_branch(user, r) and not function.name.endswith(_FILLS):
            return None  # its address is given away
        elif id(user) not in seen:
            seen.add(id(user))
            theirs = _runs(change, user, seen, side)
            if theirs is None:
                return None
            found = {**theirs, **found}
    return found
