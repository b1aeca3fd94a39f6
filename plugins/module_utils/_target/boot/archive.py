# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that a host runs at boot: one file, made of the modules that this very process runs.  Private to
rebootless.splice.

Early at boot there is no controller, so what applies updates has to be on the host.  It is a zip archive that Python
runs by itself (``python3 -m zipapp`` makes such ones), with `ENTRY` and every module of the collection that it imports.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import marshal
import typing as t
import zipfile

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

# Not only for its name: Ansible sends the modules to a host that others import.
from ansible_collections.rebootless.splice.plugins.module_utils._target.boot import program

PACKAGE = "ansible_collections.rebootless.splice.plugins.module_utils"
ENTRY = program.__name__
MAIN = f"import sys\n\nfrom {ENTRY} import main\n\nsys.exit(main(sys.argv[1:]))\n"
UNCHECKED_HASH = (1).to_bytes(4, "little")  # the flags of a cached module
EPOCH = (1980, 1, 1, 0, 0, 0)  # of every member: equal sources make equal archives


def make_archive() -> bytes:
    """The archive's bytes.  Raises ``RebootlessError`` code ``boot_archive_incomplete``."""
    sources = _closure(ENTRY)
    members: dict[str, str] = {"__main__.py": MAIN}
    compiled: dict[str, bytes] = {}
    for name, source in sources.items():
        parts = name.split(".")
        # Python looks for packages without __init__.py in archives only if these list their directories.
        members.update({"/".join([*parts[:depth], "__init__.py"]): "" for depth in range(1, len(parts))})
        path = "/".join(parts) + ".py"
        members[path] = source
        compiled[path + "c"] = _compiled(path, source)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted([*members, *compiled]):
            content = compiled[path] if path in compiled else members[path]
            archive.writestr(zipfile.ZipInfo(path, EPOCH), content)
    return buffer.getvalue()


def _compiled(path: str, source: str) -> bytes:
    """The module as Python caches it (PEP 552, unchecked), since there is no time to compile it at boot.

    Another Python than this one takes the source beside it.
    """
    # Later formats of marshal depend on who else refers to a constant; equal sources shall make equal archives.
    code = marshal.dumps(compile(source, path, "exec", dont_inherit=True), 2)
    return importlib.util.MAGIC_NUMBER + UNCHECKED_HASH + importlib.util.source_hash(source.encode()) + code


def _closure(entry: str) -> dict[str, str]:
    """The source of a module and of all of the collection's that it imports, by name."""
    found: dict[str, str] = {}
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        if name not in found:
            source = _source(name)
            if source is None:
                raise RebootlessError(
                    "boot_archive_incomplete",
                    f"The module {name} of the collection is not there to be installed.",
                    "Install the collection on the controller again.",
                    module=name,
                )
            found[name] = source
            waiting += _imports(source)
    return found


def _imports(source: str) -> list[str]:
    """The modules of the collection that a source imports: all of them with ``from … import …``."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(PACKAGE):
            inside = [f"{node.module}.{row.name}" for row in node.names]
            # A package has modules inside, a module anything else.
            names += [name for name in inside if _source(name) is not None] or [node.module]
    return names


def _source(name: str) -> str | None:
    """The source of a module that is no package, None if there is no such one."""
    try:
        found = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None
    if found is None or found.loader is None or found.submodule_search_locations is not None:
        return None
    return t.cast(t.Any, found.loader).get_source(name)
