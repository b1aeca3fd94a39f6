# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back from an update that must not stay.

Used by the steps of a rollout, and by the watcher that they leave behind.
"""

from __future__ import annotations

import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target import isolation
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts, sysfs
from ansible_collections.rebootless.splice.plugins.module_utils._target.rollout import records
from ansible_collections.rebootless.splice.plugins.module_utils._target.rollout.records import Records, since_boot
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import armed_record
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.store import Store
from ansible_collections.rebootless.splice.plugins.module_utils._target.update import UpdateOperation, UpdateRequest

MODULE, WATCHER, HELPER, REBOOT = "module", "watcher", "helper", "reboot"  # who took an update back
LOCK_S = 30  # for another task that changes the host's updates
SOON_S = 1


def check_failed(record: dict[str, t.Any]) -> RebootlessError:
    """The refusal that failed health checks of a record amount to."""
    bad = records.bad_results(record)
    first = bad[0]
    when = {"soak": f"{first['at']} s after the apply", "watch": f"{first['at']} s after the apply"}
    others = f" {len(bad) - 1} other checks failed, too." if len(bad) > 1 else ""
    return RebootlessError(
        "check_failed",
        f"The health check {first['name']!r} failed {when.get(first['moment'], 'before the confirmation')}: "
        f"{first['sentence']}{others}",
        "Find out whether the update is to blame: look at the host's services and its kernel log. Then try the host "
        "again, or correct the update.",
        checks=[{key: row[key] for key in ("name", "kind", "at", "sentence")} for row in bad],
    )


def go_back(record: dict[str, t.Any], reason: RebootlessError, who: str, request: t.Any) -> RebootlessError:
    """Reverses the update, and returns ``reason`` with how that went; it is the record's outcome from then on.

    ``request`` has ``tries``, ``blockers`` and ``state_directory``.  Where the update cannot be reversed now (a busy
    function), its deadline is set to now, so that the helper module goes on trying by itself.
    """
    reason.details.update(back(record["name"], who, request))
    if sysfs.state(record["name"]) not in sysfs.LIVE:
        reason.details.update(restore(record, request))
    remember(record, reason)
    return reason


def back(name: str, who: str, request: t.Any) -> dict[str, t.Any]:
    """Reverses an update that is live: ``reversed_by``, or what hinders it as ``not_reversed``."""
    wanted = UpdateRequest(
        "reversed",
        name=name,
        tries=request.tries,
        blockers=request.blockers,
        lock_timeout=LOCK_S,
        state_directory=request.state_directory,
    )
    operation = UpdateOperation(wanted, check_mode=False)
    try:
        result = operation.run()
    except RebootlessError as error:
        hindrance = {key: value for key, value in error.result().items() if key != "msg"}
        try:
            sysfs.control(name, f"extend {SOON_S}")
        except RebootlessError as refused:
            return {"not_reversed": hindrance, "deadline_refused": refused.code}
        return {"not_reversed": hindrance}
    return {"reversed_by": who if result["state_before"] in sysfs.LIVE else HELPER}


def keep_previous(name: str, request: t.Any, kept: Records) -> dict[str, t.Any] | None:
    """Remembers the confirmed version that is live now and is about to be replaced, None if there is no way to.

    Going back from the new version must not take away the old fix.  Returns what the record says of it; raises
    ``RebootlessError`` code ``record_failed``.
    """
    store = Store(request.state_directory)
    try:
        package = store.get(name)
        armed = armed_record.read(store, name)
    except RebootlessError:  # damaged: what cannot be put back must not hinder the fix
        return None
    if package is None or package.digest != sysfs.digest(name):
        return None
    kept.keep(name, package.content)
    armed_too = armed is not None and armed.build_digest == package.digest
    return {
        "version": package.version,
        "sha256": package.sha256,
        "build_digest": package.digest,
        "plan": armed.plan if armed is not None and armed_too else "",
        "armed": armed._asdict() if armed is not None and armed_too else None,
    }


def restore(record: dict[str, t.Any], request: t.Any) -> dict[str, t.Any]:
    """Has the confirmed version live again that the rollout had replaced: ``restored``, or why not.

    Nothing if there was none.
    """
    previous = record.get("previous")
    if not previous:
        return {}
    store, name = Store(request.state_directory), record["name"]
    wanted = UpdateRequest(
        "applied",
        package=Records(request.state_directory).previous_path(name),
        sha256=previous["sha256"],
        name=name,
        confirm=True,
        isolated_cpus=isolation.APPLY,  # it was live a moment ago
        tries=request.tries,
        blockers=request.blockers,
        lock_timeout=LOCK_S,
        state_directory=request.state_directory,
    )
    operation = UpdateOperation(wanted, check_mode=False)
    try:
        operation.run()
        if previous["armed"] and operation.package is not None:
            path = armed_record.package_path(store, name, previous["sha256"])
            disk.replace_durably(path, operation.package.content)
            boots = tuple(previous["armed"]["boots"])
            armed_record.write(store, armed_record.ArmedRecord(**{**previous["armed"], "boots": boots}))
    except (OSError, RebootlessError) as error:
        code = error.code if isinstance(error, RebootlessError) else "host_error"
        return {"not_restored": {"version": previous["version"], "code": code, "sentence": str(error)}}
    return {"restored": previous["version"]}


def remember(record: dict[str, t.Any], error: RebootlessError) -> None:
    """Makes a refusal the outcome of a record."""
    outcome = error.result()
    record["step"] = records.FAILED
    record["outcome"] = {"state": "failed", **{key: outcome[key] for key in outcome if key != "msg"}}


def recorded(record: dict[str, t.Any]) -> RebootlessError:
    """The refusal that is a record's outcome."""
    outcome = record["outcome"]
    return RebootlessError(outcome["code"], outcome["sentence"], outcome["next_step"], **outcome["details"])


def gone(record: dict[str, t.Any]) -> RebootlessError:
    """Why an update that a record says is live is not."""
    if record["boot_id"] != facts.boot_id():
        return RebootlessError(
            "rebooted",
            "The host was booted again before the update was confirmed, so it runs without the update.",
            "Find out why it was booted: its console or pstore may hold an oops. Then try the host again, or correct "
            "the update.",
            reversed_by=REBOOT,
            boot_id=record["boot_id"],
        )
    if record["applied_at"] is not None and since_boot() >= record["applied_at"] + record["deadline"]:
        return RebootlessError(
            "deadline_passed",
            "No confirmation came in time, so the helper module has reversed the update.",
            "Find out why the controller could not reach the host, or why its watcher could not finish; then try the "
            "host again.",
            reversed_by=HELPER,
            deadline=record["deadline"],
        )
    return RebootlessError(
        "not_live",
        "The update was live on this host, and is not any more, although its deadline has not passed.",
        "Another task reversed it, or it was never applied: see the host's kernel log. Then try the host again.",
    )


def other_rollout(request: t.Any, record: dict[str, t.Any] | None) -> RebootlessError:
    """The refusal where another rollout has the update in hand, or the host has just been booted with it."""
    name = request.name
    armed = armed_record.read(Store(request.state_directory), name)
    if armed is not None and armed.tried(facts.boot_id()):
        return RebootlessError(
            "boot_not_settled",
            f"The host has just been booted, and has applied the update {name} {armed.version} while it came up. It is "
            "confirmed when the host has been up for some time.",
            "Try again in a few minutes.",
            plan=armed.plan,
            version=armed.version,
        )
    plan = record["plan"] if record else None
    who = f"the rollout {plan[:12]}" if plan else "a task outside of any rollout"
    return RebootlessError(
        "other_rollout",
        f"The update {name} {sysfs.version(name)} is live on this host, put there by {who} and not confirmed yet.",
        "Let the other rollout end, or confirm or reverse the update with the module update; then try again.",
        plan=plan,
        version=sysfs.version(name),
        deadline=sysfs.numbers(name, ("deadline",))["deadline"],
    )
