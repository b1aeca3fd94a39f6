# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One build of an update, phase by phase, in a directory of its own."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import re
from pathlib import Path
from typing import AbstractSet as Set
from typing import Any, Iterable, Iterator, Mapping, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected import hunk_rows, missing
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.paths import NotApplicable
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.through_includes import changed_through
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.touched import Touched
from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.helper import (
    Helper,
    build_helper,
    sign_helper,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.module import (
    Identity,
    build_update_module,
    write_update_module,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.offline_match import match_offline
from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.package import (
    make_package,
    package_name,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.compiler import Compiler
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.live_hunks import (
    INFORMATION,
    Compiled,
    IdleHunk,
    idle_hunks,
    information,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.overlay import PatchedSource
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patches import Patch, PatchedFile
from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.decide import Decision
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import UnitChange, compare
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings import custom_code
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings import unit as findings
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.bit_fields import bit_fields_of
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.living_objects import (
    LivingObjects,
    living_objects,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import Phases
from ansible_collections.rebootless.splice.plugins.module_utils._build.judgement import judge_changes
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.exports import read_symvers
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.shipped import DistributionTarget
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import VMLINUX, Unit
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.unit import read_members
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._build.outcome import Build, changed_facts
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement import handed_out
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.maker import make_replacement
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.parts import Replacement
from ansible_collections.rebootless.splice.plugins.module_utils._build.signing.signer import Signer
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.descriptor import Says
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.proof import prove
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.unit import CheckedUnit
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import program_member

_WORD = re.compile(r"[A-Za-z_]\w*")


@dataclasses.dataclass(frozen=True)
class UpdateSource:
    """What is to be built: a named, versioned set of patches with the CVEs they fix, and custom code for them.

    ``ignore_missing`` lists patched files that the kernel's source need not have.
    """

    name: str
    version: str
    cves: tuple[str, ...]
    patches: tuple[Patch, ...]
    custom: tuple[custom_code.CustomCode, ...] = ()
    ignore_missing: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class BuildHost:
    """What every build of one kernel uses: its tree, the helper module's sources, the cache, and the processors.

    ``signer`` signs the modules; None leaves them unsigned.
    """

    tree: KernelTree
    kmod: Path
    cache: Cache
    jobs: int
    phases: Phases
    signer: Signer | None = None


class BuildRun:
    """The build of ``update`` that ``digest`` names; the package goes to ``directory``, what it is made of to ``work``.

    Each method is a phase, and gives the next one what it needs.
    """

    def __init__(
        self, host: BuildHost, update: UpdateSource, touched: Touched, digest: str, directory: Path, work: Path
    ) -> None:
        self._host, self._tree = host, host.tree
        self._update, self._touched = update, touched
        self._identity = Identity(update.name, update.version, digest, host.tree.build_id)
        self._directory, self._work = directory, work
        self._idle: list[IdleHunk] = []
        self._information: dict[str, str] = {}  # by unit that stays the same: what differs in it for programs

    def run(self) -> Build:
        """The outcome.  Raises ``RebootlessError`` as ``Builder.build`` says."""
        digest, touched, phase = self._identity.digest, self._touched, self._host.phases.phase
        if not touched.files:
            return Build(digest, None, changed_facts([], touched.not_applicable), built=False)
        self._check_key()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            # Needed only in the end, and read while the compiler runs.
            target = pool.submit(DistributionTarget, self._tree)
            with phase("helper"):
                helper, _built = build_helper(self._tree, self._host.kmod, self._host.cache)
            source = PatchedSource(Path(self._tree.source), self._work / "source", touched.files, touched.directories)
            through, asked = self._changed_through(source)
            changes, living = self._compile_and_compare([*touched.own, *through], source)
            with phase("look for findings"):
                kernel = self._tree.kernel
                decisions, idle = judge_changes(
                    changes, kernel, touched.reason_file, lambda *symbol: target.result().defines(*symbol), living
                )
            same = list(_same_objects(touched, {change.unit for change in changes}, self._information))
            named = {row.file for row in (*same, *idle)}
            hunks = [NotApplicable(row.path, row.code, row.reason) for row in self._idle if row.path not in named]
            skipped = (*touched.not_applicable, *same, *idle, *hunks)
            if not decisions:
                return Build(digest, None, {**changed_facts([], skipped), "asked": asked}, built=False)
            with phase("make replacement"):
                exports = read_symvers(Path(self._tree.headers, "Module.symvers"))
                replacement = make_replacement(decisions, kernel, exports, target.result().needs)
            files = self._make_module(replacement, helper)
            with phase("prove module"):
                units = [_checked(decision.change) for decision in decisions]
                exported = {export.name for export in exports.values() if export.module == VMLINUX}
                prove(files["update.ko"], self._says, units, exported)
            programs = {part.name: part.program for part in replacement.parts}
            with phase("offline match"):
                for program in programs.values():
                    match_offline(helper, program, target.result(), self._tree.vmlinuz)
        files = self._signed(files, helper)
        with phase("package"):
            return self._package(
                {**self._facts(decisions, skipped, replacement, living), "asked": asked}, files, programs
            )

    def _changed_through(self, source: PatchedSource) -> tuple[list[Unit], dict[str, int]]:
        if not self._touched.through and not self._touched.embedded:
            return [], {}
        with self._host.phases.phase("look through includes"):
            return changed_through(self._tree, self._touched, source, self._host.jobs, self._host.phases.say)

    def _compile_and_compare(
        self, units: Sequence[Unit], source: PatchedSource
    ) -> tuple[list[UnitChange], LivingObjects]:
        phases = self._host.phases
        compiler = Compiler(self._tree, self._host.jobs)
        with phases.phase("compile pre"):
            pre_objects = compiler.pre(units, phases.say)
        with phases.phase("compile post"):
            posts = compiler.post(pre_objects, source, phases.say)
        changes: list[UnitChange] = []
        compiled: list[Compiled] = []
        with phases.phase("compare"):
            for pre, post in zip(pre_objects, posts):
                difference = compare(ObjectFile(pre.sectioned), ObjectFile(post))
                exact = ObjectFile(pre.exact)
                # A unit can be linked into several modules, each of which runs a copy of its own.
                changes += [
                    UnitChange(name, pre.unit.name, exact, difference) for name in pre.unit.objects if difference
                ]
                compiled += [Compiled(pre, post)] if difference else []
                words = information(pre.sectioned) ^ information(post)
                if words and not difference:
                    self._information[pre.unit.name] = ", ".join(sorted(words))
        with phases.phase("leave out each hunk"):
            self._idle = idle_hunks(compiler, compiled, source, self._work / "without", self._host.jobs)
        with phases.phase("look at living objects"):
            changed = {change.unit: change.difference for change in changes if change.difference.functions}
            patched = _words(dataclasses.replace(file, appended=b"") for file in source.files.values())
            custom = _words(source.files.values()) - patched
            members = compiler.understood(
                [pre for pre in pre_objects if pre.unit.name in changed],
                source,
                lambda unit, before, after: read_members(
                    before, after, bit_fields_of(changed[unit].types[1]), patched, custom
                ),
            )
            return changes, living_objects(changes, members)

    def _make_module(self, replacement: Replacement, helper: Helper) -> dict[str, bytes]:
        """The update module, the helper and the match library by file."""
        with self._host.phases.phase("build module"):
            work = self._work / "module"
            write_update_module(work, self._identity, replacement, self._host.kmod)
            compiler = (f"CC={self._tree.compiler}",)
            module = build_update_module(
                work, self._identity, replacement, self._tree.headers, helper.symvers, compiler
            )
        return {
            "update.ko": module.read_bytes(),
            "rebootless.ko": helper.module.read_bytes(),
            "libmatch.so": helper.library.read_bytes(),
        }

    def _check_key(self) -> None:
        """A key that does not sign is found before minutes are spent on a build."""
        if self._host.signer is not None:
            with self._host.phases.phase("check key"):
                self._host.signer.check()

    def _signed(self, files: dict[str, bytes], helper: Helper) -> dict[str, bytes]:
        """The same files with signatures behind the modules, if there is a signer: what was proven is signed."""
        signer = self._host.signer
        if signer is None:
            return files
        with self._host.phases.phase("sign"):
            signed, _made = sign_helper(helper, signer, self._host.cache)
            return {**files, "update.ko": signer.sign(files["update.ko"]), "rebootless.ko": signed.module.read_bytes()}

    @property
    def _says(self) -> Says:
        """What the finished module has to say of itself."""
        identity = self._identity
        return Says(identity.name, identity.version, identity.digest, identity.build_id)

    def _facts(
        self,
        decisions: Sequence[Decision],
        skipped: Sequence[NotApplicable],
        replacement: Replacement,
        living: LivingObjects,
    ) -> dict[str, Any]:
        return {
            **changed_facts(decisions, skipped),
            "custom": custom_code.facts([decision.change for decision in decisions], self._update.custom),
            **({"signer": self._host.signer.facts()} if self._host.signer else {}),
            "remarks": [
                *missing.remarks(skipped),
                *hunk_rows.doubtful_places(self._touched.files),
                *(row.as_dict() for decision in decisions for row in findings.remarks(decision)),
                *(row.as_dict() for decision in decisions for row in living.told(decision.change)),
                *handed_out.remarks(replacement.parts),
            ],
        }

    def _package(self, facts: dict[str, Any], files: dict[str, bytes], programs: dict[str, bytes]) -> Build:
        tree, update, digest = self._tree, self._update, self._identity.digest
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
            "ignore_missing": sorted(set(update.ignore_missing)),
            "compiler": tree.compiler_version,
            "findings": [],
            "remarks": facts["remarks"],
            "custom": facts["custom"],
            **({"signer": facts["signer"]} if "signer" in facts else {}),
        }
        package = self._directory / package_name(update.name, update.version, tree.build_id)
        members = {program_member(object_name): program for object_name, program in programs.items()}
        package.write_bytes(make_package(manifest, {**files, **members}))
        facts = {**facts, "digest": disk.sha256_of_file(package), "size": package.stat().st_size}
        return Build(digest, package, facts, built=True)


def _words(files: Iterable[PatchedFile]) -> frozenset[str]:
    """All words of the patched files."""
    return frozenset(word for file in files for word in _WORD.findall(file.text(False).decode("utf-8", "replace")))


def _checked(change: UnitChange) -> CheckedUnit:
    """The files of a unit, by their paths: the check has a reader of its own."""
    post = change.difference.correlation.post.object
    return CheckedUnit(change.object_name, change.unit, change.pre.path, post.path)


def _same_objects(touched: Touched, changed: Set[str], information: Mapping[str, str]) -> Iterator[NotApplicable]:
    """The patched files that change no object, as far as that is known of each.

    ``information`` says what differs, in objects that are the same otherwise, for programs alone.
    """
    for unit in touched.own:
        path = touched.reason_file(unit.name)
        if unit.name in information:
            reason = f"The patched {path} changes only what programs read in the module's file on the disk, which no "
            yield NotApplicable(path, INFORMATION, f"{reason}update changes (.modinfo: {information[unit.name]}).")
        elif unit.name not in changed:
            yield NotApplicable(path, "same_object", f"The patched {path} compiles to the same object as before.")
    if not changed and (touched.through or touched.embedded):
        own = {touched.reason_file(unit.name) for unit in touched.own}
        for file in touched.files:
            if file.path not in own:
                reason = f"Every unit that includes the patched {file.path} compiles to the same object as before."
                yield NotApplicable(file.path, "same_object", reason)
