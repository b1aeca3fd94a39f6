# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the compiler alone, without debug information, makes the same of a unit's source before and after a patch."""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path

from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.compiler import SECTION_FLAGS
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.saved_command import (
    Roots,
    SavedCommand,
    run_saved,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import compare
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache, sha256_of
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

_KEPT = "quick-2"  # in the tree: what the compiler alone makes of unpatched units; before, only its SHA-256 was kept
_FLAGS = (*SECTION_FLAGS, "-g0", "-w")


class QuickObjects:
    """Compares units of ``tree`` in the place ``patched`` with the unpatched ones, whose objects are kept."""

    def __init__(self, tree: KernelTree, kept: Cache, original: Roots) -> None:
        self._tree, self._kept, self._original = tree, kept, original

    def same(self, name: str, command: SavedCommand, patched: Roots) -> bool:
        """Whether the objects of the unit ``name``, which ``command`` compiles, certainly say the same.

        Most objects that differ do so in what nothing goes by: a new inline function of a header shifts
        ``__COUNTER__``, and so the names of all that goes by a number (``__UNIQUE_ID_license837``), their order and
        places.  So they are compared as the objects of the whole way are (difference.py).  That one has debug
        information, too, which says what function a static local belongs to where its use does not; where it would
        be asked, the objects count as different here.
        """
        with tempfile.TemporaryDirectory(prefix="rebootless-") as scratch:
            pre, post = Path(scratch, "pre.o"), Path(scratch, "post.o")
            before = self._unpatched(name, command, pre)
            after = self._compiled(command, patched, post) if before is not None else None
            if before is None or after is None:
                return False
            if before == after:
                return True
            pre.write_bytes(before)
            return command.source.endswith(".c") and _say_the_same(pre, post)

    def _unpatched(self, name: str, command: SavedCommand, output: Path) -> bytes | None:
        path = self._kept.path(_KEPT, name, sha256_of(command.command, *_FLAGS)[:16])
        if path.is_file():
            return zlib.decompress(path.read_bytes())
        made = self._compiled(command, self._original, output)
        if made is not None:
            disk.replace(path, zlib.compress(made, 1))
        return made

    def _compiled(self, command: SavedCommand, place: Roots, output: Path) -> bytes | None:
        done = run_saved(command.compile_only(place, output, _FLAGS), self._tree.build)
        return output.read_bytes() if done.returncode == 0 else None


def _say_the_same(pre: Path, post: Path) -> bool:
    try:
        difference = compare(ObjectFile(pre), ObjectFile(post))
    except RebootlessError:
        return False
    return not difference and not difference.correlation.asked_debug_information
