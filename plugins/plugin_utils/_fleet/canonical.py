# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one way in which files of the fleet are written.

Each content has one form, so that its SHA-256 names it: JSON with sorted keys, one blank of indentation for each level,
ASCII, and a newline at the end.

A plan also carries that SHA-256, as ``digest``: a change by hand that keeps to the form, such as a deadline of 901 in
place of 900, is another content under the old name.  It proves nothing against an editor who writes a new digest, too;
who approves a plan has to keep its digest elsewhere.
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


DIGEST = "digest"  # the field of a file that has its own digest


def sealed(data: t.Mapping[str, t.Any]) -> bytes:
    """The bytes of a file that carries its own digest: that of ``data``, without the field."""
    table = _unsealed(data)
    return canonical({**table, DIGEST: sha256(canonical(table))})


def digest_of(content: bytes) -> str:
    """What names a file: the digest that it carries if that is its own, else the SHA-256 of its bytes."""
    try:
        data = strict_json.parse(content)
        intact = isinstance(data, dict) and content == sealed(data)
    except ValueError:
        intact = False
    return data[DIGEST] if intact else sha256(content)


def _unsealed(data: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {name: value for name, value in data.items() if name != DIGEST}


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


def read(path: str | os.PathLike[str], what: str, seal: bool = False) -> dict[str, t.Any]:
    """The content of a canonical JSON file; ``what`` names it in messages ("plan").

    With ``seal`` it has to carry its own digest, which is left out of the content.

    Raises ``RebootlessError``: ``<what>_missing``; ``<what>_damaged`` for what is no JSON table, is written in another
    way, as by an editor, or has another digest than the one that it carries.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as stream:
            content = stream.read()
    except OSError as error:
        raise RebootlessError(
            f"{what}_missing", f"The {what} {name} cannot be read: {error.strerror}.", "Give its path.", path=name
        ) from error
    return parse(content, what, name, seal)


def parse(content: bytes, what: str, name: str, seal: bool = False) -> dict[str, t.Any]:
    """The content of canonical JSON bytes; errors as for :func:`read`."""
    why = "it is no JSON table"
    try:
        data = strict_json.parse(content)
        if isinstance(data, dict):
            if seal and DIGEST not in data:
                why = "it does not carry its own digest, so whether it was changed cannot be told"
            elif content == (sealed(data) if seal else canonical(data)):
                return _unsealed(data) if seal else data
            elif content == canonical(data):
                why = f"its content does not have the digest {data[DIGEST]}; it was changed by hand, or on its way"
            else:
                why = "its bytes are not as they were written; it was changed on its way, or by hand"
    except ValueError as error:
        why = f"it is no JSON ({error})"
    raise RebootlessError(
        f"{what}_damaged", f"The {what} {name} is damaged: {why}.", "Write it anew, or take the original.", path=name
    )
