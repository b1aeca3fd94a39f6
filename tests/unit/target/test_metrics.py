# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics of a host."""

from __future__ import annotations

import pathlib
import shutil

from ansible_collections.rebootless.splice.plugins.module_utils._target import inventory, metrics
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import collectors
from ansible_collections.rebootless.splice.tests.support.booting_host import NAME, refusal


def test_metrics(host, tmp_path):
    host.arm()
    with refusal("metrics_failed"):
        metrics.write(host.packages, str(tmp_path / "missing"))
    metrics.write(host.packages, str(tmp_path))
    text = (tmp_path / metrics.FILE).read_text()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    labels = f'name="{NAME}",version="1.0",state="confirmed",boot="armed"'
    assert values[f"rebootless_update_info{{{labels}}}"] == "1"
    assert values[f'rebootless_update_armed{{name="{NAME}"}}'] == "1"
    assert values[f'rebootless_update_quarantined{{name="{NAME}"}}'] == "0"
    assert values['rebootless_cve_fixed_live{cve="CVE-2026-52928"}'] == "1"
    told = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert told <= set(metrics.METRICS)
    assert oct((tmp_path / metrics.FILE).stat().st_mode & 0o777) == "0o644"


def test_metrics_are_renewed_wherever_they_were_written(host, tmp_path):
    """An update that was reversed by its name alone went on being called a fix by the file of its rollout."""
    host.arm()
    one, other = tmp_path / "one", tmp_path / "other"
    for directory in (one, other):
        directory.mkdir()
        metrics.write(host.packages, str(directory))
        (directory / metrics.FILE).write_text("outdated")
    assert metrics.refresh(host.packages) == []
    assert "rebootless_cve_fixed_live" in (one / metrics.FILE).read_text()
    shutil.rmtree(other)
    assert metrics.refresh(host.packages) == []
    assert collectors.known(host.packages.directory) == [str(one)]
    (one / metrics.FILE).unlink()
    (one / metrics.FILE).mkdir()  # cannot be replaced by a file
    (told,) = metrics.refresh(host.packages)
    assert "could not be written" in told


def test_a_list_of_directories_that_is_damaged_is_none(host, tmp_path):
    metrics.write(host.packages, str(tmp_path))
    path = pathlib.Path(host.packages.directory, collectors.FILE)
    for content in (b"", b"{}", b"\xff", b"[1, null]"):
        path.write_bytes(content)
        assert collectors.known(host.packages.directory) == []
    metrics.write(host.packages, str(tmp_path))
    assert collectors.known(host.packages.directory) == [str(tmp_path)]


def test_metrics_escape_what_labels_cannot_hold(host):
    kernel = {**inventory.kernel(host.packages), "release": 'a"b\\c\nd'}
    assert 'release="a\\"b\\\\c\\nd"' in metrics.render(kernel, [])


def test_the_list_of_directories_goes_with_the_last_that_a_host_keeps(tmp_path):
    state = tmp_path / "state"
    collectors.remember(str(state), "/srv/metrics")
    (state / "x.rbl.tar.gz").touch()
    collectors.forget_if_alone(str(state))
    assert collectors.known(str(state)) == ["/srv/metrics"]
    (state / "x.rbl.tar.gz").unlink()
    collectors.forget_if_alone(str(state))
    assert not state.exists()
    collectors.forget_if_alone(str(state))
