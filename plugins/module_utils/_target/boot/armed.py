# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Arms confirmed updates for the next boot."""

from __future__ import annotations

import errno
import os
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import Package
from ansible_collections.rebootless.splice.plugins.module_utils._target.boot.persist import (
    Persistence,
    Settings,
    require_systemd,
)
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts, sysfs
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import armed_record, prospects
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.armed_record import ArmedRecord, disarm
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.store import Store

__all__ = ["arm", "disarm"]


def arm(
    store: Store,
    name: str,
    plan: str = "",
    fixed_in: t.Iterable[str] = (),
    again: bool = False,
    check_mode: bool = False,
    root: str = "/",
) -> bool:
    """Has an update applied again at each boot of the running kernel.  True if that was not so before.

    The update is confirmed, and its package kept on the host.  Installs what does it (``persist.Persistence``) if it is
    missing.  `again` arms one that is in quarantine, and need not be live for that.  `fixed_in` are versions of the
    distribution's kernel package from which on the fix is in.  The caller holds the host's lock.

    Raises ``RebootlessError``: ``package_missing``, ``not_confirmed``, ``quarantined``, ``no_systemd``,
    ``persist_failed``, ``armed_record_unwritable``, and those of ``read_package``.
    """
    require_systemd(root)
    before = _read(store, name)
    if again and before is not None and sysfs.state(name) not in sysfs.LIVE:
        return _release(store, before, check_mode, root)
    package = _confirmed_package(store, name)
    wanted = _record(package, plan, fixed_in)
    if before is not None and before.package == wanted.package:
        if before.quarantined(facts.boot_id()) and not again:
            raise RebootlessError(**prospects.reason(before, armed_record.QUARANTINED), boots=list(before.boots))
        # The same build: what its boots have shown still holds.
        boots = before.in_quarantine().boots if before.crashed(facts.boot_id()) else before.boots
        wanted = wanted._replace(armed_at=before.armed_at, boots=boots)
    complete = os.path.exists(armed_record.package_path(store, name, package.sha256))
    changed = wanted != before or not complete or not Persistence(_settings(store), root).installed()
    if not check_mode:
        _keep_package(store, package)
        if wanted != before:
            armed_record.write(store, wanted)
        armed_record.drop_packages(store, name, but=package.sha256)
        Persistence(_settings(store), root).ensure()
    return changed


def _release(store: Store, before: ArmedRecord, check_mode: bool, root: str) -> bool:
    """Arms an update again, as it was, whose boot ended too early, so that it is not live now; False if it is armed."""
    path = armed_record.package_path(store, before.name, before.package)
    if not os.path.exists(path):
        raise RebootlessError(
            "package_missing",
            f"The package of the update {before.name} that was armed is gone from this host.",
            "Apply and confirm the update, then arm it again.",
            path=path,
        )
    if not before.quarantined(facts.boot_id()):
        return False
    if not check_mode:
        known = before.in_quarantine() if before.crashed(facts.boot_id()) else before
        armed_record.write(store, known._replace(state=armed_record.ARMED))
        Persistence(_settings(store), root).ensure()
    return True


def _settings(store: Store) -> Settings:
    return Settings(state_directory=store.directory)


def _confirmed_package(store: Store, name: str) -> Package:
    package = store.get(name)
    if package is None:
        raise RebootlessError(
            "package_missing",
            f"No package of the update {name} is kept on this host.",
            "Apply the update with its package first.",
            path=store.path(name),
        )
    state = sysfs.state(name)
    if state != sysfs.CONFIRMED or sysfs.digest(name) != package.digest:
        raise RebootlessError(
            "not_confirmed",
            f"The update {name} is not confirmed in the build that the host keeps, so it is not armed.",
            "Apply and confirm it first.",
            state=state,
            live=sysfs.digest(name),
            kept=package.digest,
        )
    return package


def _read(store: Store, name: str) -> ArmedRecord | None:
    """The record that there is; a damaged one is as good as none, since a new one takes its place."""
    try:
        return armed_record.read(store, name)
    except RebootlessError:
        return None


def _record(package: Package, plan: str, fixed_in: t.Iterable[str]) -> ArmedRecord:
    kernel = package.manifest["kernel"]
    return ArmedRecord(
        name=package.name,
        version=package.version,
        package=package.sha256,
        build_digest=package.digest,
        build_id=kernel["build_id"],
        release=kernel["release"],
        fixed_in=sorted(set(fixed_in)),
        armed_at=facts.wall_time(),
        plan=plan,
    )


def _keep_package(store: Store, package: Package) -> None:
    """Another name for the kept package, which a newer one does not take away; a copy where there are no such."""
    path = armed_record.package_path(store, package.name, package.sha256)
    try:
        if os.path.exists(path):
            with open(path, "rb") as stream:
                if stream.read() == package.content:
                    return
            os.unlink(path)
        disk.make_directory(os.path.dirname(path))
        try:
            os.link(store.path(package.name), path)
            disk.sync_directory(os.path.dirname(path))
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EMLINK, errno.EXDEV, errno.EOPNOTSUPP):
                raise
            disk.replace_durably(path, package.content)
    except OSError as error:
        raise RebootlessError(
            "armed_record_unwritable",
            f"The package cannot be kept for the next boot in {path}: {error.strerror}.",
            "Free space there, then arm the update again.",
            path=path,
        ) from error
