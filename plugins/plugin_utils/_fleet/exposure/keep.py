# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller keeps of exposures: the answers of hosts, and the files of the last one.

All files of an exposure are on the disk before the first of them is put in its place, so that those of the last one
stay where there is no room, and no reader finds a page of today beside a table of yesterday.
"""

from __future__ import annotations

import dataclasses
import pathlib
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, locks, strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure import answers
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.answers import Answer
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.render import FILES
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report import sources
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.history import seconds

LOCK = ".lock"


class ThisRun(t.NamedTuple):
    """What tells the answers of a run from older ones: its ``name``, and when it began, in seconds since 1970."""

    name: str
    began: float


@dataclasses.dataclass(frozen=True)
class Places:
    """Where the files go: ``dest``, and the metrics besides into the directory of a collector, if there is one.

    ``wait`` are the seconds to wait for another run that writes there.
    """

    dest: pathlib.Path
    metrics: str | None
    wait: float

    @property
    def csv(self) -> pathlib.Path:
        return self.dest / FILES["csv"]


def _path(directory: str, host: str) -> pathlib.Path:
    return sources.answer_path(directory, host, answers.FOLDER)


def write_answer(directory: str, host: str, answer: Answer, now: float) -> None:
    """Keeps the answer of a host; of one that did not answer what it said last is kept as ``last``.

    Raises ``RebootlessError``: ``disk_full``, ``directory_not_usable``.
    """
    path = _path(directory, host)
    try:
        before = sources.read_json(path)
        if answer["reachable"]:
            answer = answers.completed(answer, before, now)
        else:
            answer = {**answer, "last": sources.last_heard(before)}
        disk.replace(path, strict_json.write(answer, sort_keys=True))
    except OSError as error:
        raise _refusal(error, path, "The answer of a host cannot be kept") from error


def read_answer(directory: str, host: str, run: ThisRun, told: Answer | None, now: float) -> Answer:
    """The answer of a host: the one that this run was ``told``, or kept, or one that another run got since it began."""
    kept = sources.read_json(_path(directory, host))
    if told is not None:
        if told.get("reachable"):
            return answers.completed(told, kept, now)
        return {**told, "last": sources.last_heard(kept)}
    asked = seconds(kept.get("time"))
    # Times are written to the second.
    meanwhile = bool(kept.get("reachable")) and asked is not None and int(run.began) <= asked <= now + 1
    return kept if kept.get("run") == run.name or meanwhile else sources.not_asked(kept)


def before(places: Places) -> str:
    """The table of exposures that was written last; empty if there is none."""
    try:
        return places.csv.read_text()
    except (OSError, ValueError):
        return ""


def differs(places: Places, made: dict[str, t.Any]) -> bool:
    """Whether an exposure says something that the last one does not, apart from when it was written."""
    return sources.differs(places.dest / FILES["json"], made)


def write(places: Places, contents: t.Mapping[str, bytes]) -> None:
    """Replaces all files, or none.

    Raises ``RebootlessError``: ``exposure_busy``, ``disk_full``, ``directory_not_usable``, ``metrics_failed``.
    """
    try:
        disk.make_directory(str(places.dest), 0o755)
        with locks.locked(places.dest / LOCK, places.wait):
            _replace({str(places.dest / FILES[kind]): content for kind, content in contents.items()})
    except locks.LockHeld as error:
        raise RebootlessError(
            "exposure_busy", f"Another run writes into {places.dest}: {error}", "Wait until it has ended."
        ) from error
    except OSError as error:
        raise _refusal(error, places.dest, "The exposure cannot be written") from error
    if places.metrics:
        _write_metrics(pathlib.Path(places.metrics), contents["metrics"])


def _replace(files: t.Mapping[str, bytes]) -> None:
    staged: list[str] = []
    try:
        for path, content in files.items():
            disk.stage(path, content, 0o644)
            staged.append(path)
    except OSError:
        for path in staged:
            disk.unstage(path)
        raise
    for path in files:
        disk.place(path)


def _write_metrics(directory: pathlib.Path, content: bytes) -> None:
    path = directory / FILES["metrics"]
    try:
        # A directory that is not there is not the collector's, which would never read the file.
        directory.stat()
        disk.replace(path, content, 0o644)
    except OSError as error:
        raise RebootlessError(
            "metrics_failed",
            f"The metrics cannot be written to {path}: {error.strerror}.",
            "Make it the directory of the node exporter's textfile collector, where this user can write.",
            path=str(path),
        ) from error


def _refusal(error: OSError, path: pathlib.Path, what: str) -> RebootlessError:
    code = "disk_full" if error.errno in disk.FULL else "directory_not_usable"
    return disk.refusal(error, code, f"{what} ({path})", str(path), "Give a directory that this user can write to.")
