# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of ``fleet_report``: hosts are asked, and one that cannot be reached is reported as such."""

from __future__ import annotations

import os
import pathlib
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report import model, render, sources
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.asking import AskingAction
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.values import mapping, rows
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.lock import this_run
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.times import now, written

MODULE = "rebootless.splice.fleet_report"
ARGUMENTS = {
    "step": {"type": "str", "choices": ["gather", "write"], "required": True},
    "directory": {"type": "path", "default": "~/.rebootless"},
    "others": {"type": "list", "elements": "path", "default": []},
    "dest": {"type": "path"},
    "hosts": {"type": "list", "elements": "str"},
    "updates": {"type": "list", "elements": "str", "default": []},
    "retired": {"type": "list", "elements": "str", "default": []},
    "state_directory": {"type": "path", "default": "/var/lib/rebootless"},
}


class ActionModule(AskingAction):
    SPEC = ARGUMENTS

    def act(self, given: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        try:
            return self._gather(given, variables) if given["step"] == "gather" else self._write(given, variables)
        except OSError as error:
            raise RebootlessError(
                "directory_not_usable",
                f"The controller's directory cannot be used: {error}.",
                "Make it one that this user can write to.",
            ) from error

    def _gather(self, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        host = task_vars["inventory_hostname"]
        said, why = self.ask_host(MODULE, options["state_directory"], task_vars)
        heard = {"kernel": mapping(said.get("kernel")), "updates": rows(said.get("updates"))}
        answer = {
            "reachable": not why,
            "time": written(now()),
            "run": this_run().name,
            **({"why": why} if why else heard),
        }
        if not self._task.check_mode:
            sources.write_answer(options["directory"], host, answer)
        return {"changed": False, **{key: answer[key] for key in ("reachable", "why") if key in answer}}

    def _write(self, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        directory, wanted = options["directory"], options["hosts"]
        asked = list(task_vars["ansible_play_hosts_all"]) if wanted is None else wanted
        run = this_run()
        kept = sources.read_answers(directory, asked).items()
        answers = {host: row if row.get("run") == run.name else sources.not_asked(row) for host, row in kept}
        # A host of which there is no answer at all was not asked: the report is of what is recorded.
        hosts = [host for host in asked if wanted is not None or host in answers] or None
        known = sources.read(directory, *options["others"])
        chosen = model.Wanted(options["updates"], options["retired"])
        made = model.build(known, hosts, answers, written(now()), run.by, chosen)
        dest = pathlib.Path(options["dest"] or os.path.join(directory, "report"))
        files = {"html": "report.html", "csv": "hosts.csv", "json": "report.json"}
        result = {
            "changed": sources.differs(dest / files["json"], made),
            "files": {kind: str(dest / name) for kind, name in files.items()},
            "states": made["states"],
            "cves": {row["cve"]: row["share"] for row in made["cves"]},
            "evidence": {render.short(row["digest"]): row["evidence"]["chain"] for row in made["rollouts"]},
            "summary": render.summary(made),
        }
        if not self._task.check_mode:
            contents = {"html": render.as_html(made), "csv": render.as_csv(made), "json": render.as_json(made)}
            dest.mkdir(parents=True, exist_ok=True)
            for kind, content in contents.items():
                disk.replace(dest / files[kind], content.encode())
        return result
