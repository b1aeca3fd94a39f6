# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A feed of small repositories with real git: what it reads, what it refuses, what is left when it fails."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import typing as t

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.account import account
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.index import NAME, read_index
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.request import FeedRequest
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.update import update_feed
from ansible_collections.rebootless.splice.plugins.module_utils._build.host import deps
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._common import locks
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.tests.support.feed_sources import BRANCH, FIRST, NOW, Sources

AF_UNIX, BCM, PEDIT = "CVE-2026-52928", "CVE-2026-72121", "CVE-2026-46331"
SAFE_RET, UNFIXED = "CVE-2026-68480", "CVE-2026-00001"


REAL = pathlib.Path(__file__).parents[2] / "fixtures" / "records"


class Feed:
    """Sources that a test may change, and the feed that is read from them."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.sources = Sources(path / "sources")
        self.directory = path / "feed"
        self.request = FeedRequest(
            self.directory,
            ["6.1.2-1"],
            f"file://{self.sources.records.path}",
            "master",
            f"file://{self.sources.stable.path}",
            changelogs={"6.1": str(self.sources.changelog)},
            max_age=0,
        )

    def read(self, say: t.Callable[[str], None] | None = None, **changed: t.Any) -> dict[str, t.Any]:
        return update_feed(dataclasses.replace(self.request, **changed), Cache(self.path / "cache"), say)

    def refusal(self, **changed: t.Any) -> RebootlessError:
        before = self.index()
        with pytest.raises(RebootlessError) as caught:
            self.read(**changed)
        assert caught.value.sentence and caught.value.next_step
        assert self.index() == before
        return caught.value

    def index(self) -> bytes | None:
        path = self.directory / NAME
        return path.read_bytes() if path.exists() else None

    def states(self, version: str) -> dict[str, str]:
        return {cve: row["state"] for cve, row in self.rows(version).items()}

    def rows(self, version: str) -> dict[str, dict[str, t.Any]]:
        return {row["cve"]: row for row in account(read_index(self.directory), version, None)["cves"]}


@pytest.fixture
def feed(tmp_path: pathlib.Path) -> Feed:
    return Feed(tmp_path)


def test_what_a_kernel_has_and_lacks(feed: Feed) -> None:
    result = feed.read()
    assert result["changed"] and result["read"] == {"records": 5, "commits": 8} and result["doubts"] == []
    assert result["changes"]["added"] == sorted([AF_UNIX, BCM, PEDIT, SAFE_RET, UNFIXED])
    assert feed.states("6.1.2-1") == {AF_UNIX: "open", BCM: "fixed", PEDIT: "fixed", SAFE_RET: "open", UNFIXED: "open"}
    rows = feed.rows("6.1.2-1")
    assert rows[AF_UNIX]["fix"] == {
        "commit": feed.sources.commits[AF_UNIX],
        "version": "6.1.3",
        "in_mirror": True,
        "title": "af_unix: Reject SIOCATMARK on non-stream sockets",
        "time": "2026-11-30T00:53:20Z",
        "signed": "not signed",
        "reverted_in": None,
    }
    assert (rows[AF_UNIX]["score"], rows[AF_UNIX]["severity"]) == (7.8, "high")
    assert rows[AF_UNIX]["shipped"] == {"version": "6.1.4-1", "by": ["version", "title"]}  # the changelog has no number
    assert rows[PEDIT]["shipped"] == {"version": "6.1.2-1", "by": ["title", "number"]}  # before its series had it
    assert rows[SAFE_RET]["shipped"] == {"version": "6.1.4-1", "by": ["version", "title", "number"]}
    assert (rows[UNFIXED]["fix"], rows[UNFIXED]["shipped"]) == (None, None) and "no fix" in rows[UNFIXED]["why"]
    assert set(feed.states("6.1.4-1").values()) == {"fixed", "open"} and feed.states("6.1.4-1")[UNFIXED] == "open"
    sources = read_index(feed.directory).sources
    assert sources["records"]["commit"] == feed.sources.records("rev-parse", "HEAD")
    assert sources["stable"]["branches"] == {BRANCH: feed.sources.stable("rev-parse", "HEAD")}


def test_a_second_run_reads_only_what_is_new(feed: Feed) -> None:
    feed.read()
    before = feed.index()
    again = feed.read()
    assert not again["changed"] and again["read"] == {"records": 0, "commits": 0} and feed.index() == before
    new = feed.sources.stable.fix("can: isotp: one more", "net/can/isotp.c")
    feed.sources.records.publish("CVE-2026-00002", "can: isotp: one more", [], [("5.15", FIRST, "0", "0")])
    feed.sources.records.record()
    result = feed.read()
    assert result["read"] == {"records": 1, "commits": 1} and result["changes"]["added"] == ["CVE-2026-00002"]
    assert read_index(feed.directory).series["6.1"]["commits"][-1][0] == new


def test_real_records(feed: Feed) -> None:
    """Records as the CNA published them: with several fixes, with a score, for several series."""
    (feed.sources.records.path / "cve" / "published" / "2024").mkdir()
    for path in sorted(REAL.iterdir()):
        feed.sources.records.write(path.stem, path.suffix[1:], path.read_text())
    feed.sources.records.record(NOW + 86_400)
    assert feed.read()["doubts"] == []
    rows = {cve: row for cve, row in feed.rows("6.1.176-1").items() if row["published"].startswith("2026-12-01")}
    assert {cve: row["state"] for cve, row in rows.items()} == {
        "CVE-2024-36013": "open",
        "CVE-2026-31431": "fixed",
        "CVE-2026-43284": "fixed",
    }
    assert rows["CVE-2026-31431"]["title"] == "crypto: algif_aead - Revert to operating out-of-place"
    # The fix, and the fix of the fix.
    assert [fix["version"] for fix in rows["CVE-2026-43284"]["fixes"]] == ["6.1.171", "6.1.172"]
    assert feed.states("6.1.171-1")["CVE-2026-43284"] == "open"
    assert {cve: (row["score"], row["fix"]["version"]) for cve, row in rows.items()} == {
        "CVE-2024-36013": (8.8, "6.1.178"),
        "CVE-2026-31431": (7.8, "6.1.170"),
        "CVE-2026-43284": (8.8, "6.1.172"),
    }
    # The one that was there before has another fix now.
    row = feed.rows("6.1.176-1")[AF_UNIX]
    assert (row["state"], row["fix"]["commit"]) == ("open", "f085971de6d6b8ef946a5e0bcd73ff24509a0f85")


def test_when_a_record_was_published_first(feed: Feed, tmp_path: pathlib.Path) -> None:
    feed.read()
    assert {row["published"] for row in feed.rows("6.1.2-1").values()} == {"2026-11-30T00:53:20Z"}
    # What is published again, or rewritten, was published when it was published first.
    feed.sources.records.reject(AF_UNIX)
    feed.sources.records.publish(AF_UNIX, "again", ["a.c"], [("5.15", FIRST, "0", "0")])
    feed.sources.records.publish("CVE-2026-00002", "can: isotp: one", ["a.c"], [("5.15", FIRST, "0", "0")])
    feed.sources.records.record(NOW + 86_400)
    feed.read()
    rows = feed.rows("6.1.2-1")
    assert (rows[AF_UNIX]["title"], rows[AF_UNIX]["published"]) == ("again", "2026-11-30T00:53:20Z")
    assert rows["CVE-2026-00002"]["published"] == "2026-12-01T00:53:20Z"
    # A mirror that begins later says nothing of what was there before.
    part = tmp_path / "part"
    feed.sources.records("clone", "-q", "--depth=1", f"file://{feed.sources.records.path}", str(part))
    feed.sources.records.publish("CVE-2026-00008", "can: isotp: two", ["a.c"], [("5.15", FIRST, "0", "0")])
    feed.sources.records.record(NOW + 2 * 86_400)
    shutil.rmtree(feed.directory)
    feed.read(records_url=f"file://{part}")
    assert {row["published"] for row in feed.rows("6.1.2-1").values()} == {None}
    feed.sources.records("-C", str(part), "pull", "-q")
    feed.read(records_url=f"file://{part}")
    rows = feed.rows("6.1.2-1")
    assert (rows["CVE-2026-00008"]["published"], rows[AF_UNIX]["published"]) == ("2026-12-02T00:53:20Z", None)
    # The whole history completes it.
    feed.sources.records.publish("CVE-2026-00009", "can: isotp: three", ["a.c"], [("5.15", FIRST, "0", "0")])
    feed.sources.records.record(NOW + 2 * 86_400)
    feed.read()
    assert feed.rows("6.1.2-1")[AF_UNIX]["published"] == "2026-11-30T00:53:20Z"


def test_a_number_long_after_the_fix_was_shipped(feed: Feed) -> None:
    title = "af_unix: fixed before it had a number"
    commit = feed.sources.stable.fix(title, "net/unix/garbage.c")
    feed.sources.stable.release("6.1.5")
    feed.read()
    assert "CVE-2026-00003" not in feed.states("6.1.4-1")
    feed.sources.records.publish("CVE-2026-00003", title, ["x.c"], [("5.15", FIRST, "6.1.5", commit)])
    feed.sources.records.record()
    feed.read()
    row = feed.rows("6.1.4-1")["CVE-2026-00003"]
    assert (row["state"], row["files"]) == ("open", ["net/unix/garbage.c"])  # of the commit, not of the record


def test_a_record_that_is_rejected_or_gets_another_fix(feed: Feed) -> None:
    feed.read()
    other = feed.sources.stable.fix("af_unix: the right one", "net/unix/af_unix.c")
    feed.sources.stable.release("6.1.5")
    feed.sources.records.publish(AF_UNIX, "af_unix: the right one", ["a.c"], [("5.15", FIRST, "6.1.5", other)])
    feed.sources.records.reject(BCM)
    changes = feed.read()["changes"]
    assert (changes["changed"], changes["taken_back"], changes["added"]) == ([AF_UNIX], [BCM], [])
    assert BCM not in feed.states("6.1.2-1") and feed.rows("6.1.4-1")[AF_UNIX]["state"] == "open"
    records = read_index(feed.directory).records
    assert records[BCM]["was"][0]["state"] == "published"
    assert records[AF_UNIX]["was"][0]["pairs"][0][3] == feed.sources.commits[AF_UNIX]
    shutil.rmtree(feed.sources.records.path / "cve" / "rejected")
    feed.sources.records.record()
    feed.read()
    assert read_index(feed.directory).records[BCM]["state"] == "withdrawn"


@pytest.mark.parametrize(
    ("kind", "text", "wrong"),
    [
        ("dyad", None, "no dyad file"),
        ("dyad", "# dyad version: 2.0.0\n", "unknown format"),
        ("dyad", "# dyad version: 1.2.0\n", "no line"),
        ("dyad", "# dyad version: 1.2.0\n5.15:1:2\n", "3 fields"),
        ("dyad", "# dyad version: 1.2.0\n5.15:zz:6.1.3:zz\n", "no commit"),
        ("dyad", "# dyad version: 1.2.0\nx:0:6.1.3:0\n", "no version of Linux"),
        ("json", None, "no JSON file"),
        ("json", '{"dataType": "CVE_RECORD", "dataVersion": "6.0"}', "unknown format"),
        ("json", "[", "Expecting value"),
        ("json", "[]", "another form"),
    ],
)
def test_a_record_that_cannot_be_read_is_unknown(feed: Feed, kind: str, text: str | None, wrong: str) -> None:
    path = feed.sources.records.file(AF_UNIX, kind)
    path.unlink() if text is None else path.write_text(text)
    feed.sources.records.record()
    (doubt,) = feed.read()["doubts"]
    assert (doubt["code"], doubt["cve"]) == ("record_not_readable", AF_UNIX) and wrong in doubt["sentence"]
    row = feed.rows("6.1.4-1")[AF_UNIX]
    assert row["state"] == "unknown" and wrong in row["why"]


def test_the_oldest_records_do_not_name_their_format(feed: Feed) -> None:
    path = feed.sources.records.file(AF_UNIX, "dyad")
    path.write_text(path.read_text().replace("# dyad version: 1.2.0\n", ""))
    feed.sources.records.record()
    assert feed.read()["doubts"] == [] and feed.states("6.1.4-1")[AF_UNIX] == "fixed"


def test_several_commits_have_to_be_there_all(feed: Feed) -> None:
    second = feed.sources.stable.fix("af_unix: the rest", "net/unix/scm.c")
    feed.sources.stable.release("6.1.5")
    pairs = [("5.15", FIRST, "6.1.3", feed.sources.commits[AF_UNIX]), ("5.15", FIRST, "6.1.5", second)]
    # Of mainline's two commits the series began with one.
    pairs += [("5.15", FIRST, "6.0", "b" * 40), ("5.15", FIRST, "7.1", "c" * 40)]
    feed.sources.records.publish(AF_UNIX, "af_unix: of two parts", [], pairs)
    feed.sources.records.record()
    feed.read()
    row = feed.rows("6.1.4-1")[AF_UNIX]
    assert (row["state"], [fix["version"] for fix in row["fixes"]]) == ("open", ["6.1.3", "6.1.5"])
    assert row["files"] == ["net/unix/af_unix.c", "net/unix/scm.c"]
    assert feed.states("6.1.5-1")[AF_UNIX] == "fixed"


@pytest.mark.parametrize(
    ("pairs", "was_in"),
    [
        ([("6.6", FIRST, "7.1", FIRST)], False),  # came in later
        ([("5.10", FIRST, "5.19", "b" * 40), ("5.10", FIRST, "5.15.60", "c" * 40)], False),  # fixed before 6.1
        ([("6.1.4", "d" * 40, "6.1.4", "b" * 40)], False),  # came and went in one release
        ([("5.15.9", FIRST, "5.15.60", "b" * 40)], False),  # of another series
        ([("6.1.1", "d" * 40, "6.1.9", "b" * 40)], True),
        ([("0", "0", "7.1", FIRST)], True),
        ([("2.6.12", FIRST, "0", "0")], True),
    ],
)
def test_which_bugs_a_kernel_had(feed: Feed, pairs: t.Any, was_in: bool) -> None:
    feed.sources.records.publish("CVE-2026-00004", "one", [], pairs)
    feed.sources.records.record()
    feed.read()
    assert ("CVE-2026-00004" in feed.states("6.1.2-1")) is was_in


def test_a_candidate_of_a_release_is_not_the_release(feed: Feed) -> None:
    text = feed.sources.changelog.read_text()
    feed.sources.changelog.write_text(text.replace("linux (6.1.4-1)", "linux (6.1.4~rc1-1)"))
    feed.read()
    assert feed.rows("6.1.2-1")[AF_UNIX]["shipped"] is None
    with pytest.raises(RebootlessError, match="no version"):
        feed.rows("6.1.4~rc1-1")


def test_a_title_that_two_records_have_says_nothing_of_one(feed: Feed) -> None:
    title = "net/sched: fix pedit partial COW leading to page cache corruption"
    feed.sources.changelog.write_text(feed.sources.changelog.read_text().replace("\n    (CVE-2026-46331)", ""))
    feed.sources.records.publish("CVE-2026-00005", title, [], [("5.15", FIRST, "0", "0")])
    feed.sources.records.record()
    feed.read()
    assert [feed.states("6.1.2-1")[cve] for cve in (PEDIT, "CVE-2026-00005")] == ["open", "open"]


def test_what_the_distribution_took_out_is_open(feed: Feed) -> None:
    text = feed.sources.changelog.read_text()
    entry = '  * Revert "af_unix: Reject SIOCATMARK on non-stream sockets"\n\n -- Maintainer'
    feed.sources.changelog.write_text(text.replace("\n -- Maintainer", f"{entry}", 1))
    feed.read()
    row = feed.rows("6.1.4-1")[AF_UNIX]
    assert row["state"] == "open" and "took the fix out again in 6.1.4-1" in row["why"]


def test_what_the_series_took_back_is_unknown(feed: Feed) -> None:
    title = "af_unix: Reject SIOCATMARK on non-stream sockets"
    feed.sources.stable.fix(f'Revert "{title}"', "a.c", f"This reverts commit {feed.sources.commits[AF_UNIX]}.")
    feed.sources.stable.release("6.1.5")
    feed.read()
    assert (feed.states("6.1.4-1")[AF_UNIX], feed.states("6.1.5-1")[AF_UNIX]) == ("fixed", "unknown")
    reverting = feed.sources.stable("rev-parse", "HEAD~1")
    feed.sources.stable.fix(f'Reapply "{title}"', "a.c", f"This reverts commit {reverting}.")
    feed.sources.stable.release("6.1.6")
    feed.read()
    assert feed.states("6.1.6-1")[AF_UNIX] == "fixed"


def test_a_message_of_a_commit_can_hold_anything(feed: Feed) -> None:
    feed.sources.stable.fix("one \x1e \x1f title", "a.c", "\x1e\n\x1f\n\n\n\tand a body \u2028 of it")
    feed.read()
    assert read_index(feed.directory).series["6.1"]["commits"][-1][2] == "one \x1e \x1f title"


def test_a_fix_that_is_not_where_the_record_says(feed: Feed) -> None:
    pairs = [("5.15", FIRST, "6.1.4", feed.sources.commits[AF_UNIX])]
    feed.sources.records.publish(AF_UNIX, "one", [], pairs)
    feed.sources.records.publish("CVE-2026-00006", "two", [], [("5.15", FIRST, "6.1.4", "e" * 40)])
    feed.sources.records.record()
    found = {doubt["cve"]: doubt["code"] for doubt in feed.read()["doubts"]}
    assert found == {AF_UNIX: "commit_elsewhere", "CVE-2026-00006": "commit_missing"}
    assert feed.rows("6.1.2-1")["CVE-2026-00006"]["fix"]["in_mirror"] is False


def test_a_clock_that_is_wrong_changes_nothing_but_doubts(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    for now, codes in ((NOW - 10**8, {"clock_behind"}), (NOW + 10**8, {"source_old"}), (NOW, set())):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        assert {doubt["code"] for doubt in feed.read(max_age=7)["doubts"]} == codes
    assert feed.states("6.1.2-1")[AF_UNIX] == "open"


def test_history_begins_before_the_oldest_kernel(feed: Feed) -> None:
    feed.read()
    titles = [row[2] for row in read_index(feed.directory).series["6.1"]["commits"]]
    assert titles[0] == "Linux 6.1.2"
    feed.read(kernels=["6.1.2-1", "6.1.1-1"])
    titles = [row[2] for row in read_index(feed.directory).series["6.1"]["commits"]]
    assert titles[:2] == ["can: bcm: add locking when updating filter and timer values", "Linux 6.1.1"]


def test_bundles(feed: Feed, tmp_path: pathlib.Path) -> None:
    records, stable = tmp_path / "vulns.bundle", tmp_path / "linux.bundle"
    feed.sources.records("bundle", "create", "-q", str(records), "master")
    feed.sources.stable("bundle", "create", "-q", str(stable), BRANCH, "--tags")
    urls: dict[str, t.Any] = {"records_url": str(records), "stable_url": str(stable)}
    result = feed.read(**urls)
    assert (result["read"]["records"], result["signers"]) == (5, {"not signed": 5})  # with its tags
    assert feed.states("6.1.2-1")[AF_UNIX] == "open"
    begin = feed.sources.stable("rev-parse", "HEAD")
    feed.sources.stable.fix("one more", "a.c")
    feed.sources.stable("bundle", "create", "-q", str(stable), f"{begin}..{BRANCH}")
    assert feed.read(**urls)["read"] == {"records": 0, "commits": 1}
    shutil.rmtree(feed.directory / "mirrors" / "stable")
    assert feed.refusal(**urls).code == "bundle_incomplete"
    stable.write_bytes(b"no bundle")
    assert feed.refusal(**urls).code == "source_damaged"


def _objects(repository: pathlib.Path) -> list[pathlib.Path]:
    return [path for path in (repository / "objects").rglob("*") if path.is_file() and path.suffix != ".idx"]


def _damage(repository: pathlib.Path) -> None:
    for path in _objects(repository):
        path.chmod(0o644)
        path.write_bytes(b"")


@pytest.mark.parametrize("source", ["records_url", "stable_url"])
def test_sources_that_cannot_be_read(feed: Feed, source: str, tmp_path: pathlib.Path) -> None:
    nowhere = f"file://{tmp_path}/nowhere"
    assert feed.refusal(**{source: nowhere}).code == "source_not_reachable"
    feed.read()
    assert feed.refusal(**{source: nowhere}).code == "source_not_reachable"
    assert feed.refusal(**{source: "git://127.0.0.1:1/none"}).code == "source_not_reachable"


def test_branches_and_tags_that_a_mirror_lacks(feed: Feed) -> None:
    assert feed.refusal(records_branch="main").code == "branch_missing"
    assert feed.refusal(kernels=["6.12.3-1"]).code == "branch_missing"
    assert feed.refusal(kernels=["6.1.9-1"]).code == "tag_missing"
    assert feed.refusal(kernels=[]).code == "no_kernels"
    assert feed.refusal(kernels=["none"]).code == "bad_version"
    assert feed.refusal(records_url=feed.request.stable_url, records_branch=BRANCH).code == "no_records"


def test_repositories_that_are_damaged(feed: Feed) -> None:
    feed.read()
    _damage(feed.directory / "mirrors" / "records")
    assert feed.refusal().code == "mirror_damaged"
    shutil.rmtree(feed.directory / "mirrors" / "records")
    assert not feed.read()["changed"]
    feed.sources.records.publish("CVE-2026-00007", "one", [], [("0", "0", "0", "0")])
    feed.sources.records.record()
    _damage(feed.sources.records.path / ".git")
    assert feed.refusal().code in ("source_damaged", "source_not_reachable")


def test_a_branch_that_was_rewritten(feed: Feed) -> None:
    feed.read()
    feed.sources.stable("commit", "-q", "--amend", "-m", "Linux 6.1.4, another one")
    error = feed.refusal()
    assert error.code == "branch_rewritten" and error.details["branch"] == BRANCH
    assert feed.refusal().code == "branch_rewritten"
    assert feed.read(accept_rewritten=True)["changed"]
    feed.sources.records("commit", "-q", "--amend", "-m", "another one")
    assert feed.refusal().code == "branch_rewritten"


def test_two_runs_at_once(feed: Feed) -> None:
    feed.read()
    with locks.locked(feed.directory / "lock"):
        error = feed.refusal()
        assert error.code == "feed_busy" and str(os.getpid()) in error.sentence


PHASES = [
    "fetch records",
    "read records",
    "fetch stable",
    "read stable",
    "read changelogs",
    "read ratings",
    "write index",
]


@pytest.mark.parametrize("phase", PHASES)
def test_killed_in_the_middle(feed: Feed, phase: str) -> None:
    feed.read()
    before = feed.index()
    feed.sources.stable.fix("one more", "a.c")
    feed.sources.records.reject(BCM)
    killed = os.fork()
    if not killed:
        feed.read(lambda said: os.kill(os.getpid(), signal.SIGKILL) if said == f"{phase}: begins" else None)
        os._exit(0)
    assert os.waitpid(killed, 0)[1] == signal.SIGKILL and feed.index() == before
    # What git leaves when it is killed while it writes.
    for name in ("shallow.lock", "packed-refs.lock", f"refs/heads/{BRANCH}.lock", "objects/pack/tmp_pack_Xa81"):
        (feed.directory / "mirrors" / "stable" / name).write_bytes(b"")
    assert feed.read()["changed"] and BCM not in feed.states("6.1.2-1")


FULL = """
import sys
from ansible_collections.rebootless.splice.tests.unit.build.feed.test_feed import fill_while_reading
fill_while_reading(*sys.argv[1:])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_a_disk_that_is_full(tmp_path: pathlib.Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    script = f"mount -t tmpfs -o size=8m none {place} && exec {sys.executable} -c '{FULL}' {place}"
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    codes = json.loads(done.stdout)
    assert {codes[phase] for phase in ("fetch records", "fetch stable", "write index")} == {"disk_full"}


def fill_while_reading(place: str) -> None:
    """Reads a feed on a small disk, which each time is full from the beginning of another phase on."""
    feed = Feed(pathlib.Path(place))
    feed.read()
    codes = {}
    for number, phase in enumerate(PHASES):
        feed.sources.stable.fix(f"one more {number}", f"{number}.c")
        feed.sources.records.publish(f"CVE-2026-1000{number}", f"one more {number}", [], [("0", "0", "0", "0")])
        feed.sources.records.record()
        before = feed.index()
        try:
            feed.read(lambda said, phase=phase: _fill(place) if said == f"{phase}: begins" else None)  # type: ignore[misc]
        except RebootlessError as error:
            codes[phase] = error.code
        assert feed.index() == before and read_index(feed.directory)
        pathlib.Path(place, "full").unlink()
        assert feed.read()["changed"]
    print(json.dumps(codes))


def _fill(place: str) -> None:
    with pathlib.Path(place, "full").open("wb", buffering=0) as stream:
        try:
            while stream.write(bytes(1024)):
                pass
        except OSError:
            pass


def test_an_index_that_is_damaged_or_of_another_release(feed: Feed) -> None:
    assert _code(lambda: read_index(feed.directory)) == "no_feed"
    feed.read()
    path = feed.directory / NAME
    said = json.loads(path.read_bytes())
    for text, code in (
        ("{", "index_damaged"),
        ("[]", "index_damaged"),
        (json.dumps({**said, "format": 1}), "other_index_format"),
        (json.dumps({**said, "records": []}), "index_damaged"),
    ):
        path.write_text(text)
        assert _code(lambda: read_index(feed.directory)) == code == feed.refusal().code


def _code(action: t.Callable[[], t.Any]) -> str:
    with pytest.raises(RebootlessError) as caught:
        action()
    return str(caught.value.code)


def test_ratings(feed: Feed, tmp_path: pathlib.Path) -> None:
    exploited, likely = tmp_path / "kev.json", tmp_path / "epss.csv"
    row = {
        "cveID": AF_UNIX,
        "dateAdded": "2026-05-01",
        "dueDate": "2026-05-15",
        "knownRansomwareCampaignUse": "Unknown",
    }
    exploited.write_text(json.dumps({"vulnerabilities": [row, {**row, "cveID": "CVE-2026-99999"}]}))
    likely.write_text(f"#model_version:v2026.01.01,score_date:2026-09-01\ncve,epss,percentile\n{AF_UNIX},0.2,0.9\n")
    urls: dict[str, t.Any] = {"exploited_url": f"file://{exploited}", "likely_url": f"file://{likely}"}
    feed.read(**urls)
    found = feed.rows("6.1.2-1")[AF_UNIX]
    assert (
        found["exploited"] == {"added": "2026-05-01", "due": "2026-05-15", "ransom": False} and found["likely"] == 0.2
    )
    assert list(read_index(feed.directory).exploited) == [AF_UNIX]
    exploited.write_text("<html>Please log in</html>")
    assert feed.refusal(**urls).code == "ratings_not_readable"
    exploited.unlink()
    assert feed.refusal(**urls).code == "ratings_not_reachable"


def test_changelogs_that_are_none(feed: Feed) -> None:
    feed.read()
    for text in ("no changelog", feed.sources.changelog.read_text().replace("(6.1.", "(5.10.")):
        feed.sources.changelog.write_text(text)
        assert feed.refusal().code == "changelog_not_readable"
    feed.sources.changelog.unlink()
    assert feed.refusal().code == "changelog_not_readable"


def test_signatures_of_tags(feed: Feed, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, keys = tmp_path / "gnupg", tmp_path / "keys.gpg"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", str(home))
    for name in ("maintainer@example.org", "stranger@example.org"):
        options = ("--batch", "--quiet", "--passphrase", "", "--quick-gen-key", name, "ed25519", "sign", "never")
        subprocess.run(["gpg", *options], check=True, capture_output=True)
    keys.write_bytes(
        subprocess.run(["gpg", "--export", "maintainer@example.org"], check=True, capture_output=True).stdout
    )
    assert feed.read()["signers"] == {"not signed": 3}
    assert feed.refusal(keys=keys).code == "tag_signature_wrong"  # a mirror could take signatures off
    for version in ("6.1.2", "6.1.3", "6.1.4"):
        commit = feed.sources.stable("rev-parse", f"v{version}^{{commit}}")
        feed.sources.stable("tag", "-f", "-s", "-u", "maintainer@example.org", "-m", "one", f"v{version}", commit)
    shutil.rmtree(feed.directory / "mirrors" / "stable")
    assert feed.read()["signers"] == {"not checked": 3}
    (signer,) = feed.read(keys=keys)["signers"]
    assert len(signer) == 40
    assert feed.rows("6.1.2-1")[AF_UNIX]["fix"]["signed"] == signer
    # An old release, signed as it is, under the name of a new one.
    feed.sources.stable("update-ref", "refs/tags/v6.1.5", feed.sources.stable("rev-parse", "v6.1.4"))
    assert feed.refusal(keys=keys).code == "tag_signature_wrong"
    feed.sources.stable("tag", "-d", "v6.1.5")
    shutil.rmtree(feed.directory / "mirrors" / "stable")
    feed.sources.stable.release("6.1.5", "-s", "-u", "stranger@example.org")
    assert feed.refusal(keys=keys).code == "tag_signature_wrong"
    subprocess.run(["gpgconf", "--kill", "all"], check=True)


def test_the_libraries_are_there() -> None:
    assert deps.MISSING == []
