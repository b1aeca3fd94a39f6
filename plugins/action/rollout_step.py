# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes one step of a rollout on one host; see the module rollout_step."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import typing as t

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.utils.display import Display

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.action import FleetAction
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import display as lines
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import evidence, guards, step
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import RunFiles
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.packages import package_of

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
            word = files.words([host])[host]
            if self._task.check_mode:
                if wanted == step.CONFIRM:
                    return {"changed": False, "state": word["state"]}
                wanted = {step.APPLY: step.PREFLIGHT}.get(wanted, wanted)
            return self._visit(files, word, wanted, given, variables)
        except Exception as error:  # the controller's own files, or its own faults; the gate misses the host's word
            answer = {"state": outcomes.FAILED, **_refusal(error).result()}
            Display().display(lines.host_line(host, wanted, answer), color="red")
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
        word = files.host(host)
        if word is None or not outcomes.is_bad(word["state"]):  # not for the host's sake, but the run's
            outcome = files.status().get("outcome") or {}
            return lines.verdict(
                "the run", {"state": outcome.get("outcome", ""), **dict.fromkeys(lines.REASON, ""), **outcome}
            )
        return lines.verdict(host, word)

    def _visit(self, files: RunFiles, word: dict, wanted: str, given: dict, variables: dict) -> dict[str, t.Any]:
        skip = step.reason_to_skip(word, wanted, given["hold"], given["until"])
        if skip or not word["slice"]:
            return {"changed": False, "state": word["state"], "code": word["code"], "skip_reason": skip}
        started = time.monotonic()
        if wanted in (step.APPLY, step.CONFIRM):  # what goes back is not kept from it
            evidence.demand_room(files.evidence)
        begun = step.begin(files, word, wanted)
        if wanted == step.CONFIRM and not given["checked"]:
            reason = "the tasks of the plan's checks failed"
            result = self._ask(begun, step.REVERSE, {**given, "reason": reason}, variables)
            answer = step.unchecked(step.answer_of(result, step.REVERSE))
        else:
            result = self._ask(begun, wanted, given, variables)
            answer = step.answer_of(result, wanted)
        row = step.settle(begun, wanted, answer)
        seconds = time.monotonic() - started
        # Before the host's file: what is missing in the evidence has no word there either, and is asked again.
        evidence.append(files.evidence, [step.line(row, wanted, answer, seconds)])
        step.record(files, begun, row)
        Display().display(
            lines.host_line(word["host"], wanted, {**answer, "state": row["state"]}), color=lines.color(row)
        )
        shown = {name: answer[name] for name in step.KEPT if name in answer}
        return {
            **{name: result[name] for name in PASSED_ON if name in result},
            **shown,
            **{name: row[name] for name in ("state", "code", "sentence", "next_step")},
            "changed": bool(answer.get("changed")) and not self._task.check_mode,
        }

    def _ask(self, begun: dict, wanted: str, given: dict, variables: dict) -> dict[str, t.Any]:
        """The module's result, or what stands for it when the host or the controller failed."""
        timeout = begun["slice"].get("task_timeout") or 0
        survey: dict[str, t.Any] = {}
        try:
            with _limited(timeout):
                if "manifest" in begun["slice"]:
                    begun, survey = self._surveyed(begun, variables)
                    if survey["answer"] is not None:
                        return {**survey["facts"], **survey["answer"]}
                arguments = step.options(begun, wanted)
                arguments.update({name: given[name] for name in ("reason", "deadline") if given.get(name)})
                local = package_of(begun["slice"]) if wanted in step.NEEDS_PACKAGE else None
                if local:
                    arguments["package"] = self._transferred(local)
                elif wanted in step.NEEDS_PACKAGE:
                    arguments["url"] = begun["slice"]["url"]
                return {**survey.get("facts", {}), **self._module(wanted, arguments, variables)}
        except TimedOut:
            self._lost = True
            _end_children()
            return step.lost("timeout", f"The host did not answer within {timeout} seconds.", wanted, seconds=timeout)
        except RebootlessError as error:
            return {"state": outcomes.FAILED, **error.result()}
        except AnsibleConnectionFailure as error:
            self._lost = True
            return step.unreached(str(error).strip(), wanted)
        except NotTransferred as error:
            return step.not_transferred(str(error).strip())
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: B036 - the play must not lose the host, whatever this was
            return step.failed(
                "controller_error",
                f"The step failed on the controller: {type(error).__name__}: {error}",
                "Look for the cause on the controller; a retry is safe once it is gone.",
            )

    def _module(self, wanted: str, arguments: dict, variables: dict) -> dict[str, t.Any]:
        """The module's result.

        A host that went through the step before is known to be there, so one attempt that fails is not the last word on
        it: the connection that is shared may be dead, or the host just busy.
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

    def _surveyed(self, begun: dict, variables: dict) -> tuple[dict, dict[str, t.Any]]:
        """The host's record completed for the kernel that it runs, and why it gets nothing, if that is so.

        Only preflights without a plan come here, and only they need what it imports.
        """
        from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.survey import place

        answer = self._execute_module(module_name=KERNEL_INFO, module_args={}, task_vars=variables)
        piece, reason = place(begun["slice"], answer)
        facts = {name: answer[name] for name in PASSED_ON if name in answer}
        return {**begun, "slice": piece}, {"answer": reason, "facts": facts}

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


def _refusal(error: Exception) -> RebootlessError:
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
    # Again and again, in case that somebody catches it.
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
