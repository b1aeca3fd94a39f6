# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configurations are compared, compilers identified."""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel import config as kernel_config
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

CONFIG = """\
# comment
CONFIG_CC_VERSION_TEXT="gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0"
CONFIG_NET=y
CONFIG_KVM=m
# CONFIG_EXPERT is not set
CONFIG_DEBUG_INFO_BTF=y
"""


def config(**changes):
    return {**kernel_config.parse(CONFIG), **{f"CONFIG_{name}": value for name, value in changes.items()}}


def test_parsing():
    parsed = config()
    assert parsed["CONFIG_EXPERT"] == "n"
    assert kernel_config.enabled(parsed, "CONFIG_KVM")
    assert not kernel_config.enabled(parsed, "CONFIG_EXPERT")
    assert not kernel_config.enabled(parsed, "CONFIG_UNKNOWN")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"BUILD_SALT": '""'},
        {"MODULE_SIG_ALL": "y", "MODULE_SIG_KEY": '"certs/signing_key.pem"', "SYSTEM_TRUSTED_KEYS": '""'},
        {"CC_VERSION_TEXT": '"gcc (Debian 12.2.0-14+deb12u1) 12.2.0"'},
        {"NEW_OPTION": "n"},
    ],
)
def test_what_changes_no_code_may_differ(changes):
    """Beside an option that may not differ, it is not named."""
    kernel_config.check(config(), config(**changes))
    with pytest.raises(RebootlessError) as caught:
        kernel_config.check(config(), config(**changes, NET="m"))
    assert [row["option"] for row in caught.value.details["options"]] == ["CONFIG_NET"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"DEBUG_INFO_BTF": "n"}, "package dwarves"),
        ({"RUST_IS_AVAILABLE": "y"}, "package rustc"),
        ({"LD_VERSION": "24200"}, "package binutils"),
        ({"CC_VERSION_TEXT": '"gcc-12 (Debian 12.2.0-15) 12.2.0"'}, "the compiler"),
        ({"NET": "m"}, "same kernel version"),
    ],
)
def test_what_differs_is_named_with_what_may_be_missing(changes, named):
    with pytest.raises(RebootlessError) as caught:
        kernel_config.check(config(), config(**changes))
    error = caught.value
    assert error.code == "config_differs"
    assert f"CONFIG_{next(iter(changes))}" in error.sentence
    assert named in error.next_step
    assert [row["option"] for row in error.details["options"]] == [f"CONFIG_{name}" for name in changes]


def test_a_tool_that_the_distribution_built_without_is_hidden():
    assert kernel_config.without_tools({"CONFIG_RUSTC_VERSION": "0"}) == {"RUSTC": "false"}
    assert kernel_config.without_tools({"CONFIG_RUSTC_VERSION": "108100"}) == {}
    assert kernel_config.without_tools({}) == {}


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """Makes commands that print a version."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def make(name, version):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\necho '{name} {version}'\necho more\n")
        path.chmod(0o755)
        return str(path)

    return make


def test_the_compiler_that_the_distribution_names_comes_first(compiler):
    compiler("gcc-12", "(Debian 12.2.0-14+deb12u1) 12.2.0")
    found = kernel_config.find_compiler(config())
    assert found == kernel_config.FoundCompiler("gcc-12", "(Debian 12.2.0-14+deb12u1) 12.2.0")


def test_any_name_of_the_same_version_is_the_same_compiler(compiler):
    compiler("gcc-12", "(Debian 12.1.0-1) 12.1.0")
    compiler("gcc", "(Debian 12.2.0-14+deb12u1) 12.2.0")
    assert kernel_config.find_compiler(config()).command == "gcc"
    own = compiler("cc-of-mine", "(Debian 12.2.0-14+deb12u1) 12.2.0")
    assert kernel_config.find_compiler(config(), own).command == own


def test_a_compiler_of_another_version_is_refused_by_name(compiler):
    compiler("gcc-12", "(Debian 12.1.0-1) 12.1.0")
    compiler("gcc", "(Debian 13.2.0-1) 13.2.0")
    with pytest.raises(RebootlessError) as caught:
        kernel_config.find_compiler(config())
    assert caught.value.code == "compiler_differs"
    assert "gcc-12 is (Debian 12.1.0-1) 12.1.0; gcc is (Debian 13.2.0-1) 13.2.0" in caught.value.sentence
    with pytest.raises(RebootlessError) as caught:
        kernel_config.find_compiler(config(), "/nowhere/gcc")
    assert "/nowhere/gcc is cannot be run" not in caught.value.sentence
    assert caught.value.details["found"] == {"/nowhere/gcc": "cannot be run"}


def test_a_configuration_without_a_compiler():
    with pytest.raises(RebootlessError) as caught:
        kernel_config.find_compiler({})
    assert caught.value.code == "no_compiler_version"
