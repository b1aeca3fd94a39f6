# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What would become of an armed update if the host booted the kernel that it runs."""

from __future__ import annotations

import os

from ansible_collections.rebootless.splice.plugins.module_utils._common.distribution.kernel_package import fixed
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import armed_record
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.armed_record import ArmedRecord
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.store import Store

OFF_ARGUMENT = "rebootless=off"  # of the kernel
OFF_FILE = "/etc/rebootless/off"
COMMAND_LINE = "/proc/cmdline"

UNARMED, DAMAGED, OFF = "unarmed", "damaged", "off"
STATES = (
    UNARMED,
    armed_record.ARMED,
    armed_record.QUARANTINED,
    DAMAGED,
    armed_record.NOT_NEEDED,
    armed_record.OTHER_KERNEL,
    OFF,
)

# state: (code, sentence, next step); the names in braces are of the record, or of `reason`.
REASONS = {
    armed_record.QUARANTINED: (
        "quarantined",
        "The host crashed soon after {name} {version} was applied at its boot, so it is not applied at boot any more.",
        "Find out from the kernel's log of that boot why. If it was a power cut or reboot -f, release the update: "
        "ansible <host> -b -m rebootless.splice.persist -a 'state=armed name={name} again=true'. Else arm a better "
        "version.",
    ),
    armed_record.NOT_NEEDED: (
        "not_needed",
        "The running kernel {running_version} has the fix of {name} {version}.",
        "Disarm the update when the host does not go back to the kernel {release} any more.",
    ),
    armed_record.OTHER_KERNEL: (
        "other_kernel",
        "{name} {version} is armed for the kernel {release} with the build ID {build_id}, and another one runs.",
        "Build the update for the running kernel and roll it out, unless that kernel has the fix.",
    ),
    OFF: (
        "boot_off",
        "{name} {version} is armed, but nothing is applied at boot: {off} says so.",
        "Remove the kernel argument " + OFF_ARGUMENT + ", or the file " + OFF_FILE + ", when that shall end.",
    ),
}


def switched_off() -> str:
    """What keeps everything from being applied at boot: the kernel argument, the file, or "" for nothing."""
    try:
        with open(COMMAND_LINE, encoding="utf-8", errors="replace") as stream:
            words = stream.read().split()
    except OSError:
        words = []
    if OFF_ARGUMENT in words:
        return f"the kernel argument {OFF_ARGUMENT}"
    return f"the file {OFF_FILE}" if os.path.lexists(OFF_FILE) else ""


def state(record: ArmedRecord) -> str:
    """One of ``STATES`` for a record that can be read."""
    if record.quarantined(facts.boot_id()):
        return armed_record.QUARANTINED
    if record.build_id != facts.build_id():
        return armed_record.NOT_NEEDED if fixed(facts.version(), record.fixed_in) else armed_record.OTHER_KERNEL
    return OFF if switched_off() else armed_record.ARMED


def reason(record: ArmedRecord, of: str) -> dict[str, str]:
    """``code``, ``sentence`` and ``next_step`` of a state; empty for one that needs no words."""
    if of not in REASONS:
        return {}
    code, sentence, next_step = REASONS[of]
    words = {**record._asdict(), "running_version": facts.version(), "off": switched_off()}
    return {"code": code, "sentence": sentence.format(**words), "next_step": next_step.format(**words)}


def prospect(store: Store, name: str) -> dict:
    """``state`` (one of ``STATES``) with its reason, and what the record says of the update."""
    try:
        record = armed_record.read(store, name)
    except RebootlessError as error:
        return {"state": DAMAGED, "code": error.code, "sentence": error.sentence, "next_step": error.next_step}
    if record is None:
        return {"state": UNARMED}
    found = state(record)
    known = {key: value for key, value in record._asdict().items() if key not in ("name", "state")}
    return {"state": found, **reason(record, found), **known, "boots": list(record.boots)}
