# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Third-party libraries of the build host, imported in one place; that of one architecture is in its folder.

``ansible-test sanity`` imports every file without them, so a missing library must not fail here but where it is used;
``require()`` turns it into an error that names what to install.
"""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

__all__ = (
    "MISSING",
    "cvss",
    "elf_exceptions",
    "elf_relocation",
    "elffile",
    "jinja2",
    "require",
    "unidiff",
    "zstandard",
)

MISSING: list[str] = []

try:
    from elftools.common import exceptions as elf_exceptions
    from elftools.elf import elffile
    from elftools.elf import relocation as elf_relocation
except ImportError:
    MISSING.append("pyelftools")
    elf_exceptions = elffile = elf_relocation = None
try:
    import cvss
except ImportError:
    MISSING.append("cvss")
    cvss = None
try:
    import unidiff
except ImportError:
    MISSING.append("unidiff")
    unidiff = None
try:
    import zstandard
except ImportError:
    MISSING.append("zstandard")
    zstandard = None  # type: ignore[assignment]
try:
    import jinja2
except ImportError:
    MISSING.append("jinja2")
    jinja2 = None  # type: ignore[assignment]


def require() -> None:
    """Raises ``RebootlessError`` if a library of the build host is not installed."""
    if MISSING:
        raise RebootlessError(
            "missing_library",
            f"The Python libraries {', '.join(MISSING)} are not installed for the interpreter that runs this module.",
            "Install the collection's requirements.txt into it, or set ansible_python_interpreter to one with them.",
        )
