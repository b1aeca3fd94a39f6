# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which CPUs a host keeps free of interruptions, as its kernel says it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import isolated_cpus


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Writes what the kernel shows: files of the CPUs, and of control groups by their paths."""
    monkeypatch.setattr(isolated_cpus, "CPUS", str(tmp_path / "cpu"))
    monkeypatch.setattr(isolated_cpus, "CGROUPS", str(tmp_path / "cgroup"))

    def show(cpus, groups=()):
        for place, files in (("cpu", cpus), ("cgroup", dict(groups))):
            for name, text in files.items():
                path = tmp_path / place / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{text}\n")
        return isolated_cpus.find().shown()

    return show


@pytest.mark.parametrize(
    ("cpus", "found"),
    [
        ({"online": "0-7", "isolated": "", "nohz_full": "(null)"}, ("", "", "")),
        ({"online": "0-7", "isolated": "2-3", "nohz_full": "3-5,7"}, ("2-5,7", "3-5,7", "2-3")),
        # One that is offline is not stopped.
        ({"online": "0-1,3", "isolated": "2-3", "nohz_full": "2"}, ("3", "", "3")),
        ({"online": "0-3"}, ("", "", "")),
        ({}, ("", "", "")),
    ],
)
def test_boot_parameters(kernel, cpus, found):
    shown = kernel(cpus)
    assert (shown["all"], shown["nohz_full"], shown["isolated"], shown["cpusets"]) == (*found, "")


def partition(path: str, kind: str, cpus: str) -> list[tuple[str, str]]:
    return [(f"{path}/cpuset.cpus.partition", kind), (f"{path}/cpuset.cpus.effective", cpus)]


def test_partitions_of_cpusets(kernel):
    groups = [
        *partition("quiet", "isolated", "2-3"),
        *partition("apart", "root", "4-6"),
        *partition("apart/quiet", "isolated", "5"),
        *partition("apart/not", "isolated invalid (Cpu list in cpuset.cpus not exclusive)", "6"),
        *partition("plain", "member", "0-1,7"),
        *partition("plain/none", "isolated", "7"),
    ]
    assert kernel({"online": "0-7"}, groups)["cpusets"] == "2-3,5", "of a member, no child can be a partition"
    assert kernel({}, [("cpuset.cpus.isolated", "1,6")])["cpusets"] == "1,6", "kernels that say it of all"


@given(st.frozensets(st.integers(0, 999)))
def test_a_list_is_read_as_written(cpus):
    assert isolated_cpus.parsed(isolated_cpus.written(cpus)) == cpus


@given(st.text("0123456789-, (nul)"))
def test_no_text_is_a_stumbling_block(text):
    assert all(cpu >= 0 for cpu in isolated_cpus.parsed(text))
