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

from ansible_collections.rebootless.splice.tests.bench.fleet import measure, simulated

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


class Bench(t.NamedTuple):
    """The plays over one fleet, and the sizes of what they leave."""

    ping: Run
    rollout: Run
    report: Run
    kept: dict[str, int]


def bench(root: pathlib.Path, size: int, forks: int) -> Bench:
    """Ping, rollout and report over a new fleet of ``size`` hosts; ends the program if one comes out wrong."""
    fleet = simulated.Fleet(root / str(size), size, CHECK_TIMES, BATCHES)
    batches = json.loads(fleet.plan.read_text())["batches"]
    serial = [len(batch["hosts"]) for batch in batches]
    ping = play(fleet, "ping", forks, str(HERE / "ping.yml"), {"bench_serial": serial})
    variables = {"rebootless_plan": str(fleet.plan), "rebootless_directory": str(fleet.controller)}
    rollout = play(fleet, "rollout", forks, "rebootless.splice.rollout", variables)
    reached = fleet.reached()
    if reached != {"confirmed": size}:
        sys.exit(f"The rollout ended well, but the hosts have {reached}; {size} confirmed ones were expected.")
    report = play(fleet, "report", forks, "rebootless.splice.report", variables)
    said = json.loads((fleet.controller / "report" / "report.json").read_text())
    if said["states"]["confirmed"] != size or said["fleet"]["answered"] != size:
        sys.exit(f"The report has {said['states']} and {said['fleet']}; {size} confirmed hosts were expected.")
    return Bench(ping, rollout, report, fleet.kept())


class Goal(t.NamedTuple):
    """A figure that was derived; ``most`` is None where it has no goal."""

    what: str
    measured: float
    most: float | None = None

    @property
    def reached(self) -> bool:
        return self.most is None or self.measured <= self.most


def goals(benches: list[Bench]) -> list[Goal]:
    """What issue 4 asks of a rollout: what it may cost beside a ping, tasks per host, growth with the fleet."""
    found = []
    for ping, rollout, _report, _kept in benches:
        label = f"{ping.size} hosts:"
        ratio = rollout.cpu_per_host / ping.cpu_per_host
        alone = rollout.controller_per_host / ping.controller_per_host
        found.append(Goal(f"{label} CPU of the rollout to the ping's", ratio, MOST_RATIO))
        found.append(Goal(f"{label} the same without the hosts' own Python", alone))
        found.append(Goal(f"{label} tasks per host", rollout.tasks["most"], MOST_TASKS))
    if len(benches) > 1:
        first, last = benches[0].rollout, benches[-1].rollout
        growth = last.cpu_per_host / first.cpu_per_host
        found.append(Goal(f"CPU per host of {last.size} hosts to that of {first.size}", growth, MOST_GROWTH))
    return found


def show(benches: list[Bench]) -> None:
    """Prints what was measured; milliseconds and megabytes."""
    print("CPU in ms per host: all processes, of it the controller's, the hosts' own Python, what was left behind.")
    print(
        f"{'hosts':>6} {'play':8} {'CPU':>6} {'controller':>11} {'hosts':>6} {'left':>6} {'CPU s':>8} {'wall s':>8} "
        f"{'wall ms/host':>13} {'main MB':>8} {'all MB':>7} {'tasks/host':>11}"
    )
    for run in [run for each in benches for run in (each.ping, each.rollout, each.report)]:
        cost, size = run.cost, run.size
        print(
            f"{size:>6} {run.what:8} {1000 * run.cpu_per_host:>6.0f} {1000 * run.controller_per_host:>11.0f} "
            f"{1000 * run.hosts_cpu / size:>6.0f} {1000 * cost.lingering / size:>6.0f} {cost.cpu:>8.1f} "
            f"{cost.wall:>8.1f} {1000 * cost.wall / size:>13.0f} {cost.main_memory >> 20:>8} "
            f"{cost.all_memory >> 20:>7} {run.tasks['most']:>11}"
        )
    for each in benches:
        print()
        for what, number in each.kept.items():
            print(f"{each.ping.size:>6} hosts: {what:42} {number:>9,}")
    print()
    for goal in goals(benches):
        wanted = "" if goal.most is None else f"  at most {goal.most:g}"
        print(f"{'ok    ' if goal.reached else 'MISSED'} {goal.what:54} {goal.measured:>6.2f}{wanted}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=[200, 1000], help="numbers of hosts")
    parser.add_argument("--forks", type=int, default=20)
    parser.add_argument("--keep", action="store_true", help="leave the directory, and say where it is")
    options = parser.parse_args()
    root = pathlib.Path(tempfile.mkdtemp(prefix="rebootless-bench-fleet-", dir="/var/tmp"))
    try:
        print(SIMULATION, flush=True)
        benches = [bench(root, size, options.forks) for size in options.sizes]
        processors = len(os.sched_getaffinity(0))
        print(f"\n{options.forks} forks, {processors} processors, batches {BATCHES}, checks at {CHECK_TIMES} s.\n")
        show(benches)
    finally:
        if options.keep:
            print(f"\nKept: {root}")
        else:
            shutil.rmtree(root, ignore_errors=True)
    return 0 if all(goal.reached for goal in goals(benches)) else 1


if __name__ == "__main__":
    sys.exit(main())
