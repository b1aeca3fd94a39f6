// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Until it is unloaded, the kernel's stop_machine_cpuslocked() stops nothing, and says so.
 */
#include <linux/cpumask.h>
#include <linux/errno.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/ptrace.h>

static int stop_nothing(int (*call)(void *data), void *data, const struct cpumask *cpus)
{
	return -ENOENT;
}

static int on_hit(struct kprobe *probe, struct pt_regs *regs)
{
	instruction_pointer_set(regs, (unsigned long)stop_nothing);
	return 1;
}

static struct kprobe probe = { .pre_handler = on_hit, .symbol_name = "stop_machine_cpuslocked" };

static int __init not_stopped_init(void)
{
	return register_kprobe(&probe);
}

static void __exit not_stopped_exit(void)
{
	unregister_kprobe(&probe);
}

module_init(not_stopped_init);
module_exit(not_stopped_exit);
MODULE_DESCRIPTION("test: a kernel that does not stop its processors");
MODULE_LICENSE("GPL");
