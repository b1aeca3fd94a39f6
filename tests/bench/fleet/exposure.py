# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what the exposure of a fleet costs, beside a play with one ping: `make bench-exposure`.

Playbook, plugins, modules, feed and files are the product's own.  What is simulated is each host's kernel, as for
`make bench-fleet`, with its modules: the tables of a directory that has as many as the cloud flavour, and its /proc.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import random
import shutil
import sys
import tempfile
import time
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.index import Index, write_index
from ansible_collections.rebootless.splice.tests.bench.fleet import simulated
from ansible_collections.rebootless.splice.tests.bench.fleet.__main__ import BATCHES, CHECK_TIMES, HERE, Goal, play

MODULES, ALIASES, LOADED, CVES = 1_121, 2_407, 120, 1_000
MOST_RATIO, LARGEST_PAGE = 4.0, 2_000_000  # of the ping's processor time; bytes
BEGINS = ("net-pf-", "crypto-", "fs-", "nft-", "pci:v0000", "hid:b0003g*v0000", "cpu:type:x86,ven*fam*mod*:feature:*")
SIMULATION = """\
SIMULATED: the kernel of each host and what it says of its modules. The CVEs are made up; no kernel tree says which of
them concern a kernel. Connections are local: the controller also pays what the hosts' own Python costs, and no ssh.
"""


def modules(fleet: simulated.Fleet) -> None:
    """Gives each host a directory of modules, which hosts of a kernel share, and what its kernel shows of them."""
    names = [f"module_{number}" for number in range(MODULES)]
    needs = "".join(
        f"kernel/a/{name}.ko:{f' kernel/a/{names[number // 2]}.ko' if number % 3 else ''}\n"
        for number, name in enumerate(names)
    )
    aliases = "".join(
        f"alias {BEGINS[number % len(BEGINS)]}{number} {names[number % MODULES]}\n" for number in range(ALIASES)
    )
    for release, _version in simulated.KERNELS:
        directory = fleet.root / "modules" / release
        directory.mkdir(parents=True)
        (directory / "modules.dep").write_text(needs)
        (directory / "modules.alias").write_text(aliases)
    settings = {"kernel/modprobe": "/bin/true", "user/max_user_namespaces": "1000", "dev/tty/ldisc_autoload": "0"}
    for number, host in enumerate(fleet.hosts):
        proc = fleet.root / "hosts" / host / "proc"
        for name, value in settings.items():
            (proc / "sys" / name).parent.mkdir(parents=True, exist_ok=True)
            (proc / "sys" / name).write_text(f"{value}\n")
        loaded = random.Random(number).sample(names, LOADED)
        (proc / "modules").write_text("".join(f"{name} 16384 0 - Live 0x0\n" for name in loaded))
        (proc / "cmdline").write_text("root=/dev/vda1 ro\n")


def feed(path: pathlib.Path) -> None:
    """An index with CVEs that all of the fleet's kernels have."""
    now = int(time.time())
    series = {version.rpartition(".")[0] for _release, version in simulated.KERNELS}
    uploads: dict[str, list[dict[str, t.Any]]] = {name: [] for name in sorted(series)}
    for _release, version in simulated.KERNELS:
        uploads[version.rpartition(".")[0]].append({"version": version, "date": "", "entries": []})
    records = {
        f"CVE-2026-{number:05d}": {
            "stamp": "",
            "state": "published",
            "title": f"net: fix number {number}",
            "files": [f"net/file{number}.c"],
            "mainline": [],
            "pairs": [["5.15", "3" * 40, "0", "0"]],
            "vector": "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H" if number % 2 else "",
            "wrong": "",
            "score": 7.8 if number % 2 else None,
            "severity": "high" if number % 2 else "",
        }
        for number in range(CVES)
    }
    path.mkdir(parents=True)
    read = {"tip": "0" * 40, "begins": [], "commits": [], "tags": {}, "files": {}}
    write_index(
        path,
        Index(
            sources={"records": {"time": now}, "stable": {"time": now}},
            records=records,
            published={cve: now - 86_400 * (number % 90) for number, cve in enumerate(records)},
            series=dict.fromkeys(uploads, read),
            uploads={
                name: sorted(rows, key=lambda row: row["version"], reverse=True) for name, rows in uploads.items()
            },
        ),
    )


def bench(root: pathlib.Path, size: int, forks: int) -> list[Goal]:
    """Ping and exposure of a new fleet; ends the program if the exposure comes out wrong."""
    fleet = simulated.Fleet(root / str(size), size, CHECK_TIMES, BATCHES)
    modules(fleet)
    feed(fleet.root / "feed")
    variables = {"rebootless_directory": str(fleet.controller), "feed_path": str(fleet.root / "feed")}
    variables["feed_cache"] = str(fleet.root / "cache")
    ping = play(fleet, "ping", forks, str(HERE / "ping.yml"), {})
    run = play(fleet, "exposure", forks, "rebootless.splice.exposure", variables)
    report = fleet.controller / "exposure" / "report"
    said = json.loads((report / "exposure.json").read_bytes())
    if said["fleet"]["answered"] != size or said["fleet"]["pairs"]["open"] != size * CVES:
        sys.exit(f"The exposure has {said['fleet']}; {size} hosts with {CVES} open CVEs each were expected.")
    for one in (ping, run):
        hosts = 1000 * one.hosts_cpu / size
        print(
            f"{size:>6} {one.what:9} {1000 * one.cpu_per_host:6.0f} ms of CPU per host, {hosts:.0f} of them the host's"
        )
    kept = sum(path.stat().st_size for path in (fleet.controller / "exposure" / "hosts").iterdir()) / size
    print(f"{size:>6} hosts: {kept:,.0f} bytes of answers per host, {run.cost.main_memory >> 20} MB main process")
    ratio = run.cpu_per_host / ping.cpu_per_host
    return [
        Goal(f"{size} hosts: CPU of the exposure to the ping's", ratio, MOST_RATIO),
        Goal(f"{size} hosts: tasks per host", run.tasks["most"], 1),
        Goal(f"{size} hosts: bytes of the page", (report / "exposure.html").stat().st_size, LARGEST_PAGE),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=[200, 1000], help="numbers of hosts")
    parser.add_argument("--forks", type=int, default=20)
    options = parser.parse_args()
    root = pathlib.Path(tempfile.mkdtemp(prefix="rebootless-bench-exposure-", dir="/var/tmp"))
    print(SIMULATION, flush=True)
    try:
        goals = [goal for size in options.sizes for goal in bench(root, size, options.forks)]
    finally:
        shutil.rmtree(root, ignore_errors=True)
    for goal in goals:
        wanted = f"at most {goal.most:g}"
        print(f"{'ok    ' if goal.reached else 'MISSED'} {goal.what:54} {goal.measured:>10,.2f}  {wanted}")
    return 0 if all(goal.reached for goal in goals) else 1


if __name__ == "__main__":
    sys.exit(main())
