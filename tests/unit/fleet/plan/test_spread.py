# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kernels a fleet runs, and who builds for them: each once, and the work shared out."""

from __future__ import annotations

import dataclasses
import typing as t

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.spread import (
    PlannedKernel,
    spread,
    survey,
    unbuilt,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.manifest import Manifest, empty_kernel


def answer(release: str, build_id: str) -> dict:
    return {"kernel": {"release": release, "build_id": build_id, "version": "6.1.176-1", "arch": "x86_64"}}


def kernel(build_id: str, version: str = "6.1.176-1") -> PlannedKernel:
    return PlannedKernel(build_id, f"release-{build_id}", version, "x86_64", ("host",))


def test_kernels_are_told_by_their_build_id():
    found = survey(
        {
            "b": answer("6.1.0-50-amd64", "aa"),
            "a": answer("6.1.0-50-amd64", "aa"),
            "c": answer("6.1.0-50-amd64", "bb"),
            "d": {"unreachable": True, "msg": "Failed to connect.\nmore"},
            "e": {"failed": True, "msg": "no python"},
            "f": answer("own", ""),
            "g": {},
            "h": {"failed": True, "timedout": {"period": 60}, "msg": "Timed out after 60 second(s)."},
        }
    )
    assert [(row.build_id, row.hosts) for row in found.kernels] == [("aa", ("a", "b")), ("bb", ("c",))]
    assert found.silent == {
        "d": "It cannot be reached: Failed to connect.",
        "e": "It does not say which kernel it runs: no python.",
        "f": "Its kernel has no build ID.",
        "g": "It does not say which kernel it runs.",
        # It may be up, so that to look for a broken connection leads nowhere.
        "h": "It did not answer within the 60 seconds of rebootless_survey_timeout: it is slow, or cannot be reached.",
    }


def test_nothing_is_built_twice():
    entries = {"aa": "built", "bb": "refused", "cc": "failed", "dd": "not_applicable"}
    rows = [
        dataclasses.replace(empty_kernel(f"release-{name}", "", name, ""), status=entries[name]) for name in entries
    ]
    manifest = Manifest("x", "1", [], {}, [], [], rows)
    kernels = [kernel(name) for name in (*entries, "ee")]
    assert [row.build_id for row in unbuilt(kernels, manifest)] == ["cc", "ee"]
    assert [row.build_id for row in unbuilt(kernels, manifest, ["aa"])] == ["aa", "cc", "ee"]
    assert [row.build_id for row in unbuilt(kernels, manifest, ["release-bb"])] == ["bb", "cc", "ee"]
    assert unbuilt(kernels, manifest, ["all"]) == kernels


def test_a_package_that_is_not_signed_is_built_again_where_builds_are_signed():
    built: dict[str, t.Any] = {"status": "built", "package": "x-1.rbl.tar.gz", "size": 9}
    built |= {"sha256": "ab" * 32, "build_digest": "ab" * 32}
    signer: dict[str, t.Any] = {"subject": "CN=Fleet", "fingerprint": "ab" * 32, "key_id": "36b6", "hash": "sha256"}
    empty = [empty_kernel(f"release-{name}", "6.1.176-1", name, "x86_64") for name in ("aa", "bb", "cc")]
    rows = [
        dataclasses.replace(empty[0], **built, signer=signer),
        dataclasses.replace(empty[1], **built),
        dataclasses.replace(empty[2], status="refused", code="unsafe_change", sentence="It is so."),
    ]
    manifest = Manifest("x", "1", [], {}, [], [], rows)
    kernels = [kernel(row.build_id) for row in rows]
    assert unbuilt(kernels, manifest) == []
    assert [row.build_id for row in unbuilt(kernels, manifest, signed=True)] == ["bb"]


def test_flavours_of_one_source_stay_together():
    kernels = [kernel("a", "1"), kernel("b", "2"), kernel("c", "1"), kernel("d", "2")]
    shares = spread(kernels, ["one", "two"])
    assert [{row.version for row in rows} for rows in shares.values()] == [{"1"}, {"2"}]


def test_no_build_host_is_idle_for_the_sake_of_the_source():
    assert {len(rows) for rows in spread([kernel(name) for name in "abcdef"], ["x", "y", "z"]).values()} == {2}
    assert list(spread([kernel("a")], ["x", "y"])) == ["x"]
    assert spread([], ["x"]) == spread([kernel("a")], []) == {}


@given(st.lists(st.sampled_from("123"), max_size=20), st.integers(1, 6))
def test_everything_is_built_once_and_evenly(versions, count):
    kernels = [kernel(f"{number:x}", version) for number, version in enumerate(versions)]
    shares = spread(kernels, [f"host{number}" for number in range(count)])
    assert sorted(row.build_id for rows in shares.values() for row in rows) == sorted(row.build_id for row in kernels)
    assert max(map(len, shares.values()), default=0) <= -(-len(kernels) // count) + 1
