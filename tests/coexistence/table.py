# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The neighbours of an update, and what becomes of both: each cell is a test, and a cell of ``docs/coexistence.md``.

The lines of a row are run by ``sh`` on a lab machine, behind ``guest/neighbours.sh``.
"""

from __future__ import annotations

import dataclasses
import typing as t

WORKS = "works"
BYPASSED = "bypassed"
DEAF = "not hit"
HELD = "held"
BARRED = "barred"
COLUMNS = ("before", "during", "after", "reverse", "deadline")


@dataclasses.dataclass(frozen=True)
class Refused:
    """The operation is refused with this code; no deadline is."""

    code: str


Outcome = str | Refused


@dataclasses.dataclass(frozen=True)
class Row:
    """A neighbour, and what is expected of both.

    ``works`` succeeds if the neighbour does what it is there for, with the old code and with the new; ``loop`` is one
    turn of what it does over and over in the column *during*; ``codes`` are the refusals that it may meet there.
    ``says`` is what calls say while the neighbour is there, if that is not what the update's state says.
    """

    name: str
    title: str
    place: str
    works: str
    remove: str
    before: Outcome = WORKS
    codes: tuple[str, ...] = ()
    after: Outcome = WORKS
    reverse: Outcome = WORKS
    deadline: Outcome = WORKS
    loop: str = ""
    says: str = ""
    quick: bool = False
    note: str = ""

    def outcome(self, column: str) -> Outcome:
        """What is expected in a column; *during* has `codes`."""
        outcome: Outcome = getattr(self, column)
        return outcome


def _kprobe(name: str, title: str, where: str, armed: str, hit: bool, **more: t.Any) -> Row:
    """A kprobe at an instruction of the function that is not its entry."""
    optimize, kprobe = f"optimize {int(armed == 'OPTIMIZED')}", f'"p:coexistence unix_ioctl+${where}"'
    checks = {"ARMED": f"is_armed ${where}", "OPTIMIZED": f"kprobe_is OPTIMIZED ${where}"}
    works = "grows kprobe_hits" if hit else "if is_live; then ! grows kprobe_hits; else grows kprobe_hits; fi"
    arms, remove = f"; arm; until_true {checks.get(armed, '')}", "kprobe_gone"
    if armed == "DISABLED":
        works, arms, remove = f"kprobe_is DISABLED ${where}", "", "echo >$T/kprobe_events"
    if more.get("after") == BARRED:
        more["loop"] = f"{optimize}; if kprobe_unless_barred {kprobe}; then true{arms}; {remove}; fi"
    return Row(name, title, f"{optimize}; kprobe {kprobe}{arms}", works, remove, Refused("kprobe_inside"), **more)


INSIDE: dict[str, t.Any] = {"codes": ("kprobe_inside",), "after": DEAF}
# The kernel lets it come to old code only, so that it is there neither when the update is reversed nor at its deadline.
ON_THE_JUMP: dict[str, t.Any] = {"codes": ("kprobe_inside",), "after": BARRED, "reverse": BARRED, "deadline": BARRED}


def _bpf(kind: str, title: str, function: str, **more: t.Any) -> Row:
    return Row(
        name=kind,
        title=title,
        place=f"attach {kind} {function} 0",
        works="grows bpf_runs",
        remove="attached_gone",
        loop=f"comes_and_goes_fast {kind} {function}",
        **more,
    )


def _tracer(name: str, title: str, **more: t.Any) -> Row:
    return Row(name, title, f"trace_with {name}", "grows traced", "trace_gone", **more)


ROWS = (
    Row(
        "kprobe_entry",
        "kprobe on entry",
        "kprobe 'p:coexistence unix_ioctl'; arm",
        "grows kprobe_hits",
        "kprobe_gone",
    ),
    _kprobe("kprobe_inside", "kprobe inside, armed", "INSIDE", "ARMED", False, quick=True, **INSIDE),
    _kprobe("kprobe_optimized", "kprobe inside, optimised", "INSIDE", "OPTIMIZED", False, **INSIDE),
    _kprobe("kprobe_disabled", "kprobe inside, disabled", "INSIDE", "DISABLED", False, **INSIDE),
    _kprobe(
        "kprobe_on_jump",
        "kprobe on the jump, armed",
        "JUMP",
        "ARMED",
        True,
        quick=True,
        **ON_THE_JUMP,
        note="one that is about to come when the update is applied is waited for: `busy_function` names "
        "`register_kprobe`. When a loadable module comes that the update patches, no task is looked at: a kprobe in it "
        "whose registration began the moment before may still come, and holds up the reversal (`kprobe_inside`) until "
        "it is removed. Hardware breakpoints, and those of kgdb, are refused on the jump as well.",
    ),
    _kprobe(
        "optimized_on_jump",
        "kprobe on the jump, optimised",
        "JUMP",
        "OPTIMIZED",
        True,
        **ON_THE_JUMP,
    ),
    _kprobe("disabled_on_jump", "kprobe on the jump, disabled", "JUMP", "DISABLED", True, **ON_THE_JUMP),
    Row(
        "kprobe_post",
        "kprobe on entry, with a post handler",
        "insmod ./probe_inside.ko symbol=unix_ioctl post=1",
        "grows cat /sys/module/probe_inside/parameters/hits",
        "rmmod probe_inside",
        before=Refused("entry_in_use"),
        codes=("entry_in_use",),
        after=BYPASSED,
        note="the kernel lets such a probe go on elsewhere, and says of none whether it does. One that does not leaves "
        "the update in effect, which is called `bypassed` all the same. `perf` and tracefs make none.",
    ),
    Row(
        "kretprobe",
        "kretprobe",
        "kprobe 'r:coexistence unix_ioctl'; arm",
        "grows kprobe_hits",
        "kprobe_gone",
    ),
    _bpf("fentry", "BPF fentry", "unix_ioctl"),
    _bpf("fexit", "BPF fexit", "unix_ioctl", quick=True),
    _bpf(
        "fmod_ret",
        "BPF fmod_ret",
        "security_socket_shutdown",
        note="a program that answers in the function's place does so with the old code and with the new: none is run.",
    ),
    _bpf("lsm", "BPF LSM", "bpf_lsm_socket_shutdown"),
    _tracer("function", "function tracer"),
    _tracer("function_graph", "function graph tracer"),
    Row(
        "uprobe",
        "perf uprobe on a caller",
        'echo "p:coexistence $PWD/caller:$ENTER" >$T/uprobe_events; echo 1 >$T/events/uprobes/coexistence/enable',
        "grows uprobe_hits",
        "uprobe_gone",
    ),
    Row(
        "klp",
        "klp (live patch of the kernel's kind)",
        "live_patch",
        "is_live_patched",
        "live_patch_gone",
        before=Refused("entry_in_use"),
        codes=("entry_in_use",),
        after=BYPASSED,
        says="elsewhere",
    ),
    Row(
        "suspend",
        "suspend to memory",
        "suspend",
        "suspends",
        ":",
        note="a deadline goes on while the machine sleeps; one that has passed reverses as soon as it wakes up.",
    ),
    Row("hotplug", "CPU hotplug", "echo 0 >$CPU", "comes_and_goes 1", "echo 1 >$CPU"),
    Row(
        "kexec",
        "kexec image, loaded",
        "./kexec load",
        "grep -q 1 /sys/kernel/kexec_loaded",
        "./kexec unload",
    ),
    Row(
        "kdump",
        "crash kernel, loaded",
        "./kexec load crash",
        "grep -q 1 /sys/kernel/kexec_crash_loaded",
        "./kexec unload crash",
    ),
    Row(
        "module",
        "patched module, load and unload",
        "modprobe dummy numdummies=0",
        "makes_devices",
        "rmmod dummy",
        codes=("object_busy",),
    ),
    Row(
        "out_of_memory",
        "memory cgroup out of memory",
        "group; runs_out_of_memory",
        "runs_out_of_memory",
        "rmdir $GROUP",
        codes=("busy_function",),
    ),
    Row("stopped", "SIGSTOP that ends a sleep", "stopped", "goes_on", "stopped_gone"),
    Row(
        "stopped_inside",
        "SIGSTOP while asleep inside",
        "asleep",
        "sleeps_on",
        "asleep_gone",
        before=Refused("busy_function"),
        codes=("busy_function", "kprobe_inside"),
        reverse=Refused("busy_function"),
        deadline=HELD,
        note="a task that a SIGSTOP reaches in its sleep leaves the function, and sleeps at the edge of the kernel. "
        "One whose sleep no signal ends stays inside: the refusal names it. The test catches it by a kprobe.",
    ),
)
