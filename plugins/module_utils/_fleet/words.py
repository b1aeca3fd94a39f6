# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators are shown of builds and plans, in lines.  Private to rebootless.splice."""

from __future__ import annotations

import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._fleet.manifest import BUILT, STATUSES, Manifest
from ansible_collections.rebootless.splice.plugins.module_utils._fleet.spread import Kernel, Survey
from ansible_collections.rebootless.splice.plugins.module_utils._target import debian_version

FEW = 6  # hosts that are named one by one


def build_lines(found: Survey, manifest: Manifest, work: t.Mapping[str, t.Sequence[Kernel]]) -> list[str]:
    """The fleet's kernels and what became of the update for each; who builds what is still to be built."""
    builders = {kernel.build_id: host for host, kernels in work.items() for kernel in kernels}
    lines = [f"{manifest.name} {manifest.version}: {count(len(found.kernels), 'kernel')} in the fleet"]
    for kernel in found.kernels:
        lines.append(f"  {_kernel(kernel)}, {count(len(kernel.hosts), 'host')}: {_outcome(kernel, manifest, builders)}")
    for host, why in found.silent.items():
        lines.append(f"  {host}: {why}")
    return lines


def _kernel(kernel: Kernel) -> str:
    version = f"{kernel.version}, " if kernel.version else ""
    return f"{kernel.release} ({version}build ID {kernel.build_id[:12]})"


def _outcome(kernel: Kernel, manifest: Manifest, builders: t.Mapping[str, str]) -> str:
    if kernel.build_id in builders:
        return f"to be built on {builders[kernel.build_id]}"
    if debian_version.fixed(kernel.version, manifest.versions_with_fix):
        return "has the fix already"
    entry = manifest.kernel(kernel.build_id)
    if entry is None:
        return "not built"
    if entry["status"] == BUILT:
        return f"built, {count(len(entry['functions']), 'function')} ({', '.join(entry['functions'][:FEW])})"
    return f"{STATUSES[entry['status']]}. {entry['code']}: {entry['sentence']} {entry['next_step']}".rstrip()


def count(number: int, what: str) -> str:
    """A number with its noun."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
