# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CPUs that this host keeps free of interruptions, and who says so.

What runs there counts on being left alone, a packet forwarder or a real-time task; a switch stops all CPUs.
"""

from __future__ import annotations

import os
import re
import typing as t

CPUS = "/sys/devices/system/cpu"
CGROUPS = "/sys/fs/cgroup"  # the unified hierarchy; cpuset.cpus.partition is part of it alone


class IsolatedCpus(t.NamedTuple):
    """The CPUs that are online among those of each kind."""

    nohz_full: frozenset[int]  # without a tick: the boot parameter nohz_full
    isolated: frozenset[int]  # left out by the scheduler: the boot parameter isolcpus
    cpusets: frozenset[int]  # left out by the scheduler: isolated partitions of cpusets, which come and go

    @property
    def all(self) -> frozenset[int]:
        return self.nohz_full | self.isolated | self.cpusets

    def shown(self) -> dict[str, str]:
        """Each kind as the kernel writes lists of CPUs, and ``all``; "" for none."""
        return {"all": written(self.all), **{kind: written(cpus) for kind, cpus in self._asdict().items()}}


def find() -> IsolatedCpus:
    online = parsed(_read(f"{CPUS}/online"))
    kinds = (parsed(_read(f"{CPUS}/nohz_full")), parsed(_read(f"{CPUS}/isolated")), _of_cpusets())
    return IsolatedCpus(*(cpus & online for cpus in kinds))


def _of_cpusets() -> frozenset[int]:
    """Since Linux 6.7 the root says it of all; before, the parent of a partition is a partition, or the root."""
    said = _read(f"{CGROUPS}/cpuset.cpus.isolated")
    return parsed(said) if said is not None else frozenset().union(*_partitions(CGROUPS))


def _partitions(directory: str) -> t.Iterator[frozenset[int]]:
    try:
        inside = [entry.path for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)]
    except OSError:  # no such hierarchy, or the group has gone
        return
    for path in inside:
        kind = _read(f"{path}/cpuset.cpus.partition")
        if kind == "isolated":  # not "isolated invalid (...)", which has no CPUs of its own
            yield parsed(_read(f"{path}/cpuset.cpus.effective"))
        if kind in ("isolated", "root"):
            yield from _partitions(path)


def parsed(text: str | None) -> frozenset[int]:
    """The CPUs of a list such as ``0-3,8``; none of what is no list, as the ``(null)`` of kernels without nohz_full."""
    cpus: set[int] = set()
    for part in (text or "").split(","):
        found = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", part.strip())
        if found:
            first = int(found.group(1))
            cpus.update(range(first, int(found.group(2) or first) + 1))
    return frozenset(cpus)


def written(cpus: t.Iterable[int]) -> str:
    """CPUs as the kernel writes a list of them."""
    parts: list[list[int]] = []
    for cpu in sorted(cpus):
        if parts and cpu == parts[-1][1] + 1:
            parts[-1][1] = cpu
        else:
            parts.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def _read(path: str) -> str | None:
    """The file's text; ``None`` if there is none."""
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            return stream.read().strip()
    except OSError:
        return None
