# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deadline that nothing holds up: not what the new code does, nor what custom code or another task waits for.

What hangs, hangs as long as the console's level is a certain one, which a test can change at any time.
"""

from __future__ import annotations

import contextlib
import re
import time

import pytest

from ansible_collections.rebootless.splice.tests.support import own_kernels
from ansible_collections.rebootless.splice.tests.support.builds import SIOCATMARK, Edit
from ansible_collections.rebootless.splice.tests.support.host import Host
from ansible_collections.rebootless.splice.tests.support.observe import PROBE, probe, text_digest, traces

SYSFS = "/sys/kernel/rebootless"
TRACE = "/sys/kernel/debug/tracing"
UNIX = SIOCATMARK.path
DUMMY = "drivers/net/dummy.c"
QUEUE = Edit(DUMMY, "\tdev->min_mtu = 0;\n", "\tdev->min_mtu = 0;\n\tdev->tx_queue_len = 77;\n")


def while_level_is(level: int, how: str) -> str:
    return f"while (READ_ONCE(console_printk[0]) == {level})\n{how};\n"


# What `probe` calls.
DEAD = Edit(UNIX, SIOCATMARK.old, SIOCATMARK.new.replace("if (sk->", while_level_is(4, "cpu_relax()") + "if (sk->"))
# The jump lies over the static branch of a debug message.
BRANCH_FUNCTION = "sctp_sf_ignore_primitive"
SAID = 'primitive type:%d is ignored\\n", __func__,\n\t\t type.primitive);\n\n\treturn SCTP_DISPOSITION_'
BRANCH = Edit("net/sctp/sm_statefuns.c", f"{SAID}DISCARD;", f"{SAID}CONSUME;")
# What applying an update calls itself, when it has switched.
TAINT = Edit(
    "kernel/panic.c",
    "\tset_bit(flag, &tainted_mask);\n\n\tif (tainted_mask & panic_on_taint) {\n",
    f"\tset_bit(flag, &tainted_mask);\n{while_level_is(4, 'msleep(50)')}\n\tif (tainted_mask & panic_on_taint) {{\n",
)
# Memory that is asked for in pages.
MEMORY = Edit(
    "mm/util.c",
    "\tgfp_t kmalloc_flags = flags;\n\tvoid *ret;\n",
    f"\tgfp_t kmalloc_flags = flags;\n\tvoid *ret;\n\n{while_level_is(4, 'cond_resched()')}",
)


def hanging(stage: str, level: int) -> str:
    """A hook that says when it is called, and hangs at that level."""
    return f"""\
#include <rebootless_custom.h>
#include <linux/delay.h>

static int on_{stage.lower()}(void)
{{
    pr_info("hook {stage}\\n");
    while (console_loglevel == {level})
        msleep(20);
    return 0;
}}
RBL_HOOK(RBL_{stage}, on_{stage.lower()});
"""


def control(host: Host, update: str, command: str) -> str:
    said = host.run(f"echo {command} > {SYSFS}/{update}/control", check=False)
    return "" if said.returncode == 0 else said.stderr.decode().rsplit(": ", 1)[-1].strip()


def state(host: Host, update: str) -> str:
    return host.out(f"cat {SYSFS}/{update}/state")


def loaded(builds, host: Host, name: str, *edits: Edit, record: str | None = None, **options) -> None:
    """Loads an update of these edits, without applying it."""
    host.write(f"/root/{name}.ko", builds.update(host.release, name, *edits, **options).file("update.ko"))
    if host.run(f"test -d {SYSFS}", check=False).returncode:
        content = builds.update(host.release, name, *edits, **options).file("rebootless.ko")
        host.write("/root/rebootless.ko", content)
        host.run("insmod /root/rebootless.ko")
    host.run(f"insmod /root/{name}.ko")
    assert state(host, record or name) == "matched"


def insert(builds, host: Host, module: str, **parameters) -> None:
    host.put(builds.test_modules(host.release) / f"{module}.ko", f"/root/{module}.ko")
    host.run(f"insmod /root/{module}.ko " + " ".join(f"{key}={value}" for key, value in parameters.items()))


def begun(host: Host, stage: str, command: str):
    """What goes on until a hook of that stage returns, which has been called."""
    task = host.start(command)
    host.wait_until(lambda: f"hook {stage}" in host.out("dmesg"))
    return task


@pytest.fixture
def host(host50: Host):
    """The machine, which is left as it was found."""
    untouched = text_digest(host50)
    yield host50
    host50.run("dmesg -n 7; rmmod dummy 2>/dev/null", check=False)
    names = host50.out(f"ls {SYSFS} | grep -v -e '^abi$' -e '^build_id$'", check=False).split()
    modules = host50.out(f"cat {SYSFS}/*/module", check=False).split()

    def gone() -> bool:
        for name in names:
            control(host50, name, "reverse")
        return all(host50.run(f"rmmod {module}", check=False).returncode == 0 for module in modules if is_there(module))

    def is_there(module: str) -> bool:
        return host50.run(f"test -d /sys/module/{module}", check=False).returncode == 0

    host50.wait_until(gone, 120)
    host50.run("rmmod rebootless", check=False)
    assert traces(host50) == ""
    assert text_digest(host50) == untouched


# The network's interrupts may belong to the CPU that is lost, so all is done and noted in the machine.
LOST = f"""
cd {SYSFS}/dead
say() {{ echo "$1=$(echo $2)" >> /root/said; }}
dmesg -n 4
taskset 2 python3 /root/caller.py & caller=$!
until [ "$(cut -d' ' -f15 /proc/$caller/stat)" -gt 200 ]; do sleep .5; done # of the time that it spent in the kernel
say caller $caller
echo reverse refuse > control && say refused no
say code "$(sed -n 's/^code: //p' abort)"
say task "$(sed -n 's/^task: //p' abort)"
taskset 2 true & # it never runs
taskset 1 sh -c 'echo extend 1 > control'
for second in $(seq 30); do sleep 1; grep -q '^reversed, held by 1 task' state && break; done
say state "$(cat state)"
say holder "$(cut -d' ' -f1-3 holders)"
say probe "$(taskset 1 python3 /root/caller.py)"
dmesg -n 7
wait
"""


def test_a_cpu_that_is_lost_to_the_replacement_code(builds, host):
    """It loops, and lets nothing else run: no stopper thread, no grace period of RCU. Nothing can be stopped."""
    loaded(builds, host, "dead", DEAD)
    assert control(host, "dead", "apply 600") == ""
    host.write("/root/caller.py", PROBE.encode())
    host.write("/root/lost.sh", LOST.encode())
    assert host.start("exec taskset 1 sh /root/lost.sh").wait(120 * own_kernels.slowness()) == 0
    said = dict(line.split("=", 1) for line in host.out("cat /root/said").splitlines())
    pid = said.pop("caller")
    assert said == {
        "code": "cpu_stuck",
        "task": f"{pid} python3",
        "state": "reversed, held by 1 task",
        "holder": f"{pid} python3 -",
        "probe": "vulnerable",
    }
    host.wait_until(lambda: state(host, "dead") == "reversed", 120)


@contextlib.contextmanager
def text_locked(builds, host: Host):
    """By the optimiser of kprobes, which waits for a grace period of RCU-tasks, which a busy thread puts off."""

    def is_locked() -> bool:
        return "kprobe_optimizer" in host.out("cat /proc/[0-9]*/stack 2>/dev/null", check=False)

    insert(builds, host, "spin", secs=int(150 * own_kernels.slowness()))
    host.run(f"echo 'p:rbltest eventfd_write+5' > {TRACE}/kprobe_events")
    probing = host.start(f"echo 1 > {TRACE}/events/kprobes/rbltest/enable")
    host.wait_until(is_locked)
    yield
    assert is_locked(), "all the time"
    host.run("rmmod spin")
    assert probing.wait(60) == 0
    host.run(f"echo 0 > {TRACE}/events/kprobes/rbltest/enable; echo > {TRACE}/kprobe_events")


def test_the_kernels_locks_for_text_are_held_all_the_time(builds, host):
    loaded(builds, host, "fix", SIOCATMARK)
    loaded(builds, host, "queue", QUEUE)
    assert control(host, "fix", "apply 600") == ""
    with text_locked(builds, host):
        assert control(host, "fix", "extend 1") == ""
        host.wait_until(lambda: state(host, "fix") == "reversed", 20)
        assert probe(host) == "vulnerable"
        assert control(host, "queue", "apply refuse") == "Device or resource busy"
        assert "code: text_locked" in host.out(f"cat {SYSFS}/queue/abort")
    host.wait_until(lambda: control(host, "queue", "apply") == "", 60)


def test_a_static_branch_under_a_jump_meanwhile(builds, host):
    """It comes back as it was; the kernel, which is to switch it, finds it there when the locks are free again."""
    host.run("modprobe sctp")
    address = host.symbol(BRANCH_FUNCTION)

    def switch(flag: str) -> str:
        return f"echo 'func {BRANCH_FUNCTION} {flag}' > /sys/kernel/debug/dynamic_debug/control"

    def code() -> str:
        with host.debugger() as debugger:
            return debugger.read(address, 10).hex()

    off = code()
    host.run(switch("+p"))
    on = code()
    assert (on[10:12], off[10:14]) == ("eb", "6690")
    host.run(switch("-p"))
    loaded(builds, host, "branch", BRANCH)
    host.run(switch("+p"))
    assert control(host, "branch", "apply 600") == "" and code()[10:12] == "e9"
    with text_locked(builds, host):
        assert control(host, "branch", "reverse force") == ""
        assert code() == on
        switching = host.start(switch("-p"))
        assert control(host, "branch", "apply") == "Device or resource busy"
        assert "code: text_locked" in host.out(f"cat {SYSFS}/branch/abort")
        assert code() == on
    assert switching.wait(60) == 0
    host.wait_until(lambda: code() == off, 120)
    host.run(switch("+p"))
    assert code() == on
    host.run(switch("-p"))
    assert code() == off


def test_what_applying_itself_calls_hangs(builds, host):
    """After the switch the helper module does what may run replaced code: without a lock that others need."""
    loaded(builds, host, "taint", TAINT)
    host.run("dmesg -n 4")
    apply = host.start(f"echo apply 2 > {SYSFS}/taint/control")
    host.wait_until(lambda: state(host, "taint").startswith("reversed"), 30)
    host.run("modprobe dummy && rmmod dummy", timeout=30)
    assert apply.poll() is None, "it is still in there"
    host.run("dmesg -n 7")
    apply.wait(60)
    host.wait_until(lambda: state(host, "taint") == "reversed", 120)


def test_no_memory_is_asked_for(builds, host):
    """What asks for memory in pages does not come back; so not even the host's shell does."""
    loaded(builds, host, "memory", MEMORY)
    host.run("dmesg -n 4")
    apply = host.start(f"echo apply 3 > {SYSFS}/memory/control")
    time.sleep(30)
    host.run("dmesg -n 7")
    apply.wait(60)
    host.wait_until(lambda: state(host, "memory").startswith("reversed"), 30)
    assert int(host.out(f"cat {SYSFS}/memory/tries")) == 0, "it was its deadline, and needed no stop"


def test_a_module_that_comes_while_a_hook_hangs(builds, host):
    """Its part takes part in the way back, although it took none in what is under way."""
    loaded(builds, host, "late", SIOCATMARK, QUEUE, custom=((UNIX, hanging("POST_APPLY", 5)),))
    host.run("dmesg -C; dmesg -n 5")
    apply = begun(host, "POST_APPLY", f"echo apply 600 > {SYSFS}/late/control")
    host.run("modprobe dummy numdummies=0")
    assert "dummy applied" in host.out(f"cat {SYSFS}/late/objects")
    assert control(host, "late", "reverse force") == ""
    assert state(host, "late").startswith("reversed") and probe(host) == "vulnerable"
    assert host.out("ip link add d0 type dummy && cat /sys/class/net/d0/tx_queue_len; ip link del d0") == "1000"
    assert apply.poll() is None
    host.run("dmesg -n 7")
    apply.wait(60)


def test_custom_code_that_hangs_before_an_operators_reversal(builds, host):
    """The deadline overtakes it, and is itself not held up by the same hook; the operation finds that later."""
    loaded(builds, host, "fix", SIOCATMARK, custom=((UNIX, hanging("PRE_REVERSE", 6)),))
    assert control(host, "fix", "apply 12") == ""
    host.run("dmesg -C; dmesg -n 6")
    reverse = begun(host, "PRE_REVERSE", f"echo reverse > {SYSFS}/fix/control")
    host.wait_until(lambda: state(host, "fix").startswith("reversed"), 40)
    assert probe(host) == "vulnerable" and reverse.poll() is None
    host.run("dmesg -n 7")
    assert reverse.wait(60) != 0
    host.wait_until(lambda: state(host, "fix") == "reversed", 60)


def test_custom_code_that_hangs_before_the_next_version(builds, host):
    """The version that is applied goes back at its deadline; the one that was about to take its place does nothing."""
    loaded(builds, host, "fix", SIOCATMARK)
    assert control(host, "fix", "apply 600") == ""
    options = {"version": "2.0", "custom": ((UNIX, hanging("PRE_APPLY", 5)),)}
    loaded(builds, host, "fix", SIOCATMARK, record="fix.next", **options)
    assert control(host, "fix", "extend 12") == ""
    host.run("dmesg -C; dmesg -n 5")
    apply = begun(host, "PRE_APPLY", f"echo apply 600 > {SYSFS}/fix.next/control")
    host.wait_until(lambda: state(host, "fix").startswith("reversed"), 40)
    assert probe(host) == "vulnerable" and apply.poll() is None
    host.run("dmesg -n 7")
    assert apply.wait(60) != 0
    assert state(host, "fix.next") == "matched" and probe(host) == "vulnerable"
    assert control(host, "fix.next", "apply") == ""


TELLING = "#include <rebootless_custom.h>\n" + "".join(
    f'static int on_{stage}(void) {{ pr_info("hook {stage}\\n"); return 0; }}\nRBL_HOOK(RBL_{stage}, on_{stage});\n'
    for stage in ("PRE_REVERSE", "CHECK_REVERSE", "REVERSE", "POST_REVERSE", "FAIL_REVERSE")
)


def test_custom_code_for_the_stop(builds, host50):
    """It is called in one if there can be one; else what it would have undone has to find its module for ever."""
    host = host50

    def hooks() -> list[str]:
        return re.findall(r"hook (\w+)", host.out("dmesg -c"))

    loaded(builds, host, "fix", SIOCATMARK, custom=((UNIX, TELLING),))
    assert control(host, "fix", "apply 600") == ""
    host.run("dmesg -C")
    assert control(host, "fix", "reverse force") == ""
    assert hooks() == ["PRE_REVERSE", "CHECK_REVERSE", "REVERSE", "POST_REVERSE"]
    assert (host.out(f"cat {SYSFS}/fix/kept"), probe(host)) == ("0", "vulnerable")
    assert control(host, "fix", "apply 600") == ""
    with text_locked(builds, host):
        host.run("dmesg -C")
        assert control(host, "fix", "reverse force") == ""
        assert hooks() == ["PRE_REVERSE", "POST_REVERSE"]
        assert (host.out(f"cat {SYSFS}/fix/kept"), probe(host)) == ("1", "vulnerable")
    host.wait_until(lambda: state(host, "fix") == "reversed", 60)
    assert host.run(f"rmmod $(cat {SYSFS}/fix/module)", check=False).returncode != 0
    assert control(host, "fix", "apply") == "" and control(host, "fix", "reverse") == ""
