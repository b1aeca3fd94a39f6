# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that several modules of the build host have."""

from __future__ import annotations


class ModuleDocFragment:
    # Where the build host keeps what it makes.
    DOCUMENTATION = r"""
options:
  cache:
    description: Directory of the build host's cache.
    type: path
    default: ~/.cache/rebootless
"""

    # What is built against: a kernel tree, and the helper module's sources.
    INPUTS = r"""
options:
  tree:
    description: The kernel tree's directory, as M(rebootless.splice.kernel_tree) returned it.
    type: path
    required: true
  kmod:
    description:
      - Path on the build host of a directory with the sources of the helper module, or of a zip archive of one.
      - Without it, the controller sends those of the collection, as it is installed there.
    type: path
"""

    # Who goes first.
    URGENT = r"""
options:
  urgent:
    description:
      - Whether this task gets a lock of O(cache), or of a kernel tree in it, before all tasks that are not urgent.
      - What others have begun is not interrupted. A task that holds what an urgent one waits for becomes urgent, too.
    type: bool
    default: false
"""

    # How much of the build host is used.
    JOBS = r"""
options:
  jobs:
    description: How many compilers run at the same time. Without it, one for each processor.
    type: int
"""
