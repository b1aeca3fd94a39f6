# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One batch of a run: whether it may begin, whether it may go on, and its soak.

All of it happens on the controller, once for each batch of one host or a thousand.
"""

from __future__ import annotations

import dataclasses
import datetime
import time
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import times
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan import windows
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.display import count, named
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import Row
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import evidence, gate, guards, lock
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import RunFiles
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.host_slice import (
    APPLY,
    CONFIRM,
    PREFLIGHT,
    PlanSlice,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.pace import Pace, at_once
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.records import (
    REVERT,
    STOPPED,
    WAITING,
    HostRecord,
    Stop,
    Waiting,
)

SLACK_S = 2  # after the last check of a soak, for the watcher to write it down
POLL_S = 1
SHOWN = 5  # hosts that a sentence names


class Batch:
    """One batch; ``say`` shows a line to the operator, ``check`` is Ansible's check mode, ``forks`` its processes."""

    def __init__(
        self, files: RunFiles, first_host: str, say: t.Callable[[str], None], forks: int, check: bool = False
    ) -> None:
        self.files = files
        self.run = files.run()
        self.status = files.status()
        self.number = self._number_of(first_host)
        self.batch = self.run.batches[self.number]
        name = self.batch.name
        #: as it stands in a sentence; batches without a ring are named "batch 1" by the plan already
        self.title = name if name.startswith("batch ") else f"batch {name}"
        self.say = say
        self.check = check
        self.pace = Pace(len(self.hosts), at_once(forks, self.run.concurrency), self.run.task_timeout)

    def _number_of(self, host: str) -> int:
        guarded = guards.batch_of(host)
        if guarded is not None:
            return guarded
        record = self.files.host(host)
        if record is None or record.batch is None:
            raise RebootlessError(
                "not_in_plan",
                f"{host} is not in the plan.",
                "Take the hosts of the play from the lookup rebootless.splice.rollout.",
            )
        return record.batch

    @property
    def hosts(self) -> list[str]:
        """Those that this run has to do with: all of the batch, or those that go back."""
        if self.status.goal != REVERT:
            return self.batch.hosts
        reverting = set(self.status.reverting)
        return [host for host in self.batch.hosts if host in reverting]

    # ---- begin

    def begin(self, holder: lock.Holder, now: datetime.datetime) -> Row:
        """Whether the batch may begin; ``hold``: only with hosts that have begun already."""
        if not self.check:
            self._demand_room()
            lock.acquire(self.files.lock, holder, f"this {self.status.goal}")
        records = self.files.records(self.hosts)
        if self.status.goal == REVERT:
            self._log("batch_started", {"hosts": len(records)})
            return self._begun(True)
        new = [host for host, record in records.items() if record.state == outcomes.PENDING]
        going = [host for host, record in records.items() if not outcomes.is_settled(record.state) and host not in new]
        closed = self._closed(records, new, now)
        if not closed:
            self._log("batch_started", {"hosts": len(records), "new": len(new), "resumed": len(going)})
            return self._begun(True)
        sentence, details = self._why_closed(closed)
        self._log("waiting", details, code="outside_window", sentence=sentence)
        self.say(f"{self.title}: waiting: {sentence}")
        if self.check:
            return self._begun(True)
        if not going:
            self._wait(sentence, details)
        return self._begun(bool(going), hold=True)

    @property
    def seconds_needed(self) -> float:
        """What the whole batch may take: applying, soaking, confirming, each as long as the plan lets it take."""
        return float(self.run.seconds_needed + self.pace.extra)

    @property
    def deadline(self) -> int:
        """Seconds after which an update of this batch reverses itself; 0 in a run that applies nothing."""
        return self.run.deadline and self.run.deadline + self.pace.extra

    def _begun(self, go: bool, hold: bool = False) -> Row:
        if self.deadline and self.pace.extra and not self.check and self.status.goal != REVERT:
            self.say(
                f"{self.title}: {self.pace.hosts} hosts, {self.pace.at_once} at once: what is not confirmed goes "
                f"back by itself {self.deadline} s after it was applied"
            )
        return {
            "go": go,
            "hold": hold,
            "run": self.files.path,
            "batch": self.number,
            "concurrency": self.run.concurrency,
            "deadline": self.deadline,
            "until": time.monotonic() + self.pace.begins_within,
            "task_files": self.run.task_files,
            "guard": guards.NAME.format(self.number),
        }

    def _closed(
        self, records: t.Mapping[str, HostRecord], new: list[str], now: datetime.datetime
    ) -> dict[str, windows.Opening]:
        found = {}
        for host in new:
            planned = records[host].slice
            own = planned if isinstance(planned, PlanSlice) else None
            freezes = [*self.run.freezes, *(own.freezes if own else ())]
            opening = windows.opening(own.windows if own else (), freezes, now, self.seconds_needed)
            if not opening.now:
                found[host] = opening
        return found

    def _why_closed(self, closed: dict[str, windows.Opening]) -> tuple[str, Row]:
        openings = [opening.at for opening in closed.values()]
        last = max((moment for moment in openings if moment is not None), default=None)
        when = "none of the next 400 days" if last is None or None in openings else times.written(last)
        why = next(iter(closed.values())).why
        shut = named(sorted(closed), SHOWN)
        sentence = f"{shut}: {why} The batch needs {self.seconds_needed:g} s. Next opening for all: {when}."
        rows = {host: opening.at and times.written(opening.at) for host, opening in closed.items()}
        return sentence, {"hosts": rows, "opens": when}

    def _why_not_begun(self, hold: bool, number: int) -> tuple[str, Row, str]:
        none: Row = {"hosts": {}, "opens": ""}
        if hold:
            return "Hosts of the batch have not begun, being outside their windows.", none, "outside_window"
        pace = self.pace
        sentence = (
            f"{number} of {pace.hosts} hosts of {self.title} have not begun: with {pace.at_once} at once, "
            f"their turn did not come within {pace.begins_within:g} s, and others would have come to their deadline "
            "before they could be confirmed. More forks, smaller batches or a longer task_timeout give more time."
        )
        return sentence, none, "too_slow"

    def _wait(self, sentence: str, details: Row, code: str = "outside_window") -> None:
        self._set(status=WAITING, waiting=Waiting(code, sentence, self.number, details["hosts"], details["opens"]))

    # ---- gates

    def judge(self, phase: str, hold: bool = False, until: float = 0) -> Row:
        """The gate after a phase; where it stops, it says which hosts go back.

        ``hold`` and ``until`` as the hosts had them: those that had not begun by then were told to wait.
        """
        late = bool(until) and time.monotonic() > until
        if self.check and phase == CONFIRM:  # nothing has happened since the gate before
            return {"go": True, "stop": False, "sentence": ""}
        if not self.check:
            self._demand_room()  # else hosts that were left alone for want of it would count as lost
        phase = PREFLIGHT if self.check and self.status.goal != REVERT else phase
        records = self.files.records(self.hosts)
        verdict = gate.judge(
            records,
            phase,
            self.batch.budget,
            self.status.forgiven,
            hold or late,
            self.run.uncovered_is_bad and phase in (APPLY, CONFIRM),
        )
        self._mark_silent(verdict, records)
        sentence = verdict.sentence(self.title)
        details = {"states": verdict.states, "budget": verdict.budget, "hosts": len(records), "bad": verdict.bad}
        self._log("gate", details, step=phase, sentence=sentence, code="over_budget" if verdict.stop else "")
        self.say(sentence)
        if self.check:
            return {"go": True, "stop": False, "sentence": sentence}
        last = phase != APPLY
        # Who goes back alone has done so; the healthy rest of the batch is brought to its end before the run stops.
        stop = verdict.stop and (last or self.run.revert_scope != "host")
        if phase == CONFIRM:
            self._set(judged=sorted({*self.status.judged, self.number}))
        if stop:
            self._stop(verdict, phase)
        elif last:
            self._log("batch_finished", details)
            if (hold or late) and outcomes.PENDING in verdict.states:
                self._wait(*self._why_not_begun(hold, verdict.states[outcomes.PENDING]))
                stop = True
        return {"go": not stop, "stop": stop, "sentence": sentence}

    @property
    def needs_judgement(self) -> bool:
        """Whether the batch is over, and the run ended before its last gate."""
        records = self.files.records(self.hosts).values()
        return self.number not in self.status.judged and all(outcomes.is_settled(record.state) for record in records)

    def _mark_silent(self, verdict: gate.Verdict, records: t.Mapping[str, HostRecord]) -> None:
        """Records hosts that gave no answer as lost, so that the files say so, too."""
        if self.check:
            return
        for host in verdict.silent:
            before = records[host]
            lost = dataclasses.replace(
                before if before.code else gate.no_answer(before, verdict.phase), state=outcomes.LOST, attempt=None
            )
            # Evidence first: what it lacks is asked again.
            self._log("host", {}, host=host, step=verdict.phase, state=outcomes.LOST, code=lost.code)
            if lost.slice:
                self.files.write_host(lost)

    def _stop(self, verdict: gate.Verdict, phase: str) -> None:
        scope = self.run.revert_scope if self.status.goal != REVERT else None
        bad = [row["host"] for row in verdict.bad]
        stop = Stop(self.number, phase, "over_budget", verdict.sentence(self.title), bad, scope)
        reverting = self.scope_hosts(scope) if scope else self.status.reverting
        self._set(status=STOPPED, stop=stop, reverting=reverting)
        self._log("stopping", {**stop.to_json(), "reverting": reverting}, code=stop.code, sentence=stop.sentence)

    def scope_hosts(self, scope: str) -> list[str]:
        """The hosts that go back, those of the newest batch first."""
        first = 0 if scope == "rollout" else self.number
        found: list[str] = []
        for batch in reversed(self.run.batches[first : self.number + 1]):
            records = self.files.records(batch.hosts)
            if scope == "host":
                records = {host: record for host, record in records.items() if outcomes.is_bad(record.state)}
            found += gate.to_reverse(records)
        return found

    # ---- soak

    def soak(self, alive: t.Callable[[], bool], pause: t.Callable[[float], None] = time.sleep) -> Row:
        """Waits until the last check of every host of the batch is over; no host is asked meanwhile.

        ``alive``: whether ansible-playbook still runs, which goes on afterwards.
        """
        records = self.files.records(self.hosts).values()
        begun = [record.applied_at or 0.0 for record in records if record.state == outcomes.APPLIED]
        last = self.run.check_times[-1] if self.run.check_times else 0
        if self.check or not begun or last <= 0:
            return {"seconds": 0}
        length = last + SLACK_S
        end = time.monotonic() + min(max(max(begun) + length - time.time(), 0.0), length)
        seconds = end - time.monotonic()
        until = time.strftime("%H:%M:%S", time.localtime(time.time() + seconds))
        who = f"{count(len(begun), 'host')} {'soaks' if len(begun) == 1 else 'soak'}"
        self.say(f"{self.title}: {who} until {until} ({seconds:.0f} s), with checks on the host itself")
        while (left := end - time.monotonic()) > 0 and alive():
            pause(min(POLL_S, left))
        return {"seconds": round(seconds)}

    # ---- records

    def _demand_room(self) -> None:
        if self.status.goal != REVERT:  # what goes back is not kept from it
            evidence.demand_room(self.files.evidence)

    def _set(self, **changes: t.Any) -> None:
        self.status = dataclasses.replace(self.status, **changes)
        if not self.check:
            self.files.write_status(self.status)

    def _log(self, event: str, details: Row, **more: t.Any) -> None:
        update = self.run.update.to_json()
        row = evidence.line(event, self.run.plan, update, self.run.by, details, batch=self.number, **more)
        evidence.append(self.files.evidence, [row], sync=event != "host")
