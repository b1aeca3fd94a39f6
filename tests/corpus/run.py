#!/usr/bin/env python
# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes every fix of a manifest live on a stock kernel, and says of each what became of it: ``make corpus``.

    run.py [--only CVE,…] [--jobs N] [--machines N] [--reuse] [--lab NAME] [--work DIRECTORY] MANIFEST

For every entry: derive the patch, build the update, match it offline, apply it on a machine of the lab, look that each
function is redirected and that what was loaded is what was compiled, run a short load, reverse it, compare the kernel's
text with what it was.  Results are kept in DIRECTORY entry by entry, so that a run that was ended goes on with
``--reuse``; without it everything is done anew.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import functools
import json
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.compiler import Compiler
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache, sha256_of
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import read_tree
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, locks
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.tests.corpus import building, report, verdicts
from ansible_collections.rebootless.splice.tests.corpus.entries import MANIFESTS, Entry, Manifest, read_manifest
from ansible_collections.rebootless.splice.tests.corpus.machine import COLLECTION, Bench, MachineLost, order
from ansible_collections.rebootless.splice.tests.support import own_kernels
from ansible_collections.rebootless.splice.tests.support.runner import Runner

DEFAULT = MANIFESTS / "manifest-6.1.176.json"
BUILD_TIMEOUT = 3600  # seconds
LOAD_SECONDS = 1.0
AT_ONCE = 12  # entries whose units are compiled together
# What can change a result: the product, and this command.
CODE = ("plugins/module_utils", "kmod", "tests/corpus")
CODE_SUFFIXES = (".py", ".c", ".h", ".S")


class Stopped(Exception):
    """The run is to end."""


class Built(t.NamedTuple):
    """An entry on its way: its build, the verdict if that is settled already, and its build with custom code."""

    entry: Entry
    plain: dict[str, t.Any]
    verdict: dict[str, t.Any] | None
    custom: dict[str, t.Any] | None


class Coverage:
    """One run over some entries of a manifest; ``rows`` are the results so far, by entry."""

    def __init__(self, manifest: Manifest, entries: list[Entry], arguments: argparse.Namespace) -> None:
        self.manifest, self.entries, self._jobs = manifest, entries, arguments.jobs
        self.work = arguments.work / manifest.name
        self._cache = Cache(arguments.cache)
        self._reuse = arguments.reuse
        self._benches = [
            Bench(f"{arguments.lab}-{number}", self._cache.root, manifest.kernel)
            for number in range(1, arguments.machines + 1)
        ]
        self.rows: dict[str, dict[str, t.Any]] = {}
        self._to_build: list[Entry] = []
        self._waiting: queue.Queue[Entry | None] = queue.Queue()
        self._built: queue.Queue[Built | None] = queue.Queue()
        self._came: set[tuple[str, ...]] = set()  # modules that were loaded while an update was applied
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stop = threading.Event()
        self._crashed: list[str] = []
        self._lock = threading.Lock()
        self._held = contextlib.ExitStack()  # what this run has locked until it ends
        self._tree = ""

    # ---- preparation

    def prepare(self) -> None:
        """The kernel tree, the patches, and what of earlier results still holds."""
        self.work.mkdir(parents=True, exist_ok=True)
        try:
            self._held.enter_context(locks.locked(self.work.parent / "lock", timeout=0))
        except locks.LockHeld:
            raise SystemExit(f"Another run keeps its builds in {self.work.parent}; wait for its end.") from None
        say(f"{self.manifest.kernel}: kernel tree and sources")
        options = own_kernels.tree_options(self.manifest.kernel)
        made = Runner().module("localhost", "kernel_tree", cache=str(self._cache.root), **options)
        if made["failed"]:
            raise SystemExit(made["msg"])
        self._tree = made["path"]
        if not self._reuse:
            shutil.rmtree(self.work.parent / "cache" / "builds", ignore_errors=True)
        derive = self.manifest.patches(self._cache)
        for entry in self.entries:
            directory = self.directory(entry)
            directory.mkdir(parents=True, exist_ok=True)
            disk.replace(directory / "fix.patch", derive(entry))
            known = self._known(entry)
            if known is not None:
                self.rows[entry.name] = known
            else:
                (directory / "row.json").unlink(missing_ok=True)
                self._to_build.append(entry)

    def directory(self, entry: Entry) -> pathlib.Path:
        return self.work / entry.name

    def _key(self, entry: Entry) -> str:
        patch = (self.directory(entry) / "fix.patch").read_bytes()
        custom = [pathlib.Path(path).read_bytes() for path in (*dict(entry.custom), *entry.more_patches)]
        return sha256_of("coverage", self._tree, patch, entry.witness, *custom, code())

    def _known(self, entry: Entry) -> dict[str, t.Any] | None:
        try:
            row = json.loads((self.directory(entry) / "row.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        holds = row["key"] == self._key(entry) and row["verdict"] != verdicts.FAILED
        return row if self._reuse and holds else None

    # ---- the run

    def run(self) -> None:
        """Builds and tries all entries that wait; returns when all is done, raises ``Stopped`` if it was ended."""
        work = [self._make_ready, *[self._build_all] * self._jobs]
        threads = [threading.Thread(target=self._guard, args=(part,)) for part in work]
        trying = [threading.Thread(target=self._guard, args=(self._try_all, bench)) for bench in self._benches]
        try:
            for thread in (*threads, *trying):
                thread.start()
            for thread in threads:
                join(thread)
            self._no_more()
            for thread in trying:
                join(thread)
        except (KeyboardInterrupt, SystemExit):
            say("ending")
            raise Stopped from None
        finally:
            self._stop.set()
            self._kill()
            for bench in self._benches:
                bench.stopped = True
            self._no_more()
            for thread in (*threads, *trying):
                thread.join()
            for bench in self._benches:
                bench.remove()
        if self._crashed:
            raise RuntimeError(self._crashed[0])

    def _no_more(self) -> None:
        for _bench in self._benches:
            self._built.put(None)

    def _guard(self, work: t.Callable[..., None], *arguments: Bench) -> None:
        try:
            work(*arguments)
        except Stopped:
            pass
        except Exception:
            if self._stop.is_set():
                return
            self._crashed.append(traceback.format_exc())
            self._stop.set()

    def _make_ready(self) -> None:
        """Lets the builders have the entries, and compiles the units of many at a time before: make takes long."""
        try:
            for start in range(0, len(self._to_build), AT_ONCE):
                entries = self._to_build[start : start + AT_ONCE]
                if self.manifest.random and not self._stop.is_set():
                    tree = read_tree(self._tree)
                    with contextlib.suppress(RebootlessError):  # the entry's own build says it again
                        Compiler(tree, self._jobs).pre(tree.units.units_of(f for entry in entries for f in entry.hunks))
                for entry in entries:
                    self._waiting.put(entry)
        finally:
            for _number in range(self._jobs):
                self._waiting.put(None)

    def _build_all(self) -> None:
        while (entry := self._waiting.get()) is not None:
            if self._stop.is_set():
                return
            plain = self._build(entry, "plain", [])
            verdict, custom = verdicts.of_build(plain, self.manifest.random), None
            if verdict is not None and verdict["verdict"] == verdicts.CUSTOM and entry.custom:
                custom = self._build(entry, "custom", entry.custom)
            built = Built(entry, plain, verdict, custom)
            if verdict is None or (custom is not None and custom.get("package")):
                self._built.put(built)
            else:
                self._finish(built, verdict, {})

    def _build(self, entry: Entry, kind: str, custom: list[tuple[str, str]]) -> dict[str, t.Any]:
        directory = self.directory(entry) / kind
        directory.mkdir(parents=True, exist_ok=True)
        result = directory / "build.json"
        for path in (result, directory / "loaded.bin"):
            path.unlink(missing_ok=True)
        job = {
            "name": entry.update,
            "cves": entry.cves,
            "patches": [str(self.directory(entry) / "fix.patch"), *(entry.more_patches if custom else [])],
            "custom": custom,
            "tree": self._tree,
            "cache": str(self.work.parent / "cache"),
            "jobs": os.cpu_count() or 1,  # a large header may be all that is left to build
            "directory": str(directory),
            "result": str(result),
        }
        disk.replace(directory / "job.json", json.dumps(job).encode())
        command = [sys.executable, "-m", building.__name__, str(directory / "job.json")]
        with (directory / "build.log").open("wb") as log:
            # A session of its own, so that all that it starts can be ended with it.
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
            with self._lock:
                self._running.add(process)
            if self._stop.is_set():
                self._kill()
            try:
                process.wait(BUILD_TIMEOUT)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            with self._lock:
                self._running.discard(process)
        if self._stop.is_set():
            raise Stopped
        if not result.exists():
            text = (directory / "build.log").read_text(errors="replace")[-2000:]
            what = f"The build ended with status {process.returncode} and no result."
            return {"error": {"code": "build_crashed", "sentence": what, "details": {"log": text}}, "seconds": 0}
        return t.cast("dict[str, t.Any]", json.loads(result.read_text(encoding="utf-8")))

    def _kill(self) -> None:
        with self._lock:
            for process in self._running:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)

    def _try_all(self, bench: Bench) -> None:
        bench.up()
        while (item := self._built.get()) is not None:
            if self._stop.is_set():
                return
            if item.verdict is None:
                trial = self._try(bench, item.entry, item.plain, "plain", "")
                self._finish(item, verdicts.of_trial(trial), trial)
            else:
                custom = t.cast("dict[str, t.Any]", item.custom)
                trial = self._try(bench, item.entry, custom, "custom", item.entry.witness)
                self._finish(item, item.verdict, trial)

    def _try(self, bench: Bench, entry: Entry, built: dict[str, t.Any], kind: str, witness: str) -> dict[str, t.Any]:
        directory = self.directory(entry) / kind
        program = (directory / "loaded.bin").read_bytes()
        package = pathlib.Path(built["package"])
        request = order(entry.update, package, program, built["update_module"], built["facts"], LOAD_SECONDS, witness)
        # What custom code takes care of is not replaced: code that has run at boot, say.
        findings = (
            json.loads((directory.parent / "plain" / "build.json").read_text()).get("error", {})
            if kind == "custom"
            else {}
        )
        excused = {row["details"].get("function") for row in findings.get("details", {}).get("findings", [])}
        request["functions"] = [row for row in request["functions"] if row[1] not in excused]
        modules = tuple(request["modules"])
        request["late"] = modules not in self._came  # once for modules that have several fixes
        request["busy"] = bool(entry.patch)
        start = time.monotonic()
        try:
            trial = bench.obey(request, lambda step: None)
        except MachineLost as lost:
            if self._stop.is_set():
                raise Stopped from None
            (directory / "console.log").write_text(lost.console, encoding="utf-8")
            details = {"console": lost.console.splitlines()[-60:], "before": bench.tried[:-1]}
            trial = {"facts": {}, "problem": {"code": "machine_lost", "sentence": str(lost), "details": details}}
        if witness or (trial.get("problem") and not trial["facts"].get("untouched")):
            bench.down()  # what is left there is unknown
        elif entry.patch and (said := bench.complaints()):
            what = f"The machine's console has a complaint: {said[0]}"
            trial["problem"] = {"code": "kernel_complains", "sentence": what, "details": {"log": said}}
            bench.down()
        if trial["facts"].get("late"):
            self._came.add(modules)
        trial["seconds"] = round(time.monotonic() - start, 1)
        disk.replace(directory / "trial.json", json.dumps(trial, indent=1).encode())
        return trial

    def _finish(self, item: Built, verdict: dict[str, t.Any], trial: dict[str, t.Any]) -> None:
        entry, built = item.entry, item.plain
        facts = built.get("facts") or built.get("error", {}).get("details", {})
        custom = verdicts.of_custom_code(item.custom, trial) if item.custom is not None else None
        if custom is not None and custom["problem"]:
            verdict = {**verdict, "verdict": verdicts.FAILED, "code": "custom_code_failed", "reason": custom["problem"]}
        row = {
            "name": entry.name,
            "cves": list(entry.cves),
            "subject": entry.subject,
            "files": sorted(entry.hunks),
            "kinds": list(entry.kinds),
            **verdict,
            "functions": facts.get("functions", []),
            "data": facts.get("data", []),
            "not_applicable": facts.get("not_applicable", []),
            "remarks": facts.get("remarks", []),
            "objects": sorted({r["object"] for r in [*facts.get("functions", []), *facts.get("data", [])]}),
            "build_seconds": built.get("seconds", 0),
            "timings": built.get("timings", {}),
            "lab_seconds": trial.get("seconds", 0),
            "trial": trial.get("facts", {}),
            "custom": custom,
            "details": (trial.get("problem") or built.get("error") or {}).get("details", {}),
            "key": self._key(entry),
            "code_digest": code()[:12],
            "measured": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        with self._lock:
            self.rows[entry.name] = row
            done = len(self.rows)
        disk.replace(self.directory(entry) / "row.json", json.dumps(row, indent=1).encode())
        seconds = f"build {row['build_seconds']:.0f} s, lab {row['lab_seconds']:.0f} s"
        what = f"{verdicts.SPELT[row['verdict']]}: {row['reason']}"
        say(f"[{done:3}/{len(self.entries)}] {entry.name}: {what[:200]} ({seconds})")


@functools.cache
def code() -> str:
    """Names what is tested: the product's code, and that of this command."""
    files = sorted(path for part in CODE for path in (COLLECTION / part).rglob("*") if path.suffix in CODE_SUFFIXES)
    return sha256_of(*(part for path in files for part in (path.relative_to(COLLECTION), path.read_bytes())))


def repeated(manifest: Manifest, rows: list[dict[str, t.Any]]) -> str:
    """How to repeat what failed of a manifest of edits; "" if nothing did."""
    names_of_failed = {row["name"] for row in rows if row["verdict"] == verdicts.FAILED}
    failed = [entry for entry in manifest.entries if entry.patch and entry.name in names_of_failed]
    if not failed:
        return ""
    names = " ".join(entry.name for entry in failed)
    patches = "\n".join(f"{entry.patch}: {entry.subject}" for entry in failed)
    return f"{manifest.after}; make corpus CORPUS={manifest.path} ONLY='{names}'\n{patches}"


def join(thread: threading.Thread) -> None:
    """Waits so that the keyboard's interrupt gets through."""
    while thread.is_alive():
        thread.join(0.5)


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", nargs="?", type=pathlib.Path, default=DEFAULT)
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--machines", type=int, default=1)
    parser.add_argument("--reuse", action="store_true")
    parser.add_argument("--document", action="store_true", help="only write the page of docs, of what is kept so far")
    parser.add_argument("--lab", default="corpus")
    parser.add_argument("--work", type=lambda text: pathlib.Path(text).resolve(), default=COLLECTION / "build/coverage")
    parser.add_argument("--cache", default=os.environ.get("REBOOTLESS_CACHE", "~/.cache/rebootless"))
    arguments = parser.parse_args()
    manifest = read_manifest(arguments.manifest)
    try:
        entries = manifest.chosen(arguments.only)
    except ValueError as error:
        parser.error(str(error))
    if arguments.document:
        work = arguments.work / manifest.name
        print(*report.document(manifest, work), verdicts.summary(report.kept_rows(manifest, work)), sep="\n")
        return 0
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
    start = time.monotonic()
    coverage = Coverage(manifest, entries, arguments)
    status = 0
    try:
        coverage.prepare()
        coverage.run()
    except (Stopped, KeyboardInterrupt):
        status = 130
    rows = [coverage.rows[entry.name] for entry in entries if entry.name in coverage.rows]
    documents = report.write(manifest, coverage.work, rows)
    say(f"{len(rows)} entries in {(time.monotonic() - start) / 60:.1f} minutes; see {', '.join(documents)}")
    print(*filter(None, [verdicts.by_kind(rows), repeated(manifest, rows), verdicts.summary(rows)]), sep="\n")
    return status or (1 if verdicts.counts(rows)[verdicts.FAILED] else 0)


if __name__ == "__main__":
    sys.exit(main())
