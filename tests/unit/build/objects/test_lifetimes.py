# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the name of a section says about its contents, of sections that gcc made."""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.lifetimes import lifetime
from ansible_collections.rebootless.splice.tests.support.objects import compile_text

# Section: (flags for the assembler, lifetime).
SECTIONS = {
    ".text": ("ax", "text"),
    ".text.unlikely": ("ax", "text"),
    ".sched.text": ("ax", "text"),
    "unheard_of_code": ("ax", "text"),
    ".init.text": ("ax", "init"),
    ".meminit.text": ("ax", "init"),
    ".exit.text": ("ax", "exit"),
    ".entry.text": ("ax", "entry"),
    ".static_call.text": ("ax", "static call"),
    ".altinstr_replacement": ("ax", "fragments"),
    ".init.data": ("aw", "init data"),
    ".init.rodata": ("a", "init data"),
    ".initcall6.init": ("a", "registered"),
    ".init.setup": ("aw", "registered"),
    "__param": ("a", "registered"),
    "__tracepoints_ptrs": ("a", "registered"),
    ".data..ro_after_init": ("aw", "ro_after_init"),
    ".data..percpu": ("aw", "percpu"),
    ".data..percpu..read_mostly": ("aw", "percpu"),
    ".data.once": ("aw", "once"),
    ".data..once": ("aw", "once"),
    "__dyndbg": ("aw", "debug site"),
    ".rodata": ("a", "constant"),
    ".rodata.str1.8": ("a", "constant"),
    ".data.rel.ro.local": ("aw", "constant"),
    "__rt_sched_class": ("a", "constant"),
    ".data": ("aw", "writable"),
    ".data..read_mostly": ("aw", "writable"),
    ".bss.counter": ("aw", "writable"),
    "__mcount_loc": ("a", "special"),
    "__bug_table": ("aw", "special"),
    ".altinstructions": ("a", "special"),
    ".modinfo": ("a", "ignored"),
    "__ksymtab_strings": ("a", "ignored"),
    ".discard.addressable": ("aw", "ignored"),
    "___ksymtab_gpl+symbol": ("a", "export"),
    ".rbl.hooks": ("aw", "custom"),
    "unheard_of_data": ("aw", "unknown"),
}


@pytest.fixture(scope="module")
def sections(tmp_path_factory):
    lines = [
        f'.pushsection \\"{name}\\",\\"{flags}\\",@progbits\\n.long 0\\n.popsection\\n'
        for name, (flags, _) in SECTIONS.items()
    ]
    text = "".join(f'asm("{line}");\n' for line in lines)
    found = compile_text(text, tmp_path_factory.mktemp("sections"))
    return {section.name: section for section in found.sections}


@pytest.mark.parametrize("name", SECTIONS)
def test_lifetime(sections, name):
    assert lifetime(sections[name]) == SECTIONS[name][1]


def test_gcc_itself_puts_things_there(tmp_path):
    """By the attributes that the kernel's macros have, with a section for each symbol."""
    text = """
        #include "diff_kernel.h"
        int counter = 1;
        static int __attribute__((section(".data..ro_after_init"))) key = 1;
        static const int limits[40] = { 1, 2, 3 };
        static int __init start(int x) { return key = limits[x % 40]; }
        int (*initcall)(int) __section(".initcall6.init") = start;
        int run(int x) { return key + limits[x % 40]; }
    """
    found = compile_text(text, tmp_path, "-ffunction-sections", "-fdata-sections")
    where = {
        s.name: lifetime(s.section) for s in found.symbols if s.section is not None and s.kind in ("func", "object")
    }
    assert where == {
        "counter": "writable",
        "key": "ro_after_init",
        "limits": "constant",
        "start": "init",
        "initcall": "registered",
        "run": "text",
    }
