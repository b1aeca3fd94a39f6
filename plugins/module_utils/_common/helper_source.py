# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sources of the helper module: the collection's directory ``kmod``, or the archive in which a controller sends it.

A module of the collection runs from an archive of its Python files, so it cannot find ``kmod`` by itself.
"""

from __future__ import annotations

import io
import os
import posixpath
import struct
import typing as t
import zipfile
import zlib

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

SUFFIXES = (".c", ".h", ".S")
MAKEFILES = ("Kbuild", "Makefile")
NEEDED = ("Kbuild", "rebootless.h")
MAX_SIZE = 16 << 20  # bytes of all files together; they have a quarter of a megabyte
GIVE = "Give the path of the collection's directory kmod on the build host, or leave kmod out."

# What zipfile raises on damaged archives, beside its own error.
DAMAGED = (EOFError, NotImplementedError, OSError, RuntimeError, ValueError, struct.error, zlib.error)

Sources = t.Dict[str, bytes]


def read_sources(kmod: str, next_step: str = GIVE) -> Sources:
    """The source files below the directory ``kmod``, or in an archive of `pack`, by path; what a build has left in the
    directory is not among them.

    Raises ``RebootlessError`` (``no_helper_source``) with ``next_step``.
    """
    try:
        found = _below(kmod) if os.path.isdir(kmod) else _packed(kmod)
    except OSError as error:
        file = f"{error.filename}: " if error.filename not in (None, kmod) else ""
        raise _none(kmod, f"cannot be read: {file}{error.strerror}", next_step) from error
    except zipfile.BadZipFile as error:
        raise _none(kmod, f"is neither a directory nor a whole archive of one ({error})", next_step) from error
    lacks = [name for name in NEEDED if name not in found]
    if lacks:
        raise _none(kmod, f"does not hold the sources of the helper module: there is no {lacks[0]}", next_step)
    return dict(sorted(found.items()))


def pack(sources: t.Mapping[str, bytes]) -> bytes:
    """An archive (zip) of the files, from which `read_sources` has them."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(sources.items()):
            archive.writestr(name, content)
    return stream.getvalue()


def _below(root: str) -> Sources:
    found = {}
    for directory, folders, files in os.walk(root, onerror=_raise):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(directory, name)
            if _is_source(name) and os.path.isfile(path):
                with open(path, "rb") as stream:
                    found[os.path.relpath(path, root)] = stream.read()
    return found


def _packed(path: str) -> Sources:
    with open(path, "rb") as stream:
        content = stream.read(MAX_SIZE)
    try:
        return _members(content)
    except DAMAGED as error:
        raise zipfile.BadZipFile(str(error)) from error


def _members(content: bytes) -> Sources:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > MAX_SIZE:
            raise zipfile.BadZipFile("it unpacks to too much")
        for name in (member.filename for member in members):
            if name != posixpath.normpath(name) or name.startswith(("/", "../")) or not _is_source(name):
                raise zipfile.BadZipFile(f"unexpected member {name!r}")
        return {member.filename: archive.read(member) for member in members}


def _is_source(path: str) -> bool:
    name = posixpath.basename(path)
    return (name.endswith(SUFFIXES) or name in MAKEFILES) and ".mod." not in name


def _raise(error: OSError) -> None:
    raise error


def _none(kmod: str, why: str, next_step: str) -> RebootlessError:
    return RebootlessError("no_helper_source", f"{kmod} {why}.", next_step, path=kmod)
