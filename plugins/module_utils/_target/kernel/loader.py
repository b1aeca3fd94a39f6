# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads and unloads kernel modules by system call, so that a target needs no kmod tools.

Source: finit_module(2), delete_module(2).
"""

from __future__ import annotations

import ctypes
import errno
import os

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target.arch.table import running
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.log import KernelLog
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.memory_file import memory_file

# machine as uname(2) has it: (finit_module, delete_module)

LOOK_AT_LOG = "Look at the kernel log for the reason, and report it."
# errno: (code, sentence, next step).  {module} is the module's name.
LOAD_ERRORS = {
    errno.EPERM: (
        "load_not_permitted",
        "The kernel does not let this process load the module {module}.",
        "Become root with the capability CAP_SYS_MODULE (not in a container), and check that kernel.modules_disabled "
        "is 0 and, if the kernel is locked down, that the module is signed with a key that is enrolled on this host.",
    ),
    errno.ENOEXEC: (
        "module_other_kernel",
        "The module {module} was built for another kernel.",
        "Build the update for this kernel's release and build ID.",
    ),
    errno.EEXIST: ("module_loaded", "A module named {module} is loaded already.", "Unload it, then try again."),
    errno.EBUSY: (
        "module_busy",
        "Another task is loading or unloading a module named {module}.",
        "Wait until that has ended, then try again.",
    ),
    errno.ENOKEY: (
        "module_key_unknown",
        "The module {module} is not signed with a key that this kernel trusts, and the kernel requires it.",
        "Sign the modules with a key that is enrolled on this host (MOK or the platform's key ring).",
    ),
    errno.EKEYREJECTED: (
        "module_key_rejected",
        "The kernel rejected the module {module}: it has no signature by a key that this kernel trusts, or was changed "
        "after it was signed.",
        "Build the update again with a signer whose certificate is enrolled on this host and not revoked; if it is "
        "enrolled, find out who changed the package.",
    ),
    errno.EBADMSG: (
        "module_signature_damaged",
        "The signature of the module {module} is damaged.",
        "Sign the module again.",
    ),
    errno.ENOENT: (
        "module_symbol_unknown",
        "The module {module} needs a symbol that this kernel does not have, or in another version.",
        "Build the update for this kernel's release and build ID, and load its helper module first.",
    ),
    errno.EINVAL: ("module_invalid", "The kernel finds the module {module} invalid.", LOOK_AT_LOG),
    errno.ENOMEM: (
        "no_memory",
        "The kernel could not allocate memory for the module {module}.",
        "Free memory on the host and try again.",
    ),
    errno.ENOSYS: (
        "no_modules",
        "This kernel does not load modules.",
        "It cannot be patched live; reboot into a fixed kernel.",
    ),
    errno.ETXTBSY: ("module_being_written", "The file of the module {module} is open for writing.", "Try again."),
}
UNLOAD_ERRORS = {
    errno.EPERM: (
        "unload_not_permitted",
        "The kernel does not let this process unload the module {module}.",
        "Become root with the capability CAP_SYS_MODULE, and check that kernel.modules_disabled is 0.",
    ),
    errno.EWOULDBLOCK: (
        "module_in_use",
        "The module {module} is in use.",
        "Reverse the update first; an applied update pins its module.",
    ),
    errno.EBUSY: (
        "module_in_use",
        "Another task is loading or unloading the module {module}, or it cannot be unloaded at all.",
        "Wait until that has ended, then try again; a reboot also removes it.",
    ),
}


def load(image: bytes, name: str, parameters: str = "") -> None:
    """Loads the module file whose bytes are ``image`` and whose module name is ``name``, and runs its init function.

    The bytes go through a memory file, not the disk: what was checked is what is loaded, and finit_module(2) lets
    integrity policies see a file.  Raises ``RebootlessError``, code as in ``LOAD_ERRORS`` or ``load_failed``;
    ``details`` has ``errno`` and ``kernel_log``, what the kernel said meanwhile.
    """
    call = running().finit_module
    log = KernelLog()
    with memory_file(image, name) as path:
        # The file must be open for reading only; the kernel denies write access to what it loads.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        number = _system_call(call, descriptor, ctypes.c_char_p(parameters.encode()), 0)
    finally:
        os.close(descriptor)
    if number:
        raise _error(LOAD_ERRORS, number, "load_failed", "loaded", name, kernel_log=log.lines())


def unload(name: str) -> bool:
    """Unloads the module; False if none of that name is loaded.

    Raises ``RebootlessError``, code as in ``UNLOAD_ERRORS`` or ``unload_failed``.
    """
    number = _system_call(running().delete_module, ctypes.c_char_p(name.encode()), os.O_NONBLOCK)
    if number == errno.ENOENT:
        return False
    if number:
        raise _error(UNLOAD_ERRORS, number, "unload_failed", "unloaded", name)
    return True


def explain(table: dict, number: int, otherwise: str, verb: str, name: str) -> tuple[str, str, str]:
    """Code, sentence and next step for an errno of loading (``verb`` "loaded") or unloading."""
    code, sentence, next_step = table.get(
        number,
        (otherwise, f"The module {{module}} could not be {verb}: {os.strerror(number)}.", LOOK_AT_LOG),
    )
    return code, sentence.format(module=name), next_step


def _error(table: dict, number: int, otherwise: str, verb: str, name: str, **details: object) -> RebootlessError:
    code, sentence, next_step = explain(table, number, otherwise, verb, name)
    number_name = errno.errorcode.get(number, str(number))
    return RebootlessError(code, sentence, next_step, module=name, errno=number_name, **details)


def _system_call(*arguments: object) -> int:
    """0, or the errno."""
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    # Variadic: a plain int would be passed in 32 bits.
    result = syscall(*(ctypes.c_long(value) if isinstance(value, int) else value for value in arguments))
    return ctypes.get_errno() if result == -1 else 0
