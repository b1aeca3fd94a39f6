# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which functions of a running kernel are traced.

Source: kernel/trace/ftrace.c (``t_show`` for ``enabled_functions``): ``name [module] (users) flags``, with the flag I
where the tracer may go elsewhere than back (another live patch); lines that go on with a tab belong to the one before.
"""

from __future__ import annotations

import re

from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.kallsyms import KERNEL

PATHS = ("/sys/kernel/tracing/enabled_functions", "/sys/kernel/debug/tracing/enabled_functions")
LINE = re.compile(r"(\S+)(?: \[(\S+)\])? \(\d+\)((?: +[A-Z])*)")


def traced_functions(paths: tuple[str, ...] = PATHS) -> set[tuple[str, str]]:
    """(name, object name) of each function whose entry calls a mere tracer, after which the function still runs.

    Of several functions of one name none is told if one of them is taken over.  Empty if the kernel does not tell.
    """
    for path in paths:
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                return parse_traced_functions(stream.read())
        except OSError:
            continue
    return set()


def parse_traced_functions(text: str) -> set[tuple[str, str]]:
    """The same from the text of ``enabled_functions``."""
    traced: set[tuple[str, str]] = set()
    taken_over: set[tuple[str, str]] = set()
    for line in text.splitlines():
        found = LINE.match(line)
        if found:
            name, module, flags = found.groups()
            (taken_over if "I" in flags else traced).add((name, module or KERNEL))
    return traced - taken_over
