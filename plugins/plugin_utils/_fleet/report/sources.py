# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller keeps, read for a report.

    rollouts/<…>/plan.json, evidence.jsonl     plans and what became of them
    store/<update>/<version>/manifest.json     the builds
    live/<host>.json                           what each host said last (``fleet_report``, ``step: gather``)

Nothing that is missing or damaged stops a report: it is named in the ``notes``.
"""

from __future__ import annotations

import pathlib
import typing as t
import urllib.parse

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, strict_json
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import canonical
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report import chain
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.values import mapping, text


class Rollout(t.NamedTuple):
    """One plan, and the evidence of carrying it out.  ``digest`` is that of the plan's file, or the one that the
    evidence names if the plan is gone (``plan`` is then empty)."""

    digest: str
    plan: dict[str, t.Any]
    evidence: chain.Evidence
    path: str


class Sources(t.NamedTuple):
    """All that there is: rollouts by the time of their plans, manifests of the store, and notes on what is damaged."""

    rollouts: list[Rollout]
    manifests: list[dict[str, t.Any]]
    notes: list[str]


def read(*directories: str) -> Sources:
    """What lies below the controllers' directories (``rebootless_directory`` of each)."""
    notes: list[str] = []
    rollouts, manifests = [], []
    for root in dict.fromkeys(map(pathlib.Path, directories)):
        for path in sorted(root.glob("rollouts/*/")):
            rollout = read_rollout(path, notes)
            if rollout.plan or rollout.evidence.entries:
                rollouts.append(rollout)
        found = (read_json(path, notes) for path in sorted(root.glob("store/*/*/manifest.json")))
        manifests += [manifest for manifest in found if manifest]
    return Sources(sorted(rollouts, key=begun), manifests, notes)


def read_rollout(path: pathlib.Path, notes: list[str]) -> Rollout:
    """One directory of ``rollouts``; what is wrong with it is added to ``notes``."""
    evidence = chain.read(path / "evidence.jsonl")
    named = next((text(entry["plan"]) for entry in evidence.entries if entry.get("plan")), "")
    try:
        content = (path / "plan.json").read_bytes()
    except OSError:
        return Rollout(named, {}, evidence, str(path))
    digest = canonical.digest_of(content)
    if not digest.startswith(path.name) or named not in ("", digest):
        notes.append(f"The plan in {path} is not the one that was carried out there: it was changed afterwards.")
    return Rollout(digest, read_json(path / "plan.json", notes), evidence, str(path))


def begun(rollout: Rollout) -> tuple[str, str]:
    """A key that sorts rollouts by the time of the plan, or of the first evidence."""
    entries = rollout.evidence.entries
    return text(rollout.plan.get("created") or (entries[0].get("time") if entries else "")), rollout.digest


def answer_path(directory: str, host: str, folder: str = "live") -> pathlib.Path:
    """Where the last answer of a host is kept; any name of a host is one of a file."""
    return pathlib.Path(directory, folder, urllib.parse.quote(host, safe="") + ".json")


def read_answers(directory: str, hosts: t.Iterable[str]) -> dict[str, dict[str, t.Any]]:
    """The last answers of these hosts, of those that have one."""
    found = {}
    for host in hosts:
        answer = read_json(answer_path(directory, host))
        if answer:
            found[host] = answer
    return found


def write_answer(directory: str, host: str, answer: dict[str, t.Any]) -> None:
    """Keeps the answer of a host; of one that did not answer what it said last is kept as ``last``."""
    path = answer_path(directory, host)
    if not answer["reachable"]:
        answer = {**answer, "last": last_heard(read_json(path))}
    disk.replace(path, strict_json.write(answer, sort_keys=True))


def last_heard(answer: dict[str, t.Any]) -> t.Any:
    """The answer itself, or, of a host that did not answer, what was kept of what it said last; None: nothing was."""
    return answer if answer.get("reachable") else answer.get("last")


def not_asked(kept: dict[str, t.Any]) -> dict[str, t.Any]:
    """The answer of a host of which only one of another run is ``kept``, or none."""
    return {"reachable": False, "why": "It was not asked in this run.", "last": last_heard(kept)}


def differs(path: pathlib.Path, made: dict[str, t.Any]) -> bool:
    """Whether a report says something that the one at ``path`` does not, apart from when it was written."""
    return {**read_json(path), "written": ""} != {**strict_json.parse(strict_json.write(made)), "written": ""}


def read_json(path: pathlib.Path, notes: list[str] | None = None) -> dict[str, t.Any]:
    """The dictionary in a file; empty, with a note if it is there and cannot be read."""
    try:
        return mapping(strict_json.read(path))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        if notes is not None:
            notes.append(f"{path} cannot be read: {text(error, 200)}.")
        return {}
