# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's fix, derived from Debian's own sources."""

from __future__ import annotations

import pathlib

import pytest
import yaml

DEMO = pathlib.Path(__file__).parents[2] / "playbooks" / "vars" / "demo.yml"
FIX = yaml.safe_load(DEMO.read_text())["demo_fix"]
OPTIONS = {key: FIX[key] for key in ("package", "before", "after", "hunks")}


@pytest.fixture(scope="module")
def runs(controller, tmp_path_factory):
    """In check mode, for real, again, and again in check mode."""
    dest = str(tmp_path_factory.mktemp("patches") / "fix.patch")
    return [
        controller.module("localhost", "corpus_patch", check=check, diff=True, dest=dest, **OPTIONS)
        for check in (True, False, False, True)
    ]


def test_patch_changes_only_when_it_has_to(runs):
    assert [run["failed"] for run in runs] == [False] * 4
    assert [run["changed"] for run in runs] == [True, True, False, False]


def test_patch_is_the_fix(runs):
    patch = pathlib.Path(runs[1]["path"]).read_text()
    assert runs[1]["patch"] == runs[1]["diff"]["after"] == patch
    assert patch.startswith(
        "--- a/net/unix/af_unix.c\n+++ b/net/unix/af_unix.c\n@@ -3181,6 +3181,9 @@ static int unix_ioctl"
    )
    added = [line[1:].strip() for line in patch.splitlines()[2:] if line.startswith("+")]
    assert added == ["if (sk->sk_type != SOCK_STREAM)", "return -EOPNOTSUPP;", ""]
    assert not any(line.startswith("-") for line in patch.splitlines()[2:])


def test_hunk_that_is_not_there_is_refused(controller, tmp_path):
    refused = controller.module(
        "localhost",
        "corpus_patch",
        dest=str(tmp_path / "fix.patch"),
        **{**OPTIONS, "hunks": {"net/unix/af_unix.c": [1000]}},
    )
    assert refused["failed"] and refused["code"] == "no_such_hunk"
    assert not (tmp_path / "fix.patch").exists()


def test_version_that_apt_does_not_have_is_refused_by_name(controller, tmp_path):
    refused = controller.module(
        "localhost", "corpus_patch", dest=str(tmp_path / "fix.patch"), **{**OPTIONS, "after": "6.1.0-0none"}
    )
    assert refused["failed"] and refused["code"] == "package_not_found"
    assert "6.1.0-0none" in refused["msg"]
