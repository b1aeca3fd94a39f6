// SPDX-License-Identifier: GPL-2.0-or-later
/* What operators ask of an update: apply, confirm, reverse; and what its deadline and its unloading do. */
#define pr_fmt(fmt) "rebootless: " fmt

#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/rcupdate.h>

#include "internal.h"

#define DEADLINE_RETRY (HZ / 4)		/* while another operation runs */
#define MAX_RETRY (60ul * HZ)		/* between tries to reverse after the deadline, or looks at tasks that are left */

static int refuse_state(struct rbl_record *record)
{
	rbl_fact(record, "state: %s\n", rbl_state_name(record));
	return rbl_refuse(record, RBL_BAD_STATE);
}

/* ---- custom code around a switch ---- */

/* What surrounds a switch; each row of stages in the order of enum rbl_hook_stage. */
struct stages {
	u32 pre, post, fail;
};

static const struct stages applying = { RBL_PRE_APPLY, RBL_POST_APPLY, RBL_FAIL_APPLY };
static const struct stages reversing = { RBL_PRE_REVERSE, RBL_POST_REVERSE, RBL_FAIL_REVERSE };

static int call_hooks(const struct rbl_record *record, u32 stage, const struct rbl_hook **refusing)
{
	int value;

	mutex_unlock(&rbl_lock);
	value = rbl_hooks(record, stage, refusing);
	mutex_lock(&rbl_lock);
	return value;
}

/*
 * Tasks that run are noted, as rbl_stop_all_cpus() expects it; not for a switch
 * by force, since what is waited for here may be what it has to get past.
 */
static void open_notes(const struct rbl_switch_options *how)
{
	mutex_unlock(&rbl_lock);
	if (!how->force)
		rbl_notes_open();
	mutex_lock(&rbl_lock);
}

static void close_notes(const struct rbl_switch_options *how)
{
	mutex_unlock(&rbl_lock);
	if (!how->force)
		rbl_notes_close();
	mutex_lock(&rbl_lock);
}

/* After the switch, or instead of it: the operation's parts may go again. */
static void end_switch(struct rbl_record *record, const struct rbl_switch_options *how, u32 stage)
{
	record->switched++;
	close_notes(how);
	call_hooks(record, stage, NULL);
	record->switched--;
	rbl_parts_disengage(record);
}

/*
 * Switches, if neither the update's own code nor a task is in the way.  On 0
 * rbl_lock has not been given back since the switch, and end_switch() is to be
 * called when the record says so, too.
 */
static int begin_switch(struct rbl_record *record, const struct rbl_switch_options *how, const struct stages *stages)
{
	const struct rbl_hook *refusing;
	int value, err = rbl_parts_engage(record);

	if (err)
		return err;
	value = call_hooks(record, stages->pre, &refusing);
	open_notes(how);
	err = value ? rbl_refuse_hook(record, refusing, value) : rbl_switch(record, how);
	if (err)
		end_switch(record, how, stages->fail);
	return err;
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
	rbl_clear_deadline(other);
	WRITE_ONCE(other->state, RBL_REPLACED);
	other->number = number;
	rbl_rename(other, RBL_PREVIOUS, number);
	rbl_rename(record, "", 0);
	if (was_live)
		module_put(other->module);
}

/* ---- tasks that are left in the replacement code ---- */

/* The module's reference is given back as soon as no task is in it. */
static void release_holders(struct rbl_record *record)
{
	mutex_lock(&record->shown);
	record->held = false;
	record->n_holders = 0;
	record->holders.count = 0;
	mutex_unlock(&record->shown);
	module_put(record->module);
}

/* The update was reversed, perhaps by force: gives the module free, or holds it until its code has been left. */
static void leave_code(struct rbl_record *record, bool force)
{
	if (!force || !record->n_holders) {
		module_put(record->module);
		return;
	}
	mutex_lock(&record->shown);
	record->held = true;
	mutex_unlock(&record->shown);
	record->drain_tries = 0;
	mod_delayed_work(rbl_workqueue, &record->drain, HZ);
}

/* Looks whether the tasks have left that were in an update's code when it was reversed by force; in growing pauses. */
void rbl_drain_work(struct work_struct *work)
{
	struct rbl_record *record = container_of(work, struct rbl_record, drain.work);

	mutex_lock(&rbl_lock);
	if (!record->gone && record->held) {
		if (!rbl_is_busy(record) && !rbl_look_for_holders(record))
			release_holders(record);
		else
			queue_delayed_work(rbl_workqueue, &record->drain,
					   min(HZ << min(record->drain_tries++, 6u), MAX_RETRY));
	}
	mutex_unlock(&rbl_lock);
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

/* Why the update cannot be applied in the state that it is in. */
static int check_state(struct rbl_record *record, const struct rbl_record *other)
{
	if (record->state != RBL_MATCHED && record->state != RBL_REVERSED)
		return refuse_state(record);
	if (!record->loaded)	/* jump labels and static calls of its code may not be set up yet */
		return rbl_refuse(record, RBL_HELPER_BUSY);
	if (!other || !rbl_is_live(other) || record->sequence >= other->sequence)
		return 0;
	rbl_fact(record, "other_update: %s %s\nreason: it was loaded later, and is applied\n", other->name, other->version);
	return rbl_refuse(record, RBL_CONFLICT);
}

/* What follows from a switch to the replacement code; nothing here waits, since a deadline may need rbl_lock next. */
static void become_applied(struct rbl_record *record, struct rbl_record *other, bool was_live)
{
	record->ran = true;
	WRITE_ONCE(record->state, RBL_APPLIED);
	if (record->held)	/* by tasks that an earlier reverse left in its code: a live update has a reference of its own */
		release_holders(record);
	rbl_keep_code(record);
	rbl_succeed(record);
	if (other && record->sequence > other->sequence)
		succeed_to(record, other, was_live);
	/* As for any live patch: an oops shall say that not all code is the kernel's own. */
	add_taint(TAINT_LIVEPATCH, LOCKDEP_STILL_OK);
}

/*
 * Switches to the replacement code; with a deadline in seconds (0: none) the
 * helper itself reverses it then.  That is armed before the switch, so that it
 * comes also if the replacement code keeps this task from going on.
 */
int rbl_apply(struct rbl_record *record, const struct rbl_arguments *arguments)
{
	struct rbl_record *other = rbl_find_other(record);
	bool was_live = other && rbl_is_live(other);
	const struct rbl_switch_options how = {
		.purpose = RBL_TO_REPLACEMENT,
		.previous = was_live ? other : NULL,
		.deadline = arguments->deadline,
		.blockers = arguments->blockers,
	};
	int err;

	lockdep_assert_held(&rbl_lock);
	rbl_begin(record);
	err = check_state(record, other) ? : prepare(record);
	if (!err && other)
		err = check_successor(record, other);
	if (err)
		return err;
	if (!try_module_get(record->module))	/* it is being unloaded */
		return refuse_state(record);
	err = begin_switch(record, &how, &applying);
	if (err) {
		module_put(record->module);
		return err;
	}
	become_applied(record, other, was_live);
	end_switch(record, &how, applying.post);
	pr_info("%s: applied: %u functions, paused %llu ns, %u tries, deadline %u s%s\n", record->name,
		rbl_count_jumps(record), record->pause_ns, record->tries, arguments->deadline,
		record->kept ? "; its module stays until the next boot" : "");
	if (was_live)
		pr_info("%s: %s has taken the place of another version\n", record->name, record->version);
	return 0;
}

/*
 * A new deadline, counted from now, for a confirmation that takes longer.  One
 * that has passed while the helper could not reverse yet is put off, too.
 */
int rbl_extend(struct rbl_record *record, const struct rbl_arguments *arguments)
{
	lockdep_assert_held(&rbl_lock);
	rbl_begin(record);
	if (record->state != RBL_APPLIED || !record->deadline_set)
		return refuse_state(record);
	rbl_set_deadline(record, arguments->deadline);
	pr_info("%s: deadline extended, %u s from now\n", record->name, arguments->deadline);
	rbl_succeed(record);
	return 0;
}

/* The update may stay. */
int rbl_confirm(struct rbl_record *record, const struct rbl_arguments *unused)
{
	lockdep_assert_held(&rbl_lock);
	rbl_begin(record);
	if (!rbl_is_live(record))
		return refuse_state(record);
	rbl_clear_deadline(record);
	if (record->state != RBL_CONFIRMED)
		pr_info("%s: confirmed\n", record->name);
	WRITE_ONCE(record->state, RBL_CONFIRMED);
	rbl_succeed(record);
	return 0;
}

/* ---- reversing ---- */

static int reverse(struct rbl_record *record, const struct rbl_arguments *arguments, const char *why)
{
	const struct rbl_switch_options how = {
		.purpose = RBL_TO_OLD,
		.force = arguments->force,
		.blockers = arguments->blockers,
	};
	int err;

	lockdep_assert_held(&rbl_lock);
	rbl_begin(record);
	err = begin_switch(record, &how, &reversing);
	if (err)
		return err;
	rbl_clear_deadline(record);
	WRITE_ONCE(record->state, RBL_REVERSED);
	rbl_succeed(record);
	leave_code(record, arguments->force);
	end_switch(record, &how, reversing.post);
	pr_info("%s: reversed%s: %u functions, paused %llu ns, %u tries", record->name, why, rbl_count_jumps(record),
		record->pause_ns, record->tries);
	if (record->held)
		pr_cont("; its module is held by %u tasks", record->n_holders);
	pr_cont("\n");
	return 0;
}

/*
 * Switches back to the old code, and leaves the kernel's text as it was; by
 * force also while tasks are in the replacement code, which they finish.
 */
int rbl_reverse(struct rbl_record *record, const struct rbl_arguments *arguments)
{
	lockdep_assert_held(&rbl_lock);
	rbl_begin(record);
	if (!rbl_is_live(record))
		return refuse_state(record);
	return reverse(record, arguments, arguments->force ? " by force" : "");
}

static const struct rbl_arguments by_force = { .force = true };

/* Whether the deadline's own operation may begin: none is under way, or one that has switched and hangs in a hook. */
static bool may_interfere(const struct rbl_record *record)
{
	return !rbl_is_busy(record) || (record->busy && record->switched);
}

/*
 * The deadline has passed without a confirmation.  The old code comes back
 * although tasks are in the replacement code: a bad fix may well be what keeps
 * them there.  Tried again, with pauses that grow up to a minute, if something
 * else is in the way (a kprobe on a jump, custom code that refuses); the state
 * stays `applied`, and the abort record says what.
 */
void rbl_deadline_work(struct work_struct *work)
{
	struct rbl_record *record = container_of(work, struct rbl_record, deadline.work);
	unsigned long again = DEADLINE_RETRY;
	bool pending;

	mutex_lock(&rbl_lock);
	pending = !record->gone && record->state == RBL_APPLIED && record->deadline_set;
	if (pending && rbl_deadline_left(record) > 0) {	/* of a later apply */
		again = nsecs_to_jiffies(rbl_deadline_left(record)) + 1;
	} else if (pending && may_interfere(record)) {
		record->busy++;
		pending = reverse(record, &by_force, " at its deadline") != 0;
		record->busy--;
		again = min(HZ << min(record->deadline_tries++, 6u), MAX_RETRY);
	}
	if (pending)
		queue_delayed_work(rbl_workqueue, &record->deadline, again);
	mutex_unlock(&rbl_lock);
}

/* Waits, longer each time, without rbl_lock. */
static void rest(unsigned int *pause)
{
	mutex_unlock(&rbl_lock);
	msleep(*pause);
	mutex_lock(&rbl_lock);
	*pause = rbl_longer(*pause);
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
	record->busy++;
	while (rbl_is_live(record) && reverse(record, &by_force, " since its module is unloaded by force"))
		rest(&pause);
	/* What follows may take as long as the replacement code likes, also that of a newer version, which is not to wait. */
	record->busy--;
	if (!record->ran)
		return;
	mutex_unlock(&rbl_lock);
	rcu_barrier();
	synchronize_rcu_tasks();
	mutex_lock(&rbl_lock);
	while (rbl_look_for_holders(record))
		rest(&pause);
}
