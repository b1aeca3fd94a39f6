# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on a host whose kernel is patched.  Private to rebootless.splice.

Standard library only, and Python 3.8 or newer: a host needs nothing but Python.
"""
