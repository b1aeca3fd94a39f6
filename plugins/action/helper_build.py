# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of helper_build: it sends the helper module's sources."""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.build_action import BuildAction


class ActionModule(BuildAction):
    pass
