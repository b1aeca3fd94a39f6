# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report says, as one structure of plain data: the JSON file is it, page and table are made from it."""

from __future__ import annotations

import statistics
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes, strict_json
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report import states
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.history import History, Track, tell
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.hosts import (
    BYPASSED,
    Known,
    Standing,
    stand,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.names import natural
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.sources import Rollout, Sources
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.values import (
    mapping,
    number,
    rows,
    text,
    texts,
)

FORMAT = 1
Answers = t.Dict[str, t.Dict[str, t.Any]]


class UpdateRow(t.NamedTuple):
    """One update: its version and CVEs as far as a plan, the store or a host names them, its manifest in the store, and
    the track of each host in the newest rollout that names it."""

    name: str
    version: str
    cves: list[str]
    manifest: dict[str, t.Any]
    tracks: dict[str, Track]


class Wanted(t.NamedTuple):
    """Which updates are reported: those that ``only`` names, all if it is empty, but for those that are ``retired``."""

    only: t.Collection[str] = ()
    retired: t.Collection[str] = ()

    def has(self, name: str) -> bool:
        return (not self.only or name in self.only) and name not in self.retired


ALL = Wanted()


def build(
    sources: Sources, hosts: list[str] | None, answers: Answers, written: str, by: str, wanted: Wanted = ALL
) -> dict[str, t.Any]:
    """The model of a report.

    ``hosts`` are the hosts that were asked, None if none was (evidence only); ``answers`` are theirs; ``written`` is
    an ISO time, ``by`` who asked for the report; an update that is retired is reported all the same while a host has
    it live.
    """
    answers = {host: _with_clean_keys(answer) for host, answer in answers.items()}
    wanted = wanted._replace(retired=set(wanted.retired) - _live(answers))
    told = [(rollout, tell(rollout)) for rollout in sources.rollouts if wanted.has(update_name(rollout))]
    told = [(rollout, history) for rollout, history in told if not history.found_nothing]
    updates = _updates(told, sources.manifests, answers, wanted)
    names = hosts if hosts is not None else sorted({host for update in updates for host in update.tracks})
    table = [_host(host, updates, answers.get(host) if hosts is not None else None) for host in names]
    table.sort(key=lambda row: (states.RANK[row["state"]], row["answered"] is not False, natural(row["name"])))
    return {
        "format": FORMAT,
        "written": written,
        "by": by,
        "live": hosts is not None,
        "fleet": _fleet(table),
        "states": states.count(row["state"] for row in table),
        "updates": [_update(update, table) for update in updates],
        "cves": _cves(updates, table),
        "failures": _failures(table),
        "kernels": _kernels(table),
        "rollouts": [_rollout(rollout, history) for rollout, history in reversed(told)],
        "hosts": table,
        "notes": [text(note) for note in sources.notes],
    }


def update_name(rollout: Rollout) -> str:
    """The name of the update that was rolled out."""
    return text(mapping(rollout.plan.get("update") or _first(rollout).get("update")).get("name"))


def _first(rollout: Rollout) -> dict[str, t.Any]:
    return rollout.evidence.entries[0] if rollout.evidence.entries else {}


def _with_clean_keys(answer: dict[str, t.Any]) -> dict[str, t.Any]:
    """Hosts name updates as they like; what has no name is none."""
    return {**answer, "updates": [row for row in rows(answer.get("updates")) if text(row.get("name"))]}


def _live(answers: Answers) -> set[str]:
    """The updates that hosts have in their kernels, in effect or not."""
    return {
        text(row.get("name"))
        for answer in answers.values()
        for row in answer["updates"]
        if row.get("state") in (states.APPLIED, states.CONFIRMED, BYPASSED)
    }


def _updates(
    told: list[tuple[Rollout, History]], manifests: list[dict[str, t.Any]], answers: Answers, wanted: Wanted
) -> list[UpdateRow]:
    """Every update that a rollout, the store or a host knows; of several versions the last one that was planned."""
    found: dict[str, UpdateRow] = {}
    for manifest in sorted(manifests, key=lambda manifest: natural(text(manifest.get("version")))):
        name = text(manifest.get("name"))
        found[name] = UpdateRow(name, text(manifest.get("version")), texts(manifest.get("cves")), manifest, {})
    stored = {(text(manifest.get("name")), text(manifest.get("version"))): manifest for manifest in manifests}
    for rollout, history in told:
        name = update_name(rollout)
        described = mapping(rollout.plan.get("update") or _first(rollout).get("update"))
        before = found.get(name, UpdateRow(name, "", [], {}, {}))
        version = text(described.get("version")) or before.version
        manifest = stored.get((name, version), {})
        cves = texts(described.get("cves")) or texts(manifest.get("cves")) or before.cves
        tracks = {**before.tracks, **{host: _newer(before, host, track) for host, track in history.tracks.items()}}
        found[name] = UpdateRow(name, version, cves, manifest, tracks)
    for answer in answers.values():
        for row in rows(answer.get("updates")):
            name = text(row.get("name"))
            known = found.get(name, UpdateRow(name, text(row.get("version")), [], {}, {}))
            found[name] = known._replace(cves=known.cves or texts(row.get("cves")))
    return [found[name] for name in sorted(found, key=natural) if name and wanted.has(name)]


def _newer(before: UpdateRow, host: str, track: Track) -> Track:
    """A new plan leaves out what has the update already; then the older record says more."""
    older = before.tracks.get(host)
    left_out = track.begun is None and track.batch is None
    return older if older is not None and left_out and older.state in (states.APPLIED, states.CONFIRMED) else track


def _host(host: str, updates: list[UpdateRow], answer: dict[str, t.Any] | None) -> dict[str, t.Any]:
    name = text(host, 255)
    heard = bool(answer and answer.get("reachable"))
    last = mapping((answer or {}).get("last"))
    kernel = mapping((answer if heard and answer else last).get("kernel"))
    tracks = [(update, update.tracks.get(host)) for update in updates]
    entries = {
        update.name: _entry(stand(Known(update.name, track, update.manifest), answer), track)
        for update, track in tracks
    }
    recorded = _recorded([track for _update, track in tracks if track is not None])
    silent = answer is not None and not heard
    return {
        "name": name,
        "state": states.worst(entry["state"] for entry in entries.values())
        if entries or not silent
        else states.UNKNOWN,
        "answered": None if answer is None else heard,
        "why": text(mapping(answer).get("why"), 400) if silent else "",
        "last_answer": text(last.get("time"), 40) if silent else "",
        **{key: text(kernel.get(key), 300) or recorded[key] for key in recorded},
        "updates": entries,
    }


def _recorded(tracks: list[Track]) -> dict[str, str]:
    """What is recorded of a host's kernel: by the last plan, and what the last update made of it if it is live."""
    release = next((track.release for track in reversed(tracks) if track.release), "")
    build_id = next((track.build_id for track in reversed(tracks) if track.build_id), "")
    live = [track.effective_release for track in tracks if track.state in (states.APPLIED, states.CONFIRMED)]
    return {"release": release, "effective_release": (live or [release])[-1] or release, "build_id": build_id}


def _entry(standing: Standing, track: Track | None) -> dict[str, t.Any]:
    known = track or Track()
    return {
        **standing._asdict(),
        "batch": known.batch,
        "begun": known.begun,
        "applied": known.applied,
        "confirmed": known.confirmed,
        "ended": known.ended,
        "pause_ns": known.pause_ns,
    }


def _fleet(table: list[dict[str, t.Any]]) -> dict[str, t.Any]:
    pauses = [entry["pause_ns"] for row in table for entry in row["updates"].values() if entry["pause_ns"]]
    fixed = sum(states.APPEARANCES[row["state"]].fixed for row in table)
    return {
        "hosts": len(table),
        "answered": sum(row["answered"] is True for row in table),
        "unreachable": sum(row["answered"] is False for row in table),
        "fixed": fixed,
        "share": _share(fixed, len(table)),
        "longest_pause_ns": max(pauses, default=0),
        "median_pause_ns": round(statistics.median(pauses)) if pauses else 0,
    }


def _update(update: UpdateRow, table: list[dict[str, t.Any]]) -> dict[str, t.Any]:
    return {
        "name": update.name,
        "version": update.version,
        "cves": update.cves,
        "states": states.count(row["updates"][update.name]["state"] for row in table),
        "remarks": _remarks(update.manifest),
        "signers": _signers(update.manifest),
    }


def _remarks(manifest: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    """What the builds of an update have to say to operators, each once, with the releases of which it is said."""
    releases: dict[str, set[str]] = {}
    for kernel in rows(manifest.get("kernels")):
        for remark in rows(kernel.get("remarks")):
            releases.setdefault(text(remark.get("sentence"), 400), set()).add(text(kernel.get("release"), 100))
    return [{"sentence": said, "releases": sorted(found, key=natural)} for said, found in sorted(releases.items())]


def _signers(manifest: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    """Whose signatures the modules of an update's packages have, each once, with the releases of those packages."""
    releases: dict[tuple[str, str, str], set[str]] = {}
    for kernel in rows(manifest.get("kernels")):
        signer = kernel.get("signer")
        if kernel.get("status") == "built":
            said = signer if isinstance(signer, dict) else {}
            key = (text(said.get("subject"), 400), text(said.get("fingerprint"), 64), text(said.get("key_id"), 100))
            releases.setdefault(key, set()).add(text(kernel.get("release"), 100))
    return [
        {"subject": subject, "fingerprint": fingerprint, "key_id": key_id, "releases": sorted(found, key=natural)}
        for (subject, fingerprint, key_id), found in sorted(releases.items())
    ]


def _cves(updates: list[UpdateRow], table: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """For each CVE how much of the fleet is fixed; of several updates that fix it the best one counts on each host."""
    fixing: dict[str, list[str]] = {}
    for update in updates:
        for cve in update.cves:
            fixing.setdefault(cve, []).append(update.name)
    result = []
    for cve, names in fixing.items():
        worst = [max((row["updates"][name]["state"] for name in names), key=states.RANK.__getitem__) for row in table]
        counted = states.count(worst)
        fixed = sum(count for state, count in counted.items() if states.APPEARANCES[state].fixed)
        share = _share(fixed, len(table))
        result.append({"cve": cve, "updates": names, "states": counted, "fixed": fixed, "share": share})
    return sorted(result, key=lambda row: (row["share"], natural(row["cve"])))


def _share(part: int, whole: int) -> float:
    """Per cent; 100 is said of all only."""
    if part == whole:
        return 100.0 if whole else 0.0
    return min(round(100 * part / whole, 1), 99.9)


def _failures(table: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Why hosts failed: those with the same code and sentence together, the most first."""
    found: dict[tuple[str, ...], list[str]] = {}
    for row in table:
        for name, entry in row["updates"].items():
            if entry["state"] == states.FAILED:
                # The host's own name in its sentence makes it no other failure.
                said = [entry[key].replace(row["name"], "<host>") for key in ("sentence", "next_step")]
                found.setdefault((name, entry["code"], *said), []).append(row["name"])
    keys = ("update", "code", "sentence", "next_step")
    failures = [{**dict(zip(keys, key)), "hosts": hosts} for key, hosts in found.items()]
    return sorted(failures, key=lambda row: (-len(row["hosts"]), row["code"], row["sentence"]))


def _kernels(table: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Hosts by effective release and build ID, the most first."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in table:
        found.setdefault((row["effective_release"], row["release"], row["build_id"]), []).append(row["name"])
    keys = ("effective_release", "release", "build_id")
    kernels = [{**dict(zip(keys, key)), "hosts": hosts} for key, hosts in found.items()]
    return sorted(kernels, key=lambda row: (-len(row["hosts"]), row["effective_release"], row["build_id"]))


def _rollout(rollout: Rollout, history: History) -> dict[str, t.Any]:
    plan, first = rollout.plan, _first(rollout)
    described = mapping(plan.get("update") or first.get("update"))
    counted = states.count(_shown(track) for track in history.tracks.values())
    return {
        "digest": rollout.digest,
        "path": rollout.path,
        "kind": text(plan.get("kind"), 20) or "rollout",
        "update": {"name": text(described.get("name")), "version": text(described.get("version"))},
        "created": text(plan.get("created"), 40),
        "created_by": text(plan.get("created_by"), 200),
        "starts": [{"time": time, "what": what, "by": by} for time, what, by in history.starts],
        "outcome": history.outcome,
        "sentence": history.sentence,
        "begun": history.begun,
        "ended": history.ended,
        "states": counted,
        "hosts": len(history.tracks),
        "hosts_planned": len(mapping(plan.get("hosts"))) or len(history.tracks),
        "settings": _settings(plan),
        "evidence": {
            "chain": rollout.evidence.chain,
            "sentence": rollout.evidence.sentence,
            "lines": len(rollout.evidence.entries),
            "last": rollout.evidence.last,
        },
        "batches": [_batch(index, history) for index in range(len(history.batches))],
        "tracks": [
            {
                "host": host,
                "state": _shown(track),
                **{key: getattr(track, key) for key in ("batch", "begun", "applied", "confirmed", "ended", "code")},
            }
            for host, track in sorted(history.tracks.items(), key=lambda row: natural(row[0]))
            if track.begun is not None
        ],
    }


def _batch(index: int, history: History) -> dict[str, t.Any]:
    batch = history.batches[index]
    tracks = [track for track in history.tracks.values() if track.batch == index]
    return {**vars(batch), "hosts": batch.hosts or len(tracks), "states": states.count(map(_shown, tracks))}


def _shown(track: Track) -> str:
    if track.on_purpose:
        return states.REVERTED
    return states.PENDING if track.state == "unreachable" else outcomes.shown(track.state)


def _settings(plan: dict[str, t.Any]) -> dict[str, t.Any]:
    """What of the plan says how careful it was."""
    budget = mapping(plan.get("failure_budget"))
    return {
        "failure_budget": {"hosts": number(budget.get("hosts")), "percent": number(budget.get("percent"))},
        "revert_scope": text(plan.get("revert_scope"), 20),
        "check_times": [number(value) for value in plan.get("check_times") or [] if strict_json.is_number(value)],
        "deadline": number(plan.get("deadline")),
        "persist": bool(plan.get("persist")),
        "checks": [text(check.get("name") or check.get("kind"), 100) for check in rows(plan.get("checks"))],
    }
