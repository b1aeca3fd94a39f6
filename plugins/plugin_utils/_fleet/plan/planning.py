# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a plan: which hosts an update is for, with which package, in which order."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import checks, debian_version, outcomes
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import times
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.options import complete_budget
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan import batches, windows
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import (
    FORMAT,
    KIND,
    LeftOut,
    Plan,
    parse_plan,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.spread import no_answer, why_silent
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.manifest import (
    BUILT,
    NOT_APPLICABLE,
    Manifest,
    Row,
)

UNREACHABLE = "unreachable"  # the one state of a host that only plans know
# What a live update of a host says when it is there to stay.
CONFIRMED = "confirmed"
# Options that a plan has as they were given; the others decide something, or are completed.
AS_GIVEN = (
    "concurrency",
    "deadline",
    "freezes",
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
    windows: t.Any = None
    freezes: t.Any = ()
    timezone: str | None = None


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
    own = windows.read_windows(policy["windows"], "the plan", policy["timezone"])
    hosts, left_out = _sorted_out(asked, manifest, policy, own)
    rings = batches.read_rings(policy["rings"], batches.read_sizes(policy["batches"], "The size of batches"))
    made, ring_of = batches.make_batches({name: asked[name].groups for name in hosts}, rings)
    for number, batch in enumerate(made):
        for name in batch.hosts:
            hosts[name].update(batch=number, ring=ring_of[name])
    return parse_plan(
        {
            "format": FORMAT,
            "kind": KIND,
            "update": {
                "name": manifest.name,
                "version": manifest.version,
                "cves": manifest.cves,
                "fixed_in": manifest.fixed_in,
                "manifest_sha256": manifest.sha256,
            },
            "created": times.written(now),
            "created_by": created_by,
            "expires": _expires(policy["expires"], now),
            "store": store,
            "hosts": hosts,
            "left_out": {name: row.to_json() for name, row in left_out.items()},
            "batches": [batch.to_json() for batch in made],
            **{name: policy[name] for name in AS_GIVEN},
            "checks": checks.normalise(policy["checks"]),
            "check_times": checks.normalise_times(policy["check_times"], policy["deadline"], policy["checks"]),
            "failure_budget": complete_budget(policy["failure_budget"]),
            "windows": own,
            "policy": {"uncovered": policy["uncovered"]},
            "approvals": {"required": policy["approvals"]},
        },
        "The plan",
    )


def _sorted_out(
    asked: t.Mapping[str, Asked], manifest: Manifest, policy: Row, own: list[Row]
) -> tuple[dict[str, Row], dict[str, LeftOut]]:
    """The hosts with a part in the rollout, each without its place in it, and the others with the reason."""
    left_out: dict[str, LeftOut] = {}
    hosts: dict[str, Row] = {}
    for name, host in asked.items():
        reason = why_left_out(host.answer, manifest, policy["reboot_pending"])
        if reason:
            left_out[name] = reason
        else:
            hosts[name] = _host(name, host, manifest, own, policy["timezone"])
            freezes = [row for row in host.freezes if row not in policy["freezes"]]
            hosts[name].update({"freezes": freezes} if freezes else {})
    return hosts, left_out


def why_left_out(answer: Row, manifest: Manifest, reboot_pending: str) -> LeftOut | None:
    """Why a host has no part in the rollout; ``None`` if it has.

    ``reboot_pending`` says what becomes of a host that could be booted into a kernel with the fix: it is patched live
    all the same (``patch``), or waits for its reboot (``reboot``).
    """
    kernel = answer.get("kernel") if isinstance(answer.get("kernel"), dict) else None
    if not kernel or not kernel.get("build_id"):
        state, code = (UNREACHABLE, "unreachable") if no_answer(answer) else (outcomes.UNCOVERED, "kernel_unknown")
        return LeftOut(state, code, why_silent(answer), "See that it can be reached, and plan again.", "", "")
    release, build_id = str(kernel["release"]), str(kernel["build_id"])
    return _has_it(kernel, manifest) or _by_entry(kernel, manifest, reboot_pending, release, build_id)


def _has_it(kernel: Row, manifest: Manifest) -> LeftOut | None:
    """Hosts that do not need the update: their kernel has the fix, or has got it live."""
    release, build_id = str(kernel["release"]), str(kernel["build_id"])
    version = str(kernel.get("version") or "")
    if debian_version.fixed(version, manifest.versions_with_fix):
        sentence = f"It runs {release} {version}, which has the fix."
        return LeftOut(outcomes.NOT_NEEDED, "kernel_has_fix", sentence, "", release, build_id)
    entry = manifest.kernel(build_id) or {}
    for update in kernel.get("updates") or []:
        same = update["name"] == manifest.name and update.get("digest") == entry.get("build_digest")
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
        return None
    state = outcomes.NOT_NEEDED if _is_harmless(entry) else outcomes.UNCOVERED
    return LeftOut(state, entry["code"], entry["sentence"], entry["next_step"], release, build_id)


def _has_package(entry: Row | None) -> bool:
    return entry is not None and entry["status"] == BUILT


def _is_harmless(entry: Row | None) -> bool:
    """Whether the kernel has no part in what the update changes."""
    return entry is not None and entry["status"] == NOT_APPLICABLE


def _fixed_on_disk(kernel: Row, manifest: Manifest) -> Row | None:
    """A kernel that the host could boot and that has the fix."""
    for row in kernel.get("installed") or []:
        if debian_version.fixed(row["version"], manifest.versions_with_fix):
            return row
    return None


def _host(name: str, host: Asked, manifest: Manifest, own: list[Row], zone: str) -> Row:
    """A host of the plan, without its place in it."""
    kernel = host.answer["kernel"]
    entry = manifest.kernel(kernel["build_id"])
    if entry is None:
        raise ValueError(name)
    timezone = host.timezone or zone
    rows = own if host.windows is None else windows.read_windows(host.windows, f"the host {name}", timezone)
    return {
        "release": kernel["release"],
        "build_id": kernel["build_id"],
        "arch": kernel["arch"],
        "batch": 0,
        "ring": "",
        "package": entry["package"],
        "sha256": entry["sha256"],
        "size": entry["size"],
        "windows": rows,
        "timezone": timezone,
    }


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
