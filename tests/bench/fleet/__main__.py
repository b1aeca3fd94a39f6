# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what a rollout costs the controller, beside a play with one ping: `make bench-fleet`.

The playbook, the plugins and the modules are the product's own, and so are transfer, checks, records and evidence.
What is simulated is the kernel of each host: the helper module's sysfs (``shim/sitecustomize.py``).  Hosts are reached
by the local connection, so the controller also pays for what hosts would pay; the table says how much that is.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shutil
import sys
import tempfile
import typing as t

import measure
import simulated

HERE = pathlib.Path(__file__).resolve().parent
BIN = pathlib.Path(sys.executable).parent
CHECK_TIMES = [0, 5]
BATCHES = ["1", "10%", "25%", "50%", "75%", "100%"]
MOST_RATIO, MOST_TASKS, MOST_GROWTH = 4.0, 3, 1.25
SIMULATION = """\
SIMULATED: of each host the sysfs of the helper module (no kernel is patched or even looked at), its identity and its
directories. Everything else is what a rollout runs: playbook, plugins, modules, transfer, checks, records, evidence.
The connection is local: the controller also pays what the hosts' own Python costs, and nothing is paid for ssh.
"""


class Run(t.NamedTuple):
    """One play over a fleet; ``hosts_cpu`` are the seconds that the hosts' own Python took."""

    what: str
    size: int
    cost: measure.Cost
    hosts_cpu: float
    tasks: dict[str, t.Any]

    @property
    def cpu_per_host(self) -> float:
        return self.cost.cpu / self.size

    @property
    def controller_per_host(self) -> float:
        return (self.cost.cpu - self.hosts_cpu - self.cost.lingering) / self.size


def play(fleet: simulated.Fleet, what: str, forks: int, playbook: str, variables: dict[str, t.Any]) -> Run:
    """Runs a playbook over the fleet; ends the program if it fails."""
    counted, output = fleet.root / f"{what}.tasks", fleet.root / f"{what}.log"
    environment = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback"),
        "ANSIBLE_CALLBACKS_ENABLED": "bench_tasks",
        "REBOOTLESS_BENCH_TASKS": str(counted),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_FORKS": str(forks),
        "PYTHONDONTWRITEBYTECODE": "",
    }
    fleet.spent()
    command = [str(BIN / "ansible-playbook"), "-i", str(fleet.inventory), playbook, "-e", json.dumps(variables)]
    cost = measure.run(command, environment, output)
    if cost.status:
        sys.exit(f"{what} of {fleet.size} hosts ended with {cost.status}:\n{output.read_text()[-4000:]}")
    tasks = json.loads(counted.read_text())
    print(f"{what} of {fleet.size} hosts: {cost.cpu:.1f} s of CPU, {cost.wall:.1f} s", flush=True)
    return Run(what, fleet.size, cost, fleet.spent(), tasks)


def bench(root: pathlib.Path, size: int, forks: int) -> list[Run]:
    """Ping and rollout over a new fleet of ``size`` hosts."""
    fleet = simulated.Fleet(root / str(size), size, CHECK_TIMES, BATCHES)
    batches = json.loads(fleet.plan.read_text())["batches"]
    serial = [len(batch["hosts"]) for batch in batches]
    ping = play(fleet, "ping", forks, str(HERE / "ping.yml"), {"bench_hosts": "all", "bench_serial": serial})
    variables = {"rebootless_plan": str(fleet.plan), "rebootless_directory": str(fleet.controller)}
    rollout = play(fleet, "rollout", forks, "rebootless.splice.rollout", variables)
    reached = fleet.reached()
    if reached != {"confirmed": size}:
        sys.exit(f"The rollout ended well, but the hosts have {reached}; {size} confirmed ones were expected.")
    return [ping, rollout]


def show(runs: list[Run]) -> list[tuple[str, str, str, bool]]:
    """Prints the table; returns the goals: what, measured, wanted, reached."""
    print(
        f"{'hosts':>6} {'play':8} {'CPU s':>8} {'per host':>9} {'of it controller':>17} {'hosts':>9} "
        f"{'left behind':>12} {'wall s':>8} {'per host':>9} {'main':>7} {'all':>8} {'tasks/host':>10}"
    )
    for run in runs:
        cost = run.cost
        print(
            f"{run.size:>6} {run.what:8} {cost.cpu:>8.1f} {1000 * run.cpu_per_host:>6.0f} ms "
            f"{1000 * run.controller_per_host:>14.0f} ms {1000 * run.hosts_cpu / run.size:>6.0f} ms "
            f"{1000 * cost.lingering / run.size:>9.0f} ms {cost.wall:>8.1f} {1000 * cost.wall / run.size:>6.0f} ms "
            f"{cost.main_memory >> 20:>4} MB {cost.all_memory >> 20:>5} MB {run.tasks['most']:>10}"
        )
    goals = []
    pairs = list(zip(runs[::2], runs[1::2], strict=True))
    for ping, rollout in pairs:
        ratio = rollout.cpu_per_host / ping.cpu_per_host
        goals.append(
            (
                f"{ping.size} hosts: CPU of the rollout to the ping's",
                f"{ratio:.2f}",
                f"at most {MOST_RATIO:g}",
                ratio <= MOST_RATIO,
            )
        )
        alone = rollout.controller_per_host / ping.controller_per_host
        goals.append((f"{ping.size} hosts: the same without the hosts' own Python", f"{alone:.2f}", "", True))
        most = rollout.tasks["most"]
        goals.append((f"{ping.size} hosts: tasks per host", str(most), f"at most {MOST_TASKS}", most <= MOST_TASKS))
    if len(pairs) > 1:
        first, last = pairs[0][1], pairs[-1][1]
        growth = last.cpu_per_host / first.cpu_per_host
        goals.append(
            (
                f"CPU per host, {last.size} hosts to {first.size}",
                f"{growth:.2f}",
                f"linear: at most {MOST_GROWTH:g}",
                growth <= MOST_GROWTH,
            )
        )
    print()
    for what, measured, wanted, reached in goals:
        print(f"{'ok    ' if reached else 'MISSED'} {what:48} {measured:>8}  {wanted}".rstrip())
    return goals


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=[200, 1000], help="numbers of hosts")
    parser.add_argument("--forks", type=int, default=20)
    parser.add_argument("--keep", action="store_true", help="leave the directory, and say where it is")
    options = parser.parse_args()
    root = pathlib.Path(tempfile.mkdtemp(prefix="rebootless-bench-fleet-", dir="/var/tmp"))
    try:
        print(SIMULATION, flush=True)
        runs = [run for size in options.sizes for run in bench(root, size, options.forks)]
        processors = len(os.sched_getaffinity(0))
        print(f"\n{options.forks} forks, {processors} processors, batches {BATCHES}, checks at {CHECK_TIMES} s.\n")
        goals = show(runs)
    finally:
        if options.keep:
            print(f"\nKept: {root}")
        else:
            shutil.rmtree(root, ignore_errors=True)
    return 0 if all(reached for _what, _measured, _wanted, reached in goals) else 1


if __name__ == "__main__":
    sys.exit(main())
