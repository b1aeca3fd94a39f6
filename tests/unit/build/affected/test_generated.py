# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the build makes from sources: a patch that changes those is refused."""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected import generated
from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.record import X86_64
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError


@pytest.fixture
def source(tmp_path):
    def write(**files):
        for name, text in {"Kbuild": "", "arch/x86/Kbuild": "", **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("makefile", "text", "path"),
    [
        ("arch/x86/kernel/Makefile", "f = $(src)/../include/asm/features.h\n", "arch/x86/include/asm/features.h"),
        ("lib/Makefile", "$(obj)/oids.c: $(srctree)/include/linux/oids.h gen\n", "include/linux/oids.h"),
        ("lib/Makefile", "x: $(srctree)/include/linux/oid*.h gen\n", "include/linux/oids.h"),
        ("lib/Makefile", "$(obj)/x.c: $(src)/table.h\n", "lib/table.h"),
    ],
)
def test_a_header_that_a_makefile_reads_is_refused(source, makefile, text, path):
    root = source(**{makefile: text})
    with pytest.raises(RebootlessError) as caught:
        generated.check(root, X86_64, [path], {path})
    assert caught.value.code == "generated_source_changes"
    assert path in caught.value.sentence and makefile in caught.value.sentence


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("# trace.h is found\n", "lib/trace.h"),
        ("generic-y += oids.h\n", "include/linux/oids.h"),
        ("$(obj)/y.o: $(obj)/oids.h\n", "lib/oids.h"),
        ("x: $(srctree)/include/linux/other.h\n", "include/linux/oids.h"),
        ("x: $(src)/table.h\n", "drivers/table.h"),
    ],
)
def test_other_mentions_do_not_count(source, text, path):
    generated.check(source(**{"lib/Makefile": text}), X86_64, [path], {path})
    with pytest.raises(RebootlessError) as caught:
        generated.check(source(**{"lib/Makefile": f"{text}z: $(srctree)/{path}\n"}), X86_64, [path], {path})
    assert path in caught.value.sentence


def test_a_header_that_a_program_of_the_build_includes_is_refused(source):
    root = source(**{"lib/Makefile": "hostprogs := other\nhostprogs += gen_table\n"})
    with pytest.raises(RebootlessError) as caught:
        generated.check(root, X86_64, ["include/x.h"], {"include/x.h", "lib/gen_table.c"})
    assert "lib/gen_table.c" in caught.value.sentence
