# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether two preprocessed sources can compile to different objects.

A preprocessed kernel source is mostly declarations that nothing in it uses.  Some kinds of them leave no trace in the
object then: ``static inline`` functions, types, and what is only declared (``extern``, prototypes).  They count if
their name is used by what counts; everything else counts always, also what is not understood here.
"""

from __future__ import annotations

import bisect
import dataclasses
import re
from typing import Iterator

_TOKEN = re.compile(rb'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|^#[^\n]*|[{};]', re.MULTILINE)
_IDENTIFIER = re.compile(rb"[A-Za-z_]\w*")
_ATTRIBUTE = re.compile(rb"\b__attribute__\s*\(")
_PARENTHESIS = re.compile(rb"[()]")
# With one of these even an unused declaration may leave something in the object.
TRACE = re.compile(
    rb"\b(?:__)?(?:asm|used|retain|constructor|destructor|alias|weak|weakref|ifunc|symver|externally_visible)(?:__)?\b"
)
_TYPE = re.compile(rb"\s*(?:__extension__\s+)?(?:struct|union|enum)\b")
# "struct foo;" says only that there is such a type: code that looks into it needs its definition anyway.
_FORWARD = re.compile(rb"\s*(?:struct|union|enum)\s+\w+\s*;\s*")
_TAG = re.compile(rb"\b(?:struct|union|enum)\s+(\w+)")
_ENUMERATORS = re.compile(rb"\benum\b[^{};]*\{([^{}]*)\}")
_FUNCTION = re.compile(rb"\s*(?:[A-Za-z_]\w*[\s*]+)+([A-Za-z_]\w*)\s*\(\s*(?![*\s])")
_VARIABLE = re.compile(rb"\s*extern\b[^;=]*[\s*)]([A-Za-z_]\w*)\s*(?:\[[^\[\]]*\]\s*)*;\s*")
_TYPEDEF = re.compile(rb"\s*(?:__extension__\s+)?typedef\b[^;(]*[\s*)]([A-Za-z_]\w*)\s*(?:\[[^\[\]]*\]\s*)*;\s*")
_FUNCTION_TYPE = re.compile(rb"\s*typedef\b[^;(]*\(\s*\*\s*([A-Za-z_]\w*)\s*\)\s*\([^;]*\)\s*;\s*")
INLINE = {b"inline", b"__inline", b"__inline__", b"__always_inline"}
_KEYWORDS = frozenset(
    b"auto break case char const continue default do double else enum extern float for goto if inline int long "
    b"register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while "
    b"typeof __typeof__ __typeof _Alignas _Atomic _Bool _Generic _Noreturn _Static_assert _Thread_local __inline "
    b"__inline__ __extension__ __auto_type __attribute__ asm __asm__ __asm __int128 __signed__ __const__ "
    b"__volatile__".split()
)


@dataclasses.dataclass(frozen=True)
class _Declaration:
    # By one of which something must use it to count; (): it never does; None: it counts always.
    names: tuple[bytes, ...] | None
    identifiers: frozenset[bytes]


class Comparer:
    """Compares preprocessed sources (as ``gcc -E -P`` prints them); keeps what it learns about common declarations."""

    _LIMIT = 200_000  # declarations that are kept

    def __init__(self) -> None:
        self._known: dict[bytes, _Declaration] = {}

    def same_object(self, pre: bytes, post: bytes) -> bool:
        """Whether both certainly compile to the same code and data."""
        if pre == post:
            return True
        before, ours, theirs, after = _aligned(pre, post)
        differing = set(ours) ^ set(theirs)
        if any(self._declaration(text).names is None for text in differing):
            return False
        all_ours = [*before, *ours, *after]
        living, used = self._living(all_ours)
        if living.isdisjoint(range(len(before), len(before) + len(ours))) and self._unused(theirs, used):
            return True  # what counts is the same, and stands in the same order
        all_theirs = [*before, *theirs, *after]
        others, _used = self._living(all_theirs)
        return [all_ours[index] for index in sorted(living)] == [all_theirs[index] for index in sorted(others)]

    def used(self, source: bytes) -> set[bytes]:
        """All identifiers of what counts in a preprocessed source."""
        return self._living(list(split(source)))[1]

    def _unused(self, declarations: list[bytes], used: set[bytes]) -> bool:
        named = (self._declaration(text).names for text in declarations)
        return all(names is not None and used.isdisjoint(names) for names in named)

    def _living(self, declarations: list[bytes]) -> tuple[set[int], set[bytes]]:
        """The indices of those that count, and all identifiers in them."""
        by_name: dict[bytes, list[int]] = {}
        waiting = []
        for index, text in enumerate(declarations):
            names = self._declaration(text).names
            if names is None:
                waiting.append(index)
            else:
                for name in names:
                    by_name.setdefault(name, []).append(index)
        living = set(waiting)
        used: set[bytes] = set()
        while waiting:
            new = self._declaration(declarations[waiting.pop()]).identifiers - used
            used |= new
            for name in new & by_name.keys():
                waiting += [index for index in by_name[name] if index not in living]
                living.update(by_name[name])
        return living, used

    def _declaration(self, text: bytes) -> _Declaration:
        known = self._known.get(text)
        if known is None:
            names = names_of(text)
            known = _Declaration(names, frozenset(_IDENTIFIER.findall(text)))
            if len(self._known) >= self._LIMIT:
                self._known.clear()
            self._known[text] = known
        return known


def _aligned(pre: bytes, post: bytes) -> tuple[list[bytes], list[bytes], list[bytes], list[bytes]]:
    """The declarations of two sources: those before the first difference, those of ``pre`` and those of ``post`` in the
    middle, and those after the last difference.

    Two versions of a header are mostly the same text, so little of ``post`` has to be read.
    """
    ours, ends = [], []
    for text, end in _parts(pre):
        ours.append(text)
        ends.append(end)
    same = _common(pre, post)
    # A declaration that ends just where the difference begins may go on in the other one.
    first = bisect.bisect_left(ends, same)
    tail = _common(pre[same:][::-1], post[same:][::-1])
    moved = len(pre) - len(post)
    theirs = []
    for text, end in _parts(post, ends[first - 1] if first else 0):
        theirs.append(text)
        last = bisect.bisect_left(ends, end + moved)
        if end >= len(post) - tail and last < len(ends) and ends[last] == end + moved:
            return ours[:first], ours[first : last + 1], theirs, ours[last + 1 :]
    return ours[:first], ours[first:], theirs, []


def _common(one: bytes, other: bytes) -> int:
    """How many bytes both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def split(source: bytes) -> Iterator[bytes]:
    """The top-level declarations of a preprocessed source, and directives that are left in it, each for itself."""
    return (text for text, _end in _parts(source))


def _parts(source: bytes, start: int = 0) -> Iterator[tuple[bytes, int]]:
    """The same from ``start``, where one ended, with the place where each ends."""
    depth = first_brace = 0
    for match in _TOKEN.finditer(source, start):
        token = source[match.start()]
        if token == 0x7B:  # {
            if not depth:
                first_brace = match.start()
            depth += 1
        elif token == 0x7D:  # }
            depth -= 1
            if not depth and is_function(source[start:first_brace]):
                yield source[start : match.end()].strip(), match.end()
                start = match.end()
        elif token == 0x3B and not depth:  # ;
            yield source[start : match.end()].strip(), match.end()
            start = match.end()
        elif token == 0x23 and not depth:  # a directive
            if source[start : match.start()].strip():
                continue  # inside a declaration: it stays a part of it
            yield match.group(), match.end()
            start = match.end()
    rest = source[start:].strip()
    if rest:
        yield rest, len(source)


def is_function(head: bytes) -> bool:
    """Whether what stands before a brace is a function's head, not a type's or an initialiser's."""
    head = without_attributes(head)
    return b"(" in head and b"=" not in head and not _TYPE.fullmatch(head)


def without_attributes(text: bytes) -> bytes:
    """``text`` without ``__attribute__((...))``."""
    parts = []
    at = 0
    for match in _ATTRIBUTE.finditer(text):
        if match.start() < at:
            continue
        parts.append(text[at : match.start()])
        at = _closing(text, match.end())
    return b"".join(parts) + b" " + text[at:]


def _closing(text: bytes, start: int) -> int:
    """Where what was opened before ``start`` is closed again: behind its parenthesis, or at the end of ``text``."""
    depth = 1
    for match in _PARENTHESIS.finditer(text, start):
        depth += 1 if match.group() == b"(" else -1
        if not depth:
            return match.end()
    return len(text)


def names_of(text: bytes) -> tuple[bytes, ...] | None:
    """The names that a declaration is used by, if it leaves no trace in the object when none of them is; () if it never
    leaves one."""
    if text.startswith(b"#"):
        return None
    head, brace, _body = text.partition(b"{")
    if b"=" in without_attributes(head) or TRACE.search(head):
        return None
    if brace and text.endswith(b"}"):
        return _inline_function(without_attributes(head))
    if TRACE.search(text) or not text.endswith(b";"):
        return None
    if brace:
        return _type(text)
    if text == b";" or _FORWARD.fullmatch(text):
        return ()
    return _declared(without_attributes(text))


def _inline_function(head: bytes) -> tuple[bytes, ...] | None:
    words = set(_IDENTIFIER.findall(head))
    match = _FUNCTION.match(head)
    if b"static" not in words or not words & INLINE or match is None:
        return None
    return None if match.group(1) in _KEYWORDS else (match.group(1),)


def _type(text: bytes) -> tuple[bytes, ...] | None:
    """A definition of a struct, union or enum, without a variable; also as a typedef."""
    plain = without_attributes(text)
    if b"}" not in plain:
        return None  # the braces are an attribute's
    tail = plain[plain.rindex(b"}") + 1 : -1].strip()
    names = set(_TAG.findall(plain))
    for enumerators in _ENUMERATORS.findall(plain):
        names.update(_IDENTIFIER.findall(enumerators))
    if re.match(rb"\s*(?:__extension__\s+)?typedef\b", plain):
        if not re.fullmatch(rb"\**\s*[A-Za-z_]\w*", tail):
            return None
        names.update(_IDENTIFIER.findall(tail))
    elif tail or not _TYPE.match(plain):
        return None
    return tuple(sorted(names)) or None


def _declared(plain: bytes) -> tuple[bytes, ...] | None:
    """A prototype, a variable that is defined elsewhere, or a typedef."""
    words = _IDENTIFIER.findall(plain)
    if not words or words[0] == b"_Static_assert" or b"," in _outside(plain):
        return None
    match = _TYPEDEF.fullmatch(plain) or _FUNCTION_TYPE.fullmatch(plain) or _VARIABLE.fullmatch(plain)
    if match is None and b"typedef" not in words:
        match = _FUNCTION.match(plain)
        if match is not None and not _closes(plain[match.end(1) :]):
            return None
    if match is None or match.group(1) in _KEYWORDS:
        return None
    return (match.group(1),)


def _outside(text: bytes) -> bytes:
    """What stands outside of parentheses."""
    parts, depth, at = [], 0, 0
    for match in _PARENTHESIS.finditer(text):
        if not depth:
            parts.append(text[at : match.start()])
        depth += 1 if match.group() == b"(" else -1
        at = match.end()
    return b"".join([*parts, text[at:]])


def _closes(rest: bytes) -> bool:
    """Whether ``rest`` is one pair of parentheses with something inside that is no lone name, and the end."""
    depth = 0
    for match in _PARENTHESIS.finditer(rest):
        depth += 1 if match.group() == b"(" else -1
        if not depth:
            inside = rest[1 : match.start()].strip()
            lone = re.fullmatch(rb"[A-Za-z_]\w*", inside)
            return rest[match.end() :].strip() == b";" and bool(inside) and (lone is None or inside == b"void")
    return False
