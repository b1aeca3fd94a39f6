# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How bad a CVE is by its vector."""

from __future__ import annotations

import functools
import re

from ansible_collections.rebootless.splice.plugins.module_utils._build.host import deps

VECTOR = re.compile(rb"\bCVSS:(?P<version>3\.[01]|4\.0)/[A-Za-z:/]+")


def vector_in(text: bytes) -> str:
    """The first vector in what the CNA says; empty if there is none."""
    found = VECTOR.search(text)
    return found.group().decode() if found else ""


@functools.lru_cache(maxsize=None)
def rate(vector: str) -> tuple[float, str] | None:
    """The base score (0 to 10) and its name (``high``) of a vector; None for one that is no vector."""
    kind = deps.cvss.CVSS4 if vector.startswith("CVSS:4") else deps.cvss.CVSS3
    try:
        read = kind(vector)
    except deps.cvss.CVSSError:
        return None
    named = read.severity if vector.startswith("CVSS:4") else read.severities()[0]
    return float(read.base_score), str(named).lower()
