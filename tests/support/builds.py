# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel trees, updates and test modules for the lab's kernels, each made once a run."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.helper import build_helper
from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.package import make_package
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import read_tree
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import parse_package
from ansible_collections.rebootless.splice.tests.support import own_kernels
from ansible_collections.rebootless.splice.tests.support.exclusive import locked
from ansible_collections.rebootless.splice.tests.support.places import COLLECTION, KMOD
from ansible_collections.rebootless.splice.tests.support.runner import Runner

TEST_MODULES = COLLECTION / "tests" / "integration" / "kmod"


@dataclasses.dataclass(frozen=True)
class Edit:
    """A change of a source file: `old`, which occurs once, becomes `new`."""

    path: str
    old: str
    new: str


# CVE-2026-52928: SIOCATMARK on a socket that is no stream looked through another kind of queue; see `observe.probe`.
SIOCATMARK = Edit(
    "net/unix/af_unix.c",
    "int answ = 0;\n\n\t\t\tskb = skb_peek",
    "int answ = 0;\n\n\t\t\tif (sk->sk_type != SOCK_STREAM)\n\t\t\t\treturn -EOPNOTSUPP;\n\n\t\t\tskb = skb_peek",
)


@dataclasses.dataclass(frozen=True)
class BuiltUpdate:
    """What update_build returned, and the package's bytes."""

    result: dict[str, t.Any]
    content: bytes

    @property
    def digest(self) -> str:
        return str(self.result["digest"])

    @property
    def function(self) -> str:
        """The first function that it changes."""
        return str(self.result["functions"][0]["name"])

    def with_kernel(self, **kernel: str) -> bytes:
        """The package, with another word on which kernel it is for."""
        package = parse_package("package", self.content)
        return make_package({**package.manifest, "kernel": {**package.manifest["kernel"], **kernel}}, package.files)

    def with_file(self, name: str, content: bytes) -> bytes:
        """The package with another member."""
        package = parse_package("package", self.content)
        return make_package(package.manifest, {**package.files, name: content})

    def file(self, name: str) -> bytes:
        return parse_package("package", self.content).files[name]


class Builds:
    """Runs the build host's modules on this machine; what they cache is in `cache`, shared with everything else.

    `run` is a directory that the workers of this run share: each build is made by the worker that needs it first.
    """

    def __init__(self, controller: Runner, cache: pathlib.Path, run: pathlib.Path) -> None:
        self._controller = controller
        self.cache = cache
        self._run = run / "builds"

    @functools.lru_cache(maxsize=64)  # noqa: B019 - one object for the whole run
    def tree(self, release: str) -> dict[str, t.Any]:
        """The parts of a release's kernel tree, as kernel_tree returns them."""
        result = self._module("kernel_tree", **own_kernels.tree_options(release))
        return {**result["tree"], "path": result["path"]}

    @functools.lru_cache(maxsize=64)  # noqa: B019 - one object for the whole run
    def update(
        self,
        release: str,
        name: str,
        *edits: Edit,
        version: str = "1.0",
        kmod: pathlib.Path = KMOD,
        custom: tuple[tuple[str, str], ...] = (),
        sign: tuple[tuple[str, str], ...] = (),
    ) -> BuiltUpdate:
        """An update of these edits for a release, with the helper module whose sources are in `kmod`.

        `custom` are its custom codes: the source that each belongs to, and its text; `sign` are options of its signer.
        """
        tree = self.tree(release)
        patch = self._file(f"{name}-{version}.patch", "".join(self.patch(release, edit) for edit in edits))
        codes = [
            {"path": str(self._file(f"{name}-{version}-{number}.c", text)), "source": source}
            for number, (source, text) in enumerate(custom)
        ]
        result = self._module(
            "update_build",
            name=name,
            version=version,
            cves=["CVE-2026-52928"] if SIOCATMARK in edits else [],
            patches=[str(patch)],
            custom=codes,
            tree=tree["path"],
            kmod=str(kmod),
            **({"sign": dict(sign)} if sign else {}),
        )
        return BuiltUpdate(result, pathlib.Path(result["package"]).read_bytes())

    def fresh_cache(self, release: str, directory: pathlib.Path) -> Cache:
        """A cache in which nothing was built for this release, except for the helper module of the collection.

        A helper module takes 15 seconds of a processor, and each update of a kernel comes with the same one.
        """
        cache = Cache(directory)
        helper, _built = build_helper(read_tree(self.tree(release)["path"]), KMOD, Cache(self.cache))
        shutil.copytree(helper.module.parent, cache.path("helpers", helper.digest))
        return cache

    def helper_of_abi(self, abi: int) -> pathlib.Path:
        """Sources of a helper module that differs in its ABI's number only."""
        directory = self._run / f"kmod-abi-{abi}"
        with locked(directory):
            if directory.exists():
                return directory
            header = (KMOD / "rebootless.h").read_text()
            text, count = re.subn(r"(?m)^#define RBL_ABI \d+$", f"#define RBL_ABI {abi}", header)
            assert count == 1
            unfinished = directory.with_name(f"{directory.name}.new")
            shutil.copytree(KMOD, unfinished, dirs_exist_ok=True)
            (unfinished / "rebootless.h").write_text(text)
            unfinished.rename(directory)
        return directory

    def patch(self, release: str, edit: Edit) -> str:
        """The edit as a patch of the release's own source."""
        before = pathlib.Path(self.tree(release)["source"], edit.path).read_text(encoding="utf-8")
        assert before.count(edit.old) == 1, f"{edit.old!r} occurs {before.count(edit.old)} times in {edit.path}"
        after = before.replace(edit.old, edit.new)
        lines = difflib.unified_diff(
            before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{edit.path}", f"b/{edit.path}"
        )
        return "".join(lines)

    @functools.lru_cache(maxsize=64)  # noqa: B019 - one object for the whole run
    def test_modules(self, release: str) -> pathlib.Path:
        """The directory with tests/integration/kmod built for a release."""
        tree = self.tree(release)
        sources = sorted(path for path in TEST_MODULES.iterdir() if path.is_file() and path.suffix in ("", ".c", ".h"))
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
        directory = self.cache / "integration" / release / f"kmod-{digest}"
        with locked(directory):
            if not (directory / "done").exists():
                shutil.rmtree(directory, ignore_errors=True)
                directory.mkdir()
                for path in sources:
                    shutil.copy(path, directory)
                command = ["make", "-s", f"-j{os.cpu_count()}", "-C", tree["headers"], f"M={directory}", "modules"]
                done = subprocess.run([*command, f"CC={tree['compiler']}"], capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stdout + done.stderr
                (directory / "done").touch()
        return directory

    def _file(self, name: str, text: str) -> pathlib.Path:
        """A file of this name in a directory of its own: several tests have a patch of the same name."""
        path = self._run / hashlib.sha256(text.encode()).hexdigest()[:16] / name
        with locked(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return path

    def _module(self, module: str, /, **options: t.Any) -> dict[str, t.Any]:
        asked = json.dumps([module, options], sort_keys=True)
        told = self._run / f"{module}-{hashlib.sha256(asked.encode()).hexdigest()[:16]}.json"
        with locked(told):
            if not told.exists():
                result = self._controller.module("localhost", module, cache=str(self.cache), **options)
                assert not result["failed"], result
                told.write_text(json.dumps(result))
        answer: dict[str, t.Any] = json.loads(told.read_text())
        return answer
