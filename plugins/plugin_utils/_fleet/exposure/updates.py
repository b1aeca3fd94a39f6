# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What live updates fix on a host, and when each step from an update's build to the last host was done."""

from __future__ import annotations

import dataclasses
import math
import typing as t

from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.answers import LIVE, Host
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.history import History, seconds, tell
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.model import update_name
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.sources import Sources
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.values import rows, text, texts
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.manifest import BUILT

MOST = 0.95  # of the hosts, in what operators promise


@dataclasses.dataclass
class Steps:
    """Times of an update in seconds since 1970: ``built`` for the first kernel, ``approved`` when its first rollout was
    started, ``applied`` on each host by the evidence."""

    built: float | None = None
    approved: float | None = None
    by: str = ""
    applied: dict[str, float] = dataclasses.field(default_factory=dict)


class Updates:
    """What the controller knows of updates: its store, its plans, and the evidence of rollouts."""

    def __init__(self, sources: Sources) -> None:
        self._manifests: dict[tuple[str, str], dict[str, t.Any]] = {}
        self._steps: dict[str, Steps] = {}
        self.fixing: dict[str, list[str]] = {}  # by CVE, the names of updates
        for manifest in sources.manifests:
            self._note_manifest(manifest)
        for rollout in sources.rollouts:
            if text(rollout.plan.get("kind")) in ("", "rollout"):
                self._note_rollout(update_name(rollout), tell(rollout))

    def _note_manifest(self, manifest: dict[str, t.Any]) -> None:
        name = text(manifest.get("name"))
        self._manifests[name, text(manifest.get("version"))] = manifest
        times = [seconds(row.get("built")) for row in rows(manifest.get("kernels")) if row.get("status") == BUILT]
        steps = self._of(name)
        steps.built = min((time for time in (*times, steps.built) if time is not None), default=None)
        for cve in texts(manifest.get("cves")):
            named = self.fixing.setdefault(cve, [])
            named += [name] if name not in named else []

    def _note_rollout(self, name: str, history: History) -> None:
        steps = self._of(name)
        for time, _what, by in history.starts:
            if steps.approved is None or time < steps.approved:
                steps.approved, steps.by = time, by
        for host, track in history.tracks.items():
            if track.state in LIVE and track.applied is not None:
                steps.applied[host] = track.applied

    def _of(self, name: str) -> Steps:
        return self._steps.setdefault(name, Steps())

    def steps(self, cve: str) -> Steps:
        """The first of each step among the updates that fix a CVE."""
        named = [self._of(name) for name in self.fixing.get(cve, ())]
        built = min((one.built for one in named if one.built is not None), default=None)
        starts = [(one.approved, one.by) for one in named if one.approved is not None]
        return Steps(built, *min(starts, default=(None, "")))

    def versions(self) -> dict[str, str]:
        """The version of the package of each kernel, by the build ID, as the build hosts know it."""
        kernels = [row for manifest in self._manifests.values() for row in rows(manifest.get("kernels"))]
        return {text(row.get("build_id")): text(row.get("version")) for row in kernels if text(row.get("version"))}

    def live_on(self, host: Host) -> tuple[dict[str, float], list[str]]:
        """The CVEs that live updates fix on a host, each with the time since when, and what is wrong with its word.

        What an update fixes is what the store says of the very build that is live.  Of updates that the store does not
        know the host's word is taken.
        """
        found: dict[str, float] = {}
        wrong = []
        for row in host.updates:
            manifest = self._manifests.get((row.name, row.version))
            cves = row.cves
            if manifest is not None:
                builds = [one for one in rows(manifest.get("kernels")) if text(one.get("build_digest")) == row.digest]
                mine = [one for one in builds if text(one.get("build_id")) == host.kernel.build_id]
                cves = texts(manifest.get("cves")) if mine else []
                if not mine:
                    wrong.append(
                        f"It says that {row.name} {row.version} is live, of a build that the store does not have."
                    )
            since = self._of(row.name).applied.get(host.name, host.seen.get(row.name))
            for cve in cves:
                found[cve] = min(since if since is not None else math.inf, found.get(cve, math.inf))
        return found, wrong


class Milestones(t.NamedTuple):
    """How far a fix has come: of ``hosts`` that need it ``fixed`` have it; when the first one, half, 95 % and the last
    had it, in seconds since 1970, None if that is still to come."""

    hosts: int
    fixed: int
    first: float | None
    half: float | None
    most: float | None
    last: float | None


def milestones(hosts: int, times: t.Iterable[float]) -> Milestones:
    """Those of a fix that came to hosts at these times, out of all ``hosts`` that need it, silent ones too."""
    ordered = sorted(times)

    def reached(share: float) -> float | None:
        needed = max(math.ceil(hosts * share), 1)
        time = ordered[needed - 1] if len(ordered) >= needed else None
        return None if time is None or math.isinf(time) else time

    return Milestones(hosts, len(ordered), reached(0), reached(0.5), reached(MOST), reached(1))
