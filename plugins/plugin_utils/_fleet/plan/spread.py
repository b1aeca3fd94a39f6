# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kernels a fleet runs, and which build host builds for which of them."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.distribution import kernel_package
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import Row
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.manifest import (
    BUILT,
    FAILED,
    NOT_APPLICABLE,
    Manifest,
)

ALL = "all"


@dataclasses.dataclass(frozen=True)
class PlannedKernel:
    """One kernel and the hosts that run it; its build ID is its name, the rest describes it."""

    build_id: str
    release: str
    version: str
    arch: str
    hosts: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Survey:
    """What a pass over the fleet found: its kernels, and the hosts of which it learned none, with the reason."""

    kernels: list[PlannedKernel]
    silent: dict[str, str]


def survey(answers: t.Mapping[str, Row]) -> Survey:
    """Sorts hosts by their kernels; ``answers`` has what kernel_info returned for each, or why it did not."""
    hosts: dict[str, list[str]] = {}
    kernels: dict[str, Row] = {}
    silent: dict[str, str] = {}
    for host in sorted(answers):
        kernel = answers[host].get("kernel")
        build_id = kernel.get("build_id") if isinstance(kernel, dict) else None
        if kernel and build_id:
            kernels[build_id] = kernel
            hosts.setdefault(build_id, []).append(host)
        else:
            silent[host] = why_silent(answers[host])
    found = [
        PlannedKernel(build_id, kernel["release"], kernel.get("version") or "", kernel["arch"], tuple(hosts[build_id]))
        for build_id, kernel in kernels.items()
    ]
    return Survey(sorted(found, key=lambda kernel: (kernel.release, kernel.build_id)), silent)


def no_answer(answer: Row) -> bool:
    """Whether a host could not be reached, or did not answer in time, which may be the same."""
    return bool(answer.get("unreachable")) or too_slow(answer)


def too_slow(answer: Row) -> bool:
    """Whether the time for the answer ran out: the host may be up, and slow."""
    return bool(answer.get("timedout"))


def why_silent(answer: Row) -> str:
    """In a sentence, why a host did not say which kernel it runs."""
    if answer.get("kernel"):
        return "Its kernel has no build ID."
    if too_slow(answer):
        period = answer["timedout"].get("period") if isinstance(answer["timedout"], dict) else None
        seconds = f"the {period} seconds" if period else "the time"
        return f"It did not answer within {seconds} of rebootless_survey_timeout: it is slow, or cannot be reached."
    reason = str(answer.get("msg") or "").strip().partition("\n")[0]
    reason = re.sub(r"^Task failed: ", "", reason)  # which Ansible puts before it from 2.19 on
    summary = "It cannot be reached" if no_answer(answer) else "It does not say which kernel it runs"
    return f"{summary}: {reason.rstrip('.')}." if reason else f"{summary}."


def unbuilt(
    kernels: t.Iterable[PlannedKernel], manifest: Manifest, again: t.Collection[str] = (), signed: bool = False
) -> list[PlannedKernel]:
    """The kernels that are to be built for: those without an answer in the store, and what failed there.

    Where builds are ``signed``, a package that is not is no answer.
    A kernel whose version says that it has the fix needs no build.
    ``again`` has build IDs or releases for which the answer is not taken, or ``all``.
    """
    return [kernel for kernel in kernels if _wanted(kernel, manifest, again, signed)]


def _wanted(kernel: PlannedKernel, manifest: Manifest, again: t.Collection[str], signed: bool) -> bool:
    if kernel_package.fixed(kernel.version, manifest.versions_with_fix):
        return False
    entry = manifest.kernel(kernel.build_id)
    if entry is None or entry.status == FAILED:
        return True
    if signed and entry.status == BUILT and not entry.signer:
        return True
    return any(name in again for name in (ALL, kernel.build_id, kernel.release))


def spread(kernels: t.Sequence[PlannedKernel], build_hosts: t.Sequence[str]) -> dict[str, list[PlannedKernel]]:
    """Shares kernels out to build hosts as evenly as they go.

    Kernels of one version share their source, so they stay together while no host is without work.
    """
    if not build_hosts:
        return {}
    groups: dict[str, list[PlannedKernel]] = {}
    for kernel in kernels:
        groups.setdefault(kernel.version or kernel.release, []).append(kernel)
    largest = -(-len(kernels) // len(build_hosts))  # rounded up: no build host gets more than that
    parts = [
        rows[start : start + largest]
        for _name, rows in sorted(groups.items())
        for start in range(0, len(rows), largest)
    ]
    shares: dict[str, list[PlannedKernel]] = {host: [] for host in build_hosts}
    for part in sorted(parts, key=len, reverse=True):
        rest = list(part)
        while rest:
            host = min(build_hosts, key=lambda name: (len(shares[name]), build_hosts.index(name)))
            room = max(largest - len(shares[host]), 1)
            shares[host] += rest[:room]
            rest = rest[room:]
    return {host: rows for host, rows in shares.items() if rows}


def uncovered(kernels: t.Iterable[PlannedKernel], manifest: Manifest) -> list[str]:
    """Releases of the kernels that may need the update and have no package."""
    return [kernel.release for kernel in kernels if not _settled(kernel, manifest)]


def _settled(kernel: PlannedKernel, manifest: Manifest) -> bool:
    entry = manifest.kernel(kernel.build_id)
    if entry is not None and entry.status in (BUILT, NOT_APPLICABLE):
        return True
    return kernel_package.fixed(kernel.version, manifest.versions_with_fix)
