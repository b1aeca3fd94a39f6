# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of ``fleet_exposure``: hosts are asked, their kernels accounted for, and both are joined."""

from __future__ import annotations

import os
import pathlib
import time
import typing as t

from ansible.errors import AnsibleError

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure import answers, keep, model, render
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.accounts import Account, account
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.answers import Answer, Kernel
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.policy import DEFAULT, read_policy
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.updates import Updates
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report import sources
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.asking import AskingAction
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.values import text
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.lock import this_run
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.times import now, written

MODULE = "rebootless.splice.fleet_exposure"
ACCOUNT = "rebootless.splice.kernel_cves"
ARGUMENTS = {
    "step": {"type": "str", "choices": ["gather", "write"], "required": True},
    "directory": {"type": "path", "default": "~/.rebootless"},
    "others": {"type": "list", "elements": "path", "default": []},
    "dest": {"type": "path"},
    "feed": {"type": "path", "default": "~/.cache/rebootless/feed"},
    "trees": {"type": "dict", "default": {}},
    "cache": {"type": "path", "default": "~/.cache/rebootless"},
    "deadlines": {"type": "raw", "default": DEFAULT},
    "exceptions": {"type": "list", "elements": "dict", "default": []},
    "metrics_directory": {"type": "path"},
    "wait": {"type": "float", "default": 60},
    "state_directory": {"type": "path", "default": "/var/lib/rebootless"},
}


class ActionModule(AskingAction):
    SPEC = ARGUMENTS

    def act(self, given: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        return self._gather(given, variables) if given["step"] == "gather" else self._write(given, variables)

    def _gather(self, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        host = task_vars["inventory_hostname"]
        said, why = self.ask_host(MODULE, options["state_directory"], task_vars)
        answer: Answer = {"reachable": not why, "time": written(now()), "run": _this_run().name}
        answer.update({"why": why} if why else {key: said[key] for key in answers.OF_HOST if key in said})
        result: Answer = {"changed": False, "reachable": not why, **({"why": why} if why else {})}
        if self._task.check_mode:  # there is no other way to the next step
            return {**result, "answer": answer}
        keep.write_answer(options["directory"], host, answer, now().timestamp())
        return result

    def _write(self, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        hosts = list(task_vars["ansible_play_hosts_all"])
        groups = task_vars["groups"]
        policy = read_policy(options["deadlines"], options["exceptions"], groups, groups["all"])
        of_host: dict[str, set[str]] = {host: set() for host in hosts}
        for group in policy.groups & set(groups):
            for host in of_host.keys() & set(groups[group]):
                of_host[host].add(group)
        directory, run = options["directory"], _this_run()
        told = self._told(hosts, task_vars) if self._task.check_mode else {}

        def answer_of(host: str) -> Answer:
            return keep.read_answer(directory, host, run, told.get(host), now().timestamp())

        fleet = model.Fleet(
            hosts,
            {host: frozenset(found) for host, found in of_host.items()},
            answer_of,
            lambda kernel: self._account(kernel, options, task_vars),
            now().timestamp(),
        )
        known = Updates(sources.read(directory, *options["others"]))
        made = model.build(fleet, policy, known, this_run().by)
        dest = pathlib.Path(options["dest"] or os.path.join(directory, "exposure", "report"))
        return self._result(made, keep.Places(dest, options["metrics_directory"], options["wait"]))

    def _account(self, kernel: Kernel, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> Account:
        """The account of a kernel, from the build host that this task is delegated to."""
        tree = options["trees"].get(kernel.build_id) or options["trees"].get(kernel.version)
        asked = {"path": options["feed"], "version": kernel.version, "cache": options["cache"]}
        asked.update({"tree": tree} if tree else {"build_id": kernel.build_id} if kernel.build_id else {})
        try:
            said = self.ask(ACCOUNT, asked, task_vars)
        except AnsibleError as error:
            raise RebootlessError(
                "feed_host_not_reachable",
                f"The build host with the feed cannot be asked: {text(error)}",
                "Look at it, or name another one in rebootless_feed_host.",
            ) from error
        return account(kernel, said)

    def _told(self, hosts: t.Sequence[str], task_vars: dict[str, t.Any]) -> dict[str, Answer]:
        """The answers of this run, which check mode does not keep."""
        found = {}
        for host in hosts:
            asked = task_vars["hostvars"][host].get("rebootless_asked")
            if isinstance(asked, dict) and isinstance(asked.get("answer"), dict):
                found[host] = asked["answer"]
        return found

    def _result(self, made: dict[str, t.Any], places: keep.Places) -> dict[str, t.Any]:
        contents = render.files(made)
        before = keep.before(places)
        result = {
            "changed": keep.differs(places, made),
            "files": {kind: str(places.dest / name) for kind, name in render.FILES.items()},
            "hosts": made["fleet"],
            "late": sorted(host["name"] for host in made["hosts"] if host["late"]),
            "notes": made["notes"],
            "summary": render.summary(made),
        }
        if self._task.diff:
            header = {"before_header": str(places.csv), "after_header": str(places.csv)}
            result["diff"] = [{"before": before, "after": contents["csv"].decode(), **header}]
        if not self._task.check_mode:
            keep.write(places, contents)
        return result


def _this_run() -> keep.ThisRun:
    main = this_run()
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - main.start / os.sysconf("SC_CLK_TCK")
    return keep.ThisRun(main.name, now().timestamp() - age)
