# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the values in files and variables that come from elsewhere.

A value that is not what it should be is refused with the place where it stands, as in *The plan p.json, host web1, has
size: 0, which is not a number of bytes.*
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.names import NAME, VERSION
from ansible_collections.rebootless.splice.plugins.module_utils._common.value_checks import (
    HEX,
    SHA256,
    Check,
    boolean,
    filled,
    list_of,
    matches,
    or_none,
    table,
    text,
    whole,
)

# It becomes the name of a file.
PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~_-]{0,200}\.rbl\.tar\.gz")


class Value(t.NamedTuple):
    """A value that is the same in JSON; ``wanted`` says in a refusal what it should be."""

    check: Check
    wanted: str

    def read(self, value: t.Any, name: str, where: str, code: str) -> t.Any:
        if not self.check(value):
            raise wrong(code, where, f"has {name}: {value!r}, which is not {self.wanted}")
        return value

    def write(self, value: t.Any) -> t.Any:
        return value


def wrong(code: str, where: str, why: str) -> RebootlessError:
    """The refusal of a value; ``where`` begins the sentence."""
    return RebootlessError(code, f"{where} {why}.", "Correct it; docs/fleet.md has the format.", where=where)


A_NAME = Value(matches(NAME), "a name of lower-case letters, digits, dots, dashes and underscores")
A_VERSION = Value(matches(VERSION), "a version of letters, digits, dots and dashes")
A_SHA256 = Value(matches(SHA256), "64 hex digits")
A_PACKAGE = Value(matches(PACKAGE), "the name of a package file")
ANYTHING = Value(lambda value: True, "anything")
A_LIST = Value(list_of(text), "a list of strings")
A_TEXT = Value(text, "a string")
A_WORD = Value(filled, "a string with something in it")
A_FLAG = Value(boolean, "true or false")
A_COUNT = Value(whole(0), "a whole number from 0")
A_TABLE = Value(table, "a table")
A_LIST_OF_TABLES = Value(list_of(table), "a list of tables")
SECONDS = Value(whole(1), "a number of seconds")
BYTES = Value(whole(1), "a number of bytes")
HEX_DIGITS = Value(matches(HEX), "hex digits")
NUMBER_OR_NULL = Value(or_none(strict_json.is_number), "a number or null")
TEXT_OR_NULL = Value(or_none(filled), "a string with something in it, or null")
