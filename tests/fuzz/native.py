# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parsers of the helper module, in user space: its own source files, compiled against ``tests/fuzz/kernel``.

Nothing is copied out of ``kmod``.  A file that calls a function of the kernel, or includes a header, that is not known
here does not compile or link, so that no fuzzer goes on with something else than what runs in the kernel.
"""

from __future__ import annotations

import pathlib
import subprocess
import typing as t

from ansible_collections.rebootless.splice.tests.support.places import COLLECTION, KMOD

HERE = pathlib.Path(__file__).resolve().parent
SHIM = HERE / "kernel"
MATCHING = COLLECTION / "tests" / "support" / "matching"  # regions.h

# The kernel's headers that kmod/ includes, as far as the files below do; fuzz_kernel.h stands for all of them.
# <linux/errno.h> is the C library's.
_HEADERS = """
    asm/cpufeature.h asm/processor.h asm/sync_core.h asm/text-patching.h linux/async.h linux/bitmap.h
    linux/capability.h linux/completion.h linux/cpu.h linux/ctype.h linux/delay.h linux/elf.h linux/ftrace.h
    linux/hashtable.h linux/hrtimer.h linux/iopoll.h linux/jiffies.h linux/jump_label.h linux/kallsyms.h
    linux/kdebug.h linux/kernel.h linux/kobject.h linux/kprobes.h linux/kthread.h linux/ktime.h linux/linkage.h
    linux/list.h linux/lockdep.h linux/memory.h linux/mm.h linux/module.h linux/mutex.h linux/notifier.h
    linux/objtool.h linux/printk.h linux/ptrace.h linux/rethook.h linux/sched.h linux/sched/stat.h
    linux/sched/task.h linux/sched/task_stack.h linux/slab.h linux/sort.h linux/spinlock.h linux/stacktrace.h
    linux/static_call.h linux/stop_machine.h linux/string.h linux/stringhash.h linux/sysfs.h linux/task_work.h
    linux/types.h linux/uaccess.h linux/version.h linux/wait.h linux/workqueue.h trace/events/sched.h
"""


class Parser(t.NamedTuple):
    """A fuzzer: the files of ``kmod`` that it compiles, and the longest input, in bytes, that it is given."""

    sources: tuple[str, ...]
    longest: int
    in_kernel: bool = True  # compiled as the kernel's code; else as that of libmatch.so


MATCHER = ("matcher/match.c", "matcher/check.c", "arch/x86/forms.c")
PARSERS = {
    "program": Parser(MATCHER, 16384, in_kernel=False),
    "update": Parser(
        (
            *("check.c", "symbols.c", "refuse.c", "records.c", "objects.c", "resolve.c", "running.c", "sites.c"),
            *("locks.c", "fixups.c", "stand_ins.c", "prefixes.c", "branches.c", "in_use.c", "hooks.c", "steps.c"),
            "arch/x86/text.c",
            *MATCHER,
        ),
        16384,
    ),
    "control": Parser(("control.c",), 64),
    "notes": Parser(("symbols.c", "matcher/check.c"), 512),
}

SANITIZERS = "address,undefined"
COMMON = ("-std=gnu11", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-Wall", "-Werror")
# Rows of a hostile table may lie at any address, which x86-64 reads all the same.
KERNEL = (
    "-D__KERNEL__",
    "-fno-sanitize=alignment,pointer-overflow,nonnull-attribute",
    "-Wno-unused-function",
    "-Wno-pointer-sign",
)


def build(name: str, directory: pathlib.Path, compiler: str, driver: pathlib.Path | None = None) -> pathlib.Path:
    """Compiles a fuzzer into ``directory`` and returns its path.

    With clang it is libFuzzer's; with ``driver``, a file that has ``main``, any compiler's.  Raises
    ``subprocess.CalledProcessError`` if a file of ``kmod`` is no longer what the fuzzer knows.
    """
    return compile_parser(name, PARSERS[name], directory, compiler, driver)


def compile_parser(
    name: str,
    parser: Parser,
    directory: pathlib.Path,
    compiler: str,
    driver: pathlib.Path | None = None,
    quiet: bool = False,
) -> pathlib.Path:
    """The same for a parser of other files; ``quiet`` without the compiler's words."""
    sources = [*(KMOD / source for source in parser.sources), SHIM / f"{name}.c"]
    # What replays a few inputs is sooner done without the optimizer.
    flags = [
        *COMMON,
        *(("-O0",) if driver else ("-g", "-O1")),
        f"-fsanitize={SANITIZERS}" + ("" if driver else ",fuzzer"),
        f"-I{SHIM}",
        f"-I{KMOD / 'matcher'}",
        f"-I{MATCHING}",
    ]
    if parser.in_kernel:
        headers = _headers(directory / "include")
        sources.append(SHIM / "fuzz_kernel.c")
        flags += [*KERNEL, f"-I{headers}", f"-I{KMOD}", "-include", str(SHIM / "fuzz_kernel.h")]
    binary = directory / name
    stderr = subprocess.DEVNULL if quiet else None
    subprocess.run([compiler, *flags, *sources, *([driver] if driver else []), "-o", binary], check=True, stderr=stderr)
    return binary


def _headers(directory: pathlib.Path) -> pathlib.Path:
    for name in _HEADERS.split():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('#include "fuzz_kernel.h"\n')
    return directory
