# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet that is not there: hosts, an update built for their kernels, the store, and the plan of a rollout."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import pathlib
import random
import subprocess
import sys
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.package import (
    make_package,
    package_name,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import canonical
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import parse_plan

HERE = pathlib.Path(__file__).resolve().parent
NAME, VERSION = "bench-fix", "1.0"
KERNELS = [
    ("6.1.0-47-cloud-amd64", "6.1.170-3"),
    ("6.1.0-50-cloud-amd64", "6.1.176-1"),
    ("6.12.107+deb12-cloud-amd64", "6.12.107-1"),
]
PACKAGE_SIZE = 110_000  # bytes; what packages of one fix have (ls -l of a store)
MODULE = """
    .section .modinfo, "a"
    .asciz "name={name}"
    .asciz "vermagic={release} SMP preempt mod_unload modversions "
    .section .note.gnu.build-id, "a"
    .long 4, 20, 3
    .asciz "GNU"
    .fill 20, 1, 0xbe
    .section .data
    .incbin "{ballast}"
"""


class Fleet:
    """``size`` hosts below ``root``; ``plan`` is the plan's path, ``inventory`` the inventory's."""

    def __init__(self, root: pathlib.Path, size: int, check_times: list[int], batches: list[str]) -> None:
        self.root, self.size = root, size
        self.controller = root / "controller"
        self.hosts = [f"host{number:05}" for number in range(size)]
        self.packages = [self._package(number) for number in range(len(KERNELS))]
        self.inventory = self._inventory()
        self.plan = self._plan(check_times, batches)

    def _package(self, number: int) -> dict[str, t.Any]:
        """Builds one package that a target accepts, with modules that no kernel would."""
        release, version = KERNELS[number]
        build_id = hashlib.sha1(release.encode()).hexdigest()
        ballast = self.root / "ballast"
        self.root.mkdir(parents=True, exist_ok=True)
        # what cannot be compressed, for the size is to be that of a real one
        ballast.write_bytes(random.Random(number).randbytes(PACKAGE_SIZE // 2))
        files = {
            "update.ko": self._module(f"rbl_{NAME.replace('-', '_')}", release, ballast),
            "rebootless.ko": self._module("rebootless", release, ballast),
            "libmatch.so": b"\x7fELF",
            "match/vmlinux.bin": b"RBLMATCH",
        }
        digest = hashlib.sha256(build_id.encode()).hexdigest()
        manifest = {
            "name": NAME,
            "version": VERSION,
            "cves": ["CVE-2026-52928"],
            "digest": digest,
            "kernel": {"release": release, "build_id": build_id, "version": version, "arch": "x86_64"},
            "objects": ["vmlinux"],
            "functions": [
                {"name": "unix_ioctl", "unit": "net/unix/af_unix.o", "object": "vmlinux", "change": "changed"}
            ],
            "data": [],
            "patches": [],
            "compiler": "none",
            "findings": [],
        }
        content = make_package(manifest, files)
        name = package_name(NAME, VERSION, build_id)
        path = self.controller / "store" / NAME / VERSION / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        return {
            "release": release,
            "version": version,
            "build_id": build_id,
            "arch": "x86_64",
            "status": "built",
            "package": name,
            "sha256": sha256,
            "size": len(content),
            "build_digest": digest,
            "functions": ["unix_ioctl"],
            "objects": ["vmlinux"],
            "compiler": "none",
            "code": "",
            "sentence": "",
            "next_step": "",
            "findings": [],
            "built": "2026-11-23T00:00:00Z",
            "build_host": "localhost",
        }

    def _module(self, name: str, release: str, ballast: pathlib.Path) -> bytes:
        source = MODULE.format(name=name, release=release, ballast=ballast)
        image = self.root / "module.o"
        subprocess.run(["gcc", "-c", "-x", "assembler", "-", "-o", image], input=source.encode(), check=True)
        return image.read_bytes()

    def _inventory(self) -> pathlib.Path:
        """Each host has an interpreter that loads ``shim/sitecustomize.py`` and says which host it is."""
        lines = {}
        for index, host in enumerate(self.hosts):
            kernel = self.packages[index % len(KERNELS)]
            directory = self.root / "hosts" / host
            directory.mkdir(parents=True)
            update = {"name": NAME, "version": VERSION, "digest": kernel["build_digest"]}
            known = {key: kernel[key] for key in ("release", "version", "build_id")}
            (directory / "host.json").write_text(json.dumps({**known, "update": update}))
            # The distribution's own, as a host would use it, without the packages of the virtual environment.
            python = os.path.realpath(sys.executable)
            interpreter = directory / "python"
            interpreter.write_text(
                f'#!/bin/sh\nREBOOTLESS_BENCH_HOST={directory} PYTHONPATH={HERE / "shim"} exec {python} "$@"\n'
            )
            interpreter.chmod(0o755)
            lines[host] = {
                "ansible_python_interpreter": str(interpreter),
                "ansible_remote_tmp": str(directory / "tmp"),
                "rebootless_state_directory": str(directory / "state"),
            }
        inventory = {"all": {"hosts": lines, "vars": {"ansible_connection": "local", "ansible_become": False}}}
        path = self.root / "inventory.json"
        path.write_text(json.dumps(inventory))
        return path

    def _plan(self, check_times: list[int], sizes: list[str]) -> pathlib.Path:
        """The same plan that the playbook ``plan`` would write for these hosts."""
        store = self.controller / "store"
        manifest = {
            "format": 1,
            "name": NAME,
            "version": VERSION,
            "cves": ["CVE-2026-52928"],
            "fixed_in": {},
            "patches": [],
            "custom": [],
            "kernels": sorted(self.packages, key=lambda kernel: kernel["build_id"]),
        }
        content = canonical.canonical(manifest)
        (store / NAME / VERSION / "manifest.json").write_bytes(content)
        batches = self._batches(sizes)
        kernels = {host: self.packages[index % len(KERNELS)] for index, host in enumerate(self.hosts)}
        keys = ("release", "build_id", "arch", "package", "sha256", "size")
        plan = {
            "format": 1,
            "kind": "rollout",
            "update": {
                "name": NAME,
                "version": VERSION,
                "cves": manifest["cves"],
                "fixed_in": {},
                "manifest_sha256": hashlib.sha256(content).hexdigest(),
            },
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "created_by": "bench@localhost",
            "expires": None,
            "store": str(store),
            "store_url": None,
            "hosts": {
                host: {
                    **{key: kernels[host][key] for key in keys},
                    "batch": number,
                    "ring": batch["name"],
                    "windows": [],
                    "timezone": "UTC",
                }
                for number, batch in enumerate(batches)
                for host in batch["hosts"]
            },
            "left_out": {},
            "batches": batches,
            "checks": [],
            "check_times": check_times,
            "deadline": 3600,
            "task_timeout": 300,
            "failure_budget": {"hosts": 0, "percent": 0},
            "revert_scope": "host",
            "concurrency": 0,
            "persist": False,
            "windows": [],
            "freezes": [],
            "policy": {"uncovered": "report"},
            "tries": 11,
            "metrics_directory": None,
            "approvals": {"required": 0},
        }
        path = self.root / "plan.json"
        path.write_bytes(parse_plan(plan).content)
        return path

    def _batches(self, sizes: list[str]) -> list[dict[str, t.Any]]:
        """Growing batches: a number of hosts, or a share of all of them ("10%") up to which the batch reaches."""
        batches, done = [], 0
        for number, size in enumerate(sizes):
            end = self.size * int(size[:-1]) // 100 if size.endswith("%") else done + int(size)
            end = self.size if number == len(sizes) - 1 else min(max(end, done + 1), self.size)
            if end > done:
                batches.append({"name": f"batch {number + 1}", "hosts": self.hosts[done:end]})
            done = end
        return batches

    def reached(self) -> dict[str, int]:
        """How many hosts have the update in which state, by what the simulation holds."""
        states: dict[str, int] = {}
        for host in self.hosts:
            path = self.root / "hosts" / host / "sysfs" / NAME / "state"
            state = path.read_text().strip() if path.exists() else "absent"
            states[state] = states.get(state, 0) + 1
        return states

    def kept(self) -> dict[str, int]:
        """Bytes of a package, and of what the controller keeps of a host."""
        rollouts = self.controller / "rollouts"
        evidence = sum(path.stat().st_size for path in rollouts.glob("*/evidence.jsonl"))
        everything = sum(path.stat().st_size for path in rollouts.rglob("*") if path.is_file())
        return {
            "bytes of a package": self.packages[0]["size"],
            "bytes of evidence, per host": evidence // self.size,
            "bytes kept of a rollout in all, per host": everything // self.size,
            "bytes of the report's page": (self.controller / "report" / "report.html").stat().st_size,
        }

    def spent(self) -> float:
        """Processor seconds of the hosts' own Python since the last call."""
        total = 0.0
        for path in self.root.glob("hosts/*/spent"):
            total += sum(map(float, path.read_text().split()))
            path.unlink()
        return total
