# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small fixes of stock kernels that once were built wrong: they killed a host, were refused there, or did nothing."""

from __future__ import annotations

import os
import pathlib

import pytest

from ansible_collections.rebootless.splice.tests.support.builds import Edit
from ansible_collections.rebootless.splice.tests.support.places import KMOD

RELEASE, LATER = "6.1.0-50-cloud-amd64", "6.12.107+deb12-cloud-amd64"
# FILL_RETURN_BUFFER: an alternative whose replacement has labels in its midst, for objtool.
SWITCH_TO_ASM = Edit(
    "arch/x86/entry/entry_64.S",
    "\tpopq\t%rbp\n\n\tjmp\t__switch_to\nSYM_FUNC_END(__switch_to_asm)",
    "\tpopq\t%rbp\n\n\tnop\n\tjmp\t__switch_to\nSYM_FUNC_END(__switch_to_asm)",
)
# Code that enters a guest, without much that objtool follows.
VMENTER = Edit(
    "arch/x86/kvm/vmx/vmenter.S",
    "\t/* Save @vmx for SPEC_CTRL handling */\n",
    "\tnop\n\t/* Save @vmx for SPEC_CTRL handling */\n",
)
# try_module_get(THIS_MODULE) and the like: an update module has a __this_module of its own.
TUN = Edit(
    "drivers/net/tun.c",
    "\t\tif (tun_not_capable(tun))\n\t\t\treturn -EPERM;\n\t\terr = security_tun_dev_open",
    "\t\tif (tun_not_capable(tun) && !capable(CAP_NET_ADMIN))\n\t\t\treturn -EPERM;\n\t\terr = security_tun_dev_open",
)
# A region of ports or memory keeps the name that it is requested with; /proc/iomem shows it.
STRING_KEPT = Edit(
    "drivers/firmware/qemu_fw_cfg.c",
    "\tif (fw_cfg_sel_ko)\n\t\treturn -EBUSY;",
    "\tif (fw_cfg_sel_ko || !pdev)\n\t\treturn -EBUSY;",
)
# A timer of its own for each processor.
PER_CPU_KEPT = Edit(
    "mm/vmstat.c",
    "\terr = schedule_on_each_cpu(refresh_vm_stats);\n",
    "\t{\n\t\tstatic DEFINE_PER_CPU(struct delayed_work, vmstat_again);\n\n"
    "\t\tINIT_DEFERRABLE_WORK(raw_cpu_ptr(&vmstat_again), refresh_vm_stats);\n"
    "\t\tschedule_delayed_work(raw_cpu_ptr(&vmstat_again), 20 * HZ);\n\t}\n"
    "\terr = schedule_on_each_cpu(refresh_vm_stats);\n",
)
# mm/hugetlb.c has a weak one.
WEAK_OVERRIDDEN = Edit(
    "arch/x86/mm/hugetlbpage.c",
    "#include <asm/elf.h>\n",
    "#include <asm/elf.h>\n\n"
    "unsigned long vma_mmu_pagesize(struct vm_area_struct *vma)\n{\n\treturn 12345 * 1024UL;\n}\n",
)
# A flag that only the new code gives to sockets, and without which it refuses them.
FLAG_SET = Edit(
    "net/unix/af_unix.c",
    "\tspin_lock_init(&u->lock);\n\tmutex_init(&u->iolock);",
    "\tsock_set_flag(sk, 40);\n\tspin_lock_init(&u->lock);\n\tmutex_init(&u->iolock);",
)
FLAG_ASKED = Edit(
    "net/unix/af_unix.c",
    "int answ = 0;\n\n\t\t\tskb = skb_peek",
    "int answ = 0;\n\n\t\t\tif (!sock_flag(sk, 40))\n\t\t\t\treturn -EOPNOTSUPP;\n\n\t\t\tskb = skb_peek",
)


@pytest.fixture
def build(controller, builds, tmp_path):
    def make(*edits, release=RELEASE):
        paths = {str(tmp_path / f"fix-{number}.patch"): edit for number, edit in enumerate(edits)}
        for path, edit in paths.items():
            pathlib.Path(path).write_text(builds.patch(release, edit))
        options = {"name": "awkward", "patches": list(paths), "kmod": str(KMOD)}
        cache = builds.fresh_cache(release, tmp_path / "cache")
        tree = builds.tree(release)["path"]
        return controller.module("localhost", "update_build", tree=tree, cache=str(cache.root), **options)

    return make


@pytest.mark.parametrize(
    ("release", "edits"),
    [(RELEASE, (SWITCH_TO_ASM, VMENTER)), (LATER, (TUN,))],
    ids=["labels in a replacement", "this module"],
)
def test_what_was_compiled_is_in_the_module(build, release, edits):
    result = build(*edits, release=release)
    assert not result["failed"], result
    assert os.path.exists(result["package"])


@pytest.mark.parametrize(
    ("edit", "held"),
    [(STRING_KEPT, "a string or constant of fw_cfg_sysfs_probe"), (PER_CPU_KEPT, "vmstat_again")],
    ids=["string", "per-CPU data"],
)
def test_what_objects_may_hold_keeps_the_module(build, edit, held):
    result = build(edit)
    assert not result["failed"], result
    (remark,) = (row for row in result["remarks"] if row["code"] == "stays_loaded")
    assert any(words.startswith(held) for words in remark["details"]["held"])


def test_a_definition_that_nothing_would_call_is_refused(build):
    result = build(WEAK_OVERRIDDEN)
    assert (result["failed"], result["code"]) == (True, "unsafe_change")
    (row,) = result["details"]["findings"]
    assert (row["code"], row["details"]["function"]) == ("overrides_running", "vma_mmu_pagesize")


def test_a_flag_that_only_new_sockets_have_is_refused(build):
    result = build(FLAG_SET, FLAG_ASKED)
    assert (result["failed"], result["code"]) == (True, "unsafe_change")
    (row,) = result["details"]["findings"]
    assert (row["code"], row["details"]["member"]) == ("state_missing", "struct sock.__sk_common.skc_flags")
    assert row["details"]["functions"] == ["unix_ioctl", "unix_create1"]
