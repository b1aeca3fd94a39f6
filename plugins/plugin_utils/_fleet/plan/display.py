# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators are shown of builds and plans, in lines."""

from __future__ import annotations

import collections
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import signers
from ansible_collections.rebootless.splice.plugins.module_utils._common.distribution import kernel_package
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import LEFT_OUT, Plan
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.spread import PlannedKernel, Survey
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.windows import Window
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.manifest import BUILT, STATUSES, Manifest

UNKNOWN_SIGNER = "of a signer that the store does not name"
FEW = 6  # hosts that are named one by one


def build_lines(found: Survey, manifest: Manifest, work: t.Mapping[str, t.Sequence[PlannedKernel]]) -> list[str]:
    """The fleet's kernels and what became of the update for each; who builds what is still to be built."""
    builders = {kernel.build_id: host for host, kernels in work.items() for kernel in kernels}
    lines = [f"{manifest.name} {manifest.version}: {count(len(found.kernels), 'kernel')} in the fleet"]
    for kernel in found.kernels:
        lines.append(f"  {_kernel(kernel)}, {count(len(kernel.hosts), 'host')}: {_outcome(kernel, manifest, builders)}")
    for host, why in found.silent.items():
        lines.append(f"  {host}: {why}")
    return lines


def _kernel(kernel: PlannedKernel) -> str:
    version = f"{kernel.version}, " if kernel.version else ""
    return f"{kernel.release} ({version}build ID {kernel.build_id[:12]})"


def _outcome(kernel: PlannedKernel, manifest: Manifest, builders: t.Mapping[str, str]) -> str:
    if kernel.build_id in builders:
        return f"to be built on {builders[kernel.build_id]}"
    if kernel_package.fixed(kernel.version, manifest.versions_with_fix):
        return "has the fix already"
    entry = manifest.kernel(kernel.build_id)
    if entry is None:
        return "not built"
    if entry.status == BUILT:
        functions = f"{count(len(entry.functions), 'function')} ({', '.join(entry.functions[:FEW])})"
        return f"built, {functions}, {signers.described(entry.signer)}"
    return f"{STATUSES[entry.status]}. {entry.code}: {entry.sentence} {entry.next_step}".rstrip()


def count(number: int, one: str, many: str = "") -> str:
    """A number with its noun."""
    return f"{number} {one}" if number == 1 else f"{number} {many or one + 's'}"


def plan_lines(plan: Plan, manifest: Manifest) -> list[str]:
    """What a plan says, in the order in which it will happen, and what its builds have to say."""
    update = plan.update
    lines = [
        f"Plan {plan.digest}",
        f"  {update.name} {update.version}, which fixes {', '.join(update.cves) or 'no CVE that is named'}",
        f"  made by {plan.created_by} at {plan.created}" + (f", good until {plan.expires}" if plan.expires else ""),
        f"  packages from {plan.store_url or plan.store}",
        f"  {count(len(plan.hosts), 'host')} in {count(len(plan.batches), 'batch', 'batches')}:",
    ]
    for number, batch in enumerate(plan.batches):
        lines.append(f"    {batch.name}: {few(batch.hosts)}; {_budget(plan.budget(number), len(batch.hosts))}")
    if not plan.hosts:
        lines.append("    No host: there is nothing to roll out.")
    lines += _kernel_lines(plan, manifest)
    lines += _remark_lines(plan, manifest)
    lines += _rule_lines(plan)
    lines += _left_out_lines(plan)
    return lines


def few(hosts: t.Sequence[str]) -> str:
    """The number of hosts and the first of their names."""
    names = ", ".join(hosts[:FEW])
    return f"{count(len(hosts), 'host')} ({names})" if len(hosts) <= FEW else f"{len(hosts)} hosts ({names}, ...)"


def named(hosts: t.Sequence[str], most: int) -> str:
    """The first ``most`` of their names, and how many there are besides."""
    more = len(hosts) - most
    return ", ".join(hosts[:most]) + (f" and {more} more" if more > 0 else "")


def _budget(allowed: int, hosts: int) -> str:
    if allowed >= hosts:
        return "all of them may fail"
    return "none may fail" if allowed == 0 else f"{allowed} may fail"


def _kernel_lines(plan: Plan, manifest: Manifest) -> list[str]:
    """Each kernel with its package and whose signature that has, of which an approver approves the whole."""
    known = {entry.build_id: signers.described(entry.signer) for entry in manifest.kernels}
    signed = collections.defaultdict(lambda: UNKNOWN_SIGNER, known)
    hosts: dict[tuple[str, str, str, str], list[str]] = {}
    for name, row in plan.hosts.items():
        hosts.setdefault((row.release, row.build_id, row.package, row.sha256), []).append(name)
    return [
        f"  {release} (build ID {build_id[:12]}): {package}, SHA-256 {digest}, {signed[build_id]}, {few(names)}"
        for (release, build_id, package, digest), names in sorted(hosts.items())
    ]


def _remark_lines(plan: Plan, manifest: Manifest) -> list[str]:
    """Each remark once, with the releases of which it is made."""
    releases: dict[str, set[str]] = {}
    wanted = {host.build_id for host in plan.hosts.values()}
    for entry in manifest.kernels:
        for remark in entry.remarks if entry.build_id in wanted else ():
            releases.setdefault(str(remark.get("sentence", "")), set()).add(entry.release)
    return [f"  remark ({', '.join(sorted(found))}): {sentence}" for sentence, found in sorted(releases.items())]


def _rule_lines(plan: Plan) -> list[str]:
    times = ", ".join(map(str, plan.check_times))
    own = [
        check["kind"] if check["kind"] == check["name"] else f"{check['name']} ({check['kind']})"
        for check in plan.checks
    ]
    lines = [
        f"  health checks at {times} s: {', '.join(own)}",
        f"  a host that is not confirmed {plan.deadline} s after the update was applied goes back by itself",
        {
            "host": "  where a batch fails, the failed hosts go back",
            "batch": "  where a batch fails, the whole batch goes back",
            "rollout": "  where a batch fails, all hosts go back",
        }[plan.revert_scope],
        "  confirmed updates are applied again at boot" if plan.persist else "  the update lasts until the next boot",
    ]
    isolated = [f"{name}: {row.isolated_cpus}" for name, row in plan.hosts.items() if row.isolated_cpus]
    if isolated:
        lines.append(f"  {few(isolated)} with isolated CPUs, which a switch stops for a moment like all others")
    own_windows = [name for name, row in plan.hosts.items() if row.windows != plan.windows]
    lines += [f"  {_window(window)}" for window in plan.windows]
    if own_windows:
        lines.append(f"  {few(own_windows)} with windows of their own")
    lines += [f"  nothing from {freeze.start} to {freeze.end}: {freeze.reason}" for freeze in plan.freezes]
    return lines


def _window(window: Window) -> str:
    return f"window: {', '.join(window.days)} {window.start} to {window.end} {window.timezone}"


def _left_out_lines(plan: Plan) -> list[str]:
    """Hosts without a part, those with the same reason together, what needs attention first."""
    groups: dict[tuple[int, str, str, str, str], list[str]] = {}
    for name, row in plan.left_out.items():
        key = (LEFT_OUT.index(row.state), row.state, row.code, row.sentence, row.next_step)
        groups.setdefault(key, []).append(name)
    lines = [f"  {count(len(plan.left_out), 'host')} left out:"] if groups else []
    for (_order, state, code, sentence, step), names in sorted(groups.items()):
        lines.append(f"    {state}: {few(names)}. {code}: {sentence} {step}".rstrip())
    return lines
