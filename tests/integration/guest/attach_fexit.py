# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attaches an empty BPF program to the exit of a kernel function, as monitoring agents do, until it is killed.

``attach_fexit.py __x64_sys_poll`` prints ``attached``.  The layouts are those of ``linux/bpf.h`` and ``linux/btf.h``.
"""

import ctypes
import os
import signal
import struct
import sys

SYS_BPF = 321
PROG_LOAD, RAW_TRACEPOINT_OPEN = 5, 17
TRACING, FEXIT = 26, 25
KIND_FUNC = 12
# Bytes behind struct btf_type for each kind: fixed, and for each of its vlen members.
EXTRA = {1: (4, 0), 3: (12, 0), 4: (0, 12), 5: (0, 12), 6: (0, 8), 13: (0, 8), 14: (4, 0), 15: (0, 12), 17: (4, 0)}
EXTRA[19] = (0, 12)
RETURN_0 = struct.pack("<BBhi", 0xB7, 0, 0, 0) + struct.pack("<BBhi", 0x95, 0, 0, 0)


def btf_id(function):
    with open("/sys/kernel/btf/vmlinux", "rb") as stream:
        btf = stream.read()
    header, types, type_size, strings = struct.unpack_from("<4xIIII", btf)
    at, end, number = header + types, header + types + type_size, 1
    name_at = btf.index(b"\0" + function.encode() + b"\0", header + strings) + 1 - header - strings
    while at < end:
        name, info, _size = struct.unpack_from("<III", btf, at)
        kind, members = info >> 24 & 31, info & 0xFFFF
        if kind == KIND_FUNC and name == name_at:
            return number
        fixed, each = EXTRA.get(kind, (0, 0))
        at += 12 + fixed + each * members
        number += 1
    raise SystemExit(f"no BTF of {function}")


def bpf(command, attributes):
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attributes, 144)
    fd = libc.syscall(SYS_BPF, command, buffer, len(buffer))
    if fd < 0:
        raise SystemExit(f"bpf: {os.strerror(ctypes.get_errno())}")
    return fd


def main():
    code, licence = ctypes.create_string_buffer(RETURN_0), ctypes.create_string_buffer(b"GPL")
    attributes = struct.pack("<IIQQ", TRACING, 2, ctypes.addressof(code), ctypes.addressof(licence))
    attributes = attributes.ljust(68, b"\0") + struct.pack("<I", FEXIT)
    attributes = attributes.ljust(108, b"\0") + struct.pack("<I", btf_id(sys.argv[1]))
    program = bpf(PROG_LOAD, attributes)
    bpf(RAW_TRACEPOINT_OPEN, struct.pack("<QI", 0, program))
    print("attached", flush=True)
    signal.pause()


main()
