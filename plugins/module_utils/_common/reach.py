# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How near code of the kernel is to those who would misuse a fault in it: one word for each place that it can be in."""

from __future__ import annotations

import typing as t

VMLINUX = "vmlinux"  # in the kernel's image, which always runs
LOADED = "loaded"  # in a module that is loaded
USERS = "users"  # in a module that any user can have the kernel load, as by opening a socket of its family
ROOT = "root"  # in a module that only root can load
NEVER = "never"  # in a module that cannot be loaded
UNKNOWN = "unknown"  # it is not known where the code is, or what the host has of modules

# Nearest first.  What is not known may be in the image.
ORDER = (VMLINUX, UNKNOWN, LOADED, USERS, ROOT, NEVER)
RANK = {word: rank for rank, word in enumerate(ORDER)}
# What a host says of its modules, each kind a list of names; a module that is in none of them is not there.
OF_MODULES = (LOADED, USERS, ROOT, NEVER)


def module_name(text: str) -> str:
    """A module's name as the kernel has it: what files and aliases write with dashes has underscores."""
    return text.replace("-", "_")


def nearest(words: t.Iterable[str]) -> str:
    """The nearest of several places; ``UNKNOWN`` if there is none."""
    return min(words, key=RANK.__getitem__, default=UNKNOWN)


def of_objects(objects: t.Iterable[str], modules: t.Mapping[str, str], others: str = NEVER) -> str:
    """Where code is that is built into ``objects`` (``vmlinux`` and modules), on a host that has these ``modules``.

    ``modules`` are places by name, ``others`` is the place of those that are not among them: ``UNKNOWN`` if the host
    does not say which ones it has.
    """
    return nearest(VMLINUX if name == VMLINUX else modules.get(module_name(name), others) for name in objects)
