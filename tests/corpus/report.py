# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run's results as JSON, as an HTML page, and as a page of ``docs`` for each manifest of the project."""

from __future__ import annotations

import collections
import datetime
import json
import pathlib
import re
import subprocess
import textwrap
import typing as t

import jinja2
import yaml

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk
from ansible_collections.rebootless.splice.tests.corpus import verdicts
from ansible_collections.rebootless.splice.tests.corpus.entries import HERE, MANIFESTS, Manifest

COLLECTION = HERE.parents[1]
DOCS = COLLECTION / "docs"
MAIN = "6.1"  # the series of kernels whose pages are coverage.md, coverage-extra.md; others have coverage-6.12.md
WIDTH = 120
TOOLS = {"gcc": ["gcc-12", "-dumpfullversion"], "qemu": ["qemu-system-x86_64", "--version"]}


def write(manifest: Manifest, directory: pathlib.Path, rows: list[dict[str, t.Any]]) -> list[str]:
    """Writes the page and the JSON of ``rows``; returns their paths.

    The manifest's page of ``docs`` is written as well, from all results that are kept, if there is one for each of its
    entries, and it is one of the project's.
    """
    results, page = directory / "coverage.json", directory / "coverage.html"
    facts = describe(manifest, rows)
    disk.replace(results, json.dumps({**facts, "rows": rows}, indent=1).encode() + b"\n")
    disk.replace(page, render("coverage.html.j2", facts, rows).encode())
    whole = len(kept_rows(manifest, directory)) == len(manifest.entries)
    return [str(results), str(page), *(document(manifest, directory) if whole else [])]


def document(manifest: Manifest, directory: pathlib.Path) -> list[str]:
    """Writes the manifest's page from the results that are kept; it says how many entries have none."""
    if manifest.path.resolve().parent != MANIFESTS:
        return []
    kept = kept_rows(manifest, directory)
    page = page_of(manifest.name)
    disk.replace(page, markdown({**describe(manifest, kept), "rows": kept}).encode())
    return [str(page)]


def page_of(manifest: str) -> pathlib.Path:
    """Where the manifest of that name is documented."""
    named = re.fullmatch(r"manifest-(\d+\.\d+)[\d.]*(.*)", manifest)
    if named is None:
        raise ValueError(f"{manifest} does not say of which kernel it is: manifest-6.12.107")
    series, which = named.groups()
    return DOCS / f"coverage{'' if series == MAIN else f'-{series}'}{which}.md"


def markdown(table: dict[str, t.Any]) -> str:
    """The page of what ``describe`` says of a manifest, with its ``rows``; it leads to those of the other manifests."""
    names = sorted(path.stem for path in MANIFESTS.glob("*.json") if path.stem != table["manifest"])
    others = {name: page.name for name in names if (page := page_of(name)).exists()}
    return wrapped(environment().get_template("coverage.md.j2").render(facts=table, others=others))


def wrapped(page: str) -> str:
    """A page of Markdown with paragraphs and list items in lines of at most ``WIDTH`` characters; tables stay."""
    blocks: list[str] = []
    for line in map(str.strip, page.splitlines()):
        if blocks and line and blocks[-1] and not line.startswith(("|", "#", "- ")) and blocks[-1][0] not in "|#":
            blocks[-1] += f" {line}"
        else:
            blocks.append(line)
    return "".join(f"{line}\n" for block in blocks for line in _wrap(block))


def _wrap(block: str) -> list[str]:
    if block[:1] in ("", "|", "#"):
        return [block]
    indent = "  " if block.startswith("- ") else ""
    return textwrap.wrap(block, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def kept_rows(manifest: Manifest, directory: pathlib.Path) -> list[dict[str, t.Any]]:
    """The last result of each entry that has one."""
    rows = []
    for entry in manifest.entries:
        path = directory / entry.name / "row.json"
        if path.exists():
            rows.append(json.loads(path.read_text(encoding="utf-8")))
    return rows


def describe(manifest: Manifest, rows: list[dict[str, t.Any]]) -> dict[str, t.Any]:
    """What was tested with what, and the sums."""
    number = verdicts.counts(rows)
    measured = sorted(row["measured"] for row in rows)
    codes = collections.Counter(row["code_digest"] for row in rows)
    return {
        "manifest": manifest.name,
        "kernel": manifest.kernel,
        "sources": f"{manifest.package} {manifest.before} to {manifest.after}",
        "version": yaml.safe_load((COLLECTION / "galaxy.yml").read_text(encoding="utf-8"))["version"],
        "tools": {name: first_line(command) for name, command in TOOLS.items()},
        "begun": measured[0] if measured else "",
        "ended": measured[-1] if measured else "",
        "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "codes": dict(codes),
        "counts": number,
        "total": len(rows),
        "missing": len(manifest.entries) - len(rows),
        "share": round(verdicts.share(rows), 1),
        "summary": verdicts.summary(rows),
        "build_seconds": round(sum(row["build_seconds"] for row in rows)),
        "lab_seconds": round(sum(row["lab_seconds"] for row in rows)),
        "longest_pause_us": max((row["trial"].get("pause_ns") or 0) for row in rows) // 1000 if rows else 0,
        "functions": sum(len(row["trial"].get("redirected", [])) for row in rows),
        "late": sum(bool(row["trial"].get("late")) for row in rows),
        "findings": dict(
            collections.Counter(row["code"] for row in rows if row["verdict"] == verdicts.CUSTOM).most_common()
        ),
    }


def render(template: str, facts: dict[str, t.Any], rows: list[dict[str, t.Any]]) -> str:
    return environment().get_template(template).render(facts=facts, rows=rows)


def environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=jinja2.select_autoescape(enabled_extensions=("html.j2",), default=False),
    )
    made.globals["spelt"] = verdicts.SPELT
    made.filters["line"] = lambda text: " ".join(str(text).split())
    return made


def first_line(command: list[str]) -> str:
    """The first line that a tool prints; "" if it is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return (done.stdout.splitlines() or [""])[0]
