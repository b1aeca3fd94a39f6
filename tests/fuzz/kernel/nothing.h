/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions of a kernel that the fuzzed code names, but must never come to: each one traps. */
#ifndef FUZZ_NOTHING_H
#define FUZZ_NOTHING_H

#include "internal.h"

#define NEVER(declaration) declaration { __builtin_trap(); }

NEVER(int arch_stack_walk_reliable(bool (*consume)(void *, unsigned long), void *cookie, struct task_struct *task))
NEVER(struct task_struct *idle_task(int cpu))
NEVER(int jump_label_module_notify(struct notifier_block *block, unsigned long event, void *module))
NEVER(bool kallsyms_show_value(const struct cred *cred))
NEVER(unsigned long kallsyms_lookup_name(const char *name))
NEVER(void put_task_stack(struct task_struct *task))
NEVER(int stop_machine_cpuslocked(int (*run)(void *), void *data, const void *cpus))
NEVER(int task_call_func(struct task_struct *task, int (*call)(struct task_struct *task, void *data), void *data))
NEVER(struct callback_head *task_work_cancel_match(struct task_struct *task,
						   bool (*match)(struct callback_head *work, void *data), void *data))
NEVER(int wake_up_state(struct task_struct *task, unsigned int state))
NEVER(int register_kprobe(struct kprobe *probe))
NEVER(void unregister_kprobe(struct kprobe *probe))
#ifndef FUZZ_UPDATE
NEVER(struct module *__module_address(unsigned long address))
NEVER(struct module *find_module(const char *name))
NEVER(struct ftrace_rec_iter *ftrace_rec_iter_start(void))
NEVER(struct ftrace_rec_iter *ftrace_rec_iter_next(struct ftrace_rec_iter *at))
NEVER(struct dyn_ftrace *ftrace_rec_iter_record(struct ftrace_rec_iter *at))
NEVER(struct kprobe *get_kprobe(void *address))
NEVER(void jump_label_lock(void))
NEVER(void jump_label_unlock(void))
NEVER(int kallsyms_lookup_size_offset(unsigned long address, unsigned long *size, unsigned long *offset))
NEVER(int kallsyms_on_each_symbol(int (*see)(void *data, const char *name, unsigned long address), void *data))
NEVER(int kernel_text_address(unsigned long address))
NEVER(int module_kallsyms_on_each_symbol(const char *module,
					 int (*see)(void *data, const char *name, unsigned long address), void *data))
NEVER(void *text_poke_kgdb(void *where, const void *bytes, size_t size))
struct mutex ftrace_lock, kprobe_mutex, text_mutex;
bool uniproc_patched;
struct jump_entry __start___jump_table[1], __stop___jump_table[1];
const char __start_notes, __stop_notes;
#endif

#endif
