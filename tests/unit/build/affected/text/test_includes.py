# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files include which, from their text."""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.includes import IncludeGraph

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
