# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes into the store: an update as operators describe it, and the results of its builds."""

from __future__ import annotations

import dataclasses
import datetime
import os
import re
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import signers, strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.distribution import kernel_package
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import Package, read_package
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import canonical, times
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import Row
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.manifest import (
    BUILT,
    FAILED,
    NOT_APPLICABLE,
    KernelEntry,
    ListedCustomCode,
    Manifest,
    SourceFile,
    empty_kernel,
    parse_manifest,
    status_of_refusal,
)

Files = t.Dict[str, bytes]


@dataclasses.dataclass(frozen=True)
class ListedBuild:
    """How the build for one kernel ended: with ``package``, the path of what was built, or without.

    ``result`` is what the task returned that ended it, of a module of the collection or of one that broke; ``version``
    of the distribution's package and ``arch`` are those of the kernel, as far as they are known.
    """

    release: str
    build_id: str
    version: str = ""
    arch: str = ""
    package: str | None = None
    result: Row = dataclasses.field(default_factory=dict)
    build_host: str = ""


def describe(options: Row) -> tuple[Manifest, Files]:
    """The manifest of an update without kernels, and its files, from what an operator gives.

    ``options`` has ``name``, ``version``, ``cves``, ``patches`` (paths), ``custom`` (``path``, ``source``),
    ``fixed_in`` (a list of versions of ``kernel_package.SOURCE``, or a table of them by source package), and
    ``ignore_missing`` (patched files that a kernel need not have).

    Raises ``RebootlessError``: ``bad_update``, ``patch_missing``.
    """
    patches = [_source_file(number, path) for number, path in enumerate(options["patches"], 1)]
    custom = []
    for number, code in enumerate(options["custom"], 1):
        file, content = _source_file(number, code["path"])
        custom.append((ListedCustomCode(**vars(file), source=code["source"]), content))
    fixed_in = options["fixed_in"] or {}
    update = Manifest(
        name=options["name"],
        version=options["version"],
        cves=list(options["cves"]),
        fixed_in={kernel_package.SOURCE: fixed_in} if isinstance(fixed_in, list) else fixed_in,
        patches=[file for file, _content in patches],
        custom=[code for code, _content in custom],
        kernels=[],
        ignore_missing=sorted(set(options["ignore_missing"])),
    )
    files = {
        **{f"patches/{file.name}": content for file, content in patches},
        **{f"custom/{code.name}": content for code, content in custom},
    }
    try:
        return parse_manifest(update.to_json(), "The update"), files
    except RebootlessError as error:
        raise RebootlessError("bad_update", error.sentence, "Correct the update's description.") from error


def entry(
    update: Manifest, build: ListedBuild, now: t.Callable[[], datetime.datetime] = times.now
) -> tuple[KernelEntry, Files]:
    """The entry of one kernel, and its package under its name.

    Raises ``RebootlessError``: what `read_package` raises, ``package_differs`` if it is one of something else, and
    ``signer_differs`` if others than its manifest names have signed it, ``bad_result`` for a result that is no JSON.
    """
    kernel = dataclasses.replace(
        empty_kernel(build.release, build.version, build.build_id, build.arch),
        built=times.written(now()),
        build_host=build.build_host,
    )
    if not build.package:
        return dataclasses.replace(kernel, **_reason(build)), {}
    package = read_package(build.package)
    _check_package(update, build, package)
    _check_listed(update, package)
    signers.check(package)
    manifest = package.manifest
    name = os.path.basename(build.package)
    built = dataclasses.replace(
        kernel,
        release=manifest["kernel"]["release"],
        version=manifest["kernel"]["version"],
        arch=manifest["kernel"]["arch"],
        status=BUILT,
        package=name,
        sha256=package.sha256,
        size=len(package.content),
        build_digest=package.digest,
        functions=[row["name"] for row in manifest["functions"]],
        objects=list(manifest["objects"]),
        compiler=str(manifest.get("compiler", "")),
        remarks=_tables(build, build.result.get("remarks")),
        ignore_missing=update.ignore_missing,
        signer=manifest.get("signer", {}),
    )
    return built, {name: package.content}


def _reason(build: ListedBuild) -> Row:
    """Why there is no package, as fields of its entry, from what a task returned."""
    result = build.result
    if result.get("applicable") is False:
        rows = result.get("not_applicable") or []
        return {
            "status": NOT_APPLICABLE,
            "code": rows[0]["code"] if rows else "not_applicable",
            "sentence": " ".join(row["reason"] for row in rows) or "The update changes nothing in this kernel.",
            "next_step": "Leave the hosts with this kernel out; they do not have the fault.",
        }
    code = str(result.get("code") or "")
    if not code:  # no refusal of a module of the collection, but a task that broke
        return {
            "status": FAILED,
            "code": "build_broke",
            "sentence": _first_line(result.get("msg")) or "The build ended without a result.",
            "next_step": "See the output of the build playbook, and run it again.",
        }
    details = result.get("details")
    return {
        "status": status_of_refusal(code),
        "code": code,
        "sentence": str(result.get("sentence") or result.get("msg") or code),
        "next_step": str(result.get("next_step") or ""),
        "findings": _tables(build, details.get("findings") if isinstance(details, dict) else None),
    }


def _tables(build: ListedBuild, value: t.Any) -> list[Row]:
    """The tables of a list that a task returned.  Ansible reads NaN as a number, which no manifest can hold."""
    found = [row for row in value or [] if isinstance(row, dict)]
    try:
        strict_json.exact(found)
    except (ValueError, TypeError) as error:
        raise RebootlessError(
            "bad_result",
            f"What the build for the kernel {build.release} returned is no JSON: {error}.",
            "Build it again; if it returns the same, report it with the output of the build playbook.",
            release=build.release,
        ) from error
    return found


def _check_package(update: Manifest, build: ListedBuild, package: Package) -> None:
    found = (package.name, package.version, package.manifest["kernel"]["build_id"])
    wanted = (update.name, update.version, build.build_id)
    if found != wanted:
        raise RebootlessError(
            "package_differs",
            f"The package {package.path} is of {found[0]} {found[1]} for the kernel {found[2]}, and not of {wanted[0]} "
            f"{wanted[1]} for {wanted[2]}.",
            "Report it; packages of builds are not to be mixed up.",
            found=list(found),
            wanted=list(wanted),
        )


def _check_listed(update: Manifest, package: Package) -> None:
    """A package that was built without need of other files is another build, though its name and version are these."""
    found = package.manifest.get("ignore_missing", [])
    if found != update.ignore_missing:
        raise RebootlessError(
            "package_differs",
            f"The package {package.path} was built with ignore_missing {_listed(found)}, and the update has "
            f"{_listed(update.ignore_missing)}.",
            "Build it again with the ignore_missing of the update's description.",
            found=found,
            wanted=update.ignore_missing,
        )


def _listed(paths: t.Any) -> str:
    return ", ".join(map(str, paths)) if isinstance(paths, list) and paths else "empty"


def _source_file(number: int, path: str) -> tuple[SourceFile, bytes]:
    """A file of the update, named by its place among its kind, and its content."""
    content = _content(path)
    return SourceFile(f"{number:02}-{_file_name(path)}", canonical.sha256(content), len(content)), content


def _content(path: str) -> bytes:
    try:
        with open(os.path.expanduser(path), "rb") as stream:
            content = stream.read()
    except OSError as error:
        raise RebootlessError(
            "patch_missing",
            f"The file {path} of the update cannot be read: {error.strerror}.",
            "Give its path on the controller.",
            path=path,
        ) from error
    if not content.strip():
        raise RebootlessError(
            "bad_update", f"The file {path} of the update is empty.", "See how it was made, and put its content there."
        )
    return content


def _file_name(path: str) -> str:
    """The base name, of characters that need no care in any shell or URL."""
    return re.sub(r"[^A-Za-z0-9.+_-]", "_", os.path.basename(path))[-100:]


def _first_line(text: t.Any) -> str:
    return str(text or "").strip().partition("\n")[0]
