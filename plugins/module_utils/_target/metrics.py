# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's updates as metrics, for the textfile collector of Prometheus' node exporter.

Names and labels: docs/persist.md.
"""

from __future__ import annotations

import os
import time
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.prometheus import Row, exposition
from ansible_collections.rebootless.splice.plugins.module_utils._target import inventory
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import sysfs
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import collectors
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.store import Store

FILE = "rebootless.prom"  # the collector reads *.prom
NS = 1e9

Collect = t.Callable[[dict, t.List[dict]], t.Iterable[Row]]


def _of_each(value: t.Callable[[dict], float | None]) -> Collect:
    def collect(kernel: dict, updates: list[dict]) -> t.Iterable[Row]:
        for row in updates:
            found = value(row)
            if found is not None:
                yield {"name": row["name"]}, found

    return collect


def _kernel(kernel: dict, updates: list[dict]) -> t.Iterable[Row]:
    yield {key: kernel[key] for key in ("release", "effective_release", "build_id", "version")}, 1


def _update(kernel: dict, updates: list[dict]) -> t.Iterable[Row]:
    for row in updates:
        version = row["version"] or row["package_version"] or ""
        yield {"name": row["name"], "version": version, "state": row["state"], "boot": row["boot"]["state"]}, 1


def _cves(kernel: dict, updates: list[dict]) -> t.Iterable[Row]:
    return (({"cve": cve}, 1) for cve in kernel["cves_fixed_live"])


# Metric: help, and its rows.  All are gauges.
METRICS: dict[str, tuple[str, Collect]] = {
    "rebootless_kernel_info": ("The running kernel; always 1.", _kernel),
    "rebootless_helper_loaded": (
        "Whether the helper module is loaded.",
        lambda kernel, updates: [({}, kernel["helper"]["loaded"])],
    ),
    "rebootless_update_info": ("An update, its state, and what becomes of it at the next boot; always 1.", _update),
    "rebootless_update_live": ("Whether the update's code runs.", _of_each(lambda row: row["live"])),
    "rebootless_update_confirmed": (
        "Whether the update stays until the next boot.",
        _of_each(lambda row: row["state"] == sysfs.CONFIRMED),
    ),
    "rebootless_update_bypassed": (
        "Whether the update is applied and not in effect, since something has taken one of its functions away.",
        _of_each(lambda row: row["state"] == sysfs.BYPASSED),
    ),
    "rebootless_update_held_tasks": (
        "Tasks that are still in the code of an update that was reversed.",
        _of_each(lambda row: row["held_by"] or None),
    ),
    "rebootless_update_failed": (
        "Whether the helper module has refused the update.",
        _of_each(lambda row: row["state"] == sysfs.FAILED),
    ),
    "rebootless_update_armed": (
        "Whether the update is applied again at the next boot of this kernel.",
        _of_each(lambda row: row["boot"]["state"] == "armed"),
    ),
    "rebootless_update_quarantined": (
        "Whether the host went down soon after the update was applied at boot.",
        _of_each(lambda row: row["boot"]["state"] == "quarantined"),
    ),
    "rebootless_update_deadline_seconds": (
        "Seconds left until the update reverses itself; none if it does not.",
        _of_each(lambda row: row["deadline"] or None),
    ),
    "rebootless_update_pause_seconds": (
        "How long all processors stood still, last time it was applied or reversed.",
        _of_each(lambda row: row["pause_ns"] / NS if row["pause_ns"] else None),
    ),
    "rebootless_cve_fixed_live": ("A CVE that live updates fix; always 1.", _cves),
    "rebootless_metrics_timestamp_seconds": (
        "When these metrics were written.",
        lambda kernel, updates: [({}, int(time.time()))],
    ),
}


def write(store: Store, directory: str) -> None:
    """Replaces the file ``rebootless.prom`` in the collector's directory, in one step, and remembers the directory.

    Raises ``RebootlessError`` code ``metrics_failed``.
    """
    _write(store, directory)
    collectors.remember(store.directory, directory)


def refresh(store: Store) -> list[str]:
    """Writes the metrics anew wherever they were written before: an old file goes on claiming a fix.

    A directory that is gone is forgotten, and all of them are with the last update.  Returns what went wrong, in
    sentences.
    """
    told = []
    for directory in collectors.known(store.directory):
        if not os.path.isdir(directory):
            collectors.forget(store.directory, directory)
            continue
        try:
            _write(store, directory)
        except RebootlessError as error:
            told.append(f"The host's metrics could not be written: {error}")
    collectors.forget_if_alone(store.directory)
    return told


def _write(store: Store, directory: str) -> None:
    path = os.path.join(directory, FILE)
    content = render(inventory.kernel(store), inventory.updates(store))
    try:
        # A directory that is not there is not the collector's, which would never read the file.
        os.stat(directory)
        disk.replace_durably(path, content.encode(), 0o644)
    except OSError as error:
        raise RebootlessError(
            "metrics_failed",
            f"The metrics cannot be written to {path}: {error.strerror}.",
            "Make it the directory of the node exporter's textfile collector, where root can write.",
            path=path,
        ) from error


def render(kernel: dict, updates: list[dict]) -> str:
    """The metrics of what ``inventory.kernel`` and ``inventory.updates`` say."""
    return exposition((name, text, collect(kernel, updates)) for name, (text, collect) in METRICS.items())
