# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel's own functions mean for the object that they are called with; from their names.

Source: include/linux/bitops.h, include/asm-generic/bitops, and the headers of locks, lists, counters, works and timers.
"""

from __future__ import annotations

import re

BIT_SETS = re.compile(r"_*(arch_|raw_)?_*((test_and_)?(set|change)|assign)_bit(_lock|_le)?")
BIT_CLEARS = re.compile(r"_*(arch_|raw_)?_*((test_and_)?(clear|change)|assign)_bit(_unlock|_le)?")
# Not test_and_set_bit(): what it asks for is that nothing has been done yet, as in objects that exist.
BIT_TESTS = re.compile(r"_*(arch_|const_|generic_|constant_|variable_)?_*test_(and_(clear|change)_)?bit(_acquire|_le)?")
# Bits of a counter, given as a mask: the mask comes first.
MASK_SETS = re.compile(r"(raw_|arch_)?atomic\w*?_(fetch_)?or(_\w+)?")
MASK_CLEARS = re.compile(r"(raw_|arch_)?atomic\w*?_(fetch_)?andnot(_\w+)?")
# What gives the value of what its argument points to.
READS = re.compile(r"(raw_|arch_)?(atomic\w*|refcount|kref|local\w*)_read(_acquire)?|__atomic_load_\d+")
STORES = re.compile(r"(raw_|arch_)?(atomic\w*|refcount|local\w*)_set(_release)?")
STARTS_WITH_ONE = re.compile(r"kref_init")
INITIALISES = re.compile(
    r"INIT_\w+|(\w*_)?init(_\w+)?|(refcount|kref|atomic\w*|percpu_counter|local\w*)_set|timer_setup|tasklet_setup"
)
# What could as well be memory that was cleared.
ZEROS = re.compile(
    r"spinlock_check|xa_init\w*|seqcount_init|__seqcount_init|INIT_HLIST_\w+|init_llist_head|idr?a?_init"
)
# What breaks where it was not initialised: an empty list points to itself, a lock has a list of those who wait.
NEEDS_START = re.compile(
    r"_*list_\w+|h?list_\w+|_*mutex_\w+|down\w*|_*wake_up\w*|_*add_wait_queue\w*|prepare_to_wait\w*|_*queue_\w*work\w*"
    r"|schedule_\w*work|mod_timer|add_timer|hrtimer_start\w*|complete(_all)?|wait_for_completion\w*|refcount_inc\w*"
    r"|refcount_dec\w*|atomic\w*_(dec|sub)\w*|atomic\w*_(inc_not_zero|add_unless|inc_unless_\w+)|kref_\w+"
    r"|_*skb_queue_\w+|tasklet_schedule|call_rcu|rhashtable_\w+|percpu_\w+"
)
NO_USE = re.compile(r"__builtin_\w+|fortify_\w+|memset|kfence_\w+|kasan_\w+|spinlock_check|\.\w+")
FAILS = re.compile(r"_*warn\w*|ERR_PTR|panic")
MAKES = re.compile(r"\w*alloc\w*|\w*dup\w*|\w*_create\w*|\w*clone\w*|\w*_new|new_\w+")
# Memory that is handed out as it is.
UNCLEAN = re.compile(r"_*kv?malloc\w*|vmalloc\w*|kmem_cache_alloc\w*|_*kmalloc\w*|kmemdup")
# The object in which, or of which, their argument is a part: inet_sk (sk), netdev_priv (device).
SAME_OBJECT = re.compile(r"\w+_(sk|priv|I)|to_\w+|\w+_drvdata")
# What takes and gives back a reference, counts up and down, or puts into a list and takes out: sock_hold and sock_put,
# refcount_inc and refcount_dec_and_test, list_add_tail and list_del_init.
_TAKES = re.compile(r"get|hold|grab|inc(?!l)|(?<=list_)add")
_GIVES = re.compile(r"put|drop|release|dec(?!o)|(?<=list_)del")
_MANNER = re.compile(
    r"_*try_?|_(and|test|not|zero|unless|rcu|sync|noidle|autosuspend|safe|relaxed|acquire|tail|head|init|valid)(?=_|$)"
)
LINKS = re.compile(r"h?list_@")


def takes(function: str) -> str:
    """What a function takes a reference of, in words that are those of the one that gives it back; "" if none."""
    words = _MANNER.sub("", function).strip("_")
    return _TAKES.sub("@", words, count=1) if _TAKES.search(words) else ""


def gives(function: str) -> str:
    """The same of a function that gives a reference back."""
    words = _MANNER.sub("", function).strip("_") or function
    return _GIVES.sub("@", words, count=1) if _GIVES.search(words) else ""
