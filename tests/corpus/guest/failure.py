# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check says that did not hold."""

from __future__ import annotations

import typing as t


class Failure(Exception):
    """A check that did not hold: a stable ``code``, a sentence, and facts."""

    def __init__(self, code: str, sentence: str, **details: t.Any) -> None:
        super().__init__(sentence)
        self.code, self.sentence, self.details = code, sentence, details
