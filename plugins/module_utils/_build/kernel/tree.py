# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel trees: what it takes to reproduce one distribution kernel's objects.

trees/<release>-<first 12 digits of the build ID>/
    tree.json       KernelTree
    build/          Kbuild's output directory, prepared
    kbuild/         entry makefiles (kbuild.py)
    units.json      UnitMap (units.py)
    objects-2/      compiled units, shared by all updates (compiler.py)
    packages/       the unpacked image and headers packages (debian only)
    prepare.log     what the tools printed
"""

from __future__ import annotations

import dataclasses
import functools
import shutil
from pathlib import Path
from typing import Any

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.table import architecture
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.architecture import Architecture, Kernel
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache, sha256_of
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import Phases, require_tools
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel import config as kernel_config
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.kbuild import Kbuild
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.material import Material
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import UnitMap, find_includers
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

FORMAT = 1  # of tree.json and what lies beside it; trees of another format are prepared anew
_TREE_JSON = "tree.json"
_UNITS_JSON = "units.json"


@dataclasses.dataclass(frozen=True)
class KernelTree:
    """A prepared tree.

    ``release`` as uname -r says it, ``build_id`` hex, ``version`` of the distribution's package (empty if unknown),
    ``arch`` as uname -m says it, ``origin`` ``debian`` or ``directory``.  ``path`` is the tree's directory; ``source``
    the kernel source (shared, never written to), ``build`` Kbuild's output directory, ``headers`` what modules are
    built against, ``config``, ``vmlinuz`` and ``modules`` (empty if unknown) the distribution's own files.
    ``compiler`` is the command that runs the C compiler, ``compiler_version`` the text that it must print.
    ``variables`` are make variables that the distribution built with.  ``identity`` names all of that by content.
    """

    release: str
    build_id: str
    version: str
    arch: str
    origin: str
    path: str
    source: str
    build: str
    headers: str
    config: str
    vmlinuz: str
    modules: str
    compiler: str
    compiler_version: str
    variables: dict[str, str]
    identity: str
    format: int = FORMAT

    def kbuild(self, jobs: int, log: Path | None = None) -> Kbuild:
        """Kbuild in this tree."""
        makefiles = Path(self.path, "kbuild")
        return Kbuild(Path(self.source), Path(self.build), makefiles, self.compiler, self.variables, jobs, log)

    @functools.cached_property
    def units(self) -> UnitMap:
        """All units of this kernel."""
        return UnitMap.from_json(Path(self.path, _UNITS_JSON).read_text(encoding="utf-8"))

    @property
    def architecture(self) -> Architecture:
        """The record of ``arch``.  Raises ``RebootlessError`` (``unsupported_architecture``)."""
        return architecture(self.arch)

    @property
    def kernel(self) -> Kernel:
        """How this kernel rewrites its code.  Raises ``RebootlessError`` (``unsupported_kernel``)."""
        return self.architecture.kernel_of(self.version or self.release)

    def check_compiler(self) -> None:
        """Raises ``RebootlessError`` (``compiler_differs``) if the compiler has changed since the tree was prepared."""
        text = kernel_config.parse(Path(self.config).read_text(encoding="utf-8"))
        kernel_config.find_compiler(text, self.compiler)

    def write(self, directory: Path) -> None:
        """Writes ``tree.json`` into ``directory``."""
        disk.replace(directory / _TREE_JSON, strict_json.exact(dataclasses.asdict(self), indent=1, sort_keys=True))


def read_tree(path: str | Path) -> KernelTree:
    """The tree in directory ``path``.  Raises ``RebootlessError`` (``no_tree``, ``old_tree``)."""
    try:
        data = strict_json.read(Path(path, _TREE_JSON))
        tree = KernelTree(**data) if strict_json.is_same(data.get("format"), FORMAT) else None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RebootlessError(
            "no_tree",
            f"There is no kernel tree in {path}.",
            "Prepare it with the module rebootless.splice.kernel_tree, and give the path that it returns.",
            path=str(path),
        ) from error
    if tree is None or not Path(tree.source).is_dir():
        raise RebootlessError(
            "old_tree",
            f"The kernel tree in {path} was prepared by another release of the collection, or lost its source.",
            "Prepare it again with the module rebootless.splice.kernel_tree.",
            path=str(path),
        )
    return tree


def find_tree(
    cache: Cache, release: str | None, build_id: str | None, version: str | None = None, origin: str | None = None
) -> KernelTree | None:
    """The cached tree that fits everything that is given; None if there is none.

    Raises ``RebootlessError`` (``several_trees``) if what is given fits trees of several kernels.
    """
    found = []
    for path in sorted(cache.path("trees").glob(f"[!.]*/{_TREE_JSON}")):
        try:
            tree = read_tree(path.parent)
        except RebootlessError:
            continue  # of another format: it is prepared anew
        pairs = ((release, tree.release), (build_id, tree.build_id), (version, tree.version), (origin, tree.origin))
        if all(wanted in (None, there) for wanted, there in pairs):
            found.append(tree)
    if len(found) > 1:
        raise RebootlessError(
            "several_trees",
            f"There are {len(found)} kernel trees for {release or build_id}.",
            "Say which one by its build ID.",
            trees=[{"release": t.release, "build_id": t.build_id, "version": t.version} for t in found],
        )
    return found[0] if found else None


def prepare(
    material: Material, directory: Path, final: Path, compiler: str | None, jobs: int, phases: Phases
) -> KernelTree:
    """Makes ``directory`` a kernel tree that will be moved to ``final``.

    Raises ``RebootlessError``: ``config_differs``, ``compiler_differs``, ``missing_tool``, ``prepare_failed``,
    ``scan_failed``, ``modules_differ``.
    """
    config_text = material.config.read_text(encoding="utf-8")
    config = kernel_config.parse(config_text)
    require_tools("make", "flex", "bison", "bc", "perl", "ld", "objcopy")
    if kernel_config.enabled(config, "CONFIG_DEBUG_INFO_BTF"):
        require_tools("pahole")
    found = kernel_config.find_compiler(config, compiler)
    variables = {**material.variables, **kernel_config.without_tools(config)}
    log = directory / "prepare.log"
    kbuild = Kbuild(material.source, directory / "build", directory / "kbuild", found.command, variables, jobs, log)
    kbuild.build.mkdir()
    with phases.phase("configure"):
        (kbuild.build / ".config").write_text(config_text, encoding="utf-8")
        kbuild.prepare("olddefconfig")
        kernel_config.check(config, kernel_config.parse((kbuild.build / ".config").read_text(encoding="utf-8")))
    with phases.phase("prepare"):
        kbuild.prepare("modules_prepare")
    with phases.phase("find units"):
        units = _units(kbuild, material, directory)
        (directory / _UNITS_JSON).write_text(units.to_json(), encoding="utf-8")
    tree = _described(material, kbuild, directory, final, found)
    tree.write(directory)
    return tree


def _described(
    material: Material, kbuild: Kbuild, directory: Path, final: Path, found: kernel_config.FoundCompiler
) -> KernelTree:
    """The tree that was prepared in ``directory``, as it will be in ``final``."""

    def placed(path: Path | None) -> str:
        if path is None:
            return ""
        return str(final / path.relative_to(directory)) if path.is_relative_to(directory) else str(path)

    return KernelTree(
        release=material.release,
        build_id=material.build_id,
        version=material.version,
        arch=material.arch,
        origin=material.origin,
        path=str(final),
        source=str(material.source),
        build=placed(kbuild.build),
        headers=placed(material.headers),
        config=placed(material.config),
        vmlinuz=placed(material.vmlinuz),
        modules=placed(material.modules),
        compiler=found.command,
        compiler_version=found.version,
        variables=kbuild.variables,
        identity=sha256_of(
            FORMAT,
            material.release,
            material.build_id,
            material.source_identity,
            disk.sha256_of_file(material.config),
            found.version,
            sorted(kbuild.variables.items()),
        ),
    )


def _units(kbuild: Kbuild, material: Material, directory: Path) -> UnitMap:
    """The unit map, checked against the list of modules that the distribution built."""
    output = directory / "scan"
    output.mkdir()
    units = UnitMap.from_scan(kbuild.scan(output), find_includers(material.source, architecture(material.arch).source))
    shutil.rmtree(output)
    order = material.modules / "modules.order" if material.modules else None
    if order is not None and order.is_file():
        # Lines such as kernel/fs/ext4/ext4.ko.
        shipped = {
            line.partition("/")[2].removesuffix(".ko") for line in order.read_text(encoding="utf-8").splitlines()
        }
        here = set(units.modules.values())
        if shipped != here:
            raise RebootlessError(
                "modules_differ",
                f"This source and configuration make {len(here)} modules, the distribution shipped {len(shipped)}; "
                f"the first that differs is {min(shipped ^ here)}.",
                "Check that source, configuration and image are of the same kernel version.",
                only_here=sorted(here - shipped)[:20],
                only_shipped=sorted(shipped - here)[:20],
            )
    return units


def summary(tree: KernelTree) -> dict[str, Any]:
    """The tree as modules return it."""
    return {key: value for key, value in dataclasses.asdict(tree).items() if key != "format"}
