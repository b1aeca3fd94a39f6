# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel configurations, and the compiler that one names.

``olddefconfig`` silently turns off what a missing tool cannot build, and structures change with it; so the
configuration that comes out has to be the one that went in.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from typing import Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import clean_environment
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.distribution.packages import HOST_PACKAGES
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

# Options that change no code: what signs modules, and the salt of the build ID.
_FREE = re.compile(r"CONFIG_(BUILD_SALT|MODULE_SIG_(ALL|KEY|KEY_TYPE_\w+)|SYSTEM_(TRUSTED|REVOCATION)_KEYS)")
# Options that depend on a tool of the build host.
_TOOLS = (
    (re.compile(r"CONFIG_(PAHOLE_\w+|DEBUG_INFO_BTF\w*|SCHED_CLASS_EXT|MODULE_ALLOW_BTF_MISMATCH)"), "pahole"),
    (re.compile(r"CONFIG_(RUST\w*|HAVE_RUST)"), "rustc and bindgen"),
    (re.compile(r"CONFIG_(GCC_PLUGIN\w*|HAVE_GCC_PLUGINS|RANDSTRUCT\w*)"), "gcc's plugin headers"),
    (re.compile(r"CONFIG_(AS|LD|LLD)_(VERSION|IS_\w+|HAS_\w+)"), "binutils"),
    (re.compile(r"CONFIG_(CC|GCC|CLANG)_\w+"), "the compiler"),
)
# What the configuration says where its tool was not there -> make variable that hides the build host's.
_ABSENT = {("CONFIG_RUSTC_VERSION", "0"): "RUSTC"}
_BROKEN = "cannot be run"
_LINE = re.compile(r"^(?:(CONFIG_\w+)=(.*)|# (CONFIG_\w+) is not set)$", re.MULTILINE)


def parse(text: str) -> dict[str, str]:
    """The options of a ``.config``; ``n`` for those that are named as not set."""
    return {m.group(1) or m.group(3): m.group(2) if m.group(1) else "n" for m in _LINE.finditer(text)}


def without_tools(config: dict[str, str]) -> dict[str, str]:
    """Make variables that hide tools of the build host which the distribution built without."""
    return {variable: "false" for (option, value), variable in _ABSENT.items() if config.get(option) == value}


def enabled(config: dict[str, str], option: str) -> bool:
    """Whether ``option`` is built in or modular."""
    return config.get(option, "n") in ("y", "m")


@dataclasses.dataclass(frozen=True)
class OptionDifference:
    """An option that came out otherwise than it went in; ``tool`` is what the build host may lack."""

    option: str
    wanted: str
    got: str
    tool: str = ""
    package: str = ""


def differences(wanted: dict[str, str], got: dict[str, str]) -> list[OptionDifference]:
    """What differs between the distribution's configuration and the prepared one, save what changes no code."""
    found = []
    for option in sorted(wanted.keys() | got.keys()):
        values = wanted.get(option, "n"), got.get(option, "n")
        if values[0] == values[1] or _FREE.fullmatch(option):
            continue
        if option == "CONFIG_CC_VERSION_TEXT" and _without_name(values[0]) == _without_name(values[1]):
            continue
        tool = next((name for pattern, name in _TOOLS if pattern.fullmatch(option)), "")
        found.append(OptionDifference(option, *values, tool, HOST_PACKAGES.tools.get(tool, "")))
    return found


def check(wanted: dict[str, str], got: dict[str, str]) -> None:
    """Raises ``RebootlessError`` (``config_differs``) that names the options that differ, and what may be missing."""
    found = differences(wanted, got)
    if not found:
        return
    named = "; ".join(f"{d.option} is {d.got} instead of {d.wanted}" for d in found[:5])
    more = f"; and {len(found) - 5} more" if len(found) > 5 else ""
    tools = sorted({f"{d.tool} (package {d.package})" if d.package else d.tool for d in found if d.tool})
    raise RebootlessError(
        "config_differs",
        f"The kernel's configuration does not come out as it went in: {named}{more}.",
        f"Install what the distribution built it with; look at {', '.join(tools)}."
        if tools
        else "Check that source and configuration are of the same kernel version.",
        options=[dataclasses.asdict(d) for d in found],
    )


@dataclasses.dataclass(frozen=True)
class FoundCompiler:
    """The C compiler: the command that runs it, and its version text without its name."""

    command: str
    version: str


def version_of(command: str) -> str | None:
    """The first line that ``command --version`` prints, without the program's name; None if it cannot be run."""
    try:
        done = subprocess.run(
            [command, "--version"], capture_output=True, text=True, env=clean_environment(), check=False
        )
    except OSError:
        return None
    lines = done.stdout.splitlines()
    return _without_name(lines[0]) if done.returncode == 0 and lines else None


def find_compiler(config: dict[str, str], command: str | None = None) -> FoundCompiler:
    """The compiler of exactly the version that built the kernel (``CONFIG_CC_VERSION_TEXT``).

    It is ``command`` if given, else the one that the distribution's name calls (``gcc-12``), else ``gcc``.
    Raises ``RebootlessError``: ``compiler_differs``, ``no_compiler_version``.
    """
    text = config.get("CONFIG_CC_VERSION_TEXT", "").strip('"')
    if " " not in text:
        raise RebootlessError(
            "no_compiler_version",
            "The kernel's configuration does not say which compiler built it (CONFIG_CC_VERSION_TEXT).",
            "Give the configuration of the running kernel, as the distribution ships it.",
        )
    wanted = _without_name(text)
    name = text.split(" ", 1)[0]
    found: dict[str, str] = {}
    for candidate in [command] if command else _unique([name, "gcc"]):
        version = version_of(candidate)
        if version == wanted:
            return FoundCompiler(candidate, wanted)
        if version is not None:
            found[candidate] = version
        elif command or shutil.which(candidate):
            found[candidate] = _BROKEN
    rows = (f"{cc} {'' if version == _BROKEN else 'is '}{version}" for cc, version in found.items())
    there = "; ".join(rows) or "no compiler was found"
    raise RebootlessError(
        "compiler_differs",
        f"This kernel was built with {text}, but {there}.",
        f"Install exactly that version of {name}, or name a compiler command of that version.",
        wanted=text,
        found=found,
    )


def _without_name(text: str) -> str:
    return text.strip('"').partition(" ")[2].strip()


def _unique(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))
