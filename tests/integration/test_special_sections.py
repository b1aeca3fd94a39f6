# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel rewrites in replacement code while it runs."""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.tests.support.builds import Edit
from ansible_collections.rebootless.splice.tests.support.host import Host

SHOW = (
    "static int version_proc_show(struct seq_file *m, void *v)\n"
    "{\n"
    "\tseq_printf(m, linux_proc_banner,\n"
    "\t\tutsname()->sysname,\n"
    "\t\tutsname()->release,\n"
    "\t\tutsname()->version);\n"
)
# A static branch whose key is in the kernel, is not exported to modules, and is switched by a sysctl.
BRANCH = Edit(
    "fs/proc/version.c",
    SHOW,
    "DECLARE_STATIC_KEY_FALSE(delayacct_key);\n\n"
    + SHOW
    + '\tif (static_branch_unlikely(&delayacct_key))\n\t\tseq_puts(m, "accounted\\n");\n',
)
IOCTL = (
    "static long kvm_dev_ioctl(struct file *filp,\n"
    "\t\t\t  unsigned int ioctl, unsigned long arg)\n"
    "{\n\tlong r = -EINVAL;\n\n\tswitch (ioctl) {\n\tcase KVM_GET_API_VERSION:\n"
    "\t\tif (arg)\n\t\t\tgoto out;\n\t\tr = KVM_API_VERSION;\n"
)
# One whose key is in the same module; it is switched on by the first virtual CPU without a local APIC.
MODULES_BRANCH = Edit(
    "virt/kvm/kvm_main.c",
    IOCTL,
    "DECLARE_STATIC_KEY_FALSE(kvm_has_noapic_vcpu);\n\n"
    + IOCTL
    + "\t\tif (static_branch_unlikely(&kvm_has_noapic_vcpu))\n\t\t\tr++;\n",
)
# Code goes from each instruction of a program to the next by a table of addresses in the midst of the interpreter.
INTERPRETER = Edit(
    "kernel/bpf/core.c",
    "\tALU_NEG:\n\t\tDST = (u32) -DST;\n",
    "\tALU_NEG:\n\t\tDST = (u32) -DST & 3;\n",
)
# A filter of packets that says how many bytes of each to keep: "ld #5; neg; ret a".
FILTERED = """
import ctypes, socket, struct
program = b"".join(struct.pack("HBBI", *row) for row in ((0x00, 0, 0, 5), (0x84, 0, 0, 0), (0x16, 0, 0, 0)))
buffer = ctypes.create_string_buffer(program)
one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
other.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HxxxxxxQ", 3, ctypes.addressof(buffer)))  # SO_ATTACH_FILTER
one.send(b"0123456789")
print(other.recv(99).decode())
"""
API_VERSIONS = """
import fcntl, os
KVM_GET_API_VERSION, KVM_CREATE_VM, KVM_CREATE_VCPU = 0xAE00, 0xAE01, 0xAE41
kvm = os.open("/dev/kvm", os.O_RDWR)
print(fcntl.ioctl(kvm, KVM_GET_API_VERSION), end=" ")
machine = fcntl.ioctl(kvm, KVM_CREATE_VM, 0)
processor = fcntl.ioctl(machine, KVM_CREATE_VCPU, 0)
print(fcntl.ioctl(kvm, KVM_GET_API_VERSION), end=" ")
os.close(processor)
os.close(machine)
print(fcntl.ioctl(kvm, KVM_GET_API_VERSION))
"""


def applied(host: Host, builds, name: str, *edits: Edit):
    """The update of these edits, applied while the test runs; then gone, unless its build says that it has to stay."""
    package = f"/root/{name}.rbl.tar.gz"
    built = builds.update(host.release, name, *edits)
    host.write(package, built.content)
    result = host.module("update", package=package)
    assert not result["failed"], result
    yield
    stays = "stays_loaded" in [row["code"] for row in built.result["remarks"]]
    gone = host.module("update", name=name, state="absent")
    assert (gone["failed"], gone.get("code")) == ((True, "module_kept") if stays else (False, None)), gone
    assert gone["state_after"] == ("reversed" if stays else "absent")


def switch(host: Host, value: int) -> None:
    host.run(f"echo {value} > /proc/sys/kernel/task_delayacct")


@pytest.fixture
def branch(host50, builds):
    switch(host50, 0)
    host50.run("sysctl -qw net.core.bpf_jit_enable=0")
    yield from applied(host50, builds, "static-branch", BRANCH, INTERPRETER)
    switch(host50, 0)
    assert host50.python(FILTERED) == "0123456789"


def test_a_static_branch_follows_its_key_in_the_kernel(host50, branch):
    for value in (0, 1, 0, 1):
        switch(host50, value)
        assert ("accounted" in host50.out("cat /proc/version")) is bool(value)
    assert host50.python(FILTERED) == "012", "the interpreter goes by its own table"


@pytest.fixture
def kvm(host50):
    if host50.run("modprobe kvm_amd || modprobe kvm_intel", check=False).returncode:
        pytest.skip("The machine's processor has no virtualization.")
    yield


@pytest.mark.turns  # KVM's first machine has the kernel rewrite a jump in __schedule()
def test_a_static_branch_follows_its_key_in_a_module(host50, builds, kvm):
    """Applied to the loaded module; and loaded before it, so that the key comes later than the branch."""
    steps = applied(host50, builds, "modules-branch", MODULES_BRANCH)
    next(steps)
    assert host50.python(API_VERSIONS) == "12 13 12"
    host50.run("modprobe -r kvm_amd kvm_intel kvm; modprobe kvm_amd || modprobe kvm_intel")
    assert host50.python(API_VERSIONS) == "12 13 12"
    assert next(steps, None) is None
    assert host50.python(API_VERSIONS) == "12 12 12"
