# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tool or a header that is missing is named with the package that has it."""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import require_tools, run
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError


def test_missing_tools_are_named_with_their_packages(tmp_path, monkeypatch):
    require_tools("sh", "gcc")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RebootlessError) as caught:
        require_tools("pahole", "objcopy", "ld", "of-no-package")
    assert caught.value.code == "missing_tool"
    assert caught.value.details["tools"] == ["pahole", "objcopy", "ld", "of-no-package"]
    assert caught.value.details["packages"] == ["binutils", "dwarves", "of-no-package"]
    assert caught.value.next_step == "Install the packages binutils, dwarves, of-no-package."


@pytest.mark.parametrize(
    ("header", "step"),
    [
        ("openssl/of_no_release.h", "Install the package libssl-dev on the build host."),
        ("of_no_package.h", "Look at the output."),
    ],
)
def test_a_header_that_the_compiler_misses_is_named_with_its_package(tmp_path, header, step):
    (tmp_path / "tool.c").write_text(f"#include <{header}>\n")
    with pytest.raises(RebootlessError) as caught:
        run(["gcc", "-c", "tool.c"], "tool_failed", "The tool failed.", "Look at the output.", cwd=tmp_path)
    assert (caught.value.code, caught.value.next_step) == ("tool_failed", step)
    assert header in "".join(caught.value.details["output"])
