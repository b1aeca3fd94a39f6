# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators read while a rollout goes on: a line for each host and phase, and a table at the end."""

from __future__ import annotations

import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import LeftOut
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import Row
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.records import HostRecord, Outcome, RunBatch
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.step import REASON

RUN_VERDICT = {
    "stopped": "The run was stopped",
    "waiting": "The run waits",
    "interrupted": "The run was interrupted",
    outcomes.NOT_THERE: "The run found nothing to take back",
}
MOST_HOSTS = 50  # that the table names one by one
COLUMNS = (
    outcomes.CONFIRMED,
    outcomes.APPLIED,
    outcomes.MATCHED,
    outcomes.PENDING,
    outcomes.APPLYING,
    outcomes.REVERSED,
    outcomes.NOT_THERE,
    outcomes.FAILED,
    outcomes.LOST,
    outcomes.UNCOVERED,
    outcomes.NOT_NEEDED,
    outcomes.REBOOT_NEEDED,
)


def host_line(host: str, step: str, answer: Row) -> str:
    """``web1 apply: applied (paused 71 µs, 4 checks good)``, or the reason why not."""
    return f"{host} {step}: {answer['state']}{_reason(answer)}"


def color(state: str) -> str:
    """The name of Ansible's colour for a host's state."""
    if outcomes.is_bad(state):
        return "red"
    return "green" if state in (outcomes.CONFIRMED, outcomes.APPLIED, outcomes.MATCHED) else "yellow"


def host_verdict(record: HostRecord) -> Row:
    """The result of the task that fails a host at the end."""
    return _verdict(f"{record.host}: {record.state}", record.state, {name: getattr(record, name) for name in REASON})


def run_verdict(outcome: Outcome | None) -> Row:
    """The result of the task that fails the controller for a run that did not come to its end."""
    if outcome is None:
        return {"failed": True, "msg": "The run did not come to its end.", "state": "", **dict.fromkeys(REASON, "")}
    title = RUN_VERDICT.get(outcome.outcome, f"The run is {outcome.outcome}")
    return _verdict(title, outcome.outcome, {name: getattr(outcome, name) for name in REASON})


def _verdict(title: str, state: str, reason: Row) -> Row:
    text = f"{title} [{reason['code']}]: {reason['sentence']} {reason['next_step']}".strip()
    return {"failed": True, "msg": text, "state": state, **reason}


def table(
    batches: t.Sequence[RunBatch], records: t.Mapping[str, HostRecord], left_out: t.Mapping[str, LeftOut]
) -> list[str]:
    """How many hosts of each batch are in which state, then the hosts that need a look, with the reason."""
    rows = [(batch.name, [records[host].state for host in batch.hosts]) for batch in batches]
    if left_out:
        rows.append(("left out", [host.state for host in left_out.values()]))
    found = [state for _name, states in rows for state in states]
    columns = [column for column in COLUMNS if column in found] + sorted(set(found) - set(COLUMNS))
    cells = [["batch", "hosts", *columns]]
    cells += [[name, str(len(states)), *(str(states.count(column)) for column in columns)] for name, states in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]
    notable: list[tuple[str, HostRecord | LeftOut]] = [
        (host, record) for host, record in records.items() if record.code or outcomes.is_bad(record.state)
    ]
    notable += list(left_out.items())
    lines += [f"{host}: {row.state}{_reason(vars(row))} {row.next_step}".rstrip() for host, row in notable[:MOST_HOSTS]]
    if len(notable) > MOST_HOSTS:
        lines.append(f"… and {len(notable) - MOST_HOSTS} more hosts; the playbook report names them all")
    return lines


def _reason(answer: Row) -> str:
    if answer.get("code") or answer.get("sentence"):
        code = f" [{answer['code']}]" if answer.get("code") else ""
        back = "" if answer.get("kernel_state") not in outcomes.ORIGINAL_RUNS else " (the original code runs)"
        return f"{code}: {answer.get('sentence', '')}{back}"
    said = []
    if answer.get("pause_ns"):
        said.append(f"paused {answer['pause_ns'] / 1000:.0f} µs")
    if answer.get("checks"):
        good = sum(bool(check.get("ok")) for check in answer["checks"])
        said.append(f"{good} of {len(answer['checks'])} checks good")
    return f" ({', '.join(said)})" if said else ""
