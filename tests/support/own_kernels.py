# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernels that are built here, as an operator builds one, in place of the stock kernel that the tests are made for.

``REBOOTLESS_KERNEL=debug`` has the integration tests run on the kernel of tests/kernels/debug.config, which
``make debug-kernel`` builds.  In the cache, in ``kernels/<name>-<digest>``:

================  ============================================================================
``kernel.json``   its release, and where its source is
``build``         the kernel's build directory, as far as modules are built against it
``config``        its configuration
``vmlinuz``       its bootable image
``root``          a directory with ``lib/modules/<release>``
================  ============================================================================
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache, sha256_of
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel import config as kernel_config
from ansible_collections.rebootless.splice.plugins.module_utils._build.lab import kernel_image
from ansible_collections.rebootless.splice.plugins.module_utils._common import strict_json
from ansible_collections.rebootless.splice.tests.support.places import CACHE, COLLECTION

STOCK = "6.1.0-50-cloud-amd64"  # of whose source they are built, and which they take the place of
COMPILER = "gcc-12"
# What would put another time, host or user into each build.
VARIABLES = {
    "KBUILD_BUILD_USER": "rebootless",
    "KBUILD_BUILD_HOST": "test",
    "KBUILD_BUILD_TIMESTAMP": "Mon Jan  1 00:00:00 UTC 2024",
}
# Of each kernel: what a machine needs, and how many times slower than a stock kernel it runs in an emulator.
MEMORY_MIB = {"debug": 1024}
SLOWNESS = {"debug": 4.0}
CONFIGS = COLLECTION / "tests" / "kernels"


@dataclasses.dataclass(frozen=True)
class OwnKernel:
    """A kernel that was built: what ``kernel.json`` says of it, and where it is."""

    name: str
    directory: pathlib.Path
    release: str
    source: str

    @property
    def directories(self) -> dict[str, str]:
        """The option ``directory`` of kernel_tree."""
        return {
            "source": self.source,
            "headers": str(self.directory / "build"),
            "config": str(self.directory / "config"),
            "vmlinuz": str(self.directory / "vmlinuz"),
            "modules": str(self.modules),
        }

    @property
    def modules(self) -> pathlib.Path:
        return self.directory / "root" / "lib" / "modules" / self.release

    def make_image(self) -> None:
        """Has the lab find it by its release, as it does the distribution's kernels."""
        kernel_image.make_own_image(Cache(CACHE), self.release, self.directory / "vmlinuz", self.directory / "root")


def place(name: str) -> tuple[str, str]:
    """Where the kernel of ``<name>.config`` is in the cache, by all that it is built from; the last part names it."""
    options = kernel_config.parse((CONFIGS / f"{name}.config").read_text(encoding="utf-8"))
    version = kernel_config.version_of(COMPILER)
    digest = sha256_of(sorted(options.items()), STOCK, version, sorted(VARIABLES.items()))
    return "kernels", f"{name}-{digest[:10]}"


def read(name: str) -> OwnKernel | None:
    """The kernel of ``<name>.config``, None if it was not built yet."""
    directory = CACHE.joinpath(*place(name))
    try:
        return OwnKernel(name, directory, **strict_json.read(directory / "kernel.json"))
    except FileNotFoundError:
        return None


@functools.cache
def chosen() -> OwnKernel | None:
    """The kernel that this run is to use in place of the stock one; None: the stock one."""
    name = os.environ.get("REBOOTLESS_KERNEL", "")
    if not name:
        return None
    kernel = read(name)
    if kernel is None:
        raise SystemExit(f"The kernel {name} is not built: make {name}-kernel")
    kernel.make_image()
    return kernel


def release() -> str:
    """The release that tests of one kernel run on."""
    kernel = chosen()
    return kernel.release if kernel else STOCK


def tree_options(wanted: str) -> dict[str, t.Any]:
    """The options of kernel_tree for a release."""
    kernel = chosen()
    if kernel and kernel.release == wanted:
        return {"source": "directory", "directory": kernel.directories, "release": wanted}
    return {"release": wanted}


def arguments(wanted: str) -> list[str]:
    """More arguments for a kernel of this release: its console is to have all complaints, and its boot takes long."""
    kernel = chosen()
    own = ["ignore_loglevel", "systemd.default_timeout_start_sec=900"]
    return own if kernel and kernel.release == wanted else []


def slowness() -> float:
    """How many times as long as on a stock kernel all may take."""
    kernel = chosen()
    return SLOWNESS[kernel.name] if kernel else 1.0


def memory(wanted: str, usual: int) -> int:
    """The MiB that a machine with this release gets."""
    kernel = chosen()
    return MEMORY_MIB[kernel.name] if kernel and kernel.release == wanted else usual
