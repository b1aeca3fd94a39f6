# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A source with some files replaced, found by every way to include a file."""

from __future__ import annotations

import subprocess

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.overlay import Overlay
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.saved_command import SavedCommand
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

FILES = {
    "include/linux/direct.h": "static const char *direct = __FILE__;\n",
    "include/linux/through.h": '#include "sibling.h"\n#include "../shared.h"\n#include <linux/direct.h>\n',
    "include/linux/sibling.h": "static const char *sibling = __FILE__;\n",
    "include/shared.h": "static const char *shared = __FILE__;\n",
    "include/linux/forced.h": "static const char *forced = __FILE__;\n",
    "net/x/local.h": '#include "../../deep/down/part.h"\n',
    "net/x/a.c": '#include "local.h"\n#include <linux/through.h>\nint line = __LINE__;\n',
    "deep/down/part.h": "static const char *part = __FILE__;\n",
}
REPLACED = [name for name in FILES if name.endswith(".h")]


@pytest.fixture
def tree(tmp_path):
    """A source, and how its unit is compiled: spelled through another directory, as arch/x86/kvm does."""
    source, build = tmp_path / "source", tmp_path / "build"
    build.mkdir()
    (source / "arch" / "kvm").mkdir(parents=True)
    for name, text in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    target, path = "arch/kvm/../../net/x/a.o", f"{source}/arch/kvm/../../net/x/a.c"
    command = (
        f"gcc -Wp,-MMD,.a.d -I{source}/include -include {source}/include/linux/forced.h "
        f"-fmacro-prefix-map={source}/= -O2 -g -c -o {target} {path}"
    )
    (build / "net/x").mkdir(parents=True)
    (build / "arch/kvm").mkdir(parents=True)
    return source, build, SavedCommand(command, target, path, ())


def compiled(build, command):
    subprocess.run(["sh", "-e", "-c", command], cwd=build, check=True)


def overlaid(tree, tmp_path, files):
    """The object made with ``files`` replaced, and the list of what it was made from."""
    source, build, command = tree
    overlay = Overlay(source, tmp_path / "overlay", files)
    for directory in ("net/x", "include/linux"):
        overlay.make_real(directory)
    overlay.admit([command])
    output = tmp_path / "out.o"
    compiled(build, command.compile(overlay.place, output))
    dependencies = (tmp_path / "out.o.d").read_text()
    overlay.check(dependencies)
    return output.read_bytes()


@pytest.mark.parametrize("names", [[], *([name] for name in REPLACED), [*REPLACED, "net/x/a.c"]])
def test_equal_files_make_the_same_object(tree, tmp_path, names):
    _source, build, command = tree
    compiled(build, command.command)
    assert overlaid(tree, tmp_path, {name: FILES[name].encode() for name in names}) == (
        (build / command.target).read_bytes()
    )


@pytest.mark.parametrize("name", REPLACED)
def test_a_replaced_file_is_found_whichever_way_it_is_included(tree, tmp_path, name):
    marked = FILES[name] + 'const char mark[] = "replaced";\n'
    assert b"replaced" in overlaid(tree, tmp_path, {name: marked.encode()})
    assert (tree[0] / name).read_text() == FILES[name]


def test_a_file_that_was_read_past_the_replacement_is_an_error(tree, tmp_path):
    source, build, command = tree
    overlay = Overlay(source, tmp_path / "overlay", {"deep/down/part.h": b"int part;\n"})
    output = tmp_path / "out.o"
    overlay.admit([command])  # but net/x, from where part.h is included through .., stays a link
    compiled(build, command.compile(overlay.place, output))
    with pytest.raises(RebootlessError) as caught:
        overlay.check((tmp_path / "out.o.d").read_text())
    assert caught.value.code == "replaced_file_bypassed"
    assert caught.value.details["file"] == "deep/down/part.h"
    with pytest.raises(RebootlessError):
        overlay.check(f"x.o: {source}/deep/down/part.h")
