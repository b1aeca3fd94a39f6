# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reader of update packages (docs/formats.md, *Package*).

A package comes from elsewhere and ends in the kernel, so nothing of it is believed before it is checked: the digest of
the whole file, the gzip frame with its CRC, every tar header, the list of members, each member's SHA-256, the types of
the manifest.
The file is read once, and what was checked is what is used.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import typing as t
import zlib

from ansible_collections.rebootless.splice.plugins.module_utils._common import strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.names import NAME, VERSION
from ansible_collections.rebootless.splice.plugins.module_utils._common.value_checks import (
    HEX,
    SHA256,
    Check,
    filled,
    list_of,
    matches,
    table,
    text,
)

SUFFIX = ".rbl.tar.gz"
FORMAT = 2
MANIFEST = "manifest.json"
MEMBERS = ("update.ko", "rebootless.ko", "libmatch.so")  # and program_member() of each of the manifest's objects
INIT = ":init"  # behind a module's name: its init code, which is there only while the module is being loaded
OBJECT = re.compile(rf"[A-Za-z0-9_]{{1,55}}({INIT})?")  # vmlinux, or the kernel's name of a module: MODULE_NAME_LEN
PROGRAM = re.compile(r"match/[A-Za-z0-9_]{1,55}(\.init)?\.bin")
MAX_FILE = 64 << 20  # bytes of a package; the largest real ones have a few hundred kilobytes
MAX_UNPACKED = 256 << 20  # bytes of all members together: a bound on what a crafted gzip stream can occupy
# RFC 1952: magic, deflate, no flags, no time, slowest, unknown system.  gzip's CRC does not cover these bytes.
GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
BLOCK = 512  # bytes, of a tar file
OCTAL = re.compile(rb"[0-7]{11}[\0 ]")  # a size in a header of POSIX.1-1988 (ustar)


COPY_AGAIN = "Copy the package from the build host again; if the build host's own copy is refused too, build it again."


class Package:
    """A checked package: ``manifest`` (dict as in docs/formats.md), ``files`` (name: bytes), ``sha256`` of the whole
    file, ``content`` (its bytes)."""

    def __init__(self, path: str, content: bytes, sha256: str, manifest: dict, files: dict[str, bytes]) -> None:
        self.path = path
        self.content = content
        self.sha256 = sha256
        self.manifest = manifest
        self.files = files

    @property
    def name(self) -> str:
        return self.manifest["name"]

    @property
    def version(self) -> str:
        return self.manifest["version"]

    @property
    def programs(self) -> dict[str, bytes]:
        """The match program of each object that the update changes."""
        return {name: self.files[program_member(name)] for name in self.manifest["objects"]}

    @property
    def digest(self) -> str:
        """Names the build, as the helper module shows it; not the digest of the package file."""
        return self.manifest["digest"]


def program_member(object_name: str) -> str:
    """The member with an object's match program."""
    return f"match/{object_name.replace(':', '.')}.bin"


def read_package(path: str, sha256: str | None = None) -> Package:
    """Reads and checks the package at ``path``; ``sha256`` is the digest that the file must have, in hex.

    Raises ``RebootlessError`` with code ``package_missing``, ``package_digest_mismatch``, ``package_damaged``,
    ``package_unsafe`` or ``package_format``.
    """
    try:
        with open(path, "rb") as stream:
            content = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise RebootlessError(
            "package_missing",
            f"The package {path} cannot be read: {error.strerror}.",
            "Copy the package to the host first, and give its path there.",
            path=path,
        ) from error
    return parse_package(path, content, sha256)


def parse_package(path: str, content: bytes, sha256: str | None = None) -> Package:
    """Checks a package whose bytes are at hand; ``path`` is for messages.  Errors as for :func:`read_package`."""
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256.lower():
        raise RebootlessError(
            "package_digest_mismatch",
            f"The package {path} has another SHA-256 than the one that was asked for.",
            "Give the digest that update_build returned for this package, or copy the package again.",
            path=path,
            expected=sha256.lower(),
            found=found,
        )
    if len(content) > MAX_FILE:
        raise _damaged(path, f"it is larger than {MAX_FILE} bytes")
    members = _members(path, _inflate(path, content))
    if not members or members[0][0] != MANIFEST:
        raise _damaged(path, f"{MANIFEST} is not its first member")
    files = dict(members[1:])
    manifest = _manifest(path, members[0][1])
    wanted = {*MEMBERS, *map(program_member, manifest["objects"])}
    _check_files(path, manifest["files"], files, wanted)
    return Package(path, content, found, manifest, files)


def _damaged(path: str, why: str) -> RebootlessError:
    return RebootlessError("package_damaged", f"The package {path} is damaged: {why}.", COPY_AGAIN, path=path)


def _unsafe(path: str, why: str) -> RebootlessError:
    return RebootlessError(
        "package_unsafe",
        f"The package {path} was not made by update_build: {why}.",
        "Do not use it, and find out where it comes from; packages are only made by update_build.",
        path=path,
    )


def _inflate(path: str, content: bytes) -> bytes:
    if content[: len(GZIP_HEADER)] != GZIP_HEADER[: len(content)]:
        raise _damaged(path, "it does not begin like a package")
    inflater = zlib.decompressobj(wbits=31)
    try:
        data = inflater.decompress(content, MAX_UNPACKED)
    except zlib.error as error:
        raise _damaged(path, f"its compressed data is corrupt ({error})") from error
    if inflater.unconsumed_tail and not inflater.eof:
        raise _unsafe(path, f"it unpacks to more than {MAX_UNPACKED} bytes")
    if not inflater.eof:
        raise _damaged(path, "it is truncated")
    if inflater.unused_data:
        raise _damaged(path, "data follows its end")
    return data


def _members(path: str, data: bytes) -> list[tuple[str, bytes]]:
    """Name and content of each member, in order.  Only plain regular files with expected names, each once."""
    members: list[tuple[str, bytes]] = []
    _check_headers(path, data)
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                if not member.isreg() or member.issparse():
                    raise _unsafe(path, f"its member {member.name!r} is no regular file")
                if member.name not in (MANIFEST, *MEMBERS) and not PROGRAM.fullmatch(member.name):
                    raise _unsafe(path, f"it has an unexpected member {member.name!r}")
                if member.name in (name for name, _content in members):
                    raise _unsafe(path, f"it has the member {member.name!r} twice")
                stream = archive.extractfile(member)
                body = stream.read() if stream else b""
                if len(body) != member.size:
                    raise _damaged(path, f"its member {member.name!r} is truncated")
                members.append((member.name, body))
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
        raise _damaged(path, f"its archive is corrupt ({error})") from error
    return members


def _check_headers(path: str, data: bytes) -> None:
    """Refuses every header that update_build does not write, before ``tarfile`` follows it.

    That reads a thousand extended headers in a row by a thousand calls of itself, and in some releases of Python a
    negative size leads it back to where it was.
    """
    at = 0
    while data[at : at + BLOCK].strip(b"\0"):
        size, kind = data[at + 124 : at + 136], data[at + 156 : at + 157]
        if kind not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise _unsafe(path, "a member of it is no regular file")
        if not OCTAL.fullmatch(size):
            raise _damaged(path, "its archive is corrupt (the size of a member is no number)")
        at += BLOCK + (int(size[:11], 8) + BLOCK - 1) // BLOCK * BLOCK


def _rows(*keys: str) -> Check:
    """A list of tables with text under these keys."""
    return list_of(lambda row: table(row) and all(text(row.get(key)) for key in keys))


def _objects(value: t.Any) -> bool:
    return list_of(matches(OBJECT))(value) and 0 < len(value) == len(set(value))


# What the target relies on in a manifest: path of keys, check, what it should be.
MANIFEST_FIELDS: tuple[tuple[tuple[str, ...], Check, str], ...] = (
    (("name",), matches(NAME), "a name of lower-case letters, digits, dots, dashes and underscores"),
    (("version",), matches(VERSION), "a version of letters, digits, dots and dashes"),
    (("digest",), matches(SHA256), "64 hex digits"),
    (("cves",), list_of(text), "a list of strings"),
    (("kernel", "release"), text, "a string"),
    (("kernel", "build_id"), matches(HEX), "hex digits"),
    (("kernel", "version"), text, "a string"),
    (("kernel", "arch"), text, "a string"),
    (("objects",), _objects, "a list of names of objects, each once"),
    (("functions",), _rows("name", "unit", "change"), "a list of functions"),
    (("files",), table, "a table of files"),
)
SIGNER = ("subject", "fingerprint", "key_id", "hash")  # what a signed package says of who signed its modules


def _manifest(path: str, content: bytes) -> dict:
    try:
        manifest = strict_json.parse(content)
    except ValueError as error:
        raise _damaged(path, f"{MANIFEST} is no JSON ({error})") from error
    if not isinstance(manifest, dict) or "format" not in manifest:
        raise _damaged(path, f"{MANIFEST} is no manifest")
    if not strict_json.is_same(manifest["format"], FORMAT):
        raise RebootlessError(
            "package_format",
            f"The package {path} has format {manifest['format']!r}; this release of the collection reads {FORMAT}.",
            "Use the release of the collection that built the package, or build it again with this one.",
            path=path,
        )
    for keys, check, wanted in MANIFEST_FIELDS:
        value: object = manifest
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if not check(value):
            raise _damaged(path, f"{'.'.join(keys)} of its manifest is not {wanted}")
    signer = manifest.get("signer")
    if "signer" in manifest and not (isinstance(signer, dict) and all(filled(signer.get(key)) for key in SIGNER)):
        raise _damaged(path, "signer of its manifest is not a signer")
    return manifest


def _check_files(path: str, listed: dict, files: dict[str, bytes], wanted: set[str]) -> None:
    if not set(listed) == set(files) == wanted:
        missing = sorted(wanted - set(files)) or sorted((set(listed) | wanted) ^ set(files))
        raise _damaged(path, f"members and manifest do not agree on {', '.join(missing)}")
    for name, content in files.items():
        row = listed[name] if isinstance(listed[name], dict) else {}
        if (
            not strict_json.is_same(row.get("size"), len(content))
            or row.get("sha256") != hashlib.sha256(content).hexdigest()
        ):
            raise _damaged(path, f"its member {name!r} differs from the manifest")
