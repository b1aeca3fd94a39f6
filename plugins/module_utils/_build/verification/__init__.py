# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second pair of eyes: proves that a finished update module is what the compiler made of the patch."""
