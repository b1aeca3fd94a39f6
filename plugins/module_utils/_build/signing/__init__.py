# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures of kernel modules: who signs, with which kind of key, and the check of what was signed."""
