# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ``rollout_host`` on a running stock kernel: the soak, what it notices, and what was killed."""

from __future__ import annotations

import concurrent.futures
import json
import typing as t

import pytest
import yaml

from ansible_collections.rebootless.splice.tests.support.builds import SIOCATMARK
from ansible_collections.rebootless.splice.tests.support.documented import constant, undocumented
from ansible_collections.rebootless.splice.tests.support.host import Host
from ansible_collections.rebootless.splice.tests.support.observe import probe, text_digest, traces
from ansible_collections.rebootless.splice.tests.support.runner import Runner

NAME = "cve-2026-52928"
PLAN, OTHER_PLAN = "aa" * 32, "bb" * 32
PACKAGE = f"/root/{NAME}.rbl.tar.gz"
RECORD = f"/var/lib/rebootless/rollout/{NAME}.json"

# A Python that Ansible runs modules with, each as a service: systemd ends what a service leaves behind.
IN_SERVICE = """\
#!/bin/sh
files=$(mktemp -d)
cat > $files/in
systemd-run --quiet --collect --unit=module-$$ --property=StandardInput=file:$files/in \\
    --property=StandardOutput=file:$files/out sh -c '/usr/bin/python3 "$@"; echo $? > $0/status' $files "$@"
while systemctl --quiet is-active module-$$; do sleep 0.1; done
cat $files/out
exit $(cat $files/status)
"""


@pytest.fixture
def fix(builds, host50: Host):
    """The update, its package on the host, which is left as it was found."""
    built = builds.update(host50.release, NAME, SIOCATMARK)
    host50.write(PACKAGE, built.content)
    yield built
    (left,) = steps(host50, {"step": "reverse", "plan": None, "remove": True})
    assert not left["failed"], left
    assert probe(host50) == "vulnerable"
    assert traces(host50) == ""
    assert watcher_is_gone(host50)


def steps(host: Host, *wanted: dict) -> list[dict]:
    """Steps of a rollout, one after the other in one play; each keeps to its documentation."""
    default = {"plan": PLAN, "name": NAME, "package": PACKAGE, "deadline": 120, "check_times": [0]}
    tasks = [{"module": "rollout_host", **default, **task} for task in wanted]
    results = host.tasks(*({key: value for key, value in task.items() if value is not None} for task in tasks))
    assert [undocumented("rollout_host", result) for result in results] == [[]] * len(results)
    return results


def record(host: Host) -> dict:
    return json.loads(host.read(RECORD))


def watcher_is_gone(host: Host) -> bool:
    return "rebootless-soak" not in host.out("cat /proc/[0-9]*/comm 2>/dev/null || true")


def test_a_rollout_on_which_all_goes_well(host50, fix):
    untouched = text_digest(host50)
    options = {
        "digest": fix.digest,
        "check_times": [0, 3],
        "build_id": host50.module("kernel_info")["kernel"]["build_id"],
    }
    checked, applied, looked, confirmed, again = steps(
        host50,
        {"step": "preflight", **options},
        {"step": "apply", **options},
        {"step": "status"},
        {"step": "confirm"},
        {"step": "confirm"},
    )
    assert (checked["state"], checked["changed"], checked["kernel_state"]) == ("matched", False, "absent")
    assert checked["matched_bytes"] > 10000
    assert (applied["state"], applied["kernel_state"]) == ("applied", "applied"), applied
    assert applied["pause_ns"] > 0 and 100 < applied["deadline"] <= 120
    assert applied["effective_release"] == f"{host50.release}+{NAME}-1.0"
    assert [row["ok"] for row in applied["checks"]] == [True] * 4
    assert (looked["state"], looked["record"]["step"]) == ("applied", "applied")
    assert (confirmed["state"], confirmed["kernel_state"], confirmed["deadline"]) == ("confirmed", "confirmed", 0), (
        confirmed
    )
    assert {(row["moment"], row["at"]) for row in confirmed["checks"]} >= {("soak", 0), ("soak", 3)}
    assert (again["state"], again["changed"]) == ("confirmed", False)
    assert probe(host50) == "fixed"
    assert f"rebootless: rollout {PLAN[:12]}: {NAME} 1.0 comes" in host50.out("dmesg")
    (reversed_,) = steps(host50, {"step": "reverse"})
    assert (reversed_["state"], reversed_["changed"]) == ("reversed", True)
    assert text_digest(host50) == untouched


def test_the_connection_does_not_wait_for_the_soak(host50, fix):
    """The watcher outlives its session, holds nothing of it, and goes when it is told to."""
    applied, looked, again, other = steps(
        host50,
        {"step": "apply", "check_times": [0, 100]},
        {"step": "status"},
        {"step": "apply", "check_times": [0, 100]},
        {"step": "apply", "check_times": [0, 100], "plan": OTHER_PLAN},
    )
    assert [row["state"] for row in (applied, looked, again)] == ["applied"] * 3
    assert looked["watched"]
    assert (other["state"], other["code"], other["kernel_state"]) == ("failed", "other_rollout", "applied")
    pid = record(host50)["watcher"]["pid"]
    assert host50.out(f"ls -l /proc/{pid}/fd | grep -c -e pipe -e socket -e /tmp || true") == "0"
    (early,) = steps(host50, {"step": "confirm"})
    assert (early["state"], early["code"], early["failed"]) == ("applied", "soak_not_over", False)


def test_the_watcher_outlives_a_service_that_ends(host50, fix):
    """As that of ansible-pull does, or a session where KillUserProcesses is set."""
    host50.write("/root/python-in-service", IN_SERVICE.encode())
    host50.run("chmod +x /root/python-in-service")
    service = Runner(host50.runner.inventory, {"ansible_python_interpreter": "/root/python-in-service"})
    options = {
        "plan": PLAN,
        "name": NAME,
        "package": PACKAGE,
        "deadline": 300,
        "check_times": [0, 250],
    }
    (applied,) = service.tasks(host50.name, [{"module": "rollout_host", "step": "apply", **options}])
    assert applied["state"] == "applied", applied
    assert host50.out("systemctl list-units --all --plain --no-legend 'module-*'") == ""
    pid = record(host50)["watcher"]["pid"]
    (group,) = host50.read(f"/proc/{pid}/cgroup").decode().splitlines()
    assert group.endswith(f"/rebootless-soak-{NAME}-{pid}.scope")
    (looked,) = steps(host50, {"step": "status"})
    assert (looked["state"], looked["watched"]) == ("applied", True)


def test_an_oops_in_the_soak_takes_the_update_back_at_once(host50, fix, builds):
    """A WARNING of the kernel's own; the next check would come in a minute."""
    host50.put(builds.test_modules(host50.release) / "warn.ko", "/root/warn.ko")
    (applied,) = steps(host50, {"step": "apply", "check_times": [0, 60]})
    assert applied["state"] == "applied"
    host50.run("insmod /root/warn.ko || true")
    host50.wait_until(lambda: watcher_is_gone(host50), 40)
    assert probe(host50) == "vulnerable"
    (result,) = steps(host50, {"step": "confirm"})
    assert (result["state"], result["code"], result["kernel_state"]) == ("failed", "check_failed", "reversed")
    assert result["details"]["reversed_by"] == "watcher"
    assert "WARNING" in result["sentence"]


def test_the_operators_checks(host50, fix):
    host50.run(
        "python3 -m http.server 8123 --bind 127.0.0.1 --directory /root >/dev/null 2>&1 & echo $! > /root/web.pid"
    )
    checks: list[dict[str, t.Any]] = [
        {"kind": "url", "name": "web answers", "url": "http://127.0.0.1:8123/", "contains": "rbl.tar.gz"},
        {"kind": "port", "name": "web listens", "port": 8123, "timeout": 5},
        {"kind": "command", "name": "shell", "cmd": "test $REBOOTLESS_UPDATE = " + NAME},
        {"kind": "command", "name": "slow", "argv": ["sleep", "60"], "timeout": 0.5, "retries": 1, "delay": 0.1},
    ]
    try:
        good, bad, again = steps(
            host50,
            {"step": "apply", "checks": checks[:3]},
            {"step": "confirm", "checks": checks[:3]},
            {"step": "status"},
        )
        assert (good["state"], bad["state"]) == ("applied", "confirmed"), (good, bad)
        host50.run("kill $(cat /root/web.pid)")
        steps(host50, {"step": "reverse"})
        (failed,) = steps(host50, {"step": "apply", "checks": [{**check, "retries": 0} for check in checks]})
    finally:
        host50.run("kill $(cat /root/web.pid) || true")
    assert (failed["state"], failed["code"], failed["kernel_state"]) == ("failed", "check_failed", "reversed")
    assert [row["name"] for row in failed["checks"] if not row["ok"]] == ["web answers", "web listens", "slow"]
    assert "within 0.5 s" in failed["checks"][-1]["sentence"]
    assert host50.out("pgrep -x sleep || true") == ""


def test_what_was_killed(host50, fix):
    """The watcher; the step itself in the middle of its checks; and then the same step again."""
    (applied,) = steps(host50, {"step": "apply", "check_times": [0, 60]})
    host50.run(f"kill -9 {record(host50)['watcher']['pid']}")
    gone, back = steps(host50, {"step": "status"}, {"step": "confirm"})
    assert (gone["state"], gone["watched"]) == ("applied", False)
    assert (back["code"], back["kernel_state"]) == ("watcher_died", "reversed")
    slow = [{"kind": "command", "name": "slow", "cmd": "test -e /root/fast || sleep 55"}]
    # As the controller sends it: the module alone, with its code, in a process that is killed.
    options = {"step": "apply", "name": NAME, "plan": PLAN, "package": PACKAGE, "deadline": 120, "check_times": [0]}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        interrupted = pool.submit(host50.module, "rollout_host", **options, checks=slow, retry=True)
        host50.wait_until(lambda: host50.out("pgrep -x sleep || true"), 120)
        host50.run("pkill -9 '^python3'; pkill -x sleep")
        assert interrupted.result()["failed"]
    host50.run("touch /root/fast")
    assert host50.out(f"cat /sys/kernel/rebootless/{NAME}/state") == "applied"
    again, confirmed = steps(host50, {"step": "apply", "checks": slow}, {"step": "confirm", "checks": slow})
    assert (again["state"], confirmed["state"]) == ("applied", "confirmed"), (again, confirmed)


def test_a_deadline_without_a_word(host50, fix):
    (applied,) = steps(host50, {"step": "apply", "deadline": 12, "check_times": [0]})
    assert applied["state"] == "applied"
    host50.wait_until(lambda: probe(host50) == "vulnerable", 60)
    host50.run("date -s '2001-01-01'")
    try:
        looked, result = steps(host50, {"step": "status"}, {"step": "confirm"})
    finally:
        host50.run("hwclock --hctosys || true")
    assert (result["state"], result["code"]) == ("failed", "deadline_passed"), result
    assert result["details"]["reversed_by"] == "helper"


def test_a_full_disk(host50, fix):
    host50.run("mkdir -p /mnt/small && mount -t tmpfs -o size=1m none /mnt/small")
    try:
        (result,) = steps(host50, {"step": "apply", "state_directory": "/mnt/small"})
    finally:
        host50.run("umount /mnt/small")
    assert (result["state"], result["code"], result["kernel_state"]) == ("failed", "no_room", "absent")


def test_examples(host50, fix, tmp_path):
    """The documentation's examples, as an operator would copy them."""
    play = {"hosts": host50.name, "gather_facts": False, "tasks": constant("rollout_host", "EXAMPLES")}
    play["vars"] = {"package": PACKAGE, "package_sha256": fix.digest, "update_name": NAME}
    (tmp_path / "examples.yml").write_text(yaml.safe_dump([play]))
    tasks = host50.runner.playbook(str(tmp_path / "examples.yml")).tasks
    assert [task.result["state"] for task in tasks] == ["applied", "confirmed", "reversed"]
