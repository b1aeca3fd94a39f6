# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a console says about its machine."""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.lab import (
    console,
)

PANIC = b"[   12.5] Kernel panic - not syncing: Attempted to kill init! code=0x00000100\r\n[   12.5] Call Trace:\r\n"


def test_panic_is_found_with_its_reason(tmp_path):
    log = tmp_path / "console.log"
    log.write_bytes(b"[    0.0] Linux version 6.1\r\n" + PANIC)
    text = console.read_console(str(log))
    assert console.panic_reason(text) == "Attempted to kill init! code=0x00000100"
    assert console.tail(text)[-1] == "[   12.5] Call Trace:"


def test_panic_of_an_earlier_start_is_not_this_one(tmp_path):
    log = tmp_path / "console.log"
    log.write_bytes(PANIC + b"[    0.0] Linux version 6.1\r\n")
    assert console.panic_reason(console.read_console(str(log), len(PANIC))) is None


def test_no_console_is_no_panic(tmp_path):
    assert console.panic_reason(console.read_console(str(tmp_path / "none"))) is None


def test_console_that_became_shorter_is_read_to_its_end(tmp_path):
    log = tmp_path / "console.log"
    log.write_bytes(b"short")
    assert console.read_console(str(log), 1000) == ""
