# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The helper module and the match library, built once for each kernel, and signed once for each signer."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.matcher_library import build_library
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache, sha256_of
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import NO_BTF, run
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree
from ansible_collections.rebootless.splice.plugins.module_utils._build.signing.signer import Signer
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

MODULE, SYMVERS, LIBRARY = "rebootless.ko", "Module.symvers", "libmatch.so"
_SUFFIXES = (".c", ".h", ".S")
_MAKEFILES = ("Kbuild", "Makefile")


@dataclasses.dataclass(frozen=True)
class Helper:
    """A built helper: ``module`` (rebootless.ko), its ``symvers``, the match ``library``; ``digest`` of its inputs."""

    digest: str
    module: Path
    symvers: Path
    library: Path


def helper_sources(kmod: str | Path) -> dict[str, bytes]:
    """The source files below ``kmod``, by path; what a build leaves there is not among them.

    Raises ``RebootlessError`` (``no_helper_source``).
    """
    root = Path(kmod)
    found = {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and (path.suffix in _SUFFIXES or path.name in _MAKEFILES) and ".mod." not in path.name
    }
    if "Kbuild" not in found or "rebootless.h" not in found:
        raise RebootlessError(
            "no_helper_source",
            f"{kmod} does not hold the sources of the helper module.",
            "Give the path of the collection's directory kmod on the build host.",
            path=str(kmod),
        )
    return found


def helper_digest(tree: KernelTree, kmod: str | Path) -> str:
    """Names a build of the helper: the kernel, the compiler and all sources, by content."""
    return sha256_of("helper", tree.identity, *(part for item in helper_sources(kmod).items() for part in item))


def find_helper(tree: KernelTree, kmod: str | Path, cache: Cache) -> Helper | None:
    """The built helper in the cache; None if it has to be built."""
    directory = cache.path("helpers", helper_digest(tree, kmod))
    return _helper(directory) if directory.is_dir() else None


def build_helper(tree: KernelTree, kmod: str | Path, cache: Cache) -> tuple[Helper, bool]:
    """The helper for this kernel, and whether it had to be built.

    Raises ``RebootlessError``: ``no_helper_source``, ``helper_build_failed``, ``library_failed``.
    """
    digest = helper_digest(tree, kmod)
    with cache.made_once("helpers", digest) as unfinished:
        if unfinished is not None:
            _build(tree, kmod, unfinished)
    return _helper(cache.path("helpers", digest)), unfinished is not None


def signed_digest(digest: str, signer: Signer) -> str:
    """Names the helper that ``digest`` names, signed by ``signer``."""
    return sha256_of("signed helper", digest, *signer.identity)


def find_signed(helper: Helper, signer: Signer, cache: Cache) -> Helper | None:
    """The helper signed by ``signer`` in the cache; None if it has to be signed."""
    directory = cache.path("helpers", signed_digest(helper.digest, signer))
    return _helper(directory) if directory.is_dir() else None


def sign_helper(helper: Helper, signer: Signer, cache: Cache) -> tuple[Helper, bool]:
    """The helper with the signature of ``signer`` behind its module, and whether it had to be signed.

    It is kept, so that all packages hold the same bytes, also where each signature of a key is another one.  Raises
    ``RebootlessError`` as ``Signer.sign`` does.
    """
    digest = signed_digest(helper.digest, signer)
    with cache.made_once("helpers", digest) as unfinished:
        if unfinished is not None:
            (unfinished / MODULE).write_bytes(signer.sign(helper.module.read_bytes()))
            for path in (helper.symvers, helper.library):
                shutil.copyfile(path, unfinished / path.name)
    return _helper(cache.path("helpers", digest)), unfinished is not None


def _build(tree: KernelTree, kmod: str | Path, directory: Path) -> None:
    work = directory / "source"
    for name, content in helper_sources(kmod).items():
        target = work / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    run(
        [
            *("make", "-C", tree.headers, f"M={work}", f"CC={tree.compiler}"),
            # The module is to be the same wherever it is built: without DWARF and without this path.
            f"KCFLAGS=-g0 -fmacro-prefix-map={work}/=",
            "KAFLAGS=-g0",
            NO_BTF,
            "modules",
        ],
        "helper_build_failed",
        f"The helper module does not build for {tree.release}.",
        "Report it with the output of the tools.",
    )
    for name in (MODULE, SYMVERS):
        shutil.copyfile(work / name, directory / name)
    build_library(directory / LIBRARY, work, tree.architecture, tree.compiler)
    shutil.rmtree(work)


def _helper(directory: Path) -> Helper:
    return Helper(directory.name, directory / MODULE, directory / SYMVERS, directory / LIBRARY)
