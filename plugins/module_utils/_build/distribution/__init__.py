# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a distribution's kernel, sources, configuration, compiler and symbols come from."""
