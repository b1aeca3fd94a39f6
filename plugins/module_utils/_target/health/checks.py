# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each kind of health check looks at (``_common.checks`` has their options).

A check returns the sentence that says what is wrong, "" if all is well.
"""

from __future__ import annotations

import os
import socket
import subprocess
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._target.health import health_log
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts, sysfs

# What loading and applying an update adds by itself.
OWN_TAINTS = ("live_patch", "out_of_tree_module", "unsigned_module")
SHOWN_LINES, SHOWN_OUTPUT = 3, 400  # lines of the kernel log; bytes of a command's output


class Subject(t.NamedTuple):
    """What is looked after: an update that is live, and what the host was like before."""

    name: str
    digest: str  # of the build, as the kernel shows it
    taint: int
    log: health_log.HealthLog


def kernel_log(check: dict, subject: Subject) -> str:
    lines = subject.log.lines()
    bad = health_log.bad_lines(lines, check["patterns"], check["ignore"])
    if bad:
        shown = "; ".join(f"{sign}: {text.rstrip('.')}" for sign, text in bad[:SHOWN_LINES])
        more = f" (and {len(bad) - SHOWN_LINES} more)" if len(bad) > SHOWN_LINES else ""
        return f"The kernel has logged since the apply: {shown}{more}."
    if subject.log.lost and not check["lost_ok"]:
        return f"{subject.log.lost} lines of the kernel log were overwritten before they could be read."
    return ""


def taint(check: dict, subject: Subject) -> str:
    allowed = {*OWN_TAINTS, *check["allow"]}
    new = facts.taint()["value"] & ~subject.taint
    names = [(*facts.TAINTS, *(f"bit {bit}" for bit in range(len(facts.TAINTS), 64)))[bit] for bit in _bits(new)]
    bad = [name for name in names if name not in allowed]
    return f"The kernel is tainted since the apply: {', '.join(bad)}." if bad else ""


def _bits(value: int) -> list[int]:
    return [bit for bit in range(64) if value >> bit & 1]


def load(check: dict, subject: Subject) -> str:
    limit = check["max_load_per_cpu"]
    if not limit:
        return ""
    found = os.getloadavg()[0] / (os.cpu_count() or 1)
    return f"The load is {found:.2f} for each processor, more than {limit:g}." if found > limit else ""


def update_state(check: dict, subject: Subject) -> str:
    state = sysfs.state(subject.name)
    if state not in sysfs.IN_EFFECT:
        return f"The update is {state}."
    other = sysfs.digest(subject.name) != subject.digest
    return "Another build of the update took its place." if other else ""


def command(check: dict, subject: Subject) -> str:
    arguments = check["argv"] or ["/bin/sh", "-c", check["cmd"]]
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "REBOOTLESS_UPDATE": subject.name}
    output = os.memfd_create("output")
    try:
        done = subprocess.run(
            arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd="/", check=False
        )
    except OSError as error:
        return f"{arguments[0]} cannot be run: {error.strerror}."
    if done.returncode == check["rc"]:
        return ""
    size = os.fstat(output).st_size
    text = os.pread(output, SHOWN_OUTPUT, max(0, size - SHOWN_OUTPUT)).decode("utf-8", "replace").strip()
    return f"The command ended with {done.returncode}, not {check['rc']}" + (f": {text}" if text else ".")


def url(check: dict, subject: Subject) -> str:
    import ssl  # cost: 50 ms with urllib, and only this kind of check needs them
    import urllib.error  # cost: see ssl
    import urllib.request  # cost: see ssl

    try:
        context = ssl.create_default_context(cafile=check["ca"]) if check["url"].startswith("https:") else None
        request = urllib.request.Request(check["url"], headers={"User-Agent": "rebootless-health"})
        # Not open_url: when the watcher comes here Ansible has removed the module, and what was not imported by then.
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
        try:
            with opener.open(request, timeout=check["timeout"]) as answer:
                status, body = answer.status, answer.read(1 << 20)
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read(1 << 20)
    except (OSError, ValueError) as error:
        return f"{check['url']} does not answer: {error}."
    if status != check["status"]:
        return f"{check['url']} answers with status {status}, not {check['status']}."
    if check["contains"] and check["contains"].encode() not in body:
        return f"The answer of {check['url']} does not contain {check['contains']!r}."
    return ""


def port(check: dict, subject: Subject) -> str:
    try:
        socket.create_connection((check["host"], check["port"]), check["timeout"]).close()
    except OSError as error:
        return f"Nothing can be reached at {check['host']} port {check['port']}: {error}."
    return ""


def unit(check: dict, subject: Subject) -> str:
    try:
        done = subprocess.run(
            ["systemctl", "is-active", "--", check["unit"]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    except OSError as error:
        return f"systemctl cannot be run: {error.strerror}."
    state = done.stdout.decode("utf-8", "replace").strip()
    return f"The unit {check['unit']} is {state or 'unknown'}." if done.returncode else ""


# kind: (what it does, whether it is run in a process of its own, which can be stopped)
RUN: dict[str, tuple[t.Callable[[dict, Subject], str], bool]] = {
    "kernel_log": (kernel_log, False),
    "taint": (taint, False),
    "load": (load, False),
    "update_state": (update_state, False),
    "command": (command, True),
    "url": (url, True),
    "port": (port, True),
    "unit": (unit, True),
}
