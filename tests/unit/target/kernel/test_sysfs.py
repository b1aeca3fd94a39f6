# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading what the helper module and the kernel print."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.rebootless.splice.plugins.module_utils._common import build_id
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts, sysfs

ABORT = """\
code: busy_function
sentence: A task stayed inside a function that is about to change, in every try.
next_step: Try again, since tasks move on; if the named one stays, stop or restart it, or use blockers: signal.
task: 812 dhclient
function: unix_ioctl
address: 0xffffffff81b3f2f1
"""


def test_abort_record():
    record = sysfs.parse_abort(ABORT)
    assert record["code"] == "busy_function"
    assert record["task"] == "812 dhclient"
    assert record["address"] == "0xffffffff81b3f2f1"


def test_no_abort_record():
    assert sysfs.parse_abort("") == {}


def test_values_may_hold_colons():
    assert sysfs.parse_abort("task: 7 a: b\n") == {"task": "7 a: b"}


@pytest.mark.parametrize(
    ("said", "state", "tasks"),
    [
        ("confirmed\n", "confirmed", 0),
        ("bypassed\n", "bypassed", 0),
        ("reversed, held by 1 task\n", "reversed", 1),
        ("reversed, held by 31 tasks\n", "reversed", 31),
        ("", "absent", 0),
    ],
)
def test_state(tmp_path, monkeypatch, said, state, tasks):
    monkeypatch.setattr(sysfs, "ROOT", str(tmp_path))
    (tmp_path / "fix").mkdir()
    (tmp_path / "fix" / "state").write_text(said)
    assert (sysfs.state("fix"), sysfs.held_by("fix")) == (state, tasks)
    assert (state in sysfs.IN_EFFECT) == (state == "confirmed")


KEY = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
VALUE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)


@given(st.dictionaries(KEY, VALUE))
def test_every_record_is_read_as_written(record):
    assert sysfs.parse_abort("".join(f"{key}: {value}\n" for key, value in record.items())) == record


LINES = st.lists(st.text() | st.lists(st.text("1ab: []\u0661\u00b2", min_size=1), min_size=4, max_size=6).map(" ".join))


@given(LINES.map("\n".join))
def test_parsers_never_stumble(text):
    """Of any text they give what stands in it, in the shape that their callers count on."""
    assert all(key in text and value in text for key, value in sysfs.parse_abort(text).items())
    for row in sysfs.parse_functions(text):
        assert set(row) == {*sysfs.FUNCTION_FIELDS, "jump", "bypassed"} and row["name"] in text
    for row in sysfs.parse_conflicts(text):
        assert row["pid"] >= 0 and row["function"] in text and row["address"] in text
    lockdown = facts.parse_lockdown(text)
    assert lockdown == "unknown" or f"[{lockdown}]" in text


def test_functions():
    text = "unix_ioctl 0xffffffff81b3f2a0 0xffffffffc0a01000 0xffffffff81b3f2a5 4156415541 yes\nnew 0x1 0x0 0x0 - no\n"
    first, second = sysfs.parse_functions(text)
    assert first == {
        "name": "unix_ioctl",
        "old_address": "0xffffffff81b3f2a0",
        "new_address": "0xffffffffc0a01000",
        "jump_address": "0xffffffff81b3f2a5",
        "saved_bytes": "4156415541",
        "jump": True,
        "bypassed": False,
    }
    assert second["jump"] is False


def test_conflicts_of_tasks_with_blanks_in_their_names():
    text = "812 dhclient unix_ioctl 0xffffffff81b3f2f1\n7 kworker/0:1 - x unix_ioctl 0x10\n"
    assert [row["comm"] for row in sysfs.parse_conflicts(text)] == ["dhclient", "kworker/0:1 - x"]
    assert [row["function"] for row in sysfs.parse_conflicts(text)] == ["unix_ioctl", "unix_ioctl"]


@pytest.mark.parametrize(("text", "number"), [("17", 17), ("-2", -2), ("0x10", 16), ("", 0), ("x", 0)])
def test_numbers(text, number):
    assert sysfs.parse_number(text) == number


def note(name: bytes, kind: int, content: bytes) -> bytes:
    def padded(data: bytes) -> bytes:
        return data + bytes(-len(data) % 4)

    return struct.pack("<III", len(name), len(content), kind) + padded(name) + padded(content)


def test_build_id_among_other_notes():
    notes = note(b"Linux\0", 0x101, b"\1\0\0\0") + note(b"GNU\0", 5, b"x" * 7) + note(b"GNU\0", 3, bytes(range(20)))
    assert build_id.parse_build_id(notes) == bytes(range(20)).hex()


def test_no_build_id():
    assert build_id.parse_build_id(note(b"Linux\0", 0x101, b"\1\0\0\0")) == ""


@given(st.binary())
def test_build_id_of_damaged_notes(notes):
    assert bytes.fromhex(build_id.parse_build_id(notes)) in notes


@pytest.mark.parametrize(
    ("text", "mode"),
    [("[none] integrity confidentiality", "none"), ("none [integrity] confidentiality", "integrity"), ("", "unknown")],
)
def test_lockdown(text, mode):
    assert facts.parse_lockdown(text) == mode
