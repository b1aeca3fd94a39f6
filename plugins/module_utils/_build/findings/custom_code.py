# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Custom code: what the author of an update adds where exchanging code alone is not enough.

It is compiled at the end of a patched source (``kmod/rebootless_custom.h``), says in ``.rbl.handles`` which findings it
takes care of, and in ``.rbl.hooks`` when it is called.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patches import PatchedFile
from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.claims import handled, stages
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import UnitChange
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.finding import Finding
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

HEADER = "rebootless_custom.h"
# What custom code cannot take care of: it cannot make room for a jump or a larger variable, or have a thread leave.
NEVER_HANDLED = (
    *("no_room_for_jump", "jump_over_rewritten_code", "entered_in_the_middle", "never_left", "no_breakpoint"),
    *("entry_code_changed", "static_call_changed", "data_resized", "data_moved", "overrides_running"),
)

_INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*[<"]' + HEADER.encode() + rb'[>"].*$', re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class CustomCode:
    """A file of custom code; ``source`` is the path of the kernel source that it belongs to."""

    name: str
    source: str
    content: bytes

    @property
    def sha256(self) -> str:
        """Of the file's bytes."""
        return hashlib.sha256(self.content).hexdigest()

    def text(self, kmod: Path) -> bytes:
        """What is appended to the source; messages and warnings name the file, the header comes from ``kmod``."""
        header = b'#include "%s"' % str(kmod / HEADER).encode()
        content = _INCLUDE.sub(lambda _match: header, self.content)
        return b'#line 1 "custom/%s"\n%s\n' % (self.name.encode(), content)


def read_custom(path: str | Path, source: str) -> CustomCode:
    """Reads custom code for ``source``.

    Raises ``RebootlessError``: ``custom_code_not_readable``, ``bad_custom_code``.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RebootlessError(
            "custom_code_not_readable",
            f"The custom code {path} cannot be read: {error.strerror}.",
            "Give the path of a C file on the build host.",
            custom=str(path),
        ) from error
    if not re.fullmatch(r"[\w.+-]+\.c", path.name) or not source.endswith(".c"):
        raise RebootlessError(
            "bad_custom_code",
            f"The custom code {path.name} for {source} is not a C file for a C source.",
            "Put it into a file whose name ends in .c, and name the patched .c file that it belongs to.",
            custom=str(path),
            source=source,
        )
    return CustomCode(path.name, source, content)


def attach(files: Iterable[PatchedFile], custom: Sequence[CustomCode], kmod: Path) -> list[PatchedFile]:
    """``files`` with the custom code that belongs to them.

    Raises ``RebootlessError`` (``custom_code_without_source``).
    """
    found = []
    for patched in files:
        texts = [code.text(kmod) for code in custom if code.source == patched.path]
        found.append(dataclasses.replace(patched, appended=b"".join(texts)))
    for code in custom:
        if code.source not in {patched.path for patched in found}:
            raise RebootlessError(
                "custom_code_without_source",
                f"The custom code {code.name} belongs to {code.source}, which the patches do not change in this "
                "kernel.",
                "Name a source that the patches change.",
                custom=code.name,
                source=code.source,
            )
    return found


def excuse(change: UnitChange, rows: Sequence[Finding], told: Iterable[Finding] = ()) -> list[Finding]:
    """The findings of one unit that its custom code does not take care of; ``told`` are remarks that it may claim.

    Raises ``RebootlessError``: ``handles_nothing`` where it claims to take care of what has not been found, or of what
    no code can take care of; ``bad_custom_code``.
    """
    post = change.difference.correlation.post.object
    claims = dict.fromkeys(handled(post))
    possible = {(row.code, row.thing) for row in (*rows, *told) if row.code not in NEVER_HANDLED}
    for code, thing in claims:
        if (code, thing) not in possible:
            raise RebootlessError(
                "handles_nothing",
                f'{change.unit}: the custom code has RBL_HANDLES("{code}", "{thing}"), and there is no such finding '
                "that it could take care of.",
                "Take it out, or correct it to the words of a finding; sizes and places of data, and jumps that cannot "
                "be written, need another patch.",
                unit=change.unit,
                possible=sorted(possible),
            )
    return [row for row in rows if (row.code, row.thing) not in claims]


def facts(changes: Iterable[UnitChange], custom: Iterable[CustomCode]) -> list[dict[str, Any]]:
    """For results and manifests: the files, and for each unit what is handled and when code is called."""
    rows: list[dict[str, Any]] = [{"name": c.name, "source": c.source, "sha256": c.sha256} for c in custom]
    for row in rows:
        for change in changes:
            if change.unit == row["source"].removesuffix(".c") + ".o":
                post = change.difference.correlation.post.object
                row.update(handles=[list(pair) for pair in handled(post)], hooks=stages(post))
    return rows
