# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics in the text format of Prometheus, for the textfile collector of its node exporter.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/ (text format).
"""

from __future__ import annotations

import typing as t

Row = t.Tuple[t.Dict[str, str], float]  # labels, value


def exposition(metrics: t.Iterable[tuple[str, str, t.Iterable[Row]]]) -> str:
    """The text of gauges, each given as its name, its help and its rows; one without rows is left out."""
    lines = []
    for name, text, values in metrics:
        rows = [f"{name}{_labels(labels)} {float(value):.15g}" for labels, value in values]
        if rows:
            lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge", *rows]
    return "\n".join(lines) + "\n"


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
