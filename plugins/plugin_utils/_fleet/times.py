# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times as plans and evidence write them: ISO 8601, in UTC."""

from __future__ import annotations

import datetime
import re

from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import fields

UTC = datetime.timezone.utc


def parse_time(value: str, where: str, code: str) -> datetime.datetime:
    """A time of ISO 8601 with its offset, in UTC.  Raises ``RebootlessError`` with ``code``."""
    try:
        moment = datetime.datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", value))
        in_utc = moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:  # the latter: in UTC it is before the year 1, or after 9999
        raise fields.wrong(code, where, f"is {value!r}, which is no time such as 2026-12-24T18:00:00+01:00") from error
    if moment.tzinfo is None:
        raise fields.wrong(code, where, f"is {value!r}, which lacks its offset, such as +01:00")
    return in_utc


def now() -> datetime.datetime:
    return datetime.datetime.now(UTC)


def written(moment: datetime.datetime) -> str:
    """A time as plans and evidence have it: UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
