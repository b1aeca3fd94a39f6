# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Debian's changelog says of each version of its kernel: titles of commits, and the CVEs that they name.

    linux (6.1.187-1) bookworm-security; urgency=high

      * New upstream stable update:
        https://www.kernel.org/pub/linux/kernel/v6.x/ChangeLog-6.1.181
        - [x86] bugs: Make Safe-RET robust against interrupt injection
        - af_unix: Set gc_in_progress to true in unix_gc(). (CVE-2026-53361)
      * net/sched: act_pedit: check static offsets a priori          (a patch of Debian's own)

What stands below a ``ChangeLog-`` is a commit of that stable release.
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import Any, Iterable, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian import packages
from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian.apt import Apt, DebianPackage
from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian.archive import unpack_package
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.deps import MISSING
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

try:
    from debian import changelog
except ImportError:
    MISSING.append("python-debian")
    changelog = None

STABLE = re.compile(r"https?://\S*/ChangeLog-(?P<version>\d+(\.\d+)+)$")
ITEM = re.compile(r"^(?P<indent> +)(?P<sign>[*-]) (?P<text>.*)$")
CVE = re.compile(r"CVE-\d{4}-\d{4,19}")
# [x86], [arm64,armhf]: Debian's mark, in place of the title's own ``x86/`` where it begins so.
MARKS = re.compile(r"^(?:\[[^\]]*\]\s*)+")
NAMED = re.compile(r"\s*\((?:(?:CVE-\d+-\d+|Closes: #\d+(?:, #\d+)*)[,; ]*)+\)")


class DebianChangelogs:
    """The changelogs of the kernel packages that apt offers; ``extra`` are further apt sources."""

    def __init__(self, cache: Cache, extra: Sequence[str] = ()) -> None:
        self._cache = cache
        self._apt = Apt(cache, extra)

    def newest(self, series: str) -> DebianPackage:
        """The package with the newest changelog of a series.  Raises ``RebootlessError`` (``package_not_found``)."""
        names = sorted(self._apt.names(packages.with_changelog(series)), key=packages.by_version)
        if not names:
            raise RebootlessError(
                "package_not_found",
                f"apt offers no kernel package of the series {series}.",
                "Run apt-get update on the build host, or give the changelogs as files.",
            )
        return self._apt.find(names[-1])

    def text(self, package: DebianPackage) -> str:
        """The changelog in a package, which is downloaded and verified by apt."""
        file = self._apt.fetch(package)
        with self._cache.lock(f"look/{file.parent.name}"), self._cache.making("look", file.parent.name) as directory:
            unpack_package(file, directory, leave_out=("./usr/lib", "./usr/bin", "./usr/src", "./lib", "./boot"))
            for path in sorted(directory.glob("usr/share/doc/*/changelog*.gz")):
                return read_file(path)
        raise RebootlessError("bad_package", f"{package} has no changelog.", "Give the changelogs as files.")


def read_file(path: Path) -> str:
    """The text of a changelog, compressed or not.  Raises ``RebootlessError`` (``changelog_not_readable``)."""
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        return content.decode("utf-8")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise RebootlessError(
            "changelog_not_readable",
            f"The changelog {path} cannot be read: {error}.",
            "Give the changelog of a kernel package, as it is in /usr/share/doc.",
        ) from error


def uploads(text: str, series: str) -> list[dict[str, Any]]:
    """What each version of the series brought, newest first.

    A row has ``version``, ``date``, and ``entries``: lists of a title as Debian has it, the CVEs that it names, and the
    stable release that it came with, which is empty for Debian's own patches.

    Raises ``RebootlessError`` (``changelog_not_readable``) for what is no changelog, or has nothing of the series.
    """
    try:
        found = [
            {"version": str(block.version), "date": block.date or "", "entries": list(_entries(block.changes()))}
            for block in changelog.Changelog(text, strict=True)
            if f"{block.version.upstream_version}.".startswith(f"{series}.")
        ]
    except (changelog.ChangelogParseError, ValueError) as error:  # the latter for what is no version
        raise _no_changelog(f"It is none of a Debian package ({error}).") from error
    if not found:
        raise _no_changelog(f"It says nothing of the series {series}.")
    return found


def _no_changelog(sentence: str) -> RebootlessError:
    return RebootlessError(
        "changelog_not_readable",
        f"A changelog is not that of a kernel package. {sentence}",
        "Give the changelog of a kernel package, as it is in /usr/share/doc.",
    )


def _entries(lines: Iterable[str]) -> Iterable[list[Any]]:
    release = ""
    text: str | None = None
    for line in [*lines, ""]:
        stable, item = STABLE.search(line), ITEM.match(line)
        if text is not None and (stable or item or not line.strip()):
            yield [text, CVE.findall(text), release]
            text = None
        if stable:
            release = stable["version"]
        elif item:
            # An item of the first level begins something else than the list of a stable release.
            release = "" if item["sign"] == "*" and len(item["indent"]) <= 2 else release
            text = item["text"]
        elif text is not None:
            text += f" {line.strip()}"


def same_title(entry: str) -> set[str]:
    """What a commit's title may look like, as ``joined`` gives it, if this entry is the commit's."""
    plain = NAMED.sub("", entry)
    return {_squeezed(plain), _squeezed(MARKS.sub("", plain))}


def joined(title: str) -> list[str]:
    """A commit's title as entries may have it: whole, and without the architecture that Debian's mark stands for."""
    _architecture, separator, rest = _split(title)
    return [_squeezed(title), *([_squeezed(rest)] if separator else [])]


def _split(title: str) -> tuple[str, str, str]:
    found = re.match(r"(?P<first>[\w-]+)(?P<separator>/|: )(?P<rest>.*)", title)
    return (found["first"], found["separator"], found["rest"]) if found else (title, "", "")


def _squeezed(text: str) -> str:
    """Without spaces, since lines are broken anywhere, and in small letters."""
    return re.sub(r"\s+", "", text).lower()
