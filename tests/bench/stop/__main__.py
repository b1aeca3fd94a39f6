# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how long a host stands still for an update, by its number of threads: `make bench-stop`.

A bare ``stop_machine()`` of the same machine, taken at the same time, is what it is compared with.  Most threads sleep
in ``poll()``; the busy ones run every millisecond or two.

Figures are the least of some rounds: what else this host does makes each of them longer, and none shorter.  The ratio
is shown of the medians, too.  ``own`` is the slowest processor's own time, from when it begins to check tasks until it
is done and waits for others, taken in rounds of its own, since the probes that take it are a burden; ``first`` is the
same of the first round, in which an emulated machine runs some code for the first time, and translates it.

Emulated processors take turns (accelerator ``tcg_single``), as they have to where the kernel writes over code that all
run: to count their own time is to place kprobes, and to note tasks a probe of the scheduler.  So a stop is as long as
what all of them do, one after another.
"""

from __future__ import annotations

import argparse
import functools
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import tempfile
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.machine import usable_accelerator
from ansible_collections.rebootless.splice.tests.support.builds import SIOCATMARK, Builds
from ansible_collections.rebootless.splice.tests.support.host import Host
from ansible_collections.rebootless.splice.tests.support.places import CACHE
from ansible_collections.rebootless.splice.tests.support.runner import Runner

HERE = pathlib.Path(__file__).resolve().parent
RELEASE = "6.1.0-50-cloud-amd64"
NAME = "stop"
SYSFS = f"/sys/kernel/rebootless/{NAME}"
MEMORY_MIB = 4096  # 50,000 threads take half of it
BUSY = 8  # of each number of threads
ROUNDS = 21
WANTED = 3.0  # times a bare stop, with 10,000 threads
SLOW_S = 900.0  # an emulated machine makes 50,000 threads in minutes
BARE = re.compile(r"bare_stop: (\d+) ns of (\d+) ns")


class Stop(t.NamedTuple):
    """One stop: as the processors see it, and as its caller does, both in ns; stacks that were walked."""

    inside: float
    whole: float
    looked_at: float = 0


class Row(t.NamedTuple):
    """One number of threads: stops, and each slowest processor's own time in ns, as they were measured."""

    cpus: int
    threads: int
    updates: list[Stop]
    own: list[float]
    bare: list[Stop]

    def ratio(self, of: t.Callable[[t.Iterable[float]], float]) -> float:
        return of([stop.whole for stop in self.updates]) / of([stop.whole for stop in self.bare])


def least(stops: list[Stop]) -> Stop:
    return Stop(*(min(column) for column in zip(*stops, strict=True)))


def modules(builds: Builds, work: pathlib.Path) -> list[pathlib.Path]:
    tree = builds.tree(RELEASE)
    source = work / "modules"
    shutil.copytree(HERE / "modules", source)
    command = ["make", "-s", "-C", tree["headers"], f"M={source}", f"CC={tree['compiler']}", "modules"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return sorted(source.glob("*.ko"))


def program(work: pathlib.Path) -> pathlib.Path:
    made = work / "threads"
    subprocess.run(["gcc", "-O2", "-static", "-pthread", "-o", made, HERE / "threads.c"], check=True)
    return made


def bare(host: Host) -> list[Stop]:
    said = host.out(f"dmesg -C; insmod /root/bare_stop.ko rounds={ROUNDS} 2>/dev/null; dmesg", timeout=SLOW_S)
    found = [Stop(int(inside), int(whole)) for inside, whole in BARE.findall(said)]
    assert len(found) == ROUNDS, said
    return found


def after_updates(host: Host, files: str) -> list[list[str]]:
    """Reverses the update and applies it again, some times; what files of its directory in sysfs hold after each."""
    turn = f"echo reverse > {SYSFS}/control && echo apply > {SYSFS}/control && cd {SYSFS} && echo $(cat {files})"
    said = host.out(f"for i in $(seq {ROUNDS}); do {turn} || exit 1; done", timeout=SLOW_S)
    return [line.split() for line in said.splitlines()]


def updates(host: Host) -> list[Stop]:
    return [Stop(*map(float, row)) for row in after_updates(host, "pause_ns stop_ns looked_at")]


def own_times(host: Host) -> list[float]:
    host.run("insmod /root/own_time.ko")
    rows = after_updates(host, "/sys/module/own_time/parameters/ns")
    host.run("rmmod own_time")
    return [max(map(float, times.split(","))) for (times,) in rows]


def threads(host: Host, count: int) -> t.Callable[[], object]:
    """Makes threads; what this returns ends them."""
    outside = "ulimit -u unlimited; echo $$ > /sys/fs/cgroup/cgroup.procs"  # of what limits a session's tasks
    task = host.start(f"{outside}; exec /root/threads {count - BUSY} {BUSY}")
    assert task.stdout is not None and task.stderr is not None
    said = task.stdout.readline()
    assert said == b"ready\n", task.stderr.read().decode()
    end = "pkill -KILL -x threads; while pgrep -x threads; do sleep 1; done"
    return functools.partial(host.run, end, timeout=SLOW_S)


def prepared(host: Host, builds: Builds, work: pathlib.Path) -> None:
    host.write("/root/stop.rbl.tar.gz", builds.update(RELEASE, NAME, SIOCATMARK).content)
    for made in modules(builds, work):
        host.put(made, f"/root/{made.name}")
    host.put(program(work), "/root/threads")
    limits = " ".join(f"{name}=200000" for name in ("kernel.pid_max", "kernel.threads-max", "vm.max_map_count"))
    host.run(f"chmod +x /root/threads; sysctl -q {limits}")
    result = host.module("update", package="/root/stop.rbl.tar.gz", confirm=True)
    assert not result["failed"], result


def on_a_machine(controller: Runner, builds: Builds, asked: argparse.Namespace, cpus: int) -> t.Iterator[Row]:
    lab: dict[str, t.Any] = {"lab_name": f"bench-stop-{cpus}", "lab_cache": str(CACHE)}
    lab["lab_accelerator"] = "kvm" if usable_accelerator() == "kvm" else "tcg_single"
    machine = {"name": "machine", "kernel": RELEASE, "cpus": cpus, "memory": MEMORY_MIB}
    directory = CACHE / "lab" / lab["lab_name"]
    try:
        controller.playbook("rebootless.splice.lab_up", variables={**lab, "lab_hosts": [machine]})
        host = Host(directory, "machine", Runner(directory / "inventory.yml"))
        with tempfile.TemporaryDirectory(prefix="rebootless-bench-") as work:
            prepared(host, builds, pathlib.Path(work))
        host.run(f"echo {asked.note_from} > /sys/module/rebootless/parameters/note_from")
        for count in asked.threads:
            end = threads(host, count)
            yield Row(cpus, count, updates(host), own_times(host), bare(host))
            end()
    finally:
        controller.playbook("rebootless.splice.lab_down", variables=lab)


def show(row: Row) -> None:
    update, bare = least(row.updates), least(row.bare)
    stops = (update.inside, update.whole, bare.inside, bare.whole, min(row.own), row.own[0])
    us = [value / 1000 for value in stops]
    ratio = row.ratio(min)
    walked = statistics.median(stop.looked_at for stop in row.updates)
    verdict = "" if row.threads != 10000 else "  good" if ratio <= WANTED else f"  over {WANTED:.0f}"
    print(
        f"{row.cpus:4} {row.threads:7} {us[0]:8.0f} {us[1]:8.0f} {us[2]:8.0f} {us[3]:8.0f}"
        f" {ratio:6.1f} {row.ratio(statistics.median):7.1f} {us[4]:7.0f} {us[5]:7.0f} {walked:7.0f}{verdict}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("threads", type=int, nargs="*", default=[100, 2000, 10000, 50000])
    parser.add_argument("--cpus", type=int, nargs="+", default=[2, 8])
    note_from = "the helper module's parameter of that name; by default as on processors that are not emulated"
    parser.add_argument("--note-from", type=int, default=1000, help=note_from)
    asked = parser.parse_args()
    controller = Runner()
    print(f"{RELEASE}, with {os.cpu_count()} processors here. In µs: as the processors see it, and as the caller does.")
    print("cpus threads   update    whole     bare    whole  ratio  median     own   first  walked", flush=True)
    with tempfile.TemporaryDirectory(prefix="rebootless-bench-") as run:
        builds = Builds(controller, CACHE, pathlib.Path(run))
        for cpus in asked.cpus:
            for row in on_a_machine(controller, builds, asked, cpus):
                show(row)


if __name__ == "__main__":
    main()
