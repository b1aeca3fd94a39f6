# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to stand where in the module: found by following fields, and proven one after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.bodies import Body
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.refusal import not_proven
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.unit import ComparedUnit


@dataclasses.dataclass(frozen=True)
class Claim:
    """A body of a unit has to stand at a place of the module: the index of a section, and an offset in it."""

    unit: ComparedUnit
    body: Body
    place: tuple[int, int]


class Claims:
    """The claims so far; iterating over them goes on with those that are added meanwhile."""

    def __init__(self) -> None:
        self.owner: dict[tuple[int, int], Body] = {}
        self._noted: set[tuple[int, int, int]] = set()
        self._todo: list[Claim] = []

    def add(self, claim: Claim) -> None:
        """Notes where a body has to be: in one place, and nothing else there."""
        body, place = claim.body, claim.place
        here = claim.unit.placed.setdefault(id(body), place)
        if here != place and (body.area.is_writable or (body.is_code and body.names)):
            raise not_proven("it is carried twice", claim.unit.name, body.title, expected=here, found=place)
        if body.size and self.owner.setdefault(place, body) is not body:
            other = self.owner[place].title
            raise not_proven("it stands where something else does", claim.unit.name, body.title, found=other)
        if (id(body), *place) not in self._noted:
            self._noted.add((id(body), *place))
            self._todo.append(claim)

    def __iter__(self) -> Iterator[Claim]:
        while self._todo:
            yield self._todo.pop()
