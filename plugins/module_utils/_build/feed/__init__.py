# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is published about the kernel's CVEs, and what a kernel has and lacks of their fixes."""
