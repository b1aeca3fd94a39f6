// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Lets something happen when the helper module is done with looking at stacks
 * and has yet to stop the CPUs.
 *
 *	insmod between.ko
 *	(tasks read from /dev/between, and wait)
 *	(an operation: it is held up, and they go on, until one named "inside" sleeps)
 *
 * The CPU of the operation does nothing else meanwhile, so the tasks need another.
 */
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/kprobes.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/wait.h>

#define WAIT_MS 15000		/* less than what the kernel takes for a lockup */

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
		if (!strcmp(task->comm, "inside") && READ_ONCE(task->__state) == TASK_INTERRUPTIBLE &&
		    !READ_ONCE(task->on_cpu))
			found = true;
	rcu_read_unlock();
	return found;
}

static int on_stop(struct kprobe *probe, struct pt_regs *regs)
{
	int i;

	if (open || !waitqueue_active(&gate))
		return 0;
	WRITE_ONCE(open, true);
	wake_up_all(&gate);
	for (i = 0; i < WAIT_MS && !sleeps_inside(); i++)
		mdelay(1);
	return 0;
}

static struct kprobe probe = { .symbol_name = "stop_machine_cpuslocked", .pre_handler = on_stop };

static int __init between_init(void)
{
	int err = misc_register(&device);

	if (err)
		return err;
	err = register_kprobe(&probe);
	if (err)
		misc_deregister(&device);
	return err;
}

static void __exit between_exit(void)
{
	unregister_kprobe(&probe);
	misc_deregister(&device);
}

module_init(between_init);
module_exit(between_exit);
MODULE_DESCRIPTION("test: between the last look at the stacks and the stop");
MODULE_LICENSE("GPL");
