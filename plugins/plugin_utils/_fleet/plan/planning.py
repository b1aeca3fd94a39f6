# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a plan: which hosts an update is for, with which package, in which order."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import checks, outcomes
from ansible_collections.rebootless.splice.plugins.module_utils._common.distribution import kernel_package
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import times
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.options import complete_budget
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan import batches
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import (
    FORMAT,
    KIND,
    LeftOut,
    Plan,
    PlanHost,
    PlannedUpdate,
    parse_plan,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.spread import (
    no_answer,
    too_slow,
    why_silent,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.windows import (
    Freeze,
    Window,
    read_freezes,
    read_windows,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import Row
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.manifest import (
    BUILT,
    NOT_APPLICABLE,
    KernelEntry,
    Manifest,
)

UNREACHABLE = "unreachable"  # the one state of a host that only plans know
# What a live update of a host says when it is there to stay.
CONFIRMED = "confirmed"
# Options that a plan has as they were given; the others decide something, or are completed.
AS_GIVEN = (
    "blockers",
    "concurrency",
    "deadline",
    "isolated_cpus",
    "metrics_directory",
    "persist",
    "revert_scope",
    "store_url",
    "task_timeout",
    "tries",
)


@dataclasses.dataclass(frozen=True)
class Asked:
    """A host as the inventory and its own answer describe it.

    ``answer`` is the result of kernel_info; ``windows`` (``None``: those of the plan) and ``timezone`` are its own, and
    ``freezes`` come to those of the plan.
    """

    answer: Row
    groups: tuple[str, ...] = ()
    windows: t.Any = None  # as the inventory has them, which may be anything
    freezes: t.Any = ()
    timezone: str | None = None


@dataclasses.dataclass(frozen=True)
class WorkTimes:
    """When hosts may be worked on that have no windows of their own."""

    timezone: str
    windows: list[Window]
    freezes: list[Freeze]


def make_plan(
    asked: t.Mapping[str, Asked],
    manifest: Manifest,
    store: str,
    policy: Row,
    created_by: str,
    now: datetime.datetime,
) -> Plan:
    """The plan for these hosts, in their order.

    ``policy`` has all of ``OPTIONS``.  The plan is checked like one that is read.

    Raises ``RebootlessError``: ``bad_batches``, the codes of windows, freezes and checks, and of `parse_plan`.
    """
    work_times = _work_times(policy)
    left_out = {name: _why_not_now(host, manifest, policy, work_times) for name, host in asked.items()}
    taken = {name: host for name, host in asked.items() if left_out[name] is None}
    made, ring_of = batches.make_batches({name: host.groups for name, host in taken.items()}, _rings(policy))
    places = {name: (number, ring_of[name]) for number, batch in enumerate(made) for name in batch.hosts}
    hosts = {name: _host(name, host, manifest, work_times, *places[name]) for name, host in taken.items()}
    return parse_plan(
        {
            "format": FORMAT,
            "kind": KIND,
            "update": _update(manifest).to_json(),
            "created": times.written(now),
            "created_by": created_by,
            "store": store,
            "hosts": {name: host.to_json() for name, host in hosts.items()},
            "left_out": {name: reason.to_json() for name, reason in left_out.items() if reason},
            "batches": [batch.to_json() for batch in made],
            "windows": [window.to_json() for window in work_times.windows],
            "freezes": [freeze.to_json() for freeze in work_times.freezes],
            **_rules(policy, now),
        },
        "The plan",
    )


def _update(manifest: Manifest) -> PlannedUpdate:
    return PlannedUpdate(manifest.name, manifest.version, manifest.cves, manifest.fixed_in, manifest.digest)


def _work_times(policy: Row) -> WorkTimes:
    timezone = policy["timezone"]
    windows = read_windows(policy["windows"], "the plan", timezone)
    return WorkTimes(timezone, windows, read_freezes(policy["freezes"], "the plan"))


def _rings(policy: Row) -> tuple[batches.Ring, ...]:
    return batches.read_rings(policy["rings"], batches.read_sizes(policy["batches"], "The size of batches"))


def _rules(policy: Row, now: datetime.datetime) -> Row:
    """The fields of the plan that the options decide by themselves, in JSON."""
    return {
        **{name: policy[name] for name in AS_GIVEN},
        "expires": _expires(policy["expires"], now),
        "checks": checks.normalise(policy["checks"]),
        "check_times": checks.normalise_times(policy["check_times"], policy["deadline"], policy["checks"]),
        "failure_budget": complete_budget(policy["failure_budget"]),
        "policy": {"uncovered": policy["uncovered"]},
        "approvals": {"required": policy["approvals"]},
    }


def why_left_out(answer: Row, manifest: Manifest, reboot_pending: str) -> LeftOut | None:
    """Why a host has no part in the rollout; ``None`` if it has.

    ``reboot_pending`` says what becomes of a host that could be booted into a kernel with the fix: it is patched live
    all the same (``patch``), or waits for its reboot (``reboot``).
    """
    kernel = answer.get("kernel") if isinstance(answer.get("kernel"), dict) else None
    if not kernel or not kernel.get("build_id"):
        state, code, step = _why_unknown(answer)
        return LeftOut(state, code, why_silent(answer), step, "", "")
    release, build_id = str(kernel["release"]), str(kernel["build_id"])
    return _has_it(kernel, manifest) or _by_entry(kernel, manifest, reboot_pending, release, build_id)


def _why_unknown(answer: Row) -> tuple[str, str, str]:
    """State, code and next step of a host whose kernel is not known."""
    if too_slow(answer):
        step = "Give it more time with rebootless_survey_timeout, or see that it can be reached; then plan again."
        return UNREACHABLE, "timeout", step
    if no_answer(answer):
        return UNREACHABLE, "unreachable", "See that it can be reached, and plan again."
    return outcomes.UNCOVERED, "kernel_unknown", "See why it does not say so, and plan again."


def _has_it(kernel: Row, manifest: Manifest) -> LeftOut | None:
    """Hosts that do not need the update: their kernel has the fix, or has got it live."""
    release, build_id = str(kernel["release"]), str(kernel["build_id"])
    version = str(kernel.get("version") or "")
    if kernel_package.fixed(version, manifest.versions_with_fix):
        sentence = f"It runs {release} {version}, which has the fix."
        return LeftOut(outcomes.NOT_NEEDED, "kernel_has_fix", sentence, "", release, build_id)
    entry = manifest.kernel(build_id)
    digest = entry.build_digest if entry else None
    for update in kernel.get("updates") or []:
        same = update["name"] == manifest.name and update.get("digest") == digest
        if same and update["state"] == CONFIRMED:
            sentence = f"{manifest.name} {update['version']} is live and confirmed."
            return LeftOut(outcomes.NOT_NEEDED, "live_already", sentence, "", release, build_id)
    return None


def _by_entry(kernel: Row, manifest: Manifest, reboot_pending: str, release: str, build_id: str) -> LeftOut | None:
    """Hosts for whose kernel there is no package, and those that had better be rebooted."""
    entry = manifest.kernel(build_id)
    fixed = _fixed_on_disk(kernel, manifest)
    if fixed and (reboot_pending == "reboot" or not _has_package(entry)):
        sentence = f"It runs {release} and has {fixed['release']} {fixed['version']} on disk, which has the fix."
        if _is_harmless(entry):
            fixed = None
        else:
            step = "Reboot it into that kernel."
            return LeftOut(outcomes.REBOOT_NEEDED, "fixed_kernel_installed", sentence, step, release, build_id)
    if entry is None:
        sentence = f"The update was never built for {release} with the build ID {build_id}."
        step = "Run the build playbook, then plan again."
        return LeftOut(outcomes.UNCOVERED, "no_build", sentence, step, release, build_id)
    if _has_package(entry):
        return _not_loadable(kernel, entry, release, build_id)
    state = outcomes.NOT_NEEDED if _is_harmless(entry) else outcomes.UNCOVERED
    return LeftOut(state, entry.code, entry.sentence, entry.next_step, release, build_id)


def _not_loadable(kernel: Row, entry: KernelEntry, release: str, build_id: str) -> LeftOut | None:
    """Hosts whose kernels demand signatures and do not trust the package's; they would refuse it themselves."""
    mode = kernel.get("lockdown")
    locked = mode in ("integrity", "confidentiality")
    if not locked and not kernel.get("signatures_enforced"):
        return None
    demands = f"Its kernel {f'is locked down ({mode})' if locked else 'enforces module signatures'}"
    if not entry.signer:
        sentence = f"{demands}, and the package {entry.package} is not signed."
        step = "Build the update with a signer whose certificate is enrolled on the host (docs/secure-boot.md)."
        return LeftOut(outcomes.UNCOVERED, "unsigned_module", sentence, step, release, build_id)
    keys = kernel.get("module_keys")
    if not isinstance(keys, list) or any(row["key_id"] == entry.signer["key_id"] for row in keys):
        return None
    sentence = f"{demands}, and trusts no certificate of the package's signer {entry.signer['subject']}."
    step = f"Enrol the certificate with the SHA-256 {entry.signer['fingerprint']} on it (docs/secure-boot.md)."
    return LeftOut(outcomes.UNCOVERED, "signer_not_trusted", sentence, step, release, build_id)


def _isolated_cpus(kernel: Row) -> str:
    found = kernel.get("isolated_cpus")
    return str(found.get("all") or "") if isinstance(found, dict) else ""


def _why_not_now(host: Asked, manifest: Manifest, policy: Row, plan: WorkTimes) -> LeftOut | None:
    found = why_left_out(host.answer, manifest, policy["reboot_pending"])
    return found or _why_undisturbed(host, policy["isolated_cpus"], plan)


def _why_undisturbed(host: Asked, policy: str, plan: WorkTimes) -> LeftOut | None:
    """Hosts with isolated CPUs, which a switch would stop like all others, if the policy does not want that."""
    kernel = host.answer["kernel"]
    cpus = _isolated_cpus(kernel)
    windows = plan.windows if host.windows is None else host.windows
    if not cpus or policy == "apply" or (policy == "window" and windows):
        return None
    sentence = f"A switch stops all CPUs for a moment, and it keeps CPUs {cpus} free of interruptions"
    if policy == "window":
        sentence, step = f"{sentence}; it has no maintenance window.", "Give it windows, and plan again."
    else:
        sentence += "."
        step = "Plan again with isolated_cpus: window or apply, or reboot it into a fixed kernel."
    build = str(kernel["release"]), str(kernel["build_id"])
    return LeftOut(outcomes.UNCOVERED, "isolated_cpus", sentence, step, *build)


def _has_package(entry: KernelEntry | None) -> bool:
    return entry is not None and entry.status == BUILT


def _is_harmless(entry: KernelEntry | None) -> bool:
    """Whether the kernel has no part in what the update changes."""
    return entry is not None and entry.status == NOT_APPLICABLE


def _fixed_on_disk(kernel: Row, manifest: Manifest) -> Row | None:
    """A kernel that the host could boot and that has the fix."""
    for row in kernel.get("installed") or []:
        if kernel_package.fixed(row["version"], manifest.versions_with_fix):
            return row
    return None


def _host(name: str, host: Asked, manifest: Manifest, plan: WorkTimes, batch: int, ring: str) -> PlanHost:
    """A host of the plan; what holds for all hosts, as a freeze of the plan, is not said of it again."""
    kernel = host.answer["kernel"]
    entry = manifest.kernel(kernel["build_id"])
    if entry is None:
        raise ValueError(name)
    timezone = host.timezone or plan.timezone
    where = f"the host {name}"
    own = plan.windows if host.windows is None else read_windows(host.windows, where, timezone)
    freezes = [freeze for freeze in read_freezes(host.freezes, where) if freeze not in plan.freezes]
    return PlanHost(
        release=kernel["release"],
        build_id=kernel["build_id"],
        arch=kernel["arch"],
        batch=batch,
        ring=ring,
        package=entry.package,
        sha256=entry.sha256,
        size=entry.size,
        windows=own,
        timezone=timezone,
        freezes=freezes,
        isolated_cpus=_isolated_cpus(kernel),
    )


def _expires(value: t.Any, now: datetime.datetime) -> str | None:
    """When the plan is no longer good, from a time or a number of hours."""
    if value in (None, ""):
        return None
    text = str(value)
    if text.isdecimal():
        try:
            return times.written(now + datetime.timedelta(hours=int(text)))
        except OverflowError as error:
            raise RebootlessError(
                "bad_plan",
                f"The plan would expire in {text} hours, which is beyond the calendar.",
                "Give fewer hours, or a time such as 2026-12-24T18:00:00+01:00.",
                expires=text,
            ) from error
    moment = times.parse_time(text, "The time at which the plan expires", "bad_plan")
    if moment <= now:
        raise RebootlessError(
            "plan_expired", f"The plan would expire at {text}, which is past.", "Give a later time.", expires=text
        )
    return times.written(moment)
