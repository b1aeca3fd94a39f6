# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of an entry, in one word and a sentence.

``automatic``       the fix was made live, every check of it held, and reversing left the kernel as it was
``custom``          a safety finding says why exchanging code is not enough
``not applicable``  this kernel does not build the file, or no object changes
``does not compile``  what was drawn at random does not stand alone
``failed``          anything else
"""

from __future__ import annotations

import collections
import typing as t

AUTOMATIC, CUSTOM, NOT_APPLICABLE, FAILED = "automatic", "custom", "not applicable", "failed"
NO_SOURCE = "does not compile"
VERDICTS = (AUTOMATIC, CUSTOM, NOT_APPLICABLE, FAILED)
SPELT = {verdict: verdict for verdict in (*VERDICTS, NO_SOURCE)} | {CUSTOM: "custom code needed"}
INIT_HAS_RUN = "init_has_run"
DOES_NOT_COMPILE = "does_not_compile"
# Of the build's reasons why a file has no part in a kernel those that mean that it is not in it, or stays as it is.
ABSENT = ("not_built", "other_architecture", "documentation", "not_in_kernel", "same_object", "already_applied")


def of_build(build: dict[str, t.Any], random: bool = False) -> dict[str, t.Any] | None:
    """``verdict``, ``code``, ``reason`` and ``findings`` of a build that is not to be tried; None if it is.

    ``random``: of a patch that was drawn, and need not compile.
    """
    error = build.get("error")
    if error is not None:
        if random and error["code"] == DOES_NOT_COMPILE:
            return {"verdict": NO_SOURCE, "code": error["code"], "reason": error["sentence"], "findings": []}
        findings = error["details"].get("findings") or []
        if error["code"] == "unsafe_change" and findings:
            reason = " ".join(dict.fromkeys(row["sentence"] for row in findings))
            return {"verdict": CUSTOM, "code": findings[0]["code"], "reason": reason, "findings": findings}
        return {"verdict": FAILED, "code": error["code"], "reason": error["sentence"], "findings": []}
    if build.get("package"):
        # The lab has the module loaded, as a host that needs the fix has.
        ran = [row for row in build["facts"]["remarks"] if row["code"] == INIT_HAS_RUN]
        reason = " ".join(row["sentence"] for row in ran)
        return {"verdict": CUSTOM, "code": INIT_HAS_RUN, "reason": reason, "findings": ran} if ran else None
    rows = build["facts"]["not_applicable"]
    reason = " ".join(dict.fromkeys(row["reason"] for row in rows))
    there = [row for row in rows if row["code"] not in ABSENT]
    if there:
        findings = [{"code": row["code"], "sentence": row["reason"], "details": {}} for row in there]
        return {"verdict": CUSTOM, "code": there[0]["code"], "reason": reason, "findings": findings}
    code = rows[0]["code"] if rows else "empty"
    return {"verdict": NOT_APPLICABLE if rows else FAILED, "code": code, "reason": reason, "findings": []}


def of_trial(trial: dict[str, t.Any]) -> dict[str, t.Any]:
    """The same of an update that was tried on a machine."""
    problem = trial.get("problem")
    if problem is None:
        facts = trial["facts"]
        names, exchanged = facts.get("redirected") or [], facts.get("exchanged") or []
        parts = [f"{len(names)} function{'s' * (len(names) != 1)} replaced: {', '.join(names)}"] if names else []
        if exchanged:
            parts.append(f"constants exchanged: {', '.join(exchanged)}")
        if facts.get("met"):
            parts.append(f"replaced before their init, which ends on this machine: {', '.join(facts['met'])}")
        if facts.get("not_met"):
            parts.append(f"not seen, since they do not load on this machine: {', '.join(facts['not_met'])}")
        if facts.get("stays_loaded"):
            parts.append("reversed, it stays loaded, since objects may hold addresses in it")
        return {"verdict": AUTOMATIC, "code": "", "reason": "; ".join(parts), "findings": []}
    return {"verdict": FAILED, "code": problem["code"], "reason": problem["sentence"], "findings": []}


def of_custom_code(build: dict[str, t.Any], trial: dict[str, t.Any]) -> dict[str, t.Any]:
    """What became of an entry's custom code: ``problem`` ("" if it works), and ``words`` of the witness."""
    if not build.get("package"):
        error = build.get("error", {})
        return {"problem": f"Its custom code does not build: {error.get('sentence', 'nothing changes')}", "words": []}
    problem = trial.get("problem")
    words = trial["facts"].get("witness", [])
    return {"problem": f"With its custom code: {problem['sentence']}" if problem else "", "words": words}


def counts(rows: t.Iterable[dict[str, t.Any]]) -> dict[str, int]:
    """How many entries have each verdict; ``NO_SOURCE`` only if there are any."""
    verdicts = [row["verdict"] for row in rows]
    found = {verdict: verdicts.count(verdict) for verdict in (*VERDICTS, NO_SOURCE)}
    return {verdict: number for verdict, number in found.items() if number or verdict != NO_SOURCE}


def summary(rows: t.Sequence[dict[str, t.Any]]) -> str:
    """The last line of a run."""
    number = counts(rows)
    return (
        f"automatic {number[AUTOMATIC]}, custom {number[CUSTOM]}, not applicable {number[NOT_APPLICABLE]}, "
        + (f"does not compile {number[NO_SOURCE]}, " if NO_SOURCE in number else "")
        + f"failed {number[FAILED]} of {len(rows)}"
    )


def by_kind(rows: t.Iterable[dict[str, t.Any]]) -> str:
    """A table of the kinds of edits and what became of them; "" if no row has a kind.

    What is not automatic is counted by its code.
    """
    kinds: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for row in rows:
        for kind in row.get("kinds", []):
            kinds[kind][_outcome(row)] += 1
    if not kinds:
        return ""
    total = sum(kinds.values(), collections.Counter[str]())
    outcomes = sorted(total, key=lambda outcome: (outcome != AUTOMATIC, outcome))
    width = max(map(len, [*kinds, "together"]))
    lines = [" " * width + "".join(f"  {outcome}" for outcome in outcomes)]
    for kind, counts in [*sorted(kinds.items()), ("together", total)]:
        lines.append(kind.ljust(width) + "".join(f"  {counts[name] or '':>{len(name)}}" for name in outcomes))
    return "\n".join(lines)


def _outcome(row: dict[str, t.Any]) -> str:
    if row["verdict"] == AUTOMATIC:
        return "stays loaded" if row["trial"].get("stays_loaded") else AUTOMATIC
    return {CUSTOM: "refused: ", FAILED: "FAILED: "}.get(row["verdict"], "") + row["code"]


def share(rows: t.Iterable[dict[str, t.Any]]) -> float:
    """The automatic ones' share of the applicable ones, in percent."""
    number = counts(rows)
    applicable = sum(number.values()) - number[NOT_APPLICABLE] - number.get(NO_SOURCE, 0)
    return 100 * number[AUTOMATIC] / applicable if applicable else 0.0
