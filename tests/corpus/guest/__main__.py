# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a machine of the lab as a zip file: one process for many updates.

Takes orders as lines of JSON and answers each with lines of JSON: ``{"step": …}`` when a step begins, and in the end
``{"done": …}`` with ``facts`` and, unless all went well, ``problem``.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import traceback
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts
from ansible_collections.rebootless.splice.tests.corpus.guest import load
from ansible_collections.rebootless.splice.tests.corpus.guest.exercise import Exercise, Order, kept_file
from ansible_collections.rebootless.splice.tests.corpus.guest.failure import Failure


def main() -> int:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # nothing else gets in between the answers

    def answer(**row: t.Any) -> None:
        answers.write(json.dumps(row) + "\n")
        answers.flush()

    load.run(2.0)  # what the kernel writes into its code at the first call, it has written then
    answer(ready=facts.release(), build_id=facts.build_id())
    for line in sys.stdin:
        answer(done=obey(json.loads(line), lambda step: answer(step=step)))
    return 0


def obey(request: dict[str, t.Any], say: t.Callable[[str], None]) -> dict[str, t.Any]:
    """What became of one order."""
    package = kept_file(base64.b64decode(request["package"]))
    exercise = None
    result: dict[str, t.Any] = {"facts": {}}
    try:
        order = Order(
            request["name"],
            package,
            base64.b64decode(request["program"]),
            request["update_module"],
            tuple(request["modules"]),
            tuple((owner, name) for owner, name in request["functions"]),
            tuple((owner, name) for owner, name in request["data"]),
            request["late"],
            request["busy"],
            request["witness"],
            request["load"],
        )
        exercise = Exercise(order, sys.argv[:1], say)
        exercise.run()
    except RebootlessError as error:
        result["problem"] = {"code": error.code, "sentence": error.sentence, "details": error.details}
    except Failure as failure:
        result["problem"] = {"code": failure.code, "sentence": failure.sentence, "details": failure.details}
    except Exception as error:
        result["problem"] = {
            "code": "check_failed",
            "sentence": f"{type(error).__name__}: {error}",
            "details": {"traceback": traceback.format_exc().splitlines()[-12:]},
        }
    finally:
        os.unlink(package)
    if exercise is not None:
        result["facts"] = exercise.facts
    return result


if __name__ == "__main__":
    sys.exit(main())
