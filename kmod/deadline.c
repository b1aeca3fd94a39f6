// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The time at which an update reverses itself unless it is confirmed; rbl_deadline_work() does it.
 *
 * It is a time of CLOCK_BOOTTIME, as that of the soak is, which goes on while
 * the machine is suspended: the operator who would have to confirm does not
 * sleep with it.  The kernel's timers stand still meanwhile, so they are set
 * anew when it wakes up.
 */
#include <linux/math64.h>
#include <linux/suspend.h>
#include <linux/timekeeping.h>

#include "internal.h"

/* In ns; not positive when it has passed. */
s64 rbl_deadline_left(const struct rbl_record *record)
{
	return (s64)(READ_ONCE(record->deadline_at) - ktime_get_boottime_ns());
}

/* From now on. */
void rbl_set_deadline(struct rbl_record *record, unsigned int seconds)
{
	lockdep_assert_held(&rbl_lock);
	WRITE_ONCE(record->deadline_at, ktime_get_boottime_ns() + (u64)seconds * NSEC_PER_SEC);
	record->deadline_tries = 0;
	record->deadline_set = true;
	mod_delayed_work(rbl_workqueue, &record->deadline, seconds * HZ);
}

void rbl_clear_deadline(struct rbl_record *record)
{
	lockdep_assert_held(&rbl_lock);
	record->deadline_set = false;
	cancel_delayed_work(&record->deadline);
}

/* ---- suspend and hibernation ---- */

/* Has every deadline looked at; it may have passed. */
static void look_again(struct work_struct *unused)
{
	struct rbl_record *record;

	mutex_lock(&rbl_lock);
	list_for_each_entry(record, &rbl_records, list)
		if (record->deadline_set)
			mod_delayed_work(rbl_workqueue, &record->deadline, 0);
	mutex_unlock(&rbl_lock);
}

static DECLARE_WORK(awake, look_again);

/* A work item does it, so that waking up waits for no operation. */
static int on_power_event(struct notifier_block *unused, unsigned long event, void *unused_data)
{
	if (event == PM_POST_SUSPEND || event == PM_POST_HIBERNATION)
		queue_work(rbl_workqueue, &awake);
	return NOTIFY_DONE;
}

static struct notifier_block power_notifier = { .notifier_call = on_power_event };

int rbl_deadlines_init(void)
{
	return register_pm_notifier(&power_notifier);
}

void rbl_deadlines_exit(void)
{
	unregister_pm_notifier(&power_notifier);
	cancel_work_sync(&awake);
}
