# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts on a host what applies its armed updates again at boot, and takes it away.

Units are written and enabled as files, which needs no answer of systemd: the next boot reads them.  None of them can
hold a boot up: they are wanted, not required, ordered after nothing but local file systems, and have timeouts.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import subprocess
import sys
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target.boot.archive import make_archive
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import collectors, store
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.prospects import OFF_ARGUMENT, OFF_FILE

ARCHIVE = "boot/rebootless.pyz"  # below the state directory
UNITS = "/etc/systemd/system"
FACT_FILE = "/etc/ansible/facts.d/rebootless.fact"
SYSTEMD_RUNS = "/run/systemd/system"  # sd_booted(3)
PYTHON = "/usr/bin/python3"
RELOAD_TIMEOUT = 30  # seconds

BOOT, SETTLE, METRICS = "rebootless-boot", "rebootless-settle", "rebootless-metrics"

CONDITIONS = f"""\
ConditionKernelCommandLine=!{OFF_ARGUMENT}
ConditionPathExists=!{OFF_FILE}
ConditionVirtualization=!container
ConditionPathExists={{archive}}
"""

UNIT_TEXTS = {
    f"{BOOT}.service": f"""\
[Unit]
Description=Apply confirmed updates of the running kernel again
DefaultDependencies=no
{CONDITIONS}\
ConditionPathExists=!/proc/vmcore
After=local-fs.target
Before=sysinit.target network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={{program}} apply --deadline {{deadline}}
ExecStop={{program}} stop
TimeoutStartSec=150
TimeoutStopSec=60

[Install]
WantedBy=sysinit.target
""",
    f"{SETTLE}.timer": f"""\
[Unit]
Description=Wait until a boot with updates counts as a good one
{CONDITIONS}\

[Timer]
OnActiveSec={{settle}}
AccuracySec=1

[Install]
WantedBy=timers.target
""",
    f"{SETTLE}.service": """\
[Unit]
Description=Note that the host runs well with its updates

[Service]
Type=oneshot
ExecStart={program} settle
TimeoutStartSec=300
""",
}
METRICS_TEXTS = {
    f"{METRICS}.timer": """\
[Unit]
Description=Write metrics on the updates of the running kernel

[Timer]
OnActiveSec=10
OnUnitActiveSec=900

[Install]
WantedBy=timers.target
""",
    f"{METRICS}.service": """\
[Unit]
Description=Write metrics on the updates of the running kernel

[Service]
Type=oneshot
ExecStart={program} metrics
TimeoutStartSec=300
""",
}
ENABLED = {
    f"{BOOT}.service": "sysinit.target.wants",
    f"{SETTLE}.timer": "timers.target.wants",
    f"{METRICS}.timer": "timers.target.wants",
}
FACT_TEXT = """\
#!/bin/sh
# What Ansible shows as ansible_local.rebootless; nothing where the program may not be read.
[ -r {archive} ] || {{ echo '{{}}'; exit 0; }}
exec {program} facts
"""


class Settings(t.NamedTuple):
    """How it is installed; the fields are options of the module ``persist``."""

    settle: int = 120  # seconds after which a boot counts as a good one
    deadline: int = 1800  # seconds after which an update that was applied at boot reverses itself without that
    metrics_directory: str = ""  # of a node exporter's textfile collector; "" for no metrics
    fact_file: bool = True
    state_directory: str = store.DIRECTORY


class Persistence:
    """What is installed below `root`, which is ``/`` except in tests."""

    def __init__(self, settings: Settings, root: str = "/") -> None:
        self.settings = settings
        self._root = root
        self.archive = os.path.join(settings.state_directory, ARCHIVE)

    def installed(self) -> bool:
        """Whether a boot would apply what is armed."""
        unit = f"{BOOT}.service"
        needed = (self.archive, os.path.join(UNITS, unit), os.path.join(UNITS, ENABLED[unit], unit))
        return all(os.path.lexists(self._at(path)) for path in needed)

    def ensure(self) -> list[str]:
        """Installs it if it is missing, else has only its program up to date.  Returns the paths that changed."""
        if not self.installed():
            return self.install()
        archive = {self.archive: (make_archive(), 0o600)}
        return self._write(archive, check_mode=False)

    def install(self, check_mode: bool = False) -> list[str]:
        """Makes it as the settings say.  Returns the paths that changed.

        Raises ``RebootlessError``: ``no_systemd``, ``persist_failed``.
        """
        require_systemd(self._root)
        changed = self._write(self._files(), check_mode) + self._link(check_mode)
        unwanted = set(self._all_paths()) - set(self._files()) - set(self._links())
        changed += self._remove(sorted(unwanted), check_mode)
        if changed and not check_mode:
            self._reload()
        return changed

    def uninstall(self, check_mode: bool = False) -> list[str]:
        """Removes all of it; what is armed stays armed, and waits.  Returns the paths that were there.

        Raises ``RebootlessError`` code ``persist_failed``.
        """
        changed = self._remove(self._all_paths(), check_mode)
        if changed and not check_mode:
            directories = (os.path.dirname(self.archive), self.settings.state_directory, os.path.dirname(OFF_FILE))
            disk.drop_empty(*map(self._at, directories))
            collectors.forget_if_alone(self._at(self.settings.state_directory))
            self._reload()
        return changed

    def _at(self, path: str) -> str:
        return os.path.join(self._root, path.lstrip("/"))

    def _program(self) -> str:
        settings = self.settings
        # -I: neither PYTHONPATH nor a file json.py in the current directory may change what root runs.
        words = [_python(), "-I", self.archive, "--state-directory", settings.state_directory]
        if settings.metrics_directory:
            words += ["--metrics-directory", settings.metrics_directory]
        return " ".join(map(shlex.quote, words))

    def _files(self) -> dict[str, tuple[bytes, int]]:
        """Path: content and mode of each file."""
        settings = self.settings
        texts = {**UNIT_TEXTS, **(METRICS_TEXTS if settings.metrics_directory else {})}
        # systemd reads % as the begin of a specifier.
        program = self._program().replace("%", "%%")
        words = {"program": program, "archive": self.archive.replace("%", "%%")}
        words.update(settle=str(settings.settle), deadline=str(settings.deadline))
        files = {self.archive: (make_archive(), 0o600)}
        for name, text in texts.items():
            files[os.path.join(UNITS, name)] = (text.format(**words).encode(), 0o644)
        if settings.fact_file:
            text = FACT_TEXT.format(archive=shlex.quote(self.archive), program=self._program())
            files[FACT_FILE] = (text.encode(), 0o755)
        return files

    def _links(self) -> dict[str, str]:
        """Path: target of each link by which a unit is enabled, as ``systemctl enable`` makes them."""
        files = self._files()
        units = {name: os.path.join(UNITS, name) for name in ENABLED}
        return {os.path.join(UNITS, ENABLED[name], name): path for name, path in units.items() if path in files}

    def _all_paths(self) -> list[str]:
        units = [os.path.join(UNITS, name) for name in {**UNIT_TEXTS, **METRICS_TEXTS}]
        links = [os.path.join(UNITS, directory, name) for name, directory in ENABLED.items()]
        return [*links, *units, FACT_FILE, self.archive]

    def _write(self, files: dict[str, tuple[bytes, int]], check_mode: bool) -> list[str]:
        changed = [path for path, (content, mode) in files.items() if not _is(self._at(path), content, mode)]
        for path in [] if check_mode else changed:
            content, mode = files[path]
            with _explained(path):
                self._make_parent(path)
                disk.replace_durably(self._at(path), content, mode)
        return changed

    def _link(self, check_mode: bool) -> list[str]:
        changed = [path for path, target in self._links().items() if not _leads(self._at(path), target)]
        for path in [] if check_mode else changed:
            with _explained(path):
                self._make_parent(path)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._at(path))
                os.symlink(self._links()[path], self._at(path))
                disk.sync_directory(os.path.dirname(self._at(path)))
        return changed

    def _make_parent(self, path: str) -> None:
        """Directories of the system are for all users to read, the state directory is not."""
        private = path.startswith(self.settings.state_directory + os.sep)
        disk.make_directory(os.path.dirname(self._at(path)), 0o700 if private else 0o755)

    def _remove(self, paths: list[str], check_mode: bool) -> list[str]:
        changed = [path for path in paths if os.path.lexists(self._at(path))]
        for path in [] if check_mode else changed:
            with _explained(path):
                disk.remove(self._at(path))
        return changed

    def _reload(self) -> None:
        """Tells the running systemd; the next boot needs no telling, so it is no failure if that fails."""
        if self._root == "/":
            command, no = ["systemctl", "daemon-reload"], subprocess.DEVNULL
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                subprocess.run(command, stdin=no, stdout=no, stderr=no, timeout=RELOAD_TIMEOUT, check=False)


def require_systemd(root: str = "/") -> None:
    """Raises ``RebootlessError`` code ``no_systemd`` where something else runs the boot."""
    if not os.path.isdir(os.path.join(root, SYSTEMD_RUNS.lstrip("/"))):
        raise RebootlessError(
            "no_systemd",
            "This host is not run by systemd, so nothing can be applied again at its boot.",
            "Roll out with persist: false; after a reboot roll the update out again, or reboot into a fixed kernel.",
        )


def _python() -> str:
    """An interpreter that will still be there after an upgrade."""
    return PYTHON if os.access(PYTHON, os.X_OK) else sys.executable


def _is(path: str, content: bytes, mode: int) -> bool:
    try:
        with open(path, "rb") as stream:
            return stat.S_IMODE(os.fstat(stream.fileno()).st_mode) == mode and stream.read() == content
    except OSError:
        return False


def _leads(path: str, target: str) -> bool:
    try:
        return os.readlink(path) == target
    except OSError:
        return False


@contextlib.contextmanager
def _explained(path: str) -> t.Iterator[None]:
    try:
        yield
    except OSError as error:
        otherwise = "Make its directory one that root can write to."
        raise disk.refusal(error, "persist_failed", f"{path} cannot be changed", path, otherwise) from error
