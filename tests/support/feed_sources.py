# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small git repositories with the layout of linux-stable and of the kernel CNA's records, and a changelog to them."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import typing as t

SERIES = "6.1"
BRANCH = "linux-6.1.y"
FIRST = "314001f0bf927015e459c9d387d62a231fe93af3"  # where the bugs came in, in 5.15
NOW = 1_796_000_000  # what the commits are dated with, seconds since 1970
Pair = tuple[str, str, str, str]
CHANGELOG = """\
linux (6.1.4-1) bookworm-security; urgency=high

  * New upstream stable update:
    https://www.kernel.org/pub/linux/kernel/v6.x/ChangeLog-6.1.3
    - af_unix: Reject SIOCATMARK on non-stream sockets
    - [x86] bugs: Make Safe-RET robust against interrupt injection
    https://www.kernel.org/pub/linux/kernel/v6.x/ChangeLog-6.1.4
    - Revert "x86/bugs: Make Safe-RET robust against interrupt injection"
    - [x86] bugs: Make Safe-RET robust against interrupt
      injection (CVE-2026-68480)

 -- Maintainer <maintainer@example.org>  Mon, 07 Sep 2026 21:33:42 +0200

linux (6.1.2-1) bookworm-security; urgency=high

  * New upstream stable update:
    https://www.kernel.org/pub/linux/kernel/v6.x/ChangeLog-6.1.2
    - can: bcm: add locking when updating filter and timer values
      (CVE-2026-72121)
  * net/sched: fix pedit partial COW leading to page cache corruption
    (CVE-2026-46331)
  * Revert "epoll: use refcount to reduce ep_mutex contention"

 -- Maintainer <maintainer@example.org>  Thu, 02 Jul 2026 15:50:42 +0200
"""


class Git:
    """A repository with a work tree."""

    def __init__(self, path: pathlib.Path, branch: str) -> None:
        self.path = path
        path.mkdir(parents=True)
        self("init", "-q", "-b", branch)

    def __call__(self, *words: str, time: int = NOW) -> str:
        date = f"{time} +0000"
        who = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in WHO.items()}
        environment = {**os.environ, **who, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        environment |= {"GIT_CONFIG_GLOBAL": "/dev/null"}
        done = subprocess.run(
            ["git", *words], cwd=self.path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, message: str, files: t.Mapping[str, str] | None = None, time: int = NOW) -> str:
        for name, text in (files or {}).items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self("add", "-A")
        self("commit", "-q", "--allow-empty", "-m", message, time=time)
        return self("rev-parse", "HEAD")


WHO = {"NAME": "Maintainer", "EMAIL": "maintainer@example.org"}


class Stable(Git):
    """linux-stable: releases of 6.1, in each the fixes that it is given as titles and files."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__(path, BRANCH)
        self.commit("Linux 6.1", {"Makefile": "6.1\n", "net/unix/af_unix.c": "0\n"})
        self("tag", "-a", "-m", "Linux 6.1", "v6.1")

    def fix(self, title: str, file: str, body: str = "") -> str:
        return self.commit(f"{title}\n\n{body}", {file: f"{title}\n"})

    def release(self, version: str, *options: str) -> None:
        self.commit(f"Linux {version}", {"Makefile": f"{version}\n"})
        self("tag", *(options or ("-a",)), "-m", f"Linux {version}", f"v{version}")


class Records(Git):
    """vulns.git."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__(path, "master")

    def publish(
        self,
        cve: str,
        title: str,
        files: t.Sequence[str],
        pairs: t.Sequence[Pair],
        vector: str = "",
        state: str = "published",
    ) -> None:
        """Writes a record's files as the CNA's tools do; ``record`` puts them into a commit."""
        said = {
            "containers": {
                "cna": {
                    "affected": [
                        {"product": "Linux", "vendor": "Linux", "programFiles": list(files), "versions": []},
                    ],
                    "title": title,
                }
            },
            "cveMetadata": {"cveId": cve, "state": state.upper()},
            "dataType": "CVE_RECORD",
            "dataVersion": "5.1.1",
        }
        lines = [":".join(pair) for pair in pairs]
        self.write(cve, "json", json.dumps(said, indent=3), state)
        self.write(cve, "sha1", f"{FIRST}\n", state)
        self.write(cve, "dyad", "\n".join(["# dyad version: 1.2.0", "# \tgetting pairs", *lines, ""]), state)
        if vector:
            self.write(cve, "cvss", f"f4215fc3-5b6b-47ff-a258-f7189bd81038 {vector}\n\nAV:L - Needs a socket.\n", state)

    def write(self, cve: str, kind: str, text: str, state: str = "published") -> None:
        path = self.file(cve, kind, state)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def file(self, cve: str, kind: str, state: str = "published") -> pathlib.Path:
        return self.path / "cve" / state / cve[4:8] / f"{cve}.{kind}"

    def record(self, time: int = NOW) -> str:
        return self.commit("assign some more CVE ids on request", time=time)

    def reject(self, cve: str) -> None:
        (self.path / "cve" / "rejected" / cve[4:8]).mkdir(parents=True, exist_ok=True)
        for kind in ("json", "sha1", "dyad"):
            self.file(cve, kind).rename(self.file(cve, kind, "rejected"))
        self.record()


class Sources:
    """All that a feed reads: five fixes, of which the records name four, and one that the series has no fix for."""

    def __init__(self, path: pathlib.Path) -> None:
        self.stable = Stable(path / "linux")
        self.records = Records(path / "vulns")
        self.changelog = path / "changelog"
        self.changelog.write_text(CHANGELOG)
        self.commits: dict[str, str] = {}
        self._fix(
            "CVE-2026-72121", "can: bcm: add locking when updating filter and timer values", "net/can/bcm.c", "6.1.2"
        )
        self.stable.release("6.1.1")
        self.stable.release("6.1.2")
        self._fix("CVE-2026-52928", "af_unix: Reject SIOCATMARK on non-stream sockets", "net/unix/af_unix.c", "6.1.3")
        title = "net/sched: fix pedit partial COW leading to page cache corruption"
        self._fix("CVE-2026-46331", title, "net/sched/act_pedit.c", "6.1.3")
        safe_ret = "x86/bugs: Make Safe-RET robust against interrupt injection"
        first = self.stable.fix(safe_ret, "arch/x86/kernel/cpu/bugs.c")
        self.stable.release("6.1.3")
        self.stable.fix(f'Revert "{safe_ret}"', "arch/x86/kernel/cpu/bugs.c", f"This reverts commit {first}.")
        self._fix("CVE-2026-68480", safe_ret, "arch/x86/kernel/cpu/bugs.c", "6.1.4")
        self.stable.release("6.1.4")
        unfixed = (("5.15", FIRST, "0", "0"), ("5.15", FIRST, "6.6.9", "a" * 40))
        self.records.publish("CVE-2026-00001", "ext4: one that 6.1 has no fix for", ["fs/ext4/inline.c"], unfixed)
        self.records.record()

    def _fix(self, cve: str, title: str, file: str, version: str) -> None:
        self.commits[cve] = commit = self.stable.fix(title, file, f"commit {FIRST} upstream.")
        vector = "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H" if cve == "CVE-2026-52928" else ""
        pairs = (("5.15", FIRST, version, commit), ("5.15", FIRST, "7.1", FIRST))
        self.records.publish(cve, title, [file], pairs, vector)
