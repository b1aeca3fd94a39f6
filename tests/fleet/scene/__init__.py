# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fault tests act with: pairs of machines, updates that do harm, a service to be kept whole, a controller."""
