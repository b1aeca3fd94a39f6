# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is vulnerable to what: hosts joined with the accounts of their kernels, deadlines, and what is written of it."""

from __future__ import annotations

import contextlib
import csv
import datetime
import errno
import html.parser
import io
import os
import pathlib
import types
import typing as t

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, locks
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure import answers, keep, policy, render
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.updates import milestones
from ansible_collections.rebootless.splice.tests.support.fleet import exposed, sample
from ansible_collections.rebootless.splice.tests.support.fleet.exposed import (
    BUILDS,
    DAY,
    KEV,
    NEW,
    NOW,
    OLD,
    account,
    answer,
    cve,
    exposure,
    numbers,
    of_cve,
    of_host,
    silent,
)

HIGH: dict[str, t.Any] = {"vector": "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", "score": 7.8, "severity": "high"}
REMOTE: dict[str, t.Any] = {"vector": "CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:U/C:H/I:L/A:H", "score": 7.8, "severity": "high"}
HOSTILE = "<script>alert(1)</script>\u202e\x1b[2J\n=HYPERLINK()"


@contextlib.contextmanager
def refusal(code: str) -> t.Iterator[types.SimpleNamespace]:
    """That a refusal of this code comes, with a sentence and what next; it is ``error`` of what this yields."""
    told = types.SimpleNamespace()
    with pytest.raises(RebootlessError) as caught:
        yield told
    told.error = caught.value
    assert (told.error.code, bool(told.error.sentence), bool(told.error.next_step)) == (code, True, True)


# ---- the join


def test_the_rank_is_that_of_the_host() -> None:
    told = account(
        [
            cve("CVE-2026-00001", **HIGH),
            cve("CVE-2026-00002", ["slip"], score=9.8, exploited=KEV),
            cve("CVE-2026-00003", ["tipc"], score=9.9),
            cve("CVE-2026-00004", ["sctp"], **HIGH),
            cve("CVE-2026-00005", ["sctp"], **REMOTE),
            cve("CVE-2026-00006", ["sctp"], **HIGH, published="2026-07-01T00:00:00Z"),
            cve("CVE-2026-00007", ["i915"], score=10.0),
            cve("CVE-2026-00008", ["sctp"]),
            cve("CVE-2026-00009", []),
        ]
    )
    made = exposure({"web1": answer()}, {OLD: told})
    ranked = [(row["cve"][-1], row["reach"]) for row in of_host(made, "web1")]
    assert ranked == [
        ("2", "root"),  # exploited
        ("1", "vmlinux"),
        ("9", "unknown"),  # code of headers, which may be anywhere
        ("5", "loaded"),  # from the network
        ("6", "loaded"),  # the older one
        ("4", "loaded"),
        ("8", "loaded"),  # without a score
        ("3", "users"),
        ("7", "never"),
    ]
    # The same CVEs on a host that has loaded something else.
    other = exposure({"web1": answer(modules={"loaded": ["tipc"], "users": [], "root": ["sctp"]})}, {OLD: told})
    assert [number[-1] for number in numbers(other, "web1")] == list("219356487")


def test_what_does_not_concern_a_host_and_what_is_not_known_of_a_cve() -> None:
    told = account(
        [
            cve("CVE-2026-00001", concerns="not built"),
            cve("CVE-2026-00002", concerns="unknown", objects=[]),
            cve("CVE-2026-00003", state="fixed"),
            cve("CVE-2026-00004", state="unknown", why="Its record cannot be read.", fix=None, shipped=None),
            cve("CVE-2026-00005", why="The series has no fix.", fix=None, shipped=None),
        ]
    )
    made = exposure({"web1": answer()}, {OLD: told})
    assert sorted(numbers(made, "web1")) == ["CVE-2026-00002", "CVE-2026-00004", "CVE-2026-00005"]
    assert of_cve(made, "CVE-2026-00005")["no_fix"] == ["6.1"]
    assert of_cve(made, "CVE-2026-00002")["fixes"]["6.1"]["version"] == "6.1.177"
    (kernel,) = made["kernels"]
    assert (kernel["open"], kernel["no_fix"]) == (3, 2)


def update(name: str = "u", version: str = "1.0", digest: str = "cd" * 32, **more: t.Any) -> dict[str, t.Any]:
    return {"name": name, "version": version, "digest": digest, "state": "confirmed", "cves": [], **more}


def manifest(cves: list[str], **more: t.Any) -> dict[str, t.Any]:
    kernel = {"status": "built", "build_id": BUILDS[OLD], "version": OLD, "build_digest": "cd" * 32}
    kernel["built"] = "2026-08-06T00:00:00Z"
    return {"name": "u", "version": "1.0", "cves": cves, "kernels": [{**kernel, **more}]}


def test_what_is_fixed_live() -> None:
    told = {OLD: account([cve("CVE-2026-00001"), cve("CVE-2026-00002")])}
    known = exposed.EMPTY._replace(manifests=[manifest(["CVE-2026-00001"])])
    hosts = {
        "live": answer(updates=[update()], seen={"u": NOW - DAY}),
        "reversed": answer(updates=[update(state="reversed")]),
        # It says that another build is live, and that it fixes what it does not.
        "liar": answer(updates=[update(digest="ee" * 32, cves=["CVE-2026-00001", "CVE-2026-00002"])]),
        # Of an update that the store does not have its word is taken.
        "other": answer(updates=[update("v", cves=["CVE-2026-00002"])], seen={"v": NOW - 2 * DAY}),
    }
    made = exposure(hosts, told, sources=known)
    assert numbers(made, "live") == ["CVE-2026-00002"]
    assert numbers(made, "reversed") == numbers(made, "liar") == ["CVE-2026-00001", "CVE-2026-00002"]
    assert numbers(made, "other") == ["CVE-2026-00001"]
    assert [note for note in made["notes"] if note.startswith("liar: ")]
    row = of_cve(made, "CVE-2026-00001")
    assert (row["open"], row["updates"], row["timeline"]["fixed"]) == (3, ["u"], 1)
    # What is live everywhere is told as well.
    alone = exposure({"live": hosts["live"]}, {OLD: account([cve("CVE-2026-00001")])}, sources=known)
    assert (of_cve(alone, "CVE-2026-00001")["open"], of_cve(alone, "CVE-2026-00001")["timeline"]["last"]) == (
        0,
        NOW - DAY,
    )
    assert numbers(alone, "live") == []


def test_hosts_that_do_not_answer_are_counted_and_not_believed() -> None:
    told = {OLD: account([cve("CVE-2026-00001")]), NEW: account([cve("CVE-2026-00001", state="fixed")], NEW)}
    hosts = {"a": answer(NEW), "b": answer(), "gone": silent(), "was": silent(answer(NEW)), "old": silent(answer())}
    made = exposure(hosts, told)
    fleet = made["fleet"]
    assert (fleet["hosts"], fleet["answered"], fleet["silent"], fleet["not_known"]) == (5, 2, 3, 1)
    row = of_cve(made, "CVE-2026-00001")
    assert (row["timeline"]["hosts"], row["timeline"]["fixed"], row["timeline"]["first"]) == (5, 1, NOW - 10 * DAY)
    assert (row["timeline"]["half"], row["timeline"]["last"]) == (None, None)
    assert numbers(made, "old") == ["CVE-2026-00001"] and row["open"] == 2
    (gone,) = (host for host in made["hosts"] if host["name"] == "gone")
    assert (gone["code"], gone["profile"], gone["why"]) == ("no_word", None, "Connection timed out")


def test_hosts_that_lie_about_their_kernels() -> None:
    told = {
        OLD: account([cve("CVE-2026-00001")]),
        NEW: account([cve("CVE-2026-00001", state="fixed")], NEW),
        "6.1.999-1": account(
            [cve("CVE-2026-00001", state="fixed")], notes=["No changelog knows 6.1.999-1."], tree=None
        ),
    }
    hosts = {
        "a": answer(),
        "b": answer(),
        "version": answer(NEW, build_id=BUILDS[OLD]),  # of the same build as the others
        "future": answer("6.1.999-1", build_id="02" * 20),
        "list": answer("6.1", build_id="01" * 20),
        "none": answer(""),
        "odd": answer("5.4.1-1", build_id="03" * 20),
    }
    made = exposure(hosts, told)
    codes = {host["name"]: host["code"] for host in made["hosts"]}
    assert codes == {
        "a": "",
        "b": "",
        "version": "version_contradicted",
        "future": "version_not_known",
        "list": "series_not_in_feed",
        "none": "no_version",
        "odd": "series_not_in_feed",
    }
    # They may all have it.
    row = of_cve(made, "CVE-2026-00001")["timeline"]
    assert (row["hosts"], row["fixed"]) == (7, 0)
    # The store knows which version a build has.
    known = exposed.EMPTY._replace(manifests=[manifest([])])
    made = exposure({"a": answer(), "b": answer(NEW, build_id=BUILDS[OLD])}, told, sources=known)
    assert {host["name"]: host["code"] for host in made["hosts"]} == {"a": "", "b": "version_contradicted"}


@pytest.mark.parametrize(
    "modules",
    [
        {"complete": "yes"},
        {"loaded": None, "users": 7, "root": {"sctp": 1}, "never": "sctp"},
        {"never": ["sctp", None, 3]},  # loaded, and cannot be
        {"complete": False, "loaded": []},
    ],
)
def test_what_hosts_say_of_modules_in_other_forms(modules: dict[str, t.Any]) -> None:
    made = exposure({"web1": answer(modules=modules)}, {OLD: account([cve("CVE-2026-00001", ["sctp"])])})
    (row,) = of_host(made, "web1")
    listed = modules.get("loaded", ["sctp"]) == ["sctp"]
    assert row["reach"] == ("loaded" if listed else "never" if modules.get("complete", True) is True else "unknown")


def test_nothing_is_no_success() -> None:
    told = {OLD: account([cve("CVE-2026-00001")])}
    with refusal("no_hosts"):
        exposure({}, told)
    with refusal("no_answer"):
        exposure({"web1": silent(), "web2": silent(answer())}, told)
    with refusal("no_kernel_known"):
        exposure({"web1": answer("")}, told)
    with refusal("series_not_in_feed"):
        exposure({"web1": answer()}, {})
    with refusal("no_cves"):
        exposure({"web1": answer()}, {OLD: account([])})


def test_a_clock_that_is_behind_and_a_feed_that_is_old() -> None:
    told = {OLD: account([cve("CVE-2026-00001")])}
    with refusal("clock_behind"):
        exposure({"web1": answer()}, told, now=NOW - 30 * DAY)
    assert not exposure({"web1": answer()}, told)["notes"]
    (note,) = exposure({"web1": answer()}, told, now=NOW + 9 * DAY)["notes"]
    assert "10 days" in note
    without = {OLD: account([cve("CVE-2026-00001")], tree=None)}
    (note,) = exposure({"web1": answer()}, without)["notes"]
    assert "no kernel tree of 6.1.0-50-cloud-amd64" in note
    told[OLD]["feed"].pop("exploited")
    (note,) = exposure({"web1": answer()}, told)["notes"]
    assert "KEV" in note


# ---- deadlines and exceptions


def judged(rules: t.Any, *rows: t.Any, exceptions: t.Any = (), groups: t.Any = None) -> dict[str, tuple[str, str, str]]:
    """Of each CVE of web1 its standing, its day and its rule; web1 is in the group web."""
    known = {"web": ["web1"], "lab": ["lab1"], **(groups or {})}
    made = exposure(
        {"web1": answer()}, {OLD: account(rows)}, exposed.policy(rules, exceptions, known), {"web1": frozenset({"web"})}
    )
    return {row["cve"]: (row["standing"], _day(row["due"]), row["rule"]) for row in of_host(made, "web1")}


def _day(time: float | None) -> str:
    return "" if time is None else render.iso(time)[:10]


def test_the_first_rule_that_matches_counts() -> None:
    rules = [
        {"name": "lab", "groups": ["lab"], "days": 900},
        {"name": "exploited", "exploited": True, "days": 3, "since": "exploited"},
        {"name": "near", "reach": ["vmlinux", "loaded"], "score": 7, "days": 10, "groups": "web"},
        {"name": "unscored", "score": 9.5, "unscored": True, "reach": "users", "days": 20, "since": "fix"},
        {"name": "rest", "days": 45},
    ]
    found = judged(
        rules,
        cve("CVE-2026-00001", exploited=KEV),
        cve("CVE-2026-00002", **HIGH),
        cve("CVE-2026-00003", ["slip"], **HIGH),
        cve("CVE-2026-00004", ["tipc"]),
        cve("CVE-2026-00005", ["tipc"], fix=None),
        cve("CVE-2026-00006", score=6.9, published=None),
        cve("CVE-2026-00007", exploited={"added": "soon"}),
    )
    assert found == {
        "CVE-2026-00001": ("due", "2026-09-02", "exploited"),
        "CVE-2026-00002": ("late", "2026-08-11", "near"),
        "CVE-2026-00003": ("due", "2026-09-15", "rest"),
        "CVE-2026-00004": ("late", "2026-08-25", "unscored"),
        "CVE-2026-00005": ("undated", "", "unscored"),  # nothing to count from, as long as there is no fix
        "CVE-2026-00006": ("undated", "", "rest"),
        "CVE-2026-00007": ("undated", "", "exploited"),
    }
    assert judged([{"name": "one", "days": 1, "score": 9}], cve("CVE-2026-00001")) == {
        "CVE-2026-00001": ("undated", "", "")
    }


def test_bands_that_ship() -> None:
    rows = (cve("CVE-2026-00001", exploited=KEV), cve("CVE-2026-00002", score=9.0), cve("CVE-2026-00003", score=8.9))
    assert {rule: days for _standing, days, rule in judged("bod_26_04", *rows).values()} == {
        "exploited": "2026-09-02",
        "all others": "2026-09-30",
    }
    assert judged("pci_dss_4", *rows)["CVE-2026-00002"] == ("due", "2026-09-04", "critical")
    assert judged("pci_dss_4", *rows)["CVE-2026-00003"] == ("due", "2026-11-03", "all others")


def exception(end: t.Any, **more: t.Any) -> dict[str, t.Any]:
    return {"cves": ["CVE-2026-00001"], "name": "J. Doe", "reason": "No users.", "end": end, **more}


@pytest.mark.parametrize(
    ("end", "more", "standing"),
    [
        ("2026-09-01", {}, "excepted"),  # the whole day
        (datetime.date(2026, 9, 1), {"hosts": "web1"}, "excepted"),  # as YAML has it without quotes
        ("2026-09-01T13:00:00+02:00", {}, "late"),
        ("2026-09-01T15:00:00+02:00", {"groups": ["web"]}, "excepted"),
        ("2026-12-31", {"groups": ["lab"]}, "late"),
        ("2026-08-31", {}, "late"),
        ("2026-12-31", {"cves": ["CVE-2026-00009"]}, "late"),
    ],
)
def test_exceptions(end: t.Any, more: dict[str, t.Any], standing: str) -> None:
    found = judged([{"name": "all", "days": 5}], cve("CVE-2026-00001"), exceptions=[exception(end, **more)])
    assert found["CVE-2026-00001"][0] == standing


def test_an_exception_says_who_made_it_and_what_it_is_used_for() -> None:
    groups: dict[str, list[str]] = {"all": ["web1", "web2"]}
    rules = exposed.policy("bod_26_04", [exception("2026-12-31", hosts=["web2"]), exception("2026-01-01")], groups)
    made = exposure({"web1": answer(), "web2": answer()}, {OLD: account([cve("CVE-2026-00001")])}, rules)
    first, second = made["policy"]["exceptions"]
    assert (first["name"], first["used_by"], first["ended"]) == ("J. Doe", 1, False)
    assert (second["used_by"], second["ended"]) == (0, True)
    assert of_cve(made, "CVE-2026-00001")["excepted"] == 1 and made["fleet"]["pairs"]["excepted"] == 1
    assert "J. Doe" in render.as_csv(made)


@pytest.mark.parametrize(
    ("deadlines", "exceptions", "code", "told"),
    [
        ("bod", [], "bad_deadlines", "pci_dss_4"),
        ([], [], "bad_deadlines", "no rule"),
        ({"days": 3}, [], "bad_deadlines", "list of tables"),
        ([{"name": "a"}], [], "bad_deadlines", "days"),
        ([{"name": "a", "days": -1}], [], "bad_deadlines", "row 1"),
        ([{"name": "a", "days": True}], [], "bad_deadlines", "days"),
        ([{"name": "a", "days": 3, "scores": 9}], [], "bad_deadlines", "scores"),
        ([{"name": "a", "days": 3, "score": 11}], [], "bad_deadlines", "score"),
        ([{"name": "a", "days": 3, "reach": ["kernel"]}], [], "bad_deadlines", "vmlinux"),
        ([{"name": "a", "days": 3, "since": "fixed"}], [], "bad_deadlines", "since"),
        ([{"name": "a", "days": 3, "groups": ["wbe"]}], [], "bad_deadlines", "wbe"),
        ("bod_26_04", [exception("soon")], "bad_exceptions", "soon"),
        ("bod_26_04", [exception("2026-02-30")], "bad_exceptions", "2026-02-30"),
        ("bod_26_04", [exception("2026-12-31", cves=["cve-2026-1"])], "bad_exceptions", "cves"),
        ("bod_26_04", [exception("2026-12-31", cves=[])], "bad_exceptions", "cves"),
        ("bod_26_04", [exception("2026-12-31", reason="")], "bad_exceptions", "reason"),
        ("bod_26_04", [exception("2026-12-31", hosts=["web9"])], "bad_exceptions", "web9"),
        ("bod_26_04", [{"cves": ["CVE-2026-00001"], "name": "x", "reason": "y"}], "bad_exceptions", "end"),
    ],
)
def test_a_policy_with_a_mistake(deadlines: t.Any, exceptions: t.Any, code: str, told: str) -> None:
    with refusal(code) as refused:
        exposed.policy(deadlines, exceptions, {"web": ["web1"]})
    assert told in refused.error.sentence and "service.md" in f"{refused.error.next_step} service.md"


def test_the_bands_that_ship_are_policies() -> None:
    for name in policy.BANDS:
        assert exposed.policy(name).title == name
    assert policy.DEFAULT in policy.BANDS


# ---- how far a fix has come


def test_milestones() -> None:
    assert milestones(4, [3, 1, 2]) == (4, 3, 1, 2, None, None)
    assert milestones(1, [5]) == (1, 1, 5, 5, 5, 5)
    assert milestones(20, map(float, range(19)))[2:] == (0, 9, 18, None)
    assert milestones(3, []) == (3, 0, None, None, None, None)
    assert milestones(2, [1, float("inf")]) == (2, 2, 1, 1, None, None)  # fixed, and it is not known since when


def test_the_way_of_a_fix(tmp_path: pathlib.Path) -> None:
    """A real rollout's record: six hosts, of which three were confirmed."""
    directory, said = sample.six(tmp_path)
    (number,) = directory.update["cves"]
    hosts = {}
    for name, row in said.items():
        kernel = {**row["kernel"], "uptime": 90 * DAY, "updates": row["updates"]}
        hosts[name] = {**row, "kernel": kernel, "booted": NOW - 90 * DAY, "modules": {"complete": True}}
    told = {
        row["kernel"]["version"]: account([cve(number)], row["kernel"]["version"])
        for row in said.values()
        if row.get("kernel")
    }
    fixed = next(row["kernel"]["version"] for name, row in said.items() if name == "db2")
    told[fixed] = account([cve(number, state="fixed")], fixed)
    made = exposure(hosts, told, sources=directory.sources(), now=sample.START.timestamp() + 2 * DAY)
    way = of_cve(made, number)["timeline"]
    start = sample.START.timestamp()
    assert way["approved_by"] == sample.BY and start <= way["approved"] < start + 60
    assert (way["published"], way["fix"]) == (1785542400.0, 1785888000.0)
    assert way["hosts"] == 6 and 3 <= way["fixed"] < 6
    assert way["first"] is not None and way["half"] is not None and way["last"] is None


# ---- what is kept and written


def many() -> dict[str, t.Any]:
    rows = [cve("CVE-2026-00001", exploited=KEV, title=HOSTILE), cve("CVE-2026-00002", ["tipc"], **HIGH)]
    hosts = {"web1": answer(), "web2": answer(), "gone": silent(), "=odd": answer(modules={"loaded": ["tipc"]})}
    return exposure(hosts, {OLD: account(rows)}, exposed.policy([{"name": "all", "days": 5}]))


class Parser(html.parser.HTMLParser):
    """Collects tags, and fails on what does not close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: t.Any) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page(tmp_path: pathlib.Path) -> None:
    page = render.as_html(many())
    parser = Parser()
    parser.feed(page)
    assert parser.open == [] and not {"script", "img", "iframe", "object"} & set(parser.tags)
    assert "&lt;script&gt;" in page and "\u202e" not in page and "\x1b" not in page
    assert "late since 2026-08-06" in page and 'role="alert"' in page and "exploited" in page
    assert "Connection timed out" in page and "no_word" in page
    quiet = exposure({"web1": answer()}, {OLD: account([cve("CVE-2026-00001")])})
    assert "late since" not in render.as_html(quiet) and 'role="alert"' not in render.as_html(quiet)


def test_tables() -> None:
    made = many()
    lines = list(csv.DictReader(io.StringIO(render.as_csv(made))))
    assert [(row["cve"], row["reach"], row["hosts"]) for row in lines] == [
        ("CVE-2026-00001", "vmlinux", "3"),
        ("CVE-2026-00002", "loaded", "1"),
        ("CVE-2026-00002", "users", "2"),
    ]
    assert lines[0]["names"] == "'=odd web1 web2" and lines[0]["exploited"] == "yes" and lines[0]["due"] == "2026-08-06"
    rows = {row["host"]: row for row in csv.DictReader(io.StringIO(render.hosts_csv(made)))}
    assert (rows["web1"]["open"], rows["web1"]["late"], rows["web1"]["users"]) == ("2", "2", "1")
    assert (rows["gone"]["answered"], rows["gone"]["why"]) == ("no", "Connection timed out") and "'=odd" in rows


def test_metrics() -> None:
    text = render.files(many())["metrics"].decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert values['rebootless_exposure_hosts{state="silent"}'] == "1"
    assert values['rebootless_exposure_hosts{state="not_known"}'] == "1"
    assert values['rebootless_exposure_open{reach="vmlinux",exploited="yes"}'] == "3"
    assert values['rebootless_exposure_standing{standing="late"}'] == "6"
    assert values['rebootless_exposure_host_late{host="web1"}'] == "2"
    assert values['rebootless_exposure_host_answered{host="gone"}'] == "0"
    assert values['rebootless_exposure_cve_late_hosts{cve="CVE-2026-00001",exploited="yes"}'] == "3"
    assert values["rebootless_exposure_timestamp_seconds"] == str(int(NOW))


def test_a_fleet_of_two_thousand_fits_a_page() -> None:
    """2,000 hosts of 40 kinds by 1,000 CVEs: a page that opens at once, and all of it in the other files."""
    rows = [cve(f"CVE-2026-{number:05d}", [f"m{number % 200}"], **HIGH) for number in range(1000)]
    hosts = {}
    for number in range(2000):
        kind = number % 40
        loaded = [f"m{place}" for place in range(200) if (place * 7 + kind) % 5 == 0]
        hosts[f"web{number:04d}"] = answer(modules={"loaded": loaded, "root": [f"m{place}" for place in range(200)]})
    made = exposure(hosts, {OLD: account(rows)})
    contents = render.files(made)
    assert made["fleet"]["pairs"]["open"] == 2_000_000 and len(made["profiles"]) <= 40
    assert len(contents["html"]) < 2_000_000 and len(contents["json"]) < 5_000_000
    names = csv.DictReader(io.StringIO(contents["csv"].decode()))
    assert sum(int(row["hosts"]) for row in names) == 2_000_000


@pytest.fixture
def places(tmp_path: pathlib.Path) -> keep.Places:
    return keep.Places(tmp_path / "report", None, 0)


def contents_of(places: keep.Places) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in places.dest.iterdir() if path.name != keep.LOCK}


def test_all_files_or_none(places: keep.Places, monkeypatch: pytest.MonkeyPatch) -> None:
    made = many()
    keep.write(places, render.files(made))
    before = contents_of(places)
    assert set(before) == set(render.FILES.values())
    assert not keep.differs(places, {**made, "written": "2026-09-02T00:00:00Z"})
    other = exposure({"web1": answer()}, {OLD: account([cve("CVE-2026-00003")])})
    assert keep.differs(places, other) and "CVE-2026-00001" in keep.before(places)
    written = []

    def full(descriptor: int, content: t.Any) -> int:
        written.append(descriptor)
        if len(written) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, content)

    real = os.write
    monkeypatch.setattr(disk.os, "write", full)
    with refusal("disk_full"):
        keep.write(places, render.files(other))
    monkeypatch.undo()
    assert contents_of(places) == before


def test_two_runs_at_once(places: keep.Places) -> None:
    keep.write(places, render.files(many()))
    before = contents_of(places)
    with locks.locked(places.dest / keep.LOCK), refusal("exposure_busy") as refused:
        keep.write(places, {})
    assert str(os.getpid()) in refused.error.sentence and contents_of(places) == before


def test_metrics_for_a_collector(places: keep.Places, tmp_path: pathlib.Path) -> None:
    (tmp_path / "collector").mkdir()
    told = keep.Places(places.dest, str(tmp_path / "collector"), 0)
    keep.write(told, render.files(many()))
    assert (tmp_path / "collector" / "exposure.prom").read_bytes() == (places.dest / "exposure.prom").read_bytes()
    with refusal("metrics_failed"):
        keep.write(keep.Places(places.dest, str(tmp_path / "missing"), 0), render.files(many()))


def test_answers_are_kept_as_they_were(tmp_path: pathlib.Path) -> None:
    said = {**answer(updates=[update()]), "run": "r1"}
    for key in ("booted", "seen"):
        said.pop(key)
    keep.write_answer(str(tmp_path), "web1", said, NOW)
    first = keep.read_answer(str(tmp_path), "web1", keep.ThisRun("r1", NOW), None, NOW)
    assert (first["booted"], first["seen"]) == (NOW - 10 * DAY, {"u": NOW})
    # Asked again a day later: neither the boot nor the update is another one.
    later = {**said, "kernel": {**said["kernel"], "uptime": 11.0 * DAY + 0.7}}
    keep.write_answer(str(tmp_path), "web1", later, NOW + DAY)
    second = keep.read_answer(str(tmp_path), "web1", keep.ThisRun("r1", NOW), None, NOW + DAY)
    assert (second["booted"], second["seen"]) == (first["booted"], first["seen"])
    keep.write_answer(str(tmp_path), "web1", {"reachable": False, "why": "gone", "run": "r2"}, NOW + 2 * DAY)
    gone = keep.read_answer(str(tmp_path), "web1", keep.ThisRun("r2", NOW), None, NOW + 2 * DAY)
    assert not gone["reachable"] and gone["last"]["booted"] == first["booted"]
    # It was booted meanwhile.
    booted = {**said, "kernel": {**said["kernel"], "boot_id": "boot-2", "uptime": 60.0}}
    keep.write_answer(str(tmp_path), "web1", booted, NOW + 3 * DAY)
    third = keep.read_answer(str(tmp_path), "web1", keep.ThisRun("r1", NOW), None, NOW + 3 * DAY)
    assert (third["booted"], third["seen"]) == (NOW + 3 * DAY - 60, {"u": NOW + 3 * DAY})


def test_answers_of_other_runs(tmp_path: pathlib.Path) -> None:
    said, mine = {**answer(), "run": "other"}, keep.ThisRun("mine", NOW - 100.5)
    keep.write_answer(str(tmp_path), "web1", said, NOW)
    assert keep.read_answer(str(tmp_path), "web1", mine, None, NOW)["reachable"]  # one that asks at the same time
    old = keep.read_answer(str(tmp_path), "web1", keep.ThisRun("mine", NOW - 50), None, NOW)
    assert not old["reachable"] and old["last"]["kernel"] == said["kernel"] and old["why"]
    future = keep.read_answer(str(tmp_path), "web1", mine, None, NOW - DAY)
    assert not future["reachable"]
    told = keep.read_answer(str(tmp_path), "web1", mine, {"reachable": False, "why": "x"}, NOW)
    assert told["last"]["kernel"] == said["kernel"]
    for content in (b"", b"[]", b"\xff", b'{"kernel": 1}'):
        keep._path(str(tmp_path), "web1").write_bytes(content)
        assert not answers.host("web1", keep.read_answer(str(tmp_path), "web1", mine, None, NOW)).answered


@pytest.mark.parametrize("uptime", [-5, "long", None, float("1e30"), True])
def test_uptimes_that_are_none(uptime: t.Any) -> None:
    said = answer()
    said["kernel"]["uptime"] = uptime
    found = answers.completed(said, {}, NOW)
    assert NOW - answers.LONGEST_UPTIME - 1 <= found["booted"] <= NOW
