# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the store knows of one version of an update: its sources, and what became of it for each kernel.

docs/fleet.md (*The update store*) has the format.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import typing as t
from dataclasses import dataclass, field

from ansible_collections.rebootless.splice.plugins.module_utils._common.distribution import kernel_package
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import SIGNER as SIGNER_KEYS
from ansible_collections.rebootless.splice.plugins.module_utils._common.value_checks import (
    filled,
    list_of,
    one_of,
    table,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import canonical, fields
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import (
    FileRecord,
    ListOf,
    Record,
    Row,
    holds,
)

FORMAT = 1
FILE = "manifest.json"

BUILT, NOT_APPLICABLE, REFUSED, FAILED = "built", "not_applicable", "refused", "failed"
DAMAGED = "store_damaged"  # the code of an entry whose package is not what it was
STATUSES = {
    BUILT: "there is a package",
    NOT_APPLICABLE: "the update changes nothing in this kernel",
    REFUSED: "the update as it is cannot be made for this kernel",
    FAILED: "not built; it is tried again next time",
}
# Refusals of a change that no live patch makes in this kernel: it takes another kernel, and so a reboot.
NOT_LIVE = frozenset(
    (
        "build_file_not_supported",
        "deleted_file_not_supported",
        "embedded_code_not_supported",
        "file_not_supported",
        "generated_source_changes",
        "new_file_not_supported",
        "unsafe_change",
        "vdso_not_supported",
    )
)
# Refusals that come from the patch and this kernel, so that another try ends like the first: of the others a corrected
# patch is the cure.
REFUSALS = NOT_LIVE | {"does_not_compile", "patch_does_not_apply", "replaced_file_bypassed"}
REFUSAL_SUFFIX = "_not_supported"

NAME_OF_FILE = fields.Value(
    lambda value: filled(value) and value == os.path.basename(value) != "..", "the name of a file"
)
STATUS = fields.Value(one_of(*STATUSES), f"one of {', '.join(STATUSES)}")
REMARKS = fields.Value(lambda value: list_of(table)(value) and value != [], "a list of tables")
SIGNER = fields.Value(
    lambda value: isinstance(value, dict) and all(map(filled, map(value.get, SIGNER_KEYS))), "a signer"
)
PATHS = fields.Value(
    lambda value: list_of(filled)(value) and value == sorted(set(value)) != [],
    "a sorted list of paths, each once",
)
FIXED_IN = fields.Value(
    lambda value: isinstance(value, dict) and all(map(list_of(kernel_package.is_version), value.values())),
    "a table of source packages with their versions",
)
# Of a kernel for which there is a package.
OF_PACKAGE = {
    "package": fields.A_PACKAGE,
    "sha256": fields.A_SHA256,
    "size": fields.BYTES,
    "build_digest": fields.A_SHA256,
}
TEXT = holds(fields.A_TEXT)
COUNT = holds(fields.A_COUNT)
TEXTS = holds(fields.A_LIST)


@dataclass(frozen=True)
class SourceFile(Record):
    """A file of the update's sources; ``size`` in bytes."""

    name: str = field(metadata=holds(NAME_OF_FILE))
    sha256: str = field(metadata=holds(fields.A_SHA256))
    size: int = field(metadata=COUNT)


@dataclass(frozen=True)
class ListedCustomCode(SourceFile):
    """A file of custom code, and the kernel source at whose end it is compiled."""

    source: str = field(metadata=holds(fields.A_WORD))


@dataclass(frozen=True)
class KernelEntry(Record):
    """What became of the update for one kernel, named by ``build_id``.

    With the status ``built`` there is a package, of ``size`` bytes and with ``sha256``, which replaces ``functions`` in
    ``objects`` (vmlinux, modules); with any other, ``code``, ``sentence`` and ``next_step`` say why there is none, and
    ``findings`` what of the patch.  ``remarks`` (``code``, ``sentence``, ``details``) are what operators should know of
    a fix that is made live.  ``ignore_missing`` are the files that the package was built without need of, whether the
    kernel has them or not.  ``signer`` is who signed the package's modules (docs/formats.md, *Package*), empty if they
    are not signed.  ``built`` is the time, ISO 8601, at which ``build_host`` came to its end with it.
    """

    release: str = field(metadata=TEXT)
    version: str = field(metadata=TEXT)
    build_id: str = field(metadata=holds(fields.HEX_DIGITS))
    arch: str = field(metadata=TEXT)
    status: str = field(metadata=holds(STATUS))
    package: str = field(metadata=TEXT)
    sha256: str = field(metadata=TEXT)
    size: int = field(metadata=COUNT)
    build_digest: str = field(metadata=TEXT)
    functions: list[str] = field(metadata=TEXTS)
    objects: list[str] = field(metadata=TEXTS)
    compiler: str = field(metadata=TEXT)
    code: str = field(metadata=TEXT)
    sentence: str = field(metadata=TEXT)
    next_step: str = field(metadata=TEXT)
    findings: list[Row] = field(metadata=holds(fields.A_LIST_OF_TABLES))
    built: str = field(metadata=holds(fields.A_WORD))
    build_host: str = field(metadata=TEXT)
    remarks: list[Row] = field(default_factory=list, metadata=holds(REMARKS, omit=True))
    ignore_missing: list[str] = field(default_factory=list, metadata=holds(PATHS, omit=True))
    signer: Row = field(default_factory=dict, metadata=holds(SIGNER, omit=True))

    def check(self, where: str, code: str) -> None:
        for name, value in OF_PACKAGE.items() if self.status == BUILT else ():
            value.read(getattr(self, name), name, where, code)
        if self.status != BUILT and not (self.code and self.sentence):
            raise fields.wrong(code, where, "has neither a package nor a reason")

    def says_the_same(self, other: KernelEntry) -> bool:
        """Whether the entries differ in nothing but when and where they were built."""
        return dataclasses.replace(self, built=other.built, build_host=other.build_host) == other


def empty_kernel(release: str, version: str, build_id: str, arch: str) -> KernelEntry:
    """An entry with nothing in it but the kernel's names, to be completed: as it is, no manifest may hold it."""
    return KernelEntry(
        release=release,
        version=version,
        build_id=build_id,
        arch=arch,
        status=FAILED,
        package="",
        sha256="",
        size=0,
        build_digest="",
        functions=[],
        objects=[],
        compiler="",
        code="",
        sentence="",
        next_step="",
        findings=[],
        built="",
        build_host="",
    )


@dataclass(frozen=True)
class Manifest(FileRecord):
    """What is known of one version of an update; its kernels are in the order of their releases.

    ``fixed_in`` has source packages with the versions from which on the fix is in; ``ignore_missing`` are patched files
    that a kernel's source need not have.
    """

    HEAD = {"format": FORMAT}

    name: str = field(metadata=holds(fields.A_NAME))
    version: str = field(metadata=holds(fields.A_VERSION))
    cves: list[str] = field(metadata=TEXTS)
    fixed_in: dict[str, list[str]] = field(metadata=holds(FIXED_IN))
    patches: list[SourceFile] = field(metadata=holds(ListOf(SourceFile, "a patch")))
    custom: list[ListedCustomCode] = field(metadata=holds(ListOf(ListedCustomCode, "a custom code")))
    kernels: list[KernelEntry] = field(metadata=holds(ListOf(KernelEntry, "kernel {}", by="release")))
    ignore_missing: list[str] = field(default_factory=list, metadata=holds(PATHS, omit=True))

    def check(self, where: str, code: str) -> None:
        seen = set()
        for entry in self.kernels:
            if entry.build_id in seen:
                place = f"{where}, kernel {entry.release},"
                raise fields.wrong(code, place, f"has the build ID {entry.build_id}, which another has too")
            seen.add(entry.build_id)

    def kernel(self, build_id: str) -> KernelEntry | None:
        """What became of the update for the kernel with this build ID; ``None`` if it was never tried."""
        return self._by_build_id.get(build_id)

    @functools.cached_property
    def _by_build_id(self) -> dict[str, KernelEntry]:
        return {entry.build_id: entry for entry in self.kernels}

    @property
    def versions_with_fix(self) -> list[str]:
        """Versions of any of the distribution's kernel packages from which on the fix is in."""
        return [version for versions in self.fixed_in.values() for version in versions]

    @property
    def files(self) -> dict[str, SourceFile | KernelEntry]:
        """The files that belong to it: path below its directory, to the record with its ``sha256`` and ``size``."""
        return {
            **{f"patches/{patch.name}": patch for patch in self.patches},
            **{f"custom/{code.name}": code for code in self.custom},
            **{entry.package: entry for entry in self.kernels if entry.status == BUILT},
        }

    def without_package(self, build_id: str, why: str) -> Manifest:
        """The same with an entry whose package is damaged, so that it is built again."""
        old = self._by_build_id[build_id]
        entry = dataclasses.replace(
            empty_kernel(old.release, old.version, build_id, old.arch),
            code=DAMAGED,
            sentence=f"The package {old.package} in the store {why}.",
            next_step="Run the build playbook again, which builds it anew.",
            built=old.built,
            build_host=old.build_host,
        )
        return dataclasses.replace(self, kernels=[entry if kernel is old else kernel for kernel in self.kernels])

    def described_as(self, other: Manifest) -> Manifest:
        """The same with what may change in a description without its being another content."""
        return dataclasses.replace(self, cves=other.cves, fixed_in=other.fixed_in, ignore_missing=other.ignore_missing)

    def with_kernels(self, entries: t.Iterable[KernelEntry]) -> Manifest:
        """The same with entries added.

        An entry that says the same as the one that is there keeps when and where that was built, and a package that is
        there is not given up for a later build that failed.
        """
        kernels = dict(self._by_build_id)
        for entry in entries:
            old = kernels.get(entry.build_id)
            if old and (old.says_the_same(entry) or (old.status == BUILT and entry.status == FAILED)):
                continue
            kernels[entry.build_id] = entry
        return dataclasses.replace(self, kernels=sorted(kernels.values(), key=_order))


def status_of_refusal(code: str) -> str:
    """Whether a build that was refused with ``code`` may end better next time."""
    return REFUSED if code in REFUSALS or code.endswith(REFUSAL_SUFFIX) else FAILED


def parse_manifest(data: t.Any, where: str) -> Manifest:
    """The manifest that a table holds; ``where`` begins the sentences of refusals.

    Raises ``RebootlessError`` (``bad_manifest``).
    """
    return Manifest.from_json(data, where, "bad_manifest")


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """The manifest in a file.

    Raises ``RebootlessError``: ``manifest_missing``, ``manifest_damaged``, ``bad_manifest``.
    """
    data = canonical.read(path, "manifest")
    return parse_manifest(data, f"The manifest {os.fspath(path)}")


def _order(entry: KernelEntry) -> tuple[str, str]:
    return entry.release, entry.build_id
