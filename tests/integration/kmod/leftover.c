// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A thread that sleeps for as long as this module is loaded, in no function of
 * interest, with an address on its stack as a call that is over leaves one.
 *
 *	insmod leftover.ko address=0xffffffff81b3f2f1
 */
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/wait.h>

static unsigned long address;
module_param(address, ulong, 0444);

static struct task_struct *thread;
static DECLARE_WAIT_QUEUE_HEAD(end);

static int sleep_with_it(void *unused)
{
	volatile unsigned long left[] = { address };

	wait_event_idle(end, kthread_should_stop());
	return left[0] != address;
}

static int __init leftover_init(void)
{
	thread = kthread_run(sleep_with_it, NULL, "leftover");
	return PTR_ERR_OR_ZERO(thread);
}

static void __exit leftover_exit(void)
{
	kthread_stop(thread);
}

module_init(leftover_init);
module_exit(leftover_exit);
MODULE_DESCRIPTION("test: an address on the stack of a thread that sleeps elsewhere");
MODULE_LICENSE("GPL");
