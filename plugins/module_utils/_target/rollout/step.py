# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One step of a rollout on one host: look, apply and begin the soak, confirm, go back.

Each step can be killed at any moment and run again: what is live is asked of the kernel, who put it there of the
record, which is written before the kernel is touched.
"""

from __future__ import annotations

import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target import isolation, update
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import sysfs
from ansible_collections.rebootless.splice.plugins.module_utils._target.rollout.records import Records
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import store
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.lock import host_lock

# The host's states (_common.outcomes), as far as a host can know them.
MATCHED, APPLIED, CONFIRMED, REVERSED, FAILED = "matched", "applied", "confirmed", "reversed", "failed"
UNCOVERED, NOT_NEEDED, PENDING, NOT_THERE = "uncovered", "not needed", "pending", "not there"
BAD = (FAILED, UNCOVERED)


class StepRequest(t.NamedTuple):
    """What is asked of the host; the fields are the options of the module ``rollout_host``."""

    step: str
    name: str
    plan: str | None = None
    version: str | None = None
    package: str | None = None
    url: str | None = None
    ca_path: str | None = None
    digest: str | None = None
    size: int | None = None
    build_id: str | None = None
    deadline: int = 0
    checks: t.Any = ()
    check_times: t.Any = ()
    persist: bool = False
    fixed_in: t.Any = ()
    tries: int | None = None
    blockers: str = sysfs.WAIT
    isolated_cpus: str = isolation.REFUSE
    retry: bool = False
    remove: bool = False
    reason: str | None = None
    lock_timeout: int = 60
    state_directory: str = store.DIRECTORY
    metrics_directory: str | None = None


class Stopped(Exception):
    """The step ends here, with the host in ``state`` and ``error`` to say why."""

    def __init__(self, state: str, error: RebootlessError) -> None:
        super().__init__(str(error))
        self.state = state
        self.error = error


class Step:
    """A step on its way: what it was asked for, and what it has found out so far."""

    def __init__(self, request: StepRequest) -> None:
        self.request = request
        self.records = Records(request.state_directory)
        self.changed = False
        self.known: dict[str, t.Any] = {"checks": []}  # becomes part of the result
        self.warnings: list[str] = []
        self.memory: dict[str, t.Any] = {}  # what need not be read twice

    @property
    def name(self) -> str:
        return self.request.name

    @property
    def log_title(self) -> str:
        """How the host's lines in the kernel log about this rollout begin."""
        return f"rebootless: rollout {(self.request.plan or 'without a plan')[:12]}: {self.name}"

    def is_ours(self, record: dict | None) -> bool:
        """Whether a record is of this plan; without a plan every record is."""
        return record is not None and self.request.plan in (None, record["plan"])

    def live(self, state: str) -> str:
        """The state of a live update, as the step's answer; raises ``RebootlessError`` code ``bypassed``."""
        if state == sysfs.BYPASSED:
            raise update.bypassed(self.name)
        return state

    def save(self, record: dict[str, t.Any]) -> None:
        """Writes the record where a failure must not hide something worse."""
        try:
            self.records.write(record)
        except RebootlessError as error:
            self.warnings.append(str(error))

    def arm(self, record: dict | None) -> None:
        """Has the confirmed update applied again at the next boots, if the plan wants that."""
        if not self.request.persist:
            return
        # What a host runs at boot comes with it, and few rollouts arm.
        from ansible_collections.rebootless.splice.plugins.module_utils._target.boot import armed  # cost: 40 ms

        plan = (record["plan"] if record else self.request.plan) or ""
        try:
            with host_lock(self.request.lock_timeout):
                changed = armed.arm(store.Store(self.request.state_directory), self.name, plan, self.request.fixed_in)
        except (OSError, RebootlessError) as error:
            raise _not_armed(error) from error
        self.changed = self.changed or changed
        self.known["armed"] = True


def _not_armed(error: OSError | RebootlessError) -> Exception:
    if not isinstance(error, RebootlessError):
        error = RebootlessError("arm_failed", f"{error}.", "Correct that, then try the host again.")
    told = RebootlessError(
        error.code,
        f"The update is live and confirmed, but it will be gone after a reboot: {error.sentence}",
        error.next_step,
        **error.details,
    )
    # Nothing that another try could mend: the host is as good as it can be.
    return Stopped(CONFIRMED, told) if error.code in ("no_systemd", "quarantined") else told
