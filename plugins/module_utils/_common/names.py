# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be the name of an update."""

from __future__ import annotations

import re

# RBL_NAME_MAX of kmod/rebootless.h; the helper module calls other versions of an update .next and .previous.
NAME = re.compile(r"(?!.*\.(next|previous))[a-z0-9][a-z0-9._-]{0,63}")


def is_name(text: object) -> bool:
    return isinstance(text, str) and NAME.fullmatch(text) is not None
