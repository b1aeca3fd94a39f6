# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The language of object code: sections, relocated fields, contents of places, rewrites."""
