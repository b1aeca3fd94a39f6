# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loadable modules that come and go while an update of theirs does, or while its record ends.

Custom code that hangs meanwhile holds up that module alone; and kprobes and other bytes may come at any time.
"""

from __future__ import annotations

import re
import time

import pytest

from ansible_collections.rebootless.splice.tests.support import own_kernels
from ansible_collections.rebootless.splice.tests.support.builds import SIOCATMARK, Edit
from ansible_collections.rebootless.splice.tests.support.host import Host
from ansible_collections.rebootless.splice.tests.support.observe import text_digest, traces

DUMMY = "drivers/net/dummy.c"
SYSFS = "/sys/kernel/rebootless"
QUEUE = Edit(DUMMY, "\tdev->min_mtu = 0;\n", "\tdev->min_mtu = 0;\n\tdev->tx_queue_len = 77;\n")
# A hook hangs as long as the level of the console is its own, and says when it begins to.
HANGING = """\
#include <rebootless_custom.h>
#include <linux/delay.h>

#define HANG(stage, level)                                  \\
    static int on_##stage(void)                             \\
    {                                                       \\
        pr_info("hook " #stage "\\n");                      \\
        while (console_loglevel == (level))                 \\
            msleep(20);                                     \\
        return 0;                                           \\
    }                                                       \\
    RBL_HOOK(stage, on_##stage)

HANG(RBL_PRE_APPLY, 4);
HANG(RBL_POST_APPLY, 5);
HANG(RBL_FAIL_APPLY, 0);
HANG(RBL_PRE_REVERSE, 6);
HANG(RBL_POST_REVERSE, 0);
"""
LEVEL = {"PRE_APPLY": 4, "POST_APPLY": 5, "PRE_REVERSE": 6}
# A hook that is called when all has been checked, and before anything is written.
PROBING = """\
#include <rebootless_custom.h>
#include <linux/kprobes.h>

static int on_hit(struct kprobe *unused, struct pt_regs *regs)
{
    return 0;
}

static struct kprobe probe;

/* On the jump, or where the kernel refuses one there, behind it. */
static int come(void)
{
    unsigned int offset = 4;

    do
        probe = (struct kprobe){ .pre_handler = on_hit, .symbol_name = "dummy:dummy_setup", .offset = ++offset };
    while (register_kprobe(&probe) && offset < 40);
    pr_info("registered at %u\\n", offset);
    return 0;
}
RBL_HOOK(RBL_CHECK_APPLY, come);

static int go(void)
{
    unregister_kprobe(&probe);
    return 0;
}
RBL_HOOK(RBL_POST_APPLY, go);
RBL_HOOK(RBL_FAIL_APPLY, go);
"""
# One that has the helper module hold its lock, if the module is coming: then nothing is stopped.
HOLDING = """\
#include <rebootless_custom.h>
#include <linux/delay.h>

static int hold(void)
{
    pr_info("hook RBL_CHECK_APPLY\\n");
    while (console_loglevel == 4)
        msleep(20);
    return 0;
}
RBL_HOOK(RBL_CHECK_APPLY, hold);
"""


def control(host: Host, update: str, command: str) -> str:
    said = host.run(f"echo {command} > {SYSFS}/{update}/control", check=False)
    return "" if said.returncode == 0 else said.stderr.decode().rsplit(": ", 1)[-1].strip()


def state(host: Host, update: str) -> str:
    return host.out(f"cat {SYSFS}/{update}/state")


def hooks(host: Host) -> list[str]:
    """The stages whose hooks were called since the last time that this was asked."""
    return re.findall(r"hook RBL_(\w+)", host.out("dmesg -c"))


def hang(host: Host, stage: str, command: str):
    """Has a hook hang from now on, and begins what it is called for."""
    host.run(f"dmesg -C; dmesg -n {LEVEL[stage]}")
    task = host.start(command)
    host.wait_until(lambda: f"hook RBL_{stage}\n" in host.out("dmesg") + "\n")
    return task


@pytest.fixture
def host(host50: Host):
    """The machine, which is left as it was found."""
    untouched = text_digest(host50)
    yield host50
    host50.run("dmesg -n 7")
    host50.run("rmmod dummy 2>/dev/null", check=False)

    def gone() -> bool:  # what hung in the update's module has yet to be seen to have left it
        known = {"fix", *(row["name"] for row in host50.module("update_info")["updates"])}
        return not any(host50.module("update", name=name, state="absent")["failed"] for name in known)

    host50.wait_until(gone, 120)
    assert traces(host50) == ""
    assert text_digest(host50) == untouched


def all_else_goes_on(host: Host, task) -> None:
    """While a hook hangs: other modules come and go, and the deadlines of both updates come."""
    began = time.monotonic()
    host.run("modprobe nlmon && rmmod nlmon", timeout=20)
    assert control(host, "fix", "extend 1") == ""
    host.wait_until(lambda: state(host, "fix") == "reversed", 20)
    assert control(host, "fix", "apply 600") == ""
    assert control(host, "hanging", "extend 1") == ""
    host.wait_until(lambda: state(host, "hanging") == "reversed, held by 1 task", 20)
    assert task.poll() is None and time.monotonic() - began < 60 * own_kernels.slowness(), "it was waiting meanwhile"


def is_not_applied_again(host: Host) -> None:
    """It has a part that belongs to it no more, or not yet."""
    assert control(host, "hanging", "apply 600") == "Device or resource busy"
    assert "code: object_busy" in host.out(f"cat {SYSFS}/hanging/abort")


def goes_on(host: Host, task) -> None:
    host.run("dmesg -n 7")
    assert task.wait(60) == 0, task.stderr.read()


def new_device(host: Host) -> str:
    """The queue's length of a new device, which tells in which code it was made."""
    return host.out("ip link add d0 type dummy && cat /sys/class/net/d0/tx_queue_len; ip link del d0")


def test_a_hook_that_hangs_holds_up_its_module_alone(builds, host):
    for name, edit, custom in (("fix", SIOCATMARK, ()), ("hanging", QUEUE, ((DUMMY, HANGING),))):
        host.write(f"/root/{name}.tar.gz", builds.update(host.release, name, edit, custom=custom).content)
        result = host.module("update", package=f"/root/{name}.tar.gz", deadline=600)
        assert not result["failed"], result

    load = hang(host, "PRE_APPLY", "modprobe dummy numdummies=0")
    assert "dummy absent" in host.out(f"cat {SYSFS}/hanging/objects")
    all_else_goes_on(host, load)
    is_not_applied_again(host)
    goes_on(host, load)
    assert hooks(host) == ["PRE_APPLY", "FAIL_APPLY"], "the update was gone when its hook had ended"
    assert new_device(host) == "1000"
    assert control(host, "hanging", "apply 600") == "" and new_device(host) == "77"
    assert hooks(host) == ["PRE_APPLY", "POST_APPLY"]

    unload = hang(host, "PRE_REVERSE", "rmmod dummy")
    all_else_goes_on(host, unload)
    is_not_applied_again(host)
    goes_on(host, unload)
    assert hooks(host) == ["PRE_REVERSE", "POST_REVERSE"]

    assert control(host, "hanging", "apply 600") == ""
    load = hang(host, "POST_APPLY", "modprobe dummy numdummies=0")
    assert "dummy applied" in host.out(f"cat {SYSFS}/hanging/objects")
    all_else_goes_on(host, load)
    goes_on(host, load)
    assert hooks(host) == ["PRE_APPLY", "POST_APPLY", "PRE_REVERSE", "POST_REVERSE"]
    assert new_device(host) == "1000"

    # A deadline is armed before the switch, so it comes also if what was switched to never ends.
    apply = hang(host, "POST_APPLY", f"echo apply 2 > {SYSFS}/hanging/control")
    host.wait_until(lambda: state(host, "hanging") == "reversed, held by 1 task", 20)
    assert apply.poll() is None and new_device(host) == "1000"
    goes_on(host, apply)
    assert hooks(host) == ["PRE_APPLY", "POST_APPLY", "PRE_REVERSE", "POST_REVERSE"]


def applied(builds, host: Host, name: str, *edits: Edit, custom: str = "") -> None:
    """Builds an update of these edits and applies it; `custom` is custom code of dummy.c."""
    codes = ((DUMMY, custom),) if custom else ()
    host.write(f"/root/{name}.tar.gz", builds.update(host.release, name, *edits, custom=codes).content)
    result = host.module("update", package=f"/root/{name}.tar.gz", deadline=600)
    assert not result["failed"], result


def test_a_kprobe_that_comes_between_the_check_and_the_jump(builds, host):
    """It has copied what stood there, and would write that over the jump: at once, or when it goes."""
    applied(builds, host, "probing", QUEUE, custom=PROBING)
    refused = host.run("modprobe dummy numdummies=0", check=False)
    assert 5 <= int(re.findall(r"registered at (\d+)", host.out("dmesg"))[-1]) < 40
    assert refused.returncode != 0 and b"Address already in use" in refused.stderr, refused
    abort = host.out(f"cat {SYSFS}/probing/abort")
    assert "code: kprobe_inside" in abort and "function: dummy_setup" in abort, abort
    assert "dummy absent" in host.out(f"cat {SYSFS}/probing/objects")
    assert control(host, "probing", "reverse") == ""
    host.run("modprobe dummy numdummies=0")
    assert new_device(host) == "1000"


def test_what_else_was_written_is_left_to_a_module_that_goes(builds, host):
    """Only what holds the jump is given back what stood under it."""
    applied(builds, host, "queue", QUEUE)
    host.run("modprobe dummy numdummies=0")
    assert new_device(host) == "77"
    host.put(builds.test_modules(host.release) / "flip.ko", "/root/flip.ko")
    jump = int(host.out(f"cut -d' ' -f4 {SYSFS}/queue/functions"), 16)
    host.run(f"insmod /root/flip.ko address={jump + 1:#x} mask=1")
    host.run("rmmod dummy")
    assert "dummy: dummy_setup is left as it is: jump_overwritten" in host.out("dmesg")
    host.run("modprobe dummy numdummies=0")
    assert new_device(host) == "77"
    host.run("rmmod dummy")


def test_a_command_that_comes_while_the_record_ends(builds, booted):
    """Its writer is killed, and waits for nothing more; the command itself finds a record that is gone, and not freed.

    Freed memory is cleared at once here, so that what is still read in it is not what it was.
    """
    host = booted(own_kernels.release(), lab_kernel_arguments=["init_on_free=1"])
    applied(builds, host, "fix", SIOCATMARK)
    applied(builds, host, "holding", QUEUE, custom=HOLDING)
    assert control(host, "fix", "reverse") == ""
    module = host.out(f"cat {SYSFS}/fix/module")
    host.put(builds.test_modules(host.release) / "busy.ko", "/root/busy.ko")
    host.run("insmod /root/busy.ko symbol=kobject_del offset=5 comm=rmmod")
    unload = host.start(f"rmmod {module}")
    host.wait_until(lambda: host.run("dmesg | grep 'busy: pid' | tail -1").stdout)
    host.run("dmesg -n 4")
    load_dummy = host.start("modprobe dummy numdummies=0")
    host.wait_until(lambda: "hook RBL_CHECK_APPLY" in host.out("dmesg"))
    assert host.out(f"timeout -s KILL 1 sh -c 'echo apply > {SYSFS}/fix/control'; echo $?") == "137"
    goes_on_there = host.start("rmmod busy")
    time.sleep(2)
    host.run("dmesg -n 7")
    assert [task.wait(60) for task in (load_dummy, goes_on_there, unload)] == [0, 0, 0]
    assert host.panic() is None and not re.search("BUG:|Oops", host.out("dmesg"))
    assert "fix" not in host.out(f"ls {SYSFS}").split()
