# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports: how hosts stand, what evidence is worth, and what is written of it."""

from __future__ import annotations

import csv
import hashlib
import html.parser
import io
import json
import pathlib
import re
import typing as t

import pytest

from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report import (
    chain,
    model,
    names,
    render,
    sources,
    timeline,
    timescale,
    values,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.states import APPEARANCES, worst
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import evidence
from ansible_collections.rebootless.splice.tests.support.fleet import sample

WRITTEN, BY = "2026-11-23T06:00:00Z", "ops@controller1"
NAME = sample.UPDATE["name"]
HOSTILE = "<script>alert(1)</script>\u202e\x1b[2J\n=HYPERLINK()"


def made(
    directory: sample.Sample, answers: dict[str, t.Any] | None, hosts: list[str] | None = None, **options: t.Any
) -> dict[str, t.Any]:
    asked = hosts if hosts is not None else None if answers is None else list(answers)
    return model.build(directory.sources(), asked, answers or {}, WRITTEN, BY, **options)


def states(report: dict[str, t.Any]) -> dict[str, str]:
    return {host["name"]: host["state"] for host in report["hosts"]}


def entry(report: dict[str, t.Any], host: str) -> dict[str, t.Any]:
    (found,) = (row for row in report["hosts"] if row["name"] == host)
    return found["updates"][NAME]


# ---- how hosts stand


def test_six_hosts(tmp_path: pathlib.Path) -> None:
    report = made(*sample.six(tmp_path))
    assert states(report) == {
        "web3": "failed",
        "db1": "uncovered",
        "web1": "confirmed",
        "web2": "confirmed",
        "web4": "confirmed",
        "db2": "not needed",
    }
    assert report["fleet"]["share"] == 66.7
    assert [(row["cve"], row["fixed"], row["share"]) for row in report["cves"]] == [("CVE-2026-52928", 4, 66.7)]
    (failure,) = report["failures"]
    assert (failure["code"], failure["hosts"]) == ("check_failed", ["web3"])
    assert failure["sentence"] == sample.CHECK_FAILED["sentence"]
    (rollout,) = report["rollouts"]
    assert rollout["evidence"]["chain"] == "intact"
    assert [(batch["name"], batch["hosts"], batch["states"]["failed"]) for batch in rollout["batches"]] == [
        ("canary", 1, 0),
        ("all", 3, 1),
    ]
    assert [start["by"] for start in rollout["starts"]] == [sample.BY]


def test_evidence_only_says_the_same_and_that_nobody_was_asked(tmp_path: pathlib.Path) -> None:
    rollout, answers = sample.six(tmp_path)
    report = made(rollout, None)
    assert states(report) == states(made(rollout, answers))
    assert not report["live"]
    assert report["fleet"]["unreachable"] == 0
    assert "no host was asked" in render.summary(report)
    assert render.summary(made(rollout, answers, ["web1"])).startswith("1 host: 1 confirmed")
    (web3,) = (host for host in report["hosts"] if host["name"] == "web3")
    assert web3["effective_release"] == "6.1.0-47-cloud-amd64", "it was taken back"


def test_live_only(tmp_path: pathlib.Path) -> None:
    rollout, answers = sample.six(tmp_path)
    empty = sources.read(str(tmp_path / "nothing"))
    for row in answers["web1"]["updates"]:
        row["cves"] = ["CVE-2026-52928"]
    report = model.build(empty, list(answers), answers, WRITTEN, BY)
    assert states(report)["web1"] == "confirmed"
    assert entry(report, "db1")["code"] == "no_build"
    assert [(row["cve"], row["fixed"]) for row in report["cves"]] == [("CVE-2026-52928", 3)]
    assert report["rollouts"] == []
    assert "No rollout has left evidence here" in render.as_html(report)


def test_a_fleet_without_any_update(tmp_path: pathlib.Path) -> None:
    rollout, answers = sample.six(tmp_path)
    calm = {"web1": rollout.answer("web1", None), "web2": rollout.silent()}
    report = model.build(sources.read(str(tmp_path / "nothing")), list(calm), calm, WRITTEN, BY)
    assert states(report) == {"web2": "unknown", "web1": "not needed"}
    assert render.as_csv(report).count("\n") == 3
    assert "No update is known here" in render.as_html(report)


def test_unreachable_hosts_are_what_is_recorded_and_said_to_be_silent(tmp_path: pathlib.Path) -> None:
    rollout, answers = sample.six(tmp_path)
    before = answers["web2"]
    answers["web1"] = rollout.silent("No route to host")
    answers["new1"] = rollout.silent("No route to host")
    answers["new2"] = rollout.silent("No route to host", last=before)
    report = made(rollout, answers)
    found = {host["name"]: host for host in report["hosts"]}
    assert (found["web1"]["state"], found["web1"]["answered"]) == ("confirmed", False)
    assert found["web1"]["why"] == "No route to host"
    assert (found["new1"]["state"], entry(report, "new1")["code"]) == ("unknown", "no_word")
    assert (found["new2"]["state"], found["new2"]["last_answer"]) == ("confirmed", before["time"])
    assert entry(report, "new2")["live"] is None
    assert report["fleet"]["unreachable"] == 3


@pytest.mark.parametrize(
    ("state", "boot_id", "state_found", "said"),
    [
        ("reversed", "boot-1", "failed", "it was taken out again"),
        (None, "boot-1", "failed", "the kernel does not have it any more"),
        (None, "boot-2", "failed", "the host was booted since"),
        ("applied", "boot-1", "applied", ""),
        ("confirmed", "boot-2", "confirmed", ""),
    ],
)
def test_the_kernel_is_right_about_what_was_confirmed(
    tmp_path: pathlib.Path, state: str | None, boot_id: str, state_found: str, said: str
) -> None:
    rollout, answers = sample.six(tmp_path)
    answers["web1"] = rollout.answer("web1", state, kernel={"boot_id": boot_id})
    found = entry(made(rollout, answers), "web1")
    assert found["state"] == state_found
    assert said in found["sentence"]
    assert found["code"] == ("not_live" if said else "")


@pytest.mark.parametrize("recorded", [True, False])
def test_a_host_whose_fix_something_else_has_taken_away_is_not_fixed(tmp_path: pathlib.Path, recorded: bool) -> None:
    rollout, answers = sample.six(tmp_path)
    answers["web1"] = rollout.answer("web1", "bypassed")
    nothing = sources.read(str(tmp_path / "nothing"))
    report = model.build(rollout.sources() if recorded else nothing, list(answers), answers, WRITTEN, BY)
    found = entry(report, "web1")
    assert (found["state"], found["code"], found["live"]) == ("failed", "bypassed", False)
    assert "taken one of its functions away" in found["sentence"] and found["next_step"]
    assert not APPEARANCES[found["state"]].fixed


def test_a_host_that_went_back_although_tasks_were_in_the_way_says_how_many(tmp_path: pathlib.Path) -> None:
    rollout, answers = sample.six(tmp_path)
    answers["web1"] = rollout.answer("web1", "reversed")
    answers["web1"]["updates"][0]["held_by"] = 3
    assert "and 3 tasks are still in its code" in entry(made(rollout, answers), "web1")["sentence"]


@pytest.mark.parametrize(
    ("kernel", "state"),
    [
        ({"build_id": sample.OTHER, "version": "6.1.187-1"}, "not needed"),
        ({"build_id": sample.OTHER, "version": "6.1.183-1"}, "uncovered"),
    ],
)
def test_a_host_that_booted_another_kernel_is_what_that_kernel_is(
    tmp_path: pathlib.Path, kernel: dict[str, str], state: str
) -> None:
    rollout, answers = sample.six(tmp_path)
    answers["web1"] = rollout.answer("web1", None, kernel={"boot_id": "boot-2", **kernel})
    assert states(made(rollout, answers))["web1"] == state


@pytest.mark.parametrize(
    ("said", "state"),
    [("applying", "failed"), ("lost", "failed"), ("reversed", "pending"), ("matched", "pending"), ("odd", "failed")],
)
def test_states_of_the_rollout_in_the_words_of_reports(tmp_path: pathlib.Path, said: str, state: str) -> None:
    rollout, _answers = sample.six(tmp_path)
    rollout.step("web4", "confirm", said)
    report = made(rollout.save(), None)
    assert states(report)["web4"] == state
    assert entry(report, "web4")["sentence"] or said == "odd"


def test_a_lost_host_that_is_back_and_confirmed_is_confirmed(tmp_path: pathlib.Path) -> None:
    rollout, answers = sample.six(tmp_path)
    rollout.step("web4", "confirm", "lost")
    assert states(made(rollout.save(), answers))["web4"] == "confirmed"


def test_a_failed_host_that_is_still_live_says_so(tmp_path: pathlib.Path) -> None:
    rollout, answers = sample.six(tmp_path)
    answers["web3"] = rollout.answer("web3", "applied")
    found = entry(made(rollout, answers), "web3")
    assert (found["state"], found["live"]) == ("failed", True)
    assert "still live" in found["sentence"]


def test_what_the_kernel_refused_without_a_rollout(tmp_path: pathlib.Path) -> None:
    rollout, answers = sample.six(tmp_path)
    abort = {"code": "match_failed", "sentence": "One byte differs.", "next_step": "Look for a kprobe."}
    answers["new1"] = rollout.answer("new1", "failed", build_id="a" * 40)
    answers["new1"]["updates"][0]["abort"] = abort
    found = entry(made(rollout, answers), "new1")
    assert (found["state"], found["code"], found["next_step"]) == ("failed", "match_failed", "Look for a kprobe.")


@pytest.mark.parametrize(
    ("status", "code", "state"),
    [
        ("built", "", "pending"),
        ("not_applicable", "no_effect", "not needed"),
        ("refused", "unsafe_change", "reboot needed"),
        ("refused", "vdso_not_supported", "reboot needed"),
        ("refused", "patch_does_not_apply", "failed"),  # no reboot mends a wrong patch
        ("refused", "does_not_compile", "failed"),
        ("refused", "rename_not_supported", "failed"),
        ("failed", "build_host_lost", "uncovered"),
    ],
)
def test_a_host_without_a_plan_is_what_the_store_has_for_its_kernel(
    tmp_path: pathlib.Path, status: str, code: str, state: str
) -> None:
    rollout, answers = sample.six(tmp_path)
    path = next(tmp_path.glob("store/*/*/manifest.json"))
    manifest = json.loads(path.read_text())
    for kernel in manifest["kernels"]:
        kernel.update(status=status, code=code)
    path.write_text(json.dumps(manifest))
    answers["new1"] = rollout.answer("new1", None, build_id="a" * 40)
    assert states(made(rollout, answers))["new1"] == state


def test_what_builds_remark_is_said_once_and_with_the_kernels(tmp_path: pathlib.Path) -> None:
    rollout, _answers = sample.six(tmp_path)
    path = next(tmp_path.glob("store/*/*/manifest.json"))
    manifest = json.loads(path.read_text())
    for kernel in manifest["kernels"]:
        kernel["remarks"] = [{"code": "existing_objects", "sentence": "Only <new> sockets have it.", "details": {}}]
    path.write_text(json.dumps(manifest))
    report = made(rollout, None)
    assert report["updates"][0]["remarks"] == [
        {
            "sentence": "Only <new> sockets have it.",
            "releases": sorted(name for name, _version in sample.RELEASES.values()),
        }
    ]
    page = render.as_html(report)
    assert page.count("Only &lt;new&gt; sockets have it.") == 1
    assert "What the builds remark" not in render.as_html(made(sample.six(tmp_path / "calm")[0], None))


def test_a_later_plan_that_leaves_a_confirmed_host_out_does_not_hide_it(tmp_path: pathlib.Path) -> None:
    _first, _answers = sample.six(tmp_path)
    later = sample.Sample(
        tmp_path,
        {"all": ["web3"]},
        {"web1": {"state": "not needed", "code": "", "sentence": "It is live."}},
        created=86000,
    )
    later.write("rollout_started", at=86400)
    report = made(later.save(), None)
    assert states(report)["web1"] == "confirmed"
    assert states(report)["web3"] == "pending", "the new plan has not come to it"
    assert len(report["rollouts"]) == 2


def test_a_revert_by_name_is_the_last_word(tmp_path: pathlib.Path) -> None:
    rollout, answers = sample.six(tmp_path)
    plan = json.dumps({"format": 1, "kind": "revert", "update": {"name": NAME, "version": ""}, "batches": []}).encode()
    digest = hashlib.sha256(plan).hexdigest()
    path = tmp_path / "rollouts" / digest[:12]
    path.mkdir()
    (path / "plan.json").write_bytes(plan)
    line = {"plan": digest, "update": {"name": NAME, "version": ""}, "by": sample.BY, "batch": 0}
    evidence.append(
        str(path / "evidence.jsonl"),
        [
            {**line, "time": "2026-11-24T01:00:00.000Z", "event": "reverting"},
            {**line, "event": "host", "host": "web1", "step": "reverse", "state": "reversed", "seconds": 1.0},
            {**line, "event": "rollout_finished", "state": "reverted"},
        ],
    )
    answers["web1"] = rollout.answer("web1", "reversed")
    report = made(rollout, answers)
    assert states(report)["web1"] == "reverted"
    assert entry(report, "web1")["next_step"] == "", "it was meant"
    assert states(report)["web2"] == "confirmed", "the revert was not about it"
    assert report["updates"][0]["version"] == "1.0"
    assert (report["rollouts"][0]["kind"], report["rollouts"][0]["outcome"]) == ("revert", "reverted")
    assert f"Revert of {NAME}" in render.as_html(report)
    assert not report["notes"]


def test_a_rollout_that_was_stopped_went_back_and_was_not_taken_back(tmp_path: pathlib.Path) -> None:
    rollout = sample.Sample(tmp_path, {"canary": ["web1"], "all": ["web2", "web3"]}, {})
    rollout.write("rollout_started")
    rollout.roll(0, {})
    rollout.write("stopping", batch=0)
    rollout.step("web1", "reverse", "reversed")
    rollout.write("rollout_finished", state="stopped")
    before = made(rollout.save(), None)
    assert states(before)["web1"] == "pending" and entry(before, "web1")["next_step"], "the cause is to be found"
    rollout.write("reverting")
    rollout.step("web2", "reverse", "not there")
    rollout.step("web1", "reverse", "reversed")
    rollout.write("rollout_finished", state="reverted")
    report = made(rollout.save(), None)
    assert states(report) == {"web1": "reverted", "web2": "reverted", "web3": "pending"}
    assert report["rollouts"][0]["states"]["reverted"] == 2
    assert report["fleet"]["fixed"] == 0
    assert "reverted" in render.as_html(report)


def test_each_of_several_updates_is_counted_in_the_summary(tmp_path: pathlib.Path) -> None:
    rollout, answers = sample.six(tmp_path)
    assert str(NAME) not in render.summary(made(rollout, answers)), "the hosts are counted by it"
    sample.Sample(tmp_path, {"all": ["web1", "web2"]}, {}, name="experiment", version="2").save()
    said = render.summary(made(rollout, answers))
    assert "each by its worst update" in said
    assert f"{NAME} 1.0: 1 failed, 1 uncovered, 3 confirmed, 1 not needed." in said
    assert "experiment 2: " in said


def test_a_retired_update_counts_no_more_unless_it_is_live(tmp_path: pathlib.Path) -> None:
    rollout, answers = sample.six(tmp_path)
    sample.Sample(tmp_path, {"all": list(answers)}, {}, name="experiment").save()
    counted = made(rollout, answers)
    assert "confirmed" not in states(counted).values(), "each host still waits for the experiment"
    retired = model.Wanted(retired=["experiment"])
    report = made(rollout, answers, wanted=retired)
    assert [update["name"] for update in report["updates"]] == [NAME]
    assert len(report["rollouts"]) == 1
    assert states(report)["web1"] == "confirmed"
    for state in ("applied", "confirmed", "bypassed"):
        answers["web1"]["updates"].append({"name": "experiment", "version": "1.0", "state": state})
        assert len(made(rollout, answers, wanted=retired)["updates"]) == 2
        answers["web1"]["updates"].pop()


def test_an_update_that_no_host_had_is_none(tmp_path: pathlib.Path) -> None:
    """As where its name was mistyped when it was to be taken back."""
    rollout, answers = sample.six(tmp_path)
    plan = json.dumps({"format": 1, "kind": "revert", "update": {"name": "nosuch", "version": ""}}).encode()
    digest = hashlib.sha256(plan).hexdigest()
    directory = tmp_path / "rollouts" / digest[:12]
    directory.mkdir()
    (directory / "plan.json").write_bytes(plan)
    line = {"time": "2026-11-24T01:00:00.000Z", "plan": digest, "update": {"name": "nosuch", "version": ""}}
    evidence.append(
        str(directory / "evidence.jsonl"),
        [
            {**line, "event": "reverting"},
            {**line, "event": "host", "host": "web1", "step": "reverse", "state": "not there", "seconds": 1},
            {**line, "event": "rollout_finished", "state": "not there"},
        ],
    )
    report = made(rollout, answers)
    assert [update["name"] for update in report["updates"]] == [NAME]
    assert [row["kind"] for row in report["rollouts"]] == ["rollout"]


def test_several_controllers_are_reported_together(tmp_path: pathlib.Path) -> None:
    sample.six(tmp_path / "one")
    sample.Sample(tmp_path / "two", {"all": ["far1"]}, {}).save()
    both = sources.read(str(tmp_path / "one"), str(tmp_path / "two"), str(tmp_path / "one"))
    report = model.build(both, None, {}, WRITTEN, BY)
    assert report["fleet"]["hosts"] == 7
    assert states(report)["far1"] == "pending"
    assert len(report["rollouts"]) == 2, "none of them twice"


def test_only_some_updates(tmp_path: pathlib.Path) -> None:
    rollout, answers = sample.six(tmp_path)
    other = sample.Sample(tmp_path, {"all": ["web1"]}, {}, name="cve-2026-1", cves=["CVE-2026-1"])
    other.save()
    assert [update["name"] for update in made(rollout, answers)["updates"]] == ["cve-2026-1", NAME]
    report = made(rollout, answers, wanted=model.Wanted(only=["cve-2026-1"]))
    assert [row["cve"] for row in report["cves"]] == ["CVE-2026-1"]
    assert [row["update"]["name"] for row in report["rollouts"]] == ["cve-2026-1"]


# ---- evidence


def test_chain(tmp_path: pathlib.Path) -> None:
    rollout, _answers = sample.six(tmp_path)
    content = b"".join(line + b"\n" for line in rollout.lines)
    assert chain.parse(content).chain == "intact"
    assert chain.parse(b"") == chain.NONE
    assert chain.read(tmp_path / "missing") == chain.NONE
    torn = chain.parse(content + b'{"event": "ho')
    assert (torn.chain, len(torn.entries)) == ("incomplete", len(rollout.lines))


def test_what_the_rollout_itself_writes_is_intact(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "evidence.jsonl"
    for count in range(3):
        evidence.append(str(path), [{"event": "host", "host": f"web{count}", "sentence": "naïve ☃"}])
        with path.open("ab") as stream:
            stream.write(b'{"event": "ho' * (count == 1))  # killed here; the next one ends the line
    found = chain.read(path)
    assert (found.chain, len(found.entries)) == ("incomplete", 3)
    assert evidence.verify(str(path)) == (4, None)


@pytest.mark.parametrize("change", ["changed", "removed", "inserted", "swapped", "garbage"])
def test_a_chain_that_was_tampered_with_is_found(tmp_path: pathlib.Path, change: str) -> None:
    rollout, answers = sample.six(tmp_path)
    lines = rollout.lines
    if change == "changed":
        at = next(index for index, line in enumerate(lines) if b'"failed"' in line)
        lines[at] = lines[at].replace(b'"failed"', b'"confirmed"')
    elif change == "removed":
        del lines[3]
    elif change == "inserted":
        lines.insert(3, lines[2])
    elif change == "swapped":
        lines[2], lines[3] = lines[3], lines[2]
    else:
        lines[4] = b"\xff\x00 nonsense"
    report = made(rollout.save(), answers)
    assert report["rollouts"][0]["evidence"]["chain"] == "broken"
    page = render.as_html(report)
    assert "Do not rely on the evidence" in page
    assert "is broken at line" in page


def test_a_plan_that_was_changed_afterwards_is_named(tmp_path: pathlib.Path) -> None:
    rollout, answers = sample.six(tmp_path)
    path = rollout.directory / "plan.json"
    path.write_text(path.read_text().replace('"percent": 5', '"percent": 50'))
    (note,) = made(rollout, answers)["notes"]
    assert "it was changed afterwards" in note


@pytest.mark.parametrize("damage", [b"", b"[]", b"{", b'{"hosts": 3, "batches": {"a": 1}, "update": []}'])
def test_a_damaged_plan_stops_no_report(tmp_path: pathlib.Path, damage: bytes) -> None:
    rollout, answers = sample.six(tmp_path)
    (rollout.directory / "plan.json").write_bytes(damage)
    report = made(rollout, answers)
    assert states(report)["web1"] == "confirmed"
    assert report["notes"]
    render.as_html(report)


# ---- what is written


class Tags(html.parser.HTMLParser):
    """Opened and closed tags, and the addresses that a page refers to."""

    VOID = ("meta", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.references += [value or "" for key, value in attrs if key in ("href", "src", "xlink:href", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    return tags


@pytest.mark.parametrize("size", [6, 40, 1000])
def test_the_page_is_whole_and_loads_nothing(tmp_path: pathlib.Path, size: int) -> None:
    rollout, answers = sample.six(tmp_path) if size == 6 else sample.many(tmp_path, size)
    page = render.as_html(made(rollout, answers))
    tags = parsed(page)
    assert all(reference.startswith("#") for reference in tags.references)
    assert {"svg", "table", "main", "h1"} <= tags.seen
    assert not {"script", "img", "link", "iframe"} & tags.seen
    assert "url(" not in page and "@import" not in page
    assert 'lang="en"' in page and "@media print" in page and "prefers-color-scheme: dark" in page


def test_what_hosts_say_cannot_become_markup_or_a_formula(tmp_path: pathlib.Path) -> None:
    rollout, answers = sample.six(tmp_path)
    answers["web1"] = rollout.answer("web1", "confirmed", kernel={"effective_release": HOSTILE, "release": HOSTILE})
    answers["web2"] = {"reachable": True, "kernel": [HOSTILE], "updates": [{"name": NAME, "state": ["x"]}, HOSTILE, {}]}
    answers["web4"] = rollout.silent(HOSTILE)
    answers[f"{HOSTILE}-host"] = rollout.answer("x", "failed")
    rollout.step("web3", "confirm", "failed", code=HOSTILE, sentence=HOSTILE, next_step=HOSTILE)
    rollout.write("stopping", sentence=HOSTILE, by=HOSTILE)
    report = made(rollout.save(), answers)
    page = render.as_html(report)
    assert "script" not in parsed(page).seen
    assert "\u202e" not in page and "\x1b" not in page
    assert "\u202e" not in render.as_json(report)
    for row in csv.reader(io.StringIO(render.as_csv(report))):
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)


def test_csv_has_a_line_for_each_host(tmp_path: pathlib.Path) -> None:
    rows = list(csv.DictReader(io.StringIO(render.as_csv(made(*sample.six(tmp_path))))))
    assert [row["host"] for row in rows] == ["web3", "db1", "web1", "web2", "web4", "db2"]
    assert rows[2]["confirmed"].endswith("Z") and rows[2]["live"] == "yes"
    assert rows[0]["code"] == "check_failed"


def test_json_is_the_model(tmp_path: pathlib.Path) -> None:
    report = made(*sample.six(tmp_path))
    assert json.loads(render.as_json(report)) == json.loads(json.dumps(report))


def test_ten_thousand_hosts_make_a_page_of_reasonable_size(tmp_path: pathlib.Path) -> None:
    rollout, answers = sample.many(tmp_path, 10000)
    report = made(rollout, answers)
    page = render.as_html(report)
    assert len(page) < 1_000_000
    # every host is in it, in ranges
    assert sum(len(kernel["hosts"]) for kernel in report["kernels"]) == 10000
    assert report["states"]["failed"] == len([host for host in report["hosts"] if host["state"] == "failed"])
    assert page.count("no answer</span>") == report["fleet"]["unreachable"]
    assert report["rollouts"][0]["outcome"] == "stopped"


# ---- parts


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["web1", "web2", "web3"], ["web[1:3]"]),
        (["web1", "web2"], ["web1", "web2"]),
        (["web08", "web09", "web10", "web11"], ["web[08:11]"]),
        (["web9", "web10", "web11"], ["web[9:11]"]),
        (["a1.x.net", "a2.x.net", "a3.x.net", "b"], ["a[1:3].x.net", "b"]),
        (["10.0.0.1", "10.0.0.2", "10.0.0.3"], ["10.0.0.[1:3]"]),
        (["web1", "web3", "web5"], ["web1", "web3", "web5"]),
        ([], []),
    ],
)
def test_ranges(given: list[str], shown: list[str]) -> None:
    assert names.ranges(given) == shown


def test_ranges_lose_and_double_no_name() -> None:
    given = [f"n{number:03}" for number in range(0, 1200, 7)] + [f"n{number}" for number in range(95, 130)]
    spelt = []
    for name in names.ranges(given):
        found = re.fullmatch(r"n\[(\d+):(\d+)\]", name)
        if found:
            width = len(found[1]) if found[1].startswith("0") or len(found[1]) == len(found[2]) else 0
            spelt += [f"n{number:0{width}}" for number in range(int(found[1]), int(found[2]) + 1)]
        else:
            spelt.append(name)
    assert sorted(spelt) == sorted(set(given))


def test_long_pauses_are_cut_out_of_the_chart() -> None:
    scale = timescale.Scale([(0, 100), (50, 400), (90000, 90400)], 0, 828)
    assert [(round(left), seconds) for left, seconds in scale.breaks] == [(400, 89600)]
    assert scale.place(200) == pytest.approx(200)
    assert scale.place(50000) == pytest.approx(400), "a time that is cut out is at the edge"
    assert scale.place(90400) == pytest.approx(828)


def test_a_chart_of_few_hosts_has_a_lane_for_each(tmp_path: pathlib.Path) -> None:
    rollout, answers = sample.six(tmp_path)
    chart = timeline.draw(made(rollout, answers)["rollouts"][0])
    assert chart is not None
    assert [(lane["host"], lane["state"]) for lane in chart["lanes"]] == [
        ("web1", "confirmed"),
        ("web2", "confirmed"),
        ("web3", "failed"),
        ("web4", "confirmed"),
    ]
    assert [band["name"] for band in chart["bands"]] == ["canary", "all"]
    for lane in chart["lanes"]:
        assert timeline.LEFT <= lane["begin"] <= lane["soak_at"] <= lane["end"] <= timeline.WIDTH


def test_a_chart_of_many_hosts_counts_them(tmp_path: pathlib.Path) -> None:
    rollout, answers = sample.many(tmp_path, 2000)
    report = made(rollout, answers)
    chart = timeline.draw(report["rollouts"][0])
    assert chart is not None and chart["kind"] == "flow"
    assert sum(place["count"] for place in chart["failures"]) == report["states"]["failed"]
    heights = [float(y) for y in re.findall(r"V([\d.]+)", chart["confirmed"])]
    top = chart["plot_bottom"] - timeline.FLOW_HEIGHT * report["states"]["confirmed"] / 1800
    assert min(heights) == pytest.approx(top, abs=0.2)
    assert chart["breaks"], "the night between the two starts"


def test_a_rollout_that_was_never_begun_has_no_chart(tmp_path: pathlib.Path) -> None:
    rollout = sample.Sample(tmp_path, {"all": ["web1"]}, {}).save()
    report = made(rollout, None)
    assert timeline.draw(report["rollouts"][0]) is None
    assert states(report) == {"web1": "pending"}
    assert "not begun" in render.as_html(report)


def test_answers_are_kept_and_outlive_a_silence(tmp_path: pathlib.Path) -> None:
    host = "../odd/name"
    for answer in (
        {"reachable": True, "time": "1"},
        {"reachable": False, "time": "2"},
        {"reachable": False, "time": "3"},
    ):
        sources.write_answer(str(tmp_path), host, answer)
    found = sources.read_answers(str(tmp_path), [host, "other"])
    assert found == {host: {"reachable": False, "time": "3", "last": {"reachable": True, "time": "1"}}}
    assert [path.name for path in tmp_path.iterdir()] == ["live"]


@pytest.mark.parametrize(
    ("given", "shown"), [(None, ""), ("a\x00b\n", "a b"), ("x" * 9, "xxxx…"), (3, "3"), (["a"], "['a']")]
)
def test_text(given: object, shown: str) -> None:
    assert values.text(given, 5) == shown or given == "a\x00b\n" and values.text(given) == shown


@pytest.mark.parametrize("given", [float("nan"), float("inf"), True, "7", None, 10**30])
def test_numbers_are_finite(given: object) -> None:
    assert values.number(given, -1) == -1


def test_words_are_those_of_the_project() -> None:
    assert set(APPEARANCES) == {
        "applied",
        "confirmed",
        "pending",
        "failed",
        "uncovered",
        "not needed",
        "reboot needed",
        "reverted",
        "unknown",
    }
    assert worst(["confirmed", "failed", "applied"]) == "failed"
    assert worst([]) == "not needed"
