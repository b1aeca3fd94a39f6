# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which open CVEs concern which host, how near they are to its users, and until when they have to be fixed."""
