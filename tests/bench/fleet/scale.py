# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calculates what a rollout over a large fleet needs, from what `make bench-fleet` measured (docs/scale.md).

The defaults are the plan of docs/scale.md.  Nothing is measured here: give the figures of your own controller.
"""

from __future__ import annotations

import argparse
import math
import typing as t

# What each wave reaches, in per cent of the fleet; a wave begins when the plans of the one before it ended well.
WAVES = (1, 10, 50, 100)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    fleet = parser.add_argument_group("the fleet")
    fleet.add_argument("--hosts", type=int, default=100_000)
    fleet.add_argument("--datacenters", type=int, default=4)
    fleet.add_argument("--kernels", type=int, default=12, help="kernel builds in it")
    measured = parser.add_argument_group("measured by make bench-fleet")
    measured.add_argument("--cpu-ms", type=float, default=310, help="controller's CPU per host, without hosts' Python")
    measured.add_argument("--main-mb", type=float, default=66, help="main process of one rollout")
    measured.add_argument("--fork-mb", type=float, default=32, help="each fork")
    measured.add_argument("--package", type=int, default=111_841, help="bytes of a package")
    measured.add_argument("--evidence", type=int, default=3_674, help="bytes of evidence per host")
    assumed = parser.add_argument_group("assumed")
    assumed.add_argument("--ssh-ms", type=float, default=150, help="CPU of the ssh clients per host and rollout")
    assumed.add_argument("--step-s", type=float, default=4, help="seconds that a fork is busy with a host in a step")
    assumed.add_argument("--build-min", type=float, default=4, help="minutes to build the update for one kernel")
    chosen = parser.add_argument_group("chosen")
    chosen.add_argument("--slice", type=int, default=1_000, help="hosts of one plan, which is one job")
    chosen.add_argument("--batches", type=int, default=3, help="batches of a plan; each has a soak of its own")
    chosen.add_argument("--soak", type=int, default=900, help="last check time in seconds")
    chosen.add_argument("--processors", type=int, default=8, help="of an execution node")
    chosen.add_argument("--use", type=float, default=0.7, help="share of them that is planned with")
    chosen.add_argument("--nodes", type=int, default=2, help="execution nodes of each datacenter")
    chosen.add_argument("--forks", type=int, default=25, help="of one job")
    return parser.parse_args()


def waves(options: argparse.Namespace, capacity: float) -> list[tuple[int, int, int, float, float]]:
    """For each wave its hosts and plans, how many of them run at once, and seconds of work and of soaks."""
    rows, done = [], 0
    cpu = (options.cpu_ms + options.ssh_ms) / 1000
    for share in WAVES:
        hosts = math.ceil(options.hosts * share / 100) - done
        done += hosts
        plans = math.ceil(hosts / options.slice)
        forks = options.forks * plans
        # Two steps of each host; whichever runs out first, processors or forks.
        work = max(hosts * cpu / capacity, 2 * hosts * options.step_s / forks)
        rows.append((hosts, plans, forks, work, float(options.batches * options.soak)))
    return rows


def main() -> None:
    options = arguments()
    nodes = options.nodes * options.datacenters
    capacity = nodes * options.processors * options.use
    cpu = (options.cpu_ms + options.ssh_ms) / 1000
    table = waves(options, capacity)
    print(f"{'wave':>5} {'hosts':>8} {'plans':>6} {'forks':>6} {'work':>8} {'soaks':>8} {'together':>9}")
    for number, (hosts, plans, forks, work, soak) in enumerate(table):
        print(
            f"{number:>5} {hosts:>8,} {plans:>6} {forks:>6} {work / 60:>4.0f} min {soak / 60:>4.0f} min "
            f"{(work + soak) / 60:>5.0f} min"
        )
    total = sum(work + soak for _hosts, _plans, _forks, work, soak in table)
    most_plans = max(plans for _hosts, plans, _forks, _work, _soak in table)
    per_node = math.ceil(most_plans / nodes)
    memory = per_node * (options.main_mb + options.forks * options.fork_mb)
    traffic = options.hosts * options.package
    rows: dict[str, t.Any] = {
        "hours from the first canary to the last host": f"{total / 3600:.1f}",
        "processor hours of all controllers": f"{options.hosts * cpu / 3600:.0f}",
        f"execution nodes ({options.processors} processors each)": f"{nodes}, {options.nodes} in each datacenter",
        "plans (AWX jobs) in all": sum(plans for _hosts, plans, _forks, _work, _soak in table),
        "plans at once on a node": per_node,
        "memory of a node, GB": f"{memory / 1000:.1f}",
        "packages to hosts, GB in all": f"{traffic / 1e9:.1f}",
        "packages from a datacenter's mirror, GB": f"{traffic / options.datacenters / 1e9:.1f}",
        "store to each mirror, MB": f"{options.kernels * options.package / 1e6:.1f}",
        "evidence, MB": f"{options.hosts * options.evidence / 1e6:.0f}",
        "minutes to build on one build host": f"{options.kernels * options.build_min:.0f}",
    }
    print()
    for what, figure in rows.items():
        print(f"{what:48} {figure}")


if __name__ == "__main__":
    main()
