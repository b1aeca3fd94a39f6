# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Safety findings: why a change cannot be made live by exchanging code alone.

Found from the objects and their DWARF; each names the thing it is about.  New functions, new data and new types are no
findings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.decide import (
    CARRY,
    IDLE,
    INIT_CODE_CHANGED,
    REPLACE,
    Decision,
    runs_when_loaded,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import Change, UnitChange
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings import custom_code
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.data_changes import data_findings
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.finding import Finding, finding
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.never_left import who_is_in
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.no_breakpoint import why_no_breakpoint
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.setup_code import REMARK, setup_code
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.type_changes import type_findings
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.exports import export_checksums
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import VMLINUX
from ansible_collections.rebootless.splice.plugins.module_utils._build.matching import jumps
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.dwarf_types import DebugTypes
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.uses import takers

INIT_HAS_RUN = "init_has_run"  # what a host says that has loaded the module: kmod/codes.h
EXPORT_PREFIX = ("___ksymtab_gpl+", "___ksymtab+", ".export_symbol")


def findings_of(decision: Decision) -> list[Finding]:
    """All findings of one unit.

    The DWARF of the two differenced objects is read from their files; exported symbols' checksums from the ``.cmd``
    files beside them, where Kbuild left some.
    """
    change = decision.change
    of_types = list(type_findings(change))
    found = [*_init_and_exit(decision), *_kept(decision), *data_findings(decision)]
    found += [*_exports(change, bool(of_types)), *of_types]
    found += [row for row in setup_code(change) if row.code != REMARK]
    if any(_gets_jump(decision, f) for f in decision.functions):
        found += [*_jumps(decision), *_never_left(decision), *_no_breakpoint(decision)]
    return found


def refusals(decision: Decision, more: Iterable[Finding] = (), told: Iterable[Finding] = ()) -> list[Finding]:
    """The findings of one unit, with ``more`` about it, that stop the build; custom code can claim ``told``, too.

    Not those that its custom code takes care of, and not those about a module's init code, if that is replaced each
    time that the module is loaded: the target refuses where it is loaded already.  Raises ``RebootlessError``
    (``handles_nothing``, ``bad_custom_code``).
    """
    rows = custom_code.excuse(decision.change, [*findings_of(decision), *more], told)
    return [row for row in rows if row.code != INIT_CODE_CHANGED or not decision.init_functions]


def remarks(decision: Decision) -> list[Finding]:
    """What an operator should know of one unit's change, though it is made live."""
    change = decision.change
    found = [row for row in setup_code(change) if row.code == REMARK]
    for name in sorted(decision.init_functions):
        found.append(
            finding(
                change,
                INIT_HAS_RUN,
                f"The function {name} runs only when the module {change.object_name} is loaded: a host that has loaded "
                "it refuses the update until it is unloaded.",
                function=name,
            )
        )
    return found


# ---- code that does not run again, or not where modules are


def _init_and_exit(decision: Decision) -> Iterator[Finding]:
    change = decision.change
    replaced = [fate for fate in decision.functions.values() if fate.how in (REPLACE, CARRY)]
    for function, fate in decision.functions.items():
        name, verb = function.name, {"changed": "changes", "new": "is new", "removed": "is gone"}[function.change]
        if function.lifetime == "init":
            yield finding(
                change,
                INIT_CODE_CHANGED,
                f"The function {name} {verb}, but it runs only while the kernel or the module starts, and has run.",
                function=name,
                change=function.change,
            )
        elif fate.why:
            yield finding(
                change,
                INIT_CODE_CHANGED,
                f"The function {name} was init code, which is not in memory any more; {fate.why} would go on "
                "using it there.",
                function=name,
                change=function.change,
            )
        elif function.lifetime == "exit" and fate.how == IDLE and not replaced:
            yield finding(
                change,
                "exit_code_changed",
                f"The function {name} {verb}, but built-in code is never unloaded, so it never runs.",
                function=name,
                change=function.change,
            )
        elif function.lifetime in ("entry", "static call"):
            yield finding(
                change,
                "entry_code_changed" if function.lifetime == "entry" else "static_call_changed",
                f"The function {name} {verb}; it is in {function.piece.section.name}, where calls "
                "cannot be sent to a module.",
                function=name,
                change=function.change,
            )


def _kept(decision: Decision) -> Iterator[Finding]:
    """Functions that are gone, and that objects may go on calling by their address; exchanged constants do not."""
    change, pre = decision.change, decision.change.difference.correlation.pre
    exchanged = {id(datum.pre) for datum, fate in decision.data.items() if fate.how != IDLE}
    for function, fate in decision.functions.items():
        if function.change != "removed" or function.pre is None or fate.how == IDLE:
            continue
        by = [piece for piece in takers(pre, function.pre) if id(piece) not in exchanged]
        if by:
            yield finding(
                change,
                "function_kept",
                f"The function {function.name} is gone, but {by[0].name} has handed out its address; objects that hold "
                "it go on calling the old code.",
                function=function.name,
                by=[piece.name for piece in by],
            )


# ---- exported symbols


def _exports(change: UnitChange, types_changed: bool) -> Iterator[Finding]:
    """A new export is none: nothing that was built for the running kernel asks for it."""
    objects = (change.difference.correlation.pre.object, change.difference.correlation.post.object)
    pre, post = (_exported_names(o) for o in objects)
    for name in sorted(pre - post):
        yield finding(
            change,
            "exports_changed",
            f"The symbol {name} is not exported any more; the running kernel's list of exported symbols cannot be "
            "changed.",
            symbol=name,
        )
    types = change.difference.types
    checksums = [export_checksums(o.path) for o in objects]
    for name in sorted(set(checksums[0]) & set(checksums[1])):
        before, after = (_declaration(t, name) for t in types)
        if checksums[0][name] == checksums[1][name] or (before == after and not types_changed):
            continue  # a type that was only named is defined now: the same symbol in other words
        why = f": it was {before} and becomes {after}" if before != after else ""
        yield finding(
            change,
            "export_checksum_changed",
            f"The checksum of the exported symbol {name} changes from {checksums[0][name]:#010x} to "
            f"{checksums[1][name]:#010x}{why or ': the types that modules share with it are others'}.",
            symbol=name,
        )


def _declaration(types: DebugTypes, name: str) -> str:
    return types.variables.get(name) or types.prototype(name)


def _exported_names(object_file) -> set[str]:
    names = set()
    for section in object_file.sections:
        if section.name.startswith(EXPORT_PREFIX[:2]):
            names.add(section.name.partition("+")[2])
        elif section.name == EXPORT_PREFIX[2]:
            names |= {s.name.removeprefix("__export_symbol_") for s in section.symbols}
    return names


# ---- jumps


def _gets_jump(decision: Decision, function: Change) -> bool:
    replaced = decision.functions[function].how == REPLACE or runs_when_loaded(decision.change, function)
    return function.change == "changed" and replaced


def _jumps(decision: Decision) -> Iterator[Finding]:
    change, exact = decision.change, decision.running.pieces
    places = jumps.LatePlaces(decision.running.places)
    for function in decision.functions:
        if not _gets_jump(decision, function):
            continue
        piece = exact.by_name.get(function.name)
        if piece is None:
            continue  # make_replacement() refuses it by name
        offset = jumps.jump_offset(change.pre, piece.section, piece.start)
        room = jumps.room_for_jump(piece.section, piece.start, offset)
        if room < change.pre.arch.jump_size:
            yield finding(
                change,
                "no_room_for_jump",
                f"The function {function.name} has {room} bytes behind its entry; the jump to the replacement takes "
                f"{change.pre.arch.jump_size}.",
                function=function.name,
                room=room,
            )
            continue
        under = places.under_jump(piece.section, piece.start + offset)
        if under:
            yield finding(
                change,
                "jump_over_rewritten_code",
                f"The function {function.name} begins with {under}; the kernel stops with an error when it comes to "
                "rewrite that and finds a jump.",
                function=function.name,
                under=under,
            )
        other = jumps.side_entrance(exact, piece)
        if other:
            yield finding(
                change,
                "entered_in_the_middle",
                f"{other} enters the function {function.name} behind its entry, where no jump leads away.",
                function=function.name,
                by=other,
            )


def _never_left(decision: Decision) -> Iterator[Finding]:
    change = decision.change
    for function in decision.functions:
        who = who_is_in(function.name, change.pre.arch.never_left)
        if who and change.object_name == VMLINUX and _gets_jump(decision, function):
            yield finding(
                change,
                "never_left",
                f"The function {function.name} changes, and {who}.",
                function=function.name,
                who=who,
            )


def _no_breakpoint(decision: Decision) -> Iterator[Finding]:
    change, pre = decision.change, decision.change.difference.correlation.pre
    for function in decision.functions:
        why = _gets_jump(decision, function) and why_no_breakpoint(pre, function, change.object_name)
        if why:
            yield finding(
                change,
                "no_breakpoint",
                f"The function {function.name} changes, and {why}: the kernel itself may be in it while it handles a "
                "breakpoint, and to write the jump to the replacement takes one.",
                function=function.name,
                why=why,
            )
