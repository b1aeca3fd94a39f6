# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A digest of the collection's own code, so that another release does not find this one's builds."""

from __future__ import annotations

import functools

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import sha256_of
from ansible_collections.rebootless.splice.plugins.module_utils._common import imports


@functools.lru_cache(maxsize=None)
def source_digest(module: str) -> str:
    """SHA-256 over the sources of ``module`` and of all modules of this collection that it imports, directly or not."""
    return sha256_of(*(part for item in sorted(imports.sources(module).items()) for part in item))
