# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Safety findings: why a change cannot be made live by exchanging code alone.  Private to rebootless.splice.

Found from the objects and their debug information; each names the thing it is about.  New functions, new data and new
types are no findings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from ansible_collections.rebootless.splice.plugins.module_utils._build import jumps, special
from ansible_collections.rebootless.splice.plugins.module_utils._build.debug_types import Layout, Member
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference import Change, UnitChange, is_living
from ansible_collections.rebootless.splice.plugins.module_utils._build.exports import export_checksums
from ansible_collections.rebootless.splice.plugins.module_utils._build.lifetimes import PER_SITE
from ansible_collections.rebootless.splice.plugins.module_utils._build.pieces import Piece, Pieces, counterless
from ansible_collections.rebootless.splice.plugins.module_utils._build.places import Places

EXPORT_PREFIX = ("___ksymtab_gpl+", "___ksymtab+", ".export_symbol")
# State of one message or one lock class: nothing is lost when the code that used it is gone.
_FORGETTABLE = ("__key", "_rs", "__already_done", "__print_once", "__warned", "descriptor")


@dataclasses.dataclass(frozen=True)
class Finding:
    """``code`` is stable, ``sentence`` names the thing, ``details`` are JSON-able facts (``unit`` among them)."""

    code: str
    sentence: str
    details: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """For results and manifests."""
        return dataclasses.asdict(self)


def find(change: UnitChange, kernel: special.Kernel) -> list[Finding]:
    """All findings of one unit; ``kernel`` says how it rewrites its code (``special.kernel_of``).

    The DWARF of the two differenced objects is read from their files; exported symbols' checksums from the ``.cmd``
    files beside them, where Kbuild left some.
    """
    found: list[Finding] = []
    for generator in (_init_and_exit(change), _data(change), _exports(change), _layouts(change)):
        found += generator
    if any(f.change == "changed" and is_living(change, f) for f in change.difference.functions):
        found += _jumps(change, kernel)
    return found


def _finding(unit: UnitChange, code: str, sentence: str, /, **details: Any) -> Finding:
    return Finding(code, sentence, {"unit": unit.unit, **details})


# ---- code that does not run again, or not where modules are


def _init_and_exit(change: UnitChange) -> Iterator[Finding]:
    living = [f for f in change.difference.functions if is_living(change, f)]
    for function in change.difference.functions:
        name, verb = function.name, {"changed": "changes", "new": "is new", "removed": "is gone"}[function.change]
        if function.lifetime == "init":
            yield _finding(
                change,
                "init_code_changed",
                f"The function {name} {verb}, but it runs only while the kernel or the module starts, and has run.",
                function=name,
                change=function.change,
            )
        elif function.lifetime == "exit" and not is_living(change, function) and not living:
            yield _finding(
                change,
                "exit_code_changed",
                f"The function {name} {verb}, but built-in code is never unloaded, so it never runs.",
                function=name,
                change=function.change,
            )
        elif function.lifetime in ("entry", "static call"):
            yield _finding(
                change,
                "entry_code_changed" if function.lifetime == "entry" else "static_call_changed",
                f"The function {name} {verb}; it is in {function.piece.section.name}, where calls "
                "cannot be sent to a module.",
                function=name,
                change=function.change,
            )


# ---- data


def _data(change: UnitChange) -> Iterator[Finding]:
    for datum in change.difference.data:
        piece = datum.piece
        common = {"data": datum.name, "section": piece.section.name}
        if datum.lifetime == "registered":
            yield from _registered(change, datum, common)
        elif datum.lifetime == "init data":
            if datum.change != "removed":
                yield _finding(
                    change,
                    "init_data_changed",
                    f"The data {datum.name} changes, but only code that has run at start used it.",
                    **common,
                )
        elif datum.change == "removed":
            if not _is_forgettable(piece):
                yield _finding(
                    change,
                    "data_removed",
                    f"The variable {datum.name} is gone; what it holds in the running kernel would be lost.",
                    size=datum.pre_size,
                    **common,
                )
        elif datum.pre is not None and datum.post is not None:
            yield _changed_data(change, datum, datum.pre, datum.post, common)
        elif datum.lifetime == "unknown":
            yield _finding(
                change,
                "registered_entry_changed",
                f"The data {datum.name} is new in section {piece.section.name}, and what the kernel does with that "
                "section is not known.",
                **common,
            )


def _registered(change: UnitChange, datum: Change, common: dict) -> Iterator[Finding]:
    """Initcalls are told by the code that they run, a module's own tables by nobody once it is loaded."""
    piece = datum.piece
    if piece.section.name.startswith((".initcall", ".con_initcall", ".exitcall")):
        return
    verb = {"changed": "changes", "new": "is new", "removed": "is gone"}[datum.change]
    yield _finding(
        change,
        "registered_entry_changed",
        f"The entry {datum.name} of section {piece.section.name} {verb}; the kernel reads that section only at start.",
        **common,
    )


def _is_forgettable(piece: Piece) -> bool:
    if piece.lifetime in PER_SITE or piece.lifetime == "constant" or not piece.size:
        return True
    return (counterless(piece.name) or piece.name) in _FORGETTABLE


def _changed_data(change: UnitChange, datum: Change, pre: Piece, post: Piece, common: dict) -> Finding:
    kind = "constant" if pre.lifetime == "constant" else "variable"
    if pre.size != post.size:
        return _finding(
            change,
            "data_resized",
            f"The {kind} {datum.name} {'grows' if post.size > pre.size else 'shrinks'} from {pre.size} to {post.size} "
            "bytes.",
            pre_size=pre.size,
            post_size=post.size,
            **common,
        )
    if pre.lifetime != post.lifetime:
        return _finding(
            change,
            "data_moved",
            f"The {kind} {datum.name} moves from section {pre.section.name} to {post.section.name}.",
            pre_section=pre.section.name,
            **common,
        )
    correlation = change.difference.correlation
    offset = _first_difference(correlation.pre, pre, correlation.post, post)
    return _finding(
        change,
        f"{kind}_changed",
        f"The initial value of the {kind} {datum.name} changes (at byte {offset} of {pre.size}); the running kernel "
        "keeps the old one.",
        offset=offset,
        size=pre.size,
        **common,
    )


def _first_difference(pre: Pieces, a: Piece, post: Pieces, b: Piece) -> int:
    ours, theirs = pre.masked(a), post.masked(b)
    bytes_at = next((i for i, (x, y) in enumerate(zip(ours, theirs)) if x != y), len(ours))
    theirs_at = {r.offset: r for r in post.references(b)}
    ours_at = {r.offset: r for r in pre.references(a)}
    differing = [o for o in {*ours_at, *theirs_at} if (o in ours_at) != (o in theirs_at)]
    differing += [o for o in {*ours_at} & {*theirs_at} if _differ(ours_at[o].target, theirs_at[o].target)]
    return min([bytes_at, *differing])


def _differ(x, y) -> bool:
    return (x.name if isinstance(x, Piece) else x) != (y.name if isinstance(y, Piece) else y)


# ---- exported symbols


def _exports(change: UnitChange) -> Iterator[Finding]:
    objects = (change.difference.correlation.pre.object, change.difference.correlation.post.object)
    pre, post = (_exported_names(o) for o in objects)
    for name in sorted(pre ^ post):
        yield _finding(
            change,
            "exports_changed",
            f"The symbol {name} is {'exported' if name in post else 'not exported any more'}; the running kernel's "
            "list of exported symbols cannot be changed.",
            symbol=name,
        )
    checksums = [export_checksums(o.path) for o in objects]
    for name in sorted(set(checksums[0]) & set(checksums[1])):
        if checksums[0][name] != checksums[1][name]:
            yield _finding(
                change,
                "export_checksum_changed",
                f"The checksum of the exported symbol {name} changes from {checksums[0][name]:#010x} to "
                f"{checksums[1][name]:#010x}: the types that modules share with it are others.",
                symbol=name,
            )


def _exported_names(object_file) -> set[str]:
    names = set()
    for section in object_file.sections:
        if section.name.startswith(EXPORT_PREFIX[:2]):
            names.add(section.name.partition("+")[2])
        elif section.name == EXPORT_PREFIX[2]:
            names |= {s.name.removeprefix("__export_symbol_") for s in section.symbols}
    return names


# ---- layouts


def _layouts(change: UnitChange) -> Iterator[Finding]:
    pre, post = (types.layouts for types in change.difference.types)
    changed = [(pre[name], post[name]) for name in sorted(set(pre) & set(post)) if pre[name] != post[name]]
    causes = [(a, b) for a, b in changed if _words(a) != _words(b)]
    followers = [a.name for a, b in changed if (a, b) not in causes]
    for a, b in causes or changed:
        yield _finding(
            change,
            "layout_changed",
            f"{_what_changed(a, b)}; objects of the old layout are alive.",
            type=a.name,
            pre_size=a.size,
            post_size=b.size,
            also_changed=followers,
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
                return f"{member} was {ours[name].bits} bits wide and becomes {theirs[name].bits}"
            return f"{member} moves from bit {ours[name].offset} to {theirs[name].offset}"
    return f"{a.name} changes"


def _by_name(members: Iterable[Member]) -> dict[str, Member]:
    return {m.name: m for m in members}


# ---- jumps


def _jumps(change: UnitChange, kernel: special.Kernel) -> Iterator[Finding]:
    exact, places = Pieces(change.pre), jumps.LatePlaces(Places(change.pre, kernel))
    for function in change.difference.functions:
        if function.change != "changed" or not is_living(change, function):
            continue
        piece = exact.by_name.get(function.name)
        if piece is None:
            continue  # make_replacement() refuses it by name
        offset = jumps.jump_offset(change.pre, piece.section, piece.start)
        room = jumps.room_for_jump(piece.section, piece.start, offset)
        if room < jumps.JUMP_SIZE:
            yield _finding(
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
            yield _finding(
                change,
                "jump_over_rewritten_code",
                f"The function {function.name} begins with {under}; the kernel stops with an error when it comes to "
                "rewrite that and finds a jump.",
                function=function.name,
                under=under,
            )
        other = jumps.side_entrance(exact, piece)
        if other:
            yield _finding(
                change,
                "entered_in_the_middle",
                f"{other} enters the function {function.name} behind its entry, where no jump leads away.",
                function=function.name,
                by=other,
            )
