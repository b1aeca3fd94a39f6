# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The signature behind a kernel module file.

Behind the ELF file come the signature (PKCS#7, DER), a ``struct module_signature`` (include/linux/module_signature.h)
that says what it is and how long, and a magic line, as scripts/sign-file.c of the kernel appends them.
"""

from __future__ import annotations

import struct

MAGIC = b"~Module signature appended~\n"
# algo, hash, id_type, signer_len, key_id_len, pad[3], sig_len; of PKCS#7 only the type and the length are not zero,
# and kernels refuse others (kernel/module_signature.c).
TRAILER = struct.Struct(">8sI")
PKCS7 = bytes((0, 0, 2, 0, 0, 0, 0, 0))  # id_type is PKEY_ID_PKCS7


def is_signed(image: bytes) -> bool:
    """Whether a signature is appended; whether the kernel trusts its key only the kernel can say."""
    return image.endswith(MAGIC)


def append(image: bytes, signature: bytes) -> bytes:
    """The module file ``image``, which has no signature yet, with the PKCS#7 message ``signature`` behind it."""
    if is_signed(image):
        raise ValueError("the module has a signature already")
    return image + signature + TRAILER.pack(PKCS7, len(signature)) + MAGIC


def split(image: bytes) -> tuple[bytes, bytes]:
    """The module file without its signature, and the PKCS#7 message; b"" if there is none.

    Raises ``ValueError`` if what is appended is no such message.
    """
    if not is_signed(image):
        return image, b""
    end = len(image) - len(MAGIC) - TRAILER.size
    if end < 0:
        raise ValueError("truncated")
    kind, length = TRAILER.unpack_from(image, end)
    if kind != PKCS7 or not 0 < length <= end:
        raise ValueError("not PKCS#7, or longer than the file")
    return image[: end - length], image[end - length : end]
