# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What functions do to the members of objects: what they store there, ask for, initialise and use."""

from __future__ import annotations

from typing import Callable, NamedTuple

from ansible_collections.rebootless.splice.plugins.module_utils._build.members.values import Member, Parameter

# What is done with a member.  SET, CLEAR and TEST are about bits, STORE and EQUAL about all of it, MADE about what an
# object gets by the function that makes it.
SET, CLEAR, TEST, STORE, EQUAL, BOUND, INIT, USE, READ, MADE = (
    *("set", "clear", "test", "store", "equal", "bound", "init", "use", "read", "made"),
)
TAKE, GIVE = "take", "give"  # a reference to an object, or a count in it; ``words`` say how
START = "start"  # the number that a count begins with
COUNTED = (TAKE, GIVE, START)
PLAINLY = "plainly"  # how a number is counted that is no counter by its type: ``users++``
ANY = "any"  # of several bits that are asked for at once
FOLLOWED, INDEX = "follow", "index"  # what a READ value is good for, if a wrong one cannot be borne

BitFields = Callable[[Member, int, int], "list[tuple[str, int]]"]


class Fact(NamedTuple):
    """``what`` is done with ``member``.

    ``number`` are bits or a value, or which parameter has them; ``words`` the function that is called with it, or the
    shape of what is stored.
    """

    what: str
    member: Member
    number: int | Parameter | None = None
    words: str = ""


class Row(NamedTuple):
    """A fact; ``living``: the object may be one that existed before the function was called.

    ``refused``: the function fails where the object has not what is asked for.
    """

    fact: Fact
    living: bool
    refused: bool = False
