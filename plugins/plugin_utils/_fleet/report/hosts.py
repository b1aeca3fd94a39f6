# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How one host stands with one update: the live kernel first, then the evidence, the plan, the store.

What the kernel says now outweighs what was recorded.  Where both disagree to the worse (confirmed, and not live any
more) the host is ``failed``, and the sentence says why.
"""

from __future__ import annotations

import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes
from ansible_collections.rebootless.splice.plugins.module_utils._common.distribution.kernel_package import fixed
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report import states
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.history import Track
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.values import (
    mapping,
    number,
    rows,
    text,
    texts,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.manifest import (
    BUILT,
    NOT_APPLICABLE,
    NOT_LIVE,
    REFUSED,
)

LIVE = (states.APPLIED, states.CONFIRMED)
# What the store says of a kernel, in the words of a report.
OF_BUILD = {BUILT: states.PENDING, NOT_APPLICABLE: states.NOT_NEEDED, REFUSED: states.FAILED}
# What stands as it is recorded where the kernel says nothing of the update.
BY_RECORD = (states.UNCOVERED, states.NOT_NEEDED, states.REBOOT_NEEDED, states.PENDING, states.REVERTED)
BYPASSED = "bypassed"  # what the kernel says of an update, and its code here
TAKEN_AWAY = "The update is applied and not in effect: something else has taken one of its functions away."
GIVE_BACK = "Find what uses the function (/sys/kernel/livepatch, tracers) and remove it; update_info names it."
ROLL_OUT = "Make a plan and roll it out."


class Standing(t.NamedTuple):
    """A host and an update.  ``source`` says where ``state`` comes from: "host", "evidence", "plan", "store" or "";
    ``live`` whether the replacement code runs, None if the host was not asked or did not answer."""

    state: str
    source: str
    code: str = ""
    sentence: str = ""
    next_step: str = ""
    version: str = ""
    live: bool | None = None


class Known(t.NamedTuple):
    """What is known of a host besides what it says: its track in the newest rollout of the update, the update's
    manifest in the store."""

    update: str
    track: Track | None
    manifest: dict[str, t.Any]


def stand(known: Known, answer: dict[str, t.Any] | None) -> Standing:
    """How the host stands; ``answer`` is what it said just now, None if it was not asked."""
    if answer is None or not answer.get("reachable"):
        return _unheard(known, answer)
    said = next((row for row in rows(answer.get("updates")) if text(row.get("name")) == known.update), {})
    recorded = _recorded(known.track)
    state, version = text(said.get("state")), text(said.get("version"))
    if state == BYPASSED:
        return Standing(states.FAILED, "host", BYPASSED, TAKEN_AWAY, GIVE_BACK, version, live=False)
    if state in LIVE:
        return _live(known, state, version, recorded)
    abort = mapping(said.get("abort"))
    refusal = {key: text(abort.get(key)) for key in ("code", "sentence", "next_step")}
    if recorded.state in LIVE:
        return _gone(known, answer, said)._replace(version=version)
    if recorded.state == states.FAILED:
        # The rollout knows more than the kernel's last refusal, unless it never heard of it.
        spoken = refusal if not recorded.code and refusal["code"] else {}
        return recorded._replace(version=version, live=False, **spoken)
    if state == "failed":
        return Standing(states.FAILED, "host", version=version, live=False, **refusal)
    if recorded.state in BY_RECORD:
        return recorded._replace(version=version, live=False)
    return _by_store(known, mapping(answer.get("kernel")))._replace(version=version, live=False)


def _live(known: Known, state: str, version: str, recorded: Standing) -> Standing:
    # The deadline says it better than the record if the rollout gave the host up and it lives on.
    if recorded.state == states.FAILED and state == states.APPLIED:
        sentence = f"{recorded.sentence} The update is still live there, until its deadline.".strip()
        return recorded._replace(sentence=sentence, version=version, live=True)
    return Standing(state, "host", version=version, live=True)


def _gone(known: Known, answer: dict[str, t.Any], said: dict[str, t.Any]) -> Standing:
    """The record has the update live, and the kernel says that it is not."""
    track = t.cast(Track, known.track)
    kernel = mapping(answer.get("kernel"))
    if track.boot_id and text(kernel.get("boot_id")) not in ("", track.boot_id):
        found = _by_store(known, kernel)
        if found.state != states.PENDING:  # another kernel
            return found
        why = "the host was booted since, and the update was not applied again"
    else:
        why = _taken_out(said) if said.get("state") == "reversed" else "the kernel does not have it any more"
    return Standing(
        states.FAILED,
        "host",
        "not_live",
        f"The update was recorded as {track.state}, but it is not live: {why}.",
        "Find out who or what took it out, and roll it out again (rebootless_retry).",
        live=False,
    )


def _taken_out(said: dict[str, t.Any]) -> str:
    tasks = number(said.get("held_by"))
    return "it was taken out again" + (f", and {tasks:.0f} tasks are still in its code" if tasks else "")


def _unheard(known: Known, answer: dict[str, t.Any] | None) -> Standing:
    """A host that was not asked, or did not answer: what is recorded of it, or what it said last."""
    recorded = _recorded(known.track)
    if recorded.source:
        return recorded
    last = mapping((answer or {}).get("last"))
    if last:
        before = stand(known, {**last, "last": None})
        return before._replace(live=None, sentence=before.sentence or "This is what it said last.")
    return Standing(states.UNKNOWN, "", "no_word", "The host did not answer, and nothing is recorded about it.")


def _recorded(track: Track | None) -> Standing:
    if track is None:
        return Standing("", "")
    known = outcomes.STATES.get(track.state)
    if track.state == "unreachable":  # when the plan was made
        return Standing(states.PENDING, "plan", track.code, track.sentence, track.next_step)
    if track.on_purpose:
        return Standing(states.REVERTED, "evidence", "", "The update was taken back on purpose.")
    state = outcomes.shown(track.state)
    source = "plan" if track.begun is None and state != states.FAILED else "evidence"
    quiet = state in (states.CONFIRMED, states.APPLIED) or track.state == outcomes.PENDING
    sentence = track.sentence or ("" if known is None or quiet else known.meaning)
    next_step = track.next_step or ("" if known is None or quiet else known.next_step)
    code = track.code or (track.state if state == states.FAILED else "")
    return Standing(state, source, code, sentence, next_step)


def _by_store(known: Known, kernel: dict[str, t.Any]) -> Standing:
    """For a host that is in no plan: does its kernel need the update, and is there a build?"""
    manifest, build_id = known.manifest, text(kernel.get("build_id"))
    series = [row for versions in mapping(manifest.get("fixed_in")).values() for row in texts(versions)]
    version = text(kernel.get("version"))
    if version and series and fixed(version, series):
        return Standing(states.NOT_NEEDED, "store", "", f"The running kernel {version} has the fix.")
    for build in rows(manifest.get("kernels")):
        if build_id and text(build.get("build_id")) == build_id:
            state = OF_BUILD.get(text(build.get("status")), states.UNCOVERED)
            if state == states.FAILED and text(build.get("code")) in NOT_LIVE:
                state = states.REBOOT_NEEDED  # other refusals are of a patch that is wrong, which no reboot mends
            if state == states.PENDING:
                return Standing(state, "store", next_step=ROLL_OUT)
            code, sentence, next_step = (text(build.get(key)) for key in ("code", "sentence", "next_step"))
            return Standing(state, "store", code, sentence, next_step)
    return Standing(
        states.UNCOVERED,
        "store" if manifest else "",
        "no_build",
        "There is no build of the update for this kernel here.",
        "Build the update for it.",
    )
