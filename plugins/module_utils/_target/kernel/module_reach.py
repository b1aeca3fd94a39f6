# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which modules a host has loaded, which any of its users can have it load, which only root can.

The kernel asks for a module by an alias where a user asks for what it does not have: a socket's family, an algorithm,
a kind of network device.  ``DOORS`` has these aliases with what they need.  Source: each ``request_module`` in the
kernel (net/socket.c, crypto/api.c, fs/filesystems.c, net/core/rtnetlink.c, net/sched/cls_api.c, ...), and the checks
before it.
"""

from __future__ import annotations

import os
import stat
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.reach import LOADED, NEVER, ROOT, USERS
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts, modprobe

PROC = "/proc"
USER = "user"  # any process
NAMESPACE = "namespace"  # a process that is root in a user namespace of its own
TERMINAL = "terminal"  # any process with a terminal, if dev.tty.ldisc_autoload says so

# What an alias begins with that the kernel asks for on behalf of a process, and what the process needs for it.
DOORS = {
    **dict.fromkeys(("net-pf-", "can-proto-", "bt-proto-", "pppox-proto-", "crypto-", "algif-", "binfmt-"), USER),
    **dict.fromkeys(("fs-", "rtnl-link-", "rtnl-lwt-", "net-sch-", "net-cls-", "net-act-"), NAMESPACE),
    **dict.fromkeys(("ematch-kind-", "nft-", "nfnetlink-subsys-", "nf-logger-", "nf_conntrack-"), NAMESPACE),
    **dict.fromkeys(("nfct-helper-", "nf-nat-", "ipt_", "ip6t_", "ebt_", "arpt_", "xt_", "ip_set_"), NAMESPACE),
    **dict.fromkeys(("ip_vs_", "xfrm-type-", "xfrm-offload-", "vport-type-", "net-l2tp-type-"), NAMESPACE),
    **dict.fromkeys(("team-mode-", "ife-meta-"), NAMESPACE),
    "tty-ldisc-": TERMINAL,
}
# The same of modules that the kernel asks for by their own names.
NAMED = {
    **dict.fromkeys(("sch_", "cls_", "act_", "em_", "xt_", "ipt_", "ip6t_", "ebt_", "arpt_", "ip_vs_"), NAMESPACE),
    **dict.fromkeys(("iptable_", "ip6table_", "arptable_", "ebtable_", "ip_set_", "nf_log_"), NAMESPACE),
}


class Settings(t.NamedTuple):
    """What a host allows: user namespaces to users, the kernel to ask for modules at all, line disciplines to be
    loaded, and modules to be loaded; ``refused`` are modules that the kernel refuses (``module_blacklist=``)."""

    user_namespaces: bool
    autoload: bool
    line_disciplines: bool
    loading: bool
    refused: frozenset[str] = frozenset()

    def opens(self, door: str) -> bool:
        """Whether any user gets through a door."""
        allowed = {USER: True, NAMESPACE: self.user_namespaces, TERMINAL: self.line_disciplines}
        return self.autoload and allowed[door]


def settings() -> Settings:
    """Those of this host."""
    disabled = facts.modules_disabled()
    # Debian's own switch, which other kernels have not.
    own_switch = _text("sys/kernel/unprivileged_userns_clone")
    helper = _text("sys/kernel/modprobe")
    return Settings(
        user_namespaces=_number("sys/user/max_user_namespaces") > 0 and own_switch != "0",
        autoload=not disabled and os.access(helper, os.X_OK) if helper else False,
        line_disciplines=_text("sys/dev/tty/ldisc_autoload") == "1",
        loading=not disabled,
        refused=frozenset(modprobe.listed(_text("cmdline"), "module_blacklist")),
    )


class HostModules(t.NamedTuple):
    """``places`` has a list of modules for each place (``_common.reach.OF_MODULES``); ``complete`` is whether all
    modules are in them that the host has."""

    places: dict[str, list[str]]
    complete: bool


def host_modules(allowed: Settings) -> HostModules:
    """Those of this host."""
    loaded = {line.split()[0] for line in _text("modules").splitlines()}
    tables = modprobe.read_tables(os.path.join(modprobe.MODULES, facts.release()))
    configuration = modprobe.read_configuration(command_line=_text("cmdline"))
    places = classify(loaded, tables or modprobe.Tables(), configuration, allowed, open_nodes(tables))
    # Without a directory of modules, or where a container hides what is loaded, nothing is said of the others.
    return HostModules(places, tables is not None and os.path.exists(os.path.join(PROC, "modules")))


def open_nodes(tables: modprobe.Tables | None, root: str = "/dev") -> set[str]:
    """The modules with a device node that any user may open, by which the kernel loads them."""
    found = set()
    for node, module in tables.nodes.items() if tables else ():
        try:
            mode = os.stat(os.path.join(root, node)).st_mode
        except OSError:
            continue
        if stat.S_ISCHR(mode) and mode & (stat.S_IROTH | stat.S_IWOTH):
            found.add(module)
    return found


def classify(
    loaded: t.Collection[str],
    tables: modprobe.Tables,
    configuration: modprobe.Configuration,
    allowed: Settings,
    nodes: t.Collection[str] = (),
) -> dict[str, list[str]]:
    """The modules of a host by their places; ``nodes`` are those that any user may load by opening a device node."""
    barred = _with_dependents(tables, allowed.refused) if allowed.loading else set(tables.needs)
    # What is run in the place of a module is not the module; and what needs that one is not loaded either.
    closed = barred | _with_dependents(tables, configuration.replaced)
    asked = {module for module in nodes if allowed.autoload and module in tables.needs}
    for alias in tables.aliases:
        if any(alias.startswith(begin) and allowed.opens(door) for begin, door in DOORS.items()):
            asked.update(configuration.resolve(alias, tables))
    for module in tables.needs:
        if any(module.startswith(begin) and allowed.opens(door) for begin, door in NAMED.items()):
            asked.add(module)
    users = _with_needs(tables, configuration, asked - closed, closed)
    places: dict[str, list[str]] = {LOADED: sorted(loaded), USERS: [], ROOT: [], NEVER: []}
    for module in sorted(set(tables.needs) - set(loaded)):
        places[NEVER if module in barred else USERS if module in users else ROOT].append(module)
    return places


def _with_dependents(tables: modprobe.Tables, modules: t.Collection[str]) -> set[str]:
    """The modules, and those that need one of them (modules.dep has all that each needs, not only the next)."""
    return {name for name, needs in tables.needs.items() if name in modules or any(need in modules for need in needs)}


def _with_needs(
    tables: modprobe.Tables, configuration: modprobe.Configuration, modules: set[str], closed: set[str]
) -> set[str]:
    """The modules, and those that are loaded with them."""
    found, todo = set(modules), list(modules)
    while todo:
        module = todo.pop()
        more = [name for want in tables.wants.get(module, ()) for name in configuration.resolve(want, tables)]
        for name in (*tables.needs.get(module, ()), *more):
            if name not in found and name not in closed and name in tables.needs:
                found.add(name)
                todo.append(name)
    return found


def _number(name: str) -> int:
    text = _text(name)
    return int(text) if text.isdigit() and len(text) < 20 else 0


def _text(name: str) -> str:
    """What a file of ``PROC`` says; empty if the kernel does not have or show it."""
    try:
        with open(os.path.join(PROC, name), "rb") as stream:
            return stream.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""
