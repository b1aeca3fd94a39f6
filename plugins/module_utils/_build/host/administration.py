# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that an administrator runs (``depmod``, ``mke2fs``): the lab makes its images with them."""

from __future__ import annotations

import os
from typing import Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.host import commands

#: where they are (Filesystem Hierarchy Standard 3.16, 4.10); not on every user's PATH
ADMINISTRATION = "/usr/local/sbin:/usr/sbin:/sbin"


def run(argv: Sequence[str], cwd: str | os.PathLike[str] | None = None) -> str:
    """Runs a program and returns its standard output.

    Raises ``RebootlessError``: ``program_failed`` with the end of its output, or ``missing_tool``.
    """
    return commands.run(
        argv,
        "program_failed",
        f"{os.path.basename(argv[0])} failed.",
        "Read its output in the details. What the lab needs is listed in the collection's bindep.txt.",
        cwd=cwd,
        env=commands.clean_environment(PATH=f"{os.environ.get('PATH', os.defpath)}:{ADMINISTRATION}"),
    )
