// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The time at which an update reverses itself unless it is confirmed; rbl_deadline_work() does it.
 *
 * It is a time of CLOCK_BOOTTIME, as that of the soak is, which goes on while
 * the machine is suspended: the operator who would have to confirm does not
 * sleep with it.
 *
 * The timer's own interrupt is what counts: ordinary timers are called by
 * softirqs, which a CPU that is lost to the new code leaves to a thread that
 * never runs there.  And each record has a thread of its own: with a workqueue,
 * a worker might have to be made first, or custom code of another update be
 * waited for.
 */
#include <linux/err.h>
#include <linux/ktime.h>
#include <linux/math64.h>

#include "internal.h"

/* In ns; not positive when it has passed. */
s64 rbl_deadline_left(const struct rbl_record *record)
{
	return (s64)(READ_ONCE(record->deadline_at) - ktime_get_boottime_ns());
}

static enum hrtimer_restart on_time(struct hrtimer *timer)
{
	struct rbl_record *record = container_of(timer, struct rbl_record, timer);

	kthread_queue_work(record->keeper, &record->deadline);
	return HRTIMER_NORESTART;
}

/* `come` is called when a deadline may have passed; until rbl_deadline_end().  0, or a negative errno. */
int rbl_deadline_prepare(struct rbl_record *record, kthread_work_func_t come)
{
	record->keeper = kthread_create_worker(0, "rbl_%s", record->name);
	if (IS_ERR(record->keeper))
		return PTR_ERR(record->keeper);
	kthread_init_work(&record->deadline, come);
	hrtimer_init(&record->timer, CLOCK_BOOTTIME, HRTIMER_MODE_ABS_HARD);
	record->timer.function = on_time;
	return 0;
}

/* Not from what is called. */
void rbl_deadline_end(struct rbl_record *record)
{
	rbl_clear_deadline(record);
	kthread_flush_work(&record->deadline);	/* it may set the timer once more */
	hrtimer_cancel(&record->timer);
	kthread_destroy_worker(record->keeper);
}

/* Has it called so many ns from now. */
void rbl_deadline_again(struct rbl_record *record, u64 ns)
{
	hrtimer_start(&record->timer, ns_to_ktime(ktime_get_boottime_ns() + ns), HRTIMER_MODE_ABS_HARD);
}

/* From now on. */
void rbl_set_deadline(struct rbl_record *record, unsigned int seconds)
{
	u64 ns = (u64)seconds * NSEC_PER_SEC;

	WRITE_ONCE(record->deadline_at, ktime_get_boottime_ns() + ns);
	record->deadline_tries = 0;
	WRITE_ONCE(record->deadline_set, true);
	rbl_deadline_again(record, ns);
}

/* It may still be called once more. */
void rbl_clear_deadline(struct rbl_record *record)
{
	WRITE_ONCE(record->deadline_set, false);
}
