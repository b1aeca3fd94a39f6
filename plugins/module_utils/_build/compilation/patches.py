# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading patches and applying them to copies of kernel sources.

Unified diffs with one path component to strip (``patch -p1``), as git or ``diff -Nup`` makes them.  Context must fit
exactly; a hunk may stand on other lines than its header says if there is just one place where it fits, and if its
heading does not name another function of the file (hunk_places.py).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
from pathlib import Path, PurePosixPath
from typing import Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.hunk_places import place_of
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.line_numbers import (
    Line,
    mark_moved,
    renumber,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patch_text import check_text
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.deps import require, unidiff
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

_NULL = "/dev/null"
_MOVED = "rebootless_moved"
_KINDS = (" ", "-", "+")  # of lines; an empty line behind a hunk has the kind ""
_REVERSED = {("b", "a"), ("new", "old"), ("new", "orig"), ("patched", "orig"), ("fixed", "orig")}


@dataclasses.dataclass(frozen=True)
class Hunk:
    """A hunk: its number in its file's part of the patch (from 1), where it begins, and its lines.

    ``lines`` are (kind, text) with kind `` ``, ``-`` or ``+``.
    """

    number: int
    start: int  # line of the unpatched file, from 1; for a hunk without old lines the line that it follows
    lines: tuple[tuple[str, str], ...]
    new_start: int = 0  # line of the patched file
    heading: str = ""  # what its header says behind the numbers: the line that begins the function

    @property
    def old(self) -> list[str]:
        """The lines that it wants to find."""
        return [text for kind, text in self.lines if kind != "+"]

    @property
    def new(self) -> list[str]:
        """The lines that it leaves."""
        return [text for kind, text in self.lines if kind != "-"]


@dataclasses.dataclass(frozen=True)
class FilePatch:
    """What one patch does to one file; ``kind`` is ``modified``, ``added`` or ``deleted``.

    ``component`` is what was stripped from its path; ``is_reversed`` that its header names the newer file first.
    """

    patch: str
    path: str
    kind: str
    hunks: tuple[Hunk, ...]
    component: str = ""
    is_reversed: bool = False


@dataclasses.dataclass(frozen=True)
class Patch:
    """A patch: the name of its file, the SHA-256 of its content, and what it does to which file."""

    name: str
    sha256: str
    files: tuple[FilePatch, ...]


@dataclasses.dataclass(frozen=True)
class Placed:
    """Where a hunk was applied.

    ``first`` and ``count`` are lines of the patched file; ``offset`` is in lines from where the hunk's header said;
    ``doubt`` says why it may be the wrong place ("" if nothing speaks against it).
    """

    patch: str
    hunk: int
    first: int
    count: int
    offset: int
    doubt: str = ""


@dataclasses.dataclass(frozen=True)
class PatchedFile:
    """A patched source.  ``there_before`` names the patches of which every hunk's result was there before.

    ``appended`` is custom code that is compiled at its end.
    """

    path: str
    lines: tuple[Line, ...]
    placed: tuple[Placed, ...]
    there_before: tuple[str, ...] = ()
    appended: bytes = b""

    @property
    def already_applied(self) -> bool:
        """Whether nothing was changed, since all was there before."""
        return bool(self.there_before) and not self.placed

    def text(self, numbered: bool = True) -> bytes:
        """The source; with ``numbered``, lines keep their unpatched numbers through ``#line`` directives."""
        if numbered:
            lines = renumber(self.lines, assembler=self.path.endswith(".S"))
        else:
            lines = [line.text for line in self.lines]
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape") + self.appended

    def marked(self) -> bytes:
        """The source, with a word before unchanged lines whose numbers could not be kept, so that they differ."""
        lines = mark_moved(self.lines, _MOVED, assembler=self.path.endswith(".S"))
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape") + self.appended

    def without(self, hunk: Placed, original: Sequence[str]) -> PatchedFile:
        """The file as it would be without what ``hunk`` changes; ``original`` are the unpatched file's lines.

        What several patches change in the same lines counts as one hunk's.
        """
        start, end = hunk.first - 1, hunk.first - 1 + hunk.count
        above = next((line.origin for line in reversed(self.lines[:start]) if line.origin is not None), 0)
        below = next((line.origin for line in self.lines[end:] if line.origin is not None), len(original) + 1)
        between = [Line(original[number - 1], number) for number in range(above + 1, below)]
        return dataclasses.replace(self, lines=(*self.lines[:start], *between, *self.lines[end:]))

    def hunk_at(self, line: int) -> Placed | None:
        """The hunk that line ``line`` of the patched file lies in."""
        return next((p for p in self.placed if p.first <= line < p.first + p.count), None)


def read_patch(path: str | Path) -> Patch:
    """Reads a patch from a file.  Raises ``RebootlessError`` (``patch_not_readable``, and those of ``parse_patch``)."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise RebootlessError(
            "patch_not_readable",
            f"The patch {path} cannot be read: {error.strerror}.",
            "Give the path of a patch file on the build host.",
            patch=str(path),
        ) from error
    return parse_patch(Path(path).name, content)


def parse_patch(name: str, content: bytes) -> Patch:
    """Parses a unified diff.

    Raises ``RebootlessError``: ``bad_patch`` (with the parser's words), ``rename_not_supported``,
    ``binary_patch_not_supported``.  What a parser would pass over is refused as well (patch_text.py).
    """
    require()
    text = content.decode("utf-8", "surrogateescape")
    check_text(name, text)
    try:
        parsed = unidiff.PatchSet(io.StringIO(text, newline="\n"))
    except (unidiff.UnidiffParseError, ValueError) as error:
        raise _bad(name, f"is not a well-formed unified diff: {error}") from error
    files = tuple(_file_patch(name, part) for part in parsed)
    if not any(file.hunks for file in files):
        raise _bad(name, "changes nothing")
    return Patch(name, hashlib.sha256(content).hexdigest(), files)


def _file_patch(name: str, part: unidiff.PatchedFile) -> FilePatch:
    old, new = (_stripped(name, side) for side in (part.source_file, part.target_file))
    path = new or old
    if path is None:
        raise _bad(name, "changes /dev/null into /dev/null")
    if old and new and old != new:
        raise RebootlessError(
            "rename_not_supported",
            f"The patch {name} renames {old} to {new}.",
            "Leave the renaming out of the patch and change the file where it is.",
            file=path,
            patch=name,
        )
    kind = "added" if old is None else "deleted" if new is None else "modified"
    hunks = tuple(
        Hunk(
            number,
            hunk.source_start,
            tuple((line.line_type, line.value.rstrip("\n")) for line in hunk if line.line_type in _KINDS),
            hunk.target_start,
            hunk.section_header.strip(),
        )
        for number, hunk in enumerate(part, 1)
    )
    component = PurePosixPath(part.target_file if new else part.source_file).parts[0]
    return FilePatch(name, path, kind, hunks, component, _is_reversed(part))


def _is_reversed(part: unidiff.PatchedFile) -> bool:
    """Whether a header says that it leads from what is newer to what is older: ``git diff -R``, ``diff new old``."""
    first, second = (PurePosixPath(side).parts[:1] for side in (part.source_file, part.target_file))
    times = part.source_timestamp, part.target_timestamp
    by_time = all(times) and times[0][-5:] == times[1][-5:] and times[0] > times[1] and part.target_file != _NULL
    return (*first, *second) in _REVERSED or bool(by_time)


def _stripped(name: str, path: str) -> str | None:
    """``path`` without its first component; None for /dev/null."""
    if path == _NULL:
        return None
    parts = PurePosixPath(path).parts
    if len(parts) < 2 or parts[0] == "/" or ".." in parts or "\0" in path:
        raise _bad(name, f"names the file {path!r}; it has to be a path below the kernel source after one component")
    return str(PurePosixPath(*parts[1:]))


def _bad(name: str, what: str) -> RebootlessError:
    return RebootlessError(
        "bad_patch",
        f"The patch {name} {what}.",
        "Make it with 'git diff' or 'diff -Nup old new' at the top of the kernel source.",
        patch=name,
    )


def apply_patches(patches: Sequence[Patch], source: Path) -> list[PatchedFile]:
    """Applies ``patches`` one after the other to copies of the files below ``source``; the files stay as they are.

    Returns the patched files, sorted by path.  Raises ``RebootlessError``: ``patch_does_not_apply`` (which hunk, which
    file, expected and found line), ``bad_patch`` for a hunk without context, ``reversed_patch``,
    ``new_file_not_supported``, ``deleted_file_not_supported``.
    """
    by_path: dict[str, list[FilePatch]] = {}
    for patch in patches:
        for file in patch.files:
            by_path.setdefault(file.path, []).append(file)
    return [_apply_file(path, parts, source) for path, parts in sorted(by_path.items())]


def _apply_file(path: str, parts: Sequence[FilePatch], source: Path) -> PatchedFile:
    for part in parts:
        if part.kind != "modified":
            verb, code = ("adds", "new") if part.kind == "added" else ("deletes", "deleted")
            raise RebootlessError(
                f"{code}_file_not_supported",
                f"The patch {part.patch} {verb} the file {path}.",
                "Put new code into a file that the kernel already builds, and leave removed files in place.",
                file=path,
                patch=part.patch,
            )
    try:
        original = (source / path).read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise RebootlessError(
            "patch_does_not_apply",
            f"The patch {parts[0].patch} changes {path}, which this kernel's source does not have.",
            "Take the version of the fix that was made for this kernel.",
            file=path,
            patch=parts[0].patch,
        ) from error
    texts = original.removesuffix("\n").split("\n")
    lines = [Line(text, number) for number, text in enumerate(texts, 1)]
    placed: list[Placed] = []
    there = tuple(part.patch for part in parts if part.hunks and not _apply_hunks(part, lines, placed))
    backwards = next((part for part in parts if part.is_reversed), None)
    if backwards is not None and there and not placed:
        raise RebootlessError(
            "reversed_patch",
            f"The patch {backwards.patch} leads from the newer {path} to the older one, which this kernel has.",
            "Give it in the direction of the fix: git diff OLD NEW, or diff -Nup old new.",
            file=path,
            patch=backwards.patch,
        )
    return PatchedFile(path, tuple(lines), tuple(placed), there)


def _apply_hunks(part: FilePatch, lines: list[Line], placed: list[Placed]) -> bool:
    """Applies one patch's hunks to ``lines`` in place.  False if all of them were there already."""
    before = [line.text for line in lines]
    already = [_positions(hunk.new, lines, hunk.new_start - 1) for hunk in part.hunks]
    shift, floor, grown = 0, 0, 0
    for index, hunk in enumerate(part.hunks):
        _check_context(part, hunk, lines)
        wanted = (hunk.start - 1 if hunk.old else hunk.start) + shift
        found = _positions(hunk.old, lines, wanted, floor)
        if len(found) != 1:
            if index == 0 and not found and all(map(functools.partial(_is_there, part, before), part.hunks, already)):
                return False
            raise _does_not_apply(part, hunk, lines, wanted, found, already[index])
        at = found[0]
        place = place_of(part.path, hunk.heading, hunk.lines, before, at - grown, at - wanted)
        if place.is_wrong:
            raise _lands_elsewhere(part, hunk, at, place.doubt)
        old, new = len(hunk.old), []
        position = at
        for kind, text in hunk.lines:
            if kind == "+":
                new.append(Line(text, None))
            else:
                if kind == " ":
                    new.append(lines[position])
                position += 1
        lines[at : at + old] = new
        _shift(placed, at, len(new) - old)
        placed.append(Placed(part.patch, hunk.number, at + 1, len(new), at - wanted, place.doubt))
        shift += at - wanted + len(new) - old
        grown += len(new) - old
        floor = at + len(new)
    return True


def _is_there(part: FilePatch, lines: Sequence[str], hunk: Hunk, found: Sequence[int]) -> bool:
    """Whether what a hunk leaves is where the hunk belongs; the same lines in another function are another matter."""
    if len(found) != 1:
        return False
    offset = found[0] - hunk.new_start + 1
    # On the very line the heading does not count: an earlier hunk may have renamed the function.
    return offset == 0 or not place_of(part.path, hunk.heading, hunk.lines, lines, found[0], offset).doubt


def _lands_elsewhere(part: FilePatch, hunk: Hunk, at: int, doubt: str) -> RebootlessError:
    return RebootlessError(
        "patch_does_not_apply",
        f"Hunk {hunk.number} of {part.path} in the patch {part.patch} fits at line {at + 1} alone, and {doubt}.",
        "Take the version of the fix that was made for this kernel; context is never guessed.",
        patch=part.patch,
        file=part.path,
        hunk=hunk.number,
        line=at + 1,
        already_applied=False,
    )


def _check_context(part: FilePatch, hunk: Hunk, lines: Sequence[Line]) -> None:
    """A hunk has context, or changes the whole file."""
    is_whole = len(hunk.old) == len(lines) or [line.text for line in lines] == [""]
    if not is_whole and not any(kind == " " for kind, _text in hunk.lines):
        raise RebootlessError(
            "bad_patch",
            f"Hunk {hunk.number} of {part.path} in the patch {part.patch} has no context, so nothing but a number says "
            "where it belongs.",
            "Make it with three lines of context: git diff -U3, or diff -Nup.",
            file=part.path,
            patch=part.patch,
            hunk=hunk.number,
        )


def _shift(placed: list[Placed], at: int, delta: int) -> None:
    """Moves the hunks that earlier patches placed behind line index ``at``."""
    for index, hunk in enumerate(placed):
        if hunk.first > at + 1:
            placed[index] = dataclasses.replace(hunk, first=hunk.first + delta)


def _positions(wanted: Sequence[str], lines: Sequence[Line], at: int, floor: int = 0) -> list[int]:
    """Where ``wanted`` stands in ``lines`` from ``floor`` on: only ``at`` if it stands there, else everywhere."""

    def fits(start: int) -> bool:
        return [line.text for line in lines[start : start + len(wanted)]] == list(wanted)

    if floor <= at <= len(lines) - len(wanted) and fits(at):
        return [at]
    if not wanted:
        return []
    first = wanted[0]
    starts = range(floor, len(lines) - len(wanted) + 1)
    return [start for start in starts if lines[start].text == first and fits(start)]


def _does_not_apply(
    part: FilePatch, hunk: Hunk, lines: Sequence[Line], wanted: int, found: Sequence[int], there: Sequence[int]
) -> RebootlessError:
    where = f"Hunk {hunk.number} of {part.path} in the patch {part.patch}"
    already = _is_there(part, [line.text for line in lines], hunk, there)
    details = {"patch": part.patch, "file": part.path, "hunk": hunk.number, "already_applied": already}
    step = "Take the version of the fix that was made for this kernel; context is never guessed."
    if found:
        places = ", ".join(str(at + 1) for at in found)
        sentence = f"{where} fits at several places, lines {places}, and not at line {wanted + 1} where it should."
        return RebootlessError("patch_does_not_apply", sentence, step, lines=[at + 1 for at in found], **details)
    at, expected = _first_difference(hunk.old, lines, wanted)
    text = lines[at].text if 0 <= at < len(lines) else None
    if already:
        sentence = f"{where} has been applied to this source already, but other parts of the patch have not."
    else:
        shown = "the end of the file" if text is None else repr(text.strip())
        sentence = f"{where} does not apply: line {at + 1} should be {expected.strip()!r} and is {shown}."
        if text is not None and text.split() == expected.split():
            sentence = f"{where} does not apply: line {at + 1}, {expected.strip()!r}, differs in its white space."
            step = "Take the patch as a file: mail and terminals have changed its tabs or blanks."
        elif there:
            also = ", ".join(str(row + 1) for row in there[:5])
            sentence += f" What the hunk leaves stands elsewhere, at line {also}, which is not where the hunk belongs."
    return RebootlessError(
        "patch_does_not_apply", sentence, step, line=at + 1, expected=expected, found=text, **details
    )


def _first_difference(wanted: Sequence[str], lines: Sequence[Line], at: int) -> tuple[int, str]:
    """Index of the first line that is not as ``wanted`` from ``at`` on, and what it should be."""
    for index, text in enumerate(wanted, at):
        if not 0 <= index < len(lines) or lines[index].text != text:
            return index, text
    return at, wanted[0] if wanted else ""
