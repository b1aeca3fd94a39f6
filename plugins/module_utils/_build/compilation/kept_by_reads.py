# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was found out of a patched unit, by what the compiler read for it.

An update of 114 fixes has units that read one patched header of twelve.  With one more fix in another file all that is
known of them still holds, so it is kept by what was read, and not by all that was patched.
"""

from __future__ import annotations

from typing import AbstractSet as Set
from typing import Mapping

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache, sha256_of
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, strict_json


class KeptByReads:
    """Values by unit, command, and patched files that were read, in the directory ``name`` of the tree ``kept``."""

    def __init__(self, kept: Cache, name: str) -> None:
        self._kept, self._name = kept, name

    def find(self, unit: str, command: str, digests: Mapping[str, str]) -> str | None:
        """The value that was noted for ``command`` and the patched files of ``digests`` (``PatchedSource.digests``), if
        it still holds for these; None otherwise.

        The compiler begins with the same files as it did then.  As long as each that it reads has the text that it had,
        it comes to the same next one: so if all that it read then is as it was, patched in the same way or not at all
        both times, it reads the same again, and nothing else.  No patch adds a file, which might be found first
        (``new_file_not_supported``).
        """
        directory = self._kept.path(self._name, unit)
        for file in sorted(directory.iterdir()) if directory.is_dir() else ():
            row = strict_json.read(file)
            patched = {path: digest for path, digest in digests.items() if path in row["read"]}
            if row["command"] == sha256_of(command) and patched == row["patched"]:
                return str(row["value"])
        return None

    def note(self, unit: str, command: str, digests: Mapping[str, str], read: Set[str], value: str) -> None:
        """Keeps ``value``, for which the compiler read the files ``read``."""
        patched = {path: digest for path, digest in digests.items() if path in read}
        row = {"command": sha256_of(command), "patched": patched, "read": sorted(read), "value": value}
        name = sha256_of(command, *(part for item in sorted(patched.items()) for part in item), *sorted(read))
        disk.replace(self._kept.path(self._name, unit, name[:24]), strict_json.exact(row))
