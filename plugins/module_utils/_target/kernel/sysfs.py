# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the helper module shows and takes under ``/sys/kernel/rebootless`` (docs/formats.md)."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.build_id import parse_build_id
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

ROOT = "/sys/kernel/rebootless"
HELPER_MODULE = "rebootless"
ABI = 2

# States of an update in the kernel; ABSENT is ours, for one that the kernel does not know.
ABSENT, MATCHED, APPLIED, CONFIRMED, BYPASSED, REVERSED, REPLACED, FAILED = (
    "absent",
    "matched",
    "applied",
    "confirmed",
    "bypassed",
    "reversed",
    "replaced",
    "failed",
)
LIVE = (APPLIED, CONFIRMED, BYPASSED)  # the jumps to replacement code are there
IN_EFFECT = (APPLIED, CONFIRMED)  # and nothing has taken one of the functions away
# Behind an update's name: a version that is loaded beside another one, and the one that was replaced.
NEXT, PREVIOUS = ".next", ".previous"
POLL_S = 0.02  # while an operation goes on without us

# What is done about tasks that stay in the way of a switch: enum rbl_blockers of kmod/internal.h.
BLOCKERS = WAIT, SIGNAL, REFUSE = "wait", "signal", "refuse"
NUMBERS = ("pause_ns", "stop_ns", "match_ns", "resolve_ns", "tries", "signalled", "deadline")
FUNCTION_FIELDS = ("name", "old_address", "new_address", "jump_address", "saved_bytes", "jump")
DATA_FIELDS = ("name", "address", "new_address", "size", "exchanged", "saved_bytes")
CONFLICT_FIELDS = ("pid", "comm", "function", "address")
# What an errno of a control write means where the helper left no abort record.
CONTROL_ERRORS = {
    errno.EBUSY: (
        "helper_busy",
        "Another operation on an update is in progress.",
        "Wait until it has ended, then try again.",
    ),
    errno.EINVAL: (
        "bad_state",
        "The update is not in a state in which this can be done.",
        "Read the update's state with update_info first.",
    ),
    errno.EACCES: (
        "not_root",
        "Writing to the helper module is not permitted.",
        "Run the task as root (become: true).",
    ),
    errno.EPERM: ("not_root", "Writing to the helper module is not permitted.", "Run the task as root (become: true)."),
}


def helper_loaded() -> bool:
    return os.path.isdir(ROOT)


def helper_abi() -> int:
    """The ABI of the loaded helper module; -1 if what it says is no number."""
    return parse_number(_read("abi"), -1)


def helper_build_id() -> str:
    """GNU build ID of the loaded helper module in hex, "" if it has none."""
    try:
        with open(f"/sys/module/{HELPER_MODULE}/notes/.note.gnu.build-id", "rb") as stream:
            return parse_build_id(stream.read())
    except OSError:
        return ""


@contextlib.contextmanager
def helper_parameters(**values: int | None) -> t.Iterator[None]:
    """Sets parameters of the helper module while the context lasts; None leaves one as it is."""
    wanted = {key: value for key, value in values.items() if value is not None}
    before = {key: _parameter(key) for key in wanted}
    try:
        for key, value in wanted.items():
            _set_parameter(key, str(value))
        yield
    finally:
        for key, text in before.items():
            _set_parameter(key, text)


def _parameter(key: str) -> str:
    with open(f"/sys/module/{HELPER_MODULE}/parameters/{key}", encoding="ascii") as stream:
        return stream.read().strip()


def _set_parameter(key: str, value: str) -> None:
    with open(f"/sys/module/{HELPER_MODULE}/parameters/{key}", "w", encoding="ascii") as stream:
        stream.write(value)


def names() -> list[str]:
    """The updates that the kernel knows, failed ones included."""
    if not helper_loaded():
        return []
    return sorted(entry.name for entry in os.scandir(ROOT) if entry.is_dir())


def state(name: str) -> str:
    """One of the states above: without what follows, as in ``reversed, held by 3 tasks``."""
    return _read(name, "state").partition(",")[0] or ABSENT


def held_by(name: str) -> int:
    """How many tasks are in the code of an update that was reversed, which keep its module: they finish there."""
    said = re.fullmatch(r"\w+, held by (\d+) tasks?", _read(name, "state"))
    return parse_number(said.group(1)) if said else 0


def holders(name: str) -> list[dict]:
    """The first of these tasks, as conflicts are told."""
    return parse_conflicts(_read(name, "holders"))


def digest(name: str) -> str:
    return _read(name, "digest")


def version(name: str) -> str:
    return _read(name, "version")


def numbers(name: str, keys: t.Iterable[str]) -> dict[str, int]:
    """Some of ``NUMBERS`` of an update; 0 for one that the kernel does not know."""
    return {key: parse_number(_read(name, key)) for key in keys}


def module(name: str) -> str:
    """The name of the update's kernel module; "" if it has none (any more)."""
    return _read(name, "module")


def kept(name: str) -> bool:
    """Whether the update's module has to stay loaded until the next boot, since living objects may call its code."""
    return _read(name, "kept") == "1"


def versions(name: str) -> list[str]:
    """The names under which the kernel knows other versions of an update: the next one, and those that were replaced.

    No update's own name has such an ending in it.
    """
    return [other for other in names() if other.startswith((name + NEXT, name + PREVIOUS))]


def abort(name: str) -> dict[str, str]:
    """The last refusal: ``code``, ``sentence``, ``next_step`` and details; empty if there was none."""
    return parse_abort(_read(name, "abort"))


def update(name: str) -> dict:
    """All that the kernel knows of an update."""
    result: dict = {"name": name, "state": state(name), "version": version(name), "digest": digest(name)}
    result.update(numbers(name, NUMBERS))
    result["functions"] = functions(name)
    result["objects"] = objects(name)
    result["data"] = [{key: row[key] for key in ("name", "address", "size", "exchanged")} for row in data(name)]
    result["conflicts"] = parse_conflicts(_read(name, "conflicts"))
    result["held_by"] = held_by(name)
    result["holders"] = holders(name)
    result["abort"] = abort(name)
    return result


def functions(name: str) -> list[dict]:
    return parse_functions(_read(name, "functions"))


def data(name: str) -> list[dict]:
    """The constant data that the update exchanges in place."""
    return parse_data(_read(name, "data"))


def objects(name: str) -> list[dict]:
    """The kernel and the loadable modules that the update patches, each with its state."""
    return parse_objects(_read(name, "objects"))


def switch(command: str, *how: int | str) -> str:
    """The text of a command that switches, without what is the helper module's own way: no deadline, to wait."""
    return " ".join([command, *(str(word) for word in how if word not in (0, WAIT))])


def control(name: str, command: str) -> None:
    """Writes a command (docs/formats.md) and returns when it is done; raises the helper's refusal with its
    conflicts."""
    try:
        descriptor = os.open(os.path.join(ROOT, name, "control"), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, command.encode("ascii"))
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno != errno.EINPROGRESS:
            raise _refusal(name, command, error) from error
        _wait(name, command, error)


def _wait(name: str, command: str, error: OSError) -> None:
    """Waits for an operation that has to go on without us: a function of our write is to be replaced."""
    word = command.split()[0]
    operation = _read(name, "operation")
    while operation == f"{word} running":
        time.sleep(POLL_S)
        operation = _read(name, "operation")
    # One that ends in a replacement gives its directory another name meanwhile.
    if operation == f"{word} refused":
        raise _refusal(name, command, error) from error


def refusal(name: str) -> RebootlessError | None:
    """The update's abort record as an error, None if it has none."""
    record = abort(name)
    if not record.get("code"):
        return None
    details: dict = {key: value for key, value in record.items() if key not in ("code", "sentence", "next_step")}
    conflicts = parse_conflicts(_read(name, "conflicts"))
    if conflicts:
        details["conflicts"] = conflicts
    return RebootlessError(
        record["code"], record.get("sentence", ""), record.get("next_step", ""), update=name, **details
    )


def _refusal(name: str, command: str, error: OSError) -> RebootlessError:
    recorded = refusal(name)
    if recorded:
        return recorded
    code, sentence, next_step = CONTROL_ERRORS.get(
        error.errno or 0,
        (
            "control_failed",
            f"The helper module refused {command!r}: {error.strerror}.",
            "Look at the kernel log, and report it.",
        ),
    )
    return RebootlessError(code, sentence, next_step, update=name, command=command)


def _read(*parts: str) -> str:
    """The file's text; "" if it (or the update, or the helper module) is not there, or is for root alone."""
    try:
        with open(os.path.join(ROOT, *parts), encoding="utf-8", errors="replace") as stream:
            return stream.read().strip("\n")
    except (FileNotFoundError, PermissionError):
        return ""
    except OSError as error:
        if error.errno == errno.ENODEV:  # unregistered between open and read
            return ""
        raise


def parse_number(text: str, otherwise: int = 0) -> int:
    try:
        return int(text, 0)
    except ValueError:
        return otherwise


def parse_abort(text: str) -> dict[str, str]:
    """``key: value`` lines; of a repeated key the first counts, lines without a colon are passed over."""
    record: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip():
            record.setdefault(key.strip(), value.strip())
    return record


def parse_functions(text: str) -> list[dict]:
    """One row for each line that has all fields; ``jump`` is whether the jump is in place, ``bypassed`` whether
    something sends calls elsewhere before they come to it.

    A symbol's name has no blanks, so the fields are split at them.
    """
    rows = (line.split() for line in text.splitlines())
    return [
        {**dict(zip(FUNCTION_FIELDS, row)), "jump": row[-1] in ("yes", "bypassed"), "bypassed": row[-1] == "bypassed"}
        for row in rows
        if len(row) == len(FUNCTION_FIELDS)
    ]


def parse_data(text: str) -> list[dict]:
    """Rows as for functions; ``exchanged`` is whether the update's bytes stand there."""
    rows = (line.split() for line in text.splitlines())
    return [
        {**dict(zip(DATA_FIELDS, row)), "size": parse_number(row[3]), "exchanged": row[4] == "yes"}
        for row in rows
        if len(row) == len(DATA_FIELDS)
    ]


def parse_objects(text: str) -> list[dict]:
    """``<object> <absent|matched|applied>`` a line."""
    rows = (line.split() for line in text.splitlines())
    return [{"name": row[0], "state": row[1]} for row in rows if len(row) == 2]


def parse_conflicts(text: str) -> list[dict]:
    """``<pid> <comm> <function> <address>`` a line; a task's name may itself hold blanks."""
    conflicts = []
    for line in text.splitlines():
        row = line.split()
        if len(row) >= len(CONFLICT_FIELDS) and row[0].isdecimal():
            conflicts.append(
                {"pid": parse_number(row[0]), "comm": " ".join(row[1:-2]), "function": row[-2], "address": row[-1]}
            )
    return conflicts
