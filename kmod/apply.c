// SPDX-License-Identifier: GPL-2.0-or-later
/* What operators ask of an update: apply, confirm, reverse; and what its deadline and its unloading do. */
#define pr_fmt(fmt) "rebootless: " fmt

#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/rcupdate.h>

#include "internal.h"

#define DEADLINE_RETRY_NS (250 * NSEC_PER_MSEC)		/* while the switch that it belongs to is still to come */
#define MAX_RETRY (60ul * HZ)		/* between looks at tasks that are left; and as long at most between tries at the deadline */

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
	value = rbl_hooks(record, RBL_OPERATION, stage, refusing);
	mutex_lock(&rbl_lock);
	return value;
}

/* Tasks that run are noted, as rbl_stop_all_cpus() expects it. */
static void open_notes(void)
{
	mutex_unlock(&rbl_lock);
	rbl_notes_open();
	mutex_lock(&rbl_lock);
}

/* After the switch, or instead of it: the operation's parts may go again. */
static void end_switch(struct rbl_record *record, u32 stage)
{
	mutex_unlock(&rbl_lock);
	rbl_notes_close();
	rbl_hooks(record, RBL_OPERATION, stage, NULL);
	mutex_lock(&rbl_lock);
	rbl_parts_disengage(record, RBL_OPERATION);
}

/*
 * Switches, if neither the update's own code nor a task is in the way, nor its
 * deadline has come before.  On 0 end_switch() is yet to be called.
 */
static int begin_switch(struct rbl_record *record, const struct rbl_switch_options *how, const struct stages *stages)
{
	const struct rbl_hook *refusing;
	int value, err = rbl_parts_engage(record, RBL_OPERATION);

	if (err)
		return err;
	value = call_hooks(record, stages->pre, &refusing);
	open_notes();
	err = value ? rbl_refuse_hook(record, refusing, value) : rbl_switch(record, how);
	if (err)
		end_switch(record, stages->fail);
	return err;
}

/* Kprobes may come again. */
static void lift_bars(const struct rbl_record *record)
{
	struct rbl_part *part;

	rbl_for_each_part(part, record)
		rbl_lift_bars(part);
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

/* The version that was there before leaves its name to this one; their directories are yet to be given it. */
static void succeed_to(struct rbl_record *record, struct rbl_record *other)
{
	const struct rbl_record *replaced;
	unsigned int number = 0;

	lockdep_assert_held(&rbl_lock);
	/* Those whose modules have to stay may be several. */
	list_for_each_entry(replaced, &rbl_records, list)
		if (replaced != other && replaced->state == RBL_REPLACED && !strcmp(replaced->name, record->name))
			number = max(number, replaced->number + 1);
	rbl_begin_writing();
	rbl_clear_deadline(other);
	WRITE_ONCE(other->state, RBL_REPLACED);
	rbl_end_writing();
	lift_bars(other);
	other->number = number;
	other->suffix = RBL_PREVIOUS;
	record->suffix = "";
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

static void hold(struct rbl_record *record)
{
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
		if (!rbl_is_busy(record) && rbl_come_ashore(record) && !rbl_look_for_holders(record))
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
	struct rbl_part *part;
	int err = rbl_parts_resolve(record);

	/* First, so that a kprobe's registration that has begun before has time to end before the switch. */
	rbl_for_each_part(part, record)
		if (!err && part->present)
			err = rbl_bar_probes(record, part);
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
		return rbl_refuse_state(record);
	if (!record->loaded)	/* jump labels and static calls of its code may not be set up yet */
		return rbl_refuse(record, RBL_HELPER_BUSY);
	if (!rbl_come_ashore(record))
		return rbl_refuse(record, RBL_TEXT_LOCKED);
	if (!other || !rbl_is_live(other) || record->sequence >= other->sequence)
		return 0;
	rbl_fact(record, "other_update: %s %s\nreason: it was loaded later, and is applied\n", other->name, other->version);
	return rbl_refuse(record, RBL_CONFLICT);
}

/* What follows from a switch to the replacement code, beside what was done in the stop. */
static void become_applied(struct rbl_record *record, struct rbl_record *other)
{
	rbl_succeed(record);
	if (other && record->sequence > other->sequence)
		succeed_to(record, other);
	else
		other = NULL;
	mutex_unlock(&rbl_lock);
	if (other) {
		rbl_rename(other);
		rbl_rename(record);
	}
	/* As for any live patch: an oops shall say that not all code is the kernel's own. */
	add_taint(TAINT_LIVEPATCH, LOCKDEP_STILL_OK);
	mutex_lock(&rbl_lock);
}

/* A live update has a reference of its own, also while tasks that an earlier reverse left there are still in its code. */
static int hold_code(struct rbl_record *record, bool *was_held, bool *kept)
{
	if (!try_module_get(record->module))	/* it is being unloaded */
		return rbl_refuse_state(record);
	*was_held = record->held;
	if (*was_held)
		release_holders(record);
	*kept = rbl_keep_kept(record);
	return 0;
}

static void let_code_go(struct rbl_record *record, bool was_held, bool kept)
{
	if (kept) {
		record->kept = false;
		module_put(record->module);
	}
	if (was_held)
		hold(record);
	else
		module_put(record->module);
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
	bool was_held, kept;
	int err;

	lockdep_assert_held(&rbl_lock);
	rbl_begin(record);
	err = check_state(record, other);
	if (err)
		return err;
	err = prepare(record);
	if (!err && other)
		err = check_successor(record, other);
	if (!err)
		err = hold_code(record, &was_held, &kept);
	if (!err) {
		err = begin_switch(record, &how, &applying);
		if (err)
			let_code_go(record, was_held, kept);
	}
	if (err) {
		lift_bars(record);
		return err;
	}
	become_applied(record, other);
	end_switch(record, applying.post);
	if (was_live)
		module_put(other->module);
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
	bool extended;

	lockdep_assert_held(&rbl_lock);
	rbl_begin(record);
	rbl_begin_writing();
	extended = record->state == RBL_APPLIED && record->deadline_set;
	if (extended)
		rbl_set_deadline(record, arguments->deadline);
	rbl_end_writing();
	if (!extended)
		return rbl_refuse_state(record);
	pr_info("%s: deadline extended, %u s from now\n", record->name, arguments->deadline);
	rbl_succeed(record);
	return 0;
}

/* The update may stay. */
int rbl_confirm(struct rbl_record *record, const struct rbl_arguments *unused)
{
	bool live, was_confirmed;

	lockdep_assert_held(&rbl_lock);
	rbl_begin(record);
	rbl_begin_writing();
	live = rbl_is_live(record);
	was_confirmed = record->state == RBL_CONFIRMED;
	if (live) {
		rbl_clear_deadline(record);
		WRITE_ONCE(record->state, RBL_CONFIRMED);
	}
	rbl_end_writing();
	if (!live)
		return rbl_refuse_state(record);
	if (!was_confirmed)
		pr_info("%s: confirmed\n", record->name);
	rbl_succeed(record);
	return 0;
}

/* ---- reversing ---- */

/* Switches back to the old code, and leaves the kernel's text as it was. */
int rbl_reverse(struct rbl_record *record, const struct rbl_arguments *arguments)
{
	const struct rbl_switch_options how = {
		.purpose = RBL_TO_OLD,
		.blockers = arguments->blockers,
	};
	int err;

	lockdep_assert_held(&rbl_lock);
	rbl_begin(record);
	if (!rbl_is_live(record))
		return rbl_refuse_state(record);
	err = begin_switch(record, &how, &reversing);
	if (err)
		return err;
	lift_bars(record);
	rbl_succeed(record);
	end_switch(record, reversing.post);
	module_put(record->module);
	pr_info("%s: reversed: %u functions, paused %llu ns, %u tries\n", record->name, rbl_count_jumps(record),
		record->pause_ns, record->tries);
	return 0;
}

/* ---- by force, and at the deadline ---- */

/* What follows from a way back, when rbl_lock can be had: its module is held as long as tasks are in its code. */
static void finish_way_back(struct rbl_record *record, const char *why)
{
	mutex_lock(&rbl_lock);
	lift_bars(record);
	rbl_succeed(record);
	if (record->unfinished)
		rbl_keep_code(record);
	if (!rbl_come_ashore(record) || rbl_look_for_holders(record))
		hold(record);
	else
		module_put(record->module);
	pr_info("%s: reversed%s: %u functions, paused %llu ns%s", record->name, why, rbl_count_jumps(record),
		record->pause_ns, record->unfinished ? ", and without its custom code, so that its module stays until the next boot" : "");
	if (record->held)
		pr_cont("; its module is held by %u tasks", record->n_holders);
	pr_cont("\n");
	WRITE_ONCE(record->returning, false);
	mutex_unlock(&rbl_lock);
}

/*
 * Goes back although tasks are in the replacement code, which they finish; at
 * once, also beside an operation that is under way, which finds that when it is
 * about to switch.  For the writer's own task: it may be in that code, too.
 */
static int force(struct rbl_record *record, const char *why)
{
	enum rbl_company company;
	int err = rbl_go_back(record, false, &company);

	if (err)
		return err;
	finish_way_back(record, why);
	rbl_companion_wait(record, company);
	return 0;
}

int rbl_force(struct rbl_record *record)
{
	return force(record, " by force");
}

/*
 * The deadline has passed without a confirmation.  The old code comes back
 * although tasks are in the replacement code: a bad fix may well be what keeps
 * them there.  Tried again, with pauses that grow up to a minute, if something
 * else is in the way (custom code that refuses); the state stays `applied`, and
 * the abort record says what.
 */
void rbl_deadline_work(struct kthread_work *work)
{
	struct rbl_record *record = container_of(work, struct rbl_record, deadline);
	enum rbl_company company;
	s64 left = rbl_deadline_left(record);

	if (!READ_ONCE(record->deadline_set))
		return;
	if (left > 0)	/* of a later apply */
		rbl_deadline_again(record, left);
	else if (READ_ONCE(record->state) != RBL_APPLIED)
		rbl_deadline_again(record, DEADLINE_RETRY_NS);
	else if (!rbl_go_back(record, true, &company))
		queue_work(rbl_workqueue, &record->aftermath);
	else
		rbl_deadline_again(record, min(1ul << min(record->deadline_tries++, 6u), 60ul) * NSEC_PER_SEC);
}

void rbl_aftermath_work(struct work_struct *work)
{
	finish_way_back(container_of(work, struct rbl_record, aftermath), " at its deadline");
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
	while (rbl_is_live(record)) {
		int err;

		mutex_unlock(&rbl_lock);
		err = force(record, " since its module is unloaded by force");
		mutex_lock(&rbl_lock);
		if (err)
			rest(&pause);
	}
	while (record->busy || READ_ONCE(record->returning) || !rbl_come_ashore(record))
		rest(&pause);
	if (!record->ran)
		return;
	mutex_unlock(&rbl_lock);
	rcu_barrier();
	synchronize_rcu_tasks();
	mutex_lock(&rbl_lock);
	while (rbl_look_for_holders(record))
		rest(&pause);
}
