# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an update does beside everything else that uses a kernel's text: a table, its document, and its tests."""
