# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel memory as it is on machines that no emulator has.

A kernel is stopped before it rewrites itself (``alternative_instructions()``, called once all features are known), is
told what such a machine would have told it, and is stopped again when all is rewritten.
"""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
import time
import typing as t

from ansible_collections.rebootless.splice.tests.corpus.booted import PAGE, PHYSICAL_START, START, TIMEOUT, KernelMemory
from ansible_collections.rebootless.splice.tests.corpus.cpus import Cpu
from ansible_collections.rebootless.splice.tests.corpus.kernel_facts import KernelFacts
from ansible_collections.rebootless.splice.tests.support.gdb import EFLAGS, RSP, Connection, Unreadable
from ansible_collections.rebootless.splice.tests.support.monitor import Monitor

INTERRUPTS = 1 << 9  # in the flags
BEGIN = "alternative_instructions"
END = "free_init_pages"  # which that calls next, of the locks' table
INVALID, PANIC = "asm_exc_invalid_op", "panic"
# What the kernel runs while it rewrites, if there is the feature, and the emulator lacks: before and after each write,
# and when a page for thunks gets other permissions, which is before it asks for features to rewrite by.
WRITER, SERIALIZE, NOP = "text_poke_early", bytes.fromhex("0f01e8"), bytes.fromhex("0f1f00")
ASKS, TOLD_THEN = "apply_alternatives", frozenset(("INVPCID",))
GAP = 16 * PAGE  # of the memory for modules without a page: then no more are looked for


def rewritten(facts: KernelFacts, directory: pathlib.Path, cpu: Cpu) -> KernelMemory:
    """The memory of the kernel that has rewritten itself for ``cpu``; files go to ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    features = cpu.in_kernel(facts.features)
    with started(facts, directory, cpu.count, "LA57" in features) as (stub, monitor):
        ends = (facts.address(END), _to_the_begin(facts, stub))
        _tell_features(facts, stub, features - TOLD_THEN)
        _tell_pointers(facts, stub, cpu)
        with _without_serialize(facts, stub):
            _run_to(facts, stub, facts.address(ASKS))
            known = facts.features.names(stub.read(facts.capability, 4 * facts.features.words))
            _tell_features(facts, stub, known | features)  # by now it has added some by itself, such as PVUNLOCK
            _run_to(facts, stub, *ends)
        monitor.human(f"pmemsave {PHYSICAL_START:#x} {facts.address('_end') - START:#x} memory")
        pages = _code_pages(stub, facts.modules_base) if "INDIRECT_THUNK_ITS" in features else {}
    path = directory / "memory"
    memory = KernelMemory(path.read_bytes(), facts.table, pages)
    path.unlink()
    _check(facts, memory, cpu, features)
    return memory


def _check(facts: KernelFacts, memory: KernelMemory, cpu: Cpu, features: t.Collection[str]) -> None:
    """Raises ``RuntimeError`` if the kernel has not taken in what it was told."""
    told = facts.features.names(memory.read(facts.capability, 4 * facts.features.words) or b"")
    # paravirt_set_cap() looks at pv_ops and sets PVUNLOCK.
    wanted = {*features} | ({"PVUNLOCK"} if "lock.queued_spin_unlock" in cpu.calls else set())
    if wanted - told:
        raise RuntimeError(f"{cpu.name}: the kernel has not taken in {', '.join(sorted(wanted - told))}")
    pointer = memory.read(facts.address("x86_return_thunk"), 8)
    if cpu.return_thunk and pointer != _pointer(facts, cpu.return_thunk):
        raise RuntimeError(f"{cpu.name}: x86_return_thunk is not {cpu.return_thunk}")
    # patch_retpoline() leaves calls of retpolines as they are; all other indirect ones need thunks.
    inline = "RETPOLINE" not in features or "RETPOLINE_LFENCE" in features
    if "INDIRECT_THUNK_ITS" in features and inline and not memory.pages:
        raise RuntimeError(f"{cpu.name}: the kernel has allocated no page for thunks")


@contextlib.contextmanager
def started(
    facts: KernelFacts, directory: pathlib.Path, count: int, la57: bool
) -> t.Iterator[tuple[Connection, Monitor]]:
    """A machine that has not begun to run.  That its page tables have five levels (``la57``) is decided here."""
    for name in ("stub", "monitor", "memory"):
        (directory / name).unlink(missing_ok=True)
    command = [
        *("qemu-system-x86_64", "-accel", "tcg", "-cpu", f"max,la57={'on' if la57 else 'off'}", "-smp", str(count)),
        *("-m", "256", "-kernel", str(facts.image.path), "-display", "none", "-no-reboot", "-S"),
        *("-append", "console=ttyS0 nokaslr panic=-1", "-serial", "file:console"),
        *("-qmp", "unix:monitor,server=on,wait=off", "-gdb", "unix:stub,server=on,wait=off"),
    ]
    with (directory / "qemu.log").open("wb") as log:
        qemu = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        end = time.monotonic() + TIMEOUT
        while not ((directory / "stub").exists() and (directory / "monitor").exists()):
            if qemu.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"QEMU has not started: {(directory / 'qemu.log').read_text(errors='replace')}")
            time.sleep(0.05)
        with Connection(directory / "stub") as stub, Monitor(directory / "monitor") as monitor:
            stub.describe_registers()
            yield stub, monitor
    finally:
        qemu.kill()
        qemu.wait()


def _to_the_begin(facts: KernelFacts, stub: Connection) -> int:
    """Runs the kernel until it is about to rewrite itself, without interrupts; returns where it will go on then."""
    begin = facts.address(BEGIN)
    stub.stop_at(begin)
    at = stub.go_on(TIMEOUT)
    if at != begin:
        raise RuntimeError(f"the kernel stopped at {at:#x} and not at {BEGIN}()")
    stub.do_not_stop_at(begin)
    stub.set_register(EFLAGS, stub.register(EFLAGS) & ~INTERRUPTS)
    stub.write(facts.address("early_boot_irqs_disabled"), b"\1")  # or allocating a page for thunks is a BUG()
    return _word(stub, stub.register(RSP))


def _tell_features(facts: KernelFacts, stub: Connection, features: t.Collection[str]) -> None:
    stub.write(facts.capability, facts.features.vector(features))


def _tell_pointers(facts: KernelFacts, stub: Connection, cpu: Cpu) -> None:
    pv_ops = facts.address("pv_ops")
    ends = sorted({*facts.slots.values()})
    for group, source in cpu.copies.items():
        start = facts.slots[group]
        inside = [offset for name, offset in facts.slots.items() if name.startswith(f"{group}.")]
        length = max(inside) + 8 - start
        if start + length not in (*ends, max(ends) + 8):
            raise LookupError(f"pv_ops.{group} does not end where its last pointer does")
        stub.write(pv_ops + start, stub.read(facts.address(source) + start, length))
    for slot, function in cpu.calls.items():
        stub.write(pv_ops + facts.slots[slot], _pointer(facts, function))
    if cpu.return_thunk:
        stub.write(facts.address("x86_return_thunk"), _pointer(facts, cpu.return_thunk))


def _pointer(facts: KernelFacts, names: str) -> bytes:
    name = next((name for name in names.split() if name in facts.table), names)
    return facts.address(name).to_bytes(8, "little")


@contextlib.contextmanager
def _without_serialize(facts: KernelFacts, stub: Connection) -> t.Iterator[None]:
    """Has nops where the kernel's writer runs ``serialize``, which the emulator lacks, and puts it back."""
    start = facts.address(WRITER)
    size = min(other for (other, *_more) in facts.table.values() if other > start) - start
    at = start + stub.read(start, size).index(SERIALIZE)
    stub.write(at, NOP)
    yield
    stub.write(at, SERIALIZE)


def _run_to(facts: KernelFacts, stub: Connection, *ends: int) -> None:
    """Runs the kernel until it is at one of ``ends``.  Raises ``RuntimeError`` if something else happens."""
    invalid, panic = facts.address(INVALID), facts.address(PANIC)
    stops = {*ends, invalid, panic}
    for address in stops:
        stub.stop_at(address)
    at = stub.go_on(TIMEOUT)
    if at == invalid:
        where = _word(stub, stub.register(RSP))  # the frame of the exception
        raise RuntimeError(
            f"no instruction of this processor, or a warning, at {where:#x}: {stub.read(where, 8).hex()}"
        )
    if at not in ends:
        raise RuntimeError(f"the kernel stopped at {at:#x}, {PANIC}() or elsewhere, while it rewrote itself")
    for address in stops:
        stub.do_not_stop_at(address)


def _code_pages(stub: Connection, start: int) -> dict[int, bytes]:
    """The pages that are mapped where modules go, from ``start`` on."""
    pages: dict[int, bytes] = {}
    address = start
    while address < max([start, *pages]) + GAP:
        with contextlib.suppress(Unreadable):
            pages[address] = stub.read(address, PAGE)
        address += PAGE
    return pages


def _word(stub: Connection, address: int) -> int:
    return int.from_bytes(stub.read(address, 8), "little")
