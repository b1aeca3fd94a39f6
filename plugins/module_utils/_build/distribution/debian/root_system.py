# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small Debian in a tar file, which mmdebstrap makes from the package sources of the machine that runs it."""

from __future__ import annotations

import os
import shlex
from typing import Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.administration import run
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

#: apt's own settings that the bootstrap must share with the machine to reach the same archive
APT_SETTINGS = ("Acquire::Check-Date", "Acquire::Check-Valid-Until", "Acquire::http", "Acquire::https")
WITHOUT = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")


def package_sources() -> list[str]:
    """The Debian package sources of this machine, as lines of a sources.list.

    Raises ``RebootlessError``: ``no_package_sources``, and what ``run`` raises.
    """
    fields = run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(SITE)|$(CODENAME)|$(COMPONENT)", "Created-By: Packages"]
    )
    lines = []
    for line in fields.splitlines():
        origin, site, codename, component = line.split("|")
        if origin == "Debian":
            lines.append(f"deb {site} {codename} {component}")
    if not lines:
        raise RebootlessError(
            "no_package_sources",
            "apt knows no Debian package source on this machine, or has no package lists yet.",
            "Run 'apt-get update', and check /etc/apt/sources.list and /etc/apt/sources.list.d.",
        )
    return sorted(set(lines))


def bootstrap(archive: str, work: str, packages: Sequence[str], masked_units: Sequence[str], overlay: str) -> None:
    """Writes the tar file ``archive``: the essential packages and ``packages``, without documentation.

    ``masked_units`` of systemd never start in it; the files of the tar file ``overlay`` are laid over it; ``work`` is a
    directory for what has to be written on the way.  Raises like ``package_sources``.
    """
    sources = os.path.join(work, "sources.list")
    with open(sources, "w", encoding="utf-8") as listing:
        listing.write("\n".join(package_sources()) + "\n")
    masked = " ".join(shlex.quote(unit) for unit in masked_units)
    command = ["mmdebstrap", "--quiet", "--variant=essential", "--format=tar"]
    command += [f"--include={','.join(packages)}"]
    command += [f"--aptopt={line}" for line in _apt_settings()]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in WITHOUT]
    command += [f"--customize-hook=tar-in {shlex.quote(overlay)} /"]
    if masked:
        command += [f'--customize-hook=chroot "$1" systemctl mask {masked}']
    # Each machine has host keys of its own.
    command += ['--customize-hook=rm -f "$1"/etc/ssh/ssh_host_*']
    run([*command, "", archive, sources])


def _apt_settings() -> list[str]:
    # "Acquire::http::Proxy "…";" and the like; the lines that only open a scope have an empty value
    dumped = run(["apt-config", "dump", "--no-empty", "--format", "%F %v%n"])
    settings = []
    for line in dumped.splitlines():
        key, _space, value = line.partition(" ")
        if value and key.startswith(APT_SETTINGS):
            settings.append(f'{key} "{value}"')
    return settings
