# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that a host runs at boot: one file, made of the modules that this very process runs.

Early at boot there is no controller, so what applies updates has to be on the host.  It is a zip archive that Python
runs by itself (``python3 -m zipapp`` makes such ones), with `ENTRY` and every module of the collection that it imports.
"""

from __future__ import annotations

import importlib.util
import io
import marshal
import zipfile

from ansible_collections.rebootless.splice.plugins.module_utils._common import imports
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

# Not only for its name: Ansible sends the modules to a host that others import.
from ansible_collections.rebootless.splice.plugins.module_utils._target.boot import program

ENTRY = program.__name__
MAIN = f"import sys\n\nfrom {ENTRY} import main\n\nsys.exit(main(sys.argv[1:]))\n"
UNCHECKED_HASH = (1).to_bytes(4, "little")  # the flags of a cached module
EPOCH = (1980, 1, 1, 0, 0, 0)  # of every member: equal sources make equal archives


def make_archive(main: str = MAIN, *entries: str) -> bytes:
    """The bytes of an archive that runs ``main``, which imports the modules ``entries`` (``ENTRY`` if none is given).

    Raises ``RebootlessError`` code ``boot_archive_incomplete``.
    """
    members: dict[str, str] = {"__main__.py": main}
    compiled: dict[str, bytes] = {}
    for name, source in _sources(*(entries or (ENTRY,))).items():
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
    # Later formats of marshal count the references to a constant, which differ from process to process; equal sources
    # have to make equal archives.
    code = marshal.dumps(compile(source, path, "exec", dont_inherit=True), 2)
    return importlib.util.MAGIC_NUMBER + UNCHECKED_HASH + importlib.util.source_hash(source.encode()) + code


def _sources(*entries: str) -> dict[str, str]:
    try:
        return imports.sources(*entries)
    except ModuleNotFoundError as error:
        raise RebootlessError(
            "boot_archive_incomplete",
            f"The module {error.name} of the collection is not there to be installed.",
            "Install the collection on the controller again.",
            module=error.name,
        ) from error
