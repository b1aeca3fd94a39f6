# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kbuild in a build directory of its own beside a shared source.

The directory is prepared once by the kernel's own ``olddefconfig`` and ``modules_prepare``.  After that a small
makefile that includes the kernel's enters the recursion of directories directly: it descends as a real build does, so
that every directory's flags count, but leaves out the preparations, which take seconds and would build the tools again
once the directory has moved to its final place.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from pathlib import Path
from typing import Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import sha256_of
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import (
    failed,
    run,
    run_unchecked,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk

# Kbuild exports all that its sub-makes need while it reads the top makefile.
_ENTRY = """\
include $(rbl_source)/Makefile
export KBUILD_VMLINUX_OBJS KBUILD_VMLINUX_LIBS
.PHONY: rbl-units rbl-scan
rbl-units rbl-scan: rbl-%:
\t$(Q)$(MAKE) -f $(rbl_makefiles)/$*.mk obj=. need-builtin=1 need-modorder=1 rbl-$*
"""
# Makes the units that $(rbl_output)/dir@$(obj) lists.  The kernel's own single targets enter every listed directory
# that a target lies below, also arch/x86 for what arch/x86/lib compiles with flags of its own; here each unit is made
# where the whole kernel's build makes it, in the longest of them.
_UNITS = """\
include $(srctree)/scripts/Makefile.build
rbl_list = $(rbl_output)/dir@$(subst /,@,$1)
rbl_units := $(file <$(call rbl_list,$(obj)))
rbl_owner = $(lastword $(sort $(foreach d,$(subdir-ym),$(if $(filter $d/%,$u),$d))))
rbl_pairs := $(foreach u,$(rbl_units),$(rbl_owner):$u)
rbl_dirs := $(sort $(foreach p,$(rbl_pairs),$(firstword $(subst :, ,$(filter-out :%,$p)))))
$(foreach d,$(rbl_dirs),$(file >$(call rbl_list,$d),$(patsubst $d:%,%,$(filter $d:%,$(rbl_pairs)))))
.PHONY: rbl-units $(addprefix rbl-units-,$(rbl_dirs))
rbl-units: $(patsubst :%,%,$(filter :%,$(rbl_pairs))) $(addprefix rbl-units-,$(rbl_dirs))
\t@:
$(addprefix rbl-units-,$(rbl_dirs)): rbl-units-%:
\t@$(MAKE) -f $(rbl_makefiles)/units.mk obj=$* rbl-units \\
\t\tneed-builtin=$(if $(filter $*/built-in.a,$(subdir-builtin)),1) \\
\t\tneed-modorder=$(if $(filter $*/modules.order,$(subdir-modorder)),1)
"""
# Writes what the makefile of directory $(obj) says under this configuration, then does the same in its subdirectories.
# Makefile.build has expanded composite objects of vmlinux into real-obj-y; a module's parts are $(stem)-objs, -y, -m.
_SCAN = """\
include $(srctree)/scripts/Makefile.build
rbl_stem = $(basename $(patsubst $(obj)/%,%,$m))
rbl_parts = $(foreach s,-objs -y -m,$($(rbl_stem)$s))
define rbl_newline


endef
define rbl_text
vmlinux $(if $(need-builtin),$(filter %.o,$(real-obj-y))) $(filter %.o,$(extra-y))
vmlinux $(if $(filter $(obj)/lib.a,$(KBUILD_VMLINUX_OBJS) $(KBUILD_VMLINUX_LIBS)),$(filter %.o,$(lib-y)))
$(foreach m,$(filter %.o,$(obj-m)),module $m $(addprefix $(obj)/,$(rbl_parts))$(rbl_newline))
endef
$(file >$(rbl_output)/dir@$(subst /,@,$(obj)),$(rbl_text))
.PHONY: rbl-scan $(addprefix rbl-scan-,$(subdir-ym))
rbl-scan: $(addprefix rbl-scan-,$(subdir-ym))
\t@:
$(addprefix rbl-scan-,$(subdir-ym)): rbl-scan-%:
\t@$(MAKE) -f $(rbl_makefiles)/scan.mk obj=$* rbl-scan \\
\t\tneed-builtin=$(if $(filter $*/built-in.a,$(subdir-builtin)),1) \\
\t\tneed-modorder=$(if $(filter $*/modules.order,$(subdir-modorder)),1)
"""


@dataclasses.dataclass(frozen=True)
class Kbuild:
    """Kbuild of ``source`` in ``build``, with compiler command ``compiler``.

    ``variables`` are make variables that the distribution built with (``KERNELRELEASE``, ...); ``makefiles`` is the
    directory of the entry makefiles, ``jobs`` how many compilers run at a time, ``log`` a file that gets all output.
    """

    source: Path
    build: Path
    makefiles: Path
    compiler: str
    variables: dict[str, str]
    jobs: int
    log: Path | None = None

    def prepare(self, goal: str) -> None:
        """Runs the kernel's own ``goal`` (``olddefconfig``, ``modules_prepare``) in the build directory.

        Raises ``RebootlessError`` (``prepare_failed``).
        """
        run(
            ["make", f"-j{self.jobs}", "-C", self.source, f"O={self.build}", *self._assignments(), goal],
            "prepare_failed",
            f"The kernel's makefile could not make {goal}.",
            "Read the end of its output; a missing tool or library of the build host is the usual cause.",
            log=self.log,
        )

    def scan(self, output: Path) -> list[str]:
        """The lines ``vmlinux OBJECT...`` and ``module OBJECT PART...`` of every directory that this configuration
        enters, from the evaluated makefiles; ``output`` is an empty directory for the makefiles to write to.

        Raises ``RebootlessError`` (``scan_failed``).
        """
        self._enter("rbl-scan", output, "scan_failed", "The kernel's makefiles could not be evaluated.")
        return [
            line
            for path in sorted(output.iterdir())
            for line in path.read_text(encoding="utf-8").splitlines()
            if line.strip()
        ]

    def make_units(self, targets: Sequence[str]) -> None:
        """Compiles objects, named as Kbuild names them (``net/unix/af_unix.o``), exactly as a kernel build would.

        Raises ``RebootlessError`` (``pre_failed``).
        """
        self._units(targets, "pre_failed", "The unpatched source does not compile in the kernel tree.")

    def recipes(self, targets: Sequence[str]) -> str:
        """What make would run to compile those of the objects that are not there yet, as it prints it.

        Nothing is made, also not what an object needs first.  Makes that run side by side would print into each other's
        lines, and every fifth unit be without a command; so one runs at a time.  Raises ``RebootlessError``
        (``scan_failed``).
        """
        return dataclasses.replace(self, jobs=1)._units(
            targets, "scan_failed", "The kernel's makefiles could not be evaluated.", "-n"
        )

    def _units(self, targets: Sequence[str], code: str, sentence: str, *flags: str) -> str:
        with tempfile.TemporaryDirectory(prefix="rebootless-") as output:
            (Path(output) / "dir@.").write_text(" ".join(targets), encoding="utf-8")
            return self._enter("rbl-units", Path(output), code, sentence, flags)

    def _written_makefiles(self) -> Path:
        """The directory of the entry makefiles, named by their content: another release of the collection, which may
        be at work in the same tree, has others."""
        contents = {"entry.mk": _ENTRY, "scan.mk": _SCAN, "units.mk": _UNITS}
        directory = self.makefiles / sha256_of(*contents.values())[:12]
        for name, text in contents.items():
            if not (directory / name).is_file():
                disk.replace(directory / name, text.encode())
        return directory

    def _enter(self, goal: str, output: Path, code: str, sentence: str, flags: Sequence[str] = ()) -> str:
        makefiles = self._written_makefiles()
        command = [
            # Without the second option, kernels since 6.2 would start make once more, with their own makefile.
            *("make", "-rR", "--no-print-directory", "-s", *flags, f"-j{self.jobs}", "-C", os.fspath(self.build)),
            *("-f", os.fspath(makefiles / "entry.mk"), f"rbl_source={self.source}"),
            *(f"rbl_makefiles={makefiles}", f"rbl_output={output}", *self._assignments(), goal),
        ]
        done = run_unchecked(command)
        printed = done.stdout.decode(errors="replace")
        if self.log is not None:
            with self.log.open("a", encoding="utf-8") as stream:
                stream.write(f"$ {' '.join(command)}\n{printed}")
        if done.returncode != 0:
            raise failed(command, done.returncode, printed, code, sentence, "Prepare the kernel tree again.")
        return printed

    def _assignments(self) -> list[str]:
        return [f"CC={self.compiler}", *(f"{name}={value}" for name, value in sorted(self.variables.items()))]
