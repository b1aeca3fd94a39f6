# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time in a lab, whose machines another one would remove: ``lab_lock NAME COMMAND...``.

That becomes the command, with the lock on the lab; what the command starts knows that it is held (``HELD``).
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import locks
from ansible_collections.rebootless.splice.tests.support.places import CACHE

HELD = "REBOOTLESS_LAB_HELD"  # in the environment: the lab that a parent of this process has locked


class LabInUse(Exception):
    """Another run has the lab."""


@contextlib.contextmanager
def held(lab: pathlib.Path) -> t.Iterator[int | None]:
    """Holds a lab, by its directory, until the block ends, unless a parent does; yields the lock's descriptor.

    Raises ``LabInUse``.
    """
    if os.environ.get(HELD) == str(lab):
        yield None
        return
    lab.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            descriptor = stack.enter_context(locks.locked(f"{lab}.lock", timeout=0))
        except locks.LockHeld as other:
            which = "another process" if other.pid is None else f"process {other.pid}"
            raise LabInUse(
                f"The lab {lab} is in use by {which}. Wait for its end, or name another lab by REBOOTLESS_LAB."
            ) from None
        yield descriptor


def main(name: str, *command: str) -> None:
    lab = CACHE / "lab" / name
    try:
        with held(lab) as descriptor:
            if descriptor is not None:
                os.set_inheritable(descriptor, True)
            os.execvpe(command[0], command, {**os.environ, HELD: str(lab)})
    except (LabInUse, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
