# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Safety findings: why a change cannot be made live by exchanging code alone.  Private to rebootless.splice.

Found from the objects and their debug information; each names the thing it is about.  New functions, new data and new
types are no findings.
"""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import (
    Change,
    UnitChange,
    is_gone,
    is_living,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.data_changes import data_findings
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.finding import Finding, finding
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.setup_code import (
    INIT_CODE_CHANGED,
    REMARK,
    existing_objects,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.type_changes import type_findings
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.exports import export_checksums
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import VMLINUX
from ansible_collections.rebootless.splice.plugins.module_utils._build.matching import jumps, kernels
from ansible_collections.rebootless.splice.plugins.module_utils._build.matching.places import Places
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.dwarf_types import DebugTypes
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import Pieces
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.uses import takers, uses

INIT_HAS_RUN = "init_has_run"  # what a host says that has loaded the module: kmod/codes.h
EXPORT_PREFIX = ("___ksymtab_gpl+", "___ksymtab+", ".export_symbol")


def findings_of(change: UnitChange, kernel: kernels.Kernel) -> list[Finding]:
    """All findings of one unit; ``kernel`` says how it rewrites its code (``special.kernel_of``).

    The DWARF of the two differenced objects is read from their files; exported symbols' checksums from the ``.cmd``
    files beside them, where Kbuild left some.
    """
    of_types = list(type_findings(change))
    of_data = list(data_findings(change, kernel))  # says which data is exchanged
    found = [*_init_and_exit(change), *_kept(change), *of_data]
    found += [*_exports(change, bool(of_types)), *of_types]
    found += [row for row in existing_objects(change) if row.code != REMARK]
    if any(_gets_jump(change, f) for f in change.difference.functions):
        found += _jumps(change, kernel)
    return found


def take_init(change: UnitChange, rows: list[Finding]) -> list[Finding]:
    """The findings that are left when a loadable module's init code is replaced each time that it is loaded.

    ``change.init_functions`` becomes what is to be replaced: nothing, unless the findings are about changed init code
    and what is new or gone beside it.  Where the module is loaded already, the target refuses.
    """
    of_init = [row for row in rows if row.code == INIT_CODE_CHANGED]
    possible = {f.name for f in change.difference.functions if _runs_when_loaded(change, f)}
    changed = {row.details["function"] for row in of_init if row.details["change"] == "changed"}
    if not changed or not changed <= possible:
        return rows
    change.init_functions = frozenset(changed)
    return [row for row in rows if row not in of_init]


def _runs_when_loaded(change: UnitChange, function: Change) -> bool:
    """Whether a changed function is, and was, init code of a loadable module."""
    return change.object_name != VMLINUX and all(p and p.lifetime == "init" for p in (function.pre, function.post))


def remarks(change: UnitChange) -> list[Finding]:
    """What an operator should know of one unit's change, though it is made live."""
    found = [row for row in existing_objects(change) if row.code == REMARK]
    for name in sorted(change.init_functions):
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


def _init_and_exit(change: UnitChange) -> Iterator[Finding]:
    living = [f for f in change.difference.functions if is_living(change, f)]
    for function in change.difference.functions:
        name, verb = function.name, {"changed": "changes", "new": "is new", "removed": "is gone"}[function.change]
        if function.lifetime == "init":
            yield finding(
                change,
                INIT_CODE_CHANGED,
                f"The function {name} {verb}, but it runs only while the kernel or the module starts, and has run.",
                function=name,
                change=function.change,
            )
        elif is_gone(change, function) and (by := _unchanged_user(change, function)):
            yield finding(
                change,
                INIT_CODE_CHANGED,
                f"The function {name} was init code, which is not in memory any more; {by} would go on using it there.",
                function=name,
                change=function.change,
            )
        elif function.lifetime == "exit" and not is_living(change, function) and not living:
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


def _unchanged_user(change: UnitChange, function: Change) -> str:
    """Living code or data that may use a function of pre, and that is not replaced itself; "" if there is none."""
    if function.pre is None or function.pre.is_global:
        return "other code"
    replaced = {id(f.pre) for f in change.difference.functions if is_living(change, f)}
    users = (p for p, _r in uses(change.difference.correlation.pre, function.pre) if id(p) not in replaced)
    return next((p.name or p.section.name for p in users if p.lifetime not in ("init", "init data")), "")


def _kept(change: UnitChange) -> Iterator[Finding]:
    """Functions that are gone, and that objects may go on calling by their address; exchanged constants do not."""
    pre = change.difference.correlation.pre
    exchanged = {id(datum.pre) for datum in change.difference.data if datum.how}
    for function in change.difference.functions:
        if function.change != "removed" or function.pre is None or not is_living(change, function):
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


def _gets_jump(change: UnitChange, function: Change) -> bool:
    if function.change != "changed" or is_gone(change, function):
        return False
    return is_living(change, function) or _runs_when_loaded(change, function)


def _jumps(change: UnitChange, kernel: kernels.Kernel) -> Iterator[Finding]:
    exact, places = Pieces(change.pre), jumps.LatePlaces(Places(change.pre, kernel))
    for function in change.difference.functions:
        if not _gets_jump(change, function):
            continue
        piece = exact.by_name.get(function.name)
        if piece is None:
            continue  # make_replacement() refuses it by name
        offset = jumps.jump_offset(change.pre, piece.section, piece.start)
        room = jumps.room_for_jump(piece.section, piece.start, offset)
        if room < jumps.JUMP_SIZE:
            yield finding(
                change,
                "no_room_for_jump",
                f"The function {function.name} has {room} bytes behind its entry; the jump to the replacement takes "
                f"{jumps.JUMP_SIZE}.",
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
