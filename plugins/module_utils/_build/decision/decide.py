# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides what an update does about each changed function and datum of a unit.

It stands between differencing and all that acts on the difference.  Findings say why what is decided does not bring a
change about; the maker of replacement code does what is decided.  Neither changes the difference or the decision.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Set
from typing import NamedTuple, Tuple

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.architecture import Kernel
from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.claims import handled
from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.copied_constants import why_copied
from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.running_constants import (
    RunningConstants,
    only_boot_reads,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.running_object import RunningObject
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import (
    Change,
    UnitChange,
    is_gone,
    is_living,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import VMLINUX
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import counterless, family
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.uses import uses

# About a function.
REPLACE = "replace"  # a jump leads from the running one to its replacement; one that is gone has to be off the stacks
REPLACE_AT_LOAD = "replace at load"  # init code of a module: replaced each time that the module is loaded
CARRY = "carry"  # no jump leads to it (a new function, or one that was init code): carried if replaced code uses it
# About data.
EXCHANGE = "exchange"  # its bytes in the running kernel are exchanged during the stop
COPY = "copy"  # only replaced code sees it, so that it can be another object
# About both: nothing.  Of new data this means that it is carried if replaced code uses it.
IDLE = ""

# Codes of findings that custom code can claim (``RBL_HANDLES``), and that decide what is done.
INIT_CODE_CHANGED, CONSTANT_CHANGED = "init_code_changed", "constant_changed"

_Claims = Set[Tuple[str, str]]


class Fate(NamedTuple):
    """What is done about a change, and what stands against it ("" if nothing does).

    ``why`` of a constant says why its bytes cannot be exchanged; custom code that claims it can have it exchanged all
    the same.  ``why`` of a function that was init code names the unchanged code that goes on using it there.
    """

    how: str
    why: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Decision:
    """What is done about each function and datum of ``change``, in the order of the difference."""

    change: UnitChange
    running: RunningObject
    functions: Mapping[Change, Fate]
    data: Mapping[Change, Fate]

    @property
    def is_effective(self) -> bool:
        """Whether anything is done."""
        return any(fate.how != IDLE for fates in (self.functions, self.data) for fate in fates.values())

    @property
    def init_functions(self) -> list[str]:
        """The names of a module's init functions that are replaced each time that it is loaded."""
        return [function.name for function, fate in self.functions.items() if fate.how == REPLACE_AT_LOAD]


def decide(change: UnitChange, kernel: Kernel) -> Decision:
    """What an update does about ``change``; ``kernel`` says how it rewrites its code (``Architecture.kernel_of``).

    Raises ``RebootlessError``: ``bad_custom_code``, and what ``Places`` raises, if a constant changes.
    """
    running = RunningObject(change.pre, kernel)
    claims = frozenset(handled(change.difference.correlation.post.object))
    return Decision(change, running, _functions(change, claims), _data(change, running, claims))


def runs_when_loaded(change: UnitChange, function: Change) -> bool:
    """Whether a changed function is, and was, init code of a loadable module."""
    return change.object_name != VMLINUX and all(p and p.lifetime == "init" for p in (function.pre, function.post))


def _functions(change: UnitChange, claims: _Claims) -> dict[Change, Fate]:
    fates = {function: _function(change, function) for function in change.difference.functions}
    # A module's init code is replaced when all of it that changes can be: what is new or gone beside it comes along.
    outdated = [
        function
        for function, fate in fates.items()
        if function.change == "changed"
        and (function.lifetime == "init" or fate.why)
        and (INIT_CODE_CHANGED, family(function.name)) not in claims
    ]
    if all(runs_when_loaded(change, function) for function in outdated):
        fates.update(dict.fromkeys(outdated, Fate(REPLACE_AT_LOAD)))
    return fates


def _function(change: UnitChange, function: Change) -> Fate:
    if not is_living(change, function):
        return Fate(IDLE)
    if is_gone(change, function):
        return Fate(CARRY, _unchanged_user(change, function))
    return Fate(CARRY if function.change == "new" else REPLACE)


def _unchanged_user(change: UnitChange, function: Change) -> str:
    """Living code or data that may use a function of pre, and that is not replaced itself; "" if there is none."""
    if function.pre is None or function.pre.is_global:
        return "other code"
    replaced = {id(f.pre) for f in change.difference.functions if is_living(change, f)}
    users = (p for p, _r in uses(change.difference.correlation.pre, function.pre) if id(p) not in replaced)
    return next((p.name or p.section.name for p in users if p.lifetime not in ("init", "init data")), "")


def _data(change: UnitChange, running: RunningObject, claims: _Claims) -> dict[Change, Fate]:
    fates = {}
    constants: RunningConstants | None = None
    for datum in change.difference.data:
        fates[datum] = Fate(COPY if datum.is_parted else IDLE)
        if datum.is_constant_of_one_size:
            constants = constants or RunningConstants(running, change.object_name == VMLINUX)
            fates[datum] = _constant(change, datum, constants, claims)
    return fates


def _constant(change: UnitChange, datum: Change, constants: RunningConstants, claims: _Claims) -> Fate:
    """Its bytes are exchanged, unless that would not reach the code that uses it."""
    pieces, piece = change.difference.correlation.pre, datum.pre
    if piece is None:
        raise ValueError("a changed constant without its old self")
    fixed = constants.why_not(pieces, piece)
    if only_boot_reads(pieces, piece):
        why = "only code that has run at start read it"
    else:
        why = fixed or why_copied(pieces, piece, change.difference.variables[0].type_name(piece))
    # Custom code that claims the constant sees to the copies; bytes that the match does not prove stay what they are.
    claimed = (CONSTANT_CHANGED, counterless(datum.name) or datum.name) in claims
    return Fate(EXCHANGE if not why or (claimed and not fixed) else IDLE, why)
