# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception of the collection's logic.

Modules catch it once, in ``main()``, and hand its parts to ``fail_json``.
"""

from __future__ import annotations


class RebootlessError(Exception):
    """A refusal: what is wrong, where, why, and what to do next.

    ``code`` is the stable lower-case identifier that operators script against, ``sentence`` says what is wrong,
    ``next_step`` what to do; ``details`` holds JSON-able facts (unit, function, address, the tool's output, ...).
    """

    def __init__(self, code, sentence, next_step="", **details):
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.next_step = next_step
        self.details = details

    def __str__(self):
        return f"{self.sentence} {self.next_step}".strip()

    def result(self):
        """The keyword arguments for ``fail_json``."""
        return {
            "msg": str(self),
            "code": self.code,
            "sentence": self.sentence,
            "next_step": self.next_step,
            "details": self.details,
        }
