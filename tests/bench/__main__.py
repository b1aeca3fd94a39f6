# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what an operator waits for, and prints it as a table: `make bench`.

Nothing is tested here; figures depend on the machine.  The tree is prepared in a cache of its own, so that downloads
count.
"""

from __future__ import annotations

import difflib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import typing as t

from ansible_collections.rebootless.splice.tests.support.host import Host
from ansible_collections.rebootless.splice.tests.support.runner import Run, Runner

HERE = pathlib.Path(__file__).resolve().parent
KMOD = str(HERE.parents[1] / "kmod")
RELEASE = "6.1.0-50-cloud-amd64"
FIX = {
    "package": "linux-source-6.1",
    "before": "6.1.176-1",
    "after": "6.1.187-1",
    "hunks": {"net/unix/af_unix.c": [6]},
}


class Row(t.NamedTuple):
    what: str
    measured: str
    wanted: str = ""


def seconds(value: float) -> str:
    return f"{value:.1f} s"


def milliseconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:.3f} ms"


def measured(action: t.Callable[[], t.Any]) -> tuple[float, t.Any]:
    begin = time.monotonic()
    result = action()
    return time.monotonic() - begin, result


def do(controller: Runner, module: str, /, **options: t.Any) -> dict[str, t.Any]:
    result = controller.module("localhost", module, **options)
    if result["failed"]:
        sys.exit(f"{module}: {result['msg']}")
    return result


def on_the_build_host(controller: Runner, cache: str) -> tuple[list[Row], dict[str, t.Any], dict[str, t.Any]]:
    """Rows, the tree, the build."""
    taken, tree = measured(lambda: do(controller, "kernel_tree", release=RELEASE, cache=cache))
    phases = ", ".join(f"{phase} {value:.0f}" for phase, value in tree["timings"].items())
    rows = [Row(f"tree from nothing ({phases})", seconds(taken), "under 180 s")]
    patch = do(controller, "corpus_patch", dest=f"{cache}/fix.patch", cache=cache, **FIX)["path"]
    build: dict[str, t.Any] = {}
    for version, what in (
        ("1", "patch to package, first update of the tree"),
        ("2", "patch to package, the unit known"),
    ):
        taken, build = measured(
            lambda version=version: update_build(controller, tree, "bench-fix", version, patch, cache)
        )
        rows.append(Row(what, seconds(taken), "under 15 s"))
    taken, again = measured(lambda: update_build(controller, tree, "bench-fix", "2", patch, cache))
    assert not again["changed"]
    rows.append(Row("patch to package, found in the cache", seconds(taken)))
    return rows, tree, build


def update_build(
    controller: Runner, tree: dict[str, t.Any], name: str, version: str, patch: str, cache: str
) -> dict[str, t.Any]:
    return do(
        controller,
        "update_build",
        name=name,
        version=version,
        patches=[patch],
        tree=tree["path"],
        kmod=KMOD,
        cache=cache,
        not_applicable="fail",
    )


def lab_up(controller: Runner, variables: dict[str, t.Any]) -> Row:
    lab = {**variables, "lab_size": 3}
    controller.playbook("rebootless.splice.lab_up", variables=lab)
    controller.playbook("rebootless.splice.lab_down", variables=lab)
    taken, _run = measured(lambda: controller.playbook("rebootless.splice.lab_up", variables=lab))
    return Row("lab of three machines, warm cache", seconds(taken), "under 120 s")


def on_a_target(runner: Runner, build: dict[str, t.Any], calls: bool = False) -> Run:
    variables = {
        "bench_host": "lab2",
        "bench_package": build["package"],
        "bench_digest": build["digest"],
        "bench_name": build["name"],
        "bench_calls": calls,
    }
    return runner.playbook(str(HERE / "update.yml"), variables=variables)


def target_rows(run: Run) -> list[Row]:
    took = {task.task: seconds(task.seconds) for task in run.tasks}
    match, applied, gone_back = (run.of("lab2", task) for task in ("Match", "Apply", "Reverse"))
    return [
        Row("task: ansible.builtin.ping", took["Ping"]),
        Row("task: update in check mode", took["Match"]),
        Row("task: update, applied", took["Apply"]),
        Row("task: update, nothing to do", took["Apply again"]),
        Row("task: update, reversed", took["Reverse"]),
        Row("match in user space (check mode)", milliseconds(match["match_ns"])),
        Row("match in the kernel", milliseconds(applied["match_ns"])),
        Row("resolve in the kernel", milliseconds(applied["resolve_ns"])),
        Row("pause, applied", milliseconds(applied["pause_ns"])),
        Row("pause, reversed", milliseconds(gone_back["pause_ns"])),
    ]


def call_rows(controller: Runner, runner: Runner, host: Host, tree: dict[str, t.Any], work: pathlib.Path) -> list[Row]:
    """Replaces gcd() by itself with one no-op more, and lets a module call it."""
    path = "lib/math/gcd.c"
    before = pathlib.Path(tree["tree"]["source"], path).read_text().splitlines(keepends=True)
    at = before.index("\tb >>= __ffs(b);\n")
    after = [*before[:at], '\tasm volatile("nop");\n', *before[at:]]
    patch = work / "gcd.patch"
    patch.write_text("".join(difflib.unified_diff(before, after, f"a/{path}", f"b/{path}")))
    build = update_build(controller, tree, "bench-calls", "1", str(patch), str(work))

    source = work / "call_cost"
    shutil.copytree(HERE / "call_cost", source)
    compiler = f"CC={tree['tree']['compiler']}"
    command = ["make", "-s", "-C", tree["tree"]["headers"], f"M={source}", compiler, "modules"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    host.put(source / "call_cost.ko", "/root/call_cost.ko")

    plain = cycles(host.out("insmod /root/call_cost.ko 2>/dev/null; dmesg | grep call_cost | tail -n 1"))
    replaced = cycles(on_a_target(runner, build, calls=True).of("lab2", "Measure calls through the jump")["stdout"])
    return [
        Row("call of a function, not replaced", f"{plain:.1f} cycles"),
        Row("call of the same function through the jump", f"{replaced:.1f} cycles"),
    ]


def cycles(line: str) -> float:
    found = re.search(r"call_cost: (\d+) cycles for (\d+) calls", line)
    assert found is not None, line
    return int(found[1]) / int(found[2])


def show(rows: list[Row]) -> None:
    table = [Row("what", "measured", "wanted"), *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for number, row in enumerate(table):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if number == 0:
            print("-" * (sum(widths) + 4))


def main() -> None:
    controller = Runner()
    # not in memory: a tree takes gigabytes
    with tempfile.TemporaryDirectory(prefix="rebootless-bench-", dir="/var/tmp") as cache:
        rows, tree, build = on_the_build_host(controller, cache)
        lab = {"lab_name": "bench", "lab_cache": os.environ["REBOOTLESS_CACHE"]}
        try:
            rows.append(lab_up(controller, lab))
            directory = pathlib.Path(os.environ["REBOOTLESS_CACHE"], "lab", lab["lab_name"])
            runner = Runner(directory / "inventory.yml")
            host = Host(directory, "lab2", runner)
            assert host.release == RELEASE
            rows += target_rows(on_a_target(runner, build))
            rows += call_rows(controller, runner, host, tree, pathlib.Path(cache))
            accelerator = host.machine.record()["spec"]["accelerator"]
        finally:
            controller.playbook("rebootless.splice.lab_down", variables=lab)
    print(f"One-unit patch of {RELEASE}; targets with two processors under {accelerator}.\n")
    show(rows)


if __name__ == "__main__":
    main()
