# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What decides which CVEs concern a host, and how near their code is to its users."""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._target import inventory
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts, module_reach
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.store import Store

# What of the running kernel decides it.
KERNEL = ("release", "version", "build_id", "arch", "boot_id", "uptime", "modules_disabled", "updates", "bypassed")


def host_facts(store: Store) -> dict:
    """``kernel`` (some of ``inventory.kernel``), ``modules`` by their places, what the host allows, and its clock."""
    kernel = inventory.kernel(store)
    allowed = module_reach.settings()
    modules = module_reach.host_modules(allowed)
    return {
        "kernel": {key: kernel[key] for key in KERNEL},
        "modules": {**modules.places, "complete": modules.complete},
        "user_namespaces": allowed.user_namespaces,
        "autoload": allowed.autoload,
        "line_disciplines": allowed.line_disciplines,
        "clock": facts.wall_time(),
    }
