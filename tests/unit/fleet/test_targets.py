# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks that are given no host: Ansible skips a play without hosts and ends well, and these must not."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader

from ansible_collections.rebootless.splice.plugins.lookup import fleet
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import targets
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import Budget
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import lock, slices, start
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.records import RevertPlan, UpdateName
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.request import RunRequest
from ansible_collections.rebootless.splice.tests.support.places import COLLECTION

GROUPS = {"all": ["web1", "web2", "db1"], "web": ["web1", "web2"], "ungrouped": ["db1"]}
PLAYBOOKS = sorted((COLLECTION / "playbooks").glob("*.yml"))
COLLECTIONS = next(path for path in pathlib.Path(fleet.__file__).parents if path.name == "ansible_collections").parent


def look_up(*terms, limit=None, **options):
    variables = {"groups": GROUPS, **({"ansible_limit": limit} if limit else {})}
    module = fleet.LookupModule(loader=DataLoader())
    module._load_name = "rebootless.splice.fleet"
    return module.run(list(terms), variables, **options)


@pytest.fixture(autouse=True)
def options_of_the_lookup(monkeypatch):
    """What Ansible reads from the plugin's documentation when it loads it."""

    def set_options(self, var_options=None, direct=None):
        self._options = {"limited": False, **(direct or {})}

    monkeypatch.setattr(fleet.LookupModule, "set_options", set_options)
    monkeypatch.setattr(fleet.LookupModule, "get_option", lambda self, name: self._options[name])


def test_patterns_with_hosts_are_returned():
    assert look_up("web") == ["web"]
    assert look_up(["web", "!web2"]) == ["web", "!web2"]
    assert look_up("localhost") == ["localhost"]
    assert look_up("all", limit="web1", limited=True) == ["all"]


@pytest.mark.parametrize(
    "terms, limit, limited, code",
    [
        (["nosuch"], None, False, "no_hosts"),
        (["web:&ungrouped"], None, False, "no_hosts"),
        ([[]], None, False, "no_hosts"),
        (["web"], "db1", True, "no_hosts"),
        (["all"], "nosuch", True, "no_hosts"),
        (["all"], "web1", False, "limited"),
        (["localhost"], "web1,localhost", False, "limited"),
    ],
)
def test_a_play_without_hosts_is_refused(terms, limit, limited, code):
    with pytest.raises(AnsibleError, match=rf"\[{code}\]"):
        look_up(*terms, limit=limit, limited=limited)


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_each_playbook_begins_with_hosts_that_were_looked_up(path):
    hosts = [play["hosts"] for play in yaml.safe_load(path.read_text())]
    first, *later = [pattern for pattern in hosts if pattern != "localhost"]  # which --limit skips
    assert "query('rebootless.splice.fleet'" in first
    # What comes then is what was looked up, or what a run has to do.
    unchecked = [pattern for pattern in later if "rebootless_targets" in pattern and "query(" not in pattern]
    assert not unchecked


def playbook(tmp_path, name, *arguments):
    inventory = tmp_path / "inventory"
    inventory.write_text("[web]\nweb1 ansible_connection=local\nweb2 ansible_connection=local\n")
    return ansible(inventory, f"rebootless.splice.{name}", "-e", f"rebootless_directory={tmp_path}", *arguments)


def ansible(inventory, *arguments):
    return subprocess.run(
        [pathlib.Path(sys.executable).parent / "ansible-playbook", "-i", inventory, *arguments],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "name, arguments, code",
    [
        ("rollout", ["--limit", "web1"], "limited"),
        ("plan", ["-e", "rebootless_targets=nosuch", "-e", "{rebootless_update: {name: x}}"], "no_hosts"),
        ("report", ["-e", "rebootless_targets=nosuch"], "no_hosts"),
        *((name, [], "nothing_named") for name in ("build", "plan", "preflight", "rollout")),
        ("build", ["-e", "{rebootless_update: {name: x, patch: [y]}}"], "bad_update"),
    ],
)
def test_a_scheduler_sees_that_nothing_was_done(tmp_path, name, arguments, code):
    done = playbook(tmp_path, name, *arguments)
    assert done.returncode != 0, done.stdout
    assert f"[{code}]" in done.stdout, done.stdout
    assert not (tmp_path / "report").exists()


def test_hosts_that_are_looked_up_by_a_task_are_demanded_too(tmp_path):
    request = RunRequest(str(tmp_path), lock.process(os.getpid()), ["web1"])
    with pytest.raises(RebootlessError) as refused:
        start.preflight(request, str(tmp_path), ("x", "1"), [], 300, 0)
    assert refused.value.code == "no_hosts"


# ---- names that Ansible would take for patterns

ODD = ["web 1", "web", "1", "web?", "web*", "web[1]", "web[1:2]", "!web", "&web", "~web", "a,b", "a:b", "-x"]
ODD += ["all", "localhost", "db.example.com", "10.0.0.1", "web\t2", " x ", "\u00fcber 1", "a\\d"]
ODD += ["fe80::1", "[::1]:22", "fe80::1%eth0"]


def found_for(patterns, hosts, groups=()):
    manager = InventoryManager(DataLoader(), parse=False)
    for group in groups:
        manager.add_group(group)
    for host in hosts:
        manager.add_host(host, group="all")
    return [host.name for host in manager.get_hosts(pattern=patterns)]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=5, unique=True))
@example(ODD)
def test_each_host_is_found_by_its_name_and_alone(hosts):
    for host in hosts:
        assert found_for([targets.exactly(host)], hosts, ["web", "db"]) == [host]
    patterns = [targets.exactly(host) for host in hosts]
    assert found_for(patterns, reversed(hosts)) == hosts, "in the order of the plan"


def test_most_names_are_their_own_patterns():
    """Others are compared with each host of the inventory, which takes its time in a large one."""
    for host in ("web1", "db_2.example.com", "10.0.0.1", "2001:db8::7", "WEB-3"):
        assert targets.exactly(host) == host


def test_a_group_of_the_same_odd_name_is_refused():
    with pytest.raises(RebootlessError) as refused:
        targets.exactly("web 1", ["all", "web 1"])
    assert refused.value.code == "ambiguous_host"
    assert targets.exactly("web1", ["web1"]) == "web1", "Ansible takes a plain name for the host's"


ASKED = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.set_fact:
        rebootless_run: {run: "{{ run }}"}
- hosts: "{{ query('rebootless.splice.rollout', 'revert') }}"
  serial: "{{ query('rebootless.splice.rollout', 'revert', serial=true) }}"
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
        msg: "reached <{{ inventory_hostname }}>"
"""


def test_a_play_reaches_hosts_of_any_name(tmp_path):
    hosts = ["web 1", "web", "db*", "a:b", "!x"]
    request = RunRequest(str(tmp_path), lock.process(os.getpid()), hosts)
    batches = slices.batches_of(hosts, ["100%"])
    plan = RevertPlan(UpdateName("x", ""), batches, [], 300, 0, Budget(0, 0), False)
    run = start.revert_hosts(request, plan)["run"]
    (tmp_path / "play.yml").write_text(ASKED)
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": dict.fromkeys(["other", *hosts])}}))
    done = ansible(tmp_path / "hosts.yml", tmp_path / "play.yml", "-e", f"run={run}")
    assert done.returncode == 0, done.stdout
    assert set(re.findall(r"reached <(.*)>", done.stdout)) == set(hosts), done.stdout
