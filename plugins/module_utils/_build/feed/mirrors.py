# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mirrors of git repositories on the build host: brought up to date, or refused as they are.

What is fetched is put aside first (``refs/rebootless/fetched``), and becomes the mirror's branches only when all of it
was found to be sound, so that a mirror that was refused is still the one of the last good run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Callable, Mapping, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.git import Done, Repository
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import failed
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

ASIDE = "refs/rebootless/fetched"
HEADS = "refs/heads"


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What to mirror: ``branches`` of the repository at ``url``, or in the bundle (a file) at that path.

    ``without`` are tags whose history is left out, ``whole`` takes all of it and no tags; ``rewritten`` accepts
    branches whose history is another one than last time.
    """

    url: str
    branches: Sequence[str]
    without: Sequence[str] = ()
    whole: bool = False
    rewritten: bool = False
    timeout: float = 3600.0

    @property
    def bundle(self) -> Path | None:
        """The bundle's path; None if it is a repository."""
        path = Path(self.url.removeprefix("file://")).expanduser()
        return path if path.is_file() else None

    @property
    def source(self) -> str:
        """The address as git takes it; only of ``file://`` it takes a part of the history."""
        if self.bundle is not None:
            return str(self.bundle.absolute())
        path = Path(self.url).expanduser()
        return f"file://{path.absolute()}" if "://" not in self.url and path.is_dir() else self.url


def bring_up_to_date(path: Path, wanted: Wanted, check: Callable[[Repository, Mapping[str, str]], None]) -> Repository:
    """Fetches what is new into the mirror at ``path``, which is made if there is none.

    ``check(mirror, tips)`` gets the newest commits by branch before they become the mirror's own, and may refuse them.

    Raises ``RebootlessError``: ``source_not_reachable``, ``branch_missing``, ``tag_missing``, ``nothing_newer``,
    ``source_damaged``, ``bundle_incomplete``, ``mirror_damaged``, ``branch_rewritten``, ``disk_full``, as ``check``.
    """
    mirror = _mirror(path)
    if wanted.bundle is not None:
        _check_bundle(mirror, wanted)
    words = _command(mirror, wanted)
    done = mirror.try_(*words, timeout=wanted.timeout)
    if done.status != 0:
        raise _cause(mirror, wanted, words, done)
    tips = {branch: mirror.commit(f"{ASIDE}/{branch}") for branch in wanted.branches}
    for branch, tip in tips.items():
        _check_history(mirror, wanted, branch, tip)
    check(mirror, tips)
    mirror.run(
        "update-ref", "--stdin", given="".join(f"update {HEADS}/{b} {tip}\n" for b, tip in tips.items()).encode()
    )
    return mirror


def _mirror(path: Path) -> Repository:
    """The repository, made or repaired: its only user holds a lock, so what a killed git left locked is not in use."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        for left in (*path.glob("*.lock"), *path.glob("refs/**/*.lock"), *path.glob("objects/pack/tmp_*")):
            with contextlib.suppress(OSError):
                os.unlink(left)
    except OSError as error:
        raise RebootlessError(
            "disk_full" if error.errno in disk.FULL else "feed_not_usable",
            f"The mirror {path} cannot be made: {error.strerror}.",
            "Free space there, or give a directory that this user can write to.",
            path=str(path),
        ) from error
    mirror = Repository(path)
    mirror.run("init", "--quiet", "--bare", ".")
    return mirror


def _command(mirror: Repository, wanted: Wanted) -> list[str]:
    words = ["fetch", "--quiet", "--atomic", "--no-write-fetch-head", "--no-recurse-submodules"]
    if wanted.whole:
        # A mirror of the source may have a part of the history only.
        words += ["--no-tags", "--update-shallow"]
    if wanted.bundle is None:
        words += ["--unshallow"] if wanted.whole and mirror.is_shallow() else []
        words += [f"--shallow-exclude={tag}" for tag in wanted.without]
    return [*words, "--", wanted.source, *(f"+{HEADS}/{branch}:{ASIDE}/{branch}" for branch in wanted.branches)]


def _check_bundle(mirror: Repository, wanted: Wanted) -> None:
    words = ("bundle", "verify", wanted.source)
    done = mirror.try_(*words)
    if done.status == 0:
        return
    lacks = "prerequisite" in done.errors
    raise failed(
        ["git", *words],
        done.status,
        done.errors,
        "bundle_incomplete" if lacks else "source_damaged",
        f"The bundle {wanted.url} needs commits that the mirror has not."
        if lacks
        else f"{wanted.url} is no sound git bundle.",
        "Make the bundle from the newest commit that the mirror has, or of the whole history.",
    )


def _cause(mirror: Repository, wanted: Wanted, words: Sequence[str], done: Done) -> RebootlessError:
    """Why a fetch failed; asked at both ends, since git says the same of several causes."""
    command = ["git", *words]
    if mirror.is_full(done):
        return mirror.full(words, done)
    asked = [f"{HEADS}/{branch}" for branch in wanted.branches]
    listed = mirror.try_("ls-remote", "--", wanted.source, *asked, timeout=min(wanted.timeout, 120.0))
    if listed.status != 0:
        code, sentence = "source_not_reachable", f"{wanted.url} cannot be read."
        next_step = "Check the address, the network and the proxy, or name another mirror or a git bundle."
        return failed(command, done.status, listed.errors, code, sentence, next_step)
    there = {line.split("\t")[1] for line in listed.output.decode(errors="replace").splitlines() if "\t" in line}
    missing = [name[len(HEADS) + 1 :] for name in asked if name not in there]
    if missing:
        code, sentence = "branch_missing", f"{wanted.url} has no branch {' and no branch '.join(missing)}."
        next_step = "Name the branches that this mirror has."
    elif "deepen-not" in done.errors:
        code, sentence = "tag_missing", f"{wanted.url} lacks one of the tags {', '.join(wanted.without)}."
        next_step = "Have the mirror take tags as well, or name kernels of which it has the tags."
    elif "no commits selected" in done.errors:
        code, sentence = "nothing_newer", f"{wanted.url} has nothing newer than {', '.join(wanted.without)}."
        next_step = "The mirror is older than the kernels of the fleet: bring it up to date."
    elif mirror.try_("fsck", "--connectivity-only", "--no-dangling", "--no-progress").status != 0:
        return mirror.damaged(words, done)
    else:
        code, sentence = "source_damaged", f"{wanted.url} answers, but nothing can be fetched from it."
        next_step = "Run git fsck on the mirror that it is, or name another one."
    return failed(command, done.status, done.errors, code, sentence, next_step)


def _check_history(mirror: Repository, wanted: Wanted, branch: str, tip: str) -> None:
    old = mirror.commit(f"{HEADS}/{branch}")
    if not old or wanted.rewritten or old == tip:
        return
    if mirror.try_("merge-base", "--is-ancestor", old, tip).status != 0:
        raise RebootlessError(
            "branch_rewritten",
            f"The branch {branch} of {wanted.url} does not go on from {old[:12]}, where it was, to {tip[:12]}.",
            "Find out why: published branches are not rewritten. If it is right, accept it once (accept_rewritten).",
            branch=branch,
            was=old,
            is_now=tip,
        )
