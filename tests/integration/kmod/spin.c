// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A kernel thread that is busy without sleeping, as ksoftirqd or a vhost worker
 * is under load: no RCU-tasks grace period ends before it does.
 *
 *	insmod spin.ko secs=60
 */
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/wait.h>

static unsigned int secs = 60;
module_param(secs, uint, 0444);

static struct task_struct *thread;
static DECLARE_WAIT_QUEUE_HEAD(end);

static int spin(void *unused)
{
	unsigned long until = jiffies + secs * HZ;

	set_user_nice(current, 10);
	while (time_before(jiffies, until) && !kthread_should_stop()) {
		cond_resched();
		cpu_relax();
	}
	wait_event_idle(end, kthread_should_stop());
	return 0;
}

static int __init spin_init(void)
{
	thread = kthread_run(spin, NULL, "spin");
	return PTR_ERR_OR_ZERO(thread);
}

static void __exit spin_exit(void)
{
	kthread_stop(thread);
}

module_init(spin_init);
module_exit(spin_exit);
MODULE_DESCRIPTION("test: a thread that never sleeps");
MODULE_LICENSE("GPL");
