# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is vulnerable to what, as one structure of plain data: the JSON file is it, all else is made from it.

Many hosts lack the same: ``exposures`` has each that there is once, ``profiles`` lists of their places in it, by rank,
and each host has the place of its profile.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure import accounts, answers, cves
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.accounts import Account
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.answers import Host, Kernel
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.join import (
    EXCEPTED,
    LATE,
    Joiner,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.placed import Placed, Profiles
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.policy import Policy
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.updates import Updates
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.names import natural
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.render import iso

FORMAT = 1
OLD_FEED = 7.0  # days without a new record, after which the feed is doubted
ReadAnswer = t.Callable[[str], t.Dict[str, t.Any]]
Ask = t.Callable[[Kernel], Account]


@dataclasses.dataclass(frozen=True)
class Fleet:
    """``hosts`` by name, the ``groups`` of each that the policy names, how to read an answer, and how to get the
    account of a kernel; ``now`` is the controller's clock in seconds since 1970."""

    hosts: t.Sequence[str]
    groups: t.Mapping[str, frozenset[str]]
    answer: ReadAnswer
    ask: Ask
    now: float


def build(fleet: Fleet, policy: Policy, updates: Updates, by: str) -> dict[str, t.Any]:
    """The exposure of a fleet.

    Raises ``RebootlessError``: ``no_hosts``, ``no_answer``, ``no_kernel_known``, ``clock_behind``, and the refusal of
    ``kernel_cves`` if it refuses all kernels.
    """
    hosts = [answers.host(name, fleet.answer(name)) for name in sorted(fleet.hosts, key=natural)]
    _demand_answers(hosts)
    known = {kernel: fleet.ask(kernel) for kernel in sorted({host.kernel for host in hosts if host.kernel.version})}
    _demand_kernels(known)
    accounts.demand_clock(known.values(), fleet.now)
    believed = _versions(hosts, updates)
    joiner, profiles, notes = Joiner(policy, fleet.now), Profiles(), []
    table = [_placed(host, known, believed) for host in hosts]
    for row in table:
        notes += [f"{row.host.name}: {said}" for said in _fill(row, fleet, joiner, profiles, updates)]
    return {
        "format": FORMAT,
        "written": iso(fleet.now),
        "by": by,
        "policy": _policy(policy, fleet.now, profiles, table),
        "fleet": _fleet(table, profiles),
        "kernels": _kernels(known, table),
        **cves.tables(table, profiles, joiner, known, updates),
        "hosts": [_host(row, profiles) for row in table],
        "notes": [*_notes(known, table, profiles, fleet.now), *notes],
    }


def _demand_answers(hosts: t.Sequence[Host]) -> None:
    if not hosts:
        raise RebootlessError("no_hosts", "There are no hosts.", "Give hosts that the inventory has.")
    if not any(host.answered for host in hosts):
        raise RebootlessError(
            "no_answer",
            f"None of {len(hosts)} hosts answered; of {hosts[0].name}: {hosts[0].why}",
            "Look at the network, at the user, and at the password for become.",
        )


def _demand_kernels(known: t.Mapping[Kernel, Account]) -> None:
    if not known:
        raise RebootlessError(
            "no_kernel_known",
            "No host says which version of the distribution's kernel package it runs.",
            "Run a kernel of the distribution, or one whose banner names the version of its package.",
        )
    if not any(account.known for account in known.values()):
        first = next(iter(known.values()))
        raise RebootlessError(first.code, first.sentence, first.next_step or "Run the playbook feed.")


def _versions(hosts: t.Iterable[Host], updates: Updates) -> dict[str, str]:
    """The version that each build of a kernel has, by its build ID: as the store has it, or as most hosts say.

    A host that says another one is mistaken, or lies.
    """
    said: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for host in hosts:
        if host.kernel.build_id and host.kernel.version:
            said[host.kernel.build_id][host.kernel.version] += 1
    most = {build_id: min(found, key=lambda name: (-found[name], name)) for build_id, found in said.items()}
    return {**most, **updates.versions()}


def _placed(host: Host, known: t.Mapping[Kernel, Account], believed: t.Mapping[str, str]) -> Placed:
    kernel = host.kernel
    if not host.answered and not host.last_answer:
        return Placed(host, None, "no_word", "The host did not answer, and has never said what it runs.")
    if kernel not in known:
        return Placed(host, None, "no_version", "Its kernel does not say the version of its package.")
    right = believed.get(kernel.build_id, kernel.version)
    if right != kernel.version:
        sentence = f"It says that its kernel is {kernel.version}; the build {kernel.build_id[:12]} is {right}."
        return Placed(host, None, "version_contradicted", sentence)
    account = known[kernel]
    return Placed(host, account if account.known else None, account.code, account.sentence)


def _fill(row: Placed, fleet: Fleet, joiner: Joiner, profiles: Profiles, updates: Updates) -> list[str]:
    """Finds the exposures of a host; returns what is wrong with its word."""
    account = row.account
    if account is None:
        return []
    row.live, wrong = updates.live_on(row.host)
    groups = fleet.groups.get(row.host.name, frozenset())
    leaves = joiner.leaves(row.host.name, groups)
    places = joiner.places(account, answers.modules(fleet.answer(row.host.name)))
    live = frozenset(row.live.keys() & account.lacks.keys())
    key = (id(account), places, live, groups, leaves)
    row.profile = profiles.place(key, lambda: joiner.join(account, places, live, groups, leaves))
    return wrong


def _policy(policy: Policy, now: float, profiles: Profiles, table: t.Sequence[Placed]) -> dict[str, t.Any]:
    """The rules, and of each exception whether it has ended, and how many hosts have an open CVE that it is for."""
    used: collections.Counter[int] = collections.Counter()
    for row in table:
        if row.profile is not None:
            used.update({number for number in profiles.leaves(row.profile) if number is not None})
    leaves = [
        {**leave.to_json(), "ends": iso(leave.ends()), "ended": leave.ends() <= now, "used_by": used[number]}
        for number, leave in enumerate(policy.leaves)
    ]
    return {"title": policy.title, "rules": [rule.to_json() for rule in policy.rules], "exceptions": leaves}


def _fleet(table: t.Sequence[Placed], profiles: Profiles) -> dict[str, t.Any]:
    counts = [profiles.counts(row.profile) for row in table if row.profile is not None]
    return {
        "hosts": len(table),
        "answered": sum(row.host.answered for row in table),
        "silent": sum(not row.host.answered for row in table),
        "not_known": sum(row.account is None for row in table),
        "exposed": sum(one["open"] > 0 for one in counts),
        "late": sum(one[LATE] > 0 for one in counts),
        "pairs": {key: sum(one[key] for one in counts) for key in ("open", "exploited", LATE, EXCEPTED)},
    }


def _host(row: Placed, profiles: Profiles) -> dict[str, t.Any]:
    host = row.host
    counts = profiles.counts(row.profile)
    return {
        "name": host.name,
        "answered": host.answered,
        "why": host.why,
        "last_answer": host.last_answer,
        **host.kernel._asdict(),
        "user_namespaces": host.user_namespaces,
        "code": row.code,
        "sentence": row.sentence,
        **counts,
        "fixed_live": len(row.live.keys() & row.account.lacks.keys()) if row.account else 0,
        "profile": row.profile,
    }


def _kernels(known: t.Mapping[Kernel, Account], table: t.Sequence[Placed]) -> list[dict[str, t.Any]]:
    """The kernels of the fleet, with their hosts, the most first."""
    found: dict[Kernel, list[str]] = collections.defaultdict(list)
    for row in table:
        found[row.host.kernel].append(row.host.name)
    rows = []
    for kernel, names in found.items():
        account = known.get(kernel) or accounts.refused(kernel, "no_version", "")
        rows.append(
            {
                **kernel._asdict(),
                "hosts": names,
                "open": len(account.lacks) if account.known else None,
                "no_fix": sum(one.get("fix") is None for one in account.lacks.values()) if account.known else None,
                **{key: getattr(account, key) for key in ("series", "tree", "code", "sentence", "next_step", "notes")},
            }
        )
    return sorted(rows, key=lambda row: (-len(row["hosts"]), row["version"], row["build_id"]))


def _notes(
    known: t.Mapping[Kernel, Account], table: t.Sequence[Placed], profiles: Profiles, now: float
) -> t.Iterator[str]:
    """What limits the whole."""
    age = accounts.age_of_feed(known.values(), now)
    if age is None or age > OLD_FEED:
        told = "is of an unknown age" if age is None else f"has nothing newer than {age:.0f} days"
        yield f"The feed {told}: what was published since is missing here. Run the playbook feed."
    if not any("exploited" in account.feed for account in known.values()):
        yield "The feed has no KEV (feed_exploited_url), so that no CVE counts as exploited."
    for kernel, account in known.items():
        if account.known and not account.tree:
            yield (
                f"There is no kernel tree of {kernel.release} {kernel.version} on the build host: it is not known "
                "which CVEs concern it, and all of them are listed. Build an update for it, or prepare its tree."
            )
    if any(row.account is None for row in table):
        yield "Of some hosts it is not known which CVEs concern them: they are counted as not fixed."
    if profiles.has_undated():
        yield "Some open CVEs have no date until which they have to be fixed: no rule matches, or its day is not known."
