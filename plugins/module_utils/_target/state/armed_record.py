# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host remembers of updates that are armed: to be applied again at its next boot.

Below the state directory, ``armed/<update>.json`` is the record (docs/persist.md) and
``armed/<update>-<12 digits>.rbl.tar.gz`` the very package: the one under the update's own name may be a newer one that
is not confirmed yet.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import NAME, SUFFIX
from ansible_collections.rebootless.splice.plugins.module_utils._common.value_checks import HEX, list_of, one_of, text
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.store import Store

FORMAT = 1
DIRECTORY = "armed"
RECORD_SUFFIX = ".json"
ASIDE = ".aside"  # behind a record's name while its update is being reversed: not armed, but not forgotten
BLOCK = 1024  # bytes; a record is a multiple, so that its next outcome fits on a disk that is full
MAX_RECORD = 1 << 20  # bytes
MAX_BOOTS = 10  # that are remembered

ARMED, QUARANTINED = "armed", "quarantined"
# What became of a boot.  TRYING until it is known; a later boot that still finds it says that this one crashed.
TRYING, SETTLED, STOPPED, REVERSED = "trying", "settled", "stopped", "reversed"
REFUSED, CRASHED = "refused", "crashed"
NOT_NEEDED, OTHER_KERNEL = "not needed", "other kernel"
OUTCOMES = (TRYING, SETTLED, STOPPED, REVERSED, REFUSED, CRASHED, NOT_NEEDED, OTHER_KERNEL)

UNWRITABLE = "armed_record_unwritable"
ARM_AGAIN = "Apply and confirm the update again, and arm it again."


class ArmedRecord(t.NamedTuple):
    """What is armed; see docs/persist.md for the fields."""

    name: str
    version: str
    package: str  # SHA-256 of the package file
    build_digest: str
    build_id: str
    release: str
    fixed_in: list[str]
    armed_at: str
    plan: str = ""
    state: str = ARMED
    boots: tuple[dict, ...] = ()  # {"boot_id", "time", "outcome", and "code", "sentence" where not good}

    def crashed(self, boot_id: str) -> bool:
        """Whether an earlier boot ended while it was still being tried."""
        return bool(self.boots) and self.boots[-1]["outcome"] == TRYING and self.boots[-1]["boot_id"] != boot_id

    def tried(self, boot_id: str) -> bool:
        """Whether it was applied in this boot, and how that ends is not known yet."""
        return bool(self.boots) and self.boots[-1]["outcome"] == TRYING and self.boots[-1]["boot_id"] == boot_id

    def quarantined(self, boot_id: str) -> bool:
        """Whether it must not be applied at boot; also while a full disk keeps that from being written down."""
        return self.state == QUARANTINED or self.crashed(boot_id)

    def with_boot(self, boot_id: str, outcome: str, **more: str) -> ArmedRecord:
        """The record after a boot, or with another outcome of the boot that was written down last."""
        earlier = [boot for boot in self.boots if boot["boot_id"] != boot_id]
        boot = {"boot_id": boot_id, "time": facts.wall_time(), "outcome": outcome, **more}
        return self._replace(boots=tuple([*earlier, boot][-MAX_BOOTS:]))

    def in_quarantine(self) -> ArmedRecord:
        """The record after a boot that ended too early."""
        boots = [*self.boots[:-1], {**self.boots[-1], "outcome": CRASHED}] if self.boots else []
        return self._replace(state=QUARANTINED, boots=tuple(boots))


def _is_boot(value: object) -> bool:
    return (
        isinstance(value, dict)
        and all(map(text, value.values()))
        and {"boot_id", "time"} <= set(value)
        and value.get("outcome") in OUTCOMES
    )


# What each field of a record holds, in JSON.
FIELDS: dict[str, t.Callable[[t.Any], bool]] = {
    **dict.fromkeys(ArmedRecord._fields, text),
    "fixed_in": list_of(text),
    "boots": list_of(_is_boot),
    "state": one_of(ARMED, QUARANTINED),
}


def directory(store: Store) -> str:
    return os.path.join(store.directory, DIRECTORY)


def record_path(store: Store, name: str) -> str:
    return os.path.join(directory(store), name + RECORD_SUFFIX)


def package_path(store: Store, name: str, sha256: str) -> str:
    return os.path.join(directory(store), f"{name}-{sha256[:12]}{SUFFIX}")


def names(store: Store) -> list[str]:
    """The updates that have a record, damaged ones included."""
    try:
        entries = os.listdir(directory(store))
    except OSError:
        return []
    found = (entry[: -len(RECORD_SUFFIX)] for entry in entries if entry.endswith(RECORD_SUFFIX))
    return sorted(name for name in found if NAME.fullmatch(name))


def read(store: Store, name: str) -> ArmedRecord | None:
    """The record of an update, None if it has none.  Raises ``RebootlessError`` code ``armed_record_damaged``."""
    path = record_path(store, name)
    try:
        with open(path, "rb") as stream:
            content = stream.read(MAX_RECORD)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except OSError as error:
        raise _damaged(path, f"it cannot be read ({error.strerror})") from error
    return _parse(path, name, content)


def write(store: Store, record: ArmedRecord) -> None:
    """Has a record on the disk, also on one that is full if the record was there.

    Raises ``RebootlessError`` code ``armed_record_unwritable``.
    """
    path, content = record_path(store, record.name), serialize(record)
    try:
        try:
            disk.replace_durably(path, content)
        except OSError as error:
            if error.errno not in disk.FULL or not os.path.exists(path):
                raise
            disk.overwrite(path, content)
    except OSError as error:
        what, otherwise = (
            f"What is armed for the next boot cannot be written to {path}",
            "Make it a file that root can write.",
        )
        raise disk.refusal(error, UNWRITABLE, what, path, otherwise, then="arm the update again") from error


def set_aside(store: Store, name: str) -> None:
    """Has the update not applied at boot until it is either put back or disarmed for good; nothing if it is not armed.

    Raises ``RebootlessError`` code ``armed_record_unwritable``.
    """
    path = record_path(store, name)
    with _removing(path), contextlib.suppress(FileNotFoundError):
        os.replace(path, path + ASIDE)
        disk.sync_directory(directory(store))


def put_back(store: Store, name: str) -> ArmedRecord | None:
    """Arms again what was set aside, as it was, and returns it; None if nothing was."""
    path = record_path(store, name)
    with _removing(path), contextlib.suppress(FileNotFoundError):
        os.replace(path + ASIDE, path)
        disk.sync_directory(directory(store))
        return read(store, name)
    return None


def disarm(store: Store, name: str) -> bool:
    """Has the update not applied at boot any more; False if it was not armed.

    Raises ``RebootlessError`` code ``armed_record_unwritable``.
    """
    path = record_path(store, name)
    with _removing(path):
        known = disk.remove(path)
        disk.remove(path + ASIDE)
        drop_packages(store, name)
    disk.drop_empty(directory(store), store.directory)
    return known


@contextlib.contextmanager
def _removing(path: str) -> t.Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RebootlessError(
            UNWRITABLE,
            f"The record {path} of what is armed for the next boot cannot be removed: {error.strerror}.",
            "Remove the file by hand; until then the update is applied again at boot.",
            path=path,
        ) from error


def drop_packages(store: Store, name: str, but: str = "") -> None:
    """Removes the packages that were kept for an update, except the one whose SHA-256 is `but`."""
    kept = os.path.basename(package_path(store, name, but)) if but else ""
    try:
        entries = os.listdir(directory(store))
    except OSError:
        return
    for entry in entries:
        digits = entry[len(name) + 1 : -len(SUFFIX)]
        mine = entry == f"{name}-{digits}{SUFFIX}" and len(digits) == 12 and HEX.fullmatch(digits)
        if mine and entry != kept:
            disk.remove(os.path.join(directory(store), entry))


def serialize(record: ArmedRecord) -> bytes:
    """JSON with a checksum, filled up with blanks to a multiple of ``BLOCK``."""
    fields = {"format": FORMAT, **record._asdict()}
    content = strict_json.exact({**fields, "checksum": _checksum(fields)}, indent=1, sort_keys=True) + b"\n"
    return content + b" " * (-len(content) % BLOCK)


def _checksum(fields: dict) -> str:
    return hashlib.sha256(strict_json.exact(fields, sort_keys=True)).hexdigest()


def _parse(path: str, name: str, content: bytes) -> ArmedRecord:
    try:
        fields = strict_json.parse(content)
        checksum = fields.pop("checksum")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise _damaged(path, "it is no record") from error
    if checksum != _checksum(fields):
        raise _damaged(path, "its checksum is another one")
    if not strict_json.is_same(fields.pop("format", None), FORMAT):
        raise RebootlessError(
            "armed_record_format",
            f"The record {path} was written by another release of the collection.",
            f"{ARM_AGAIN} The collection's release on the controller has to be the newer one.",
            path=path,
        )
    wrong = [key for key, check in FIELDS.items() if not check(fields.get(key))]
    if wrong or set(fields) != set(FIELDS):
        raise _damaged(path, f"its field {min(wrong or set(fields) ^ set(FIELDS))} is not as it is written")
    record = ArmedRecord(**{**fields, "boots": tuple(fields["boots"])})
    # The checksum holds for the content; this refuses a file that was copied to another update's name.
    if record.name != name:
        raise _damaged(path, f"it is of the update {record.name}")
    return record


def _damaged(path: str, why: str) -> RebootlessError:
    return RebootlessError(
        "armed_record_damaged", f"The record {path} of what is armed is damaged: {why}.", ARM_AGAIN, path=path
    )
