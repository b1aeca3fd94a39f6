# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that were written by others, brought into the shape that is expected.

A report shows what hosts say, and a host may be broken or hostile.  If it answers with a list for its release, or with
control characters in a sentence, the report is still made, each value has its type, and no text can hide, reorder or
break what stands around it.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import strict_json

# C0 and C1 controls, and the invisible characters that reorder or join text (Unicode UAX 9, bidirectional controls).
UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
LONGEST = 2000  # characters of one text


def text(value: object, longest: int = LONGEST) -> str:
    """The value as one line of visible text; "" for None; cut with an ellipsis at ``longest`` characters."""
    if value is None:
        return ""
    shown = UNSEEN.sub(" ", str(value)[: longest + 1]).strip()
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def number(value: object, otherwise: float = 0) -> float:
    """The value if it is a finite number, ``otherwise`` if not."""
    return (
        value if isinstance(value, (int, float)) and strict_json.is_number(value) and abs(value) < 1e18 else otherwise
    )


def mapping(value: object) -> dict[str, t.Any]:
    """The value if it is a dictionary, an empty one if not."""
    return value if isinstance(value, dict) else {}


def rows(value: object) -> list[dict[str, t.Any]]:
    """The dictionaries of a list."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def texts(value: object) -> list[str]:
    """The strings of a list, as ``text`` has them, empty ones left out."""
    return [shown for shown in map(text, value) if shown] if isinstance(value, (list, tuple)) else []
