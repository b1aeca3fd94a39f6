# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether operators have described what a playbook works on, before it asks any host for anything."""

from __future__ import annotations

import difflib
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

# What rebootless_update may say: docs/fleet.md.
KEYS = ("name", "version", "cves", "patches", "ignore_missing", "custom", "fixed_in")
UPDATE, PATCHES, PLAN, EITHER = "update", "patches", "plan", "either"  # what a playbook needs
EXAMPLE = "docs/fleet.md has an example"


def demand(needed: str, update: t.Any, plan: t.Any) -> None:
    """Raises ``RebootlessError`` unless ``rebootless_update`` and ``rebootless_plan`` say what is needed.

    ``nothing_named`` if they say nothing, ``bad_update`` if the update has unknown keys or lacks one.
    """
    if needed in (PLAN, EITHER) and plan:
        return
    if needed == PLAN:
        raise _nothing(
            "rebootless_plan, the path of a plan", "-e rebootless_plan=plan.json; the playbook plan makes one"
        )
    if not update:
        either = "rebootless_plan or " if needed == EITHER else ""
        raise _nothing(f"{either}rebootless_update", f"-e @update.yml; {EXAMPLE}")
    if isinstance(update, str) and needed != PATCHES:
        return
    _check(update, ("name", "patches") if needed == PATCHES else ("name",))


def _check(update: t.Any, needed: t.Sequence[str]) -> None:
    if not isinstance(update, dict):
        raise _bad(f"rebootless_update is {type(update).__name__}, and no table", f"Give it {' and '.join(needed)}")
    for key in update:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, 1)
            meant = f"Did you mean {near[0]}? " if near else ""
            raise _bad(f"rebootless_update has {key}, which means nothing", f"{meant}It may have {', '.join(KEYS)}")
    for key in needed:
        if not update.get(key):
            raise _bad(f"rebootless_update has no {key}", f"Give it {' and '.join(needed)} at least")


def _nothing(what: str, how: str) -> RebootlessError:
    return RebootlessError("nothing_named", f"The playbook was not given {what}.", f"Give it: {how}.")


def _bad(what: str, how: str) -> RebootlessError:
    return RebootlessError("bad_update", f"{what}.", f"{how}; {EXAMPLE}.")
