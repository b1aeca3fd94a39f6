# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A digest of the collection's own code, so that another release does not find this one's builds.

Private to rebootless.splice.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from typing import Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import sha256_of

# Imports inside the collection are absolute, as the formatter writes them.
_IMPORT = re.compile(
    r"^\s*from (?P<module>ansible_collections\.rebootless\.splice\.[\w.]+) import (?P<names>\([^)]*\)|[^\n(]+)$",
    re.MULTILINE,
)


@functools.lru_cache(maxsize=None)
def source_digest(module: str) -> str:
    """SHA-256 over the sources of ``module`` and of all modules of this collection that it imports, directly or not.

    Works wherever Python finds the modules: in a checkout, an installed collection, or the archive in which Ansible
    ships them to a host.
    """
    sources: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in sources:
            sources[name] = _source(name)
            waiting += [imported for imported in _imports(sources[name]) if _source(imported)]
    return sha256_of(*(part for item in sorted(sources.items()) for part in item))


@functools.lru_cache(maxsize=None)
def _source(name: str) -> str:
    """The module's source; empty if there is no module of that name."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return ""
    loader = spec.loader if spec else None
    get_source = getattr(loader, "get_source", None)
    return (get_source(name) or "") if get_source else ""


def _imports(source: str) -> Iterator[str]:
    """Names of modules that ``source`` may import; what is none of them has no source."""
    for match in _IMPORT.finditer(source):
        yield match["module"]
        for name in re.findall(r"\w+", match["names"]):
            yield f"{match['module']}.{name}"
