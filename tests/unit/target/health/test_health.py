# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the health checks take for damage, and that none of them lasts longer than it may."""

from __future__ import annotations

import http.server
import os
import pathlib
import signal
import socket
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.rebootless.splice.plugins.module_utils._common import checks
from ansible_collections.rebootless.splice.plugins.module_utils._target.health import checks as health_checks
from ansible_collections.rebootless.splice.plugins.module_utils._target.health import health_log, runner
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts, sysfs
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.log import parse_record

# As the kernels 6.1 and 6.12 print them.
BAD = [
    ("oops", 1, "BUG: kernel NULL pointer dereference, address: 0000000000000010"),
    ("oops", 1, "BUG: unable to handle page fault for address: ffffffffc0a01000"),
    ("oops", 0, "Oops: 0002 [#1] PREEMPT SMP NOPTI"),
    ("oops", 4, "general protection fault, probably for non-canonical address 0xdead: 0000 [#1] PREEMPT SMP NOPTI"),
    ("oops", 4, "invalid opcode: 0000 [#1] PREEMPT SMP NOPTI"),
    ("oops", 0, "Oops: Oops: 0000 [#2] PREEMPT SMP"),
    ("BUG", 2, "kernel BUG at net/unix/af_unix.c:1432!"),
    ("BUG", 3, "BUG: scheduling while atomic: swapper/0/0/0x00000100"),
    ("BUG", 1, "BUG: Bad page state in process python3  pfn:10f2a"),
    ("BUG", 3, "BUG: KFENCE: use-after-free read in unix_ioctl+0x10/0x20"),
    ("WARNING", 4, "WARNING: CPU: 1 PID: 812 at kernel/softirq.c:376 __local_bh_enable_ip+0x3f/0x60"),
    ("WARNING", 4, "WARNING: possible recursive locking detected"),
    ("lockup", 0, "watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [kworker/0:1:19]"),
    ("lockup", 0, "watchdog: Watchdog detected hard LOCKUP on cpu 1"),
    ("lockup", 0, "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!"),
    ("hung task", 3, "INFO: task kworker/u4:2:42 blocked for more than 120 seconds."),
    ("RCU stall", 3, "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:"),
    ("RCU stall", 3, "rcu: INFO: rcu_preempt self-detected stall on CPU"),
    ("RCU stall", 3, "rcu: rcu_preempt kthread starved for 5252 jiffies! g-1195 f0x0 RCU_GP_WAIT_FQS(5) ->state=0x0"),
    ("panic", 0, "Kernel panic - not syncing: Fatal exception"),
    ("refusal", 4, "rebootless: cve-2026-1: busy_function: A task stayed inside a function. 812 sleep unix_ioctl"),
    ("refusal", 4, "rebootless: sctp: not loaded, since an update that is applied does not fit it"),
]
GOOD = [
    (6, "traps: python3[812] general protection fault ip:7f0a sp:7ffd error:0 in libc.so.6[7f0a+155000]"),
    (6, "rebootless: cve-2026-1: applied: 1 functions, paused 71000 ns, 1 tries, deadline 600 s"),
    (4, "rebootless: loading out-of-tree module taints kernel."),
    (5, "rebootless: module verification failed: signature and/or required key missing - tainting kernel"),
    (6, "livepatch: tainting kernel with TAINT_LIVEPATCH"),
    (6, "debug: no bug here"),
]


@pytest.mark.parametrize(("sign", "level", "text"), BAD)
def test_damage_is_recognised(sign, level, text):
    assert health_log.bad_lines([health_log.HealthLine(1, level, text)]) == [(sign, text)]


@pytest.mark.parametrize(("level", "text"), GOOD)
def test_what_is_no_damage(level, text):
    assert health_log.bad_lines([health_log.HealthLine(1, level, text)]) == []


def test_a_plan_may_say_otherwise():
    line = health_log.HealthLine(1, 4, "ata1: SATA link down")
    assert health_log.bad_lines([line], patterns=["^ata1"]) == [("line that the plan calls bad", line.text)]
    warning = health_log.HealthLine(2, 4, BAD[10][2])
    assert health_log.bad_lines([warning], ignore=["__local_bh_enable_ip"]) == []


def socketpair_log(records, after):
    """A log whose records are messages of a socket: as with /dev/kmsg, one read(2) returns one of them."""
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for record in records:
        writer.send(record)
    reader.setblocking(False)
    log = health_log.HealthLog(after, os.devnull)
    log.close()
    log._descriptor = reader.detach()
    return log


def test_only_the_kernels_own_records_count():
    records = (
        b"4,812,5140900,-;WARNING: x\n SUBSYSTEM=acpi\n",
        b"12,813,5140900,-;BUG: says a program\n",
        b"nonsense",
        b"3,816,5140900,-,caller=T1;BUG: y\n",
    )
    log = socketpair_log(records, after=811)
    assert log.lines() == [(812, 4, "WARNING: x"), (816, 3, "BUG: y")]
    assert (log.seen, log.lost) == (816, 2)
    assert log.lines() == []


def first_line(text: bytes) -> str:
    return text.split(b"\n")[0].decode("utf-8", "replace")


@given(st.integers(0, 4095), st.integers(0, 2**64), st.binary())
def test_every_record_is_read(priority, number, text):
    record = parse_record(b"%d,%d,5140900,-;%s" % (priority, number, text))
    assert record == (priority // 8, priority % 8, number, first_line(text))


@given(st.binary())
def test_what_is_no_record_is_passed_over(content):
    """Two numbers and a comma make one; the rest is its text, with any bytes."""
    record = parse_record(content)
    prefix, _semicolon, rest = content.partition(b";")
    assert record is None or (b"," in prefix and record.text == first_line(rest))


class Log(health_log.HealthLog):
    """Lines that are given."""

    def __init__(self, *texts, lost=0):
        self.texts, self.lost, self.seen = texts, lost, 0

    def lines(self):
        return [health_log.HealthLine(number, 4, text) for number, text in enumerate(self.texts)]


def subject(*texts, lost=0, taint=0):
    return health_checks.Subject("cve-2026-1", "ab", taint, Log(*texts, lost=lost))


def run(check, of=None):
    normal = checks.normalise([check])
    wanted = [row for row in normal if row["kind"] == check["kind"]]
    (result,) = runner.run(wanted, of or subject(), "soak", 60)
    assert result["ok"] is (result["sentence"] == "")
    return result


def test_kernel_log():
    assert run({"kind": "kernel_log"}, subject("all is well"))["ok"]
    failed = run({"kind": "kernel_log"}, subject(*(row[2] for row in BAD[:5])))
    assert "oops: BUG: kernel NULL" in failed["sentence"] and "(and 2 more)" in failed["sentence"]
    assert "3 lines" in run({"kind": "kernel_log"}, subject(lost=3))["sentence"]
    assert run({"kind": "kernel_log", "lost_ok": True}, subject(lost=3))["ok"]


def test_taint(monkeypatch):
    monkeypatch.setattr(facts, "taint", lambda: {"value": 1 << 12 | 1 << 13 | 1 << 15 | 1 << 9 | 1 << 40, "flags": []})
    assert "warning, bit 40" in run({"kind": "taint"})["sentence"]
    assert run({"kind": "taint"}, subject(taint=1 << 9 | 1 << 40))["ok"]
    assert run({"kind": "taint", "allow": ["warning"]}, subject(taint=1 << 40))["ok"]


def test_load(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (9.0, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert run({"kind": "load"})["ok"]
    failed = run({"kind": "load", "max_load_per_cpu": 4, "retries": 1, "delay": 0})
    assert "4.50" in failed["sentence"] and failed["tries"] == 2
    assert run({"kind": "load", "max_load_per_cpu": 5})["ok"]


@pytest.mark.parametrize(
    ("state", "digest", "word"), [("applied", "ab", ""), ("reversed", "ab", "reversed"), ("confirmed", "cd", "Another")]
)
def test_update_state(monkeypatch, state, digest, word):
    monkeypatch.setattr(sysfs, "state", lambda name: state)
    monkeypatch.setattr(sysfs, "digest", lambda name: digest)
    assert word in run({"kind": "update_state"})["sentence"]


def test_command(tmp_path):
    assert run({"kind": "command", "argv": ["true"]})["ok"]
    assert run({"kind": "command", "cmd": "exit 3", "rc": 3})["ok"]
    failed = run({"kind": "command", "cmd": "echo no such thing; exit 3", "retries": 0})
    assert failed["sentence"] == "The command ended with 3, not 0: no such thing"
    assert "cannot be run" in run({"kind": "command", "argv": ["/none"], "retries": 0})["sentence"]
    counter = tmp_path / "n"
    command = f"echo x >> {counter}; test $(wc -l < {counter}) = 3"
    assert run({"kind": "command", "cmd": command, "retries": 2, "delay": 0.01})["tries"] == 3


def test_what_hangs_is_killed_with_all_that_it_started(tmp_path):
    pids = tmp_path / "pids"
    command = f"sleep 77 & echo $! > {pids}; sleep 78"
    start = time.monotonic()
    failed = run({"kind": "command", "cmd": command, "timeout": 3, "retries": 0})
    assert time.monotonic() - start < 60
    assert failed["sentence"] == "The check did not end within 3 s."
    status = pathlib.Path(f"/proc/{pids.read_text().strip()}/status")
    while status.exists() and "zombie" not in status.read_text():
        assert time.monotonic() - start < 60
        time.sleep(0.1)


def test_output_without_end():
    assert run({"kind": "command", "cmd": "head -c 10000000 /dev/zero; exit 1", "retries": 0})["tries"] == 1


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/" else 503)
        self.end_headers()
        self.wfile.write(b"all is well")

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made.server_address[1]
        made.shutdown()


def test_url_and_port(server):
    def get(path="/", **options):
        check = {"kind": "url", "url": f"http://127.0.0.1:{server}{path}", "retries": 0, "timeout": 5, **options}
        return run(check)["sentence"]

    assert get() == "" == get(contains="well") == get("/broken", status=503)
    assert "status 503, not 200" in get("/broken")
    assert "does not contain 'ill'" in get(contains="ill")
    assert "does not answer" in get(url="http://127.0.0.1:1/")
    assert run({"kind": "port", "port": server})["ok"]
    assert "port 1:" in run({"kind": "port", "port": 1, "retries": 0})["sentence"]


def test_a_server_that_says_nothing():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        start = time.monotonic()
        assert not run({"kind": "url", "url": url, "retries": 0, "timeout": 0.3})["ok"]
        assert time.monotonic() - start < 5


def test_the_controllers_checks_are_not_for_the_host():
    assert runner.run([{"kind": "tasks", "name": "x", "file": "x.yml"}], subject(), "soak", 0) == []


def test_a_check_and_all_that_it_started_end_with_who_asked_for_it(tmp_path):
    """Also if that is killed, so that it cannot clean up."""
    note = tmp_path / "pids"
    (check,) = (
        row
        for row in checks.normalise([{"kind": "command", "cmd": f"sleep 300 & echo $$ $! > {note}; wait"}])
        if row["kind"] == "command"
    )
    asks = os.fork()
    if asks == 0:
        runner.run([check], subject(), "soak", 0)
        os._exit(0)
    end = time.monotonic() + 60
    while not (note.exists() and len(note.read_text().split()) == 2):
        assert time.monotonic() < end
        time.sleep(0.01)
    os.kill(asks, signal.SIGKILL)
    os.waitpid(asks, 0)
    left = [pathlib.Path("/proc", pid) for pid in note.read_text().split()]
    while any(running(path) for path in left):
        assert time.monotonic() < end
        time.sleep(0.01)


def running(path):
    try:
        return (path / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
