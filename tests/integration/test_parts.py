# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Updates of loadable modules that come and go, of constants, with custom code, of several versions: on a stock kernel.

The module is the kernel's own dummy network driver, whose devices show which code made them.
"""

from __future__ import annotations

import io
import re
import typing as t

import pytest

from ansible_collections.rebootless.splice.tests.support.builds import SIOCATMARK, BuiltUpdate, Edit
from ansible_collections.rebootless.splice.tests.support.documented import undocumented
from ansible_collections.rebootless.splice.tests.support.host import Host
from ansible_collections.rebootless.splice.tests.support.observe import probe, text_digest, traces

DUMMY = "drivers/net/dummy.c"
SYSFS = "/sys/kernel/rebootless"
PRISTINE = "qlen 1000"


def queue(length: int) -> Edit:
    """New devices have a transmit queue of this length."""
    old = "\tdev->min_mtu = 0;\n"
    return Edit(DUMMY, old, f"{old}\tdev->tx_queue_len = {length};\n")


# In the table of operations, a constant: devices keep the address that they have.
FIXED_ADDRESS = Edit(DUMMY, "\t.ndo_set_mac_address\t= eth_mac_addr,\n", "")

HOOKS = """\
#include <rebootless_custom.h>

static int named(const char *name)
{
    struct net_device *device;

    rcu_read_lock();
    device = dev_get_by_name_rcu(&init_net, name);
    rcu_read_unlock();
    return device ? -EPERM : 0;
}

#define TELL(stage, value)                            \\
    static int on_##stage(void) { pr_info("hook " #stage "\\n"); return value; }    \\
    RBL_HOOK(stage, on_##stage)

TELL(RBL_PRE_APPLY, named("refuse-pre"));
TELL(RBL_CHECK_APPLY, named("refuse-check"));
TELL(RBL_APPLY, -1);
TELL(RBL_POST_APPLY, -1);
TELL(RBL_FAIL_APPLY, -1);
TELL(RBL_PRE_REVERSE, named("refuse-pre"));
TELL(RBL_CHECK_REVERSE, named("refuse-check"));
TELL(RBL_REVERSE, -1);
TELL(RBL_POST_REVERSE, -1);
TELL(RBL_FAIL_REVERSE, -1);
"""


@pytest.fixture
def host(host50: Host) -> t.Iterator[Host]:
    """The machine, without the driver; no update is left on it, and no warning in its log."""
    host50.run("rmmod dummy 2>/dev/null; dmesg -C", check=False)
    untouched = text_digest(host50)
    yield host50
    names = host50.out(f"ls {SYSFS} 2>/dev/null || true").split()
    for name in {re.sub(r"\.(next|previous).*", "", name) for name in names} - {"abi", "build_id"}:
        host50.module("update", name=name, state="absent")
    host50.run("rmmod dummy 2>/dev/null", check=False)
    assert traces(host50) == ""
    assert text_digest(host50) == untouched
    log = host50.out("dmesg")
    assert not re.search("WARNING|BUG|Oops|Call Trace", log), log


def update(host: Host, built: BuiltUpdate | None = None, /, **options: t.Any) -> dict[str, t.Any]:
    """One run of the module `update`, which keeps to its documentation."""
    if built:
        options["package"] = f"/root/{built.digest}.rbl.tar.gz"
        host.write(options["package"], built.content)
    result = host.module("update", **options)
    assert undocumented("update", result) == [], result
    return result


def done(result: dict[str, t.Any]) -> dict[str, t.Any]:
    assert not result["failed"], repr(result)  # a string, since pytest shortens everything else
    return result


def new_device(host: Host) -> str:
    """The queue of a device that is made now."""
    made = host.out("ip link add rbltest type dummy && ip -o link show rbltest && ip link del rbltest")
    return re.search(r"qlen \d+", made)[0]  # type: ignore[index]


def objects(host: Host, name: str) -> dict[str, str]:
    return dict(line.split() for line in host.out(f"cat {SYSFS}/{name}/objects").splitlines())


def hooks(host: Host) -> list[str]:
    """The stages whose hooks were called since the last time that this was asked."""
    return re.findall(r"hook RBL_(\w+)", host.out("dmesg -c"))


def test_a_module_is_patched_whenever_it_comes(builds, host):
    built = builds.update(host.release, "both", SIOCATMARK, queue(77))
    foretold = done(update(host, built, check=True))
    assert foretold["absent"] == ["dummy"] and foretold["matched_bytes"] > 10000
    applied = done(update(host, built))
    assert applied["objects"] == [{"name": "vmlinux", "state": "applied"}, {"name": "dummy", "state": "absent"}]
    assert probe(host) == "fixed"
    for _again in range(2):  # its code and data lie elsewhere the second time, or others lie there
        host.run("modprobe dummy numdummies=1")
        assert "qlen 77" in host.out("ip -o link show dummy0"), "the devices that its init function made"
        assert new_device(host) == "qlen 77"
        assert objects(host, "both") == {"vmlinux": "applied", "dummy": "applied"}
        host.run("rmmod dummy")
        assert objects(host, "both") == {"vmlinux": "applied", "dummy": "absent"}
    host.run("modprobe dummy")
    done(update(host, name="both", state="reversed"))
    assert (new_device(host), probe(host)) == (PRISTINE, "vulnerable")
    host.run("rmmod dummy; modprobe dummy")
    assert new_device(host) == PRISTINE, "a module that comes while the update is reversed"
    assert done(update(host, built, check=True))["absent"] == []
    done(update(host, built))
    assert (new_device(host), probe(host)) == ("qlen 77", "fixed")


def test_a_modules_init_code_is_replaced_before_it_runs(builds, host):
    def load() -> int:
        """How many devices its init function makes."""
        host.run("modprobe dummy numdummies=1")
        return int(host.out("ls -d /sys/class/net/dummy* | wc -l"))

    old = "for (i = 0; i < numdummies && !err; i++) {"
    more = Edit(DUMMY, old, old.replace("numdummies", "numdummies + 2"))
    built = builds.update(host.release, "init", more, queue(77))
    assert load() == 1
    for check in (True, False):
        refused = update(host, built, check=check)
        assert (refused["failed"], refused["code"], refused["details"]["object"]) == (True, "init_has_run", "dummy")
    host.run("rmmod dummy")
    assert done(update(host, built, check=True))["absent"] == ["dummy"]
    done(update(host, built))
    assert objects(host, "init") == {"dummy": "absent", "dummy:init": "absent"}
    for _again in range(2):
        assert (load(), new_device(host)) == (3, "qlen 77")
        assert objects(host, "init") == {"dummy": "applied", "dummy:init": "absent"}, "its init has run, and is gone"
        host.run("rmmod dummy")
    assert load() == 3
    done(update(host, name="init", state="reversed"))
    assert new_device(host) == PRISTINE
    assert update(host, built)["code"] == "init_has_run"
    host.run("rmmod dummy")
    assert load() == 1


def test_a_module_that_differs_is_not_loaded(builds, host):
    from elftools.elf.elffile import ELFFile

    done(update(host, builds.update(host.release, "queue", queue(77))))
    image = bytearray(host.read(host.out("modinfo -n dummy")))
    file = ELFFile(io.BytesIO(bytes(image)))
    text = file.get_section_by_name(".text")
    fields = [row["r_offset"] for row in file.get_section_by_name(".rela.text").iter_relocations()]
    # Plain code: the module loader itself refuses a field that is not 0.
    plain = next(at for at in range(8, text["sh_size"]) if all(abs(at - field) > 8 for field in fields))
    image[text["sh_offset"] + plain] ^= 1
    del image[file["e_shoff"] + file["e_shnum"] * file["e_shentsize"] :]  # the signature, which is wrong now
    host.write("/root/other.ko", bytes(image))
    assert host.run("insmod /root/other.ko", check=False).returncode != 0
    assert host.out("grep -c '^dummy ' /proc/modules || true") == "0"
    refusal = host.out(f"cat {SYSFS}/queue/abort")
    assert "code: no_match" in refusal and "object: dummy" in refusal
    host.run("modprobe dummy")
    assert new_device(host) == "qlen 77"
    assert host.out(f"cat {SYSFS}/queue/abort") == ""


def test_a_constant_is_exchanged(builds, host):
    def set_address() -> bool:
        return host.run("ip link set dummy0 address 02:00:00:00:00:07", check=False).returncode == 0

    host.run("modprobe dummy numdummies=1")
    assert set_address()
    built = builds.update(host.release, "constant", FIXED_ADDRESS)
    assert [row["change"] for row in built.result["data"]] == ["exchanged"]
    done(update(host, built))
    assert not set_address(), "a device that was there before"
    again = done(update(host, built, check=True))
    assert not again["changed"]
    done(update(host, name="constant", state="reversed"))
    assert set_address()
    done(update(host, built))
    host.run("rmmod dummy; modprobe dummy numdummies=1")
    assert not set_address(), "a module that came later"
    (row,) = host.module("update_info")["updates"][0]["data"]
    assert (row["name"], row["exchanged"]) == ("dummy_netdev_ops", True)


def test_a_newer_version_takes_the_place_of_an_older_one(builds, host):
    host.run("modprobe dummy")
    older = builds.update(host.release, "queue", queue(77))
    newer = builds.update(host.release, "queue", queue(88), FIXED_ADDRESS, version="2.0")
    done(update(host, older, confirm=True))
    options = {"diff": True, "deadline": 300}
    foretold, replaced = (done(update(host, newer, check=check, **options)) for check in (True, False))
    again, checked = (done(update(host, newer, check=check)) for check in (False, True))
    assert [result["changed"] for result in (foretold, replaced, again, checked)] == [True, True, False, False]
    assert (
        foretold["replaced"] == replaced["replaced"] == {"version": "1.0", "build_digest": older.result["build_digest"]}
    )
    assert foretold["diff"] == replaced["diff"]
    assert "dummy_setup (drivers/net/dummy.o): replaced by queue 1.0" in replaced["diff"]["before"]
    assert "dummy_setup (drivers/net/dummy.o): replaced by queue 2.0" in replaced["diff"]["after"]
    assert (foretold["state_after"], replaced["state_before"], replaced["state_after"]) == (
        "applied",
        "confirmed",
        "applied",
    )
    assert new_device(host) == "qlen 88"
    assert host.out("grep -c '^rbl_' /proc/modules") == "1", "the older one's code is gone"
    assert [row["version"] for row in host.module("update_info")["updates"]] == ["2.0"]

    done(update(host, older))  # and back
    assert new_device(host) == "qlen 77"
    host.run("ip link add fixed type dummy && ip link set fixed address 02:00:00:00:00:08 && ip link del fixed")
    done(update(host, name="queue", state="reversed"))
    assert new_device(host) == PRISTINE


@pytest.mark.parametrize("length", ["77", "eth_packet_offload.priority + 67"], ids=["exports", "own"])
def test_new_code_that_only_another_object_calls(builds, host, length):
    """The kernel's part replaces nothing; its new function uses nothing, or data that only the match can find."""
    eth = "static int __init eth_offload_init(void)\n"
    new = f"unsigned int rbltest_length(void)\n{{\n\treturn {length};\n}}\nEXPORT_SYMBOL_GPL(rbltest_length);\n\n"
    setup = "\tdev->min_mtu = 0;\n"
    call = f"{setup}\t{{\n\t\tunsigned int rbltest_length(void);\n\n\t\tdev->tx_queue_len = rbltest_length();\n\t}}\n"
    built = builds.update(
        host.release, "new-code", Edit("net/ethernet/eth.c", eth, new + eth), Edit(DUMMY, setup, call)
    )
    assert {(row["name"], row["object"]) for row in built.result["functions"]} == {
        ("rbltest_length", "vmlinux"),
        ("dummy_setup", "dummy"),
    }
    foretold, applied = (done(update(host, built, check=check)) for check in (True, False))
    assert foretold["changed"] and objects(host, "new-code") == {"vmlinux": "applied", "dummy": "absent"}
    host.run("modprobe dummy")
    assert new_device(host) == "qlen 77"
    done(update(host, name="new-code", state="reversed"))
    assert new_device(host) == PRISTINE
    done(update(host, built))
    assert new_device(host) == "qlen 77"
    assert applied["objects"] == [{"name": "vmlinux", "state": "applied"}, {"name": "dummy", "state": "absent"}]


def test_code_that_objects_may_call_stays_also_if_its_module_came_later(builds, host50):
    """A timer, a work item or an RCU callback may hold the address of a new function of the module."""
    old = "static void dummy_setup(struct net_device *dev)\n{"
    new = (
        "static void rbltest_free(struct net_device *dev)\n{\n\tdev->tx_queue_len = 1;\n}\n\n"
        f"{old}\n\tdev->priv_destructor = rbltest_free;\n"
    )
    unload = "rmmod $(grep -o '^rbl_callback[^ ]*' /proc/modules)"
    host50.run("rmmod dummy 2>/dev/null", check=False)
    done(update(host50, builds.update(host50.release, "callback", Edit(DUMMY, old, new))))
    assert host50.out(f"cat {SYSFS}/callback/kept") == "0"
    host50.run("modprobe dummy numdummies=1")
    assert host50.out(f"cat {SYSFS}/callback/kept") == "1"
    done(update(host50, name="callback", state="reversed"))
    assert host50.run(unload, check=False).returncode != 0
    host50.run("ip link del dummy0")
    host50.restart()
    done(update(host50, name="callback", state="absent"))  # its package; the machine's disk stays
    assert traces(host50) == ""


def test_independent_updates_live_together_and_others_do_not(builds, host):
    host.run("modprobe dummy")
    done(update(host, builds.update(host.release, "queue", queue(77))))
    done(update(host, builds.update(host.release, "constant", FIXED_ADDRESS)))
    assert new_device(host) == "qlen 77"
    for check in (True, False):
        refused = update(host, builds.update(host.release, "overlap", queue(99)), check=check)
        assert (refused["failed"], refused["code"]) == (True, "conflict")
        assert refused["details"]["other_update"] == "queue"
    done(update(host, name="queue", state="reversed"))
    done(update(host, builds.update(host.release, "overlap", queue(99))))
    assert new_device(host) == "qlen 99"


def test_custom_code_is_called_and_may_refuse(builds, host):
    built = builds.update(host.release, "hooked", queue(77), custom=((DUMMY, HOOKS),))
    apply = ["PRE_APPLY", "CHECK_APPLY", "APPLY", "POST_APPLY"]
    reverse = ["PRE_REVERSE", "CHECK_REVERSE", "REVERSE", "POST_REVERSE"]
    host.run("modprobe dummy")
    done(update(host, built))
    assert hooks(host) == apply
    done(update(host, name="hooked", state="reversed"))
    assert hooks(host) == reverse
    for stage, called in (("pre", ["PRE_APPLY", "FAIL_APPLY"]), ("check", ["PRE_APPLY", "CHECK_APPLY", "FAIL_APPLY"])):
        host.run(f"ip link add refuse-{stage} type dummy")
        refused = update(host, built, tries=1)
        assert (refused["code"], refused["details"]["stage"]) == ("hook_refused", f"{stage}_apply")
        assert hooks(host) == called
        assert new_device(host) == PRISTINE
        host.run(f"ip link del refuse-{stage}")
    done(update(host, built))
    host.run("dmesg -C; ip link add refuse-check type dummy")
    assert update(host, name="hooked", state="reversed", tries=1)["code"] == "hook_refused"
    assert hooks(host) == ["PRE_REVERSE", "CHECK_REVERSE", "FAIL_REVERSE"]
    assert new_device(host) == "qlen 77"
    host.run("rmmod dummy")
    assert hooks(host) == ["PRE_REVERSE", "REVERSE", "POST_REVERSE"]
    host.run("modprobe dummy")
    assert hooks(host) == apply


def test_a_refusal_while_all_cpus_are_stopped_holds_up_none_of_them(builds, host):
    """A CPU that is slow to leave a meeting must not take the hooks' later answer for what was found before them.

    Such a CPU, and with it the machine, would hang: not each time, so often.
    """
    refuse = "static int no(void) { return -1; }\nRBL_HOOK(RBL_CHECK_APPLY, no);\n"
    custom = "#include <rebootless_custom.h>\n\n" + refuse
    built = builds.update(host.release, "refusing", queue(77), custom=((DUMMY, custom),))
    host.run("modprobe dummy")
    assert update(host, built, tries=1)["code"] == "hook_refused"
    tries = "/sys/module/rebootless/parameters/tries"
    apply = (
        f"echo 1 > {tries}; for i in $(seq 1000); do echo apply 2>/dev/null > {SYSFS}/refusing/control; done; uptime"
    )
    assert "load average" in host.out(apply)
    assert new_device(host) == PRISTINE


def test_the_functions_of_a_write_can_be_replaced(builds, host):
    """The command to do so is itself a write, which waits inside of them."""
    start = (
        "ssize_t vfs_write(struct file *file, const char __user *buf, size_t count, loff_t *pos)\n{\n\tssize_t ret;\n\n"
    )
    old = start + "\tif (!(file->f_mode & FMODE_WRITE))\n\t\treturn -EBADF;"
    edit = Edit("fs/read_write.c", old, old.replace("-EBADF", "-EPERM"))
    script = (
        "import os\ntry: os.write(os.open('/dev/null', os.O_RDONLY), b'x')\nexcept OSError as error: print(error.errno)"
    )
    assert host.python(script) == "9"
    built = builds.update(host.release, "write", edit)
    assert built.function == "vfs_write"
    done(update(host, built))
    assert host.python(script) == "1"
    done(update(host, name="write", state="reversed"))
    assert host.python(script) == "9"


def test_modules_come_and_go_while_an_update_does(builds, host):
    done(update(host, builds.update(host.release, "queue", queue(77))))
    script = (
        "(for i in $(seq 20); do modprobe dummy numdummies=1; rmmod dummy; done) 2>/tmp/modules &"
        f"(for i in $(seq 15); do echo reverse > {SYSFS}/queue/control; echo apply > {SYSFS}/queue/control; done)"
        " 2>/tmp/control & wait; cat /tmp/modules /tmp/control"
    )
    assert set(host.out(f"bash -c '{script}'").splitlines()) <= {
        "bash: line 1: echo: write error: Device or resource busy",  # the module was on its way
        "bash: line 1: echo: write error: Invalid argument",  # and so the next command had nothing to do
    }
    host.run("modprobe dummy")
    assert new_device(host) == ("qlen 77" if host.out(f"cat {SYSFS}/queue/state") == "applied" else PRISTINE)


def test_a_jump_over_a_static_branch_leaves_the_branch_to_its_key(builds, host):
    """The kernel panics if it finds anything but the branch when its key is switched: here by dynamic debug."""
    function = "sctp_sf_ignore_primitive"
    said = 'primitive type:%d is ignored\\n", __func__,\n\t\t type.primitive);\n\n\treturn SCTP_DISPOSITION_'
    edit = Edit("net/sctp/sm_statefuns.c", said + "DISCARD;", said + "CONSUME;")

    def switch(flag: str) -> None:
        host.run(f"echo 'func {function} {flag}' > /sys/kernel/debug/dynamic_debug/control")

    def code() -> str:
        with host.debugger() as debugger:
            return debugger.read(address, 10).hex()

    done(update(host, builds.update(host.release, "branch", edit)))
    host.run("modprobe sctp dyndbg=+p")  # it comes while the update is there
    address = host.symbol(function)
    jump = code()
    assert jump[10:12] == "e9"
    for flag in ("-p", "+p"):
        switch(flag)
        assert code() == jump
    done(update(host, name="branch", state="reversed"))
    on = code()
    switch("-p")
    off = code()
    assert (on[10:12], off[10:14]) == ("eb", "6690")
    done(update(host, name="branch"))
    switch("+p")
    done(update(host, name="branch", state="reversed"))
    assert code() == on
    switch("-p")
    assert code() == off


def test_an_update_is_loaded_while_the_key_of_a_modules_branch_is_on(builds, host):
    """The kernel panics, or is left with its lock held, if the replacement code has the branch as it was compiled."""
    function = "sctp_sf_ignore_primitive"
    said = 'primitive type:%d is ignored\\n", __func__,\n\t\t type.primitive);\n\n\treturn SCTP_DISPOSITION_'
    edit = Edit("net/sctp/sm_statefuns.c", said + "DISCARD;", said + "CONSUME;")
    host.run("modprobe sctp dyndbg=+p")
    done(update(host, builds.update(host.release, "branch", edit)))
    for flag in ("-p", "+p", "-p"):
        host.run(f"echo 'func {function} {flag}' > /sys/kernel/debug/dynamic_debug/control")
    done(update(host, name="branch", state="reversed"))
    assert "unexpected op" not in host.out("dmesg")


def test_a_jump_over_the_beginning_of_a_static_branch(builds, host):
    """The rest of the branch is written with the jump, and put back as the key wants it."""
    function = "ceph_destroy_client"
    stops = "atomic_set(&client->msgr.stopping, "
    edit = Edit("net/ceph/ceph_common.c", f"{stops}1);\n\n\t/* unmount */", f"{stops}2);\n\n\t/* unmount */")

    def code(flag: str) -> str:
        host.run(f"echo 'func {function} {flag}' > /sys/kernel/debug/dynamic_debug/control")
        with host.debugger() as debugger:
            return debugger.read(address, 16).hex()

    host.run("modprobe libceph")
    address = host.symbol(function)
    plain = {flag: code(flag) for flag in ("+p", "-p")}
    different = [at for at in range(16) if plain["+p"][2 * at : 2 * at + 2] != plain["-p"][2 * at : 2 * at + 2]]
    assert 5 < different[0] < 10 <= different[-1], plain
    package = builds.update(host.release, "begins", edit)
    for before, after in (("-p", "+p"), ("+p", "-p")):
        assert code(before) == plain[before]
        done(update(host, package))
        jump = code(before)
        assert jump[10:12] == "e9"
        assert code(after) == jump
        done(update(host, name="begins", state="reversed"))
        assert code(after) == plain[after]
        assert code(before) == plain[before]
    done(update(host, name="begins", state="absent"))
    host.run("modprobe -r libceph")
    done(update(host, package))
    host.run("modprobe libceph dyndbg=+p")  # it comes while the update is there
    address = host.symbol(function)
    jump = code("-p")
    assert jump[10:12] == "e9"
    done(update(host, name="begins", state="reversed"))
    assert code("-p") == plain["-p"]
    host.run("modprobe -r libceph")


def test_a_branch_begins_as_its_key_is_and_not_as_it_was_compiled(builds, host):
    """The key is on from the start; compiled for one that is off the branch is a nop, and the kernel expects a jump."""
    features = "/sys/kernel/debug/sched/features"
    old = "if (sched_feat(RT_PUSH_IPI)) {"
    new = "if (static_key_false(&sched_feat_keys[__SCHED_FEAT_RT_PUSH_IPI])) {"
    assert "RT_PUSH_IPI" in host.out(f"cat {features}").split()
    done(update(host, builds.update(host.release, "feature", Edit("kernel/sched/rt.c", old, new))))
    try:
        for flag in ("NO_RT_PUSH_IPI", "RT_PUSH_IPI"):
            host.run(f"echo {flag} > {features}")
            assert flag in host.out(f"cat {features}").split()
    finally:
        host.run(f"echo RT_PUSH_IPI > {features}")
    done(update(host, name="feature", state="reversed"))
