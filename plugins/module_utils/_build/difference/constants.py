# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a constant that a patch changes.  Private to rebootless.splice.

Of unchanged size, its bytes in the running kernel are exchanged during the stop: everyone who has its address sees the
new ones.  That takes a constant whose running bytes the match program compares, and of which nobody has a copy
(``copies``).  A resized or moved one needs another
object, which only replaced code would see: that is safe only if nobody can have kept the address of the old one.
"""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.correlation import Correlation
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import Piece, Pieces
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.uses import reads_in_place, uses

EXCHANGE, COPY = "exchange", "copy"
# Structs that the kernel copies out of a constant into its own objects, which would keep the old contents; and where.


def split_copies(correlation: Correlation) -> list[tuple[Piece, Piece]]:
    """Parts the pairs of constants that can be two objects, and returns them: ``(pre, post)``.

    Those are resized or moved constants without pointers, of one unit, of which code only ever reads single values at
    an address that is part of the instruction: nobody holds the address of the old one.
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
