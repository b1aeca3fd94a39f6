# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of a running kernel's symbols, from ``/proc/kallsyms``.

Source: kernel/kallsyms.c (``s_show``): ``address type name``, and ``[module]`` after symbols of a loadable module.
"""

from __future__ import annotations

import re

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

PATH = "/proc/kallsyms"
KERNEL = "vmlinux"  # the object name of what is in no loadable module
ADDRESS = re.compile(rb"[0-9a-f]{1,16}")
UPDATE_MODULE = "rbl_"  # RBL_MODULE_PREFIX of kmod/rebootless.h


class Kallsyms:
    """The symbol table, read once for all the names that are asked for.

    Raises ``RebootlessError`` (``kallsyms_hidden``, ``kallsyms_missing``).
    """

    def __init__(self, path: str = PATH) -> None:
        self._path = path
        self._addresses: dict[str, list[tuple[str, int]]] = {}  # name: (object, address)

    def prefetch(self, names: set[tuple[str, str]]) -> None:
        """Reads the addresses of all (name, object name) in one pass."""
        wanted = {name.encode() for name, _object_name in names}
        found: dict[str, list[tuple[str, int]]] = {name: [] for name, _object_name in names}
        visible = False
        for line in self._read().splitlines():
            fields = line.split()
            if len(fields) < 3:
                continue
            if not visible and fields[0].strip(b"0"):
                visible = True
            if fields[2] in wanted and ADDRESS.fullmatch(fields[0]):
                module = fields[3].strip(b"[]").decode("utf-8", "replace") if len(fields) > 3 else KERNEL
                # What is carried in an update has the names of what it replaces.
                if not module.startswith(UPDATE_MODULE):
                    found[fields[2].decode()].append((module, int(fields[0], 16)))
        if not visible:
            raise RebootlessError(
                "kallsyms_hidden",
                f"The kernel shows no addresses in {self._path}.",
                "Run the task as root (become: true). If the sysctl kernel.kptr_restrict is 2, apply without check "
                "mode: the helper module looks symbols up in the kernel; or set it to 1 meanwhile.",
            )
        self._addresses.update(found)

    def lookup(self, name: str, object_name: str) -> list[int]:
        """The addresses of ``name`` in ``object_name``: "vmlinux", a loadable module, or "" for anywhere."""
        if name not in self._addresses:
            self.prefetch({(name, object_name)})
        # Files and makefiles name modules with dashes, the kernel with underscores.
        object_name = object_name.replace("-", "_")
        return [address for module, address in self._addresses[name] if object_name in ("", module)]

    def _read(self) -> bytes:
        try:
            with open(self._path, "rb") as stream:
                return stream.read()
        except OSError as error:
            raise RebootlessError(
                "kallsyms_missing",
                f"The kernel's symbol table {self._path} cannot be read: {error.strerror}.",
                "Run the task as root on the host itself; a container may hide it.",
            ) from error
