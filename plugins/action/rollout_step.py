# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes one step of a rollout on one host; see the module rollout_step."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
import typing as t

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.utils.display import Display

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.action import FleetAction
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import display, evidence, guards, step
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import RunFiles
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.host_slice import SurveySlice
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.records import HostRecord

MODULE = "rebootless.splice.rollout_host"
KERNEL_INFO = "rebootless.splice.kernel_info"
GRACE_S = 5
CLEANUP_S = 30
AGAIN_S = (2, 8)  # pauses between attempts to reach a host that was there before
# What Ansible itself has to hear of, in the next task or on the screen.
PASSED_ON = ("ansible_facts", "warnings", "deprecations")


class TimedOut(BaseException):
    """The host took longer than the plan allows.  No Exception: connection plugins catch those and try again."""


class NotTransferred(Exception):
    """The host answers, and did not take the package."""


class ActionModule(FleetAction):
    """Never fails: a host that is lost stays in the play, and the gate counts it."""

    _requires_connection = True
    _lost = False

    SPEC = {
        "step": {"type": "str", "required": True, "choices": ["apply", "confirm", "reverse", "verdict"]},
        "run": {"type": "path", "required": True},
        "hold": {"type": "bool", "default": False},
        "until": {"type": "float", "default": 0},
        "deadline": {"type": "int"},
        "checked": {"type": "bool", "default": True},
        "reason": {"type": "str", "default": ""},
    }

    def act(self, given: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        host = variables["inventory_hostname"]
        if guards.batch_of(host) is not None:
            return {"changed": False, "skip_reason": "no host"}
        files = RunFiles(given["run"])
        wanted = given["step"]
        try:
            if wanted == "verdict":
                return self._verdict(files, host)
            record = files.records([host])[host]
            if self._task.check_mode:
                if wanted == step.CONFIRM:
                    return {"changed": False, "state": record.state}
                wanted = {step.APPLY: step.PREFLIGHT}.get(wanted, wanted)
            return self._visit(files, record, wanted, given, variables)
        except Exception as error:  # the controller's own files, or its own faults; the gate misses the host's answer
            answer = {"state": outcomes.FAILED, **_refusal(error).result()}
            Display().display(display.host_line(host, wanted, answer), color="red")
            return {"changed": False, **answer}

    def cleanup(self, force: bool = False) -> None:
        """Removes the task's directory from the host if the host lets it: one that is lost must not leave the play,
        where every gate would miss it."""
        if self._lost:
            return
        try:
            with _limited(CLEANUP_S):
                super().cleanup(force)
        except TimedOut:
            _end_children()
        except Exception as error:
            Display().vvv(f"The task's directory stays on the host: {error}")

    @staticmethod
    def _verdict(files: RunFiles, host: str) -> dict[str, t.Any]:
        record = files.host(host)
        if record is None or not outcomes.is_bad(record.state):  # it is localhost, which stands for the run
            return display.run_verdict(files.status().outcome)
        return display.host_verdict(record)

    def _visit(
        self, files: RunFiles, record: HostRecord, wanted: str, given: dict, variables: dict
    ) -> dict[str, t.Any]:
        skip = step.reason_to_skip(record, wanted, given["hold"], given["until"])
        if skip or not record.slice:
            return {"changed": False, "state": record.state, "code": record.code, "skip_reason": skip}
        started = time.monotonic()
        if wanted in (step.APPLY, step.CONFIRM):  # what goes back is not kept from it
            evidence.demand_room(files.evidence)
        begun = step.begin(files, record, wanted)
        if wanted == step.CONFIRM and not given["checked"]:
            reason = "the tasks of the plan's checks failed"
            result = self._ask(begun, step.REVERSE, {**given, "reason": reason}, variables)
            answer = step.unchecked(step.answer_of(result, step.REVERSE))
        else:
            result = self._ask(begun, wanted, given, variables)
            answer = step.answer_of(result, wanted)
        settled = step.settle(begun, wanted, answer)
        seconds = time.monotonic() - started
        # Before the host's file: a step that the evidence lacks is not in the file either, and is asked again.
        evidence.append(files.evidence, [step.line(settled, wanted, answer, seconds)])
        step.record(files, begun, settled)
        text = display.host_line(record.host, wanted, {**answer, "state": settled.state})
        Display().display(text, color=display.color(settled.state))
        for note in answer.get("notes") or ():
            Display().display(f"{record.host} {wanted}: {note}", color="yellow")
        shown = {name: answer[name] for name in step.KEPT if name in answer}
        return {
            **{name: result[name] for name in PASSED_ON if name in result},
            **shown,
            **{name: getattr(settled, name) for name in ("state", *step.REASON)},
            "changed": bool(answer.get("changed")) and not self._task.check_mode,
        }

    def _ask(self, begun: HostRecord, wanted: str, given: dict, variables: dict) -> dict[str, t.Any]:
        """The module's result, or what stands for it when the host or the controller failed."""
        timeout = begun.slice.task_timeout if begun.slice else 0
        facts: dict[str, t.Any] = {}
        try:
            with _limited(timeout):
                if isinstance(begun.slice, SurveySlice):
                    begun, facts, reason = self._surveyed(begun, begun.slice, variables)
                    if reason:
                        return {**facts, **reason}
                arguments = step.options(begun, wanted)
                arguments.update({name: given[name] for name in ("reason", "deadline") if given.get(name)})
                if wanted in step.NEEDS_PACKAGE:
                    local = step.local_package(begun)
                    url = getattr(begun.slice, "url", None)
                    arguments.update({"package": self._transferred(local)} if local else {"url": url})
                return {**facts, **self._module(wanted, arguments, variables)}
        except TimedOut:
            self._lost = True
            _end_children()
            sentence = f"The host did not answer within the {timeout} seconds of rebootless_task_timeout."
            return step.lost("timeout", sentence, wanted, seconds=timeout)
        except AnsibleConnectionFailure as error:
            self._lost = True
            return step.unreached(str(error).strip(), wanted)
        except NotTransferred as error:
            return step.not_transferred(str(error).strip())
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: B036 - the play must not lose the host for any fault
            return {"state": outcomes.FAILED, **_refusal(error).result()}

    def _module(self, wanted: str, arguments: dict, variables: dict) -> dict[str, t.Any]:
        """The module's result.

        A host that went through the step before is known to be there, so one attempt that fails proves
        little: the connection that is shared may be dead, or the host just busy.
        """
        for pause in () if wanted in step.NEEDS_PACKAGE else AGAIN_S:
            try:
                return self._unpacked(arguments, variables)
            except AnsibleConnectionFailure as error:
                Display().vvv(f"Once more in {pause} s: {error}")
                time.sleep(pause)
        return self._unpacked(arguments, variables)

    def _unpacked(self, arguments: dict, variables: dict) -> dict[str, t.Any]:
        """The module's result, also from a host that has no room for it on its disks."""
        result = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=variables)
        if step.had_no_room(result):
            self._task.environment = [*(self._task.environment or []), step.IN_MEMORY]
            result = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=variables)
        return result

    def _surveyed(
        self, begun: HostRecord, asked: SurveySlice, variables: dict
    ) -> tuple[HostRecord, dict[str, t.Any], dict[str, t.Any]]:
        """The host's record completed for the kernel that it runs, what Ansible has to hear of, and why the host gets
        nothing, if that is so.
        """
        from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import survey  # cost: 20 ms a host

        answer = self._execute_module(module_name=KERNEL_INFO, module_args={}, task_vars=variables)
        placed, reason = survey.place(asked, answer)
        facts = {name: answer[name] for name in PASSED_ON if name in answer}
        return dataclasses.replace(begun, slice=placed or asked), facts, reason

    def _transferred(self, local: str) -> str:
        """The path of the package on the host, in a directory that Ansible removes after the task."""
        directory = self._make_tmp_path()
        remote = self._connection._shell.join_path(directory, os.path.basename(local))
        try:
            self._transfer_file(local, remote)
        except AnsibleConnectionFailure:
            raise
        except AnsibleError as error:
            raise NotTransferred(str(error)) from error
        self._fixup_perms2((directory, remote))
        return remote


def _refusal(error: BaseException) -> RebootlessError:
    if isinstance(error, RebootlessError):
        return error
    return RebootlessError(
        "controller_error",
        f"The step failed on the controller: {type(error).__name__}: {error}",
        "Look for the cause on the controller; a retry is safe once it is gone.",
    )


@contextlib.contextmanager
def _limited(seconds: float) -> t.Iterator[None]:
    """Raises ``TimedOut`` in the block when the time is over; 0 is no limit."""

    def ring(_signal: int, _frame: t.Any) -> None:
        raise TimedOut

    before = signal.signal(signal.SIGALRM, ring)
    # Again and again, in case that a connection plugin catches it.
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, GRACE_S if seconds else 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left, interval)
        signal.signal(signal.SIGALRM, before)


def _end_children() -> None:
    """Ends the ssh processes that still wait for the host: the task has no other children."""
    with contextlib.suppress(OSError), open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
        for pid in map(int, file.read().split()):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)
