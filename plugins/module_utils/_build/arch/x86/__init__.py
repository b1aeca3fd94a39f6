# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""x86-64: relocations, instructions, and what its kernels rewrite."""
