# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host remembers of a rollout: one file for each update (docs/health.md, *The record*).

It says who put the update there, when, and what the health checks found.  What is live only the kernel knows, and a
record of another boot is history.
"""

from __future__ import annotations

import os
import time
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, strict_json

FORMAT = 1
DIRECTORY = "rollout"  # in the state directory
SUFFIX, PREVIOUS_SUFFIX = ".json", ".previous.rbl.tar.gz"

# How far a record's rollout came.
APPLYING, APPLIED, CONFIRMING, CONFIRMED, REVERSED, FAILED = (
    "applying",
    "applied",
    "confirming",
    "confirmed",
    "reversed",
    "failed",
)
WATCHING, DONE = "watching", "done"  # of the watcher
# What a record counts with, where it has them; another value would be another time than the one that was meant.
WHOLE = ("deadline", "taint", "log_from", "log_seen", "pause_ns", "match_ns", "tries")


class Records:
    """Records by the names of their updates."""

    def __init__(self, state_directory: str) -> None:
        self.directory = os.path.join(state_directory, DIRECTORY)

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name + SUFFIX)

    def read(self, name: str) -> dict[str, t.Any] | None:
        """None if there is none, or none that can be read."""
        try:
            record = strict_json.read(self.path(name))
        except (OSError, ValueError):
            return None
        return record if _is_known(record) else None

    def write(self, record: dict[str, t.Any]) -> None:
        """Replaces the record; after a crash the old one or the whole new one is there.

        Raises ``RebootlessError`` code ``record_failed``.
        """
        content = strict_json.write({"format": FORMAT, **record}, indent=1, sort_keys=True) + b"\n"
        self._replace(self.path(record["name"]), content)

    def _replace(self, path: str, content: bytes) -> None:
        try:
            disk.replace_durably(path, content)
        except OSError as error:
            what = f"The host's record of the rollout cannot be written to {self.directory}"
            otherwise = "Make it a directory that root can write to."
            raise disk.refusal(error, "record_failed", what, path, otherwise) from error

    def previous_path(self, name: str) -> str:
        """The package of the version that was confirmed before this rollout."""
        return os.path.join(self.directory, name + PREVIOUS_SUFFIX)

    def keep(self, name: str, content: bytes) -> None:
        """Keeps that package.  Raises ``RebootlessError`` code ``record_failed``."""
        self._replace(self.previous_path(name), content)

    def drop_previous(self, name: str) -> None:
        disk.remove(self.previous_path(name))

    def remove(self, name: str) -> bool:
        """Drops the record, and the directories that it leaves empty; False if there was none."""
        self.drop_previous(name)
        known = disk.remove(self.path(name))
        disk.drop_empty(self.directory, os.path.dirname(self.directory))
        return known


def _is_known(record: t.Any) -> bool:
    """Whether it is a record of this format, with numbers where it has to have some."""
    if not isinstance(record, dict) or not strict_json.is_same(record.get("format"), FORMAT):
        return False
    watcher, times, applied_at = record.get("watcher") or {}, record.get("check_times", []), record.get("applied_at")
    if not isinstance(watcher, dict) or not isinstance(times, list):
        return False
    whole = [*(record.get(key, 0) for key in WHOLE), *times, watcher.get("pid", 0), watcher.get("start", 0)]
    return all(map(strict_json.is_whole, whole)) and (applied_at is None or strict_json.is_number(applied_at))


def since_boot() -> float:
    """Seconds since boot, sleep included (CLOCK_BOOTTIME): settimeofday(2) and NTP do not move this clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def missing_times(record: dict[str, t.Any]) -> list[int]:
    """The times of the soak at which not every check has been run yet."""
    names = {check["name"] for check in record["checks"]}
    return [
        at
        for at in record["check_times"]
        if names - {row["name"] for row in record["results"] if row["at"] == at and row["moment"] == "soak"}
    ]


def bad_results(record: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    return [row for row in record["results"] if not row["ok"]]
