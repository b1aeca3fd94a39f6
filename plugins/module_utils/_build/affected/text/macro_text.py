# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Macros as they stand in a source's text: their parameters and bodies, and the arguments of a call."""

from __future__ import annotations

import re
from typing import Iterable, Mapping

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.source_items import (
    DEFINE,
    Item,
    defined,
)

_DEFINED = re.compile(rb"^[ \t]*#[ \t]*define[ \t]+(\w+)(?!\w|\()([^\n]*)", re.MULTILINE)
_LONGEST = 20_000  # bytes of a macro's arguments
_VARIADIC = re.compile(rb",\s*##")  # takes a comma away where nothing follows
OPENING = re.compile(rb"\s*\(")
_BREAK = re.compile(rb"[(),]")
_ABOUT_MACROS = re.compile(rb"^[ \t]*#[ \t]*(?:undef|ifdef|ifndef)\b[^\n]*", re.MULTILINE)
_REST = b"__VA_ARGS__"
_LITERAL = re.compile(rb'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'')
# What, behind the name of a macro with parameters, says that it is not called there.  Anything but these may go: a
# parenthesis or comma ends an argument, a word may be a macro that is replaced first.
_NO_CALL = re.compile(rb"\s*[]\[;{}=+\-*/%<>&|^!?:.~\"']")


def plain_macros(texts: Iterable[bytes]) -> dict[bytes, list[bytes]]:
    """Macros without parameters -> themselves and the words that they may be; nothing if they may be more."""
    found: dict[bytes, list[bytes]] = {}
    for text in texts:
        for name, body in _DEFINED.findall(text):
            word = body.strip()
            words = found.setdefault(name, [name])
            if words and word not in words:
                found[name] = [*words, word] if re.fullmatch(rb"\w+", word) else []
    # What they are may be a macro again.
    return {name: words if not any(w in found for w in words[1:]) else [] for name, words in found.items()}


def macro_parameters(parameters: bytes) -> dict[bytes, int]:
    """A macro's parameters -> their numbers; below zero if all that follows belongs to it (-1 is the first)."""
    found = {}
    for number, name in enumerate(part.strip() for part in parameters.strip(b"()").split(b",")):
        if name.endswith(b"..."):
            found[name.removesuffix(b"...").strip() or _REST] = -number - 1
        elif name:
            found[name] = number
    return found


def macro_bodies(text: bytes) -> tuple[list[tuple[bytes, Mapping[bytes, int], bytes]], bytes]:
    """(macro, parameters, body) of what a source defines; and the rest of it."""
    found: list[tuple[bytes, Mapping[bytes, int], bytes]] = []
    for match in DEFINE.finditer(text):
        name, parameters, body = defined(Item(b"define", match[1], ()))
        found.append((name, macro_parameters(parameters), without_commas(body)))
    return found, _ABOUT_MACROS.sub(b"", DEFINE.sub(b"", text))


def without_literals(text: bytes) -> bytes:
    """``text`` with the insides of strings and characters left blank: no word there is a macro."""
    return _LITERAL.sub(lambda match: b'"%s"' % (b" " * (len(match.group()) - 2)), text)


def is_no_call(text: bytes, at: int) -> bool:
    """Whether a macro with parameters, whose name ends there, is certainly not called, such as ``x`` in ``type x;``."""
    return _NO_CALL.match(text, at) is not None


def without_commas(body: bytes) -> bytes:
    """A macro's body without the ``##`` of ``, ##__VA_ARGS__``, which pastes no name."""
    return _VARIADIC.sub(b",", body).strip()


def split_arguments(text: bytes, at: int) -> tuple[list[bytes], int]:
    """The arguments in the parentheses that follow there, and where these end; 0 if there are none or they do not."""
    opening = OPENING.match(text, at)
    if not opening:
        return [], 0
    arguments, depth, start = [], 1, opening.end()
    for mark in _BREAK.finditer(text, start, start + _LONGEST):
        depth += {b"(": 1, b")": -1}.get(mark.group(), 0)
        if not depth or (depth == 1 and mark.group() == b","):
            arguments.append(text[start : mark.start()].strip())
            start = mark.end()
        if not depth:
            return arguments, mark.end()
    return [], 0
