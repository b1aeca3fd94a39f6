# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One update on one host, from the first byte to the last: apply, look, load, reverse, look again.

The applying and reversing is the product's own; the looking is not.  What an update left behind or did not do raises
``Failure``, what the product refuses ``RebootlessError``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import json
import os
import subprocess
import sys
import tempfile
import time
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.match_program import Program
from ansible_collections.rebootless.splice.plugins.module_utils._common.matcher import Matcher
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import Package, read_package
from ansible_collections.rebootless.splice.plugins.module_utils._target.arch.table import running
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import loader, sysfs
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.kcore import Kcore
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.memory_file import memory_file
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.running import RunningKernel
from ansible_collections.rebootless.splice.plugins.module_utils._target.proof import prove
from ansible_collections.rebootless.splice.plugins.module_utils._target.update import UpdateOperation, UpdateRequest
from ansible_collections.rebootless.splice.tests.corpus.guest import branches, memory
from ansible_collections.rebootless.splice.tests.corpus.guest.failure import Failure
from ansible_collections.rebootless.splice.tests.corpus.guest.watch import Watch
from ansible_collections.rebootless.splice.tests.corpus.guest.witness import Witness

LOAD_TIMEOUT = 120  # seconds
MODPROBE_TIMEOUT = 240  # seconds; btrfs tries its checksums when it is loaded, and the machine is emulated
SETTLE = (0.2, 1.0, 3.0)  # seconds to wait for what the kernel itself writes late (static branches with a rate limit)
Say = t.Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Order:
    """What to do: the update's package, the match program of its own module, the modules that it changes.

    ``functions`` are (object, name) of those that have to be redirected, ``data`` those of constants that have to be
    exchanged; ``late``: also with modules that come and go while the update is applied; ``busy``: the load runs also
    while it is applied and reversed; ``witness`` is a script that watches objects which were there before the update,
    "" if there is none; ``load`` is in seconds.
    """

    name: str
    package: str  # path
    program: bytes
    update_module: str
    modules: tuple[str, ...]
    functions: tuple[tuple[str, str], ...]
    data: tuple[tuple[str, str], ...]
    late: bool
    busy: bool
    witness: str
    load: float


class Exercise:
    """One run; ``facts`` fills as it goes, so that what was seen before a failure can be reported."""

    def __init__(self, order: Order, arguments: list[str], say: Say) -> None:
        self.order, self._arguments, self._say = order, arguments, say
        self.facts: dict[str, t.Any] = {"steps": {}}
        self.package: Package = read_package(order.package)
        self.watch = Watch()
        self._touched = False
        self._loading: subprocess.Popen[str] | None = None

    @contextlib.contextmanager
    def step(self, name: str) -> t.Iterator[None]:
        """Tells what is done, so that the controller knows it of a machine that died; measures it."""
        self._say(name)
        start = time.monotonic()
        try:
            yield
        finally:
            self.facts["steps"][name] = round(self.facts["steps"].get(name, 0) + time.monotonic() - start, 2)

    def run(self) -> None:
        """All of it.  The host is as before afterwards, unless that is what failed."""
        with self.step("load modules"):
            present = [name for name in self.order.modules if self._modprobe(name)]
            self.facts["modules"] = {name: name in present for name in self.order.modules}
        self._watch_anew()
        try:
            if self._whole(present) and present and self.order.late:
                self._late(present)
        finally:
            if self._loading is not None:
                with contextlib.suppress(Failure, subprocess.TimeoutExpired):
                    self._load()
            with contextlib.suppress(RebootlessError, OSError):
                self._request("absent")
            # Refused before anything was changed: the machine will do for others.
            self.facts["untouched"] = not self._touched and not sysfs.helper_loaded()
            self.facts["remarks"] = self.watch.remarks()[:5]
            self.watch.close()

    def _whole(self, present: list[str]) -> bool:
        """Returns whether the update has parts that can come later."""
        witness = Witness(self.order.witness) if self.order.witness else None
        try:
            return self._apply_and_reverse(present, witness)
        finally:
            if witness is not None:
                self.facts["witness"] = witness.words
                witness.end()

    def _apply_and_reverse(self, present: list[str], witness: Witness | None) -> bool:
        with self.step("read memory"), Kcore() as core:
            before = memory.read_areas(core, present)
        if self.order.busy:
            self._start_load()
        with self.step("apply"):
            result = self._request("applied")
            self._touched = True
            self.facts.update({key: result.get(key) for key in ("pause_ns", "match_ns", "tries")})
        has_parts = os.path.exists(os.path.join(sysfs.ROOT, self.order.name, "objects"))
        self._check_applied(before, present)
        if witness is not None:
            with self.step("witness"):
                witness.tell("applied")
        self._no_problems("when the update was applied")
        with self.step("load modules that end"):
            self._offer([name for name in self.order.modules if name not in present])
        with self.step("load"):
            self._load()
        self._no_problems("while the update was applied")
        if self.order.busy:
            self._start_load()
        with self.step("reverse"):
            self._request("reversed")
        if self.order.busy:
            with self.step("load after"):
                self._load()
        if witness is not None:
            with self.step("witness"):
                witness.tell("reversed")
        with self.step("compare memory"):
            self._compare(before, present)
        with self.step("remove"):
            gone = self._remove()
        self._no_problems("after the update was reversed")
        return has_parts and gone

    def _offer(self, absent: list[str]) -> None:
        """Modules whose init finds nothing to do on this machine and ends: the update has met them by then."""
        for name in absent:
            self._modprobe(name)
            if self.watch.says("not loaded, since an update that is applied does not fit it"):
                raise Failure("module_refused", f"{name} does not fit the update that is applied.")
        met = [name for name in absent if self.watch.says(f"{self.order.name}: {name.replace('-', '_')} has come: ")]
        self.facts.update(met=met, not_met=[name for name in absent if name not in met])
        if absent:
            self._watch_anew()

    def _watch_anew(self) -> None:
        """What modules say when they come is no matter of the update."""
        self.watch.close()
        self.watch = Watch()

    def _late(self, present: list[str]) -> None:
        """The same with modules that are loaded and unloaded while the update is applied, if they can be."""
        with self.step("unload modules"):
            gone = [name for name in reversed(present) if name not in network_drivers() and self._unload(name)]
        if not gone:
            return
        with self.step("apply before modules"):
            self._request("applied")
        with self.step("load modules late"):
            for name in reversed(gone):
                if not self._modprobe(name):
                    raise Failure("module_refused", f"{name} cannot be loaded while the update is applied.")
            self._check_redirected(present)
            self._check_exchanged(present)
            self._check_replacement()
            self.facts["late"] = sorted(gone)
        with self.step("unload modules late"):
            again = [name for name in gone if self._unload(name)]
            self.facts["unloaded_while_applied"] = sorted(again)
            for name in reversed(again):
                self._modprobe(name)
        with self.step("reverse late"):
            self._request("reversed")
            prove(self.package)  # run equals pre again, in modules that lie elsewhere now
            self._remove()
        self._no_problems("with modules that came while the update was applied")

    def _remove(self) -> bool:
        """Whether the update could be unloaded; one whose new functions objects may still call stays, reversed."""
        try:
            self._request("absent")
        except RebootlessError as error:
            if error.code != "module_kept" or sysfs.state(self.order.name) != sysfs.REVERSED:
                raise
            self.facts["stays_loaded"] = True
            return False
        return True

    def _request(self, state: str) -> dict[str, t.Any]:
        wanted = UpdateRequest(state, package=self.order.package, state_directory=tempfile.gettempdir() + "/packages")
        return UpdateOperation(wanted, check_mode=False).run()

    # ---- checks

    def _check_applied(self, before: list[memory.Area], present: list[str]) -> None:
        with self.step("check jumps"):
            self._check_redirected(present)
            self._check_exchanged(present)
        with self.step("check replacement"):
            self._check_replacement()
        with self.step("check the rest of memory"), Kcore() as core:
            self._check_nothing_else(memory.differences(before, memory.read_areas(core, present)))

    def _check_redirected(self, present: list[str]) -> None:
        """Each function that the update replaces begins with a jump to code of the update's own module."""
        rows = sysfs.functions(self.order.name)
        redirected = set()
        start = memory.module_base(self.order.update_module)
        with Kcore() as core:
            for row in rows:
                if int(row["new_address"], 16) == 0:  # a piece that only has to be left
                    continue
                address, target = int(row["jump_address"], 16), int(row["new_address"], 16)
                if address == 0:
                    continue  # of a module that is not there
                jump = running().jump(address, target)
                found = core.read(address, len(jump))
                if found != jump:
                    raise Failure(
                        "not_redirected",
                        f"At {row['name']} there is no jump to its replacement.",
                        expected=jump.hex(),
                        found=(found or b"").hex(),
                    )
                if not start <= target < start + (64 << 20):
                    raise Failure("not_redirected", f"{row['name']} does not lead into the update's module.")
                redirected.add(row["name"])
        self._check_all_of(self.order.functions, redirected, present, "not_redirected", "functions are not redirected")
        self.facts["redirected"] = sorted(redirected)

    def _check_exchanged(self, present: list[str]) -> None:
        """Each constant that the update exchanges has the bytes that the update's module has for it."""
        exchanged = set()
        with Kcore() as core:
            for row in self._data():
                size = int(row["size"])
                found = core.read(int(row["address"], 16), size)
                if found is None or found != core.read(int(row["new_address"], 16), size):
                    raise Failure("not_exchanged", f"{row['name']} is not what the update has for it.")
                exchanged.add(row["name"])
        self._check_all_of(self.order.data, exchanged, present, "not_exchanged", "constants are not exchanged")
        self.facts["exchanged"] = sorted(exchanged)

    def _data(self) -> list[dict[str, t.Any]]:
        """The rows of constants that are there, not those of modules that are not."""
        read: t.Callable[[str], list] = getattr(sysfs, "data", lambda name: [])
        return [row for row in read(self.order.name) if int(row["address"], 16)]

    @staticmethod
    def _check_all_of(
        wanted: tuple[tuple[str, str], ...], found: set[str], present: list[str], code: str, what: str
    ) -> None:
        here = {"vmlinux", *present}
        missing = [name for owner, name in wanted if owner.replace("-", "_") in here and name not in found]
        if missing:
            raise Failure(code, f"These {what}: {', '.join(missing)}.")

    def _check_replacement(self) -> None:
        """The update module in memory is the one that was built, byte for byte where the kernel does not write."""
        library = self.package.files["libmatch.so"]
        with memory_file(library, "libmatch.so") as path, RunningKernel(symbols=memory.AllSymbols()) as kernel:
            found = Matcher(path).match(self.order.program, kernel)
        if not found.ok:
            details = found.details(Program(self.order.program))
            raise Failure("replacement_differs", f"The loaded replacement differs: {found.sentence}", **details)
        self.facts["replacement_bytes"] = found.compared

    def _check_nothing_else(self, changed: list[memory.Difference]) -> None:
        """Nothing changed in code and constants but jumps and exchanged data."""
        own = {
            int(row["jump_address"], 16) + at
            for row in sysfs.functions(self.order.name)
            if int(row["jump_address"], 16)
            for at in range(len(bytes.fromhex(row["saved_bytes"])))
        } | {int(row["address"], 16) + at for row in self._data() for at in range(int(row["size"]))}
        others = [row for row in changed if not all(row.address + at in own for at in range(len(row.after)))]
        others = self._without_branches(others)
        with Kcore() as core:
            others = [row for row in others if not branches.is_moved(core, row)]
        if others:
            self._report("changed_besides", "More than the update's functions and data has changed", others)

    def _without_branches(self, changed: list[memory.Difference]) -> list[memory.Difference]:
        """Leaves out where a static branch of the kernel's own was flipped meanwhile, by the load for instance."""
        if not changed:
            return changed
        with Kcore() as core:
            sites = branches.Branches(core)
            others = [row for row in changed if not all(sites.is_one(row.address + at) for at in range(len(row.after)))]
        self.facts["branches_flipped"] = self.facts.get("branches_flipped", 0) + len(changed) - len(others)
        return others

    def _compare(self, before: list[memory.Area], present: list[str]) -> None:
        for pause in (*SETTLE, None):
            with Kcore() as core:
                changed = self._without_branches(memory.differences(before, memory.read_areas(core, present)))
            if not changed:
                self.facts["compared"] = sum(len(area.data) for area in before)
                return
            if pause is not None:
                time.sleep(pause)
        self._report("text_differs", "The kernel is not what it was before the update", changed)

    @staticmethod
    def _report(code: str, sentence: str, changed: list[memory.Difference]) -> t.NoReturn:
        names = memory.names_at(row.address for row in changed)
        where = ", ".join(dict.fromkeys(names[row.address] for row in changed))
        rows = [{"symbol": names[row.address], **row.as_dict()} for row in changed[:8]]
        raise Failure(code, f"{sentence}: {where}.", changed=rows)

    def _no_problems(self, when: str) -> None:
        problems = self.watch.problems()
        if problems:
            raise Failure("kernel_complains", f"The kernel complained {when}: {problems[0]}", log=problems[:30])

    # ---- the host

    def _start_load(self) -> None:
        command = [sys.executable, *self._arguments, "load", str(self.order.load)]
        pipe = subprocess.PIPE
        self._loading = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)

    def _load(self) -> None:
        """Waits for the load that was started, or for one that is started now."""
        if self._loading is None:
            self._start_load()
        process, self._loading = t.cast("subprocess.Popen[str]", self._loading), None
        output, errors = process.communicate(timeout=LOAD_TIMEOUT)
        counts = json.loads(output) if process.returncode == 0 else {}
        failed = sorted(key for key in counts if ": " in key or "died" in key)
        if failed or not counts:
            raise Failure("load_failed", f"The load failed: {(failed or [errors[-300:]])[0]}", counts=counts)
        self.facts["load"] = counts

    @staticmethod
    def _modprobe(name: str) -> bool:
        if not memory.is_loaded(name):
            subprocess.run(["modprobe", name], capture_output=True, check=False, timeout=MODPROBE_TIMEOUT)
        return memory.is_loaded(name)

    @staticmethod
    def _unload(name: str) -> bool:
        with contextlib.suppress(RebootlessError):
            return loader.unload(name)
        return False


def network_drivers() -> set[str]:
    """The modules of the machine's network devices: without them it could not be reached any more."""
    modules = glob.glob("/sys/class/net/*/device/driver/module")
    return {os.path.basename(os.path.realpath(module)) for module in modules}


def kept_file(content: bytes) -> str:
    """A file of its own with ``content``."""
    descriptor, path = tempfile.mkstemp(suffix=".rbl.tar.gz")
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    return path
