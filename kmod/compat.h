/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the supported kernels (6.1 on) differ, and the table of what they keep
 * to themselves.  No other file of the helper module asks for a version.
 */
#ifndef RBL_COMPAT_H
#define RBL_COMPAT_H

#include <linux/cpu.h>
#include <linux/ftrace.h>
#include <linux/jump_label.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/memory.h>
#include <linux/module.h>
#include <linux/rethook.h>
#include <linux/sched.h>
#include <linux/sched/stat.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/stacktrace.h>
#include <linux/static_call.h>
#include <linux/stop_machine.h>
#include <linux/task_work.h>
#include <linux/version.h>
#include <linux/wait.h>
#include <trace/events/sched.h>
#include <asm/sections.h>

#include "arch/arch.h"

/* Defined by the kernel, but declared in none of its headers. */
extern struct mutex ftrace_lock;		/* kernel/trace/ftrace.c: guards the call site records */
extern struct mutex kprobe_mutex;		/* kernel/kprobes.c: held from the copy of an instruction to its probe's listing */
int jump_label_module_notify(struct notifier_block *block, unsigned long event, void *module);	/* kernel/jump_label.c */
extern const char __start_notes, __stop_notes;	/* the linker's: what /sys/kernel/notes shows */

/*
 * Kernel functions and data that are used but not exported to modules.  They
 * are found by name (symbols.c); their types come from the kernel's own
 * declarations, so that one that changes is an error of the compiler.
 *
 * The functions are static calls, so they are called directly: with indirect
 * branch tracking, the kernel has taken away the landing marks of
 * functions that none of its own pointers lead to.
 */
#ifdef CONFIG_FUNCTION_GRAPH_TRACER
#define RBL_GRAPH_FUNCTIONS(X)			\
	X(ftrace_graph_get_ret_stack)
#else
#define RBL_GRAPH_FUNCTIONS(X)
#endif

#define RBL_KERNEL_FUNCTIONS(X)			\
	X(__module_address)			\
	X(arch_stack_walk_reliable)		\
	X(cpu_in_idle)				\
	X(find_module)				\
	RBL_GRAPH_FUNCTIONS(X)			\
	X(ftrace_rec_iter_next)			\
	X(ftrace_rec_iter_record)		\
	X(ftrace_rec_iter_start)		\
	X(get_kprobe)				\
	X(idle_task)				\
	X(jump_label_lock)			\
	X(jump_label_module_notify)		\
	X(jump_label_unlock)			\
	X(kallsyms_lookup_size_offset)		\
	X(kallsyms_on_each_symbol)		\
	X(kallsyms_show_value)			\
	X(kernel_text_address)			\
	X(module_kallsyms_on_each_symbol)	\
	X(put_task_stack)			\
	X(stop_machine_cpuslocked)		\
	X(task_call_func)			\
	X(task_work_cancel_match)		\
	X(wake_up_state)			\
	X(within_kprobe_blacklist)		\
	RBL_ARCH_KERNEL_FUNCTIONS(X)

#define RBL_KERNEL_DATA(X)			\
	X(__tracepoint_sched_switch)		\
	X(__entry_text_end)			\
	X(__entry_text_start)			\
	X(__noinstr_text_end)			\
	X(__noinstr_text_start)			\
	X(__start___jump_table)			\
	X(__start_notes)			\
	X(__stop___jump_table)			\
	X(__stop_notes)				\
	X(ftrace_lock)				\
	X(kprobe_mutex)				\
	X(nr_threads)				\
	X(tasklist_lock)			\
	X(text_mutex)				\
	X(total_forks)				\
	RBL_ARCH_KERNEL_DATA(X)

#define X(name) DECLARE_STATIC_CALL(rbl_##name, name);
RBL_KERNEL_FUNCTIONS(X)
X(kallsyms_lookup_name)
#undef X

/* rbl_kernel(find_module)(name) calls the kernel's find_module(). */
#define rbl_kernel(name) static_call(rbl_##name)

struct rbl_kernel_data {
#define X(name) typeof(name) *name;
	RBL_KERNEL_DATA(X)
#undef X
};

extern struct rbl_kernel_data rbl_kernel_data;

/* kobject_init() has taken a constant type since 6.2. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
#define RBL_KTYPE(type) (&(type))
#else
#define RBL_KTYPE(type) ((struct kobj_type *)&(type))
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)

/* What a callback of kallsyms_on_each_symbol() and its like is given. */
#define RBL_EACH_SYMBOL_ARGS void *data, const char *name, unsigned long address

static inline int rbl_each_module_symbol(int (*fn)(RBL_EACH_SYMBOL_ARGS), void *data)
{
	return rbl_kernel(module_kallsyms_on_each_symbol)(NULL, fn, data);
}

static inline unsigned long rbl_module_text(const struct module *module, unsigned long *size)
{
	*size = module->mem[MOD_TEXT].size;
	return (unsigned long)module->mem[MOD_TEXT].base;
}

/* Whether the address lies in what stays writable of a module. */
static inline bool rbl_module_writable(const struct module *module, unsigned long address)
{
	return within_module_mem_type(address, module, MOD_DATA);
}

/* Whether the module has init code that is yet to be freed. */
static inline bool rbl_module_has_init(const struct module *module)
{
	return READ_ONCE(module->mem[MOD_INIT_TEXT].base);
}

#else

#define RBL_EACH_SYMBOL_ARGS void *data, const char *name, struct module *unused, unsigned long address

static inline int rbl_each_module_symbol(int (*fn)(RBL_EACH_SYMBOL_ARGS), void *data)
{
	return rbl_kernel(module_kallsyms_on_each_symbol)(fn, data);
}

static inline unsigned long rbl_module_text(const struct module *module, unsigned long *size)
{
	*size = module->core_layout.text_size;
	return (unsigned long)module->core_layout.base;
}

static inline bool rbl_module_writable(const struct module *module, unsigned long address)
{
	return address >= (unsigned long)module->core_layout.base + module->core_layout.ro_after_init_size &&
	       within_module_core(address, module);
}

/* Whether the module has init code that is yet to be freed. */
static inline bool rbl_module_has_init(const struct module *module)
{
	return READ_ONCE(module->init_layout.base);
}

#endif

/* ---- return addresses that are kept beside a task's stack ---- */

/* A kretprobe or rethook replaces the one on the stack by its own; calls `see` with each that it keeps. */
static inline void rbl_each_hooked_return(const struct task_struct *task, void (*see)(void *data, unsigned long address),
					  void *data)
{
#ifdef CONFIG_RETHOOK
	struct rethook_node *node;

	llist_for_each_entry(node, task->rethooks.first, llist)
		see(data, node->ret_addr);
#elif defined(CONFIG_KRETPROBES)
	struct kretprobe_instance *instance;

	llist_for_each_entry(instance, task->kretprobe_instances.first, llist)
		see(data, (unsigned long)instance->ret_addr);
#endif
}

/* Whether any is kept so; a task's own list, to be gone through only while it cannot run. */
static inline bool rbl_has_hooked_returns(const struct task_struct *task)
{
#ifdef CONFIG_RETHOOK
	return READ_ONCE(task->rethooks.first);
#elif defined(CONFIG_KRETPROBES)
	return READ_ONCE(task->kretprobe_instances.first);
#else
	return false;
#endif
}

/* The function-graph tracer does the same. */
static inline void rbl_each_graph_return(struct task_struct *task, void (*see)(void *data, unsigned long address),
					 void *data)
{
#ifdef CONFIG_FUNCTION_GRAPH_TRACER
	const struct ftrace_ret_stack *kept;
	int i;

	for (i = 0; (kept = rbl_kernel(ftrace_graph_get_ret_stack)(task, i)); i++)
		see(data, kept->ret);
#endif
}

#endif
