# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions of the kernel that read the strings and constants that they are given, and keep no address of them.

Each was read in Debian's sources of Linux 6.1 (6.1.176) and 6.12 (6.12.117), for x86-64 as Debian configures it, and
what it hands a pointer on to was followed, but for the assembly of ``memcpy()`` and ``memmove()`` and the formats of
``vsnprintf()``, of which only the static pointers were searched for.  Every argument that may be a pointer is read,
formatted or copied before the function returns, trace events copy text (``__string``, ``__dynamic_array``), and what is
returned points into no constant.  Names that one of the two does not have are marked.  A name that neither has is not
among them: a module could define it.

What keeps an address is not among them, for instance:

- ``__ext4_error``, ``__ext4_error_inode`` and what passes ``function`` or ``where`` on to them: ``save_error_info()``
  stores the pointer in ``s_last_error_func`` of the mounted filesystem, which is written to disk later, and the trace
  event ``ext4_error`` stores it in the ring buffer;
- ``trace_printk``: the format stands in the ring buffer;
- ``request_irq``, ``request_region``, ``kthread_create_on_node``, ``proc_create``, ``debugfs_create_file``: they keep
  a name, the data or the operations;
- ``nla_parse``: the policy may stand in ``extack``, which the caller reads later; ``mutex_init`` with lockdep;
- ``kstrdup_const``, and what names things with it (``kmem_cache_create``, ``dev_set_name``): whether it copies depends
  on where the string is.

What returns or stores an address inside of what it reads is not among them either, since the analysis does not follow
that address: ``strchr``, ``strstr``, ``memchr``, ``simple_strtoul``.
"""

from __future__ import annotations

_LEVELS = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "printk")

READERS = frozenset(
    (
        # kernel/printk/printk.c, kernel/panic.c, lib/ratelimit.c, net/core/utils.c, lib/hexdump.c
        *("_printk", "_printk_deferred", "__warn_printk", "panic", "___ratelimit", "__printk_ratelimit"),
        *("net_ratelimit", "print_hex_dump", "hex_dump_to_buffer"),
        # drivers/base/core.c, net/core/dev.c, drivers/infiniband/core/device.c, lib/dynamic_debug.c
        *(f"{family}{level}" for family in ("_dev_", "netdev_", "ibdev_") for level in _LEVELS),
        *("dev_printk_emit", "dev_err_probe", "__dynamic_pr_debug", "__dynamic_dev_dbg", "__dynamic_netdev_dbg"),
        # lib/string.c; strlcpy and strscpy are of 6.1, sized_strscpy is what strscpy() calls in 6.12
        *("strcmp", "strncmp", "strcasecmp", "strncasecmp", "strlen", "strnlen", "memcmp", "bcmp", "strspn", "strcspn"),
        *("strcpy", "strncpy", "strlcpy", "strscpy", "sized_strscpy", "strcat", "strncat", "strlcat"),
        # lib/string_helpers.c; strscpy_pad and fortify_panic are of 6.1, __fortify_panic of 6.12
        *("sysfs_streq", "match_string", "__sysfs_match_string", "string_escape_mem", "memcpy_and_pad", "strscpy_pad"),
        *("fortify_panic", "__fortify_panic"),
        # arch/x86/lib, lib/crypto/memneq.c, mm/util.c; kmemdup is of 6.1, kmemdup_noprof its name in 6.12
        *("memcpy", "__memcpy", "memmove", "__memmove", "__crypto_memneq"),
        *("kstrdup", "kstrndup", "kmemdup", "kmemdup_noprof", "kmemdup_nul"),
        # lib/vsprintf.c, lib/kasprintf.c
        *("sprintf", "snprintf", "scnprintf", "vsnprintf", "vscnprintf", "kasprintf", "kvasprintf", "sscanf"),
        # lib/kstrtox.c
        *("kstrtoull", "kstrtoll", "_kstrtoul", "_kstrtol", "kstrtouint", "kstrtoint", "kstrtou16", "kstrtos16"),
        *("kstrtou8", "kstrtos8", "kstrtobool"),
        # lib/usercopy.c, mm/maccess.c, mm/usercopy.c
        *("_copy_to_user", "__copy_overflow", "__check_object_size"),
        # fs/seq_file.c, fs/sysfs/file.c; seq_puts is of 6.1, __seq_puts what it calls in 6.12
        *("seq_printf", "seq_puts", "__seq_puts", "seq_putc", "seq_write", "seq_escape_mem", "seq_hex_dump"),
        *("seq_put_decimal_ull", "seq_put_decimal_ull_width", "seq_put_decimal_ll", "seq_put_hex_ll"),
        *("seq_path", "seq_file_path", "seq_dentry", "sysfs_emit", "sysfs_emit_at"),
        # kernel/audit.c, kernel/bpf/log.c, kernel/workqueue.c, kernel/kmod.c (kernel/module/kmod.c in 6.12)
        *("audit_log", "audit_log_format", "audit_log_n_hex", "audit_log_n_string", "audit_log_n_untrustedstring"),
        *("audit_log_untrustedstring", "audit_log_key", "bpf_log", "alloc_workqueue", "__request_module"),
        # lib/nlattr.c, net/core/skbuff.c, net/core/dev.c
        *("nla_put", "__nla_put", "nla_put_64bit", "nla_put_nohdr", "nla_append", "nla_strcmp", "nla_memcmp"),
        *("skb_store_bits", "alloc_netdev_mqs"),
        # net/netfilter/nf_conntrack_proto.c, net/netfilter/nf_conntrack_helper.c, net/bluetooth/lib.c
        *("nf_l4proto_log_invalid", "nf_ct_l4proto_log_invalid", "nf_ct_helper_log"),
        *("bt_info", "bt_warn", "bt_err", "bt_dbg", "bt_warn_ratelimited", "bt_err_ratelimited"),
        # fs/ext4/super.c, fs/fat/misc.c; fs/btrfs/super.c in 6.1, messages.c and transaction.c in 6.12
        *("__ext4_warning", "__ext4_warning_inode", "__ext4_msg", "__fat_fs_error", "_fat_msg"),
        *("_btrfs_printk", "__btrfs_handle_fs_error", "__btrfs_abort_transaction", "__btrfs_panic"),
        # fs/xfs/xfs_message.c, fs/xfs/xfs_error.c, fs/xfs/xfs_fsops.c
        *("xfs_printk_level", "_xfs_alert_tag", "xfs_buf_alert_ratelimited", "xfs_error_report"),
        *("xfs_corruption_error", "xfs_do_force_shutdown"),
        # mm/kasan/generic.c, of kernels with KASAN: what gcc has called before each access
        *(f"__asan_{access}{size}_noabort" for access in ("load", "store") for size in (1, 2, 4, 8, 16, "N")),
        # mm/memory.c, kernel/sched/core.c, kernel/locking/lockdep.c, of kernels that check themselves: __FILE__
        *("__might_fault", "__might_sleep", "__might_resched", "__cant_sleep", "__cant_migrate"),
        "lockdep_rcu_suspicious",
        # drivers/gpu/drm/drm_print.c
        *("drm_dev_printk", "__drm_dev_dbg", "__drm_err"),
    )
)
