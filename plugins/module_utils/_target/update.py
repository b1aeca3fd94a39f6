# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings one update on one host into the state that is asked for.

What is there already is read from the helper module each time, never remembered: a task can be repeated after any
interruption.
"""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.names import demand_name
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import Package, read_package
from ansible_collections.rebootless.splice.plugins.module_utils._target import isolation, preflight, rights
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts, loader, sysfs
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.modinfo import (
    module_build_id,
    read_modinfo,
)
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import armed_record, collectors, store
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.lock import host_lock

MODULE_PREFIX = "rbl_"  # RBL_MODULE_PREFIX of kmod/rebootless.h
MEASURES = ("match_ns", "resolve_ns", "pause_ns", "stop_ns", "tries", "signalled", "deadline")


class UpdateRequest(t.NamedTuple):
    """What an operator asks for; the fields are the options of the module ``update``."""

    state: str  # "applied", "reversed" or "absent"
    package: str | None = None  # path
    sha256: str | None = None  # of the package
    name: str | None = None
    deadline: int = 0  # seconds; 0: none
    confirm: bool = False
    tries: int | None = None  # before a busy function refuses; None: as the helper module is set
    blockers: str = sysfs.WAIT  # or SIGNAL, REFUSE: what is done about tasks that stay in the way
    isolated_cpus: str = isolation.REFUSE  # or WINDOW, APPLY: whether a host that has some may be switched
    isolated_cpus_window: t.Mapping[str, str] | None = None  # start and end
    force: bool = False  # to reverse although tasks are in the replacement code
    lock_timeout: int = 60  # seconds
    state_directory: str = store.DIRECTORY


class UpdateOperation:
    """One request on its way.  ``result`` fills as it goes, so that a refusal can be reported with what is known."""

    def __init__(self, request: UpdateRequest, check_mode: bool, package: Package | None = None) -> None:
        self.request = request
        self.check_mode = check_mode
        self.store = store.Store(request.state_directory)
        self.result: dict = {"changed": False, "functions": []}
        self.package = package  # if it has been read already
        self.name = ""
        self.record = ""  # its name in sysfs: another one while it is loaded beside the version that it replaces

    def run(self) -> dict:
        """The module's result; raises ``RebootlessError`` on a refusal."""
        try:
            try:
                return self._run()
            finally:
                self._renew_metrics()
        except OSError as error:
            raise RebootlessError(
                "host_error",
                f"The host does not allow what is needed: {error}.",
                "Look at the host's file systems and its kernel log, then try again; what is applied stays applied.",
                errno=error.errno,
            ) from error

    def _run(self) -> dict:
        rights.require_root()
        rights.require_sysfs()
        self._identify()
        # Check mode writes nothing, not even a lock file.
        with contextlib.nullcontext() if self.check_mode else host_lock(self.request.lock_timeout):
            before = self.result["state_before"] = sysfs.state(self.name)
            try:
                {"applied": self._applied, "reversed": self._reversed, "absent": self._absent}[self.request.state]()
            except RebootlessError:
                self._measure()
                after = self.result["state_after"] = sysfs.state(self.name)
                self.result["changed"] = after != before and (before in sysfs.LIVE or after in sysfs.LIVE)
                raise
            self.result["state_after"] = self._predicted(before) if self.check_mode else sysfs.state(self.name)
        return self.result

    def _renew_metrics(self) -> None:
        if self.check_mode or not collectors.known(self.store.directory):
            return
        # Few hosts have metrics, and they ask for all that is known of the host.
        from ansible_collections.rebootless.splice.plugins.module_utils._target import metrics  # cost: 20 ms

        told = metrics.refresh(self.store)
        if told:
            self.result["warnings"] = told

    def _predicted(self, before: str) -> str:
        wanted = {"applied": sysfs.APPLIED, "reversed": sysfs.REVERSED, "absent": sysfs.ABSENT}[self.request.state]
        if wanted == sysfs.APPLIED and self.request.confirm:
            wanted = sysfs.CONFIRMED
        # To keep a package of what is applied already changes the host, but not the update's state.
        kept_only = wanted == sysfs.APPLIED and before in sysfs.LIVE and "replaced" not in self.result
        # Nor does it to disarm what is not live.
        disarmed_only = wanted == sysfs.REVERSED and before not in sysfs.LIVE
        return before if kept_only or disarmed_only or not self.result["changed"] else wanted

    def _identify(self) -> None:
        request = self.request
        if request.deadline < 0 or (request.deadline and request.confirm):
            raise RebootlessError(
                "bad_deadline",
                "A deadline is a number of seconds from 0 on, and an update that is confirmed at once has none.",
                "Apply with a deadline first, and confirm in a later task.",
                deadline=request.deadline,
                confirm=request.confirm,
            )
        if request.name is not None:
            demand_name(request.name)
        if self.package is None and request.package is not None:
            self.package = read_package(request.package, request.sha256)
        elif self.package is None and request.state == "applied" and request.name is not None:
            self.package = self.store.get(request.name)
            if self.package is None:
                raise RebootlessError(
                    "package_missing",
                    f"No package of the update {request.name} is kept on this host.",
                    "Give the path of its package.",
                    path=self.store.path(request.name),
                )
        if self.package and request.name not in (None, self.package.name):
            raise RebootlessError(
                "name_mismatch",
                f"The package holds the update {self.package.name}, not {request.name}.",
                "Give the package of that update, or leave the name out.",
                package=request.package,
            )
        self.name = self.record = self.package.name if self.package else t.cast(str, request.name)
        manifest = self.package.manifest if self.package else self.store.manifest(self.name)
        known = [{"name": row["name"]} for row in sysfs.functions(self.name)]
        self.result.update(name=self.name, functions=manifest.get("functions") or known)

    # state: applied

    def _applied(self) -> None:
        package = t.cast(Package, self.package)
        known = {"version": package.version, "cves": package.manifest["cves"], "build_digest": package.digest}
        self.result.update(known, digest=package.sha256, signer=package.manifest.get("signer") or {})
        live = (state := sysfs.state(self.name)) in sysfs.LIVE
        if state == sysfs.BYPASSED and sysfs.digest(self.name) == package.digest:
            raise bypassed(self.name)
        if live and sysfs.digest(self.name) != package.digest:
            other = sysfs.update(self.name)
            self.result["replaced"] = {"version": other["version"], "build_digest": other["digest"]}
            live = False
        if not live:
            preflight.check(package)
            policy = self.request.isolated_cpus, self.request.isolated_cpus_window
            self.result["isolated_cpus"] = isolation.check(*policy)
            self.result["changed"] = True
            if self.check_mode:
                # Matching in user space is half of the target's code, and only check mode needs it.
                from ansible_collections.rebootless.splice.plugins.module_utils._target import proof  # cost: 30 ms

                self.result.update(proof.prove(package))
                return
            if self.store.holds(package):
                self._load_and_apply(package)
            else:
                with self.store.stage(package) as staged:
                    self._load_and_apply(package)
                    staged.keep()
            self._forget_versions()
        elif not self.store.holds(package):
            self.result["changed"] = True
            if not self.check_mode:
                with self.store.stage(package) as staged:
                    staged.keep()
        if self.request.confirm and sysfs.state(self.name) != sysfs.CONFIRMED:
            self.result["changed"] = True
            if not self.check_mode:
                sysfs.control(self.name, "confirm")
        self.result["objects"] = sysfs.objects(self.name)
        self._measure()

    def _load_and_apply(self, package: Package) -> None:
        """A refused update stays loaded, so that its record can be read and a second task need not match it again."""
        self.record = self._load(package)
        with sysfs.helper_parameters(tries=self.request.tries):
            sysfs.control(self.record, sysfs.switch("apply", self.request.deadline, self.request.blockers))
        self.record = self.name

    def _load(self, package: Package) -> str:
        """Has the update's module loaded and matched; it may be there already, reversed or refused before.

        Beside a version that is applied it is the next one, which takes that one's place when it is applied itself.
        Returns the name of its record.
        """
        module = _module_name(package)
        for name in (self.name, self.name + sysfs.NEXT):
            if sysfs.state(name) in (sysfs.MATCHED, sysfs.REVERSED):
                if sysfs.digest(name) == package.digest:
                    return name
                self._unload(name)
        if facts.module_loaded(module):  # refused while it was loaded, or replaced
            loader.unload(module)
        self._forget(module)
        _provide_helper(package)
        try:
            loader.load(package.files["update.ko"], module)
        except RebootlessError as error:
            # The helper knows better than an errno why it refused.
            for name in self._records(module):
                refusal = sysfs.refusal(name)
                if sysfs.state(name) == sysfs.FAILED and refusal is not None:
                    refusal.details.update(error.details)
                    raise refusal from error
            raise
        return self.name + sysfs.NEXT if sysfs.state(self.name) in sysfs.LIVE else self.name

    def _records(self, module: str) -> tuple[str, ...]:
        """The names of records of this update: the helper module knows one that it cannot read by its module's name."""
        unreadable = module[len(MODULE_PREFIX) :]
        return (self.name, self.name + sysfs.NEXT, unreadable, unreadable + sysfs.NEXT)

    def _forget(self, module: str) -> None:
        """Drops records of earlier refusals, so that what is read afterwards is of this one."""
        for name in self._records(module):
            if sysfs.state(name) == sysfs.FAILED:
                sysfs.control(name, "forget")

    def _unload(self, record: str) -> None:
        """Has the module of a record unloaded, if it may go at all."""
        module = sysfs.module(record)
        if module and not sysfs.kept(record):
            loader.unload(module)

    def _forget_versions(self) -> None:
        """Unloads what was replaced; what is still being left stays for the next task."""
        for name in sysfs.versions(self.name):
            with contextlib.suppress(RebootlessError):
                if sysfs.state(name) == sysfs.REPLACED:
                    self._unload(name)

    # state: reversed

    def _reversed(self) -> None:
        live = sysfs.state(self.name) in sysfs.LIVE
        if live or self.name in armed_record.names(self.store):
            self.result["changed"] = True
        if self.check_mode:
            return
        # What is to be reversed shall not come back with the next boot; before anything else, for this may crash.
        armed_record.set_aside(self.store, self.name)
        if live:
            try:
                with sysfs.helper_parameters(tries=self.request.tries):
                    how = ("force",) if self.request.force else (self.request.blockers,)
                    sysfs.control(self.name, sysfs.switch("reverse", *how))
            except RebootlessError as error:
                raise self._still_live(error) from error
        armed_record.disarm(self.store, self.name)
        if live:
            self._measure()
        self.result["held_by"], self.result["holders"] = sysfs.held_by(self.name), sysfs.holders(self.name)

    def _still_live(self, error: RebootlessError) -> RebootlessError:
        """The refusal to reverse, after what is still live has become armed again as it was."""
        if sysfs.state(self.name) not in sysfs.LIVE:
            return error
        record = armed_record.put_back(self.store, self.name)
        if record is None or record.build_digest != sysfs.digest(self.name):
            return error
        sentence = f"{error.sentence} The update stays live, and armed for the next boot, as it was."
        return RebootlessError(error.code, sentence, error.next_step, **error.details)

    # state: absent

    def _absent(self) -> None:
        self._reversed()
        module = self._kept_module()
        records = [self.name, *sysfs.versions(self.name), *self._records(module)[2:]]
        known = [name for name in dict.fromkeys(records) if sysfs.state(name) != sysfs.ABSENT]
        stays = [name for name in known if sysfs.kept(name)]
        if set(known) - set(stays) or facts.module_loaded(module) or self.name in self.store.names():
            self.result["changed"] = True
        if self.check_mode:
            return
        self.store.remove(self.name)
        if self.result["held_by"]:
            raise held(self.name)
        for name in known:
            self._unload(name)
        self._forget(module)
        if stays:
            raise RebootlessError(
                "module_kept",
                "Objects that live on may still call the update's code, so its module stays loaded, reversed.",
                "Reboot the host to be rid of it; its package is removed, so that it is not applied again.",
                update=self.name,
            )
        if sysfs.helper_loaded() and not sysfs.names():
            loader.unload(sysfs.HELPER_MODULE)

    def _kept_module(self) -> str:
        """The module of the package that is at hand or kept on the host; a name that no module has if there is none."""
        with contextlib.suppress(RebootlessError):  # a damaged package is a reason to remove it, not to refuse
            kept = self.package or self.store.get(self.name)
            if kept:
                return _module_name(kept)
        return MODULE_PREFIX

    def _measure(self) -> None:
        if sysfs.state(self.record) == sysfs.ABSENT:
            return
        known = sysfs.update(self.record)
        self.result.update({key: known[key] for key in MEASURES})


def bypassed(name: str) -> RebootlessError:
    """The refusal to call an update applied whose functions something else has taken away."""
    taken = [row["name"] for row in sysfs.functions(name) if row["bypassed"] or not row["jump"]]
    return RebootlessError(
        "bypassed",
        "The update is applied and not in effect: something else has taken one of its functions away"
        f"{' (' + taken[0] + ')' if taken else ''}.",
        "Find what uses the function (/sys/kernel/livepatch, enabled_functions of tracefs with an I) and remove it; or "
        "reverse the update.",
        update=name,
        functions=taken,
    )


def held(name: str) -> RebootlessError:
    """The refusal to unload an update that was reversed by force while tasks were in its code."""
    first = next((row["comm"] for row in sysfs.holders(name)), "")
    return RebootlessError(
        "module_held",
        "The update is reversed, and tasks are still in its code, so its module stays loaded until they have left it"
        f"{' (' + first + ')' if first else ''}.",
        "Wait until they have ended, or end them; then try again.",
        update=name,
        held_by=sysfs.held_by(name),
        holders=sysfs.holders(name),
    )


def _module_name(package: Package) -> str:
    """The name under which the kernel will know the update's module."""
    return read_modinfo(package.files["update.ko"], "update.ko").get("name", "")


def _provide_helper(package: Package) -> None:
    """Loads the package's helper module, or makes sure that the one that is loaded will do.

    One that holds nothing is exchanged if it is another build; one that holds updates stays, for its ABI was checked
    before.
    """
    image = package.files["rebootless.ko"]
    if sysfs.helper_loaded():
        same = sysfs.helper_abi() == sysfs.ABI and sysfs.helper_build_id() == module_build_id(image, "rebootless.ko")
        if same or any(sysfs.state(name) != sysfs.FAILED for name in sysfs.names()):
            return
        loader.unload(sysfs.HELPER_MODULE)
    elif facts.module_loaded(sysfs.HELPER_MODULE):
        raise rights.hidden()
    loader.load(image, sysfs.HELPER_MODULE)
    if not sysfs.helper_loaded():
        loader.unload(sysfs.HELPER_MODULE)
        raise rights.hidden()


def describe(result: dict, moment: str) -> str:
    """The functions of an update as they are "before" or "after", for diff mode: a line for each."""
    state = result[f"state_{moment}"]
    version = result.get("replaced", result).get("version", "") if moment == "before" else result.get("version", "")
    label = f"{result['name']} {version}".strip()
    runs = f"replaced by {label}" if state in sysfs.LIVE else "original code"
    lines = [f"update {label}: {state}"]
    lines += [f"{row['name']} ({row.get('unit', 'unit unknown')}): {runs}" for row in result["functions"]]
    return "\n".join(lines) + "\n"
