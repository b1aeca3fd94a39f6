# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may change the running kernel, and from where."""

from __future__ import annotations

import os

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts, sysfs

ON_THE_HOST = "Run the task on the host itself; or give the container the host's sysfs on /sys, to read and to write."


def require_root() -> None:
    """Raises ``RebootlessError`` code ``not_root`` for any other user."""
    if os.geteuid() != 0:
        raise RebootlessError(
            "not_root",
            "Only root can look into the running kernel or change it.",
            "Run the task as root (become: true).",
            uid=os.geteuid(),
        )


def require_visible() -> None:
    """Raises ``RebootlessError`` code ``sysfs_hidden`` where the kernel is not to be seen, as in some containers: by
    what is to be seen there, no update would be applied.
    """
    if not facts.build_id() or not os.path.isdir(os.path.dirname(sysfs.ROOT)):
        raise hidden()


def require_sysfs() -> None:
    """Raises ``RebootlessError`` (``sysfs_hidden``, ``sysfs_read_only``) in a container that cannot tell the kernel
    anything.
    """
    require_visible()
    where = os.path.dirname(sysfs.ROOT)
    if os.statvfs(where).f_flag & os.ST_RDONLY:
        raise RebootlessError(
            "sysfs_read_only",
            f"{where}, by which the kernel is told what to do with an update, can only be read here, as in a "
            "container.",
            ON_THE_HOST,
            path=where,
        )


def hidden() -> RebootlessError:
    """The refusal to say or do anything about a kernel whose sysfs is not to be seen."""
    where = os.path.dirname(sysfs.ROOT)
    return RebootlessError(
        "sysfs_hidden",
        f"What the kernel shows in {where} is not to be seen here, as in a container, so it cannot be told what to do "
        "with an update, and what is applied is not known.",
        ON_THE_HOST,
        path=where,
    )
