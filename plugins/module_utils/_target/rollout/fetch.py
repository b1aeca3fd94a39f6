# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gets a package from the web server that serves the update store."""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

TIMEOUT_S = 30  # without a byte


def fetch(url: str, limit: int, ca: str | None = None) -> bytes:
    """What is at ``url``, up to one byte more than ``limit``; it is kept in memory and checked by who reads it.

    ``ca`` is the file of certificates to trust instead of the system's.  Proxies are those of the environment.  Raises
    ``RebootlessError`` code ``fetch_failed``.
    """
    from ansible.module_utils.urls import open_url  # cost: 100 ms, and most hosts have their package already

    try:
        with open_url(url, timeout=TIMEOUT_S, http_agent="rebootless", ca_path=ca) as answer:
            return answer.read(limit + 1)
    except Exception as error:  # pylint: disable=broad-except  # open_url and http.client have a dozen kinds of them
        raise RebootlessError(
            "fetch_failed",
            f"The package could not be downloaded from {url}: {error}.",
            "Check from the host that the web server that serves the store answers, then try again.",
            url=url,
        ) from error
