# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is no plain unified diff, told by its text: a parser would pass over parts of it without a word."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

# How files begin that are no text as a diff is.
_FORMATS = (
    (b"\x1f\x8b", "compressed by gzip", "Give the patch uncompressed."),
    (b"\xfd7zXZ\0", "compressed by xz", "Give the patch uncompressed."),
    (b"BZh", "compressed by bzip2", "Give the patch uncompressed."),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "Give the patch uncompressed."),
    (b"\xff\xfe", "text in UTF-16", "Write it as UTF-8: iconv -f UTF-16 -t UTF-8."),
    (b"\xfe\xff", "text in UTF-16", "Write it as UTF-8: iconv -f UTF-16 -t UTF-8."),
)
_HUNK = re.compile(r"@@ -\d+(?:,(?P<old>\d+))? \+\d+(?:,(?P<new>\d+))? @@")
_COMBINED = re.compile(r"diff --(cc|combined) |@@@+ -")
_BINARY = re.compile(r"GIT binary patch$|Binary files (?P<file>\S+) and \S+ differ$")
_HEADER = re.compile(r"(--- |\+\+\+ |diff --git |@@ -).*\r$")
_RENAME = re.compile(r"(?P<verb>rename|copy) from (?P<file>.+)$")
_GIT = "diff --git "
_INDEX = re.compile(r"index (?P<old>[0-9a-f]+)\.\.(?P<new>[0-9a-f]+)( \d+)?$")
_WITH_LINES = ("--- ", "Binary files ", "GIT binary ", "rename ", "copy ")  # what says how it changes
_UNIFIED = "@@ -1,7 +1,8 @@"
# Parts of a patch in another form, between and around unified ones: what a line begins with, how the next line goes on
# ("" if the line alone tells), and what that is.
_OTHER_FORMS = tuple(
    (re.compile(line), re.compile(following), what)
    for line, following, what in (
        (r"\*\*\* \d+(,\d+)? \*\*\*\*$", "", "a context diff (diff -c)"),
        (r"\*\*\* \S+.*$", r"--- \S", "a context diff (diff -c)"),
        (r"\d+(,\d+)?[cd]\d+(,\d+)?$", r"< ?", "a diff without context (plain diff)"),
        (r"\d+a\d+(,\d+)?$", r"> ?", "a diff without context (plain diff)"),
        (r"diff -(?!-git )\S+ .*", r"\d+(,\d+)?[acd]$|[acd]\d+", "an ed script (diff -e)"),
        (r"Only in \S+: \S+$", "", "a file that only one of two directories has"),
        (r"Files \S+ and \S+ differ$", "", "files that differ, without the lines (diff -q)"),
        (r"(File|Symbolic link) \S+ is a .* while ", "", "a file that becomes something else"),
        (r"Symbolic links \S+ and \S+ differ$", "", "symbolic links that differ"),
        (r"Submodule \S+ [0-9a-f]+\.\.", "", "another commit of a submodule"),
        (
            r"diff (?!--git )((-\S+ )+\S+ \S+$|\S+/\S+ \S+/\S+$)",
            r"(?!--- |Binary files |\*\*\* |\d)",
            "a diff without lines",
        ),
    )
)
_DIGITS = 9  # of a line number
# What may follow a hunk and begins like one of its lines: the signature of a mail, what separates mails.
_SEPARATORS = ("-- ", "--", "---")


def check_text(name: str, text: str) -> None:
    """Refuses what a unified diff of text files with context cannot be.

    Raises ``RebootlessError``: ``bad_patch``, ``binary_patch_not_supported``, ``rename_not_supported``; ``line`` in
    its details counts from 1.
    """
    start = text[:8].encode("utf-8", "surrogateescape")
    for magic, what, next_step in _FORMATS:
        if start.startswith(magic):
            raise _bad(name, f"is {what}", next_step)
    in_header = False
    lines = text.split("\n")
    for number, line in _outside_hunks(name, lines):
        in_header = line.startswith(_GIT) or (in_header and not line.startswith("@@ -"))
        _check_line(name, number, line, in_header)
        _check_form(name, number, line, lines[number] if number < len(lines) else "", in_header)


def _check_line(name: str, number: int, line: str, in_header: bool) -> None:
    if _COMBINED.match(line):
        raise _bad(
            name,
            "is a combined diff, which says what a merge made of two sides",
            "Give the change as a diff with one side: git diff MERGE^1 MERGE.",
            line=number,
        )
    if _HEADER.match(line):
        raise _bad(
            name,
            "has lines that end with CR and LF, as a mail program or another system has made them",
            "Take the line ends back: dos2unix, or sed 's/\\r$//'.",
            line=number,
        )
    binary = _BINARY.match(line)
    if binary:
        raise RebootlessError(
            "binary_patch_not_supported",
            f"The patch {name} changes a binary file (line {number}).",
            "Leave the binary file out of the patch, if the fix does without; else reboot into a fixed kernel.",
            patch=name,
            line=number,
        )
    renamed = _RENAME.match(line) if in_header else None
    if renamed:
        verb = "renames" if renamed["verb"] == "rename" else "copies"
        raise RebootlessError(
            "rename_not_supported",
            f"The patch {name} {verb} {renamed['file']}.",
            "Leave the renaming out of the patch and change the file where it is.",
            file=renamed["file"],
            patch=name,
        )


def _check_form(name: str, number: int, line: str, following: str, in_header: bool) -> None:
    """A part in another form than that of a unified diff says that something changes, and would be passed over."""
    what = next((what for first, then, what in _OTHER_FORMS if first.match(line) and then.match(following)), None)
    changed = _INDEX.match(line) if in_header else None
    is_change = changed and changed["old"] != changed["new"] and changed["old"].strip("0") and changed["new"].strip("0")
    if is_change and not following.startswith(_WITH_LINES):
        what = "a file that changes, without the lines"
    if what is not None:
        raise _bad(
            name,
            f"has in line {number} {what}, which is no part of a unified diff: {line.strip()!r}",
            f"Make all of it anew as a unified diff (its hunks begin as {_UNIFIED!r}): 'git diff', or 'diff -Nup old "
            "new'; take the line out if it is no part of the fix.",
            line=number,
        )


def _outside_hunks(name: str, lines: list[str]) -> Iterator[tuple[int, str]]:
    """The lines that belong to no hunk, numbered from 1, with the hunks' headers among them."""
    index = 0
    while index < len(lines):
        line = lines[index]
        index += 1
        yield index, line
        hunk = _HUNK.match(line)
        if hunk:
            if any(len(number) > _DIGITS for number in re.findall(r"\d+", hunk.group())):
                raise _bad(name, "has a hunk with a line number that no file has", "Make it anew.", line=index)
            index = _end_of_hunk(lines, index, int(hunk["old"] or 1), int(hunk["new"] or 1))
            _check_behind(name, lines, index)


def _end_of_hunk(lines: list[str], index: int, old: int, new: int) -> int:
    while index < len(lines) and (old > 0 or new > 0):
        kind = lines[index][:1]
        if kind not in ("", " ", "+", "-", "\\"):
            break  # the parser says that it is too short
        old -= kind in ("", " ", "-")
        new -= kind in ("", " ", "+")
        index += 1
    while index < len(lines) and lines[index].startswith("\\"):
        index += 1
    return index


def _check_behind(name: str, lines: list[str], index: int) -> None:
    """What looks like a line of a hunk, and is behind as many as its header counts, would be dropped."""
    line = lines[index].rstrip("\r") if index < len(lines) else ""
    is_next_file = line.startswith("--- ") and lines[index + 1 : index + 2] and lines[index + 1].startswith("+++ ")
    if line[:1] in ("+", "-", " ") and line not in _SEPARATORS and not is_next_file:
        raise _bad(
            name,
            f"has a hunk with more lines than its header counts; line {index + 1} is the first one",
            "Make it anew, or correct the counts with recountdiff.",
            line=index + 1,
        )


def _bad(name: str, what: str, next_step: str, **details: object) -> RebootlessError:
    return RebootlessError("bad_patch", f"The patch {name} {what}.", next_step, patch=name, **details)
