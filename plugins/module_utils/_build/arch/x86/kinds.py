# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why running bytes may differ from the object file's at a place.

``enum rbl_place_kind`` of kmod/arch/x86/places.h.
"""

from __future__ import annotations

(
    RELOCATION, FENTRY, RETURN, RETPOLINE, STATIC_CALL, STATIC_BRANCH, ALTERNATIVE, PARAVIRT, LOCK, ENDBR, CALL_THUNK,
    MIXED,
) = range(12)  # fmt: skip
