# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch itself, on stock kernels that are busy with what production machines are busy with.

``REBOOTLESS_NMIS`` is how many NMIs are injected while functions that NMIs run are replaced (20,000 in the long tests).
"""

from __future__ import annotations

import os
import pathlib
import random
import time

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patches import parse_patch
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings import never_left
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import Phases
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import read_tree
from ansible_collections.rebootless.splice.plugins.module_utils._build.update import Builder, UpdateSource
from ansible_collections.rebootless.splice.tests.support import own_kernels
from ansible_collections.rebootless.splice.tests.support.builds import SIOCATMARK, Edit
from ansible_collections.rebootless.splice.tests.support.host import Host
from ansible_collections.rebootless.splice.tests.support.observe import PROBE, probe, text_digest, traces
from ansible_collections.rebootless.splice.tests.support.places import KMOD

NMIS = int(os.environ.get("REBOOTLESS_NMIS", "400"))
SYSFS = "/sys/kernel/rebootless"
GUEST = pathlib.Path(__file__).with_name("guest")
RELEASE = own_kernels.release()
BEHIND_FENTRY = 5  # where the jump is, in every function that has an fentry site and no landing mark
RARE = Edit(
    "fs/proc/version.c",
    "\tseq_printf(m, linux_proc_banner,\n",
    '\tseq_puts(m, "");\n\tseq_printf(m, linux_proc_banner,\n',
)
QUEUE = Edit("drivers/net/dummy.c", "\tdev->min_mtu = 0;\n", "\tdev->min_mtu = 0;\n\tdev->tx_queue_len = 77;\n")
SLEEP = Edit(
    "fs/eventfd.c",
    "\tspin_lock_irq(&ctx->wqh.lock);\n\tif (!ctx->count) {\n",
    '\tasm volatile("nop");\n\tspin_lock_irq(&ctx->wqh.lock);\n\tif (!ctx->count) {\n',
)
SORT = Edit(
    "lib/list_sort.c",
    "\tif (list == head->prev)\t/* Zero or one elements */\n",
    '\tasm volatile("nop");\n\tif (list == head->prev)\t/* Zero or one elements */\n',
)
# What the test module's NMIs call.
BITMAP = Edit(
    "lib/bitmap.c",
    "bool __bitmap_equal(const unsigned long *bitmap1,\n\t\t    const unsigned long *bitmap2, unsigned int bits)\n{\n",
    "bool __bitmap_equal(const unsigned long *bitmap1,\n\t\t    const unsigned long *bitmap2, unsigned int bits)\n{\n"
    '\tasm volatile("nop");\n',
)

# accept(), which tasks sleep in for days; what it returns says in which code they do.
ACCEPT = Edit(
    "net/unix/af_unix.c",
    "\tnewsock->state = SS_CONNECTED;\n\tunix_sock_inherit_flags(sock, newsock);\n",
    "\tnewsock->state = SS_CONNECTED;\n\ttsk->sk_mark = 77;\n\tunix_sock_inherit_flags(sock, newsock);\n",
)
# What idle threads are in, and what a thread of the kernel never leaves.
IDLE = Edit(
    "kernel/sched/idle.c", "\tbool got_tick = false;\n\n", '\tbool got_tick = false;\n\n\tasm volatile("nop");\n'
)
REAPER = Edit("mm/oom_kill.c", "\tset_freezable();\n\n\twhile", '\tset_freezable();\n\tasm volatile("nop");\n\n\twhile')


def control(host: Host, update: str, command: str) -> str:
    """What a command says that is written to an update's `control`: "" if it is done, else the system's error."""
    said = host.run(f"echo {command} > {SYSFS}/{update}/control", check=False)
    return "" if said.returncode == 0 else said.stderr.decode().rsplit(": ", 1)[-1].strip()


def state(host: Host, update: str) -> str:
    return host.out(f"cat {SYSFS}/{update}/state")


def insert(builds, host: Host, module: str, **parameters) -> None:
    """Loads a module of tests/integration/kmod."""
    host.put(builds.test_modules(host.release) / f"{module}.ko", f"/root/{module}.ko")
    host.run(f"insmod /root/{module}.ko " + " ".join(f"{key}={value}" for key, value in parameters.items()))


def applied(builds, host: Host, name: str, *edits: Edit, **options):
    """Builds an update of these edits and applies it."""
    built = builds.update(host.release, name, *edits)
    host.write(f"/root/{name}.rbl.tar.gz", built.content)
    result = host.module("update", package=f"/root/{name}.rbl.tar.gz", **options)
    assert not result["failed"], result
    return built


@pytest.fixture
def host(host50: Host):
    """The machine, which is left as it was found."""
    yield host50
    known = {"fix", *(row["name"] for row in host50.module("update_info")["updates"])}  # a package may be left, too

    def gone() -> bool:
        return not any(host50.module("update", name=name, state="absent")["failed"] for name in known)

    host50.wait_until(gone, 120)
    assert traces(host50) == ""


def sleeping(host: Host, script: str = PROBE):
    """A task that calls the function in which `busy` makes it sleep; it ends when that is unloaded."""
    host.write("/root/sleeper.py", script.encode())
    task = host.start("exec python3 /root/sleeper.py")
    host.wait_until(lambda: int(host.read("/sys/module/busy/parameters/sleeper")))
    host.wait_until(lambda: host.run("dmesg | grep 'busy: pid' | tail -1").stdout)
    return task


# ---- writing text


def test_nmis_run_what_is_being_written(builds, throwaway):
    """A CPU can be in an NMI, and in the very function, through any phase of the writing: it must find whole code."""
    host = throwaway(RELEASE)
    applied(builds, host, "bitmap", BITMAP)
    insert(builds, host, "nmi_user", symbol="__bitmap_equal", micros=3000)
    turns = max(2, NMIS // 200)
    loop = host.start(
        f"cd {SYSFS}/bitmap; echo 1 > /sys/module/rebootless/parameters/first_pause_ms; n=0;"
        f" while [ $n -lt {turns} ] || [ $(cat /sys/module/nmi_user/parameters/nmis) -lt {NMIS // 2} ];"
        " do echo reverse > control; echo apply > control && n=$((n+1)); done; true"
    )
    end, sent = time.monotonic() + (300 + NMIS / 4) * own_kernels.slowness(), 0
    with host.monitor() as monitor:
        while loop.poll() is None and host.panic() is None and host.machine.pid() is not None:
            monitor.cmd("inject-nmi")
            sent += 1
            time.sleep(0.02 * random.random())
            assert time.monotonic() < end, "the machine stands still, or does not see the NMIs"
    assert host.panic() is None, host.console()[-3000:]
    assert loop.wait(60) == 0 and sent >= NMIS // 2
    assert host.panic() is None
    host.run("rmmod nmi_user")


# ---- what else uses a function


EVENTS = "/sys/kernel/debug/tracing/kprobe_events"
ENABLE = "/sys/kernel/debug/tracing/events/kprobes/rbltest/enable"


def barred(host: Host) -> list[str]:
    """Names of functions in which the kernel lets no kprobe be, without the helper module's own."""
    lines = host.out("cat /sys/kernel/debug/kprobes/blacklist").splitlines()
    return sorted(line.split("\t")[1].split()[0] for line in lines if "[rebootless]" not in line)


def test_no_kprobe_comes_to_a_jump_and_the_deadline_comes(builds, host):
    """It would hold a copy of the jump, armed or not, and write that back when the update is long gone."""
    unbarred = barred(host)
    applied(builds, host, "fix", SIOCATMARK, deadline=600)
    assert barred(host) == sorted([*unbarred, "unix_ioctl"])
    old, jump = (int(word, 16) for word in host.out(f"cut -d' ' -f2,4 {SYSFS}/fix/functions").split())
    assert jump - old == BEHIND_FENTRY
    host.put(builds.test_modules(host.release) / "probe_inside.ko", "/root/probe_inside.ko")
    for at in range(BEHIND_FENTRY - 4, BEHIND_FENTRY + 5):
        told = host.run(f"echo 'p:rbltest unix_ioctl+{at}' > {EVENTS}", check=False)
        assert b"Invalid argument" in told.stderr, (at, told)
        for disabled in (0, 1):
            told = host.run(
                f"insmod /root/probe_inside.ko symbol=unix_ioctl offset={at} disabled={disabled}", check=False
            )
            assert b"Invalid parameters" in told.stderr, (at, told)
    assert "unix_ioctl" not in host.out("cat /sys/kernel/debug/kprobes/list")
    assert (state(host, "fix"), probe(host)) == ("applied", "fixed")
    host.run(f"echo 'p:rbltest unix_ioctl' > {EVENTS}; echo 1 > {ENABLE}")
    assert probe(host) == "fixed"
    assert int(host.out("awk '{print $2}' /sys/kernel/debug/tracing/kprobe_profile")) > 0, "one at the entry works"
    assert control(host, "fix", "extend 1") == ""
    host.wait_until(lambda: state(host, "fix") == "reversed")
    assert probe(host) == "vulnerable"
    insert(builds, host, "probe_inside", symbol="unix_ioctl", offset=BEHIND_FENTRY)
    host.run(f"rmmod probe_inside; echo 0 > {ENABLE}; echo > {EVENTS}")
    host.wait_until(lambda: barred(host) == unbarred)


def test_nothing_stays_barred(builds, host):
    """After a refusal, a reversal, a patched module's unloading, and the helper module's own."""
    host.run("modprobe dummy numdummies=0")
    unbarred = barred(host)
    applied(builds, host, "late", QUEUE)
    (name,) = host.out(f"cut -d' ' -f1 {SYSFS}/late/functions").split()
    assert barred(host) == sorted([*unbarred, name])
    host.run("rmmod dummy")
    host.wait_until(lambda: barred(host) == unbarred)
    host.run("modprobe dummy numdummies=0")
    assert barred(host) == sorted([*unbarred, name])
    assert control(host, "late", "reverse") == ""
    insert(builds, host, "probe_inside", symbol=name, offset=BEHIND_FENTRY, disabled=1)
    assert control(host, "late", "apply") == "Address already in use"
    host.wait_until(lambda: barred(host) == unbarred)
    host.run("rmmod probe_inside")
    assert control(host, "late", "apply") == ""
    assert host.module("update", name="late", state="absent")["failed"] is False
    assert traces(host) == "", "the helper module is gone, too"
    assert barred(host) == unbarred, "also what was yet to be taken out"
    host.run("rmmod dummy")


# Loads a module, under a name that is not that of all programs which do; by way of `env` it would be called python3.
LATECOMER = """#!/usr/bin/python3
import ctypes, os, sys
module = os.open(sys.argv[1], os.O_RDONLY)
libc = ctypes.CDLL(None, use_errno=True)
sys.exit(ctypes.get_errno() if libc.syscall(313, module, sys.argv[2].encode(), 0) else 0)  # finit_module()
"""


def test_a_kprobe_that_was_about_to_come_is_waited_for(builds, host):
    """It has asked whether it may lie there before it was refused, and would come when the jump is written."""
    applied(builds, host, "fix", SIOCATMARK)
    assert control(host, "fix", "reverse") == ""
    host.put(builds.test_modules(host.release) / "probe_inside.ko", "/root/probe_inside.ko")
    host.write("/root/latecomer", LATECOMER.encode())
    before_lock = {
        "symbol": "mutex_lock",
        "argument": host.symbol("kprobe_mutex"),
        # The kernel lists its own symbols by address.
        "caller": host.out("grep -A1 ' register_kprobe$' /proc/kallsyms | cut -d' ' -f1 | sed 's/^/0x/' | paste -sd,"),
    }
    # The first time it takes the lock to see whether the kprobe is registered already, and asks after that.
    insert(builds, host, "busy", offset=BEHIND_FENTRY, comm="latecomer", skip=1, **before_lock)
    parameters = f"symbol=unix_ioctl offset={BEHIND_FENTRY}"
    task = host.start(f"chmod +x /root/latecomer; exec /root/latecomer /root/probe_inside.ko '{parameters}'")
    host.wait_until(lambda: int(host.read("/sys/module/busy/parameters/sleeper")))
    host.wait_until(lambda: host.run("dmesg | grep 'busy: pid' | tail -1").stdout)
    result = host.module("update", name="fix", tries=2)
    assert (result.get("code"), result["state_after"]) == ("busy_function", "reversed"), result
    assert (result["details"]["function"], probe(host)) == ("register_kprobe", "vulnerable")
    apply = host.start(f"echo apply > {SYSFS}/fix/control")
    time.sleep(1)
    host.run("rmmod busy")
    assert task.wait(60) == 0
    assert apply.wait(60) != 0, "it has come between two tries, long after the match"
    assert "code: kprobe_inside" in host.out(f"cat {SYSFS}/fix/abort")
    host.run("rmmod probe_inside")
    assert control(host, "fix", "apply") == ""


def test_a_kprobe_is_refused_while_an_apply_waits(builds, host):
    """Between two tries, long after the match: it would go on with the code that it has copied from under the jump."""
    applied(builds, host, "fix", SIOCATMARK, state="applied")
    assert control(host, "fix", "reverse") == ""
    insert(builds, host, "busy", symbol="unix_ioctl", offset=BEHIND_FENTRY)
    task = sleeping(host)
    apply = host.start(f"echo apply > {SYSFS}/fix/control")
    host.wait_until(lambda: "unix_ioctl" in barred(host))
    with pytest.raises(AssertionError, match="Invalid parameters"):
        insert(builds, host, "probe_inside", symbol="unix_ioctl", offset=BEHIND_FENTRY, disabled=1)
    host.run("rmmod busy")
    assert task.wait(60) == 0
    assert apply.wait(60) == 0
    assert (state(host, "fix"), probe(host)) == ("applied", "fixed")


def test_a_kprobe_that_comes_behind_the_jump_while_an_apply_waits(builds, host):
    """Between two tries: it would never be hit again, and one that is optimised may have a task come back there."""
    applied(builds, host, "fix", SIOCATMARK, state="applied")
    assert control(host, "fix", "reverse") == ""
    insert(builds, host, "busy", symbol="unix_ioctl", offset=BEHIND_FENTRY)
    task = sleeping(host)
    apply = host.start(f"echo apply > {SYSFS}/fix/control")
    time.sleep(1)
    host.put(builds.test_modules(host.release) / "probe_inside.ko", "/root/probe_inside.ko")
    # The first instruction that the jump and an optimised kprobe before it keep off.
    found = (
        "for at in $(seq 10 25); do insmod /root/probe_inside.ko symbol=unix_ioctl offset=$at && break; done; echo $at"
    )
    at = int(host.out(f"sh -c '{found}' 2>/dev/null"))
    assert at < 25
    host.run("rmmod busy")
    assert task.wait(60) == 0
    assert apply.wait(60) != 0
    abort = host.out(f"cat {SYSFS}/fix/abort")
    assert "code: kprobe_inside" in abort and "function: unix_ioctl" in abort
    assert int(abort.split("address: 0x")[1].split()[0], 16) == host.symbol("unix_ioctl") + at
    assert state(host, "fix") == "reversed"
    host.run("rmmod probe_inside")
    assert control(host, "fix", "apply") == ""


def test_a_live_patch_that_comes_later_bypasses_the_update(builds, host):
    applied(builds, host, "fix", SIOCATMARK, confirm=True)
    insert(builds, host, "other_live_patch", symbol="unix_ioctl")
    assert state(host, "fix") == "bypassed"
    assert host.out(f"cat {SYSFS}/fix/functions").split()[-1] == "bypassed"
    kernel = host.module("kernel_info")["kernel"]
    assert (kernel["cves_fixed_live"], kernel["effective_release"]) == ([], host.release)
    assert kernel["bypassed"] == ["fix"]
    again = host.module("update", name="fix", confirm=True)
    assert (again["code"], again["details"]["functions"]) == ("bypassed", ["unix_ioctl"])
    assert control(host, "fix", "reverse") == "", "the old code can come back at any time"
    assert control(host, "fix", "apply") == "Address already in use"
    assert "code: entry_in_use" in host.out(f"cat {SYSFS}/fix/abort")
    host.run("echo 0 > /sys/kernel/livepatch/other_live_patch/enabled")
    host.wait_until(lambda: host.run("rmmod other_live_patch", check=False).returncode == 0)
    assert control(host, "fix", "apply") == ""
    assert state(host, "fix") == "applied"


def test_a_live_patch_of_a_module_that_came_later(builds, host):
    """ftrace moves the records of a module when its init code goes, which is after the update was applied to it."""
    applied(builds, host, "late", QUEUE)
    host.run("modprobe dummy numdummies=0")
    assert state(host, "late") == "applied"
    insert(builds, host, "other_live_patch", symbol="dummy_setup", object="dummy")
    assert state(host, "late") == "bypassed"
    host.run("echo 0 > /sys/kernel/livepatch/other_live_patch/enabled")
    host.wait_until(lambda: host.run("rmmod other_live_patch", check=False).returncode == 0)
    assert state(host, "late") == "applied"
    host.run("rmmod dummy")


# ---- deadlines, and tasks that stay


def test_a_deadline_comes_although_a_task_hangs_in_the_replacement_code(builds, host):
    applied(builds, host, "fix", SIOCATMARK, deadline=600)
    replacement = host.out(f"cut -d' ' -f3 {SYSFS}/fix/functions")
    insert(builds, host, "busy", address=replacement, offset=BEHIND_FENTRY)
    task = sleeping(host)
    pid = int(host.read("/sys/module/busy/parameters/sleeper"))
    assert control(host, "fix", "reverse") == "Resource temporarily unavailable"
    assert state(host, "fix") == "applied"
    assert control(host, "fix", "extend 1") == ""
    host.wait_until(lambda: state(host, "fix") == "reversed, held by 1 task")
    assert probe(host) == "vulnerable"
    assert host.out(f"cut -d' ' -f1,3 {SYSFS}/fix/holders") == f"{pid} unix_ioctl"
    assert host.module("update_info")["updates"][0]["state"] == "reversed"
    module = host.out(f"cat {SYSFS}/fix/module")
    assert host.run(f"rmmod {module}", check=False).returncode != 0, "the task has yet to finish in it"
    host.run("rmmod busy")
    assert task.wait(60) == 0
    host.wait_until(lambda: state(host, "fix") == "reversed", 120)
    host.run(f"rmmod {module}")


def test_an_operator_takes_an_update_out_by_force(builds, host):
    applied(builds, host, "fix", SIOCATMARK, confirm=True)
    insert(builds, host, "busy", address=host.out(f"cut -d' ' -f3 {SYSFS}/fix/functions"), offset=BEHIND_FENTRY)
    task = sleeping(host)
    pid = int(host.read("/sys/module/busy/parameters/sleeper"))
    assert host.module("update", name="fix", state="reversed", tries=2)["code"] == "busy_function"
    result = host.module("update", name="fix", state="reversed", force=True)
    assert (result["failed"], result["changed"], result["state_after"]) == (False, True, "reversed")
    assert (result["held_by"], [row["pid"] for row in result["holders"]]) == (1, [pid])
    assert state(host, "fix") == "reversed, held by 1 task"
    assert host.module("update", name="fix", state="absent")["code"] == "module_held"
    assert host.module("kernel_info")["kernel"]["held"] == ["fix"]
    assert control(host, "fix", "apply") == "", "which needs nothing of the task"
    assert (state(host, "fix"), probe(host)) == ("applied", "fixed")
    host.run("rmmod busy")
    assert task.wait(60) == 0
    assert control(host, "fix", "reverse") == ""
    host.wait_until(lambda: host.run(f"rmmod $(cat {SYSFS}/fix/module)", check=False).returncode == 0, 120)


def test_the_end_of_one_update_holds_up_nothing_else(builds, host):
    """It waits for an RCU-tasks grace period, which a busy thread puts off for as long as it likes."""
    applied(builds, host, "leaves", RARE)
    assert control(host, "leaves", "reverse") == ""
    applied(builds, host, "fix", SIOCATMARK, deadline=600)
    insert(builds, host, "spin", secs=int(40 * own_kernels.slowness()))
    began = time.monotonic()
    unload = host.start(f"rmmod $(cat {SYSFS}/leaves/module)")
    host.run("modprobe dummy; rmmod dummy", timeout=20)
    assert control(host, "fix", "extend 2") == ""
    host.wait_until(lambda: state(host, "fix") == "reversed", 15)
    assert control(host, "fix", "apply") == ""
    assert control(host, "fix", "confirm") == ""
    assert unload.poll() is None and time.monotonic() - began < 35 * own_kernels.slowness(), "it was waiting meanwhile"
    host.run("rmmod spin")
    assert unload.wait(120) == 0


def test_the_end_of_the_version_before_holds_up_nothing(builds, host):
    """What replaces a version unloads that one at once; and a bad fix that is busy keeps it from going."""
    applied(builds, host, "fix", SIOCATMARK)
    host.write("/root/second.ko", builds.update(host.release, "fix", SIOCATMARK, version="2.0").file("update.ko"))
    host.run("insmod /root/second.ko")
    assert control(host, "fix.next", "apply 600") == ""
    insert(builds, host, "spin", secs=int(90 * own_kernels.slowness()))
    unload = host.start(f"rmmod $(cat {SYSFS}/fix.previous/module)")
    host.wait_until(lambda: "going" in host.out("cat /sys/module/rbl_*/initstate").split())
    assert control(host, "fix", "extend 600") == ""
    assert control(host, "fix", "confirm") == ""
    assert control(host, "fix", "reverse force") == ""
    assert control(host, "fix", "apply 2") == ""
    host.wait_until(lambda: state(host, "fix") == "reversed", 15)
    assert probe(host) == "vulnerable"
    assert unload.poll() is None, "it was waiting meanwhile"
    host.run("rmmod spin")
    assert unload.wait(120) == 0


# ---- stacks


def run_in_guest(host: Host, script: str, *arguments: str):
    """One of tests/integration/guest, which says a word when it is ready, and goes on until it is killed."""
    host.put(GUEST / f"{script}.py", f"/root/{script}.py")
    task = host.start(f"exec python3 -u /root/{script}.py {' '.join(arguments)}")
    assert task.stdout and task.stderr
    said = task.stdout.readline()
    assert said, task.stderr.read().decode()
    return task


def killed(host: Host, script: str, task) -> None:
    host.run(f"pkill -KILL -f '[/]root/{script}.py'", check=False)
    task.wait(60)


def test_a_task_asleep_below_a_bpf_trampoline(builds, host):
    """The unwinder is not sure of its stack; but all that lies on it proves that it is in none of the functions."""
    poll = "import select; print(1, flush=True); select.poll().poll()"
    tracer = run_in_guest(host, "attach_fexit", "__x64_sys_poll")
    sleeper = host.start(f"exec python3 -c '{poll}'")
    assert sleeper.stdout.readline() == b"1\n"
    try:
        applied(builds, host, "fix", SIOCATMARK, tries=3)
        assert control(host, "fix", "reverse") == ""
        host.run("echo 2 > /sys/module/rebootless/parameters/tries; echo N > /sys/module/rebootless/parameters/scan")
        assert control(host, "fix", "apply") == "Resource temporarily unavailable"
        abort = host.out(f"cat {SYSFS}/fix/abort")
        assert "code: unreliable_stack" in abort and "walked only up to bpf_trampoline_" in abort
    finally:
        host.run("echo 11 > /sys/module/rebootless/parameters/tries; echo Y > /sys/module/rebootless/parameters/scan")
        host.run("pkill -KILL -f '[s]elect.poll'", check=False)
        killed(host, "attach_fexit", tracer)


def test_a_return_address_that_a_kretprobe_keeps(builds, host):
    """It is not on the stack, where the tracer's own stands: the task is in the function all the same."""
    applied(builds, host, "fix", SIOCATMARK)
    assert control(host, "fix", "reverse") == ""
    trace = "/sys/kernel/debug/tracing"
    host.run(f"echo 'r:rbltest unix_ioctl' > {trace}/kprobe_events; echo 1 > {trace}/events/kprobes/rbltest/enable")
    server = run_in_guest(host, "hold_page")
    try:
        host.run("echo 2 > /sys/module/rebootless/parameters/tries")
        assert control(host, "fix", "apply") == "Resource temporarily unavailable"
        assert "code: busy_function" in host.out(f"cat {SYSFS}/fix/abort")
    finally:
        host.run("echo 11 > /sys/module/rebootless/parameters/tries")
        killed(host, "hold_page", server)
        host.run(f"echo 0 > {trace}/events/kprobes/rbltest/enable; echo > {trace}/kprobe_events")


def test_a_task_that_waits_for_user_memory(builds, host):
    """A user can stay in the function for ever: the operator is told, and a deadline comes all the same."""
    applied(builds, host, "fix", SIOCATMARK, deadline=600)
    server = run_in_guest(host, "hold_page")
    try:
        host.run("echo 2 > /sys/module/rebootless/parameters/tries")
        assert control(host, "fix", "reverse") == "Resource temporarily unavailable"
        abort = host.out(f"cat {SYSFS}/fix/abort")
        assert "code: busy_function" in abort and "reason: it waits for user memory" in abort
        assert control(host, "fix", "extend 1") == ""
        host.wait_until(lambda: state(host, "fix") == "reversed, held by 1 task")
    finally:
        host.run("echo 11 > /sys/module/rebootless/parameters/tries")
        killed(host, "hold_page", server)
    host.wait_until(lambda: state(host, "fix") == "reversed", 120)


# ---- tasks that stay, and what is done about them


def marks(task) -> list[str]:
    """What the tasks of accept_in_threads got from accept(), once there is something for them."""
    task.stdin.write(b"\n")
    task.stdin.flush()
    return task.stdout.read().decode().split("\n")[:-1]


def test_tasks_that_sleep_in_a_function_are_sent_out(builds, host):
    """They are more than are named at a time, and go into the same function again at once, so all have to be out."""
    threads = 20
    built = builds.update(host.release, "accept", ACCEPT)
    host.write("/root/accept.rbl.tar.gz", built.content)
    task = run_in_guest(host, "accept_in_threads", str(threads))
    options = {"package": "/root/accept.rbl.tar.gz", "tries": 2}
    for blockers, tries in (("refuse", 1), ("wait", 2)):
        refused = host.module("update", blockers=blockers, **options)
        assert (refused["code"], refused["tries"], refused["signalled"]) == ("busy_function", tries, 0), refused
        conflicts = refused["details"]["conflicts"]
        assert {row["function"] for row in conflicts} == {"unix_accept"} and len(conflicts) == 16
        assert {row["comm"] for row in conflicts} == {"python3"}
    result = host.module("update", blockers="signal", **options)
    assert (result["failed"], result["state_after"]) == (False, "applied"), result
    assert result["signalled"] >= threads, "other tasks may have been in the way, too"
    assert marks(task) == ["mark 77"] * threads + ["done"], "each is in the new code now, and has seen no error"
    task = run_in_guest(host, "accept_in_threads", "3")
    assert control(host, "accept", "reverse refuse") == "Resource temporarily unavailable"
    assert control(host, "accept", "reverse signal") == ""
    assert marks(task) == ["mark 0"] * 3 + ["done"]


def test_a_task_that_sleeps_uninterruptibly_is_named_and_left_alone(builds, host):
    applied(builds, host, "fix", SIOCATMARK, state="applied")
    assert control(host, "fix", "reverse") == ""
    insert(builds, host, "busy", symbol="unix_ioctl", offset=BEHIND_FENTRY)
    task = sleeping(host)
    pid = int(host.read("/sys/module/busy/parameters/sleeper"))
    host.run("echo 2 > /sys/module/rebootless/parameters/tries")
    try:
        assert control(host, "fix", "apply signal") == "Resource temporarily unavailable"
    finally:
        host.run("echo 11 > /sys/module/rebootless/parameters/tries")
    abort = host.out(f"cat {SYSFS}/fix/abort")
    assert "code: busy_function" in abort and f"task: {pid} python3" in abort and "signalled: 1" in abort
    assert host.out(f"cut -d' ' -f1,3 {SYSFS}/fix/conflicts") == f"{pid} unix_ioctl"
    assert state(host, "fix") == "reversed"
    host.run("rmmod busy")
    assert task.wait(60) == 0, "it goes on where it was"
    assert control(host, "fix", "apply signal") == ""


def test_the_name_of_a_task_passes_for_nothing_else(builds, host):
    """A task names itself, with any bytes but 0."""
    applied(builds, host, "fix", SIOCATMARK, state="applied")
    assert control(host, "fix", "reverse") == ""
    insert(builds, host, "busy", symbol="unix_ioctl", offset=BEHIND_FENTRY)
    name = "import ctypes; ctypes.CDLL(None).prctl(15, b'a\\nfunction: b', 0, 0, 0)\n"  # PR_SET_NAME
    task = sleeping(host, PROBE.replace("import socket\n", f"import socket\n{name}", 1))
    pid = int(host.read("/sys/module/busy/parameters/sleeper"))
    host.run("echo 1 > /sys/module/rebootless/parameters/tries")
    try:
        assert control(host, "fix", "apply") == "Resource temporarily unavailable"
    finally:
        host.run("echo 11 > /sys/module/rebootless/parameters/tries")
    abort = host.out(f"cat {SYSFS}/fix/abort").splitlines()
    assert [line for line in abort if line.startswith(("task", "function"))] == [
        f"task: {pid} a_function:_b",
        "function: unix_ioctl",
    ]
    assert host.out(f"cut -d' ' -f1-3 {SYSFS}/fix/conflicts") == f"{pid} a_function:_b unix_ioctl"
    assert "\nfunction: b" not in host.out("dmesg -r")
    host.run("rmmod busy")
    assert task.wait(60) == 0


# ---- tasks that run between the look at them and the stop


NOTE_FROM = "/sys/module/rebootless/parameters/note_from"
# Whether tasks that run are noted: so few as a machine of the lab has would have their counts compared.
ENTERING = [("itself", True), ("thread", True), ("child", True), ("thread_exec", True)]
ENTERING += [("itself", False), ("thread", False), ("child", False), ("thread_exec", False)]


@pytest.mark.turns
@pytest.mark.parametrize(("who", "noted"), [*ENTERING, ("switches", True)])
def test_a_task_that_enters_between_the_look_and_the_stop(builds, host, who, noted):
    """Stacks are walked before the stop; in it, those of tasks that have run since, and of new ones.

    ``switches`` fills the notes of its processor first, so that all counts have to be compared.
    """
    applied(builds, host, "sleep", SLEEP)
    host.run(f"echo {0 if noted else 1000} > {NOTE_FROM}")
    assert control(host, "sleep", "reverse") == ""
    insert(builds, host, "between")
    # The operation's work on one processor, the task on the other.
    host.run("echo 1 > /sys/devices/virtual/workqueue/cpumask; echo 1 > /sys/module/rebootless/parameters/tries")
    task = run_in_guest(host, "enter_between", who)
    try:
        assert control(host, "sleep", "apply") == "Resource temporarily unavailable"
        assert "code: busy_function" in host.out(f"cat {SYSFS}/sleep/abort")
        assert host.out(f"cut -d' ' -f2,3 {SYSFS}/sleep/conflicts") == "inside eventfd_read"
        if who == "switches":
            counts = host.out("grep ctxt_switches /proc/$(pgrep -x inside)/status").split()[1::2]
            assert sum(map(int, counts)) > 1200, "and its child as often"
        assert control(host, "sleep", "apply") == "Resource temporarily unavailable", "it is found asleep, too"
    finally:
        host.run("echo 11 > /sys/module/rebootless/parameters/tries")
        host.run("pkill -KILL -x inside", check=False)  # first: it may have taken the place of what is waited for
        killed(host, "enter_between", task)
        host.run("rmmod between", check=False)
    assert control(host, "sleep", "apply") == ""


@pytest.mark.turns
def test_a_thread_that_plays_idle_is_noted(builds, host):
    """As those of intel_powerclamp do: the kernel takes such a thread for a CPU's idle task meanwhile."""
    applied(builds, host, "sort", SORT)
    assert control(host, "sort", "reverse") == ""
    parameters = "/sys/module/rebootless/parameters"
    host.run(f"echo 0 > {NOTE_FROM}; echo 1 > /sys/devices/virtual/workqueue/cpumask; echo 1 > {parameters}/tries")
    insert(builds, host, "between", idle=1)
    try:
        assert control(host, "sort", "apply") == "Resource temporarily unavailable"
        assert host.out(f"cut -d' ' -f2,3 {SYSFS}/sort/conflicts") == "inside list_sort"
    finally:
        host.run(f"rmmod between; echo 11 > {parameters}/tries", check=False)
    assert control(host, "sort", "apply") == ""


@pytest.mark.turns
@pytest.mark.parametrize("note_from", [0, 1000])
def test_tasks_that_sleep_are_not_looked_at_in_the_stop(builds, host, note_from):
    applied(builds, host, "fix", SIOCATMARK)
    host.run(f"echo {note_from} > {NOTE_FROM}")
    task = run_in_guest(host, "sleep_in_threads", "500")
    try:
        assert control(host, "fix", "reverse") == ""
        assert int(host.out("ls -d /proc/[0-9]*/task/* | wc -l")) > 500
        assert int(host.read(f"{SYSFS}/fix/looked_at")) < 100
        assert 0 < int(host.read(f"{SYSFS}/fix/pause_ns")) < int(host.read(f"{SYSFS}/fix/stop_ns"))
    finally:
        killed(host, "sleep_in_threads", task)


def test_tasks_are_noted_by_default_unless_the_processors_are_emulated(builds, host):
    """The probe has the kernel write over what all processors run, which an emulated one may go on running for ever."""
    host.write("/root/rebootless.ko", builds.update(host.release, "fix", SIOCATMARK).file("rebootless.ko"))
    default = 1000 if host.machine.record()["spec"]["accelerator"] == "kvm" else 0xFFFFFFFF
    for given, is_set_to in (("", default), ("note_from=1000", 1000), ("note_from=0", 0)):
        assert int(host.out(f"insmod /root/rebootless.ko {given}; cat {NOTE_FROM}; rmmod rebootless")) == is_set_to


def test_threads_that_nobody_can_stop_are_called_that(builds, host, tmp_path, monkeypatch):
    """Idle threads are in do_idle() whenever CPUs are stopped, also that of a CPU that is offline, which is in no list.

    The build knows that; this one has forgotten.
    """
    monkeypatch.setattr(never_left, "_NEVER_LEFT", {})
    update = UpdateSource("idle", "1", (), (parse_patch("idle.patch", builds.patch(RELEASE, IDLE).encode()),))
    cache = builds.fresh_cache(RELEASE, tmp_path / "cache")
    package = Builder(read_tree(builds.tree(RELEASE)["path"]), KMOD, cache, 2, Phases()).build(update).package
    host.put(package, "/root/idle.rbl.tar.gz")
    host.run("echo 0 > /sys/devices/system/cpu/cpu1/online")
    refused = host.module("update", package="/root/idle.rbl.tar.gz", tries=2)
    assert (refused["code"], refused["details"]["function"]) == ("never_left", "do_idle"), refused
    assert {row["comm"] for row in refused["details"]["conflicts"]} >= {"swapper/0", "swapper/1"}
    assert refused["details"]["task"] == "0 swapper/0" and "Reboot" in refused["next_step"]

    host.write("/root/reaper.rbl.tar.gz", builds.update(RELEASE, "reaper", REAPER).content)
    refused = host.module("update", package="/root/reaper.rbl.tar.gz", tries=1)
    assert (refused["code"], refused["details"]["task"].split()[1]) == ("busy_function", "oom_reaper"), refused
    assert "cannot be restarted" in refused["details"]["reason"]


# ---- privileges, and being loaded


def test_uid_0_without_capabilities(builds, host):
    """As root in a container is that has no user namespace: it sees no addresses, and changes nothing."""
    applied(builds, host, "fix", SIOCATMARK)
    function, old, new, jump, saved, in_place = host.out(f"cat {SYSFS}/fix/functions").split()
    assert int(old, 16) == host.symbol(function) and in_place == "yes"
    without = "setpriv --bounding-set=-all --inh-caps=-all"
    assert host.out(f"{without} cat {SYSFS}/fix/functions") == f"{function} 0x0 0x0 0x0 - yes"
    for file, text in (
        (f"{SYSFS}/fix/control", "reverse"),
        (f"{SYSFS}/fix/control", "reverse force"),
        ("/sys/module/rebootless/parameters/tries", "5"),
        ("/sys/module/rebootless/parameters/scan", "N"),
    ):
        write = f"import os; os.write(os.open('{file}', os.O_WRONLY), b'{text}')"
        assert "PermissionError: [Errno 1]" in host.run(f'{without} python3 -c "{write}"', check=False).stderr.decode()
    assert (state(host, "fix"), probe(host)) == ("applied", "fixed")
    assert control(host, "fix", "reverse") == ""
    insert(builds, host, "flip", symbol="unix_stream_connect", offset=100, mask=1)
    try:
        assert control(host, "fix", "apply") == "Exec format error"
        whole, part = (host.out(f"{prefix} cat {SYSFS}/fix/abort") for prefix in ("", without))
    finally:
        host.run("rmmod flip")
    assert {"address", "expected", "found"} == {
        line.split(":")[0] for line in set(whole.splitlines()) - set(part.splitlines())
    }
    address = host.symbol("unix_stream_connect") + 100
    log = host.out("dmesg | grep ' rebootless: '")
    assert "no_match" in log and not any(f"{value:x}" in log for value in (address, int(new, 16), int(jump, 16)))


def test_the_helper_is_loaded_while_ftrace_is_off(builds, host):
    """It looks a symbol up by way of a kprobe, which must not be armed: ftrace would lose count, and trace no more."""
    host.run("sysctl -q kernel.ftrace_enabled=0; dmesg -C")
    try:
        applied(builds, host, "fix", SIOCATMARK)
    finally:
        host.run("sysctl -q kernel.ftrace_enabled=1")
    for _turn in range(2):
        killed(host, "attach_fexit", run_in_guest(host, "attach_fexit", "__x64_sys_poll"))
    assert "WARNING" not in host.out("dmesg")


# ---- constants


def test_a_constant_of_the_kernel_itself_is_exchanged(builds, host):
    """It is read-only in all of the kernel's own mappings."""
    start = "unix_seqpacket_ops = {\n\t.family =\tPF_UNIX,\n\t.owner =\tTHIS_MODULE,\n\t.release =\tunix_release,\n"
    start += "\t.bind =\t\tunix_bind,\n\t.connect =\tunix_stream_connect,\n\t.socketpair =\t"
    edit = Edit("net/unix/af_unix.c", f"{start}unix_socketpair,", f"{start}sock_no_socketpair,")
    script = "import socket; socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)"

    def pairs() -> bool:
        return host.run(f"python3 -c '{script}'", check=False).returncode == 0

    before = text_digest(host), pairs()
    built = applied(builds, host, "constant", edit)
    assert [row["change"] for row in built.result["data"]] == ["exchanged"]
    assert not pairs()
    assert control(host, "constant", "reverse") == ""
    assert (text_digest(host), pairs()) == before == (before[0], True)
