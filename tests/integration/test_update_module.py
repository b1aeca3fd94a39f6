# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ``update`` on running stock kernels: each behaviour in check mode, for real, and both once more."""

from __future__ import annotations

import concurrent.futures

import pytest

from ansible_collections.rebootless.splice.tests.support.builds import SIOCATMARK, BuiltUpdate
from ansible_collections.rebootless.splice.tests.support.documented import constant, undocumented
from ansible_collections.rebootless.splice.tests.support.host import Host
from ansible_collections.rebootless.splice.tests.support.observe import probe, text_digest, traces
from ansible_collections.rebootless.splice.tests.support.runner import Runner

NAME = "cve-2026-52928"
PACKAGE = f"/root/{NAME}.rbl.tar.gz"


@pytest.fixture
def fix(builds, host50: Host):
    """The update, its package on the host, which is left as it was found."""
    yield from fixed(builds, host50)


def fixed(builds, host: Host):
    built = builds.update(host.release, NAME, SIOCATMARK)
    host.write(PACKAGE, built.content)
    yield built
    host.module("update", name=NAME, state="absent")
    assert traces(host) == ""


def run(host: Host, **options) -> dict:
    """One run of the module; it must keep to its documentation."""
    (result,) = runs(host, options)
    return result


def runs(host: Host, *tasks: dict) -> list[dict]:
    """Several runs of the module, one after the other."""
    results = host.tasks(*({"module": "update", **task} for task in tasks))
    assert [undocumented("update", result) for result in results] == [[]] * len(tasks)
    return results


def four_times(host: Host, **options) -> list[dict]:
    """Check, do, again, again in check: changes are foretold, done, and not done twice."""
    results = runs(host, *({"check": check, **options} for check in (True, False, False, True)))
    assert not any(result["failed"] for result in results), results
    assert [result["changed"] for result in results] == [True, True, False, False], results
    check, done, again, _checked = results
    assert check["state_after"] == done["state_after"] == again["state_before"]
    return results


@pytest.mark.parametrize("name", ["host47", "host50"])
def test_life_of_an_update(builds, request, name):
    host = request.getfixturevalue(name)
    untouched, boot_id = text_digest(host), host.boot_id()
    yielded = fixed(builds, host)
    built = next(yielded)
    assert probe(host) == "vulnerable"

    check, done, _again, _checked = four_times(host, package=PACKAGE, digest=built.digest, diff=True)
    assert probe(host) == "fixed"
    assert (check["state_before"], done["state_after"]) == ("absent", "applied")
    assert check["matched_bytes"] > 10000 and done["match_ns"] > 0 and done["resolve_ns"] > 0 and done["pause_ns"] > 0
    assert done["tries"] >= 1
    assert done["functions"] == built.result["functions"]
    assert f"{built.function} (net/unix/af_unix.o): original code" in done["diff"]["before"]
    assert f"{built.function} (net/unix/af_unix.o): replaced by {NAME} 1.0" in done["diff"]["after"]
    assert check["diff"] == done["diff"]

    kernel, info = host.tasks({"module": "kernel_info"}, {"module": "update_info", "name": NAME})
    assert undocumented("kernel_info", kernel) == undocumented("update_info", info) == []
    assert kernel["kernel"]["cves_fixed_live"] == ["CVE-2026-52928"]
    assert kernel["kernel"]["effective_release"] == f"{host.release}+{NAME}-1.0"
    (row,) = info["updates"]
    assert (row["state"], row["live"], row["version"], row["cves"]) == ("applied", True, "1.0", ["CVE-2026-52928"])
    assert row["functions"][0]["jump"] is True

    assert four_times(host, name=NAME, state="reversed")[1]["state_before"] == "applied"
    assert probe(host) == "vulnerable"
    assert text_digest(host) == untouched
    four_times(host, name=NAME, confirm=True)  # with the package that the host keeps
    assert probe(host) == "fixed"
    assert four_times(host, package=PACKAGE, state="absent")[1]["state_before"] == "confirmed"
    assert probe(host) == "vulnerable"

    assert next(yielded, None) is None
    assert text_digest(host) == untouched
    assert host.boot_id() == boot_id


def test_check_mode_leaves_no_trace(host50, fix):
    host50.run("rm -f /run/rebootless.lock; touch /root/before; sleep 1.1")
    modules, text = host50.out("cut -d' ' -f1 /proc/modules"), text_digest(host50)
    assert run(host50, package=PACKAGE, check=True)["changed"]
    assert text_digest(host50) == text
    assert host50.out("cut -d' ' -f1 /proc/modules") == modules
    assert traces(host50) == ""
    assert "rebootless" not in host50.out("find /run /tmp /var /root -newer /root/before")


def test_a_deadline_reverses_and_a_confirmation_ends_it(host50, fix):
    applied = run(host50, package=PACKAGE, deadline=4)
    assert applied["changed"] and 0 < applied["deadline"] <= 4
    host50.wait_until(lambda: probe(host50) == "vulnerable")
    info, again, confirmed, kept = host50.tasks(
        {"module": "update_info"},
        {"module": "update", "package": PACKAGE, "deadline": 300},
        {"module": "update", "name": NAME, "confirm": True},
        {"module": "update", "package": PACKAGE, "deadline": 300},
    )
    assert (info["updates"][0]["state"], info["updates"][0]["deadline"]) == ("reversed", 0)
    assert again["state_before"] == "reversed" and again["deadline"] > 200
    assert (confirmed["changed"], confirmed["state_after"], confirmed["deadline"]) == (True, "confirmed", 0)
    assert not kept["changed"], "a confirmed update stays as it is"


def test_a_deadline_can_be_extended_while_there_is_one(host50, fix):
    directory = f"/sys/kernel/rebootless/{NAME}"

    def extend(seconds: str) -> str:
        """What the write says, then the refusal's code and state, if there is one."""
        said = host50.run(f"echo extend {seconds} > {directory}/control", check=False)
        abort = host50.out(f"sed -n 's/^code: //p; s/^state: //p' {directory}/abort").split()
        return " ".join(["done" if said.returncode == 0 else said.stderr.decode().rsplit(": ", 1)[-1].strip(), *abort])

    refused = "Invalid argument bad_state"
    run(host50, package=PACKAGE, deadline=300)
    assert [extend(bad) for bad in ("", "0", "-5", "soon", "99999999")] == ["Invalid argument"] * 5
    assert extend("3000") == "done"
    assert 2900 < int(host50.read(f"{directory}/deadline")) <= 3000
    assert extend("3") == "done", "it may come nearer, too"
    host50.wait_until(lambda: probe(host50) == "vulnerable")
    assert extend("300") == f"{refused} reversed"
    run(host50, package=PACKAGE)
    assert extend("300") == f"{refused} applied", "one that has no deadline does not get one"
    run(host50, package=PACKAGE, confirm=True)
    assert extend("300") == f"{refused} confirmed"


def test_what_is_not_there_is_reversed_and_absent_already(host50):
    cases = [(state, check) for state in ("reversed", "absent") for check in (True, False)]
    for result in runs(host50, *({"name": "never-seen", "state": state, "check": check} for state, check in cases)):
        assert not result["failed"] and not result["changed"]
    assert traces(host50) == ""


def test_a_lost_package_is_kept_again(host50, fix):
    run(host50, package=PACKAGE)
    host50.run(f"rm /var/lib/rebootless/{NAME}.rbl.tar.gz")
    assert host50.module("kernel_info")["kernel"]["cves_fixed_live"] == []
    four_times(host50, package=PACKAGE)
    assert host50.module("kernel_info")["kernel"]["cves_fixed_live"] == ["CVE-2026-52928"]


def test_what_is_kept_outlives_a_power_cut(host50, fix):
    """The file system itself would have written the package's name some seconds later."""
    applied = run(host50, package=PACKAGE)
    host50.restart()
    again = run(host50, name=NAME)
    assert (again["failed"], again["state_before"], again["digest"]) == (False, "absent", applied["digest"])


def test_a_damaged_kept_package_can_be_removed(host50, fix):
    run(host50, package=PACKAGE)
    host50.run(f"truncate -s 1000 /var/lib/rebootless/{NAME}.rbl.tar.gz")
    assert run(host50, name=NAME, state="absent")["changed"]
    assert traces(host50) == ""


def test_another_version_replaces_the_first(builds, host50, fix):
    newer = builds.update(host50.release, NAME, SIOCATMARK, version="1.1")
    host50.write("/root/newer.rbl.tar.gz", newer.content)
    other = {"package": "/root/newer.rbl.tar.gz"}
    first, checked, replaced, again = runs(host50, {"package": PACKAGE}, {**other, "check": True}, other, other)
    assert [row["changed"] for row in (first, checked, replaced, again)] == [True, True, True, False]
    assert "replaced" not in first and checked["replaced"] == replaced["replaced"]
    assert replaced["replaced"]["version"] == "1.0"
    assert probe(host50) == "fixed"
    (row,) = host50.module("update_info")["updates"]
    assert (row["version"], row["state"]) == ("1.1", "applied")


def test_two_applies_at_once(host50, fix):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _number: run(host50, package=PACKAGE), range(2)))
    assert not any(result["failed"] for result in results), results
    assert sorted(result["changed"] for result in results) == [False, True]
    assert probe(host50) == "fixed"


def test_a_task_that_holds_the_lock_too_long_is_told(host50, fix):
    holder = host50.start("flock /run/rebootless.lock -c 'echo held; sleep 60'")
    assert holder.stdout.readline() == b"held\n"
    try:
        refused = run(host50, package=PACKAGE, lock_timeout=1)
    finally:
        host50.run("pkill -f 'sleep 60'")
        holder.wait()
    assert (refused["failed"], refused["code"]) == (True, "host_locked")


@pytest.mark.parametrize("module", ["kernel_info", "update", "update_info"])
def test_examples(host50, fix: BuiltUpdate, tmp_path, module):
    """The documentation's examples, as an operator would copy them."""
    import yaml

    applied = [] if module == "update" else [{"rebootless.splice.update": {"package": PACKAGE}}]  # there is one to see
    play = {"hosts": host50.name, "gather_facts": False, "tasks": [*applied, *constant(module, "EXAMPLES")]}
    play["vars"] = {"package": PACKAGE, "package_sha256": fix.digest}
    (tmp_path / "examples.yml").write_text(yaml.safe_dump([play]))
    ran: Runner = host50.runner
    tasks = ran.playbook(str(tmp_path / "examples.yml")).tasks
    assert len([task for task in tasks if task.outcome == "ok"]) >= 2 + len(applied)
    for task in tasks:
        if "state_before" in task.result:
            assert undocumented("update", task.result) == []
