# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From patches to a package: the whole way of a patch on the build host.

patches -> units -> pre and post objects -> differences, findings -> replacement, match program -> update module
        -> run-pre match against the distribution's own kernel -> package
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.touched import Touched, touched_by
from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.helper import helper_digest
from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.module import Identity
from ansible_collections.rebootless.splice.plugins.module_utils._build.build_run import (
    BuildHost,
    BuildRun,
    UpdateSource,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings import custom_code
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache, sha256_of
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.code_digest import source_digest
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import Phases
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree
from ansible_collections.rebootless.splice.plugins.module_utils._build.outcome import Build, changed_facts
from ansible_collections.rebootless.splice.plugins.module_utils._build.signing.signer import Signer
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, strict_json

__all__ = ["Builder", "UpdateSource"]

_RESULT = "result.json"
_WORK = "work"  # of the build's directory, while it is made


class Builder:
    """Builds updates for one kernel.

    ``kmod`` is the directory of the helper module's sources.  ``phases`` collects the timings.  ``signer`` signs the
    modules of the packages.
    """

    def __init__(
        self,
        tree: KernelTree,
        kmod: str | Path,
        cache: Cache,
        jobs: int,
        phases: Phases,
        signer: Signer | None = None,
    ) -> None:
        self._host = BuildHost(tree, Path(kmod), cache, jobs, phases, signer)
        self._tree = tree

    def foresee(self, update: UpdateSource) -> Build:
        """What ``build`` would do, without compiling: the cached build, or one that says what the patches touch."""
        touched, digest = self._begin(update)
        known = self._cached(digest)
        if known is not None:
            return known
        units = [unit.name for unit in (*touched.own, *touched.through)]
        return Build(digest, None, changed_facts([], touched.not_applicable, units), built=bool(units))

    def build(self, update: UpdateSource) -> Build:
        """The package of ``update`` for this kernel, from the cache or built now.

        Raises ``RebootlessError``: what ``judge``, ``apply_patches`` and ``Compiler`` raise, ``unsafe_change`` with all
        findings, ``module_not_proven``, ``offline_match_failed``, ``missing_symbol``, what ``Signer.sign`` raises.
        """
        touched, digest = self._begin(update)
        with self._host.cache.lock(f"builds/{digest}"):
            known = self._cached(digest)
            if known is not None:
                return known
            with self._host.cache.making("builds", digest) as directory:
                work = directory / _WORK
                build = BuildRun(self._host, update, touched, digest, directory, work).run()
                shutil.rmtree(work, ignore_errors=True)
                final = self._host.cache.path("builds", digest)
                package = final / build.package.name if build.package else None
                record = {"package": package.name if package else None, "facts": build.facts}
                disk.replace(directory / _RESULT, strict_json.exact(record, sort_keys=True))
        return dataclasses.replace(build, package=package)

    def _begin(self, update: UpdateSource) -> tuple[Touched, str]:
        with self._host.phases.phase("apply patches"):
            self._tree.check_compiler()
            touched = self._touched(update)
            digest = self._digest(update, touched)
            Identity(update.name, update.version, digest, self._tree.build_id)  # raises if it cannot be called so
            return touched, digest

    def _touched(self, update: UpdateSource) -> Touched:
        touched = touched_by(self._tree, update.patches, self._host.jobs, update.ignore_missing)
        files = custom_code.attach(touched.files, update.custom, self._host.kmod)
        return dataclasses.replace(touched, files=tuple(files))

    def _digest(self, update: UpdateSource, touched: Touched) -> str:
        """Names the build by all its inputs.

        They are the update, the kernel, the patched sources, the helper, who signs, and this code.
        """
        sources = [disk.sha256_of_file(Path(self._tree.source, file.path)) for file in touched.files]
        patches = [word for patch in update.patches for word in (patch.name, patch.sha256)]
        return sha256_of(
            *("update", update.name, update.version, *update.cves),
            *("patches", *patches),
            *("missing", *sorted(set(update.ignore_missing))),
            *("custom", *(word for code in update.custom for word in (code.name, code.source, code.sha256))),
            *("tree", self._tree.identity, *sources),
            *("helper", helper_digest(self._tree, self._host.kmod)),
            *(self._host.signer.identity if self._host.signer else ()),
            *("code", source_digest(__name__)),
        )

    def _cached(self, digest: str) -> Build | None:
        directory = self._host.cache.path("builds", digest)
        try:
            record = strict_json.read(directory / _RESULT)
        except (OSError, ValueError):
            return None
        package = directory / record["package"] if record["package"] else None
        if package is not None and (not package.is_file() or disk.sha256_of_file(package) != record["facts"]["digest"]):
            return None  # damaged: it is built anew
        return Build(digest, package, record["facts"], built=False)
