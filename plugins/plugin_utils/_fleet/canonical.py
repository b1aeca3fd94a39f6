# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one way in which files of the fleet are written.

Plans and manifests are named and signed by the SHA-256 of their bytes, so each content has one form: JSON with sorted
keys, one blank of indentation for each level, ASCII, and a newline at the end.
"""

from __future__ import annotations

import hashlib
import os
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError


def canonical(data: t.Mapping[str, t.Any]) -> bytes:
    """The bytes that ``data`` (JSON-able) has in a file."""
    return strict_json.exact(data, sort_keys=True, indent=1) + b"\n"


def sha256(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def write(path: str | os.PathLike[str], content: bytes, mode: int = 0o644) -> None:
    """Writes a file so that a reader, also after a power cut, sees the old file or the whole new one.

    Raises ``RebootlessError`` (``not_writable``).
    """
    final = os.fspath(path)
    try:
        disk.replace(final, content, mode, sync=True)
    except OSError as error:
        raise RebootlessError(
            "not_writable",
            f"{final} cannot be written: {error.strerror}.",
            "Make room there, or name a place that this user can write to.",
            path=final,
        ) from error


def read(path: str | os.PathLike[str], what: str) -> tuple[dict[str, t.Any], str]:
    """The content of a canonical JSON file, and the SHA-256 of its bytes; ``what`` names it in messages ("plan").

    Raises ``RebootlessError``: ``<what>_missing``; ``<what>_damaged`` for what is no JSON table, or is written in
    another way, as by an editor.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as stream:
            content = stream.read()
    except OSError as error:
        raise RebootlessError(
            f"{what}_missing", f"The {what} {name} cannot be read: {error.strerror}.", "Give its path.", path=name
        ) from error
    return parse(content, what, name), sha256(content)


def parse(content: bytes, what: str, name: str) -> dict[str, t.Any]:
    """The content of canonical JSON bytes; errors as for :func:`read`."""
    why = "it is no JSON table"
    try:
        data = strict_json.parse(content)
        if isinstance(data, dict):
            if canonical(data) == content:
                return data
            why = "its bytes are not as they were written; it was changed on its way, or by hand"
    except ValueError as error:
        why = f"it is no JSON ({error})"
    raise RebootlessError(
        f"{what}_damaged", f"The {what} {name} is damaged: {why}.", "Write it anew, or take the original.", path=name
    )
