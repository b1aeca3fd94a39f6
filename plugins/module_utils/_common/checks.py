# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health checks that a plan can ask for: one table of kinds with their options.

The controller reads it to refuse a wrong plan early, the target to run the checks; ``_target.health.checks`` has what
each kind does.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

TARGET, CONTROLLER = "target", "controller"  # where a check runs
PAUSE_S = 5  # between tries, unless the check says otherwise
MAX_S = 3600  # of a timeout or a delay
MAX_NUMBER = 10**9  # of every other number; far from what floats cannot hold


class CheckOption(t.NamedTuple):
    """An option of a kind: a type of ``TYPES``, its default, and the least number that it may be."""

    type: str
    default: t.Any = None
    required: bool = False
    least: float = 0


class CheckKind(t.NamedTuple):
    """A kind of check; ``one_of`` are options of which exactly one is given."""

    options: dict[str, CheckOption]
    built_in: bool = False  # part of every plan, whether it is named there or not
    runs_on: str = TARGET
    one_of: tuple[str, ...] = ()


# Of every check that can be tried again.
TRIES = {
    "retries": CheckOption("int", 2),  # after the first try
    "delay": CheckOption("seconds", PAUSE_S),  # between tries
    "timeout": CheckOption("seconds", 30, least=0.1),  # of each try
}

KINDS: dict[str, CheckKind] = {
    # What the kernel said since the update was applied.  Regular expressions, searched in each line.
    "kernel_log": CheckKind(
        {
            "patterns": CheckOption("patterns", []),  # lines of the kernel that are bad besides those known to be
            "ignore": CheckOption("patterns", []),  # lines that are not, although they look so
            "lost_ok": CheckOption("bool", False),  # whether lines that were overwritten before they could be read are
        },
        built_in=True,
    ),
    # New taint bits, by the names of ``_target.kernel.facts.TAINTS``; what an update itself leads to is always allowed.
    "taint": CheckKind({"allow": CheckOption("texts", [])}, built_in=True),
    # The 1-minute load for each processor; 0: not looked at.
    "load": CheckKind({"max_load_per_cpu": CheckOption("number", 0), **TRIES}, built_in=True),
    "update_state": CheckKind({}, built_in=True),
    "command": CheckKind(
        {"argv": CheckOption("texts"), "cmd": CheckOption("text"), "rc": CheckOption("int", 0), **TRIES},
        one_of=("argv", "cmd"),
    ),
    "url": CheckKind(
        {
            "url": CheckOption("url", required=True),
            "status": CheckOption("int", 200, least=100),
            "contains": CheckOption("text"),
            "ca": CheckOption("text"),  # path on the target of the certificates to trust instead of the system's
            **TRIES,
        }
    ),
    "port": CheckKind({"host": CheckOption("text", "127.0.0.1"), "port": CheckOption("port", required=True), **TRIES}),
    "unit": CheckKind({"unit": CheckOption("text", required=True), **TRIES}),
    "tasks": CheckKind({"file": CheckOption("text", required=True)}, runs_on=CONTROLLER),
}
BUILT_IN = tuple(name for name, kind in KINDS.items() if kind.built_in)


def _is_text(value: t.Any) -> bool:
    return isinstance(value, str) and value != "" and "\0" not in value


def _is_number(value: t.Any) -> bool:
    return strict_json.is_number(value) and abs(value) <= MAX_NUMBER


def _is_int(value: t.Any) -> bool:
    return strict_json.is_whole(value) and abs(value) <= MAX_NUMBER


def _is_pattern(value: t.Any) -> bool:
    try:
        return _is_text(value) and re.compile(value) is not None
    except (re.error, OverflowError, RecursionError):  # a{99999999999}; a thousand parentheses in one another
        return False


# type: (what it should be, check)
TYPES: dict[str, tuple[str, t.Callable[[t.Any], bool]]] = {
    "text": ("a string that is not empty", _is_text),
    "texts": (
        "a list of strings",
        lambda value: isinstance(value, list) and all(isinstance(item, str) and "\0" not in item for item in value),
    ),
    "patterns": (
        "a list of regular expressions",
        lambda value: isinstance(value, list) and all(map(_is_pattern, value)),
    ),
    "bool": ("true or false", lambda value: isinstance(value, bool)),
    "int": (f"a whole number up to {MAX_NUMBER:,}", _is_int),
    "number": (f"a number up to {MAX_NUMBER:,}", _is_number),
    "seconds": (f"a number of seconds up to {MAX_S}", lambda value: _is_number(value) and value <= MAX_S),
    "port": ("a number from 1 to 65535", lambda value: _is_int(value) and 1 <= value <= 65535),
    "url": (
        "a URL that begins with http:// or https://",
        lambda value: isinstance(value, str) and re.fullmatch(r"https?://[^\s/]\S*", value) is not None,
    ),
}
NUMBERS = ("int", "number", "seconds", "port")


def normalise(checks: t.Any) -> list[dict[str, t.Any]]:
    """The checks as they will run: each with all options, the built-in ones first, named or not.

    A check is ``{"kind": …, "name": …, <options>}``; the name is for people and defaults to the kind.  A built-in kind
    may be named once, to change its options.  Raises ``RebootlessError`` code ``bad_check``.
    """
    if not isinstance(checks, list):
        raise _bad("Health checks are a list.", None)
    asked = [_normal(check) for check in checks]
    for kind in BUILT_IN:
        if sum(check["kind"] == kind for check in asked) > 1:
            raise _bad(f"The health check {kind} is given twice; it is one for the whole host.", {"kind": kind})
    names = [check["name"] for check in asked]
    for name in names:
        if names.count(name) > 1:
            raise _bad(f"Two health checks are called {name}.", {"name": name})
    own = {check["kind"]: check for check in asked if check["kind"] in BUILT_IN}
    always = [own.get(kind) or _normal({"kind": kind}) for kind in BUILT_IN]
    return always + [check for check in asked if check["kind"] not in BUILT_IN]


def allowance(checks: t.Any) -> float:
    """Seconds that one run of all these checks on the target can take at most."""
    return sum(
        check["timeout"] * (check["retries"] + 1) + check["delay"] * check["retries"]
        for check in normalise(checks)
        if "retries" in check and check.get("max_load_per_cpu", 1)
    )


def normalise_times(times: t.Any, deadline: int, checks: t.Any) -> list[int]:
    """The seconds after the apply at which the checks run, sorted, 0 always among them.

    Raises ``RebootlessError`` code ``bad_check_times``, also if the helper's own deadline would come before the last
    of them could end.
    """
    if not isinstance(times, list) or not all(_is_int(value) and value >= 0 for value in times):
        raise RebootlessError(
            "bad_check_times",
            "Times of health checks are a list of whole numbers of seconds from 0 on.",
            "Give them like [0, 60, 300, 900].",
        )
    wanted = sorted({0, *times})
    if deadline <= wanted[-1]:
        raise RebootlessError(
            "bad_check_times",
            f"The last health check would come {wanted[-1]} s after the apply, but the update reverses itself after "
            f"{deadline} s.",
            "Raise the deadline above the last of the check times, with room for the checks and the confirmation "
            f"(one run of the checks takes {allowance(checks):g} s at most).",
            deadline=deadline,
            last=wanted[-1],
        )
    return wanted


def _normal(check: t.Any) -> dict[str, t.Any]:
    word = check.get("kind") if isinstance(check, dict) else None
    if not isinstance(word, str) or word not in KINDS:
        raise _bad(f"{word!r} is no kind of health check; there are {', '.join(KINDS)}.", check)
    kind = KINDS[word]
    name = check.get("name", word)
    if not _is_text(name):
        raise _bad(f"The name of a health check of the kind {word} is no text.", check)
    result: dict[str, t.Any] = {"kind": word, "name": name}
    unknown = sorted(str(key) for key in check if key not in kind.options and key not in ("kind", "name"))
    if unknown:
        known = ", ".join(kind.options) or "none"
        raise _bad(f"The health check {name} has unknown options: {', '.join(unknown)}. Known are: {known}.", check)
    for key, option in kind.options.items():
        result[key] = _value(str(name), key, option, check)
    given = [key for key in kind.one_of if result[key] is not None]
    if kind.one_of and len(given) != 1:
        raise _bad(f"The health check {name} needs exactly one of {' and '.join(kind.one_of)}.", check)
    if result.get("argv") == []:
        raise _bad(f"The health check {name} has an empty argv.", check)
    return result


def _value(name: str, key: str, option: CheckOption, check: dict) -> t.Any:
    value = check.get(key)
    if value is None:
        if option.required:
            raise _bad(f"The health check {name} needs the option {key}.", check)
        return list(option.default) if isinstance(option.default, list) else option.default
    wanted, right = TYPES[option.type]
    if not right(value):
        raise _bad(f"{key} of the health check {name} is not {wanted}.", check)
    if option.type in NUMBERS and value < option.least:
        raise _bad(f"{key} of the health check {name} is less than {option.least:g}.", check)
    return value


def _bad(sentence: str, check: t.Any) -> RebootlessError:
    return RebootlessError(
        "bad_check",
        sentence,
        "Correct the health checks of the plan; the documentation of the module rollout_host lists them.",
        check=check,
    )
