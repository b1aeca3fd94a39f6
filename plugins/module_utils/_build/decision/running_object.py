# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs: an object compiled with the kernel's exact flags, with its pieces and its places."""

from __future__ import annotations

import functools

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.architecture import Kernel
from ansible_collections.rebootless.splice.plugins.module_utils._build.matching.places import Places
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import Pieces


class RunningObject:
    """``object`` as ``kernel`` runs it.  Pieces and places are found once, when the first step asks for them."""

    def __init__(self, object_file: ObjectFile, kernel: Kernel) -> None:
        self.object = object_file
        self._kernel = kernel

    @functools.cached_property
    def pieces(self) -> Pieces:
        """Raises ``RebootlessError`` like ``Pieces``."""
        return Pieces(self.object)

    @functools.cached_property
    def places(self) -> Places:
        """Where the kernel rewrites the object's code.  Raises ``RebootlessError`` like ``Places``."""
        return Places(self.object, self._kernel)
