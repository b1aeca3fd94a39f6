# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is put into functions, by kind of edit: ``KINDS``.

The kernel has to go on as before, so what would be of effect stands behind a condition that never holds, which the
compiler cannot know.  In the texts ``$N`` is a name that nothing else has, ``$F`` a condition that never holds, and
``$W`` a statement without effect that the compiler has to keep.
"""

from __future__ import annotations

import typing as t


class Statement(t.NamedTuple):
    """A statement to put somewhere into a function, what it needs before the function, and headers.

    ``calm``: not into functions that what it calls depends on, such as those of locks and of memory; ``built_in``: not
    into modules, to which the kernel does not export what it uses.
    """

    code: str
    before: str = ""
    headers: tuple[str, ...] = ()
    calm: bool = False
    built_in: bool = False


class Condition(t.NamedTuple):
    """What a condition becomes; ``$C`` is the condition."""

    code: str
    headers: tuple[str, ...] = ()


class Edit(t.NamedTuple):
    """An edit that the source decides: ``structure.py`` has it by its name."""

    name: str


Operator = Statement | Condition | Edit

# Conditions that never hold, and what they need: before the function, headers.
NEVER: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("READ_ONCE($N_zero) != 0", "static int $N_zero;\n", ("linux/compiler.h",)),
    ("READ_ONCE($N_one) == 0", "static int $N_one __read_mostly = 1;\n", ("linux/compiler.h", "linux/cache.h")),
    ("READ_ONCE(current->pid) < 0", "", ("linux/sched.h", "asm/current.h")),
    ("raw_smp_processor_id() >= NR_CPUS", "", ("linux/smp.h", "linux/threads.h")),
    ("READ_ONCE(system_state) == SYSTEM_BOOTING", "", ("linux/kernel.h",)),
)
# Statements without effect that the compiler keeps, in the same form.
EFFECTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("WRITE_ONCE($N_seen, 1);", "static int $N_seen;\n", ("linux/compiler.h",)),
    ('asm volatile("" : : : "memory");', "", ()),
    ('asm volatile("nopl 0x1234(%%rax)" : : : "memory");', "", ()),
    ("barrier_data(&$N_seen);", "static long $N_seen[3];\n", ("linux/compiler.h",)),
)

_PRINTK, _BUG, _KEYS = ("linux/printk.h",), ("linux/bug.h",), ("linux/jump_label.h",)
_PERCPU, _COMPILER = ("linux/percpu.h",), ("linux/compiler.h",)
_COUNT = "static unsigned long $N;\n"
_NO_INTERRUPTION = ("linux/preempt.h", "linux/spinlock.h")

KINDS: dict[str, tuple[Operator, ...]] = {
    "condition": (
        Condition("($C) && !($F)"),
        Condition("($C) || ($F)"),
        Condition("!($F) && ($C)"),
        Condition("({ bool $N_c = !!($C); barrier(); $N_c; })", _COMPILER),
        Edit("swapped_branches"),
        Edit("early_return"),
    ),
    "hint": (
        Condition("likely($C)", _COMPILER),
        Condition("unlikely($C)", _COMPILER),
        Edit("hint_dropped"),
    ),
    "call": (
        Statement("$N(__LINE__);", "static noinline void $N(int line)\n{\n\tif ($F)\n\t\tbarrier_data(&line);\n}\n"),
        Statement("$W $N();", "static void $N(void)\n{\n\tif ($F)\n\t\tdump_stack();\n}\n", ("linux/printk.h",)),
        Statement("if ($F) schedule_timeout_uninterruptible(1);", headers=("linux/sched.h",)),
        Statement("if ($F) msleep(1);", headers=("linux/delay.h",)),
        Statement("if ($F) kfree(ERR_PTR(-1));", headers=("linux/slab.h", "linux/err.h")),
        Statement("if (ktime_get_mono_fast_ns() == 1) $W", headers=("linux/timekeeping.h",), calm=True),
        Statement("if ($F) (*READ_ONCE($N))();", "static void (*$N)(void);\n", _COMPILER),
        Edit("own_call"),
        Edit("other_call"),
    ),
    "string": (
        Statement('if ($F) pr_info("$N: %s %d\\n", __func__, __LINE__);', headers=_PRINTK),
        Statement('if ($F) printk(KERN_ERR "$N is not reached\\n");', headers=_PRINTK),
        Statement('if (!strncmp(current->comm, "$N of a task", 15)) $W', headers=("linux/string.h", "linux/sched.h")),
        Statement('if ($F) panic("$N: %ps\\n", __builtin_return_address(0));', headers=("linux/panic.h",)),
        Edit("message"),
    ),
    "locals": (
        Statement("{ volatile char $N_area[192]; $N_area[17] = 1; (void)$N_area[17]; }"),
        Statement("{ unsigned long $N_words[24] = { 1, 2, 3 }; barrier_data($N_words); }", headers=_COMPILER),
        Statement("{ char $N_area[64] __aligned(64); barrier_data($N_area); }", headers=_COMPILER),
        Statement(
            "{ struct { int a; char b[40]; } $N_s = { .a = __LINE__ }; barrier_data(&$N_s); }", headers=_COMPILER
        ),
        Statement('{ char $N_text[] = "text of $N"; barrier_data($N_text); }', headers=_COMPILER),
    ),
    "static": (
        Statement(
            "{ static unsigned int $N_count; WRITE_ONCE($N_count, READ_ONCE($N_count) + 1); }", headers=_COMPILER
        ),
        Statement("WRITE_ONCE($N, READ_ONCE($N) + 3);", "static unsigned long $N = 7;\n", _COMPILER),
        Statement(
            "WRITE_ONCE($N[raw_smp_processor_id() & 7], 1);", "static u8 $N[8];\n", ("linux/types.h", "linux/smp.h")
        ),
        Statement(
            "if (READ_ONCE($N) == 2) $W", "static int $N __read_mostly = 1;\n", ("linux/cache.h", "linux/compiler.h")
        ),
        Statement(
            "if (READ_ONCE($N) == 2) $W", "static int $N __ro_after_init = 1;\n", ("linux/cache.h", "linux/compiler.h")
        ),
        Statement("atomic_inc(&$N);", "static atomic_t $N = ATOMIC_INIT(1);\n", ("linux/atomic.h",)),
        Statement(
            "{ static struct { long a; void *b; } $N_s = { .b = &$N_s }; WRITE_ONCE($N_s.a, 1); }", headers=_COMPILER
        ),
        Statement("WRITE_ONCE($N_p, &$N_v);", "static long $N_v = 4, *$N_p;\n", _COMPILER),
    ),
    "per-CPU": (
        Statement("this_cpu_inc($N);", "static DEFINE_PER_CPU(unsigned long, $N);\n", _PERCPU),
        Statement("this_cpu_add($N, 3);", "static DEFINE_PER_CPU(int, $N) = 5;\n", _PERCPU),
        Statement(
            "this_cpu_write($N.b, 3);", "static DEFINE_PER_CPU_ALIGNED(struct { int a; long b; }, $N);\n", _PERCPU
        ),
        Statement(
            "WRITE_ONCE(*per_cpu_ptr(&$N, raw_smp_processor_id()), 1);", "static DEFINE_PER_CPU(int, $N);\n", _PERCPU
        ),
        Statement(
            "{ int $N_cpu; if ($F) for_each_possible_cpu($N_cpu) per_cpu($N, $N_cpu) = 0; }",
            "static DEFINE_PER_CPU_READ_MOSTLY(char, $N);\n",
            (*_PERCPU, "linux/cpumask.h"),
        ),
        Statement("if (this_cpu_read(cpu_number) < 0) $W", headers=("linux/smp.h",)),
    ),
    "alternative": (
        Statement('asm volatile(ALTERNATIVE("", "nop", X86_FEATURE_ALWAYS));', headers=("asm/alternative.h",)),
        Statement(
            'asm volatile(ALTERNATIVE("nopl 0x55(%%rax)", "nop", X86_FEATURE_XMM2) : : : "memory");',
            headers=("asm/alternative.h",),
        ),
        Statement('alternative("lfence", "mfence", X86_FEATURE_XMM2);', headers=("asm/alternative.h",)),
        Statement(
            'asm volatile(ALTERNATIVE_2("lfence; nop", "mfence", X86_FEATURE_XMM, "lfence", X86_FEATURE_XMM2));',
            headers=("asm/alternative.h",),
        ),
        Statement("if (static_cpu_has(X86_FEATURE_3DNOWEXT) && $F) $W", headers=("asm/cpufeature.h",)),
        Statement("if (!static_cpu_has(X86_FEATURE_XMM2)) $W", headers=("asm/cpufeature.h",)),
        Statement("if (boot_cpu_has(X86_FEATURE_XENPV)) $W", headers=("asm/cpufeature.h",)),
        Statement("barrier_nospec();", headers=("asm/barrier.h",)),
        Statement("if (rdtsc_ordered() == 1) $W", headers=("asm/msr.h",)),
        Statement("prefetchw(READ_ONCE($N));", "static void *$N;\n", ("asm/processor.h", "linux/compiler.h")),
        Statement(
            "{ unsigned long $N_f; local_irq_save($N_f); $W local_irq_restore($N_f); }",
            headers=("linux/irqflags.h",),
            calm=True,
        ),
        Statement("smp_mb();", headers=("asm/barrier.h",)),
    ),
    "warning": (
        Statement("WARN_ON_ONCE($F);", headers=_BUG),
        Statement("WARN_ON($F);", headers=_BUG),
        Statement('WARN($F, "$N of %s\\n", __func__);', headers=_BUG),
        Statement('WARN_ONCE($F, "$N %d\\n", __LINE__);', headers=_BUG),
        Statement("BUG_ON($F);", headers=_BUG),
        Statement('if ($F) pr_warn_once("$N\\n");', headers=_PRINTK),
        Statement('if ($F) pr_err_ratelimited("$N\\n");', headers=_PRINTK),
        Statement("if (WARN_ON_ONCE($F)) { $W }", headers=_BUG),
    ),
    "key": (
        Statement("if (static_branch_unlikely(&$N)) $W", "static DEFINE_STATIC_KEY_FALSE($N);\n", _KEYS),
        Statement("if (static_branch_likely(&$N)) $W", "static DEFINE_STATIC_KEY_TRUE($N);\n", _KEYS),
        Statement("if (static_branch_unlikely(&$N)) $W", "static DEFINE_STATIC_KEY_TRUE($N);\n", _KEYS),
        Statement("if (static_branch_likely(&$N)) $W", "static DEFINE_STATIC_KEY_FALSE($N);\n", _KEYS),
        Statement("if (static_branch_unlikely(&$N[2])) $W", "static DEFINE_STATIC_KEY_ARRAY_FALSE($N, 3);\n", _KEYS),
        Statement("if ($F) static_branch_enable(&$N);", "static DEFINE_STATIC_KEY_FALSE($N);\n", _KEYS),
        Statement("if (want_init_on_free() && $F) $W", headers=("linux/mm.h",)),
        Statement("if (cpusets_enabled() && $F) $W", headers=("linux/cpuset.h",), built_in=True),
        Statement("if (sched_smt_active() && $F) $W", headers=("linux/sched/smt.h",)),
        Statement("if (mem_cgroup_sockets_enabled && $F) $W", headers=("linux/memcontrol.h",)),
    ),
    "table": (
        Statement(
            "{ int $N_v; switch (READ_ONCE($N)) { case 0: $N_v = 17; break; case 1: $N_v = 4; break; case 2: $N_v = 91;"
            " break; case 3: $N_v = 55; break; case 4: $N_v = 12; break; default: $N_v = 3; }"
            " WRITE_ONCE($N_to, $N_v); }",
            "static int $N, $N_to;\n",
            _COMPILER,
        ),
        Statement(
            "switch (READ_ONCE($N)) { case 0: $W break; case 1: barrier(); WRITE_ONCE($N, 7); break; case 2:"
            " WRITE_ONCE($N, 9); break; case 3: dump_stack(); break; case 4: WRITE_ONCE($N, 1); break;"
            " case 5: break; }",
            "static int $N;\n",
            (*_COMPILER, *_PRINTK),
        ),
        Statement(
            "WRITE_ONCE($N_last, $N_names[READ_ONCE($N_at) & 3]);",
            'static const char * const $N_names[] = { "one of $N", "two", "three", "four" };\n'
            "static const char *$N_last;\nstatic int $N_at;\n",
            _COMPILER,
        ),
        Statement(
            "if ($F) $N_calls[READ_ONCE($N_at) & 1]();",
            "static void $N_a(void)\n{\n\tbarrier();\n}\n\nstatic void $N_b(void)\n{\n\tdump_stack();\n}\n\n"
            "static int $N_at;\nstatic void (* const $N_calls[])(void) = { $N_a, $N_b };\n",
            (*_COMPILER, *_PRINTK),
        ),
        Edit("operations"),
    ),
    "exception table": (
        Statement("if ($F) { int $N_v; if (get_user($N_v, (int __user *)0UL)) $W }", headers=("linux/uaccess.h",)),
        Statement(
            "if ($F) { char $N_b[8]; if (copy_from_user($N_b, (void __user *)0UL, sizeof($N_b))) $W }",
            headers=("linux/uaccess.h",),
        ),
        Statement("if ($F) { if (put_user(3, (int __user *)0UL)) $W }", headers=("linux/uaccess.h",)),
        Statement(
            "{ unsigned long $N_v; if (get_kernel_nofault($N_v, &$N)) $W }", _COUNT, ("linux/uaccess.h",), calm=True
        ),
        Statement("if ($F) { u64 $N_v; if (rdmsrl_safe(0x10, &$N_v)) $W }", headers=("asm/msr.h",)),
        Statement(
            'asm volatile("1: movb (%0), %%al\\n2:\\n" _ASM_EXTABLE(1b, 2b) : : "r" (&$N) : "rax", "memory");',
            _COUNT,
            ("asm/asm.h", "asm/extable.h"),
        ),
    ),
    "lock": (
        Statement(
            "if (!in_nmi()) { unsigned long $N_f; raw_spin_lock_irqsave(&$N, $N_f); $W"
            " raw_spin_unlock_irqrestore(&$N, $N_f); }",
            "static DEFINE_RAW_SPINLOCK($N);\n",
            _NO_INTERRUPTION,
            calm=True,
        ),
        Statement(
            "if ($F) { mutex_lock(&$N); $W mutex_unlock(&$N); }", "static DEFINE_MUTEX($N);\n", ("linux/mutex.h",)
        ),
        Statement("rcu_read_lock(); $W rcu_read_unlock();", headers=("linux/rcupdate.h",), calm=True),
        Statement(
            "{ spinlock_t $N_l; spin_lock_init(&$N_l); if ($F) spin_lock(&$N_l); barrier_data(&$N_l); }",
            headers=("linux/spinlock.h",),
        ),
        Statement(
            "if (preemptible() && mutex_trylock(&$N)) { $W mutex_unlock(&$N); }",
            "static DEFINE_MUTEX($N);\n",
            ("linux/mutex.h", "linux/preempt.h"),
            calm=True,
        ),
        Statement("if ($F) might_sleep();", headers=("linux/kernel.h",)),
        Statement("preempt_disable(); $W preempt_enable();", headers=("linux/preempt.h",), calm=True),
        Statement("if ($F) wake_up(&$N);", "static DECLARE_WAIT_QUEUE_HEAD($N);\n", ("linux/wait.h",)),
    ),
    "debug": (
        Statement('pr_debug("$N %s %d\\n", __func__, __LINE__);', headers=_PRINTK),
        Statement('if ($F) pr_debug("$N %d\\n", __LINE__);', headers=_PRINTK),
        Statement('print_hex_dump_debug("$N", 0, 16, 1, &$N, 8, false);', _COUNT, _PRINTK),
        Statement("if ($F) trace_sched_process_exit(current);", headers=("trace/events/sched.h",), built_in=True),
        Statement("if ($F) trace_task_newtask(current, 0);", headers=("trace/events/task.h",), built_in=True),
    ),
    "static call": (
        Statement(
            "static_call($N)();",
            "static void $N_f(void)\n{\n\tbarrier();\n}\nDEFINE_STATIC_CALL($N, $N_f);\n",
            ("linux/static_call.h",),
        ),
        Statement(
            "static_call_cond($N)(1);",
            "static void __maybe_unused $N_f(int a)\n{\n\tbarrier();\n}\nDEFINE_STATIC_CALL_NULL($N, $N_f);\n",
            ("linux/static_call.h",),
        ),
        Statement("if ($F) cond_resched();", headers=("linux/sched.h",)),
        Statement("if ($F) might_resched();", headers=("linux/kernel.h",)),
    ),
    "allocation": (
        Statement(
            "if (preemptible() && !in_interrupt() && !atomic_xchg(&$N, 1)) {"
            " kfree(kmalloc(57, GFP_NOWAIT | __GFP_NOWARN)); atomic_set(&$N, 0); }",
            "static atomic_t $N;\n",
            ("linux/slab.h", "linux/preempt.h", "linux/atomic.h"),
            calm=True,
        ),
        Statement("if ($F) kvfree(kvmalloc(5000, GFP_KERNEL));", headers=("linux/slab.h", "linux/mm.h")),
        Statement(
            'if (preemptible() && !in_interrupt() && !atomic_xchg(&$N, 1)) { kfree(kasprintf(GFP_NOWAIT, "$N %d", 1));'
            " atomic_set(&$N, 0); }",
            "static atomic_t $N;\n",
            ("linux/slab.h", "linux/preempt.h", "linux/atomic.h", "linux/kernel.h"),
            calm=True,
        ),
        Statement("if ($F) free_page(__get_free_page(GFP_KERNEL));", headers=("linux/gfp.h",)),
    ),
    "work": (
        Statement(
            "if ($F) schedule_work(&$N);",
            "static void $N_f(struct work_struct *work)\n{\n\tbarrier();\n}\nstatic DECLARE_WORK($N, $N_f);\n",
            ("linux/workqueue.h",),
        ),
        Statement(
            "if ($F) mod_timer(&$N, jiffies + 1);",
            "static void $N_f(struct timer_list *timer)\n{\n\tbarrier();\n}\nstatic DEFINE_TIMER($N, $N_f);\n",
            ("linux/timer.h", "linux/jiffies.h"),
        ),
    ),
    "inlining": (Edit("noinline"), Edit("inline"), Edit("cold")),
    "parameter": (Edit("parameter"),),
}
