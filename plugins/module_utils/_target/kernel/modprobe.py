# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``modprobe`` goes by: the tables of a kernel's modules on the disk, and its configuration.

Sources: modprobe.d(5), modules.dep(5), depmod(8).  Without kmod's programs, which need not be there.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import os
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.reach import module_name

MODULES = "/lib/modules"
# Of files of the same name only the first is read.
CONFIGURATION = tuple(f"{root}/modprobe.d" for root in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"))
LARGEST = 32 << 20  # bytes of a file; the largest, modules.alias of a full flavour, has 1.5 million


@dataclasses.dataclass
class Tables:
    """The modules on the disk: ``needs`` has those that each one needs, ``aliases`` the modules that have an alias,
    ``wants`` the aliases or modules that are loaded with one, ``nodes`` the module of each device node that loads it.
    """

    needs: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    aliases: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    wants: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    nodes: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Configuration:
    """``aliases`` are rows of a pattern and a module; of a module in ``blacklist`` no alias of its own counts; one in
    ``replaced`` is not loaded, but a command is run."""

    aliases: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    blacklist: set[str] = dataclasses.field(default_factory=set)
    replaced: set[str] = dataclasses.field(default_factory=set)

    def resolve(self, alias: str, tables: Tables) -> list[str]:
        """The modules that are loaded where the kernel asks for ``alias``."""
        own = [module for pattern, module in self.aliases if fnmatch.fnmatchcase(alias, pattern)]
        if own:
            return [module for module in own if module in tables.needs]
        name = module_name(alias)
        if name in tables.needs:
            return [name]
        return [module for module in tables.aliases.get(alias, ()) if module not in self.blacklist]


def read_tables(directory: str) -> Tables | None:
    """The tables that depmod(8) left in a directory of modules; None if it has none."""
    needs = _lines(os.path.join(directory, "modules.dep"))
    if needs is None:
        return None
    tables = Tables()
    for line in needs:
        path, colon, rest = line.partition(":")
        if colon and path:
            tables.needs[_of_path(path)] = [_of_path(word) for word in rest.split()]
    for words in _words(os.path.join(directory, "modules.alias"), "alias", 3):
        tables.aliases.setdefault(words[1], []).append(module_name(words[2]))
    for words in _words(os.path.join(directory, "modules.softdep"), "softdep", 3):
        tables.wants.setdefault(module_name(words[1]), []).extend(w for w in words[2:] if not w.endswith(":"))
    for line in _lines(os.path.join(directory, "modules.devname")) or ():
        words = line.split()
        if len(words) == 3 and not line.startswith("#"):
            tables.nodes[words[1]] = module_name(words[0])
    return tables


def _of_path(path: str) -> str:
    """The module of a file: ``nf_tables`` of ``kernel/net/netfilter/nf_tables.ko.xz``."""
    return module_name(os.path.basename(path).partition(".ko")[0])


def _words(path: str, first: str, least: int) -> t.Iterator[list[str]]:
    for line in _lines(path) or ():
        words = line.split()
        if len(words) >= least and words[0] == first:
            yield words


def _lines(path: str) -> list[str] | None:
    try:
        with open(path, "rb") as stream:
            return stream.read(LARGEST).decode("utf-8", "replace").splitlines()
    except OSError:
        return None


def read_configuration(directories: t.Sequence[str] = CONFIGURATION, command_line: str = "") -> Configuration:
    """What the files of modprobe.d(5) and the kernel's command line (its option modprobe.blacklist) say."""
    found = Configuration()
    files: dict[str, str] = {}
    for directory in directories:
        for name in _names(directory):
            files.setdefault(name, os.path.join(directory, name))
    for name in sorted(files):
        _configure(found, "\n".join(_lines(files[name]) or ()))
    found.blacklist.update(listed(command_line, "modprobe.blacklist"))
    return found


def _names(directory: str) -> list[str]:
    try:
        return [name for name in os.listdir(directory) if name.endswith(".conf")]
    except OSError:
        return []


def _configure(found: Configuration, text: str) -> None:
    for line in text.replace("\\\n", " ").splitlines():
        words = line.split()
        if len(words) >= 3 and words[0] == "alias":
            found.aliases.append((words[1], module_name(words[2])))
        elif len(words) >= 2 and words[0] == "blacklist":
            found.blacklist.add(module_name(words[1]))
        elif len(words) >= 3 and words[0] == "install":
            found.replaced.add(module_name(words[1]))


def listed(command_line: str, option: str) -> set[str]:
    """The modules that an option of the kernel's command line lists."""
    values = [word.partition("=")[2] for word in command_line.split() if word.partition("=")[0] == option]
    return {module_name(name) for value in values for name in value.split(",") if name}
