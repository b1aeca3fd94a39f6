# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plugin of pytest: no file of tests is passed over in silence.

By its own defaults pytest skips directories called ``build``, which would drop every test of the build host: there are
fewer tests then, and all of them pass.
"""

from __future__ import annotations

import pathlib

import pytest


@pytest.hookimpl(tryfirst=True)  # before -k and -m leave tests out
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Ends the run if a directory that it was asked for has a file ``test_*.py`` without a single test."""
    asked = [path for argument in config.args if (path := (config.invocation_params.dir / argument)).is_dir()]
    there = {file.resolve() for directory in asked for file in directory.rglob("test_*.py")}
    missing = there - {item.path.resolve() for item in items}
    if missing and not config.getoption("ignore") and not config.getoption("ignore_glob"):
        names = ", ".join(sorted(_shown(path, config.rootpath) for path in missing))
        raise pytest.UsageError(f"No test is collected from {names}")


def _shown(path: pathlib.Path, root: pathlib.Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
