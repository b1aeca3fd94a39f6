# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that began with one CPU, so that its kernel took all lock prefixes for something else, and gets another."""

from __future__ import annotations

from ansible_collections.rebootless.splice.tests.support.builds import Edit

SYSFS = "/sys/kernel/rebootless"
RELEASE = "6.1.0-50-cloud-amd64"
# The first instruction behind its fentry site has a lock prefix.
SECRET = Edit(
    "mm/secretmem.c",
    "\tatomic_dec(&secretmem_users);\n\treturn 0;",
    '\tatomic_dec(&secretmem_users);\n\tpr_info("a secret is gone\\n");\n\treturn 0;',
)
MAKE_AND_CLOSE = "import ctypes, os; os.close(ctypes.CDLL(None).syscall(447, 0))"  # memfd_secret
JUMP, LOCK, ALONE = "e9", "f0", "3e"


def test_a_lock_prefix_under_a_jump_is_what_the_kernel_wants_it_to_be(builds, booted):
    host = booted(RELEASE, lab_kernel_arguments=["maxcpus=1", "secretmem.enable=1"])
    host.write("/root/secret.rbl.tar.gz", builds.update(RELEASE, "secret", SECRET).content)
    address = host.symbol("secretmem_release")

    def code() -> str:
        with host.debugger() as debugger:
            return str(debugger.read(address, 12).hex())

    def switch(command: str) -> str:
        host.run(f"echo {command} > {SYSFS}/secret/control")
        return code()[10:12]

    before = code()
    assert before[10:12] == ALONE
    assert host.module("update", package="/root/secret.rbl.tar.gz", check=True)["changed"]
    done = host.module("update", package="/root/secret.rbl.tar.gz")
    assert (done["failed"], code()[10:12]) == (False, JUMP), done
    host.python(MAKE_AND_CLOSE)
    host.out("dmesg | grep 'a secret is gone'")
    assert switch("reverse") == ALONE and code() == before
    assert switch("apply") == JUMP
    host.run("echo 1 > /sys/devices/system/cpu/cpu1/online")
    assert code()[10:12] == JUMP, "the kernel leaves alone what is none of the prefixes that it looks for"
    assert switch("reverse") == LOCK
    assert code() == before[:10] + LOCK + before[12:]
    host.python(MAKE_AND_CLOSE)
    assert [switch("apply"), switch("reverse")] == [JUMP, LOCK]
    gone = host.module("update", name="secret", state="absent")
    assert (gone["failed"], host.out("dmesg | grep -cE 'WARNING|BUG:|Oops' || true")) == (False, "0"), gone
