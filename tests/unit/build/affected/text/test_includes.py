# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files include which, from their text."""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected import generated
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.includes import IncludeGraph
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

SOURCE = {
    "include/linux/a.h": "",
    "include/uapi/linux/a.h": "",
    "include/asm-generic/wrapped.h": "",
    "include/linux/b.h": "#include <linux/a.h>\n",
    "include/trace/events/x.h": "#define TRACE_INCLUDE_FILE y\n",
    "include/trace/events/y.h": "",
    "include/trace/define_trace.h": "#include TRACE_INCLUDE(TRACE_INCLUDE_FILE)\n",
    "include/linux/genl_magic.h": "#include GENL_MAGIC_INCLUDE_FILE\n",
    "include/linux/genl.h": "",
    "include/linux/asn1_decoder.h": "",
    "drivers/genl.c": "#define GENL_MAGIC_INCLUDE_FILE <linux/genl.h>\n#include <linux/genl_magic.h>\n",
    "drivers/local.h": "",
    "drivers/other/local.h": "",
    "drivers/user.c": '  #  include "local.h"\n#include <linux/b.h>\n',
    "drivers/other/user.c": '#include "../local.h"\n#include <trace/events/x.h>\n',
    "drivers/sub/flags.c": '#include "local.h"\n',
    "drivers/asn1.c": '#include "key.asn1.h"\n',
    "kernel/part.c": "",
    "kernel/whole.c": '#include "part.c"\n',
    "arch/x86/entry.S": "#include <linux/a.h>\n",
    "arch/arm/entry.S": "#include <linux/b.h>\n",
    "tools/x.c": "#include <linux/b.h>\n",
}
BUILD = {
    "arch/x86/include/generated/asm/wrapped.h": "#include <asm-generic/wrapped.h>\n",
    "crypto/key.c": "#include <linux/b.h>\n",
}


@pytest.fixture
def graph(tmp_path):
    for root, files in (("source", SOURCE), ("build", BUILD)):
        for name, text in files.items():
            path = tmp_path / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return lambda: IncludeGraph.of(tmp_path / "kept.json", tmp_path / "source", tmp_path / "build", "x86")


@pytest.mark.parametrize(
    ("path", "reached"),
    [
        (
            "include/linux/a.h",  # directly, through another header, from a generated source
            {"include/linux/b.h", "drivers/user.c", "arch/x86/entry.S", "crypto/key.c"},
        ),
        ("include/uapi/linux/a.h", {"include/linux/b.h", "drivers/user.c", "arch/x86/entry.S", "crypto/key.c"}),
        ("include/asm-generic/wrapped.h", {"arch/x86/include/generated/asm/wrapped.h"}),
        ("include/trace/events/y.h", {"include/trace/events/x.h", "drivers/other/user.c"}),
        ("include/linux/genl.h", {"drivers/genl.c"}),
        ("include/linux/asn1_decoder.h", {"drivers/asn1.c"}),
        ("drivers/local.h", {"drivers/user.c", "drivers/other/user.c", "drivers/sub/flags.c"}),
        ("drivers/other/local.h", {"drivers/sub/flags.c"}),  # not beside it: any file of that name
        ("kernel/part.c", {"kernel/whole.c"}),
        ("kernel/whole.c", set()),
    ],
)
def test_what_includes_a_file(graph, path, reached):
    assert graph().reached_from([path]) == reached | {path}


def test_what_includes_a_file_itself(graph):
    found = graph().direct(["include/linux/a.h"])
    assert found == {"include/linux/b.h", "arch/x86/entry.S"}


def test_the_graph_is_kept(graph, tmp_path):
    first = graph()
    (tmp_path / "source/drivers/new.c").write_text("#include <linux/b.h>\n")
    assert graph().reached_from(SOURCE) == first.reached_from(SOURCE)
    (tmp_path / "kept.json").write_text("damaged")
    assert "drivers/new.c" in graph().reached_from(["include/linux/b.h"])


# ---- what is generated from sources


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
        generated.check(root, [path], {path})
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
    generated.check(source(**{"lib/Makefile": text}), [path], {path})


def test_a_header_that_a_program_of_the_build_includes_is_refused(source):
    root = source(**{"lib/Makefile": "hostprogs := other\nhostprogs += gen_table\n"})
    with pytest.raises(RebootlessError) as caught:
        generated.check(root, ["include/x.h"], {"include/x.h", "lib/gen_table.c"})
    assert "lib/gen_table.c" in caught.value.sentence
