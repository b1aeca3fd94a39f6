// SPDX-License-Identifier: GPL-2.0-or-later
/* The time at which an update reverses itself unless it is confirmed; rbl_deadline_work() does it. */
#include "internal.h"

/* From now on. */
void rbl_set_deadline(struct rbl_record *record, unsigned int seconds)
{
	lockdep_assert_held(&rbl_lock);
	record->deadline_at = jiffies + seconds * HZ;
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
