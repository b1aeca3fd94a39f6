// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The time at which an update reverses itself unless it is confirmed; rbl_deadline_work() does it.
 *
 * It is a time of CLOCK_BOOTTIME, as that of the soak is, which goes on while
 * the machine is suspended: the operator who would have to confirm does not
 * sleep with it.  The kernel's timers stand still meanwhile, so they are set
 * anew when it wakes up.
 *
 * A thread of its own keeps all deadlines, which waits for nothing but what a
 * way back waits for: with a workqueue, a new worker might have to be made first.
 */
#include <linux/err.h>
#include <linux/math64.h>
#include <linux/spinlock.h>
#include <linux/suspend.h>
#include <linux/timekeeping.h>

#include "internal.h"

static struct kthread_worker *keeper;
static LIST_HEAD(all);
static DEFINE_SPINLOCK(all_lock);

/* In ns; not positive when it has passed. */
s64 rbl_deadline_left(const struct rbl_record *record)
{
	return (s64)(READ_ONCE(record->deadline_at) - ktime_get_boottime_ns());
}

/* `come` is called when a deadline may have passed; until rbl_deadline_end(). */
void rbl_deadline_prepare(struct rbl_record *record, kthread_work_func_t come)
{
	kthread_init_delayed_work(&record->deadline, come);
	spin_lock(&all_lock);
	list_add(&record->deadlines, &all);
	spin_unlock(&all_lock);
}

void rbl_deadline_end(struct rbl_record *record)
{
	spin_lock(&all_lock);
	list_del(&record->deadlines);
	spin_unlock(&all_lock);
	kthread_cancel_delayed_work_sync(&record->deadline);
}

void rbl_deadline_again(struct rbl_record *record, unsigned long jiffies)
{
	kthread_mod_delayed_work(keeper, &record->deadline, jiffies);
}

/* From now on. */
void rbl_set_deadline(struct rbl_record *record, unsigned int seconds)
{
	WRITE_ONCE(record->deadline_at, ktime_get_boottime_ns() + (u64)seconds * NSEC_PER_SEC);
	record->deadline_tries = 0;
	WRITE_ONCE(record->deadline_set, true);
	rbl_deadline_again(record, seconds * HZ);
}

/* It may still be looked at once more. */
void rbl_clear_deadline(struct rbl_record *record)
{
	WRITE_ONCE(record->deadline_set, false);
}

/* ---- suspend and hibernation ---- */

/* Has every deadline looked at; it may have passed. */
static int on_power_event(struct notifier_block *unused, unsigned long event, void *unused_data)
{
	struct rbl_record *record;

	if (event != PM_POST_SUSPEND && event != PM_POST_HIBERNATION)
		return NOTIFY_DONE;
	spin_lock(&all_lock);
	list_for_each_entry(record, &all, deadlines)
		if (READ_ONCE(record->deadline_set))
			rbl_deadline_again(record, 0);
	spin_unlock(&all_lock);
	return NOTIFY_DONE;
}

static struct notifier_block power_notifier = { .notifier_call = on_power_event };

int rbl_deadlines_init(void)
{
	int err;

	keeper = kthread_create_worker(0, "rebootless");
	if (IS_ERR(keeper))
		return PTR_ERR(keeper);
	err = register_pm_notifier(&power_notifier);
	if (err)
		kthread_destroy_worker(keeper);
	return err;
}

void rbl_deadlines_exit(void)
{
	unregister_pm_notifier(&power_notifier);
	kthread_destroy_worker(keeper);
}
