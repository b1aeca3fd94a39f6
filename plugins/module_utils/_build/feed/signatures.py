# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who signed the tags of releases: a mirror can change all that it has, but cannot make such a signature."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, Mapping

from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.git import Repository
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.stable import TAG
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import failed, require_tools, run
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

VALID = re.compile(r"^\[GNUPG:\] VALIDSIG (?P<fingerprint>[0-9A-F]{40,64}) ", re.MULTILINE)
NOT_CHECKED = "not checked"
NOT_SIGNED = "not signed"
SIGNATURE = b"\n-----BEGIN PGP SIGNATURE-----\n"


def check_tags(mirror: Repository, keys: Path | None, known: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """For each release its tag's object, and the fingerprint of the key that signed it.

    Those that ``known`` has are not checked again.  ``keys`` is a file of OpenPGP public keys.  Without it
    signatures are only looked for: ``NOT_CHECKED`` where there is one, ``NOT_SIGNED`` where there is none.

    Raises ``RebootlessError``: with ``keys`` for every tag without a good signature by one of them
    (``tag_signature_wrong``); ``keys_not_usable``, ``missing_tool``.
    """
    listed = mirror.run("for-each-ref", "--format=%(objectname) %(objecttype) %(refname:short)", "refs/tags/v*")
    rows = [line.split(" ", 2) for line in listed.decode().splitlines() if TAG.fullmatch(line.split(" ", 2)[2])]
    tags = [(name, kind, tag[1:]) for name, kind, tag in rows]
    checked = {
        version: row for version, row in known.items() if keys is None or row[1] not in (NOT_CHECKED, NOT_SIGNED)
    }
    found = {version: checked[version] for name, _kind, version in tags if checked.get(version, ("",))[0] == name}
    new = [row for row in tags if row[2] not in found]
    if keys is None or not new:
        for name, kind, version in new:
            signed = kind == "tag" and SIGNATURE in mirror.run("cat-file", "tag", name)
            found[version] = [name, NOT_CHECKED if signed else NOT_SIGNED]
        return found
    home = tempfile.mkdtemp(prefix="rebootless-keys-")
    try:
        _read_keys(keys, home)
        for name, _kind, version in new:
            found[version] = [name, _signer(mirror, name, version, home)]
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return found


def _read_keys(keys: Path, home: str) -> None:
    require_tools("gpg")
    run(
        ["gpg", "--homedir", home, "--batch", "--quiet", "--import", keys],
        "keys_not_usable",
        f"The public keys in {keys} cannot be read.",
        "Give a file that gpg --export wrote.",
    )


def _signer(mirror: Repository, name: str, version: str, home: str) -> str:
    words = ("verify-tag", "--raw", name)
    done = mirror.try_(*words, GNUPGHOME=home)
    valid = VALID.search(done.errors)
    # The name is a part of what is signed: else an old release could be passed off as a new one.
    named = f"\ntag v{version}\n".encode() in mirror.run("cat-file", "-p", name).partition(b"\n\n")[0] + b"\n"
    if done.status == 0 and valid and named:
        return valid["fingerprint"]
    raise failed(
        ["git", *words],
        done.status,
        done.errors,
        "tag_signature_wrong",
        f"The tag v{version} has no good signature of a key that is trusted.",
        "Find out why before you use this mirror; then remove what was fetched of it, or add a new signer's key.",
        version=version,
        mirror=str(mirror.path),
    )


def summary(signers: Mapping[str, list[str]]) -> dict[str, Any]:
    """How many tags each signer signed, for people."""
    counts: dict[str, int] = {}
    for _name, said in signers.values():
        counts[said] = counts.get(said, 0) + 1
    return dict(sorted(counts.items()))


def demand_keys(keys: str | None) -> Path | None:
    """The file of keys, if one is given.  Raises ``RebootlessError`` (``keys_not_usable``)."""
    if not keys:
        return None
    path = Path(keys).expanduser()
    if not path.is_file():
        raise RebootlessError("keys_not_usable", f"There is no file {path}.", "Give a file that gpg --export wrote.")
    return path
