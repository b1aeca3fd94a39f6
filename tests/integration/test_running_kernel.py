# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What check mode sees of a running kernel, beside what the build host reads from its image."""

from __future__ import annotations

import io
import json
import pathlib
import tarfile

from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.vmlinux import VmlinuxImage
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.running import RunningKernel

MODULE_UTILS = pathlib.Path(__file__).resolve().parents[2] / "plugins" / "module_utils"
INSIDE = "ansible_collections/rebootless/splice/plugins/module_utils"
PER_CPU_END = 1 << 32  # the kernel's own symbols below are offsets in a CPU's area
PROLOGUE = f"""
import json, sys
sys.path.insert(0, "/tmp/running_kernel")
from {RebootlessError.__module__} import RebootlessError
from {RunningKernel.__module__} import RunningKernel
"""
TRY = """
try:
    with RunningKernel() as kernel:
        print(json.dumps([len(kernel.lookup("linux_banner", "vmlinux")), kernel.read(0, 8)]))
except RebootlessError as error:
    print(json.dumps([error.code, error.next_step]))
"""


def image_of(host) -> VmlinuxImage:
    return VmlinuxImage(host.machine.record()["spec"]["vmlinuz"])


def tell(host, script: str, user: str = "root"):
    """What a script on the host, which can use the target's side of the collection, prints as JSON."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for part in ("_common", "_target"):
            tar.add(MODULE_UTILS / part, f"{INSIDE}/{part}", filter=lambda info: None if "__py" in info.name else info)
    host.run("mkdir -p /tmp/running_kernel && tar -xC /tmp/running_kernel", stdin=archive.getvalue())
    command = (
        "/usr/bin/python3 -B -" if user == "root" else f"setpriv --reuid {user} --clear-groups /usr/bin/python3 -B -"
    )
    return json.loads(host.out(command, stdin=(PROLOGUE + script).encode()))


def test_image_is_the_running_kernel(hosts):
    for host in hosts:
        image = image_of(host)
        assert bytes.fromhex(image.build_id) in host.read("/sys/kernel/notes")


def test_symbols_of_the_image_are_those_of_the_running_kernel(hosts):
    """All of them, in order; under KASLR all but per-CPU ones are moved by the same distance."""
    for host in hosts:
        lines = [line.split() for line in host.read("/proc/kallsyms").decode().splitlines()]
        running = [(kind, name, int(address, 16)) for address, kind, name, *module in lines if not module]
        image = image_of(host)
        symbols = image.symbols
        moved = host.symbol("_stext") - image.lookup("_stext", "vmlinux")[0]
        assert len(running) == len(symbols) > 50000
        for (kind, name, address), symbol in zip(running, symbols, strict=True):
            assert symbol == (kind, name, address - (moved if address >= PER_CPU_END else 0))


def test_running_memory_is_that_of_the_image(host50):
    image = image_of(host50)
    (banner,) = image.lookup("linux_banner", "vmlinux")
    script = """
with RunningKernel() as kernel:
    kernel.prefetch({("linux_banner", "vmlinux"), ("nothing", "")})
    (banner,) = kernel.lookup("linux_banner", "vmlinux")
    print(json.dumps([kernel.read(banner, 256).hex(), kernel.lookup("nothing", ""), kernel.read(8, 8)]))
"""
    expected = image.read(banner, 256)
    assert expected is not None
    assert tell(host50, script) == [expected.hex(), [], None]


def test_check_mode_without_rights_says_what_to_do(host50):
    code, next_step = tell(host50, TRY, user="nobody")
    assert (code, "root" in next_step) == ("kcore_forbidden", True)


def test_hidden_addresses_are_told_apart(host50):
    before = host50.out("sysctl -n kernel.kptr_restrict")
    host50.run("sysctl -w kernel.kptr_restrict=2")
    try:
        code, next_step = tell(host50, TRY)
    finally:
        host50.run(f"sysctl -w kernel.kptr_restrict={before}")
    assert (code, "kptr_restrict" in next_step) == ("kallsyms_hidden", True)


def test_only_lockdown_to_confidentiality_forbids_memory(throwaway):
    host = throwaway("6.1.0-50-cloud-amd64")
    host.run("mountpoint -q /sys/kernel/security || mount -t securityfs none /sys/kernel/security")
    for level, expected in (("none", 1), ("integrity", 1), ("confidentiality", "kcore_forbidden")):
        if level != "none":
            host.run(f"echo {level} > /sys/kernel/security/lockdown")
        assert tell(host, TRY)[0] == expected
