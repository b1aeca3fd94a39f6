# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The units, the program and the settings that make a host apply updates at boot."""

from __future__ import annotations

import os

from ansible_collections.rebootless.splice.plugins.module_utils._target.boot import persist


def test_installed_once_and_taken_away(host, monkeypatch):
    settings = persist.Settings(state_directory=host.packages.directory, metrics_directory="/srv/100% metrics")
    there = persist.Persistence(settings, "/")
    monkeypatch.setattr(there, "_root", str(host.directory))
    monkeypatch.setattr(there, "archive", "/var/lib/rebootless/boot/rebootless.pyz")
    assert not there.installed()
    foretold = there.install(check_mode=True)
    assert not there.installed()
    assert there.install() == foretold and there.installed() and there.install() == []
    units = host.directory / "etc/systemd/system"
    link = units / "sysinit.target.wants/rebootless-boot.service"
    assert os.readlink(link) == "/etc/systemd/system/rebootless-boot.service"
    text = (units / "rebootless-metrics.service").read_text()
    assert "--metrics-directory '/srv/100%% metrics' metrics" in text
    # What is not asked for any more goes.
    without = persist.Persistence(
        settings._replace(metrics_directory="", fact_file=False, settle=33), str(host.directory)
    )
    without.archive = there.archive
    assert without.install() and without.install() == []
    assert not list(units.rglob("*metrics*")) and not (host.directory / "etc/ansible/facts.d/rebootless.fact").exists()
    assert "OnActiveSec=33\n" in (units / "rebootless-settle.timer").read_text()
    assert there.uninstall() and there.uninstall() == []
    assert [path for path in host.directory.joinpath("etc").rglob("*") if not path.is_dir()] == []
