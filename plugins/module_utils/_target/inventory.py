# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host runs: its kernel, its helper module, its updates.

Raises ``RebootlessError`` code ``sysfs_hidden`` where the kernel is not to be seen (``rights.require_visible``).
"""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._target import rights
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import (
    facts,
    installed,
    isolated_cpus,
    keyrings,
    sysfs,
)
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import armed_record, prospects
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.store import Store


def helper() -> dict:
    """The helper module: ``loaded``, and if so its ``abi`` and ``build_id``."""
    rights.require_visible()
    if not sysfs.helper_loaded():
        return {"loaded": False}
    return {"loaded": True, "abi": sysfs.helper_abi(), "build_id": sysfs.helper_build_id()}


def updates(store: Store) -> list[dict]:
    """Each update that the kernel knows, whose package the host keeps, or that is armed for its next boot, by name."""
    rights.require_visible()
    return [_update(store, name) for name in sorted({*sysfs.names(), *store.names(), *armed_record.names(store)})]


def _boot(rows: list[dict]) -> dict:
    """What the next boot of this kernel would do: ``off`` (what forbids it, or ""), and names of updates by state."""
    states = {row["name"]: row["boot"]["state"] for row in rows}
    return {
        "off": prospects.switched_off(),
        **{key: [name for name, state in states.items() if state == key] for key in ("armed", "quarantined")},
    }


def _update(store: Store, name: str) -> dict:
    result = sysfs.update(name)
    manifest = store.manifest(name)
    result["package"] = store.path(name) if name in store.names() else None
    result["package_version"] = manifest.get("version")
    # What a kept package says holds for the kernel only if it is the very build that the kernel runs.
    same = bool(manifest) and manifest["digest"] == result["digest"]
    result["cves"] = manifest["cves"] if same else []
    result["live"] = result["state"] in sysfs.IN_EFFECT
    result["boot"] = prospects.prospect(store, name)
    if same:
        units = {row["name"]: row["unit"] for row in manifest["functions"]}
        for row in result["functions"]:
            row["unit"] = units.get(row["name"])
    return result


def kernel(store: Store) -> dict:
    """The running kernel, and what of it has been fixed live."""
    known = updates(store)
    live = [row for row in known if row["live"]]
    return {
        "release": facts.release(),
        "effective_release": "+".join([facts.release(), *(f"{row['name']}-{row['version']}" for row in live)]),
        "version": facts.version(),
        "build_id": facts.build_id(),
        "arch": facts.arch(),
        "lockdown": facts.lockdown(),
        "secure_boot": facts.secure_boot(),
        "signatures_enforced": facts.signatures_enforced(),
        "module_keys": keyrings.trusted_keys(),
        "modules_disabled": facts.modules_disabled(),
        "isolated_cpus": isolated_cpus.find().shown(),
        "taint": facts.taint(),
        "boot_id": facts.boot_id(),
        "uptime": facts.uptime(),
        "installed": installed.kernels(),
        "helper": helper(),
        "updates": [
            {key: row[key] for key in ("name", "version", "digest", "state", "cves", "deadline")} for row in live
        ],
        "bypassed": [row["name"] for row in known if row["state"] == sysfs.BYPASSED],
        "held": [row["name"] for row in known if row["held_by"]],
        "cves_fixed_live": sorted({cve for row in live for cve in row["cves"]}),
        "boot": _boot(known),
    }
