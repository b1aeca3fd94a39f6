// SPDX-License-Identifier: GPL-2.0-or-later
/* What operators ask of an update: apply, confirm, reverse; and what its deadline and its unloading do. */
#define pr_fmt(fmt) "rebootless: " fmt

#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/rcupdate.h>

#include "internal.h"

#define DEADLINE_RETRY (HZ / 4)			/* while another operation runs */
#define DEADLINE_MAX_RETRY (60 * HZ)		/* between tries to reverse after the deadline */

static int refuse_state(struct rbl_record *record)
{
	rbl_fact(record, "state: %s\n", rbl_state_name(record));
	return rbl_refuse(record, RBL_BAD_STATE);
}

static void set_deadline(struct rbl_record *record, unsigned int seconds)
{
	lockdep_assert_held(&rbl_lock);
	record->deadline_at = jiffies + seconds * HZ;
	record->deadline_tries = 0;
	record->deadline_set = true;
	mod_delayed_work(rbl_workqueue, &record->deadline, seconds * HZ);
}

static void clear_deadline(struct rbl_record *record)
{
	lockdep_assert_held(&rbl_lock);
	record->deadline_set = false;
	cancel_delayed_work(&record->deadline);
}

/* ---- custom code around a switch ---- */

/* What surrounds a switch; each row of stages in the order of enum rbl_hook_stage. */
struct stages {
	u32 pre, post, fail;
};

static const struct stages applying = { RBL_PRE_APPLY, RBL_POST_APPLY, RBL_FAIL_APPLY };
static const struct stages reversing = { RBL_PRE_REVERSE, RBL_POST_REVERSE, RBL_FAIL_REVERSE };

static int switch_with_hooks(struct rbl_record *record, struct rbl_record *previous, enum rbl_purpose purpose,
			     const struct stages *stages)
{
	const struct rbl_hook *refusing;
	int value = rbl_hooks(record, stages->pre, &refusing), err;

	err = value ? rbl_refuse_hook(record, refusing, value) : rbl_switch(record, previous, purpose);
	rbl_hooks(record, err ? stages->fail : stages->post, NULL);
	return err;
}

static u32 count_functions(const struct rbl_record *record)
{
	const struct rbl_part *part;
	u32 count = 0;

	rbl_for_each_part(part, record)
		count += part->present ? part->n_writes : 0;
	return count;
}

/* ---- another version of the same update ---- */

static bool undoes(const struct rbl_record *record)
{
	return rbl_has_hooks(record, RBL_PRE_REVERSE) || rbl_has_hooks(record, RBL_REVERSE) ||
	       rbl_has_hooks(record, RBL_POST_REVERSE);
}

/*
 * A newer version is cumulative: it takes over what the older one's custom
 * code has done, so that one's code to undo it is not called.  One that has no
 * custom code at all would leave it behind.
 */
static int check_successor(struct rbl_record *record, const struct rbl_record *other)
{
	if (!rbl_is_live(other) || !undoes(other) || undoes(record))
		return 0;
	rbl_fact(record, "other_update: %s %s\n", other->name, other->version);
	rbl_fact(record, "reason: the version that is applied has custom code for its reversal, and this one has none\n");
	return rbl_refuse(record, RBL_CONFLICT);
}

/* The version that was there before leaves its name to this one. */
static void succeed_to(struct rbl_record *record, struct rbl_record *other, bool was_live)
{
	const struct rbl_record *replaced;
	unsigned int number = 0;

	lockdep_assert_held(&rbl_lock);
	/* Those whose modules have to stay may be several. */
	list_for_each_entry(replaced, &rbl_records, list)
		if (replaced->state == RBL_REPLACED && !strcmp(replaced->name, record->name))
			number = max(number, replaced->number + 1);
	clear_deadline(other);
	WRITE_ONCE(other->state, RBL_REPLACED);
	other->number = number;
	rbl_rename(other, RBL_PREVIOUS, number);
	rbl_rename(record, "", 0);
	pr_info("%s: %s replaced by %s\n", record->name, other->version, record->version);
	if (was_live)
		module_put(other->module);
}

/* ---- operations ---- */

/* What has to hold before anything is switched. */
static int prepare(struct rbl_record *record)
{
	const struct rbl_part *part;
	int err = rbl_parts_resolve(record);

	rbl_for_each_part(part, record)
		if (!err && part->present)
			err = rbl_check_conflicts(record, part);
	if (!err)
		err = rbl_match_again(record);
	rbl_for_each_part(part, record)
		if (!err && part->present)
			err = rbl_check_probes(record, part);
	return err;
}

/* Switches to the replacement code; with a deadline in seconds (0: none) the helper itself reverses it then. */
int rbl_apply(struct rbl_record *record, unsigned int deadline)
{
	struct rbl_record *other = rbl_find_other(record);
	bool was_live = other && rbl_is_live(other);
	int err;

	lockdep_assert_held(&rbl_lock);
	rbl_begin(record);
	if (record->state != RBL_MATCHED && record->state != RBL_REVERSED)
		return refuse_state(record);
	if (!record->loaded)	/* jump labels and static calls of its code may not be set up yet */
		return rbl_refuse(record, RBL_HELPER_BUSY);
	if (was_live && record->sequence < other->sequence) {
		rbl_fact(record, "other_update: %s %s\nreason: it was loaded later, and is applied\n",
			 other->name, other->version);
		return rbl_refuse(record, RBL_CONFLICT);
	}
	err = prepare(record);
	if (!err && other)
		err = check_successor(record, other);
	if (err)
		return err;
	if (!try_module_get(record->module))	/* it is being unloaded */
		return refuse_state(record);
	err = switch_with_hooks(record, was_live ? other : NULL, RBL_TO_REPLACEMENT, &applying);
	if (err) {
		module_put(record->module);
		return err;
	}
	record->ran = true;
	rbl_keep_code(record);
	rbl_succeed(record);
	/* As for any live patch: an oops shall say that not all code is the kernel's own. */
	add_taint(TAINT_LIVEPATCH, LOCKDEP_STILL_OK);
	WRITE_ONCE(record->state, RBL_APPLIED);
	if (other && record->sequence > other->sequence)
		succeed_to(record, other, was_live);
	if (deadline)
		set_deadline(record, deadline);
	pr_info("%s: applied: %u functions, paused %llu ns, %u tries, deadline %u s\n",
		record->name, count_functions(record), record->pause_ns, record->tries, deadline);
	return 0;
}

/*
 * A new deadline, counted from now, for a confirmation that takes longer.  One
 * that has passed while the helper could not reverse yet is put off, too.
 */
int rbl_extend(struct rbl_record *record, unsigned int deadline)
{
	lockdep_assert_held(&rbl_lock);
	rbl_begin(record);
	if (record->state != RBL_APPLIED || !record->deadline_set)
		return refuse_state(record);
	set_deadline(record, deadline);
	pr_info("%s: deadline extended, %u s from now\n", record->name, deadline);
	rbl_succeed(record);
	return 0;
}

/* The update may stay. */
int rbl_confirm(struct rbl_record *record, unsigned int unused)
{
	lockdep_assert_held(&rbl_lock);
	rbl_begin(record);
	if (!rbl_is_live(record))
		return refuse_state(record);
	clear_deadline(record);
	if (record->state != RBL_CONFIRMED)
		pr_info("%s: confirmed\n", record->name);
	WRITE_ONCE(record->state, RBL_CONFIRMED);
	rbl_succeed(record);
	return 0;
}

static int reverse(struct rbl_record *record, const char *why)
{
	int err;

	lockdep_assert_held(&rbl_lock);
	rbl_begin(record);
	err = switch_with_hooks(record, NULL, RBL_TO_OLD, &reversing);
	if (err)
		return err;
	clear_deadline(record);
	WRITE_ONCE(record->state, RBL_REVERSED);
	rbl_succeed(record);
	pr_info("%s: reversed%s: %u functions, paused %llu ns, %u tries\n",
		record->name, why, count_functions(record), record->pause_ns, record->tries);
	module_put(record->module);
	return 0;
}

/* Switches back to the old code, and leaves the kernel's text as it was. */
int rbl_reverse(struct rbl_record *record, unsigned int unused)
{
	lockdep_assert_held(&rbl_lock);
	rbl_begin(record);
	if (!rbl_is_live(record))
		return refuse_state(record);
	return reverse(record, "");
}

/*
 * The deadline has passed without a confirmation.  Tries to reverse until it
 * works, with pauses that grow up to a minute; the state stays `applied`, and
 * the abort record says what is in the way.  Takes rbl_lock only if it is
 * free, so that its holder may cancel this work and wait for its end.
 */
void rbl_deadline_work(struct work_struct *work)
{
	struct rbl_record *record = container_of(work, struct rbl_record, deadline.work);
	unsigned long again = DEADLINE_RETRY;
	bool pending = true;

	if (mutex_trylock(&rbl_lock)) {
		pending = record->state == RBL_APPLIED && record->deadline_set;
		if (pending && time_before(jiffies, record->deadline_at)) {
			again = record->deadline_at - jiffies;	/* of a later apply */
		} else if (pending) {
			pending = reverse(record, " at its deadline") != 0;
			again = min(HZ << min(record->deadline_tries++, 6u), DEADLINE_MAX_RETRY);
		}
		mutex_unlock(&rbl_lock);
	}
	if (pending)
		queue_delayed_work(rbl_workqueue, &record->deadline, again);
}

/*
 * The update's module is about to go, and its memory with it.  It is pinned
 * while it is applied, so only a forced unload gets here then; there is no
 * way to refuse that, but to let it wait until the replacement code is left.
 * After that, callbacks may still be on their way: those of RCU are waited
 * for, and then tasks that were preempted in the code or in a trampoline to it.
 */
void rbl_leave(struct rbl_record *record)
{
	unsigned int pause = MSEC_PER_SEC;

	lockdep_assert_held(&rbl_lock);
	while (rbl_is_live(record) && reverse(record, " since its module is unloaded by force")) {
		msleep(pause);
		pause = rbl_longer(pause);
	}
	if (!record->ran)
		return;
	rcu_barrier();
	synchronize_rcu_tasks();
	for (rbl_begin(record); rbl_switch(record, NULL, RBL_CHECK_ONLY); rbl_begin(record)) {
		msleep(pause);
		pause = rbl_longer(pause);
	}
}
