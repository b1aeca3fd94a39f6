# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints as JSON a BLAKE2b digest of the running kernel's whole text, and how many bytes that is.

BLAKE2b takes a sixth of the time of SHA-256 on an emulated processor.  The text is what lies in memory between _stext
and _etext, read through /proc/kcore (an ELF core file, see elf(5)).
"""

from __future__ import annotations

import hashlib
import json
import struct

PT_LOAD = 1
CHUNK = 1 << 20


def bounds():
    found = {}
    with open("/proc/kallsyms", encoding="ascii") as symbols:
        for line in symbols:
            address, _kind, name = line.split()[:3]
            if name in ("_stext", "_etext"):
                found[name] = int(address, 16)
            if len(found) == 2:
                break
    return found["_stext"], found["_etext"]


def offset_of(core, address):
    header = struct.unpack("<16sHHIQQQIHHHHHH", core.read(64))
    core.seek(header[5])
    for _segment in range(header[10]):
        kind, _flags, offset, start, _physical, size, _memory, _align = struct.unpack("<IIQQQQQQ", core.read(56))
        if kind == PT_LOAD and start <= address < start + size:
            return offset + address - start
    raise SystemExit("/proc/kcore does not hold the kernel's text")


start, end = bounds()
digest = hashlib.blake2b(digest_size=32)
with open("/proc/kcore", "rb", buffering=0) as core:
    core.seek(offset_of(core, start))
    left = end - start
    while left:
        chunk = core.read(min(left, CHUNK))
        if not chunk:
            raise SystemExit("/proc/kcore ends inside the kernel's text")
        digest.update(chunk)
        left -= len(chunk)
print(json.dumps({"blake2b": digest.hexdigest(), "bytes": end - start}))
