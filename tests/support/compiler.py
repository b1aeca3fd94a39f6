# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the kernel has its units compiled: the flags that decide what their objects look like."""

from __future__ import annotations

KERNEL_FLAGS = (
    *("-std=gnu11", "-O2", "-g", "-Wall", "-Wno-unused", "-mcmodel=kernel", "-fno-PIE", "-mno-red-zone", "-mno-80387"),
    *("-fno-common", "-fno-strict-aliasing", "-fno-asynchronous-unwind-tables", "-fcf-protection=none"),
    *("-fno-stack-protector", "-fno-jump-tables", "-fno-delete-null-pointer-checks", "-fconserve-stack", "-pg"),
    *("-mfentry", "-mrecord-mcount", "-mindirect-branch=thunk-extern", "-mindirect-branch-register"),
    "-mfunction-return=thunk-extern",
)
