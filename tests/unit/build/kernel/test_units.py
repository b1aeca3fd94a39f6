# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which units a patched file belongs to."""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.paths import NotApplicable, judge
from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.record import X86_64
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.kbuild import Kbuild
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import (
    Unit,
    UnitMap,
    find_includers,
    module_name,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

SCAN = [
    "vmlinux net/unix/af_unix.o net/unix/garbage.o kernel/sched/build_policy.o",
    "module net/unix/unix_diag.o net/unix/diag.o",
    "module fs/binfmt_misc.o",
    "module arch/x86/kvm/kvm-intel.o arch/x86/kvm/vmx/vmx.o arch/x86/kvm/../../../virt/kvm/kvm_main.o",
    "module drivers/a.o drivers/shared.o",
    "module drivers/b.o drivers/shared.o",
    "vmlinux arch/x86/entry/entry_64.o lib/built-in.a",
    "vmlinux arch/x86/entry/vdso/vma.o arch/x86/realmode/rmpiggy.o",
]
INCLUDERS = {
    "kernel/sched/rt.c": ["kernel/sched/build_policy.c"],
    "kernel/sched/inner.c": ["kernel/sched/rt.c"],
    "drivers/off.c": ["drivers/not_built.c"],
}


@pytest.fixture
def units():
    return UnitMap.from_json(UnitMap.from_scan(SCAN, INCLUDERS).to_json())


def test_units_of_vmlinux_and_of_modules(units):
    assert units.units["net/unix/af_unix.o"] == Unit("net/unix/af_unix.o", "net/unix/af_unix.o", ("vmlinux",))
    assert units.units["net/unix/diag.o"].objects == ("unix_diag",)
    assert units.units["fs/binfmt_misc.o"].objects == ("binfmt_misc",)
    assert "lib/built-in.a" not in units.units
    assert units.modules["kvm_intel"] == "arch/x86/kvm/kvm-intel"


def test_a_unit_keeps_the_name_by_which_kbuild_makes_it(units):
    unit = units.units["virt/kvm/kvm_main.o"]
    assert unit.target == "arch/x86/kvm/../../../virt/kvm/kvm_main.o"
    assert units.unit_of("virt/kvm/kvm_main.c") == unit


def test_names_of_modules_in_the_kernel():
    assert module_name("arch/x86/kvm/kvm-intel") == "kvm_intel"


def built(path, units, tmp_path):
    """The units that a source of this kernel goes into."""
    found = judge(path, units, tmp_path, X86_64)
    assert isinstance(found, list)
    return found


def reason(path, units, tmp_path):
    """Why a source goes into none."""
    found = judge(path, units, tmp_path, X86_64)
    assert isinstance(found, NotApplicable)
    return found.reason


def test_a_source_of_this_kernel(units, tmp_path):
    assert [unit.name for unit in built("net/unix/af_unix.c", units, tmp_path)] == ["net/unix/af_unix.o"]
    assert built("arch/x86/entry/entry_64.S", units, tmp_path)[0].objects == ("vmlinux",)
    assert built("drivers/shared.c", units, tmp_path)[0].objects == ("a", "b")
    # Beside the vdso's own sources, but the kernel's code.
    assert [unit.name for unit in built("arch/x86/entry/vdso/vma.c", units, tmp_path)] == ["arch/x86/entry/vdso/vma.o"]


@pytest.mark.parametrize(
    "path", ["include/net/af_unix.h", "arch/x86/include/asm/x.h", "kernel/sched/rt.c", "kernel/sched/inner.c"]
)
def test_what_others_include_is_left_to_the_graph_of_includes(units, tmp_path, path):
    assert judge(path, units, tmp_path, X86_64) is None


def test_units_of_sources(units):
    found = units.units_of({"virt/kvm/kvm_main.c", "net/unix/diag.c", "include/x.h", "nothing.c"})
    assert [unit.name for unit in found] == ["net/unix/diag.o", "virt/kvm/kvm_main.o"]
    assert [unit.name for unit in units.units_including("kernel/sched/inner.c")] == ["kernel/sched/build_policy.o"]
    assert units.units_including("drivers/off.c") == []
    built = {"net/unix/af_unix.c", "net/unix/garbage.c", "arch/x86/entry/entry_64.S"}
    assert "arch/x86/entry/entry_64.o" not in {unit.name for unit in units.without_source(built)}
    assert "virt/kvm/kvm_main.o" in {unit.name for unit in units.without_source(built)}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("Documentation/networking/af_unix.rst", "documentation"),
        ("MAINTAINERS", "documentation"),
        ("tools/testing/selftests/net/af_unix/x.c", "not_in_kernel"),
        ("tools/include/linux/types.h", "not_in_kernel"),
        ("scripts/Makefile.build", "not_in_kernel"),
        ("arch/arm64/kernel/setup.c", "other_architecture"),
        ("arch/arm64/include/asm/x.h", "other_architecture"),
        ("arch/arm64/Kconfig", "other_architecture"),
        ("arch/x86/boot/compressed/misc.c", "boot_only"),
        ("net/nothing/here.c", "not_built"),
    ],
)
def test_what_has_no_part_in_this_kernel(units, tmp_path, path, code):
    verdict = judge(path, units, tmp_path, X86_64)
    assert isinstance(verdict, NotApplicable)
    assert (verdict.file, verdict.code) == (path, code)
    assert path in verdict.reason


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("net/unix/Makefile", "build_file_not_supported"),
        ("net/Kconfig", "build_file_not_supported"),
        ("virt/kvm/Makefile.kvm", "build_file_not_supported"),
        ("arch/x86/entry/vdso/vclock_gettime.c", "vdso_not_supported"),
        ("arch/x86/include/asm/vdso.h", "vdso_not_supported"),
        ("arch/x86/realmode/rmpiggy.S", "embedded_code_not_supported"),
        ("arch/x86/realmode/rm/trampoline_64.S", "embedded_code_not_supported"),
        ("crypto/rsapubkey.asn1", "file_not_supported"),
    ],
)
def test_what_is_refused_by_name(units, tmp_path, path, code):
    with pytest.raises(RebootlessError) as caught:
        judge(path, units, tmp_path, X86_64)
    assert caught.value.code == code
    assert caught.value.details["file"] == path
    assert path in caught.value.sentence


def test_the_options_that_would_build_a_file_are_named(units, tmp_path):
    directory = tmp_path / "drivers" / "net" / "sub"
    directory.mkdir(parents=True)
    (directory.parent / "Makefile").write_text(
        "obj-$(CONFIG_OTHER) += other.o\nfoo-y := a.o\nobj-$(CONFIG_FOO) += \\\n\tsub/card.o\n"
        "foo-$(CONFIG_FOO_PTP) += sub/card.o\n"
    )
    verdict = reason("drivers/net/sub/card.c", units, tmp_path)
    assert verdict.endswith("does not build drivers/net/sub/card.c; it would need CONFIG_FOO or CONFIG_FOO_PTP.")


def test_the_option_of_what_a_file_is_a_part_of_is_named(units, tmp_path):
    (tmp_path / "drivers").mkdir()
    (tmp_path / "drivers" / "Makefile").write_text("card-y += bus.o \\\n\tcore.o\nobj-$(CONFIG_CARD) += card.o\n")
    assert reason("drivers/core.c", units, tmp_path).endswith("it would need CONFIG_CARD.")


def test_includers_are_found_as_the_compiler_finds_files(tmp_path):
    def write(path, text=""):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    write("kernel/sched/build_policy.c", '#include "rt.c"\n  #  include <linux/list.h>\n#include "gone.c"\n')
    write("kernel/sched/rt.c")
    write("lib/inflate.c")
    write("arch/x86/mm/x.c", '#include "../../../lib/inflate.c"\n')
    write("init/y.c", "#include <lib/inflate.c>\n")
    write("include/linux/template.h", '#include "part.S"\n')
    write("include/linux/part.S")
    assert find_includers(tmp_path, "x86") == {
        "include/linux/part.S": ["include/linux/template.h"],
        "kernel/sched/rt.c": ["kernel/sched/build_policy.c"],
        "lib/inflate.c": ["arch/x86/mm/x.c", "init/y.c"],
    }


def test_no_includers_in_a_source_without_any(tmp_path):
    (tmp_path / "a.c").write_text("int a;\n")
    assert find_includers(tmp_path, "x86") == {}


TOP = """\
srctree := $(dir $(lastword $(MAKEFILE_LIST)))
export srctree
libs-y := lib/
KBUILD_VMLINUX_OBJS := ./built-in.a $(patsubst %/,%/lib.a,$(libs-y))
build := -f $(srctree)scripts/Makefile.build obj
Q := @
"""
# As much of the kernel's scripts/Makefile.build as the scan relies on.
BUILD = """\
obj-y :=
obj-m :=
lib-y :=
extra-y :=
CONFIG_Y := y
CONFIG_M := m
include $(srctree)/$(obj)/Makefile
subdir-ym := $(patsubst %/,%,$(filter %/,$(obj-y) $(obj-m)))
obj-m := $(patsubst %/,%/modules.order,$(filter %/,$(obj-y)) $(obj-m))
obj-y := $(if $(need-builtin),$(patsubst %/,%/built-in.a,$(obj-y)),$(filter-out %/,$(obj-y)))
real-obj-y := $(foreach m,$(obj-y),$(if $($(m:.o=-y)),$($(m:.o=-y)),$m))
ifneq ($(obj),.)
$(foreach v,obj-m lib-y extra-y real-obj-y subdir-ym,$(eval $v := $(addprefix $(obj)/,$($v))))
endif
subdir-builtin := $(filter %/built-in.a,$(real-obj-y))
subdir-modorder := $(filter %/modules.order,$(obj-m))
"""


def test_the_scan_evaluates_makefiles_under_the_configuration(tmp_path):
    source, build, output = (tmp_path / name for name in ("source", "build", "output"))
    files = {
        "Makefile": TOP,
        "scripts/Makefile.build": BUILD,
        "net/Makefile": "obj-$(CONFIG_Y) += core.o sub/ one.o\nobj-$(CONFIG_N) += off.o\none-y := p.o q.o\n"
        "obj-$(CONFIG_M) += mod.o single.o onlymod/\nmod-$(CONFIG_Y) += m1.o\nmod-objs += m2.o\n"
        "extra-y := head.o x.lds\n",
        "net/sub/Makefile": "obj-y += deep.o\nlib-y += notlinked.o\n",
        "net/onlymod/Makefile": "obj-y += never.o\nobj-m += inner.o\n",
        "lib/Makefile": "lib-y += string.o\n",
    }
    for name, text in files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    # The top directory's Kbuild, which Makefile.build would prefer to the Makefile.
    (source / "scripts" / "Makefile.build").write_text(
        BUILD.replace(
            "include $(srctree)/$(obj)/Makefile",
            "ifeq ($(obj),.)\nobj-y := net/ lib/\nelse\ninclude $(srctree)/$(obj)/Makefile\nendif",
        )
    )
    build.mkdir()
    output.mkdir()
    kbuild = Kbuild(source, build, tmp_path / "kbuild", "gcc", {}, 2)
    found = UnitMap.from_scan(kbuild.scan(output), {})
    assert {unit.name: unit.objects for unit in found.units.values()} == {
        "lib/string.o": ("vmlinux",),
        "net/core.o": ("vmlinux",),
        "net/head.o": ("vmlinux",),
        "net/p.o": ("vmlinux",),
        "net/q.o": ("vmlinux",),
        "net/sub/deep.o": ("vmlinux",),
        "net/m1.o": ("mod",),
        "net/m2.o": ("mod",),
        "net/single.o": ("single",),
        "net/onlymod/inner.o": ("inner",),
    }


MAKE_UNITS = """\
subdir-ym := $(patsubst %/,%,$(filter %/,$(obj-y)))
ifneq ($(obj),.)
subdir-ym := $(addprefix $(obj)/,$(subdir-ym))
endif
$(obj)/%.o:
\t@echo '$(obj) $*' >>made
"""


def test_a_unit_is_made_once_in_the_longest_directory_that_is_listed(tmp_path):
    """As arch/x86 and arch/x86/lib are both listed at the top, and drivers/video and drivers/video/fbdev in drivers."""
    source, build = tmp_path / "source", tmp_path / "build"
    lists = {".": "a/ a/lib/ d/", "a": "b/", "a/b": "", "a/lib": "", "d": "v/ v/f/ v/f-g/", "d/v": "f/", "d/v/f": ""}
    directories = "".join(f"ifeq ($(obj),{name})\nobj-y := {text}\nendif\n" for name, text in lists.items())
    (source / "scripts").mkdir(parents=True)
    (source / "Makefile").write_text(TOP)
    (source / "scripts" / "Makefile.build").write_text(directories + MAKE_UNITS)
    build.mkdir()
    targets = ["a/x.o", "a/b/x.o", "a/lib/x.o", "a/lib/y.o", "a/b/../../v/x.o", "d/v/f/x.o", "d/v/f-g/x.o", "d/v/x.o"]
    for _again in range(2):  # the makefiles are there the second time, and nothing of it is asked for again
        Kbuild(source, build, tmp_path / "kbuild", "gcc", {}, 2).make_units(targets)
        assert sorted((build / "made").read_text().splitlines()) == [
            *("a x", "a/b ../../v/x", "a/b x", "a/lib x", "a/lib y", "d/v x", "d/v/f x", "d/v/f-g x"),
        ]
        (build / "made").unlink()


def test_a_scan_that_fails_says_so(tmp_path):
    (tmp_path / "Makefile").write_text("$(error no way)\n")
    kbuild = Kbuild(tmp_path, tmp_path, tmp_path / "kbuild", "gcc", {}, 1)
    with pytest.raises(RebootlessError) as caught:
        kbuild.scan(tmp_path)
    assert caught.value.code == "scan_failed"
    assert any("no way" in line for line in caught.value.details["output"])
