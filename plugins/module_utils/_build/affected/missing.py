# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that a patch changes, and that this kernel's source does not have: half a fix is none."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import AbstractSet, Any

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.paths import NotApplicable
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patches import FilePatch, Patch
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

IGNORED = "ignored_missing"
# What else is not applicable and belongs before the eyes of approvers: hunks of a file that is live otherwise.
_TOLD = (IGNORED, "hunk_not_compiled", "hunk_same_object", "module_information")
_SHOWN = 5  # places where a file of that name stands


def left_out(missing: Sequence[FilePatch], source: Path, ignore: Collection[str]) -> list[NotApplicable]:
    """The missing files, all of which the operator has listed.

    Raises ``RebootlessError`` (``file_not_found``) for all others together, with where files of their names stand.
    """
    unlisted = [file for file in missing if file.path not in ignore]
    if unlisted:
        raise _not_found(unlisted, source)
    paths = dict.fromkeys(file.path for file in missing)
    reason = "is not in this kernel's source, and the operator has it left out"
    return [NotApplicable(path, IGNORED, f"{path} {reason}.") for path in paths]


def remarks(not_applicable: Iterable[NotApplicable]) -> list[dict[str, Any]]:
    """What approvers of the update should know: parts of its patches that were left out, or do nothing here."""
    return [
        {"code": row.code, "sentence": row.reason, "details": {"file": row.file}}
        for row in not_applicable
        if row.code in _TOLD
    ]


def check_listed(patches: Iterable[Patch], ignore: Collection[str]) -> None:
    """Raises ``RebootlessError`` (``not_in_patch``) if the operator lists what no patch changes."""
    changed = {file.path for patch in patches for file in patch.files}
    other = sorted(set(ignore) - changed)
    if other:
        raise RebootlessError(
            "not_in_patch",
            f"No patch changes {', '.join(other)}, which ignore_missing lists.",
            "List paths as the patches have them, without the first component.",
            files=other,
        )


def _not_found(files: Sequence[FilePatch], source: Path) -> RebootlessError:
    unstripped = [file for file in files if (source / file.component / file.path).is_file()]
    if unstripped:
        name = f"{unstripped[0].component}/{unstripped[0].path}"
        return RebootlessError(
            "bad_patch",
            f"The patch {unstripped[0].patch} names {name} without a component before it that could be stripped.",
            "Make it with 'git diff', without --no-prefix, or with 'diff -Nup old new' above the kernel source.",
            file=name,
            patch=unstripped[0].patch,
        )
    stands = _stands(source, {posixpath.basename(file.path) for file in files})
    rows = [
        {"file": file.path, "patch": file.patch, "now_at": stands.get(posixpath.basename(file.path), [])[:_SHOWN]}
        for file in files
    ]
    first = rows[0]
    more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
    there = f"; a file of that name is {' and '.join(first['now_at'])}" if first["now_at"] else ""
    return RebootlessError(
        "file_not_found",
        f"The patch {first['patch']} changes {first['file']}{more}, which this kernel's source does not have{there}.",
        "Take the version of the fix that was made for this kernel; if the kernel does not need that part, list the "
        "file in ignore_missing.",
        file=first["file"],
        patch=first["patch"],
        files=rows,
    )


def _stands(source: Path, names: AbstractSet[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for directory, folders, files in os.walk(source):
        folders.sort()
        for name in names & set(files):
            found.setdefault(name, []).append(posixpath.join(os.path.relpath(directory, source), name))
    return found
