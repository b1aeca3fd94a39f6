// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Says in the kernel log how long a stop_machine() takes that does nothing, as
 * the CPUs see it and as its caller does; its loading then fails, so that it
 * need not be unloaded.
 */
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/stop_machine.h>

static unsigned int rounds = 11;
module_param(rounds, uint, 0444);

static DEFINE_PER_CPU(u64, begin);
static DEFINE_PER_CPU(u64, end);

static int stopped(void *unused)
{
	this_cpu_write(begin, ktime_get_mono_fast_ns());
	this_cpu_write(end, ktime_get_mono_fast_ns());
	return 0;
}

static void measure(void)
{
	u64 start = ktime_get_mono_fast_ns(), whole, first = U64_MAX, last = 0;
	int cpu;

	stop_machine(stopped, NULL, cpu_online_mask);
	whole = ktime_get_mono_fast_ns() - start;
	for_each_online_cpu(cpu) {
		first = min(first, per_cpu(begin, cpu));
		last = max(last, per_cpu(end, cpu));
	}
	pr_info("bare_stop: %llu ns of %llu ns\n", last - first, whole);
}

static int __init bare_stop_init(void)
{
	unsigned int i;

	for (i = 0; i < rounds; i++) {
		measure();
		msleep(20);
	}
	return -EAGAIN;
}

module_init(bare_stop_init);
MODULE_DESCRIPTION("benchmark: stops all CPUs");
MODULE_LICENSE("GPL");
