// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Lets something happen when the helper module is done with looking at stacks
 * and has yet to stop the CPUs.
 *
 *	insmod between.ko
 *	(tasks read from /dev/between, and wait)
 *	(an operation: it is held up, and they go on, until one named "inside" sleeps)
 *
 * With idle=1 a kernel thread "inside" is such a task itself: it plays idle in
 * list_sort(), as intel_powerclamp's do.
 *
 * The CPU of the operation does nothing else meanwhile, so the tasks need another.
 */
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/list_sort.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/nmi.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/wait.h>

#define WAIT_NS (60 * NSEC_PER_SEC)	/* a machine with a fiftieth of a processor takes more than 15 s */
#define CPU 1			/* of the kernel thread */

static bool idle;
module_param(idle, bool, 0444);

static bool open;
static DECLARE_WAIT_QUEUE_HEAD(gate);

static ssize_t wait_at_gate(struct file *file, char __user *buffer, size_t size, loff_t *at)
{
	return wait_event_interruptible(gate, READ_ONCE(open));
}

static const struct file_operations operations = { .owner = THIS_MODULE, .read = wait_at_gate };
static struct miscdevice device = { .minor = MISC_DYNAMIC_MINOR, .name = "between", .fops = &operations };

static bool sleeps_inside(void)
{
	struct task_struct *process, *task;
	bool found = false;

	rcu_read_lock();
	for_each_process_thread(process, task)
		if (!strcmp(task->comm, "inside") &&
		    (idle ? READ_ONCE(task->flags) & PF_IDLE :
		     READ_ONCE(task->__state) == TASK_INTERRUPTIBLE && !READ_ONCE(task->on_cpu)))
			found = true;
	rcu_read_unlock();
	return found;
}

static int on_stop(struct kprobe *probe, struct pt_regs *regs)
{
	u64 end = ktime_get_mono_fast_ns() + WAIT_NS;

	if (open || !waitqueue_active(&gate))
		return 0;
	WRITE_ONCE(open, true);
	wake_up_all(&gate);
	while (!sleeps_inside() && ktime_get_mono_fast_ns() < end) {
		touch_nmi_watchdog();	/* nor is this a lockup */
		mdelay(1);
	}
	return 0;
}

static struct kprobe probe = { .symbol_name = "rbl_gather", .pre_handler = on_stop };

/* ---- a thread that plays idle ---- */

static struct task_struct *thread;

static int play(void *unused, const struct list_head *one, const struct list_head *other)
{
	while (!kthread_should_stop())
		play_idle_precise(10 * NSEC_PER_MSEC, U64_MAX);
	return 0;
}

static int body(void *unused)
{
	struct list_head rows[2];
	LIST_HEAD(list);

	sched_set_fifo(current);
	wait_event_idle(gate, READ_ONCE(open) || kthread_should_stop());
	list_add(rows, &list);
	list_add(rows + 1, &list);
	list_sort(NULL, &list, play);
	while (!kthread_should_stop())
		schedule_timeout_idle(1);
	return 0;
}

static int start(void)
{
	thread = kthread_create_on_cpu(body, NULL, CPU, "inside");
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	wake_up_process(thread);
	while (!waitqueue_active(&gate))
		msleep(1);
	return 0;
}

static void stop(void)
{
	if (!thread)
		return;
	kthread_stop(thread);
	thread = NULL;
}

static int __init between_init(void)
{
	int err = misc_register(&device);

	if (err)
		return err;
	if (idle)
		err = start();
	if (!err)
		err = register_kprobe(&probe);
	if (!err)
		return 0;
	stop();
	misc_deregister(&device);
	return err;
}

static void __exit between_exit(void)
{
	unregister_kprobe(&probe);
	stop();
	misc_deregister(&device);
}

module_init(between_init);
module_exit(between_exit);
MODULE_DESCRIPTION("test: between the last look at the stacks and the stop");
MODULE_LICENSE("GPL");
