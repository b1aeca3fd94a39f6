# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which modules any user of a host can have loaded: by the tables that depmod leaves, and by modprobe.d(5)."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common import reach
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import modprobe, module_reach
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.module_reach import Settings

# Lines of the tables of 6.1.0-50-cloud-amd64.
DEP = """\
kernel/lib/libcrc32c.ko:
kernel/net/sctp/sctp.ko: kernel/net/ipv4/udp_tunnel.ko kernel/lib/libcrc32c.ko
kernel/net/ipv4/udp_tunnel.ko:
kernel/net/sched/act_pedit.ko.xz:
kernel/net/sched/sch_cake.ko:
kernel/fs/btrfs/btrfs.ko: kernel/lib/raid6/raid6_pq.ko kernel/lib/libcrc32c.ko
kernel/lib/raid6/raid6_pq.ko:
kernel/arch/x86/crypto/crc32c-intel.ko:
kernel/drivers/net/slip/slip.ko:
kernel/drivers/net/tun.ko:
kernel/drivers/block/loop.ko:
kernel/net/tipc/tipc.ko: kernel/net/ipv4/udp_tunnel.ko
"""
ALIAS = """\
# Aliases extracted from modules themselves.
alias net-pf-10-proto-132-type-5 sctp
alias net-pf-10-proto-132 sctp
alias net-pf-30 tipc
alias fs-btrfs btrfs
alias crypto-crc32c crc32c_intel
alias crypto-crc32c libcrc32c
alias tty-ldisc-1 slip
alias char-major-10-200 tun
alias pci:v00008086d*sv*sd*bc*sc*i* loop
"""
SOFTDEP = "# Soft dependencies extracted from modules themselves.\nsoftdep btrfs pre: crypto-crc32c\n"
DEVNAME = "# Device nodes to trigger on-demand module loading.\ntun net/tun c10:200\nloop loop-control c10:237\n"
OPEN = Settings(user_namespaces=True, autoload=True, line_disciplines=False, loading=True)


@pytest.fixture
def tables(tmp_path: pathlib.Path) -> modprobe.Tables:
    for name, text in (("dep", DEP), ("alias", ALIAS), ("softdep", SOFTDEP), ("devname", DEVNAME)):
        (tmp_path / f"modules.{name}").write_text(text)
    found = modprobe.read_tables(str(tmp_path))
    assert found is not None
    return found


def configured(root: pathlib.Path, **files: str) -> modprobe.Configuration:
    root.mkdir(exist_ok=True)
    for name, text in files.items():
        (root / f"{name}.conf").write_text(text)
    return modprobe.read_configuration([str(root), str(root / "missing")])


def places(
    tables: modprobe.Tables,
    configuration: modprobe.Configuration | None = None,
    allowed: Settings = OPEN,
    **more: t.Any,
) -> dict[str, str]:
    found = module_reach.classify(
        more.pop("loaded", ()), tables, configuration or modprobe.Configuration(), allowed, **more
    )
    assert set(found) == set(reach.OF_MODULES) and all(names == sorted(names) for names in found.values())
    return {name: place for place, names in found.items() for name in names}


def test_what_any_user_can_have_loaded(tables: modprobe.Tables) -> None:
    found = places(tables, loaded=["libcrc32c", "proprietary"])
    assert found == {
        "libcrc32c": "loaded",
        "proprietary": "loaded",
        "sctp": "users",
        "udp_tunnel": "users",  # sctp needs it
        "tipc": "users",
        "act_pedit": "users",  # in a user namespace, by its name
        "sch_cake": "users",
        "btrfs": "users",
        "raid6_pq": "users",
        "crc32c_intel": "users",
        "slip": "root",  # line disciplines are not loaded for users
        "tun": "root",
        "loop": "root",
    }


@pytest.mark.parametrize(
    ("allowed", "users"),
    [
        (OPEN._replace(user_namespaces=False), {"sctp", "tipc", "crc32c_intel", "libcrc32c", "udp_tunnel"}),
        (OPEN._replace(user_namespaces=False, line_disciplines=True), {"slip"}),
        (OPEN._replace(autoload=False, line_disciplines=True), set()),
    ],
)
def test_what_a_host_does_not_allow(tables: modprobe.Tables, allowed: Settings, users: set[str]) -> None:
    found = {name for name, place in places(tables, allowed=allowed).items() if place == "users"}
    assert found >= users and not found & {"btrfs", "act_pedit", "sch_cake"}


def test_what_cannot_be_loaded_at_all(tables: modprobe.Tables) -> None:
    switched_off = places(tables, allowed=OPEN._replace(loading=False, autoload=False), loaded=["sctp"])
    assert set(switched_off.values()) == {"loaded", "never"} and switched_off["sctp"] == "loaded"
    # Without what it needs no module is loaded.
    refused = places(tables, allowed=OPEN._replace(refused=frozenset({"udp_tunnel"})))
    assert {name for name, place in refused.items() if place == "never"} == {"udp_tunnel", "sctp", "tipc"}


def test_what_modprobe_is_told(tables: modprobe.Tables, tmp_path: pathlib.Path) -> None:
    configuration = configured(
        tmp_path / "modprobe.d",
        one="# hardening\nblacklist sctp\ninstall tipc \\\n  /bin/true\nblacklist sch-cake\noptions tun debug=1\n",
        two="alias fs-btrfs off\nblacklist\n\xe4\x00\n",
    )
    found = places(tables, configuration)
    assert (found["sctp"], found["tipc"], found["btrfs"], found["udp_tunnel"]) == ("root",) * 4
    assert found["sch_cake"] == "users"  # a blacklist is about aliases, and it is asked for by its name
    replaced = configured(tmp_path / "replaced", one="install libcrc32c /bin/false\n")
    assert places(tables, replaced)["sctp"] == "root"  # it is not loaded without what it needs
    other = configured(tmp_path / "other", one="alias net-pf-* slip\n")
    assert (places(tables, other)["slip"], places(tables, other)["sctp"]) == ("users", "root")


def test_files_of_the_same_name_and_the_command_line(tmp_path: pathlib.Path) -> None:
    own, shipped = tmp_path / "etc", tmp_path / "usr"
    configured(own, one="blacklist tipc\n")
    configured(shipped, one="blacklist sctp\n", two="blacklist slip\n")
    line = "ro modprobe.blacklist=a-b,c quiet module_blacklist=d modprobe.blacklist=e"
    found = modprobe.read_configuration([str(own), str(shipped)], line)
    assert found.blacklist == {"tipc", "slip", "a_b", "c", "e"}
    assert modprobe.listed(line, "module_blacklist") == {"d"}


def test_device_nodes_that_any_user_may_open(tables: modprobe.Tables, tmp_path: pathlib.Path) -> None:
    (tmp_path / "net").mkdir()
    os.symlink("/dev/null", tmp_path / "net" / "tun")  # a character device that all may open
    (tmp_path / "loop-control").write_text("")  # none
    nodes = module_reach.open_nodes(tables, str(tmp_path))
    assert nodes == {"tun"}
    found = places(tables, nodes=nodes)
    assert (found["tun"], found["loop"]) == ("users", "root")


def test_a_directory_without_modules(tmp_path: pathlib.Path) -> None:
    assert modprobe.read_tables(str(tmp_path)) is None
    (tmp_path / "modules.dep").write_text("damaged\n\n:\n")
    assert modprobe.read_tables(str(tmp_path)) == modprobe.Tables()


def test_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    found = module_reach.host_modules(module_reach.settings())
    assert set(found.places) == set(reach.OF_MODULES) and isinstance(found.complete, bool)


@pytest.mark.parametrize(
    ("objects", "place"),
    [
        (["vmlinux", "sctp"], "vmlinux"),
        (["sctp", "tipc"], "loaded"),
        (["tipc"], "users"),
        (["l2cap-core"], "root"),
        (["i915"], "never"),  # in no list: the host does not have it
        ([], "unknown"),  # code of headers, which can be anywhere
    ],
)
def test_the_nearest_place_counts(objects: list[str], place: str) -> None:
    modules = {"sctp": "loaded", "tipc": "users", "l2cap_core": "root"}
    assert reach.of_objects(objects, modules) == place
    assert reach.of_objects(["i915"], {}, reach.UNKNOWN) == "unknown"
