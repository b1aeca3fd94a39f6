# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the build host, the target and the controller share.  Private to rebootless.splice.

Standard library only, and Python 3.8 or newer, since targets use it, too.
"""
