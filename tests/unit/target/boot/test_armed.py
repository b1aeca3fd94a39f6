# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What arms an update, what refuses to, and what becomes of its record."""

from __future__ import annotations

import errno
import json
import os
import pathlib

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, package
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import (
    armed_record,
    prospects,
    store,
)
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.store import Store
from ansible_collections.rebootless.splice.tests.support import other_numbers
from ansible_collections.rebootless.splice.tests.support.booting_host import NAME, BootingHost, refusal
from ansible_collections.rebootless.splice.tests.support.package import MANIFEST


def test_armed_once_and_once_more(host):
    assert host.prospect() == {"state": "unarmed"}
    assert host.arm(plan="p1", fixed_in=["6.1.187-1"], check_mode=True) and host.prospect()["state"] == "unarmed"
    assert host.arm(plan="p1", fixed_in=["6.1.187-1"])
    assert not host.arm(plan="p1", fixed_in=["6.1.187-1"])
    found = host.prospect()
    assert (found["state"], found["version"], found["plan"], found["boots"]) == ("armed", "1.0", "p1", [])
    assert found["fixed_in"] == ["6.1.187-1"]
    assert host.arm(plan="p2", fixed_in=["6.1.187-1"]), "the plan is another one"
    assert armed_record.disarm(host.packages, NAME) and not armed_record.disarm(host.packages, NAME)
    assert host.prospect() == {"state": "unarmed"}
    assert not os.path.exists(armed_record.directory(host.packages))


def test_only_what_is_confirmed_is_armed(host):
    for state, digest in (("applied", MANIFEST["digest"]), ("reversed", MANIFEST["digest"]), ("confirmed", "cd" * 32)):
        host.live(state, digest)
        with refusal("not_confirmed"):
            host.arm()
    host.packages.remove(NAME)
    with refusal("package_missing"):
        host.arm()
    assert armed_record.names(host.packages) == []


def test_a_host_without_systemd_says_so_and_stays_as_it_is(host):
    (host.directory / "run/systemd/system").rmdir()
    before = sorted(host.directory.rglob("*"))
    with refusal("no_systemd"):
        host.arm()
    assert sorted(host.directory.rglob("*")) == before


def test_a_quarantine_is_released_although_the_update_is_not_live(host):
    host.arm()
    host.reboot()
    host.run("apply", "--deadline", "1800")
    host.reboot()  # by reboot -f
    with refusal("not_confirmed"):
        host.arm()
    assert f"name={NAME} again=true" in host.prospect()["next_step"]
    assert host.arm(again=True) and not host.arm(again=True)
    assert (host.prospect()["state"], host.boots()) == ("armed", ["crashed"])
    host.run("apply", "--deadline", "1800")
    host.run("settle")
    assert len(host.applied) == 2 and host.boots() == ["crashed", "settled"]


def test_another_build_is_armed_beside_a_quarantine(host):
    host.arm()
    host.reboot()
    host.run("apply")
    host.reboot()
    host.run("apply")
    host.keep("1.1", "cd" * 32)
    host.live("confirmed", "cd" * 32)
    assert host.arm()
    assert (host.prospect()["state"], host.prospect()["version"], host.boots()) == ("armed", "1.1", [])


def test_a_record_with_a_flipped_bit_is_refused_by_name(host):
    host.arm(plan="p")
    path = pathlib.Path(armed_record.record_path(host.packages, NAME))
    content = path.read_bytes()
    for position in range(0, len(content.rstrip()), 7):
        path.write_bytes(content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :])
        found = host.prospect()
        assert found["state"] == "damaged" or content[position : position + 1].isspace(), position
        if found["state"] == "damaged":
            assert found["code"] == "armed_record_damaged" and found["sentence"] and found["next_step"]
            host.run("apply")
    assert not host.applied
    assert host.arm(plan="p"), "arming again mends it"
    path.rename(path.with_name("other.json"))
    assert prospects.prospect(host.packages, "other")["state"] == "damaged"


@pytest.mark.parametrize("content", [b"", b"[]", b"7", b"{}", b'{"checksum": 1}', b"\xff"])
def test_no_record_at_all(host, content):
    host.arm()
    pathlib.Path(armed_record.record_path(host.packages, NAME)).write_bytes(content)
    assert host.prospect()["state"] == "damaged"
    host.run("apply")
    assert not host.applied


def test_the_armed_package_stays_when_a_newer_one_comes(host):
    host.arm()
    first = host.prospect()["package"]
    host.keep("1.1", "cd" * 32)
    assert store.read_package(armed_record.package_path(host.packages, NAME, first)).version == "1.0"
    host.live("confirmed", "cd" * 32)
    assert host.arm()
    assert host.prospect()["version"] == "1.1"
    kept = [name for name in os.listdir(armed_record.directory(host.packages)) if name.endswith(package.SUFFIX)]
    assert len(kept) == 1


def no_room(*_arguments, **_options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_is_full(host, monkeypatch):
    monkeypatch.setattr(disk, "replace_durably", no_room)
    with refusal("armed_record_unwritable"):
        host.arm()
    monkeypatch.undo()
    host = BootingHost(host.directory / "again", pytest.MonkeyPatch())
    host.keep()
    host.live("confirmed")
    host.arm()
    host.patch.setattr(disk, "replace_durably", no_room)
    for outcome in ("stopped", "stopped", "settled"):
        host.reboot()
        host.run("apply")
        host.run({"stopped": "stop", "settled": "settle"}[outcome])
        assert host.boots()[-1] == outcome, "the record has room for that"
    host.reboot()
    host.run("apply")
    host.reboot()
    host.run("apply")
    assert host.prospect()["state"] == "quarantined"
    host.patch.undo()


def test_the_format_is_a_number_and_no_other(tmp_path):
    packages = Store(str(tmp_path))
    record = armed_record.ArmedRecord("u", "1.0", "ab" * 32, "cd" * 32, "6c" * 20, "6.1.0", ["6.1.187-1"], "now")
    path = tmp_path / armed_record.DIRECTORY / "u.json"
    path.parent.mkdir()
    fields = json.loads(armed_record.serialize(record))
    del fields["checksum"]
    for _place, _other, changed in other_numbers.variants(fields):
        path.write_text(json.dumps({**changed, "checksum": armed_record._checksum(changed)}))
        with refusal("armed_record_format"):
            armed_record.read(packages, "u")
