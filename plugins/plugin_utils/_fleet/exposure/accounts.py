# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each kernel of the fleet has and lacks, as the module ``kernel_cves`` accounts for it on a build host."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.answers import Kernel
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.history import seconds
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.values import mapping, rows, text, texts

OPEN, FIXED, UNKNOWN = "open", "fixed", "unknown"
NOT_BUILT = "not built"
# What is said of a CVE whichever kernel it is in.
OF_CVE = ("title", "vector", "score", "severity", "exploited", "likely", "published")
Row = t.Dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Account:
    """A kernel that cannot be accounted for has the ``code`` and the ``sentence`` of the refusal instead.

    ``lacks`` are the rows of ``kernel_cves`` of the CVEs that are open in it, or of which that is unknown, ``fixed``
    the CVEs that are fixed in it; without those that do not concern it.
    """

    kernel: Kernel
    lacks: dict[str, Row] = dataclasses.field(default_factory=dict)
    fixed: frozenset[str] = frozenset()
    feed: Row = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
    tree: str = ""
    series: str = ""
    code: str = ""
    sentence: str = ""
    next_step: str = ""

    @property
    def known(self) -> bool:
        return not self.code

    @functools.cached_property
    def objects(self) -> dict[str, tuple[str, ...]]:
        """What the code of each open CVE is built into; nothing if that is not known."""
        return {cve: tuple(texts(row.get("objects"))) for cve, row in self.lacks.items()}

    @functools.cached_property
    def parts(self) -> list[tuple[str, ...]]:
        """What ``objects`` has, each once: many CVEs are in the same code."""
        return sorted(set(self.objects.values()))


def account(kernel: Kernel, said: Row) -> Account:
    """What ``kernel_cves`` returned for a kernel; a refusal as well."""
    if said.get("failed") or "cves" not in said:
        code = text(said.get("code")) or "no_account"
        sentence = text(said.get("sentence")) or text(said.get("module_stderr"), 400) or text(said.get("msg"))
        return refused(kernel, code, sentence, text(said.get("next_step")))
    cves = rows(said["cves"])
    if not cves:
        return refused(kernel, "no_cves", f"The feed has no CVE for {kernel.version}.", "Run the playbook feed again.")
    tree, notes = text(said.get("tree")), texts(said.get("notes"))
    if notes and not tree:
        # A version of which no changelog and no kernel tree knows is the host's word alone, and so is what it fixes.
        step = "Run the playbook feed again if it is new; if it is your own kernel, give its tree in feed_trees."
        return refused(kernel, "version_not_known", notes[0], step)
    concerning = [row for row in cves if row.get("concerns") != NOT_BUILT]
    return Account(
        kernel,
        {text(row["cve"]): row for row in concerning if row.get("state") in (OPEN, UNKNOWN)},
        frozenset(text(row["cve"]) for row in concerning if row.get("state") == FIXED),
        mapping(said.get("feed")),
        notes,
        tree,
        text(mapping(said.get("kernel")).get("series"), 20),
    )


def refused(kernel: Kernel, code: str, sentence: str, next_step: str = "") -> Account:
    return Account(kernel, code=code, sentence=sentence, next_step=next_step)


def demand_clock(accounts: t.Iterable[Account], now: float) -> None:
    """Raises ``RebootlessError`` code ``clock_behind`` if what the feed has is still to come by this machine's clock.

    By such a clock nothing would be late.
    """
    for one in accounts:
        for name in ("records", "stable"):
            time = mapping(one.feed.get(name)).get("time")
            if isinstance(time, (int, float)) and time > now + 86_400:
                raise RebootlessError(
                    "clock_behind",
                    f"The feed's {name} are of a day that is still to come by the controller's clock, by which nothing "
                    "would be late.",
                    "Set the clock of the controller.",
                    newest=time,
                    now=now,
                )


def age_of_feed(accounts: t.Iterable[Account], now: float) -> float | None:
    """How many days old the newest record is; None if no account says."""
    times = [mapping(one.feed.get("records")).get("time") for one in accounts]
    known = [time for time in times if isinstance(time, (int, float))]
    return (now - max(known)) / 86_400 if known else None


def exploited_since(row: Row) -> float | None:
    """When a CVE was added to KEV, in seconds since 1970; None if it is not in there."""
    return seconds(mapping(row.get("exploited")).get("added"))
