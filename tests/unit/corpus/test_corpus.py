# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The coverage command: manifests, verdicts, tables, and what its agent finds in memory and in the kernel's log."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import zipfile

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.kcore import Kcore
from ansible_collections.rebootless.splice.tests.corpus import entries, machine, report, verdicts
from ansible_collections.rebootless.splice.tests.corpus.guest import branches, memory, watch, witness
from ansible_collections.rebootless.splice.tests.corpus.guest.failure import Failure

SOURCE = {"source_package": "linux-source-6.1", "from": "1", "to": "2", "kernel": "6.1.0-50-cloud-amd64"}
ROWS = [{"cve": [cve, "CVE-2"], "hunks": {"a.c": [1]}} for cve in ("CVE-1", "CVE-3", "CVE-1")]


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"source": SOURCE, "entries": ROWS}))
    return entries.read_manifest(path)


def test_entries_of_the_same_cve_are_numbered(manifest):
    assert [entry.name for entry in manifest.entries] == ["CVE-1", "CVE-3", "CVE-1.2"]
    assert manifest.entries[2].update == "cve-1.2"


@pytest.mark.parametrize(
    ("only", "names"),
    [
        ("", ["CVE-1", "CVE-3", "CVE-1.2"]),
        ("cve-3", ["CVE-3"]),
        ("CVE-1.2, CVE-3", ["CVE-3", "CVE-1.2"]),
        ("CVE-2", ["CVE-1", "CVE-3", "CVE-1.2"]),
    ],
)
def test_entries_are_chosen_by_their_cves(manifest, only, names):
    assert [entry.name for entry in manifest.chosen(only)] == names


def test_entry_that_is_not_there_is_refused(manifest):
    with pytest.raises(ValueError, match="CVE-4"):
        manifest.chosen("CVE-1 CVE-4")


@pytest.mark.parametrize("path", sorted(entries.MANIFESTS.glob("*.json")), ids=lambda path: path.stem)
def test_manifests_of_the_project_can_be_read(path):
    read = entries.read_manifest(path)
    assert len({entry.name for entry in read.entries}) == len(read.entries) > 10
    assert all(entry.hunks and entry.cves for entry in read.entries)


FINDING = {"code": "layout_changed", "sentence": "struct foo grew from 64 to 72 bytes.", "details": {}}


def built(*codes, package=None, remarks=()):
    rows = [{"file": "a.c", "code": code, "reason": f"It is {code}."} for code in codes]
    said = [{"code": code, "sentence": f"{code}.", "details": {}} for code in remarks]
    return {"facts": {"not_applicable": rows, "remarks": said}, "package": package}


@pytest.mark.parametrize(
    ("build", "verdict", "code"),
    [
        (built("same_object"), "not applicable", "same_object"),
        (built("not_built", "documentation"), "not applicable", "not_built"),
        (built("documentation", "boot_only"), "custom", "boot_only"),
        (built("no_effect"), "custom", "no_effect"),
        (built(), "failed", "empty"),
        (built(package="path", remarks=["existing_objects", "init_has_run"]), "custom", "init_has_run"),
        (
            {"error": {"code": "unsafe_change", "sentence": "", "details": {"findings": [FINDING]}}},
            "custom",
            "layout_changed",
        ),
        ({"error": {"code": "unsafe_change", "sentence": "", "details": {"findings": []}}}, "failed", "unsafe_change"),
        ({"error": {"code": "compile_failed", "sentence": "", "details": {}}}, "failed", "compile_failed"),
    ],
)
def test_build_that_is_not_tried_has_a_verdict(build, verdict, code):
    found = verdicts.of_build(build)
    assert found is not None
    assert (found["verdict"], found["code"]) == (verdict, code)


def test_build_with_a_package_is_tried():
    assert verdicts.of_build(built(package="path", remarks=["existing_objects"])) is None


def test_trial_is_automatic_only_without_a_problem():
    assert verdicts.of_trial({"facts": {"redirected": ["f"]}})["verdict"] == "automatic"
    ended = verdicts.of_trial({"facts": {"redirected": [], "met": ["uncore"], "not_met": ["other"]}})
    assert (ended["verdict"], ended["reason"]) == (
        "automatic",
        "replaced before their init, which ends on this machine: uncore; not seen, since they do not load on this "
        "machine: other",
    )
    problem = {"code": "text_differs", "sentence": "It differs.", "details": {}}
    assert verdicts.of_trial({"facts": {}, "problem": problem})["verdict"] == "failed"


def test_last_line_and_share():
    rows = [{"verdict": verdict} for verdict in ("automatic",) * 6 + ("custom", "failed", "not applicable")]
    assert verdicts.summary(rows) == "automatic 6, custom 1, not applicable 1, failed 1 of 9"
    assert verdicts.share(rows) == 75.0
    assert verdicts.share([]) == 0.0


def row(name, verdict, reason):
    return {
        "name": name,
        "cves": [name],
        "subject": "a <b>fix</b>",
        "files": ["a.c"],
        "verdict": verdict,
        "code": "x",
        "reason": reason,
        "findings": [],
        "functions": [],
        "data": [],
        "objects": ["vmlinux"],
        "details": {},
        "build_seconds": 1.0,
        "lab_seconds": 2.0,
        "trial": {"pause_ns": 5000, "redirected": ["f"]},
        "measured": "2026-01-01T00:00:00+00:00",
        "custom": None,
        "code_digest": "abc",
    }


def test_page_is_one_file_that_escapes_what_it_shows(manifest, tmp_path):
    untried = {**row("CVE-3", "failed", "a|b"), "trial": {}}
    rows = [row("CVE-1", "automatic", "<script>"), untried]
    paths = report.write(manifest, tmp_path / "out", rows)
    page = (tmp_path / "out" / "coverage.html").read_text()
    assert "<script>" not in page and "&lt;script&gt;" in page and "a &lt;b&gt;fix" in page
    assert "http" not in page and "src=" not in page
    assert json.loads((tmp_path / "out" / "coverage.json").read_text())["counts"]["failed"] == 1
    assert not any(path.endswith(".md") for path in paths)  # this manifest is not the project's


def test_remarks_are_shown(manifest, tmp_path):
    remark = {"code": "existing_objects", "sentence": "What is bound|open stays.", "details": {}}
    rows = [{**row("CVE-1", "automatic", "one"), "remarks": [remark]}]
    text = report.markdown({**report.describe(manifest, rows), "rows": rows})
    assert "vmlinux): one **Remark:** What is bound|open stays.\n" in text
    report.write(manifest, tmp_path / "out", rows)
    assert "<b>Remark:</b> What is bound|open stays." in (tmp_path / "out" / "coverage.html").read_text()


def test_document_has_a_row_for_each_entry(manifest):
    rows = [row("CVE-1", "automatic", "one"), row("CVE-3", "custom", "a|b")]
    text = report.markdown({**report.describe(manifest, rows), "rows": rows})
    assert "**automatic 1, custom 1, not applicable 0, failed 0 of 2**: 50.0 % of the applicable ones" in text
    assert "1 of the 3 entries has no result yet" in text
    assert "\n- **CVE-3** a <b>fix</b> (*custom code needed* `x`, in vmlinux): a|b\n" in text


def test_lines_of_a_document_fit(manifest):
    rows = [row("CVE-1", "automatic", "many words " * 40)]
    text = report.markdown({**report.describe(manifest, rows), "rows": rows})
    item = text[text.index("- **CVE-1**") :].splitlines()
    assert len(item) == 4 and all(line.startswith("  ") and "many words" in line for line in item[1:])
    assert max(map(len, text.splitlines())) <= report.WIDTH


def test_each_manifest_of_the_project_has_a_page_that_leads_to_the_others(manifest, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "DOCS", tmp_path)
    mine = dataclasses.replace(manifest, path=report.MANIFESTS / "manifest-6.1.176-extra.json")
    assert report.document(mine, tmp_path) == [str(tmp_path / "coverage-extra.md")]
    assert "coverage.md" not in (tmp_path / "coverage-extra.md").read_text()  # it is not there yet
    main = dataclasses.replace(manifest, path=report.MANIFESTS / "manifest-6.1.176.json")
    assert report.document(main, tmp_path) == [str(tmp_path / "coverage.md")]
    text = (tmp_path / "coverage.md").read_text()
    assert "Other manifests: [manifest-6.1.176-extra](coverage-extra.md)." in text
    assert "## manifest-6.1.176\n" in text and "## manifest-6.1.176-extra" not in text
    assert report.document(manifest, tmp_path) == []  # not the project's


def test_each_series_of_kernels_has_pages_of_its_own():
    assert report.page_of("manifest-6.1.176").name == "coverage.md"
    assert report.page_of("manifest-6.12.107").name == "coverage-6.12.md"
    assert report.page_of("manifest-6.12.107-extra").name == "coverage-6.12-extra.md"
    with pytest.raises(ValueError, match="does not say of which kernel"):
        report.page_of("others")


def test_agent_is_a_whole_program(tmp_path):
    (tmp_path / "agent.zip").write_bytes(machine.archive())
    agent = "ansible_collections.rebootless.splice.tests.corpus.guest.__main__"
    command = [sys.executable, "-c", f"import sys; sys.path[:] = ['agent.zip', *sys.path[1:]]; import {agent}"]
    done = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names = zipfile.ZipFile(tmp_path / "agent.zip").namelist()
    assert "__main__.py" in names
    for module in ("plugins/module_utils/_target/update", "tests/corpus/guest/load", "tests/corpus/guest/witness"):
        assert f"ansible_collections/rebootless/splice/{module}.py" in names
    assert not any("_build" in name for name in names)


def area(data, start=0x1000):
    return memory.Area("vmlinux", start, bytes(data))


def test_every_difference_in_memory_is_found_with_its_bytes():
    before = bytearray(3 * memory.PAGE)
    after = bytearray(before)
    after[10:12] = b"ab"
    after[memory.PAGE - 1 : memory.PAGE + 1] = b"cd"  # over the border of two pages
    found = memory.differences([area(before)], [area(after)])
    assert [(row.address, row.after) for row in found] == [(0x100A, b"ab"), (0x1FFF, b"c"), (0x2000, b"d")]
    assert memory.differences([area(before)], [area(before)]) == []


def test_area_that_moved_is_no_equal_one():
    with pytest.raises(OSError, match="moved"):
        memory.differences([area(b"a")], [area(b"a", 0x2000)])


@pytest.mark.parametrize(
    ("text", "is_trouble"),
    [
        ("WARNING: CPU: 0 PID: 1 at kernel/foo.c:1 foo+0x1/0x2", True),
        ("BUG: kernel NULL pointer dereference, address: 0", True),
        ("rcu: INFO: rcu_preempt self-detected stall on CPU", True),
        ("inconsistent lock state", True),
        ("ODEBUG: free active (active state 0) object type: timer_list hint: f+0x0/0x10", True),
        ("IPv6: ADDRCONF(NETDEV_CHANGE): eth0: link becomes ready", False),
    ],
)
def test_complaints_of_the_kernel_are_known(text, is_trouble):
    assert bool(watch.TROUBLE.search(text)) == is_trouble


SCRIPT = """
print("ready", flush=True)
for line in iter(input, ""):
    print("not seen" if line == "reversed" else f"saw {line}", flush=True)
"""


def test_witness_is_heard():
    seen = witness.Witness(SCRIPT)
    seen.tell("applied")
    with pytest.raises(Failure, match="not seen"):
        seen.tell("reversed")
    seen.end()
    assert seen.words == ["applied: saw applied", "reversed: not seen"]


@pytest.mark.parametrize("script", ["", "print('set')", "raise SystemExit('broken')"])
def test_witness_that_is_not_ready_fails(script):
    with pytest.raises(Failure, match="witness"):
        witness.Witness(script)


class Memory(Kcore):
    """Memory that is given."""

    def __init__(self, code):
        self.code = code

    def read(self, address, length):
        return self.code[address - 0x1000 : address - 0x1000 + length]


@pytest.mark.parametrize(
    ("code", "known"),
    [("0f1f440000", True), ("e9fb000000", True), ("e9fc000000", False), ("cccccccccc", False), ("6690cccccc", True)],
)
def test_static_branch_holds_a_nop_or_its_jump(code, known):
    table = branches.ENTRY.pack(0x1000 - 0x2000, 0x1100 - 0x2004, 0)
    found = branches.Branches.__new__(branches.Branches)
    found._targets, found._memory = branches.sites(0x2000, table), Memory(bytes.fromhex(code) + bytes(16))
    assert found.is_one(0x1001) == known
    assert not found.is_one(0x1005)
