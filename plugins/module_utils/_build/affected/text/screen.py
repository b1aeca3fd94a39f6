# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which units can have anything to do with a change of headers, from the text of the sources alone.

A change of a header goes by names: of the functions, types, macros and prototypes that change.  A source that mentions
none of them is not changed by it; nor is it by a header that does, if that mention is inside of something that goes by
another name, and the source does not mention that either, and so on.  A mention inside of anything else counts for all
that includes the file, and what token pasting (``##``) may make counts as mentioned (token_pasting.py).  Nothing is
compiled or preprocessed for this, so it takes seconds for thousands of units.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import zlib
from pathlib import Path
from typing import Iterable, Mapping, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.includes import IncludeGraph
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.item_names import (
    HeaderChange,
    change,
    names,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.macros import MacroTable
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.pasted_names import Makers, Site
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.source_items import (
    Item,
    defined,
    definitions,
    pieces,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.token_pasting import sites
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.code_digest import source_digest
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.search import files_with_words
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, strict_json

_WORD = re.compile(rb"\w+")
_HEADER = ".h"
_ASSEMBLER = ".S"
_MOST = 1500  # names; a change that concerns more of them concerns nearly everything


@dataclasses.dataclass(frozen=True)
class Screened:
    """``files``: those that may be concerned, and with them the files that include one; None if all may be.

    ``names`` are what the change goes by, and what goes by that; ``changes`` has what changes in each file, None if
    that goes by no name, or by a new one that is defined as a macro somewhere.
    """

    files: frozenset[str] | None
    names: tuple[str, ...]
    changes: Mapping[str, HeaderChange | None]


@dataclasses.dataclass(frozen=True)
class _Index:
    """What is known of all sources: their macros, and the places that make names."""

    table: MacroTable
    makers: Makers


class Screen:
    """The sources that are compiled from ``sources``: files below ``roots`` (the first that has it counts).

    ``given`` are words that no file holds, but the commands that compile them.  What is learnt about all of them is
    kept in ``kept``.  Raises ``RebootlessError`` (``scan_failed``).
    """

    def __init__(
        self,
        roots: Sequence[Path],
        sources: Iterable[str],
        graph: IncludeGraph,
        kept: Cache,
        given: Iterable[str] = (),
    ) -> None:
        self._roots = roots
        self._graph = graph
        self._kept = kept
        self._given = {word.encode() for word in given}
        reached = {path: self._place(path) for path in graph.included_by(sources) if not path.endswith(_ASSEMBLER)}
        self._files: dict[str, Path] = {path: place for path, place in reached.items() if place is not None}
        self._paths = {str(place): path for path, place in self._files.items()}
        self._pieces: dict[str, list[Item] | None] = {}

    def look(self, changes: Mapping[str, tuple[bytes, bytes]]) -> Screened:
        """What ``changes`` of headers (path -> text before and after) concern."""
        index = self._index
        table = index.table
        known: dict[str, HeaderChange] = {}
        concerned = set()
        every: dict[str, HeaderChange | None] = {}
        for path, (pre, post) in changes.items():
            every[path] = found = change(pre, post, table) if path.endswith(_HEADER) else None
            if found is None:
                concerned.add(path)
            else:
                known[path] = found
        waiting = set().union(*(found.names for found in known.values()))
        macros = set().union(*(found.macros for found in known.values()))
        seen = set(waiting)
        every = self._without_macros(every)
        while waiting:
            if len(seen) > _MOST:
                return Screened(None, _sorted(seen), every)
            new: set[bytes] = set()
            for path in self._mentioning(waiting):
                if path in concerned:
                    continue
                changed = known[path].pieces if path in known else frozenset()
                further = self._further(path, waiting, macros, changed, table) if path.endswith(_HEADER) else None
                if further is None:
                    concerned.add(path)
                else:
                    new |= further
            for site in {site for name in waiting for site in index.makers.of(name)}:
                if site.macro and site.path.endswith(_HEADER):
                    new.add(site.macro)
                else:
                    concerned.add(site.path)
            waiting = new - seen
            seen |= waiting
        return Screened(frozenset(concerned), _sorted(seen), every)

    def _further(
        self, path: str, wanted: set[bytes], macros: set[bytes], changed: frozenset[Item], table: MacroTable
    ) -> set[bytes] | None:
        """By which further names a header uses ``wanted``; None if by no name."""
        if path not in self._pieces:
            self._pieces[path] = pieces(self._files[path].read_bytes())
        found = self._pieces[path]
        if found is None:
            return None
        further: set[bytes] = set()
        for piece in found:
            mentioned = piece.words & wanted
            if not mentioned or piece in changed:
                continue
            if piece.kind in (b"ifdef", b"ifndef") and not mentioned & macros:
                continue  # whether it is defined does not change
            by = names(piece, table)
            if by is None:
                return None
            further |= by
        return further

    def _without_macros(self, changes: Mapping[str, HeaderChange | None]) -> dict[str, HeaderChange | None]:
        """The same; None also where a fresh name is defined as a macro in any file: ``int foo(void)`` may be another
        function then."""
        fresh = set().union(*(found.fresh for found in changes.values() if found is not None))
        texts = (self._files[path].read_bytes() for path in self._mentioning(fresh)) if fresh else ()
        macros = fresh.intersection(defined(piece)[0] for text in texts for piece in definitions(text))
        return {path: None if found is None or found.fresh & macros else found for path, found in changes.items()}

    def _mentioning(self, words: Iterable[bytes]) -> list[str]:
        """The files that mention one of ``words`` anywhere."""
        files = files_with_words((str(place) for place in self._files.values()), words)
        return [self._paths[file] for file in files]

    @functools.cached_property
    def _index(self) -> _Index:
        # Another release that knows other macros must not go by what this one kept.
        name = f"macros-{source_digest(__name__)[:16]}.json.z"
        path = self._kept.path(name)
        with self._kept.lock(name):
            if not path.is_file():
                texts = {name: place.read_bytes() for name, place in self._files.items()}
                table = MacroTable.of(text for name, text in texts.items() if name.endswith(_HEADER))
                words = set().union(*(_WORD.findall(text) for text in texts.values()))
                rows = [site.to_row() for site in sites(texts, self._mentioning, words)]
                kept = {"table": table.to_json(), "sites": rows, "words": b" ".join(words).decode()}
                disk.replace(path, zlib.compress(strict_json.exact(kept), 1))
            kept = strict_json.parse(zlib.decompress(path.read_bytes()))
        made = [Site.from_row(row) for row in kept["sites"]]
        # A source that others include is read by them, such as kernel/sched/rt.c by kernel/sched/build_policy.c.
        shared = {path for path in self._files if path.endswith(_HEADER) or self._graph.direct([path])}
        words = {*kept["words"].encode().split(), *self._given}
        return _Index(MacroTable.from_json(kept["table"]), Makers(made, words, shared))

    def _place(self, path: str) -> Path | None:
        return next((root / path for root in self._roots if (root / path).is_file()), None)


def _sorted(names: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(sorted(name.decode() for name in names))
