# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators read while a rollout goes on: a line for each host and phase, and a table at the end.

Private to rebootless.splice.
"""

from __future__ import annotations

import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.gate import Row

REASON = ("code", "sentence", "next_step")
MOST_HOSTS = 50  # that the table names one by one
COLUMNS = (
    outcomes.CONFIRMED,
    outcomes.APPLIED,
    outcomes.MATCHED,
    outcomes.PENDING,
    outcomes.APPLYING,
    outcomes.REVERSED,
    outcomes.FAILED,
    outcomes.LOST,
    outcomes.UNCOVERED,
    outcomes.NOT_NEEDED,
    outcomes.REBOOT_NEEDED,
)


def host_line(host: str, step: str, answer: Row) -> str:
    """``web1 apply: applied (paused 71 µs, 4 checks good)``, or the reason why not."""
    return f"{host} {step}: {answer['state']}{_reason(answer)}"


def color(row: Row) -> str | None:
    """The name of Ansible's colour for a host's state."""
    if outcomes.is_bad(row["state"]):
        return "red"
    return {outcomes.CONFIRMED: "green", outcomes.APPLIED: "green", outcomes.MATCHED: "green"}.get(
        row["state"], "yellow"
    )


def verdict(who: str, word: Row) -> Row:
    """The result of the task that fails a host at the end, or the controller for a run that did not come to its end."""
    reason = f"{who}: {word['state']} [{word['code']}]: {word['sentence']} {word['next_step']}"
    shown = {name: word[name] for name in ("state", *REASON)}
    return {"failed": True, "changed": False, "msg": reason.strip(), **shown}


def table(batches: t.Sequence[Row], words: t.Mapping[str, Row], left_out: t.Mapping[str, Row]) -> list[str]:
    """How many hosts of each batch are in which state, then the hosts that need a look, with the reason."""
    rows = [(batch["name"], [words[host]["state"] for host in batch["hosts"]]) for batch in batches]
    if left_out:
        rows.append(("left out", [row["state"] for row in left_out.values()]))
    found = [state for _name, states in rows for state in states]
    columns = [column for column in COLUMNS if column in found] + sorted(set(found) - set(COLUMNS))
    cells = [["batch", "hosts", *columns]]
    cells += [[name, str(len(states)), *(str(states.count(column)) for column in columns)] for name, states in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]
    notable = [(host, word) for host, word in words.items() if word["code"] or outcomes.is_bad(word["state"])]
    notable += list(left_out.items())
    lines += [
        f"{host}: {word['state']}{_reason(word)} {word['next_step']}".rstrip() for host, word in notable[:MOST_HOSTS]
    ]
    if len(notable) > MOST_HOSTS:
        lines.append(f"… and {len(notable) - MOST_HOSTS} more hosts; the playbook report names them all")
    return lines


def _reason(answer: Row) -> str:
    if answer.get("code") or answer.get("sentence"):
        code = f" [{answer['code']}]" if answer.get("code") else ""
        back = "" if answer.get("kernel_state") not in ("reversed", "absent") else " (the original code runs)"
        return f"{code}: {answer.get('sentence', '')}{back}"
    said = []
    if answer.get("pause_ns"):
        said.append(f"paused {answer['pause_ns'] / 1000:.0f} µs")
    if answer.get("checks"):
        good = sum(bool(check.get("ok")) for check in answer["checks"])
        said.append(f"{good} of {len(answer['checks'])} checks good")
    return f" ({', '.join(said)})" if said else ""
