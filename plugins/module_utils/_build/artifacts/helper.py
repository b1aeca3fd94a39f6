# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The helper module and the match library, built once for each kernel, and signed once for each signer."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Mapping

from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.matcher_library import build_library
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache, sha256_of
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import NO_BTF, run
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree
from ansible_collections.rebootless.splice.plugins.module_utils._build.signing.signer import Signer
from ansible_collections.rebootless.splice.plugins.module_utils._common import helper_source
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

MODULE, SYMVERS, LIBRARY = "rebootless.ko", "Module.symvers", "libmatch.so"


@dataclasses.dataclass(frozen=True)
class Helper:
    """A built helper: ``module`` (rebootless.ko), its ``symvers``, the match ``library``; ``digest`` of its inputs."""

    digest: str
    module: Path
    symvers: Path
    library: Path


def keep_sources(kmod: str | None, cache: Cache) -> Path:
    """The directory of the cache with the helper module's sources, as they are now in ``kmod``: a directory, or an
    archive of one (``helper_source.py``).

    A build takes minutes; what becomes of ``kmod`` in the meantime is nothing to it.  The content names the directory,
    so custom code, whose source names a header in it, compiles to the same wherever the sources came from.

    Raises ``RebootlessError`` (``no_helper_source``).
    """
    if not kmod:
        raise RebootlessError(
            "no_helper_source",
            "The controller has not sent the sources of the helper module.",
            "Run the module by its full name as a task of Ansible, or give the path of the directory in kmod.",
        )
    sources = helper_source.read_sources(kmod)
    parts = ("kmod", sha256_of(*(part for item in sources.items() for part in item)))
    directory = cache.path(*parts)
    with cache.lock("/".join(parts)):
        if not _holds(directory, sources):
            with cache.making(*parts) as unfinished:
                _write_sources(sources, unfinished)
    return directory


def _holds(directory: Path, sources: Mapping[str, bytes]) -> bool:
    """Whether what was kept is whole; others than this collection may have been in the cache."""
    try:
        return helper_source.read_sources(str(directory)) == sources
    except RebootlessError:
        return False


def _write_sources(sources: Mapping[str, bytes], directory: Path) -> None:
    for name, content in sources.items():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def helper_digest(tree: KernelTree, kmod: str | Path) -> str:
    """Names a build of the helper: the kernel, the compiler and all sources, by content."""
    sources = helper_source.read_sources(str(kmod))
    return sha256_of("helper", tree.identity, *(part for item in sources.items() for part in item))


def digest_of(tree: KernelTree, kmod: str | Path, signer: Signer | None) -> str:
    """Names a helper by what it is built of and who signs it."""
    built = helper_digest(tree, kmod)
    return signed_digest(built, signer) if signer else built


def find(tree: KernelTree, kmod: str | Path, cache: Cache, signer: Signer | None = None) -> Helper | None:
    """The helper in the cache, signed by ``signer`` if there is one; None if it has to be made."""
    directory = cache.path("helpers", digest_of(tree, kmod, signer))
    return _helper(directory) if directory.is_dir() else None


def make(tree: KernelTree, kmod: str | Path, cache: Cache, signer: Signer | None = None) -> Helper:
    """The helper, built and signed as far as the cache lacks it.

    A key that does not sign is found before the compiler runs.  Raises ``RebootlessError`` as ``build_helper`` and
    ``Signer.sign`` do.
    """
    if signer is not None:
        signer.check()
    found, _built = build_helper(tree, kmod, cache)
    return sign_helper(found, signer, cache)[0] if signer is not None else found


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
    _write_sources(helper_source.read_sources(str(kmod)), work)
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
