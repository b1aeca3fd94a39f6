# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened in a rollout, out of its plan and its evidence."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes, strict_json
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.sources import Rollout
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.values import mapping, number, text, texts
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.times import UTC

OUTCOMES = {  # what a rollout's last event says of it
    "rollout_finished": "finished",
    "waiting": "waiting for its window",
    "stopping": "stopped",
    "reverting": "going back",
}


@dataclasses.dataclass
class Track:
    """What is recorded of one host in one rollout.  Times are seconds of the epoch, None if it did not happen."""

    state: str = outcomes.PENDING  # as the rollout has it (``outcomes.STATES``)
    code: str = ""
    sentence: str = ""
    next_step: str = ""
    batch: int | None = None
    begun: float | None = None
    applied: float | None = None
    confirmed: float | None = None
    ended: float | None = None  # failed, lost, taken back
    pause_ns: int = 0
    effective_release: str = ""
    boot_id: str = ""
    release: str = ""  # by the plan, as the build ID
    build_id: str = ""
    on_purpose: bool = False  # an operator took it back; a rollout that was stopped did not


@dataclasses.dataclass
class BatchRow:
    """One batch: ``hosts`` by the plan; times as in ``Track``."""

    name: str
    hosts: int
    begun: float | None = None
    ended: float | None = None
    gate: str = ""  # what the gate found, in a sentence


@dataclasses.dataclass
class History:
    """One rollout: its hosts' tracks, batches, who started it and when (``starts``), how it ended (``outcome``)."""

    tracks: dict[str, Track]
    batches: list[BatchRow]
    starts: list[tuple[float, str, str]]  # time, "started" or "resumed", who
    outcome: str
    sentence: str
    begun: float | None
    ended: float | None
    going_back: bool = False  # on purpose, at this point of the evidence

    @property
    def found_nothing(self) -> bool:
        """Whether an update was to be taken back that no host had."""
        return self.outcome == outcomes.NOT_THERE and not self.tracks


def seconds(time: object) -> float | None:
    """An ISO time as seconds of the epoch, None if it is none; one without an offset is UTC."""
    try:
        # Python before 3.11 does not read the Z.
        read = datetime.datetime.fromisoformat(str(time).replace("Z", "+00:00"))
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def tell(rollout: Rollout) -> History:
    """The history of a rollout."""
    tracks = _planned(rollout.plan)
    batches = [
        BatchRow(text(batch.get("name")) or f"batch {index + 1}", len(texts(batch.get("hosts"))))
        for index, batch in enumerate(map(mapping, rollout.plan.get("batches") or []))
    ]
    history = History(tracks, batches, [], "not begun", "", None, None)
    for entry in rollout.evidence.entries:
        time = seconds(entry.get("time"))
        if time is None:
            continue
        history.begun = time if history.begun is None else min(history.begun, time)
        history.ended = time if history.ended is None else max(history.ended, time)
        _event(history, entry, time)
    return history


def _planned(plan: dict[str, t.Any]) -> dict[str, Track]:
    tracks = {}
    for host, row in mapping(plan.get("hosts")).items():
        batch = mapping(row).get("batch")
        tracks[text(host)] = Track(batch=batch if strict_json.is_whole(batch) else None, **_kernel(row))
    for host, row in mapping(plan.get("left_out")).items():
        known = mapping(row)
        said: dict[str, t.Any] = {key: text(known.get(key)) for key in ("code", "sentence", "next_step")}
        tracks[text(host)] = Track(state=text(known.get("state")), **said, **_kernel(row))
    return tracks


def _kernel(row: object) -> dict[str, t.Any]:
    return {key: text(mapping(row).get(key), 100) for key in ("release", "build_id")}


def _event(history: History, entry: dict[str, t.Any], time: float) -> None:
    event, index = text(entry.get("event")), entry.get("batch")
    batch = _batch(history, index)
    if event in ("rollout_started", "rollout_resumed", "reverting"):
        history.going_back = event == "reverting"
    if event in ("rollout_started", "rollout_resumed"):
        history.starts.append((time, event.partition("_")[2], text(entry.get("by"))))
    if event in ("rollout_started", "rollout_resumed", "batch_started"):
        history.outcome, history.sentence = "under way", ""
    if event in OUTCOMES:
        said = text(entry.get("state")) or text(mapping(entry.get("details")).get("state"))
        stands = history.outcome in ("stopped", "going back") and event == "rollout_finished" and not said
        history.outcome = history.outcome if stands else said or OUTCOMES[event]
        history.sentence = text(entry.get("sentence")) or history.sentence
    if batch is not None and event != "host":
        batch.begun = time if batch.begun is None else batch.begun
        batch.ended = time
        if event == "gate":
            batch.gate = text(entry.get("sentence")) or text(entry.get("state"))
    if event == "host" and entry.get("host") and not _never_had_it(history, entry):
        track = history.tracks.setdefault(text(entry["host"]), Track())
        _host(track, entry, time)
        track.on_purpose = history.going_back and track.state in (outcomes.REVERSED, outcomes.NOT_THERE)
        if strict_json.is_whole(index):
            track.batch = index
        if batch is not None:
            begun = time if track.begun is None else min(time, track.begun)
            batch.begun = begun if batch.begun is None else min(batch.begun, begun)
            batch.ended = time if batch.ended is None else max(batch.ended, time)


def _never_had_it(history: History, entry: dict[str, t.Any]) -> bool:
    """Whether going back found nothing on a host of which there is no other word: that is no update of the host, as
    where a name was mistyped."""
    return text(entry.get("state")) == outcomes.NOT_THERE and text(entry["host"]) not in history.tracks


def _batch(history: History, index: object) -> BatchRow | None:
    """The batch of this number; made if the plan, which is gone, had to name it."""
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < 10000:
        return None
    while len(history.batches) <= index:
        history.batches.append(BatchRow(f"batch {len(history.batches) + 1}", 0))
    return history.batches[index]


def _host(track: Track, entry: dict[str, t.Any], time: float) -> None:
    """One line about a host: what it says of the host's state replaces what was known."""
    state, step = text(entry.get("state")), text(entry.get("step"))
    took, result = max(number(entry.get("seconds")), 0), mapping(entry.get("result"))
    if step == "apply":
        # Tried again: the times are those of the last time.
        again = track.ended is not None
        track.begun = time - took if again or track.begun is None else track.begun
        track.confirmed = track.ended = None
        track.applied = None if again else track.applied
    if state:
        track.state = state
        track.code, track.sentence = text(entry.get("code")), text(entry.get("sentence"))
        track.next_step = text(entry.get("next_step"))
    if state == outcomes.APPLIED and track.applied is None:
        track.applied = time
    if state == outcomes.CONFIRMED and track.confirmed is None:
        track.confirmed = time
    if outcomes.is_bad(state or outcomes.PENDING) and state != outcomes.APPLYING or state == outcomes.REVERSED:
        track.ended = time
    track.pause_ns = int(number(result.get("pause_ns"))) or track.pause_ns
    track.effective_release = text(result.get("effective_release")) or track.effective_release
    track.boot_id = text(result.get("boot_id")) or track.boot_id
