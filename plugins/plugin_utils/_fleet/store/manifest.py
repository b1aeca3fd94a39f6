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

from ansible_collections.rebootless.splice.plugins.module_utils._common import debian_version
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import canonical, fields

FORMAT = 1
FILE = "manifest.json"

BUILT, NOT_APPLICABLE, REFUSED, FAILED = "built", "not_applicable", "refused", "failed"
DAMAGED = "store_damaged"  # the code of an entry whose package is not what it was
STATUSES = {
    BUILT: "there is a package",
    NOT_APPLICABLE: "the update changes nothing in this kernel",
    REFUSED: "the update cannot be made live in this kernel",
    FAILED: "not built; it is tried again next time",
}
# Refusals that come from the patch and this kernel, so that another try ends like the first.
REFUSALS = frozenset(
    (
        "does_not_compile",
        "generated_source_changes",
        "patch_does_not_apply",
        "replaced_file_bypassed",
        "unsafe_change",
    )
)
REFUSAL_SUFFIX = "_not_supported"

NAME_OF_FILE = (lambda value: fields.filled(value) and value == os.path.basename(value) != "..", "the name of a file")
FILE_FIELDS: dict[str, tuple[fields.Check, str]] = {
    "name": NAME_OF_FILE,
    "sha256": fields.A_SHA256,
    "size": fields.A_COUNT,
}
PATCH = fields.Fields(FILE_FIELDS)
CUSTOM = fields.Fields({**FILE_FIELDS, "source": fields.A_WORD})
KERNEL = fields.Fields(
    {
        "release": fields.A_TEXT,
        "version": fields.A_TEXT,
        "build_id": (fields.matches(fields.HEX), "hex digits"),
        "arch": fields.A_TEXT,
        "status": (fields.one_of(*STATUSES), f"one of {', '.join(STATUSES)}"),
        "package": fields.A_TEXT,
        "sha256": fields.A_TEXT,
        "size": fields.A_COUNT,
        "build_digest": fields.A_TEXT,
        "functions": fields.A_LIST,
        "objects": fields.A_LIST,
        "compiler": fields.A_TEXT,
        "code": fields.A_TEXT,
        "sentence": fields.A_TEXT,
        "next_step": fields.A_TEXT,
        "findings": (fields.list_of(fields.table), "a list of tables"),
        "built": fields.A_WORD,
        "build_host": fields.A_TEXT,
        # What operators should know of a fix that is made live: code, sentence and details of each.
        "remarks": (lambda value: fields.list_of(fields.table)(value) and value != [], "a list of tables"),
    },
    optional=("remarks",),
)
# Of a kernel for which there is a package.
BUILT_KERNEL = {
    "package": fields.A_PACKAGE,
    "sha256": fields.A_SHA256,
    "size": (fields.whole(1), "a number of bytes"),
    "build_digest": fields.A_SHA256,
}
ROWS = (fields.list_of(fields.table), "a list of tables")
MANIFEST = fields.Fields(
    {
        "format": (fields.one_of(FORMAT), f"{FORMAT}"),
        "name": fields.A_NAME,
        "version": fields.A_VERSION,
        "cves": fields.A_LIST,
        "fixed_in": (
            lambda value: (
                isinstance(value, dict) and all(map(fields.list_of(debian_version.is_version), value.values()))
            ),
            "a table of source packages with their versions",
        ),
        "patches": ROWS,
        "custom": ROWS,
        "kernels": ROWS,
    }
)
# What says who built an entry, and when; the entry is the same without it.
PROVENANCE = ("built", "build_host")

Row = t.Dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A checked manifest; its kernels are in the order of their releases."""

    name: str
    version: str
    cves: list[str]
    fixed_in: dict[str, list[str]]
    patches: list[Row]
    custom: list[Row]
    kernels: list[Row]

    @property
    def content(self) -> bytes:
        """The bytes of the manifest's file."""
        return canonical.canonical({"format": FORMAT, **dataclasses.asdict(self)})

    @functools.cached_property
    def sha256(self) -> str:
        return canonical.sha256(self.content)

    def kernel(self, build_id: str) -> Row | None:
        """What became of the update for the kernel with this build ID; ``None`` if it was never tried."""
        return self._by_build_id.get(build_id)

    @functools.cached_property
    def _by_build_id(self) -> dict[str, Row]:
        return {row["build_id"]: row for row in self.kernels}

    @property
    def versions_with_fix(self) -> list[str]:
        """Versions of any of the distribution's kernel packages from which on the fix is in."""
        return [version for versions in self.fixed_in.values() for version in versions]

    @property
    def files(self) -> dict[str, Row]:
        """The files that belong to it: path below its directory, to a row with ``sha256`` and ``size``."""
        return {
            **{f"patches/{row['name']}": row for row in self.patches},
            **{f"custom/{row['name']}": row for row in self.custom},
            **{row["package"]: row for row in self.kernels if row["status"] == BUILT},
        }

    def without_package(self, build_id: str, why: str) -> Manifest:
        """The same with an entry whose package is damaged, so that it is built again."""
        old = self._by_build_id[build_id]
        row = {
            **empty_kernel(old["release"], old["version"], build_id, old["arch"]),
            "code": DAMAGED,
            "sentence": f"The package {old['package']} in the store {why}.",
            "next_step": "Run the build playbook again, which builds it anew.",
            "built": old["built"],
            "build_host": old["build_host"],
        }
        return dataclasses.replace(self, kernels=[row if kernel is old else kernel for kernel in self.kernels])

    def with_kernels(self, rows: t.Iterable[Row]) -> Manifest:
        """The same with entries added.

        An entry that says the same as the one that is there keeps when and where that was built, and a package that is
        there is not given up for a later build that failed.
        """
        kernels = dict(self._by_build_id)
        for row in rows:
            old = kernels.get(row["build_id"])
            if old and (_same(old, row) or (old["status"] == BUILT and row["status"] == FAILED)):
                continue
            kernels[row["build_id"]] = row
        return dataclasses.replace(self, kernels=sorted(kernels.values(), key=_order))


def empty_kernel(release: str, version: str, build_id: str, arch: str) -> Row:
    """An entry with nothing in it but the kernel's names."""
    return {
        "release": release,
        "version": version,
        "build_id": build_id,
        "arch": arch,
        "status": FAILED,
        "package": "",
        "sha256": "",
        "size": 0,
        "build_digest": "",
        "functions": [],
        "objects": [],
        "compiler": "",
        "code": "",
        "sentence": "",
        "next_step": "",
        "findings": [],
        "built": "",
        "build_host": "",
    }


def status_of_refusal(code: str) -> str:
    """Whether a build that was refused with ``code`` may end better next time."""
    return REFUSED if code in REFUSALS or code.endswith(REFUSAL_SUFFIX) else FAILED


def parse_manifest(data: t.Any, where: str) -> Manifest:
    """The manifest that a table holds; ``where`` begins the sentences of refusals.

    Raises ``RebootlessError`` (``bad_manifest``).
    """
    code = "bad_manifest"
    MANIFEST.check(data, where, code)
    for row in data["patches"]:
        PATCH.check(row, f"{where}, a patch,", code)
    for row in data["custom"]:
        CUSTOM.check(row, f"{where}, a custom code,", code)
    seen = set()
    for row in data["kernels"]:
        place = f"{where}, kernel {row.get('release', '')},"
        KERNEL.check(row, place, code)
        if row["build_id"] in seen:
            raise fields.wrong(code, place, f"has the build ID {row['build_id']}, which another has too")
        seen.add(row["build_id"])
        for name, (good, wanted) in BUILT_KERNEL.items() if row["status"] == BUILT else ():
            if not good(row[name]):
                raise fields.wrong(code, place, f"has {name}: {row[name]!r}, which is not {wanted}")
        if row["status"] != BUILT and not (row["code"] and row["sentence"]):
            raise fields.wrong(code, place, "has neither a package nor a reason")
    return Manifest(**{name: value for name, value in data.items() if name != "format"})


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """The manifest in a file.

    Raises ``RebootlessError``: ``manifest_missing``, ``manifest_damaged``, ``bad_manifest``.
    """
    data, _digest = canonical.read(path, "manifest")
    return parse_manifest(data, f"The manifest {os.fspath(path)}")


def _same(one: Row, other: Row) -> bool:
    return all(one.get(name) == other.get(name) for name in {*one, *other} - {*PROVENANCE})


def _order(row: Row) -> tuple[str, str]:
    return row["release"], row["build_id"]
