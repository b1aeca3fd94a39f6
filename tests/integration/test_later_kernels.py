# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole way on a kernel of the series 6.12: indirect branch tracking, call padding, compressed modules.

``make test-releases RELEASES="…"`` does the same on other kernels, of either series.
"""

from __future__ import annotations

import os

import pytest

from ansible_collections.rebootless.splice.tests.support import own_kernels
from ansible_collections.rebootless.splice.tests.support.builds import Edit
from ansible_collections.rebootless.splice.tests.support.host import Host
from ansible_collections.rebootless.splice.tests.support.observe import text_digest, traces

OWN = [own_kernels.release()] if own_kernels.chosen() else []
RELEASES = OWN or os.environ.get("REBOOTLESS_RELEASES", "").split() or ["6.12.107+deb12-cloud-amd64"]
NAME = "later"
PACKAGE = f"/root/{NAME}.rbl.tar.gz"
EDITS = (
    Edit("net/unix/af_unix.c", "\t\tamount = unix_outq_len(sk);", "\t\tamount = unix_outq_len(sk) + 3;"),
    # A static branch, a static call and a tracepoint.
    Edit("fs/exec.c", "if (depth > 5)", "if (depth > 6)"),
    Edit(
        "fs/exec.c",
        "\t\t\tif (i >= max)\n\t\t\t\treturn -E2BIG;\n\t\t\t++i;\n",
        "\t\t\tif (i > max - 1)\n\t\t\t\treturn -E2BIG;\n\t\t\ti++;\n\t\t\tbarrier();\n",
    ),
    # Constants that the boot of a later kernel writes into its code: of variables of the unit, and of another one.
    Edit(
        "fs/dcache.c",
        "\tstruct dentry *found = NULL;\n\tstruct dentry *dentry;\n\n",
        "\tstruct dentry *found = NULL;\n\tstruct dentry *dentry;\n\n\tif (!name->len)\n\t\treturn NULL;\n",
    ),
    Edit("fs/readdir.c", "unsafe_put_user(d_type, &dirent->d_type", "unsafe_put_user(DT_UNKNOWN, &dirent->d_type"),
    Edit(
        "net/unix/diag.c",
        "req = nlmsg_data(cb->nlh);\n",
        "req = nlmsg_data(cb->nlh);\n\tif (!req->udiag_states)\n\t\treturn 0;\n",
    ),
    # Its first instruction has a lock prefix, which the jump lies over.
    Edit(
        "mm/secretmem.c",
        "\tatomic_dec(&secretmem_users);\n\treturn 0;",
        '\tatomic_dec(&secretmem_users);\n\tpr_info("a secret is gone\\n");\n\treturn 0;',
    ),
    # Its addresses of its own module, and of code that the kernel has rewritten by the time that it is loaded.
    Edit(
        "drivers/net/tun.c",
        "\t\treturn put_user(IFF_TUN | IFF_TAP | IFF_NO_CARRIER |\n",
        "\t\treturn put_user(IFF_TUN | IFF_TAP |\n",
    ),
    # What a module runs when it is loaded, and no other time.
    Edit(
        "net/unix/diag.c",
        "\treturn sock_diag_register(&unix_diag_handler);",
        '\tpr_info("the new init\\n");\n\treturn sock_diag_register(&unix_diag_handler);',
    ),
)
PROBE = """
import ctypes, fcntl, os, socket, struct
one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
print(*struct.unpack("i", fcntl.ioctl(one, 0x5411, struct.pack("i", 9))))  # SIOCOUTQ: bytes not yet read
entries = ctypes.create_string_buffer(4096)
ctypes.CDLL(None).syscall(217, os.open("/etc", os.O_RDONLY), entries, len(entries))  # getdents64
print(entries.raw[18], os.path.isfile("/etc/passwd"), os.path.exists("/etc/none"))  # d_type of struct linux_dirent64
"""
SECRET = """
import ctypes, os
secret = ctypes.CDLL(None).syscall(447, 0)  # memfd_secret, which kernels before 6.5 have only if they are told so
secret < 0 or os.close(secret)
print(secret >= 0)
"""
FEATURES = """
import fcntl, os, struct
(features,) = struct.unpack("I", fcntl.ioctl(os.open("/dev/net/tun", os.O_RDWR), 0x800454CF, bytes(4)))
print(bool(features & 0x40))  # TUNGETFEATURES, IFF_NO_CARRIER
"""
ALARMS = "dmesg | grep -E 'WARNING|BUG:|Oops|Call Trace|unexpected|objtool' || true"


@pytest.fixture(params=RELEASES)
def release(request):
    return request.param


@pytest.fixture
def update(builds, release):
    return builds.update(release, NAME, *EDITS)


# A static function that was only called has no landing mark for indirect calls; now a pointer leads to it.
POINTED_TO = Edit(
    "net/unix/af_unix.c",
    "\tunix_release_sock(sk, 0);\n\tsock->sk = NULL;\n",
    "\tvoid (*volatile release)(struct sock *, int) = unix_release_sock;\n\n\trelease(sk, 0);\n\tsock->sk = NULL;\n",
)


def objects(host: Host) -> dict[str, str]:
    return dict(line.split() for line in host.out(f"cat /sys/kernel/rebootless/{NAME}/objects").splitlines())


@pytest.mark.turns
def test_life_of_an_update_with_a_module_that_comes_later(update, release, throwaway):
    host = throwaway(release)
    assert host.release == release
    host.write(PACKAGE, update.content)
    untouched, before = text_digest(host), host.python(PROBE)
    changed = {row["name"]: row["object"] for row in update.result["functions"]}
    # Which ones is the compiler's choice: a clone for constants, and whether a function goes into its only caller.
    clones = [name for name in changed if name.startswith("count.")]
    ioctls = [name for name in changed if name in ("__tun_chr_ioctl", "tun_chr_ioctl")]
    assert (len(clones), len(ioctls)) == (1, 1)
    assert changed == {
        "__d_lookup": "vmlinux",
        "bprm_execve": "vmlinux",
        "filldir64": "vmlinux",
        "secretmem_release": "vmlinux",
        ioctls[0]: "tun",
        clones[0]: "vmlinux",
        "unix_ioctl": "vmlinux",
        "unix_diag_dump": "unix_diag",
        "unix_diag_init": "unix_diag",
    }

    done = host.module("update", package=PACKAGE)
    assert not done["failed"], done
    assert host.python(PROBE).split() == ["3", "0", "True", "False"]
    absent = {"tun": "absent", "unix_diag": "absent", "unix_diag:init": "absent"}
    assert objects(host) == {"vmlinux": "applied", **absent}
    if host.python(SECRET) == "True":
        host.out("dmesg | grep 'a secret is gone'")
    host.out("modprobe tun")
    assert (objects(host)["tun"], host.python(FEATURES)) == ("applied", "False")
    for times in (1, 2):
        host.out("modprobe unix_diag")
        assert objects(host) == {"vmlinux": "applied", **absent, "tun": "applied", "unix_diag": "applied"}
        assert host.out("dmesg | grep -c 'the new init'") == str(times)
        host.out("modprobe -r unix_diag")
    host.out("modprobe unix_diag")

    # As on a host with thousands of tasks: a probe notes those that run before the stop.
    host.run("echo 0 > /sys/module/rebootless/parameters/note_from")
    gone = host.module("update", name=NAME, state="absent")
    assert not gone["failed"], gone
    assert (host.python(PROBE), host.python(FEATURES)) == (before, "True")
    assert text_digest(host) == untouched
    assert traces(host) == ""
    assert host.out(ALARMS) == ""


def test_a_function_that_is_pointed_to_for_the_first_time(builds, release, throwaway):
    """Where branches are tracked, a pointer to the running one would stop the kernel: it leads to the replacement."""
    built = builds.update(release, "pointed", POINTED_TO)
    tracked = "unix_release_sock" in {row["name"] for row in built.result["functions"]}
    held = [remark["details"]["held"] for remark in built.result["remarks"] if remark["code"] == "stays_loaded"]
    assert held == ([["unix_release_sock"]] if tracked else [])
    host = throwaway(release)
    host.write(PACKAGE, built.content)
    done = host.module("update", package=PACKAGE)
    assert not done["failed"], done
    assert host.python(PROBE).split()[0] == "0"
    gone = host.module("update", name="pointed", state="reversed")
    assert not gone["failed"], gone
    assert host.python(PROBE).split()[0] == "0"
    assert host.out(ALARMS) == ""
