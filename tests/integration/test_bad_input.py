# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``update`` must not let near a running kernel: each is refused with a clear error, the kernel untouched."""

from __future__ import annotations

import contextlib
import re

import pytest

from ansible_collections.rebootless.splice.tests.support.builds import SIOCATMARK, BuiltUpdate, Edit
from ansible_collections.rebootless.splice.tests.support.documented import undocumented
from ansible_collections.rebootless.splice.tests.support.host import Host
from ansible_collections.rebootless.splice.tests.support.observe import PROBE, probe, text_digest, traces

NAME = "cve-2026-52928"
PACKAGE = f"/root/{NAME}.rbl.tar.gz"
FUNCTION = "unix_ioctl"  # what the update changes
NEIGHBOUR = "unix_stream_connect"  # in the same unit
# A function that only a read of /proc/version calls.
RARE = Edit(
    "fs/proc/version.c",
    "\tseq_printf(m, linux_proc_banner,\n",
    '\tseq_puts(m, "");\n\tseq_printf(m, linux_proc_banner,\n',
)
# Where the first instruction behind the fentry site is, in every function that has one.
BEHIND_FENTRY = 5


@pytest.fixture
def fix(builds, host50: Host):
    """The update, its package on the host; afterwards the host is as it was found."""
    built = builds.update(host50.release, NAME, SIOCATMARK)
    host50.write(PACKAGE, built.content)
    untouched = text_digest(host50)
    yield built
    assert not host50.module("update", name=NAME, state="absent")["failed"]
    assert traces(host50) == ""
    assert text_digest(host50) == untouched
    assert probe(host50) == "vulnerable"


@pytest.fixture
def test_module(builds, host50: Host):
    """A context in which a module of tests/integration/kmod is loaded."""

    @contextlib.contextmanager
    def loaded(name: str, **parameters):
        host50.put(builds.test_modules(host50.release) / f"{name}.ko", f"/root/{name}.ko")
        host50.run(f"insmod /root/{name}.ko " + " ".join(f"{key}={value}" for key, value in parameters.items()))
        try:
            yield
        finally:
            host50.run(f"rmmod {name}")

    return loaded


def refusals(host: Host, *tasks: dict) -> list[dict]:
    """The module's results, which must be whole refusals, and leave the kernel's text as it is."""
    before = text_digest(host)
    results = host.tasks(*({"module": "update", **task} for task in tasks))
    for result in results:
        assert result["failed"], result
        assert not result["changed"]
        assert undocumented("update", result) == []
        assert result["sentence"].endswith(".") and result["next_step"].endswith(".")
        assert "Traceback" not in str(result)
    assert text_digest(host) == before
    return results


def refusal(host: Host, **options) -> dict:
    (result,) = refusals(host, options)
    return result


def both_refuse(host: Host, *codes: str, **options) -> list[dict]:
    """Check mode foretells the refusal, and so it comes."""
    results = refusals(host, *({"check": check, **options} for check in (True, False)))
    assert {result["code"] for result in results} <= set(codes), results
    return results


# ---- packages


def test_package_that_is_not_there(host50):
    both_refuse(host50, "package_missing", package="/root/none.rbl.tar.gz")
    both_refuse(host50, "package_missing", name="never-seen")
    assert traces(host50) == ""


def test_truncated_package(host50, fix: BuiltUpdate):
    host50.write(PACKAGE, fix.content[: len(fix.content) // 2])
    both_refuse(host50, "package_damaged", package=PACKAGE)


def test_flipped_bit_in_a_package(host50, fix: BuiltUpdate):
    damaged = bytearray(fix.content)
    damaged[len(damaged) // 2] ^= 0x10
    host50.write(PACKAGE, bytes(damaged))
    both_refuse(host50, "package_damaged", package=PACKAGE)


def test_package_with_another_digest(host50, fix: BuiltUpdate):
    digest = "0" * 64
    for result in both_refuse(host50, "package_digest_mismatch", package=PACKAGE, digest=digest):
        assert (result["details"]["expected"], result["details"]["found"]) == (digest, fix.digest)


def test_helper_module_is_missing(host50, fix: BuiltUpdate):
    host50.write(PACKAGE, fix.with_file("rebootless.ko", b""))
    both_refuse(host50, "bad_module", package=PACKAGE)


def test_helper_module_of_another_kernel(builds, host50, fix: BuiltUpdate):
    other = builds.update("6.1.0-47-cloud-amd64", NAME, SIOCATMARK)
    host50.write(PACKAGE, fix.with_file("rebootless.ko", other.file("rebootless.ko")))
    for result in both_refuse(host50, "module_other_kernel", package=PACKAGE):
        assert result["details"]["found"] == "6.1.0-47-cloud-amd64"


def test_update_for_another_kernel(builds, host50, fix: BuiltUpdate):
    host50.write(PACKAGE, builds.update("6.1.0-47-cloud-amd64", NAME, SIOCATMARK).content)
    for result in both_refuse(host50, "build_id_mismatch", package=PACKAGE):
        assert result["details"]["found_release"] == host50.release


def test_update_for_another_build_of_the_same_version(host50, fix: BuiltUpdate):
    build_id = fix.result["build_id"]
    other = ("0" if build_id[0] != "0" else "1") + build_id[1:]
    host50.write(PACKAGE, fix.with_kernel(build_id=other))
    for result in both_refuse(host50, "build_id_mismatch", package=PACKAGE):
        assert (result["details"]["expected"], result["details"]["found"]) == (other, build_id)


def test_update_module_for_another_build_behind_a_manifest_for_this_one(host50, fix: BuiltUpdate):
    """The manifest is only a promise: the helper module reads the build ID in the module itself."""
    build_id = bytes.fromhex(fix.result["build_id"])
    module = fix.file("update.ko")
    assert module.count(build_id) == 1
    host50.write(PACKAGE, fix.with_file("update.ko", module.replace(build_id, bytes(len(build_id)))))
    assert refusal(host50, package=PACKAGE)["code"] == "build_id_mismatch"
    (row,) = host50.module("update_info")["updates"]
    assert (row["state"], row["abort"]["code"]) == ("failed", "build_id_mismatch")
    assert probe(host50) == "vulnerable"


def test_match_program_with_a_flipped_bit(host50, fix: BuiltUpdate):
    program = bytearray(fix.file("match/vmlinux.bin"))
    program[len(program) // 2] ^= 1
    host50.write(PACKAGE, fix.with_file("match/vmlinux.bin", bytes(program)))
    assert refusal(host50, package=PACKAGE, check=True)["code"] == "bad_program"


# ---- hosts


def test_kprobe_inside_the_function(host50, fix, test_module):
    # The kernel makes a jump of the probe's breakpoint a little later, and the text is to be what it was.
    host50.run("sysctl -qw debug.kprobes-optimization=0")
    with test_module("probe_inside", symbol=FUNCTION, offset=BEHIND_FENTRY):
        for result in both_refuse(host50, "no_match", "kprobe_inside", package=PACKAGE):
            assert result["details"]["function"] == FUNCTION
    assert host50.module("update", package=PACKAGE)["changed"], "with the kprobe gone it applies"


def test_live_patch_by_someone_else(host50, fix, test_module):
    @contextlib.contextmanager
    def other_live_patch():
        with test_module("other_live_patch", symbol=FUNCTION):
            yield
            state = "/sys/kernel/livepatch/other_live_patch"
            host50.run(f"echo 0 > {state}/enabled")
            host50.wait_until(lambda: host50.run(f"test ! -e {state}", check=False).returncode == 0)

    with other_live_patch():
        for result in both_refuse(host50, "no_match", "entry_in_use", package=PACKAGE):
            assert result["details"]["function"] == FUNCTION
    assert host50.module("update", package=PACKAGE)["changed"], "with the other live patch gone it applies"


def test_one_flipped_byte_in_the_unit(host50, fix, test_module):
    with test_module("flip", symbol=NEIGHBOUR, offset=100, mask=1):
        for result in both_refuse(host50, "no_match", package=PACKAGE):
            details = result["details"]
            assert details["unit"] == "net/unix/af_unix.o"
            assert details["function"] == NEIGHBOUR
            expected, found = (bytes.fromhex(str(details[key]).replace(" ", "")) for key in ("expected", "found"))
            assert expected[0] ^ found[0] == 1
    assert host50.module("update", package=PACKAGE)["changed"], "with the byte restored it applies"


@pytest.fixture
def sleeper(host50, test_module):
    """A context in which a task sleeps in a function that the probe calls."""

    @contextlib.contextmanager
    def sleeping(**place):
        with contextlib.ExitStack() as stack:
            stack.enter_context(test_module("busy", **place))
            host50.write("/root/sleeper.py", PROBE.encode())
            task = host50.start("exec python3 /root/sleeper.py")
            pid = host50.wait_until(lambda: int(host50.out("cat /sys/module/busy/parameters/sleeper")))
            host50.wait_until(lambda: host50.run("dmesg | grep 'busy: pid' | tail -1").stdout)
            yield pid
        assert task.wait(60) == 0

    return sleeping


def test_task_asleep_in_the_function(host50, fix, sleeper):
    with sleeper(symbol=FUNCTION, offset=BEHIND_FENTRY) as pid:
        assert host50.module("update", package=PACKAGE, check=True)["changed"], "the code itself is as it should be"
        result = refusal(host50, package=PACKAGE, tries=3)
        assert result["code"] == "busy_function"
        assert (result["tries"], result["state_after"]) == (3, "matched")
        assert result["details"]["task"] == f"{pid} python3"
        assert result["details"]["function"] == FUNCTION
        assert {row["pid"] for row in result["details"]["conflicts"]} == {pid}
        (row,) = host50.module("update_info")["updates"]
        assert (row["live"], row["abort"]["code"], row["conflicts"][0]["comm"]) == (False, "busy_function", "python3")
    assert host50.module("update", package=PACKAGE)["changed"], "once the task has left it applies"


def test_reverse_while_a_task_sleeps_in_the_replacement(host50, fix, sleeper):
    assert host50.module("update", package=PACKAGE)["changed"]
    (row,) = host50.module("update_info")["updates"]
    address = int(row["functions"][0]["new_address"], 16)
    with sleeper(address=address, offset=BEHIND_FENTRY) as pid:
        for state in ("reversed", "absent"):
            result = refusal(host50, name=NAME, state=state, tries=2)
            assert result["code"] == "busy_function"
            assert (result["state_before"], result["state_after"]) == ("applied", "applied")
            assert result["details"]["task"] == f"{pid} python3"
        assert probe(host50) == "fixed"
    assert host50.module("update", name=NAME, state="reversed")["changed"], "once the task has left it reverses"
    assert probe(host50) == "vulnerable"


def test_address_that_a_call_has_left_on_a_stack(host50, fix, test_module):
    """A task that sleeps elsewhere may keep it for ever: it is waited for, and then the walk decides."""
    with test_module("leftover", address=host50.symbol(FUNCTION) + 50):
        applied = host50.module("update", package=PACKAGE, tries=3)
        assert (applied["failed"], applied["changed"], applied["tries"]) == (False, True, 3)
        assert probe(host50) == "fixed"
        assert re.search(rf"\d+ leftover holds an address in {FUNCTION} of a call that is over", host50.out("dmesg"))
        host50.module("update", name=NAME, state="reversed", tries=2)
        assert host50.module("update", name=NAME, state="absent")["changed"], "its module can go, too"


def test_address_on_a_stack_that_proves_nothing(host50, fix, sleeper):
    """This one is walked over an address that no call has left."""
    with sleeper(symbol="sock_ioctl", offset=BEHIND_FENTRY, left=host50.symbol(FUNCTION) + 50) as pid:
        result = refusal(host50, package=PACKAGE, tries=3)
        assert (result["code"], result["tries"]) == ("busy_function", 3)
        assert {row["pid"] for row in result["details"]["conflicts"]} == {pid}


def test_jump_overwritten_by_someone_else(builds, host50, fix, test_module):
    """The jump leads nowhere meanwhile, so it must be that of a function which is not called."""
    package = "/root/rare.rbl.tar.gz"
    host50.write(package, builds.update(host50.release, "rare", RARE).content)
    assert host50.module("update", package=package)["changed"]
    with test_module("flip", symbol="version_proc_show", offset=BEHIND_FENTRY + 4, mask=1):
        assert refusal(host50, name="rare", state="reversed")["code"] == "jump_overwritten"
    assert host50.module("update", name="rare", state="absent")["changed"]


def test_helper_module_of_another_abi(builds, host50, fix):
    other = builds.update(host50.release, "other", SIOCATMARK, kmod=builds.helper_of_abi(3))
    for name in ("rebootless.ko", "update.ko"):
        host50.write(f"/root/{name}", other.file(name))
        host50.run(f"insmod /root/{name}")
    try:
        for result in both_refuse(host50, "helper_other_abi", package=PACKAGE):
            assert (result["details"]["found"], result["details"]["updates"]) == (3, ["other"])
    finally:
        host50.run("rmmod $(grep -o '^rbl_other_[0-9a-f]*' /proc/modules)")
    assert host50.module("update", package=PACKAGE)["changed"], "one that holds nothing is exchanged"
    assert host50.module("update_info")["helper"]["abi"] == 2


def test_two_updates_of_one_function(builds, host50, fix):
    other = builds.update(host50.release, "other", SIOCATMARK)
    host50.write("/root/other.rbl.tar.gz", other.content)
    assert host50.module("update", package=PACKAGE)["changed"]
    try:
        for result in both_refuse(host50, "conflict", package="/root/other.rbl.tar.gz"):
            assert result["details"]["other_update"] == NAME
    finally:
        host50.module("update", name="other", state="absent")


def test_kernels_that_take_no_modules(builds, host47):
    """What cannot be undone while a kernel runs, so the machine is booted anew afterwards."""
    host47.write(PACKAGE, builds.update(host47.release, NAME, SIOCATMARK).content)
    try:
        host47.run("echo integrity > /sys/kernel/security/lockdown")
        for result in both_refuse(host47, "unsigned_module", package=PACKAGE):
            assert result["details"]["lockdown"] == "integrity"
        assert host47.out("dmesg | grep -c 'Lockdown:.*unsigned module loading' || true") == "0", "it was tried"
        host47.run("echo 1 > /proc/sys/kernel/modules_disabled")
        both_refuse(host47, "modules_disabled", package=PACKAGE)
        assert traces(host47) == ""
    finally:
        host47.restart()


def test_a_container_that_cannot_tell_the_kernel_anything(host50, fix):
    """It sees no update, so nothing would be to be reversed; and what it loads, it could not have applied."""
    assert host50.module("update", package=PACKAGE)["changed"]
    states: list[dict] = [{"package": PACKAGE}, *({"name": NAME, "state": state} for state in ("reversed", "absent"))]
    for mount, code in (
        ("mount -t tmpfs none /sys/kernel", "sysfs_hidden"),
        ("mount --bind /sys/kernel /sys/kernel; mount -o remount,bind,ro /sys/kernel", "sysfs_read_only"),
    ):
        host50.run(mount)
        try:
            results = host50.tasks(
                *({"module": "update", "check": check, **state} for state in states for check in (True, False)),
                {"module": "rollout_host", "step": "status", "name": NAME, "plan": "ab" * 32},
            )
        finally:
            host50.run("umount /sys/kernel")
        assert {(result["failed"], result["changed"], result["code"]) for result in results} == {(True, False, code)}
        assert all("container" in result["sentence"] for result in results)
    assert probe(host50) == "fixed"
    assert host50.module("update", name=NAME, state="absent")["changed"]


def test_options(host50, fix):
    cases: list[tuple[dict, str]] = [
        ({"name": "../x"}, "bad_name"),
        ({"name": "x", "deadline": -1}, "bad_deadline"),
        ({"name": "x", "deadline": 9, "confirm": True}, "bad_deadline"),
        ({"name": "other", "package": PACKAGE}, "name_mismatch"),
        ({"package": PACKAGE, "state_directory": "/proc/none"}, "store_failed"),
    ]
    results = refusals(host50, *(options for options, _code in cases))
    assert [result["code"] for result in results] == [code for _options, code in cases]
