# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the unpatched source of a unit reads and uses, as the preprocessor says it; learnt once, asked by every patch.

The preprocessed source is printed with each macro that was expanded or asked for (``gcc -E -P -dU``).  So it is known
of a unit for good which macros mattered to it, and which names what counts in it uses (declarations.py); a change of a
header that goes by other names is none of its business, and the patched header is not preprocessed to find that
out.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from typing import AbstractSet as Set

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.declarations import Comparer
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.item_names import HeaderChange

# As lines of their own, between the lines of the source: "#define NAME ..." of a macro that was expanded or asked for,
# "#undef NAME" of one that was asked for and not there.
FLAGS = ("-P", "-dU")
_MACRO = re.compile(rb"^#(?:define|undef) (\w+)[^\n]*\n?", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Reading:
    """``digest`` is of the preprocessed text, ``macros`` and ``used`` are names with a line end before and behind each:
    the macros that were expanded or asked for, and the identifiers of all that counts."""

    digest: str
    macros: bytes
    used: bytes

    @classmethod
    def of(cls, printed: bytes, comparer: Comparer) -> Reading:
        """The reading of what the preprocessor ``printed`` with ``FLAGS``."""
        text = text_of(printed)
        return cls(digest_of(text), _lines(set(_MACRO.findall(printed))), _lines(comparer.used(text)))

    def to_bytes(self) -> bytes:
        """For ``from_bytes``."""
        return b"\0".join((self.digest.encode(), self.macros, self.used))

    @classmethod
    def from_bytes(cls, data: bytes) -> Reading:
        """The reading that ``to_bytes`` wrote.  Raises ``ValueError``."""
        digest, macros, used = data.split(b"\0")
        return cls(digest.decode(), macros, used)

    def is_left_alone(self, change: HeaderChange) -> bool:
        """Whether the patched source certainly compiles to the same as the unpatched one, whose reading this is.

        ``change`` is all that changes in the headers that the unit reads.  Its pieces are only macros, types, inline
        functions and declarations.

        A macro that the unit neither expands nor asks for (``#ifdef``, ``#if``) may have any other definition: the
        preprocessor prints the same.  That does not hold for one that was not there before: its name may stand in
        the source and mean nothing yet, or be made and taken apart again by other macros; nor where an object-like
        macro takes the place of one with parameters, whose bare name was no use of it.

        All else that changes is declarations that leave no trace by themselves.  What counts does not use their names,
        so the same counts before and after, in the same order.  It does not matter how far a name has come: the text
        is what macros made of it, so one that is used only through a macro, or put together by ``##``, stands in it.
        If such a name is a macro in this unit, it declares something else, and the unit is not left alone.
        """
        if change.appearing:
            return False
        return not any(b"\n%s\n" % name in part for name in change.names for part in (self.macros, self.used))


def text_of(printed: bytes) -> bytes:
    """What the preprocessor printed with ``FLAGS``, without the macros."""
    return _MACRO.sub(b"", printed)


def digest_of(text: bytes) -> str:
    """SHA-256 of a preprocessed text, hex."""
    return hashlib.sha256(text).hexdigest()


def _lines(words: Set[bytes]) -> bytes:
    return b"\n".join((b"", *sorted(words), b""))
