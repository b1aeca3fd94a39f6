// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tasks that stay in the way of a switch are sent out of the kernel, as the
 * kernel's own live patching does it (klp_send_signals() of
 * kernel/livepatch/transition.c): a task gets TIF_NOTIFY_SIGNAL, a signal that
 * no handler sees, and a kernel thread is woken.
 *
 * A task that was blocked in accept() goes into the same accept() again right
 * away, and is found in the old function by the next stop as well.  The
 * kernel's live patching switches it on its way out.  Here it stops on its way
 * out, in a task work, until the next try is over.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/task_work.h>

#include "internal.h"

#define MAX_STAY (5 * HZ)	/* of a task at the edge, in all */
#define MAX_WAIT (HZ / 10)	/* for tasks that are on their way there */
#define VAIN_ROUNDS 5		/* without another task that was sent: then the rest stays where it is */

/* Where the tasks wait.  It is there as long as one of them may look at it. */
struct rbl_edge {
	refcount_t users;
	wait_queue_head_t changed;
	atomic_t awaited;	/* tasks that were sent, and have not come yet */
	bool over;
	unsigned long end;	/* in jiffies */
	u32 vain;		/* rounds in which no task was sent, one after the other */
	struct list_head sent;	/* of struct sent; for the operation alone */
};

/* One task that was sent. */
struct sent {
	struct callback_head work;
	refcount_t users;	/* the operation, and the task */
	struct rbl_edge *edge;
	struct task_struct *task;
	struct list_head list;
};

static void put_edge(struct rbl_edge *edge)
{
	if (refcount_dec_and_test(&edge->users))
		kfree(edge);
}

static void put_sent(struct sent *sent)
{
	if (!refcount_dec_and_test(&sent->users))
		return;
	put_edge(sent->edge);
	put_task_struct(sent->task);
	kfree(sent);
}

static void has_come(struct rbl_edge *edge)
{
	if (atomic_dec_and_test(&edge->awaited))
		wake_up_all(&edge->changed);
}

/* In the task itself, which holds nothing of the kernel's: it is about to go back to user space, or exits. */
static void stay(struct callback_head *work)
{
	struct sent *sent = container_of(work, struct sent, work);
	struct rbl_edge *edge = sent->edge;
	long left = edge->end - jiffies;

	has_come(edge);
	if (left > 0 && !(current->flags & PF_EXITING))
		wait_event_killable_timeout(edge->changed, READ_ONCE(edge->over), left);
	put_sent(sent);
	module_put(THIS_MODULE);	/* rebootless_exit() waits for the instructions that follow */
}

/* An empty edge, NULL if there is no memory; rbl_edge_close() it. */
struct rbl_edge *rbl_edge_open(void)
{
	struct rbl_edge *edge = kzalloc(sizeof(*edge), GFP_KERNEL);

	if (!edge)
		return NULL;
	refcount_set(&edge->users, 1);
	init_waitqueue_head(&edge->changed);
	INIT_LIST_HEAD(&edge->sent);
	edge->end = jiffies + MAX_STAY;
	return edge;
}

static bool was_sent(const struct rbl_edge *edge, const struct task_struct *task)
{
	const struct sent *sent;

	list_for_each_entry(sent, &edge->sent, list)
		if (sent->task == task)
			return true;
	return false;
}

static struct sent *new_sent(struct rbl_edge *edge, struct task_struct *task)
{
	struct sent *sent = kzalloc(sizeof(*sent), GFP_KERNEL);

	if (!sent)
		return NULL;
	init_task_work(&sent->work, stay);
	refcount_set(&sent->users, 2);
	refcount_inc(&edge->users);
	sent->edge = edge;
	sent->task = get_task_struct(task);
	return sent;
}

/* What a task is sent out with when it is in the way for the first time; false if there is no use in it. */
static bool send(struct rbl_edge *edge, struct task_struct *task)
{
	struct sent *sent;

	if (task->flags & PF_KTHREAD) {
		rbl_kernel(wake_up_state)(task, TASK_INTERRUPTIBLE);
		return false;
	}
	sent = was_sent(edge, task) ? NULL : new_sent(edge, task);
	if (!sent)
		return false;
	atomic_inc(&edge->awaited);
	__module_get(THIS_MODULE);
	if (task_work_add(task, &sent->work, TWA_SIGNAL)) {	/* it exits */
		has_come(edge);
		module_put(THIS_MODULE);
		put_sent(sent);
		put_sent(sent);
		return false;
	}
	list_add(&sent->list, &edge->sent);
	return true;
}

/*
 * Sends out the tasks that the last stop has named, which are the first of
 * those in the way; the others' turn is in the rounds that follow, while these
 * stay.  How many were sent now that were not before, or -ETIMEDOUT if there is
 * no sense in another round.
 */
int rbl_edge_send(struct rbl_edge *edge, const struct rbl_conflicts *conflicts)
{
	int count = 0;
	u32 i;

	for (i = 0; i < conflicts->count; i++) {
		struct pid *pid = find_get_pid(conflicts->rows[i].pid);
		struct task_struct *task = get_pid_task(pid, PIDTYPE_PID);

		put_pid(pid);
		if (!task)
			continue;
		count += send(edge, task);
		put_task_struct(task);
	}
	edge->vain = count ? 0 : edge->vain + 1;
	return edge->vain < VAIN_ROUNDS && time_before(jiffies + MAX_WAIT, edge->end) ? count : -ETIMEDOUT;
}

/* Until all that were sent have come, or those that can. */
void rbl_edge_wait(struct rbl_edge *edge)
{
	lockdep_assert_not_held(&rbl_lock);
	wait_event_timeout(edge->changed, !atomic_read(&edge->awaited), MAX_WAIT);
}

static bool is_work_of(struct callback_head *work, void *sent)
{
	return work == &((struct sent *)sent)->work;
}

/* All go on; what has not come by now is no longer called. */
void rbl_edge_close(struct rbl_edge *edge)
{
	struct sent *sent, *next;

	if (!edge)
		return;
	WRITE_ONCE(edge->over, true);
	wake_up_all(&edge->changed);
	list_for_each_entry_safe(sent, next, &edge->sent, list) {
		list_del(&sent->list);
		if (rbl_kernel(task_work_cancel_match)(sent->task, is_work_of, sent)) {
			module_put(THIS_MODULE);
			put_sent(sent);
		}
		put_sent(sent);
	}
	put_edge(edge);
}
