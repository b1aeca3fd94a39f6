# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What functions do to the members of objects, from the compiler's own account of them."""
