# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian packages by name and exact version, downloaded once and verified by apt.

Asked first are the sources that the build host's apt is configured with, then ``extra`` ones: one-line sources
(sources.list(5)) for versions that have left the mirror, such as a snapshot archive.  The extra sources live in an apt
directory of their own in the cache, so the build host's apt is not changed, and their signatures are checked as ever.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import subprocess
from pathlib import Path
from typing import Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache, sha256_of
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import require_tools, run
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

_UPDATE = "Run apt-get update on the build host, or check its sources and the network."
# 'URI' file-name size SHA256:hex, as apt-get --print-uris prints it.
_URI_LINE = re.compile(r"^'(?P<uri>[^']*)' (?P<file>\S+) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class DebianPackage:
    """A binary package that apt offers, in one exact version."""

    name: str
    version: str
    options: tuple[str, ...] = dataclasses.field(repr=False)  # of apt, that find it

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class Apt:
    """Finds and downloads packages.

    ``extra`` are one-line apt sources for versions that the configured sources no longer have.
    Raises ``RebootlessError``: ``package_not_found``, ``apt_failed``, ``download_failed``, ``bad_download``,
    ``missing_tool``.
    """

    def __init__(self, cache: Cache, extra: Sequence[str] = ()) -> None:
        require_tools("apt-cache", "apt-get", "dpkg-deb")
        self._cache = cache
        self._extra = tuple(extra)

    @functools.cached_property
    def _option_sets(self) -> list[tuple[str, ...]]:
        # Containers often tell apt to keep no parsed lists; then each question would read them all again.
        own = self._cache.directory("apt")
        parsed = (
            "-o",
            f"Dir::Cache::pkgcache={own}/pkgcache.bin",
            "-o",
            f"Dir::Cache::srcpkgcache={own}/srcpkgcache.bin",
        )
        return [parsed, self._private_apt()] if self._extra else [parsed]

    def _private_apt(self) -> tuple[str, ...]:
        """Options that make apt use only the extra sources, whose lists are fetched now."""
        text = "".join(f"{line}\n" for line in self._extra)
        directory = self._cache.directory("apt", sha256_of(text)[:16])
        for name in ("lists/partial", "archives/partial"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        (directory / "sources.list").write_text(text, encoding="utf-8")
        options = (
            f"Dir::Etc::sourcelist={directory}/sources.list",
            "Dir::Etc::sourceparts=-",
            f"Dir::State::lists={directory}/lists",
            f"Dir::Cache={directory}",
            f"Dir::Cache::archives={directory}/archives",
            "Dir::Cache::pkgcache=pkgcache.bin",
            "Dir::Cache::srcpkgcache=srcpkgcache.bin",
            "APT::Sandbox::User=root",
        )
        words = tuple(word for option in options for word in ("-o", option))
        run(
            ["apt-get", *words, "-q", "update", "--error-on=any"],
            "apt_failed",
            "apt cannot read the extra package sources.",
            "Check the extra sources: their addresses, and that the keys that sign them are installed.",
        )
        return words

    def versions(self, name: str) -> list[DebianPackage]:
        """The versions of package ``name`` that are offered, apt's preferred one first; empty if there is none."""
        found: dict[str, DebianPackage] = {}
        for options in self._option_sets:
            for line in self._apt_cache(options, "madison", name).splitlines():
                fields = [field.strip() for field in line.split("|")]
                if len(fields) == 3 and fields[0] == name and fields[2].endswith("Packages"):
                    found.setdefault(fields[1], DebianPackage(name, fields[1], options))
        return list(found.values())

    def find(self, name: str, version: str | None = None) -> DebianPackage:
        """The package ``name`` in exactly ``version``; in the preferred version if that is None."""
        offered = self.versions(name)
        for package in offered:
            if version in (None, package.version):
                return package
        if offered:
            there = ", ".join(package.version for package in offered)
            sentence = f"apt offers {name} in {there}, but not in {version}."
            step = "Give extra package sources that still have this version, such as a snapshot archive."
        else:
            sentence = f"apt offers no package {name}."
            step = f"Check the kernel release. {_UPDATE} A release that has left the mirror needs extra sources."
        raise RebootlessError(
            "package_not_found", sentence, step, package=name, version=version, offered=[p.version for p in offered]
        )

    def find_fitting(self, name: str, relation: str, version: str) -> DebianPackage:
        """The package that fulfils the dependency ``name (relation version)``, in the lowest version that does.

        ``relation`` is one of dpkg's (``=``, ``>=``, ...), or empty for any version.
        """
        fitting = None
        for package in self.versions(name):
            fits = not relation or _compare(package.version, relation, version)
            if fits and (fitting is None or _compare(package.version, "<<", fitting.version)):
                fitting = package
        return fitting or self.find(name, version)  # which says what is offered

    def names(self, pattern: str) -> list[str]:
        """Names of the offered packages that match the regular expression ``pattern`` as a whole."""
        found = set()
        for options in self._option_sets:
            found.update(self._apt_cache(options, "pkgnames", "linux-").split())
        return sorted(name for name in found if re.fullmatch(pattern, name))

    def field(self, package: DebianPackage, field: str) -> str:
        """A field of the package's control record; empty if it has none."""
        record = self._apt_cache(package.options, "show", f"{package.name}={package.version}").split("\n\n")[0]
        match = re.search(rf"^{re.escape(field)}: (.*(?:\n .*)*)", record, re.MULTILINE)
        return match.group(1) if match else ""

    def cached(self, package: DebianPackage) -> Path | None:
        """Where the package's file is in the cache, verified; None if it is not there."""
        entry = self._entry(package)
        path = self._path(entry)
        return path if path.exists() and disk.sha256_of_file(path) == entry["sha256"] else None

    def fetch(self, package: DebianPackage) -> Path:
        """The package's file, from the cache or downloaded into it; its SHA-256 is the one that apt's lists have."""
        entry = self._entry(package)
        path = self._path(entry)
        with self._cache.lock(f"debs/{entry['sha256']}"):
            if path.exists() and disk.sha256_of_file(path) == entry["sha256"]:
                return path
            with self._cache.making("debs", entry["sha256"]) as directory:
                options = (*package.options, "-q", "-o", "APT::Sandbox::User=root")
                run(
                    ["apt-get", *options, "download", self._word(package)],
                    "download_failed",
                    f"apt could not download {package}.",
                    _UPDATE,
                    cwd=directory,
                )
                files = list(directory.iterdir())
                if len(files) != 1 or disk.sha256_of_file(files[0]) != entry["sha256"]:
                    raise RebootlessError(
                        "bad_download",
                        f"What was downloaded for {package} is not what apt's package lists describe.",
                        _UPDATE,
                        expected=entry["sha256"],
                    )
                files[0].rename(directory / path.name)
        return path

    def _path(self, entry: dict[str, str]) -> Path:
        return self._cache.path("debs", entry["sha256"], entry["file"].replace("%", "_"))

    def _entry(self, package: DebianPackage) -> dict[str, str]:
        text = run(
            ["apt-get", *package.options, "--print-uris", "download", self._word(package)],
            "apt_failed",
            f"apt does not say where {package} is.",
            _UPDATE,
        )
        match = _URI_LINE.search(text)
        if match is None:
            raise RebootlessError("apt_failed", f"apt has no SHA-256 for {package}.", _UPDATE, output=text.splitlines())
        return match.groupdict()

    @staticmethod
    def _word(package: DebianPackage) -> str:
        return f"{package.name}={package.version}"

    @staticmethod
    def _apt_cache(options: Sequence[str], *words: str) -> str:
        return run(["apt-cache", *options, *words], "apt_failed", "apt's package lists cannot be read.", _UPDATE)


def _compare(version: str, relation: str, other: str) -> bool:
    operator = relation if relation in ("<<", "<=", "=", ">=", ">>") else "="
    return subprocess.run(["dpkg", "--compare-versions", version, operator, other], check=False).returncode == 0
