# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From patches to a package: the whole way of a patch on the build host.  Private to rebootless.splice.

patches -> units -> pre and post objects -> differences, findings -> replacement, match program -> update module
        -> run-pre match against the distribution's own kernel -> package
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import shutil
from pathlib import Path
from typing import AbstractSet as Set
from typing import Any, Iterator, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected import embedded
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.generated import check_offsets
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.narrower import Narrower
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.paths import NotApplicable
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.touched import (
    Touched,
    include_graph,
    touched_by,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.helper import (
    Helper,
    build_helper,
    helper_digest,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.module import (
    Identity,
    build_update_module,
    write_update_module,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.package import (
    make_package,
    package_name,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.compiler import Compiler
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.overlay import PatchedSource
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patches import Patch
from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.decide import Decision, decide
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import UnitChange, compare
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings import custom_code
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings import unit as findings
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.finding import Finding
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.moved_calls import moved_work
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache, sha256_of
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.code_digest import source_digest
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import Phases
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.exports import read_symvers
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.shipped import DistributionTarget
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import Unit
from ansible_collections.rebootless.splice.plugins.module_utils._build.matching import kernels
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._build.outcome import Build, _facts
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.maker import make_replacement
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.match_program import Program
from ansible_collections.rebootless.splice.plugins.module_utils._common.matcher import Matcher
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import program_member

_RESULT = "result.json"
_WORK = "work"  # of the build's directory, while it is made
# Findings about code that never runs.  Code that has run is another matter: its effects are there to stay.
_WITHOUT_EFFECT = ("exit_code_changed",)


@dataclasses.dataclass(frozen=True)
class Update:
    """What is to be built: a named, versioned set of patches with the CVEs they fix, and custom code for them."""

    name: str
    version: str
    cves: tuple[str, ...]
    patches: tuple[Patch, ...]
    custom: tuple[custom_code.CustomCode, ...] = ()


class Builder:
    """Builds updates for one kernel.

    ``kmod`` is the directory of the helper module's sources.  ``phases`` collects the timings.
    """

    def __init__(self, tree: KernelTree, kmod: str | Path, cache: Cache, jobs: int, phases: Phases) -> None:
        self._tree = tree
        self._kmod = Path(kmod)
        self._cache = cache
        self._jobs = jobs
        self._phases = phases

    def foresee(self, update: Update) -> Build:
        """What ``build`` would do, without compiling: the cached build, or one that says what the patches touch."""
        touched, digest = self._begin(update)
        known = self._cached(digest)
        if known is not None:
            return known
        units = [unit.name for unit in (*touched.own, *touched.through)]
        return Build(digest, None, _facts([], touched.not_applicable, units), built=bool(units))

    def build(self, update: Update) -> Build:
        """The package of ``update`` for this kernel, from the cache or built now.

        Raises ``RebootlessError``: what ``judge``, ``apply_patches`` and ``Compiler`` raise, ``unsafe_change`` with all
        findings, ``offline_match_failed``, ``missing_symbol``.
        """
        touched, digest = self._begin(update)
        with self._cache.lock(f"builds/{digest}"):
            known = self._cached(digest)
            if known is not None:
                return known
            with self._cache.making("builds", digest) as directory:
                build = self._build(update, touched, digest, directory)
                shutil.rmtree(directory / _WORK, ignore_errors=True)
                final = self._cache.path("builds", digest)
                package = final / build.package.name if build.package else None
                record = {"package": package.name if package else None, "facts": build.facts}
                disk.replace(directory / _RESULT, json.dumps(record, sort_keys=True).encode())
        return dataclasses.replace(build, package=package)

    def _begin(self, update: Update) -> tuple[Touched, str]:
        with self._phases.phase("apply patches"):
            self._tree.check_compiler()
            touched = self._touched(update)
            digest = self._digest(update, touched)
            Identity(update.name, update.version, digest, self._tree.build_id)  # raises if it cannot be called so
            return touched, digest

    def _touched(self, update: Update) -> Touched:
        touched = touched_by(self._tree, update.patches, self._jobs)
        return dataclasses.replace(touched, files=tuple(custom_code.attach(touched.files, update.custom, self._kmod)))

    def _digest(self, update: Update, touched: Touched) -> str:
        """Names the build by all its inputs: the update, the kernel, the patched sources, the helper, and this code."""
        sources = [disk.sha256_of_file(Path(self._tree.source, file.path)) for file in touched.files]
        patches = [word for patch in update.patches for word in (patch.name, patch.sha256)]
        return sha256_of(
            *("update", update.name, update.version, *update.cves),
            *("patches", *patches),
            *("custom", *(word for code in update.custom for word in (code.name, code.source, code.sha256))),
            *("tree", self._tree.identity, *sources),
            *("helper", helper_digest(self._tree, self._kmod)),
            *("code", source_digest(__name__)),
        )

    def _cached(self, digest: str) -> Build | None:
        directory = self._cache.path("builds", digest)
        try:
            record = json.loads((directory / _RESULT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        package = directory / record["package"] if record["package"] else None
        if package is not None and (not package.is_file() or disk.sha256_of_file(package) != record["facts"]["digest"]):
            return None  # damaged: it is built anew
        return Build(digest, package, record["facts"], built=False)

    def _build(self, update: Update, touched: Touched, digest: str, directory: Path) -> Build:
        if not touched.files:
            return Build(digest, None, _facts([], touched.not_applicable), built=False)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            # Needed only in the end, and read while the compiler runs.
            target = pool.submit(DistributionTarget, self._tree)
            with self._phases.phase("helper"):
                helper, _built = build_helper(self._tree, self._kmod, self._cache)
            changes, unchanged, asked = self._compile_and_compare(touched, directory)
            with self._phases.phase("look for findings"):
                decisions, idle = self._judge(touched, changes)
            skipped = (*touched.not_applicable, *unchanged, *idle)
            if not decisions:
                return Build(digest, None, {**_facts([], skipped), "asked": asked}, built=False)
            files, programs = self._make_module(update, digest, decisions, helper, target.result(), directory)
            with self._phases.phase("offline match"):
                for program in programs.values():
                    self._match(helper, program, target.result())
        with self._phases.phase("package"):
            custom = custom_code.facts([decision.change for decision in decisions], update.custom)
            facts = {**_facts(decisions, skipped), "custom": custom, "asked": asked}
            facts["remarks"] = [row.as_dict() for decision in decisions for row in findings.remarks(decision)]
            return self._package(update, digest, facts, files, programs, directory)

    def _compile_and_compare(
        self, touched: Touched, directory: Path
    ) -> tuple[list[UnitChange], tuple[NotApplicable, ...], dict[str, int]]:
        source = PatchedSource(
            Path(self._tree.source), directory / _WORK / "source", touched.files, touched.directories
        )
        through, asked = self._changed_through(touched, source)
        units = [*touched.own, *through]
        compiler = Compiler(self._tree, self._jobs)
        with self._phases.phase("compile pre"):
            pre_objects = compiler.pre(units, self._phases.say)
        with self._phases.phase("compile post"):
            posts = compiler.post(pre_objects, source, self._phases.say)
        changes: list[UnitChange] = []
        with self._phases.phase("compare"):
            for pre, post in zip(pre_objects, posts):
                difference = compare(ObjectFile(pre.sectioned), ObjectFile(post))
                exact = ObjectFile(pre.exact)
                # A unit can be linked into several modules, each of which runs a copy of its own.
                changes += [
                    UnitChange(name, pre.unit.name, exact, difference) for name in pre.unit.objects if difference
                ]
        return changes, tuple(_unchanged(touched, {change.unit for change in changes})), asked

    def _changed_through(self, touched: Touched, source: PatchedSource) -> tuple[list[Unit], dict[str, int]]:
        """The units that come out otherwise because of what they include, and of how many what was found."""
        if not touched.through and not touched.embedded:
            return [], {}
        with self._phases.phase("look through includes"):
            check_offsets(Path(self._tree.build), source, touched.reached)
            graph = include_graph(self._tree, self._jobs)
            narrower = Narrower(self._tree, source, graph, self._jobs, self._phases.say)
            embedded.check(self._tree, narrower, touched.embedded, touched.files, self._jobs)
            return narrower.changed(touched.through), dict(narrower.counts)

    def _judge(
        self, touched: Touched, changes: Sequence[UnitChange]
    ) -> tuple[list[Decision], tuple[NotApplicable, ...]]:
        """What is decided about ``changes``, and which of them have no effect in a running kernel.

        Raises ``RebootlessError`` (``unsafe_change``, ``handles_nothing``) if a change cannot be made live.
        """
        kernel = kernels.kernel_of(self._tree.version or self._tree.release)
        moved = moved_work(changes)
        decisions: list[Decision] = []
        idle: list[NotApplicable] = []
        rows: list[Finding] = []
        for decision in [decide(change, kernel) for change in changes]:
            found = findings.refusals(decision, moved.get(id(decision.change), ()))
            if not decision.is_effective and all(row.code in _WITHOUT_EFFECT for row in found):
                why = " ".join(row.sentence for row in found) or "Only what the kernel does not use any more changes."
                idle.append(NotApplicable(touched.reason_file(decision.change.unit), "no_effect", why))
            else:
                decisions.append(decision)
                rows += found
        if rows:
            # Units that share a header find the same of it.
            sentences = list(dict.fromkeys(row.sentence.rstrip(".") for row in rows))
            more = f"; and {len(sentences) - 3} more" if len(sentences) > 3 else ""
            raise RebootlessError(
                "unsafe_change",
                f"The update cannot be made live by exchanging code: {'; '.join(sentences[:3])}{more}.",
                "Change the patch so that it does without, add custom code for it (docs/custom-code.md), or reboot "
                "into a fixed kernel for this fix.",
                findings=[row.as_dict() for row in rows],
                **_facts(decisions, ()),
            )
        return decisions, tuple(idle)

    def _make_module(
        self,
        update: Update,
        digest: str,
        decisions: list[Decision],
        helper: Helper,
        target: DistributionTarget,
        directory: Path,
    ) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """The update module, the helper and the match library by file; the match programs by part."""
        tree = self._tree
        identity = Identity(update.name, update.version, digest, tree.build_id)
        with self._phases.phase("make replacement"):
            exports = read_symvers(Path(tree.headers, "Module.symvers"))
            replacement = make_replacement(decisions, tree.version or tree.release, exports, target.needs)
        with self._phases.phase("build module"):
            work = directory / _WORK / "module"
            write_update_module(work, identity, replacement, self._kmod)
            module = build_update_module(
                work, identity, replacement, tree.headers, helper.symvers, (f"CC={tree.compiler}",)
            )
        files = {
            "update.ko": module.read_bytes(),
            "rebootless.ko": helper.module.read_bytes(),
            "libmatch.so": helper.library.read_bytes(),
        }
        return files, {part.name: part.program for part in replacement.parts}

    def _match(self, helper: Helper, program: bytes, target: DistributionTarget) -> None:
        """Proves that the distribution's kernel or module is what this tree builds, for every unit of one part."""
        result = Matcher(str(helper.library)).match(program, target)
        if not result.ok:
            details = result.details(Program(program))
            if result.code == "symbol_not_found":
                raise RebootlessError(
                    "missing_symbol",
                    f"The update uses {details.get('symbol')}, which neither this kernel nor the patch defines.",
                    "Look whether the patch belongs to this kernel: what it uses may have another name there, or be "
                    "left out by the kernel's configuration.",
                    **details,
                )
            where = " ".join(str(details[key]) for key in ("unit", "section", "function", "symbol") if details.get(key))
            raise RebootlessError(
                "offline_match_failed",
                f"This kernel tree does not reproduce {self._tree.vmlinuz}: {result.sentence.rstrip('.')} ({where}).",
                "Check that source, configuration and compiler of the tree are the distribution's for this build.",
                reason=result.code,
                **details,
            )

    def _package(
        self,
        update: Update,
        digest: str,
        facts: dict[str, Any],
        files: dict[str, bytes],
        programs: dict[str, bytes],
        directory: Path,
    ) -> Build:
        tree = self._tree
        manifest = {
            "name": update.name,
            "version": update.version,
            "cves": list(update.cves),
            "digest": digest,
            "kernel": {
                "release": tree.release,
                "build_id": tree.build_id,
                "version": tree.version,
                "arch": tree.arch,
            },
            "objects": list(programs),
            "functions": facts["functions"],
            "data": facts["data"],
            "patches": [{"name": patch.name, "sha256": patch.sha256} for patch in update.patches],
            "compiler": tree.compiler_version,
            "findings": [],
            "remarks": facts["remarks"],
            "custom": facts["custom"],
        }
        package = directory / package_name(update.name, update.version, tree.build_id)
        members = {program_member(object_name): program for object_name, program in programs.items()}
        package.write_bytes(make_package(manifest, {**files, **members}))
        facts = {**facts, "digest": disk.sha256_of_file(package), "size": package.stat().st_size}
        return Build(digest, package, facts, built=True)


def _unchanged(touched: Touched, changed: Set[str]) -> Iterator[NotApplicable]:
    """The patched files that change no object, as far as that is known of each."""
    for unit in touched.own:
        if unit.name not in changed:
            path = touched.reason_file(unit.name)
            yield NotApplicable(path, "same_object", f"The patched {path} compiles to the same object as before.")
    if not changed and (touched.through or touched.embedded):
        own = {touched.reason_file(unit.name) for unit in touched.own}
        for file in touched.files:
            if file.path not in own:
                reason = f"Every unit that includes the patched {file.path} compiles to the same object as before."
                yield NotApplicable(file.path, "same_object", reason)
