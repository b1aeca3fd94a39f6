# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions of the kernel that read the strings and constants that they are given, and keep no address of them.

Each was looked up in Linux 6.1 and 6.12.  What keeps an address is not among them: ``trace_printk`` (the format stands
in the ring buffer), ``kstrdup_const``, ``kmem_cache_create``, ``mutex_init`` with lockdep.
"""

from __future__ import annotations

READERS = frozenset(
    (
        # kernel/printk, drivers/base/core.c, net/core/dev.c, lib/dynamic_debug.c, kernel/panic.c
        *("printk", "_printk", "_printk_deferred", "__warn_printk", "warn_slowpath_fmt", "panic", "___ratelimit"),
        *(f"{family}{level}" for family in ("_dev_", "netdev_") for level in ("emerg", "alert", "crit", "err")),
        *(f"{family}{level}" for family in ("_dev_", "netdev_") for level in ("warn", "notice", "info", "printk")),
        *("__dynamic_pr_debug", "__dynamic_dev_dbg", "__dynamic_netdev_dbg", "dev_err_probe"),
        # lib/string.c, lib/string_helpers.c, lib/vsprintf.c, lib/kstrtox.c, mm/util.c
        *("strcmp", "strncmp", "strcasecmp", "strncasecmp", "strlen", "strnlen", "sysfs_streq", "memcmp", "bcmp"),
        *("strcpy", "strncpy", "strlcpy", "strscpy", "strscpy_pad", "strcat", "strncat", "strlcat"),
        *("memcpy", "__memcpy", "memmove", "__memmove", "kstrdup", "kstrndup", "kmemdup", "kmemdup_nul"),
        *("sprintf", "snprintf", "scnprintf", "vsnprintf", "vscnprintf", "kasprintf", "kvasprintf", "sscanf"),
        *("_copy_to_user", "copy_to_user", "__copy_overflow", "fortify_panic", "__fortify_panic"),
        # fs/seq_file.c, fs/sysfs/file.c, kernel/audit.c, fs/ext4/super.c, fs/btrfs/messages.c
        *("seq_printf", "seq_puts", "seq_write", "seq_escape_mem", "sysfs_emit", "sysfs_emit_at"),
        *("audit_log_format", "__ext4_error", "__ext4_error_inode", "__ext4_warning", "__ext4_msg", "_btrfs_printk"),
    )
)
