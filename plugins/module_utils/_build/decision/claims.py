# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What custom code says of itself in the sections ``.rbl.*`` of a patched object (``kmod/rebootless_custom.h``)."""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

HANDLES, HOOKS = ".rbl.handles", ".rbl.hooks"
STAGES = tuple(  # enum rbl_hook_stage of kmod/rebootless.h
    f"{when}{what}" for what in ("apply", "reverse") for when in ("pre_", "check_", "", "post_", "fail_")
)


def handled(post: ObjectFile) -> list[tuple[str, str]]:
    """``(code, thing)`` of each ``RBL_HANDLES`` in a patched object, such as ``("variable_changed", "sysctl_max")``.

    Raises ``RebootlessError`` (``bad_custom_code``).
    """
    section = post.section_of(HANDLES)
    words = section.data.removesuffix(b"\0").split(b"\0") if section is not None else []
    if len(words) % 2 or not all(words):
        raise RebootlessError(
            "bad_custom_code",
            f"What {post.path} says it handles is not pairs of a finding's code and a thing.",
            'Write RBL_HANDLES("code", "thing") with the words of the finding.',
        )
    return [(words[i].decode(), words[i + 1].decode()) for i in range(0, len(words), 2)]


def stages(post: ObjectFile) -> list[str]:
    """The names of the stages that a patched object has hooks for, in their order (``pre_apply``, ...)."""
    section = post.section_of(HOOKS)
    data = section.data if section is not None else b""
    numbers = (int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 16))
    return [STAGES[number] for number in sorted(set(numbers))]
