# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions of the kernel that are done with what they are given when they return.

Unlike ``readers.py``, which is about strings and constants without a name, this is about data of any kind: locks,
counters, buffers.  Of each it is held that for x86-64 as Debian configures Linux 6.1 and 6.12, without lockdep, no
argument of it, whichever it is, is stored anywhere but in what the arguments themselves point to, or in the stack of a
task that has not returned from the function.  What returns its first argument is followed on
(``arch/x86/escapes.py``).  Names that one of the two does not have are marked.

For this list only ``lib/once.c`` was read in Debian's sources (6.1.176 and 6.12.107), and what ``readers.py`` has was
read for that one.  The others are here by what they are documented to do, each with the file in which to read it.  To
take one out costs no more than a module that stays loaded.

What keeps an address is not among them, for instance:

- ``debugfs_create_u32``, ``request_region``, ``proc_create_data``: files and resources hold it;
- ``percpu_counter_init``, ``add_timer``, ``queue_work_on``, ``call_rcu``, ``add_wait_queue``: they link it into a list;
- ``ida_alloc_range``, ``__xa_store``: a node of the tree points back to its root;
- ``kmem_cache_create``, ``kobject_init_and_add``: a constructor, a type; ``__mutex_init``: with lockdep, a key.
"""

from __future__ import annotations

_LEVELS = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "printk")
_SPINNING = tuple(f"_raw_{kind}_" for kind in ("spin", "read", "write"))

BORROWERS = frozenset(
    (
        # kernel/locking/spinlock.c: a lock is a number, and has no list
        *(f"{kind}{how}lock{ways}" for kind in _SPINNING for how in ("", "un", "try") for ways in ("", "_bh", "_irq")),
        *(f"{kind}lock_irqsave" for kind in _SPINNING),
        *(f"{kind}unlock_irqrestore" for kind in _SPINNING),
        # kernel/locking/mutex.c, rwsem.c, semaphore.c: who waits stands in the lock's list, on the stack of the call
        *("mutex_lock", "mutex_lock_interruptible", "mutex_lock_killable", "mutex_lock_io", "mutex_trylock"),
        *("mutex_unlock", "mutex_is_locked", "atomic_dec_and_mutex_lock"),
        *("down_read", "down_read_interruptible", "down_read_killable", "down_read_trylock", "up_read"),
        *("down_write", "down_write_killable", "down_write_trylock", "up_write", "downgrade_write"),
        *("down", "down_interruptible", "down_killable", "down_trylock", "down_timeout", "up"),
        # lib/dec_and_lock.c, lib/refcount.c; the raw ones are of 6.12
        *("_atomic_dec_and_lock", "_atomic_dec_and_lock_irqsave"),
        *("_atomic_dec_and_raw_lock", "_atomic_dec_and_raw_lock_irqsave"),
        *("refcount_warn_saturate", "refcount_dec_if_one", "refcount_dec_not_one", "refcount_dec_and_mutex_lock"),
        *("refcount_dec_and_lock", "refcount_dec_and_lock_irqsave"),
        # kernel/jump_label.c: the branches of a key are those of the module, which it forgets (jump_label_del_module())
        *("static_key_count", "static_key_slow_inc", "static_key_slow_dec", "static_key_fast_inc_not_disabled"),
        *("static_key_enable", "static_key_disable", "static_key_enable_cpuslocked", "static_key_disable_cpuslocked"),
        # lib/once.c, whose work holds the key and a reference to the key's module
        *("__do_once_start", "__do_once_done", "__do_once_sleepable_start", "__do_once_sleepable_done"),
        # lib/ratelimit.c, kernel/printk/printk.c, kernel/panic.c, net/core/utils.c, lib/hexdump.c
        *("___ratelimit", "__printk_ratelimit", "_printk", "_printk_deferred", "__warn_printk", "panic"),
        *("print_hex_dump", "hex_dump_to_buffer"),
        # drivers/base/core.c, net/core/dev.c
        *(f"{family}{level}" for family in ("_dev_", "netdev_") for level in _LEVELS),
        # lib/vsprintf.c, lib/kstrtox.c
        *("sprintf", "snprintf", "scnprintf", "vsnprintf", "vscnprintf", "kasprintf", "kvasprintf", "sscanf"),
        *("kstrtoull", "kstrtoll", "_kstrtoul", "_kstrtol", "kstrtouint", "kstrtoint", "kstrtou16", "kstrtos16"),
        *("kstrtou8", "kstrtos8", "kstrtobool"),
        # lib/string.c; strlcpy and strscpy are of 6.1, sized_strscpy is what strscpy() calls in 6.12
        *("strcmp", "strncmp", "strcasecmp", "strncasecmp", "strlen", "strnlen", "memcmp", "bcmp", "strspn", "strcspn"),
        *("strcpy", "strncpy", "strlcpy", "strscpy", "sized_strscpy", "strcat", "strncat", "strlcat"),
        *("memcpy", "__memcpy", "memmove", "__memmove", "memset", "__memset"),
        # mm/util.c; kmemdup is of 6.1, kmemdup_noprof its name in 6.12
        *("kstrdup", "kstrndup", "kmemdup", "kmemdup_noprof", "kmemdup_nul"),
        # lib/usercopy.c, mm/usercopy.c
        *("_copy_to_user", "_copy_from_user", "__copy_overflow", "__check_object_size"),
        # drivers/char/random.c, lib/siphash.c, lib/find_bit.c
        *("get_random_bytes", "siphash_1u64", "siphash_2u64", "siphash_3u64", "siphash_4u64", "siphash_1u32"),
        *("siphash_3u32", "__siphash_aligned", "__siphash_unaligned"),
        *("_find_first_bit", "_find_first_zero_bit", "_find_next_bit", "_find_next_zero_bit", "_find_last_bit"),
        # fs/seq_file.c, fs/sysfs/file.c
        *("seq_printf", "seq_write", "seq_put_decimal_ull", "seq_put_decimal_ll", "sysfs_emit", "sysfs_emit_at"),
    )
)
