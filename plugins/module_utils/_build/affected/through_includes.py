# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a patch changes through files that others include: the units that come out otherwise, or a refusal."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected import embedded, offsets
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.narrower import Narrower
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.touched import Touched
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.overlay import PatchedSource
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import Say
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import Unit


def changed_through(
    tree: KernelTree, touched: Touched, source: PatchedSource, jobs: int, say: Say
) -> tuple[list[Unit], dict[str, int]]:
    """The units of ``touched.through`` that come out otherwise, and of how many units what was found (``Narrower``).

    Raises ``RebootlessError``: ``generated_source_changes``, ``vdso_not_supported``, ``embedded_code_not_supported``.
    """
    offsets.check(tree.architecture, Path(tree.build), source, touched.reached)
    narrower = Narrower(tree, source, touched.includes.graph, jobs, say)
    embedded.check(tree, narrower, touched.embedded, touched.files, jobs)
    return narrower.changed(touched.through), dict(narrower.counts)
