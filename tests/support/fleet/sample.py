# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller's directory as a rollout leaves it, of any size: plan, evidence, store, and the answers of hosts."""

from __future__ import annotations

import datetime
import hashlib
import json
import pathlib
import typing as t

from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report import sources

UPDATE = {"name": "cve-2026-52928", "version": "1.0", "cves": ["CVE-2026-52928"], "fixed_in": {"linux": ["6.1.187-1"]}}
RELEASES = {"a" * 40: ("6.1.0-47-cloud-amd64", "6.1.170-3"), "b" * 40: ("6.1.0-50-cloud-amd64", "6.1.176-1")}
OTHER = "c" * 40  # a kernel for which nothing was built
START = datetime.datetime(2026, 11, 22, 21, 4, tzinfo=datetime.UTC)
BY = "ops@controller1"


class Sample:
    """A rollout that goes on as its methods are called; ``now`` is its clock, in seconds since it was started."""

    def __init__(
        self,
        root: pathlib.Path,
        batches: dict[str, list[str]],
        left_out: dict[str, dict[str, t.Any]],
        created: float = -600,
        **update: t.Any,
    ) -> None:
        self.root, self.now = root, 0.0
        self.update = {**UPDATE, **update}
        self.left_out = left_out
        self.batches = batches
        self.hosts = [host for hosts in batches.values() for host in hosts]
        self.build_ids = {host: list(RELEASES)[index % 2] for index, host in enumerate(self.hosts)}
        plan = {
            "format": 1,
            "kind": "rollout",
            "update": {**self.update, "manifest_sha256": "0" * 64},
            "created": self.time(created),
            "created_by": BY,
            "hosts": {host: self._slice(host) for host in self.hosts},
            "left_out": left_out,
            "batches": [{"name": name, "hosts": hosts} for name, hosts in batches.items()],
            "checks": [{"name": "web answers", "kind": "url", "url": "https://localhost/"}],
            "check_times": [0, 60, 300],
            "deadline": 600,
            "failure_budget": {"hosts": 0, "percent": 5},
            "revert_scope": "batch",
            "persist": True,
        }
        content = (json.dumps(plan, sort_keys=True, indent=1) + "\n").encode()
        self.digest = hashlib.sha256(content).hexdigest()
        self.directory = root / "rollouts" / self.digest[:12]
        self.directory.mkdir(parents=True)
        (self.directory / "plan.json").write_bytes(content)
        self.lines: list[bytes] = []
        self.store()

    def _slice(self, host: str) -> dict[str, t.Any]:
        build_id = self.build_ids[host]
        batch = next(index for index, hosts in enumerate(self.batches.values()) if host in hosts)
        return {"release": RELEASES[build_id][0], "build_id": build_id, "arch": "x86_64", "batch": batch}

    def store(self) -> None:
        kernels = [
            {"release": release, "version": version, "build_id": build_id, "status": "built"}
            for build_id, (release, version) in RELEASES.items()
        ]
        manifest = {"format": 1, **self.update, "kernels": kernels}
        path = self.root / "store" / self.update["name"] / self.update["version"] / "manifest.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(manifest))

    def time(self, at: float) -> str:
        return (START + datetime.timedelta(seconds=at)).isoformat().replace("+00:00", "Z")

    def write(self, event: str, at: float | None = None, **values: t.Any) -> None:
        previous = hashlib.sha256(self.lines[-1]).hexdigest() if self.lines else "0" * 64
        entry = {
            "time": self.time(self.now if at is None else at),
            "event": event,
            "plan": self.digest,
            "update": {key: self.update[key] for key in ("name", "version")},
            "by": BY,
            "previous": previous,
            **values,
        }
        self.lines.append(json.dumps(entry, sort_keys=True).encode())

    def step(
        self, host: str, step: str, state: str, seconds: float = 2.0, at: float | None = None, **more: t.Any
    ) -> None:
        batch = next((index for index, hosts in enumerate(self.batches.values()) if host in hosts), None)
        self.write("host", at, host=host, step=step, state=state, seconds=seconds, batch=batch, **more)

    def roll(self, index: int, failing: dict[str, dict[str, t.Any]], per_host: float = 0.2, soak: float = 300) -> None:
        """One whole batch; ``failing`` are hosts of it with what their apply or confirm (key ``step``) answers."""
        name = list(self.batches)[index]
        hosts = self.batches[name]
        self.write("batch_started", batch=index)
        for host in hosts:
            self.now += per_host
            bad = failing.get(host)
            if bad and bad["step"] == "apply":
                self.step(host, **bad)
            else:
                build_id = self.build_ids[host]
                result = {
                    "pause_ns": 60_000 + 700 * (sum(host.encode()) % 90),
                    "boot_id": "boot-1",
                    "effective_release": self.live_release(build_id),
                }
                self.step(host, "apply", "applied", result=result)
        self.now += soak
        failed = 0
        for host in hosts:
            self.now += per_host
            bad = failing.get(host)
            failed += bool(bad)
            if bad is None:
                self.step(host, "confirm", "confirmed")
            elif bad["step"] == "confirm":
                self.step(host, **bad)
        self.write("gate", batch=index, sentence=f"{failed} of {len(hosts)} failed")
        self.write("batch_finished", batch=index)

    def live_release(self, build_id: str) -> str:
        return f"{RELEASES[build_id][0]}+{self.update['name']}-{self.update['version']}"

    def save(self) -> Sample:
        (self.directory / "evidence.jsonl").write_bytes(b"".join(line + b"\n" for line in self.lines))
        return self

    def answer(
        self, host: str, state: str | None = "confirmed", build_id: str | None = None, **more: t.Any
    ) -> dict[str, t.Any]:
        """What a host says whose kernel has the update in ``state``, or not at all (None)."""
        known = build_id or self.build_ids.get(host, OTHER)
        release, version = RELEASES.get(known, ("6.1.0-53-cloud-amd64", "6.1.183-1"))
        live = state in ("applied", "confirmed")
        kernel = {
            "release": release,
            "version": version,
            "effective_release": f"{release}+{self.update['name']}-{self.update['version']}" if live else release,
            "build_id": known,
            "boot_id": "boot-1",
        }
        updates = [{"name": self.update["name"], "version": self.update["version"], "state": state, "abort": {}}]
        return {
            "reachable": True,
            "time": self.time(self.now),
            "kernel": {**kernel, **more.pop("kernel", {})},
            "updates": updates if state else [],
            **more,
        }

    def silent(self, why: str = "Connection timed out", last: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        return {"reachable": False, "time": self.time(self.now), "why": why, "last": last}

    def sources(self) -> sources.Sources:
        return sources.read(str(self.root))


CHECK_FAILED = {
    "step": "confirm",
    "state": "failed",
    "code": "check_failed",
    "sentence": "The check 'web answers' failed 60 s after apply: https://localhost/ answered 502.",
    "next_step": "Look at the service's log of that time; the update was taken out again.",
}
BUSY = {
    "step": "apply",
    "state": "failed",
    "code": "function_busy",
    "sentence": "The task dhclient (812) was inside unix_ioctl in each of 11 tries.",
    "next_step": "Stop the task for a moment, or raise tries.",
}
LOST = {
    "step": "apply",
    "state": "lost",
    "code": "unreachable",
    "sentence": "The host does not answer since the update was applied.",
    "next_step": "Look at its console; the update reverses itself at its deadline.",
}


def six(root: pathlib.Path) -> tuple[Sample, dict[str, dict[str, t.Any]]]:
    """Six hosts: a canary and two more went well, one failed its check, one kernel has no build, one is fixed."""
    left_out = {
        "db1": {
            "state": "uncovered",
            "code": "no_build",
            "sentence": "There is no build for its kernel.",
            "next_step": "",
        },
        "db2": {"state": "not needed", "code": "", "sentence": "The running kernel 6.1.187-1 has the fix."},
    }
    sample = Sample(root, {"canary": ["web1"], "all": ["web2", "web3", "web4"]}, left_out)
    sample.write("rollout_started")
    sample.roll(0, {})
    sample.roll(1, {"web3": CHECK_FAILED}, per_host=3)
    sample.write("rollout_finished", sentence="5 hosts are as they should be, 1 failed.", state="finished")
    answers = {host: sample.answer(host) for host in ("web1", "web2", "web4")}
    answers["web3"] = sample.answer("web3", "reversed")
    answers["db1"] = sample.answer("db1", None)
    answers["db2"] = sample.answer("db2", None, kernel={"version": "6.1.187-1", "release": "6.1.0-53-cloud-amd64"})
    return sample.save(), answers


def many(root: pathlib.Path, size: int) -> tuple[Sample, dict[str, dict[str, t.Any]]]:
    """A fleet in four batches whose third one breaks the budget, so that the fourth one is never begun."""
    hosts = [f"web{number:05}.example.net" for number in range(size - size // 10)]
    first, second, half = max(size // 100, 1), max(size // 10, 2), size // 2
    batches = {
        "canary": hosts[:first],
        "10 %": hosts[first:second],
        "half": hosts[second:half],
        "all": hosts[half:],
    }
    rest = [f"db{number}.example.net" for number in range(size // 10)]
    left_out = {
        host: {"state": "uncovered" if index % 3 else "reboot needed", "code": "no_build", "sentence": "No build."}
        for index, host in enumerate(rest)
    }
    sample = Sample(root, batches, left_out)
    sample.write("rollout_started")
    sample.roll(0, {}, per_host=0.1)
    sample.roll(1, {}, per_host=0.1)
    sample.now += 40000
    sample.write("rollout_resumed")
    bad = batches["half"]
    failing = {**dict.fromkeys(bad[::97], BUSY), **dict.fromkeys(bad[5::211], LOST)}
    failing.update(dict.fromkeys(bad[7::41], CHECK_FAILED))
    sample.roll(2, failing, per_host=0.1)
    sample.write("stopping", sentence=f"{len(failing)} of {len(bad)} hosts failed; the budget is 5 %.")
    sample.write("rollout_finished")
    answers = {}
    for name, members in batches.items():
        for host in members:
            answers[host] = sample.answer(
                host, None if name == "all" else "reversed" if host in failing else "confirmed"
            )
            if failing.get(host) is LOST:
                answers[host] = sample.silent()
    answers.update({host: sample.answer(host, None) for host in rest})
    return sample.save(), answers
