# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resized and moved constants that can be two objects: the old one for code that runs, the new one for replaced code.

That is safe only if no pointer to the old one can have been kept.  A constant of unchanged size needs no second object:
its bytes in the running kernel are exchanged during the stop (``decision/decide.py``).
"""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.correlation import Correlation
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import Piece, Pieces
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.uses import reads_in_place, uses


def split_copies(correlation: Correlation) -> list[tuple[Piece, Piece]]:
    """Parts the pairs of constants that can be two objects, and returns them: ``(pre, post)``.

    Those are resized or moved constants without pointers, of one unit, of which code only ever reads single values at
    an address that is part of the instruction, so that no register or memory ever holds the address of the old one.
    """
    copies = []
    for piece in list(correlation.pre.all):
        other = correlation.post_of(piece)
        if other is None or (piece.size == other.size and piece.lifetime == other.lifetime):
            continue
        if _is_private(correlation.pre, piece) and _is_private(correlation.post, other):
            correlation.part(piece, other)
            copies.append((piece, other))
    return copies


def _is_private(pieces: Pieces, constant: Piece) -> bool:
    if constant.kind != "data" or constant.lifetime != "constant" or constant.is_global or constant.section.is_writable:
        return False
    return not pieces.references(constant) and all(
        user.kind == "function" and user.lifetime == "text" and reads_in_place(user, r)
        for user, r in uses(pieces, constant)
    )
