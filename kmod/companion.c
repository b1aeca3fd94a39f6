// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * An update's custom code around a way back: called beside it, by a work item
 * of its own, so that a hook which hangs holds up nothing.  The way back waits
 * so long for RBL_PRE_REVERSE, and goes on without it then; what comes after it,
 * RBL_POST_REVERSE or RBL_FAIL_REVERSE, is called when that has returned.
 */
#define pr_fmt(fmt) "rebootless: " fmt

#include <linux/delay.h>

#include "internal.h"

static void accompany(struct work_struct *work)
{
	struct rbl_companion *companion = container_of(work, struct rbl_companion, work);
	struct rbl_record *record = container_of(companion, struct rbl_record, companion);

	companion->value = rbl_hooks(record, RBL_WAY_BACK, RBL_PRE_REVERSE, &companion->refusing);
	complete_all(&companion->ready);
	wait_for_completion(&companion->decided);
	rbl_hooks(record, RBL_WAY_BACK, companion->came_back ? RBL_POST_REVERSE : RBL_FAIL_REVERSE, NULL);
	mutex_lock(&rbl_lock);
	rbl_parts_disengage(record, RBL_WAY_BACK);
	record->busy--;
	companion->running = false;
	mutex_unlock(&rbl_lock);
	complete_all(&companion->over);
}

void rbl_companion_init(struct rbl_record *record)
{
	struct rbl_companion *companion = &record->companion;

	INIT_WORK(&companion->work, accompany);
	init_completion(&companion->ready);
	init_completion(&companion->decided);
	init_completion(&companion->over);
}

static bool has_any(const struct rbl_record *record)
{
	u32 i;

	for (i = 0; i < record->update->n_objects; i++)
		if (record->update->objects[i].n_hooks)
			return true;
	return false;
}

static bool start(struct rbl_record *record)
{
	struct rbl_companion *companion = &record->companion;

	lockdep_assert_held(&rbl_lock);
	if (rbl_parts_engage(record, RBL_WAY_BACK))
		return false;
	record->busy++;
	companion->running = true;
	companion->value = 0;
	reinit_completion(&companion->ready);
	reinit_completion(&companion->decided);
	reinit_completion(&companion->over);
	queue_work(rbl_workqueue, &companion->work);
	return true;
}

/* An earlier way back may have left it behind; or one of the update's modules is on its way in or out at this moment. */
static bool start_within(struct rbl_record *record, unsigned int ms)
{
	unsigned long end = jiffies + msecs_to_jiffies(ms);
	bool started = false, vain = false;

	while (!started && !vain && time_before(jiffies, end)) {
		if (!rbl_lock_within(&rbl_lock, RBL_BRIEFLY_MS))
			continue;
		vain = record->companion.running || !rbl_is_live(record);
		started = !vain && start(record);
		mutex_unlock(&rbl_lock);
		if (!started && !vain)
			usleep_range(5000, 10000);
	}
	return started;
}

/*
 * Begins with the update's custom code for a way back, and waits for what comes
 * before that, so long.  What it needs: rbl_companion_end() if it is not
 * RBL_ALONE; RBL_REFUSED is what the code itself has to say.
 */
enum rbl_company rbl_companion_begin(struct rbl_record *record)
{
	struct rbl_companion *companion = &record->companion;

	if (!has_any(record))
		return RBL_NO_HOOKS;
	if (!start_within(record, RBL_PATIENCE_MS))
		return RBL_ALONE;
	if (!rbl_wait_within(&companion->ready, RBL_HOOK_LIMIT_MS))
		return RBL_LEFT_BEHIND;
	return companion->value ? RBL_REFUSED : RBL_ACCOMPANIED;
}

/* The way back has been gone, or could not be. */
void rbl_companion_end(struct rbl_record *record, enum rbl_company company, bool came_back)
{
	if (company == RBL_NO_HOOKS || company == RBL_ALONE)
		return;
	record->companion.came_back = came_back;
	complete_all(&record->companion.decided);
}

/* Until its last hook has returned, however long that takes. */
void rbl_companion_wait(struct rbl_record *record, enum rbl_company company)
{
	if (company != RBL_NO_HOOKS && company != RBL_ALONE)
		wait_for_completion(&record->companion.over);
}
