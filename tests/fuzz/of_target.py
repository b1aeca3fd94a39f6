# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers that a target has: packages, what its kernel shows, and what it keeps on its disk."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import (
    checks,
    module_signature,
    package,
    signers,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.build_id import parse_build_id
from ansible_collections.rebootless.splice.plugins.module_utils._common.distribution import debian, kernel_package
from ansible_collections.rebootless.splice.plugins.module_utils._common.match_program import Program
from ansible_collections.rebootless.splice.plugins.module_utils._target.arch.table import image_banner
from ansible_collections.rebootless.splice.plugins.module_utils._target.health import health_log
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import (
    facts,
    keyrings,
    modinfo,
    modprobe,
    module_reach,
    sysfs,
)
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.kallsyms import Kallsyms
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.kcore import Kcore
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.log import parse_record
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.tracing import parse_traced_functions
from ansible_collections.rebootless.splice.plugins.module_utils._target.rollout.records import Records
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import armed_record
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.store import Store
from ansible_collections.rebootless.splice.tests.fuzz.reader import PART, Reader, parts, scratch
from ansible_collections.rebootless.splice.tests.fuzz.seeds import (
    core_seed,
    elf_seed,
    note_seed,
    program_of,
    signature_seed,
)
from ansible_collections.rebootless.splice.tests.support import package as packages

# Of each file that modprobe goes by some lines.
TABLES = (
    b"kernel/net/sctp/sctp.ko.xz: kernel/lib/libcrc32c.ko\nkernel/lib/libcrc32c.ko:\n",
    b"alias net-pf-10-proto-132 sctp\nalias crypto-crc32c libcrc32c\n",
    b"softdep sctp pre: crypto-crc32c post: sctp\n",
    b"tun net/tun c10:200\n",
    b"blacklist sctp\ninstall libcrc32c \\\n /bin/true\nalias net-pf-* sctp\n",
)

# ---- packages ----


def read_archive(data: bytes) -> None:
    """The archive of a package whose compression is sound."""
    read = package.parse_package("p", packages.compress(data))
    assert set(read.files) == set(read.manifest["files"])
    assert read.name and read.digest and read.programs


def read_manifest(data: bytes) -> None:
    """A manifest, in a package that is sound but for what that says."""
    members = [(packages.member("manifest.json", len(data)), data)]
    files = [(packages.member(name, len(body)), body) for name, body in sorted(packages.FILES.items())]
    package.parse_package("p", packages.pack(members + files))


def manifest_seed() -> bytes:
    return json.dumps({**packages.MANIFEST, "files": packages.rows_of(packages.FILES)}, sort_keys=True).encode()


def archive_seed() -> bytes:
    return package._inflate("p", packages.build())


def read_program(data: bytes) -> None:
    """The view of a match program that messages are made of."""
    program = Program(data)
    for index, symbol in enumerate(program.symbols):
        program.describe(index)
        if symbol.kind == 1:
            program.symbol_at(symbol.section, symbol.offset)
    assert len(program.places) + len(program.contents) + len(program.relocs) >= 0


# ---- the kernel ----


def read_kallsyms(data: bytes) -> None:
    table = Kallsyms(str(scratch("kallsyms", data)))
    table.prefetch({("start", "vmlinux"), ("af_unix_init", "unix")})
    assert all(isinstance(address, int) for address in table.lookup("start", ""))


def read_kcore(data: bytes) -> None:
    with Kcore(str(scratch("kcore", data))) as kcore:
        for address in (0, 0xFFFFFFFF81000000, (1 << 64) - 8):
            found = kcore.read(address, 8)
            assert found is None or len(found) == 8


def read_modinfo(data: bytes) -> None:
    modinfo.module_build_id(data, "m.ko")
    assert all(isinstance(value, str) for value in modinfo.read_modinfo(data, "m.ko").values())


ANSWERS = ("state", "version", "digest", "functions", "objects", "data", "conflicts", "holders", "abort", "tries")


def read_signature(data: bytes) -> None:
    """What is behind a module, and who signed it."""
    try:
        image, message = module_signature.split(data)
        if message:
            assert module_signature.append(image, message) == data
            kind, value = signers.signer_of(message)
            assert kind in ("serial", "key_id") and bytes.fromhex(value) in message
    except ValueError:
        return


def read_keys(data: bytes) -> None:
    """/proc/keys."""
    before, keyrings.PROC_KEYS = keyrings.PROC_KEYS, str(scratch("keys", data))
    try:
        keys, rings = keyrings._listed()
        assert all(row["key_id"] for row in keys.values()) and all(serial >= 0 for serial in rings.values())
    finally:
        keyrings.PROC_KEYS = before


PROC_KEYS = (
    b"0175ca4d I------     1 perm 1f030000     0     0 asymmetri Fleet: signing: 36b692bb: X509.rsa 71d45ff0 []\n"
    b"150c5350 I------     2 perm 1f0b0000     0     0 keyring   .machine: 2\n"
    b"1b4c8a37 I--Q---     1   5d 3f010000  1000  1000 user      a: b: 1\n"
)


def read_sysfs(data: bytes) -> None:
    """The helper module's files about an update, and what is made of them."""
    directory = scratch("sysfs") / "u"
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in zip(ANSWERS, parts(data, len(ANSWERS)), strict=True):
        (directory / name).write_bytes(content)
    before, sysfs.ROOT = sysfs.ROOT, str(directory.parent)
    try:
        json.dumps(sysfs.update("u"))
        error = sysfs.refusal("u")
        if error is not None:
            json.dumps(error.result())
    finally:
        sysfs.ROOT = before


SYSFS = PART.join(
    [
        b"reversed, held by 3 tasks\n",
        b"1.0\n",
        b"ab" * 32 + b"\n",
        b"unix_ioctl 0xffffffff81000000 0xffffffffc0000000 0xffffffff81000005 0f1f440000 yes\n",
        b"vmlinux applied\nkvm absent\n",
        b"table 0xffffffff82000000 0xffffffffc0001000 16 yes 00ff\n",
        b"17 sh unix_ioctl 0xffffffff81000010\n",
        b"18 kworker/0:1 - 0x0\n",
        b"code: no_match\nsentence: Running code differs.\nnext_step: Look.\nunit: a.o\n",
        b"3\n",
    ]
)


def read_kernel_log(data: bytes) -> None:
    """Records of /dev/kmsg, one a line as a test can write them, and what health checks find in them."""
    records = [record for record in map(parse_record, data.split(b"\0")) if record is not None]
    lines = [health_log.HealthLine(record.number, record.level, record.text) for record in records]
    assert len(health_log.bad_lines(lines, ["soft"], ["hard"])) <= len(lines)


def read_words(data: bytes) -> None:
    """Small texts of the kernel, of which none is refused: what is not understood is not there."""
    text = data.decode("utf-8", "replace")
    assert set(parse_build_id(data)) <= set("0123456789abcdef")
    facts.parse_lockdown(text)
    parse_traced_functions(text)
    kernel_package.version_in(text)
    kernel_package.version_in(image_banner(data))
    if debian.is_version(text):
        assert debian.compare(text, text) == 0 and debian.fixed(text, [text, "6.1.1-1"]) in (
            True,
            False,
        )
        assert debian.compare(text, "6.1.1-1") == -debian.compare("6.1.1-1", text)


# ---- what a plan and the disk say ----


def read_checks(data: bytes) -> None:
    """Health checks as a plan gives them; what is normal stays as it is."""
    try:
        wanted = json.loads(data)
    except (ValueError, RecursionError):
        return
    normal = checks.normalise(wanted)
    assert checks.normalise(normal) == normal and checks.allowance(normal) >= 0
    for check in normal:
        if check["kind"] == "kernel_log":
            health_log.bad_lines([health_log.HealthLine(1, 4, "BUG: x")], check["patterns"], check["ignore"])


CHECKS: list[dict[str, t.Any]] = [
    {"kind": "kernel_log", "patterns": ["^nvme .* timeout"], "ignore": ["harmless"]},
    {"kind": "command", "name": "c", "argv": ["/bin/true"], "timeout": 5.5},
    {"kind": "url", "url": "https://web1/health", "status": 204, "contains": "ok"},
    {"kind": "port", "port": 22},
    {"kind": "unit", "unit": "ssh.service", "retries": 0},
]


def read_armed_record(data: bytes) -> None:
    """A record of what is armed for the boot; what was read and is written is the same."""
    store = Store(str(scratch("state")))
    path = scratch("state") / armed_record.DIRECTORY / "u.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_sealed(data))
    record = armed_record.read(store, "u")
    assert record is not None
    assert armed_record._parse("p", "u", armed_record.serialize(record)) == record
    for boot in ("", "b"):
        record.crashed(boot), record.tried(boot), record.quarantined(boot)
        record.with_boot(boot, armed_record.SETTLED)
    record.in_quarantine()


def _sealed(data: bytes) -> bytes:
    """The record with the checksum of its fields, as a program that has written it would have it."""
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        return data
    if isinstance(fields, dict):
        fields.pop("checksum", None)
        fields["checksum"] = armed_record._checksum(fields)
        return json.dumps(fields).encode()
    return data


def armed_seed() -> bytes:
    boots = ({"boot_id": "b", "time": "2026-11-23T12:00:00Z", "outcome": "settled"},)
    record = armed_record.ArmedRecord("u", "1.0", "ab" * 32, "cd" * 32, "6c" * 20, "6.1.0", ["6.1.187-1"], "now")
    return armed_record.serialize(record._replace(boots=boots))


def read_rollout_record(data: bytes) -> None:
    records = Records(str(scratch("rollout_state")))
    path = scratch("rollout_state") / "rollout" / "u.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    record = records.read("u")
    assert record is None or isinstance(record, dict)


def read_modules(data: bytes) -> None:
    """Tables of modules and a configuration of modprobe: each module has one place."""
    directory = scratch("modules")
    directory.mkdir(exist_ok=True)
    names = ("modules.dep", "modules.alias", "modules.softdep", "modules.devname", "one.conf")
    for name, content in zip(names, parts(data, len(names)), strict=True):
        (directory / name).write_bytes(content)
    tables = modprobe.read_tables(str(directory))
    assert tables is not None
    configuration = modprobe.read_configuration([str(directory)], "modprobe.blacklist=a")
    allowed = module_reach.Settings(True, True, True, True)
    places = module_reach.classify(["loaded"], tables, configuration, allowed)
    listed = [name for found in places.values() for name in found]
    assert len(listed) == len(set(listed)) and set(tables.needs) <= set(listed)


READERS = {
    "archive": Reader(read_archive, lambda: [("package", archive_seed())], 20480),
    "package": Reader(lambda data: package.parse_package("p", data), lambda: [("package", packages.build())]),
    "manifest": Reader(read_manifest, lambda: [("manifest", manifest_seed())]),
    "program_view": Reader(read_program, lambda: [("world", program_of(2))]),
    "kallsyms": Reader(
        read_kallsyms,
        lambda: [
            ("kernel", b"0000000000000000 A fixed\nffffffff81000000 T start\nffffffffc0000000 t af_unix_init\t[unix]\n")
        ],
    ),
    "kcore": Reader(read_kcore, lambda: [("segments", core_seed())]),
    "modinfo": Reader(read_modinfo, lambda: [("module", elf_seed())]),
    "signature": Reader(read_signature, lambda: [("signed", signature_seed())]),
    "keys": Reader(read_keys, lambda: [("keys", PROC_KEYS)]),
    "modules": Reader(read_modules, lambda: [("tables", PART.join(TABLES))]),
    "sysfs": Reader(read_sysfs, lambda: [("update", SYSFS)]),
    "kernel_log": Reader(
        read_kernel_log, lambda: [("records", b"4,812,5140900,-;WARNING: x\n\x006,813,1,-;soft lockup\n SUB=1\n")]
    ),
    "words": Reader(
        read_words,
        lambda: [
            ("notes", note_seed()),
            ("version", b"1:6.1.176-1~bpo+1"),
            ("banner", b"#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-09-13)"),
            ("lockdown", b"none [integrity] confidentiality"),
            ("traced", b"unix_ioctl (1)\nf [kvm] (1) R I\n\ttrampoline\n"),
        ],
    ),
    "checks": Reader(read_checks, lambda: [("checks", json.dumps(CHECKS).encode())]),
    "armed_record": Reader(read_armed_record, lambda: [("record", armed_seed())]),
    "rollout_record": Reader(read_rollout_record, lambda: [("record", b'{"format": 1, "name": "u", "checks": []}')]),
}
