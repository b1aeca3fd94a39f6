# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that several modules of the target have."""

from __future__ import annotations


class ModuleDocFragment:
    # Where a host keeps what it has to remember.
    DOCUMENTATION = r"""
options:
  state_directory:
    description: Where the host keeps the packages of its updates, and its records of them.
    type: path
    default: /var/lib/rebootless
"""

    # Modules that change a host's updates, which one task does at a time.
    LOCK = r"""
options:
  lock_timeout:
    description: Seconds to wait for another task that changes this host's updates at the same time.
    type: int
    default: 60
"""
