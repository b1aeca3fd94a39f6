# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's source with some files replaced, as a compiler sees it.

A directory of links into the source.  The replaced files are real files, and the directories that lead to them are
real directories, so that each way to include a file finds it: by a directory of the command, beside the file that
includes it, or through ``..``.  The last one leaves a linked directory for the original source; what can happen is
prevented by making directories real (``make_real``), and what did happen is found in the compiler's list of
dependencies (``check``).
"""

from __future__ import annotations

import functools
import hashlib
import os
import posixpath
import threading
from pathlib import Path
from typing import Iterable, Iterator, Mapping, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patches import PatchedFile
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.saved_command import (
    Roots,
    SavedCommand,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError


class Overlay:
    """``source`` with ``files`` (path below it -> content), in the empty or missing ``directory``.

    It is to be complete before compilers run: call ``make_real`` and ``admit`` first.
    """

    def __init__(self, source: Path, directory: Path, files: Mapping[str, bytes]) -> None:
        self._source = source
        self._directory = directory
        self._files = frozenset(files)
        self._real: set[str] = set()
        directory.mkdir(parents=True, exist_ok=True)
        self._fill("")
        for path, content in files.items():
            self.make_real(posixpath.dirname(path))
            there = directory / path
            there.unlink(missing_ok=True)
            there.write_bytes(content)

    @property
    def place(self) -> Roots:
        """For commands."""
        return Roots(os.fspath(self._source), os.fspath(self._directory))

    def make_real(self, directory: str) -> None:
        """Makes a directory of the source, and those above it, directories of links."""
        if directory in self._real or not (self._source / directory).is_dir():
            return
        self.make_real(posixpath.dirname(directory))
        (self._directory / directory).unlink()
        (self._directory / directory).mkdir()
        self._fill(directory)

    def admit(self, commands: Iterable[SavedCommand]) -> None:
        """Makes real what the paths of commands lead through before they turn back with ``..``."""
        prefix = f"{self._source}/"
        for command in commands:
            for word in command.command.split():
                _before, found, path = word.partition(prefix)
                steps: list[str] = []
                for step in path.split("/") if found and "/.." in path else ():
                    if step == "..":
                        self.make_real("/".join(steps))
                        steps = steps[:-1]
                    else:
                        steps.append(step)

    def check(self, dependencies: str) -> None:
        """Raises ``RebootlessError`` (``replaced_file_bypassed``) if one of the replaced files was not read from here.

        ``dependencies`` is a makefile's rule as the compiler writes it.
        """
        for word, path in self._read(dependencies):
            if path in self._files and not os.path.samefile(word, self._directory / path):
                raise RebootlessError(
                    "replaced_file_bypassed",
                    f"The compiler read {word} in place of the patched {path}.",
                    "Report it with the patch and the kernel's release.",
                    file=path,
                )

    def read(self, dependencies: str) -> set[str]:
        """The paths of what was read below the source, from here or from there; of anything else as it is named."""
        return {path for _word, path in self._read(dependencies)}

    def _read(self, dependencies: str) -> Iterator[tuple[str, str]]:
        here, there = f"{self._directory}/", f"{self._source}/"
        for word in dependencies.split():
            yield word, posixpath.normpath(word.removeprefix(here).removeprefix(there))

    def _fill(self, directory: str) -> None:
        self._real.add(directory)
        with os.scandir(self._source / directory) as entries:
            for entry in entries:
                os.symlink(entry.path, self._directory / directory / entry.name)


class PatchedSource:
    """The kernel's source with the patched ``files``, in the directory ``directory``.

    ``numbered`` keeps the line numbers of unchanged code; ``plain`` counts them as the patched files do, for messages.
    ``directories`` are those of files that include a patched one; ``commands`` what is going to be run.
    """

    def __init__(
        self,
        source: Path,
        directory: Path,
        files: Sequence[PatchedFile],
        directories: Iterable[str] = (),
    ) -> None:
        self.files = {file.path: file for file in files}
        self._source, self._directory, self._directories = source, directory, sorted(set(directories))
        self._commands: list[SavedCommand] = []
        self._lock = threading.Lock()

    @functools.cached_property
    def texts(self) -> Mapping[str, bytes]:
        """What objects are made of: the texts with the line numbers of unchanged code, by path."""
        return {path: file.text() for path, file in sorted(self.files.items())}

    @functools.cached_property
    def digests(self) -> Mapping[str, str]:
        """The SHA-256 of each of ``texts``."""
        return {path: hashlib.sha256(text).hexdigest() for path, text in self.texts.items()}

    @functools.cached_property
    def numbered(self) -> Overlay:
        """For objects."""
        return self._overlay("numbered", numbered=True)

    @property
    def plain(self) -> Overlay:
        """For messages."""
        with self._lock:
            return self._plain

    @functools.cached_property
    def _plain(self) -> Overlay:
        return self._overlay("plain", numbered=False)

    def admit(self, commands: Sequence[SavedCommand]) -> None:
        """Prepares for these commands; not while one runs."""
        self._commands += commands
        self.numbered.admit(commands)

    def _overlay(self, name: str, numbered: bool) -> Overlay:
        texts = self.texts if numbered else {path: file.text(False) for path, file in self.files.items()}
        overlay = Overlay(self._source, self._directory / name, texts)
        for directory in self._directories:
            overlay.make_real(directory)
        overlay.admit(self._commands)
        return overlay
