// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How long each CPU has checked tasks in the last stop of the helper module, in
 * ns: from the call of rbl_looks_check() to what it calls in the end.  In
 * /sys/module/own_time/parameters/ns; 0 of a CPU that is offline.
 */
#include <linux/cpumask.h>
#include <linux/kprobes.h>
#include <linux/ktime.h>
#include <linux/module.h>

static unsigned long ns[NR_CPUS];
static unsigned int count;
module_param_array(ns, ulong, &count, 0444);

static u64 begin[NR_CPUS];

static int on_begin(struct kprobe *probe, struct pt_regs *regs)
{
	begin[smp_processor_id()] = ktime_get_mono_fast_ns();
	return 0;
}

static int on_end(struct kprobe *probe, struct pt_regs *regs)
{
	unsigned int cpu = smp_processor_id();

	if (begin[cpu])
		ns[cpu] = ktime_get_mono_fast_ns() - begin[cpu];
	begin[cpu] = 0;	/* it is called twice */
	return 0;
}

static struct kprobe first = { .symbol_name = "rbl_looks_check", .pre_handler = on_begin };
static struct kprobe last = { .symbol_name = "rbl_stacks_count", .pre_handler = on_end };
static struct kprobe *probes[] = { &first, &last };

static int __init own_time_init(void)
{
	count = nr_cpu_ids;
	return register_kprobes(probes, ARRAY_SIZE(probes));
}

static void __exit own_time_exit(void)
{
	unregister_kprobes(probes, ARRAY_SIZE(probes));
}

module_init(own_time_init);
module_exit(own_time_exit);
MODULE_DESCRIPTION("benchmark: each CPU's own time in a stop");
MODULE_LICENSE("GPL");
