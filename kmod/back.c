// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The way back that nothing can hold up: a deadline's, and that by force.
 *
 * Between the deadline and the old bytes there is no lock that a task may hold
 * for long, no memory is allocated, no foreign code is run without a limit, and
 * no CPU has to schedule but the one that the deadline's own thread runs on:
 *
 * - locks: record->way and the bit of rbl_begin_writing() are held for what is
 *   said here alone, for a stop, which has limits of its own (gather.c), and
 *   while a module's jumps are written.  rbl_lock, and the kernel's locks for
 *   text, are tried for some seconds, and then it goes on without them;
 * - memory: what is written, and where, lies in the part since it was resolved;
 * - foreign code: custom code goes along (companion.c), and is left behind;
 * - CPUs: each only answers interrupts.
 *
 * Without a stop, functions go back one object after the other, as the kernel
 * itself writes to its text: breakpoints, the bytes behind, the first bytes, and
 * an interrupt of all CPUs in between.  No task can be inside of a single jump; a
 * breakpoint leads to where the jump did; and tasks in the replacement code
 * finish there.
 *
 * Without the locks, and with breakpoints that our own handler sees to, which an
 * update of what runs before it should not have met:
 * - that no two write at once, __text_poke() sees to by itself: it holds the
 *   lock of the page table that it writes through;
 * - a kprobe that is being registered has either yet to copy the instruction,
 *   and copies what is then there, or is listed, and is seen: nothing in
 *   between waits for anything;
 * - others that write meanwhile (the optimiser of kprobes, static calls) write
 *   other bytes: a kprobe on ours is a reason to refuse;
 * - a static branch under a jump may be about to be switched.  So the kernel goes
 *   on switching its stand-in, and the branch is as that was, until the locks
 *   are free (rbl_come_ashore());
 * - the prefixes of a kernel with one CPU may be about to change: LOCK is right
 *   in any case.
 *
 * Constants change under their readers, a number or a pointer at a time.  Code
 * that uses one of them together with another may see both sides, as a task
 * that finishes in the replacement code does in any case.
 *
 * An update with custom code for the stop (RBL_CHECK_REVERSE, RBL_REVERSE) goes
 * back in one if it can.  Else its objects stay as they are, and what they point
 * to must, too: its module is kept until the next boot.
 */
#define pr_fmt(fmt) "rebootless: " fmt

#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/smp.h>

#include "internal.h"

static void synchronise(void *unused)
{
	rbl_arch_sync();
}

/* Takes jumps away while all CPUs run; between rbl_begin_writing() and its end. */
static void write_running(const struct rbl_step *steps, u32 count, bool locked)
{
	int phase;
	u32 i;

	for (i = 0; locked && i < count; i++)
		rbl_arch_write_running(steps + i, false);
	if (locked || !count)
		return;
	for (phase = 0; phase < RBL_WRITE_PHASES; phase++) {
		rbl_arch_write_step(steps, count, false, phase);
		on_each_cpu(synchronise, NULL, true);
	}
	rbl_arch_write_end();
	on_each_cpu(synchronise, NULL, true);	/* none still goes through the steps */
}

static void write_part_back(struct rbl_part *part, bool locked)
{
	u32 i;

	rbl_settle(part, locked);
	for (i = part->n_writes; i < part->n_writes + part->object->n_data; i++)
		rbl_write_constant(part->steps[i].alias, part->steps[i].before, part->steps[i].size);
	write_running(part->steps, part->n_writes, locked);
	part->written = false;
	if (locked)
		rbl_move_branches(part, false);
	else
		part->adrift = rbl_has_branches(part);
}

static u32 check(const struct rbl_record *record, struct rbl_offence *offence)
{
	const struct rbl_part *part;
	u32 i, code = RBL_OK;

	rbl_for_each_part(part, record)
		for (i = 0; !code && part->written && i < part->n_writes + part->object->n_data; i++)
			code = rbl_check_step(part->steps + i, part->steps[i].after, false, offence);
	return code;
}

/* Whether the way back is still to be gone. */
static bool is_wanted(const struct rbl_record *record, bool at_deadline)
{
	if (!at_deadline)
		return rbl_is_live(record);
	return record->state == RBL_APPLIED && record->deadline_set && rbl_deadline_left(record) <= 0;
}

static u32 write_back(struct rbl_record *record, bool at_deadline, struct rbl_offence *offence)
{
	bool locked = rbl_lock_text_within(RBL_PATIENCE_MS);
	u64 start = ktime_get_mono_fast_ns();
	struct rbl_part *part;
	u32 code;

	rbl_begin_writing();
	code = is_wanted(record, at_deadline) ? check(record, offence) : RBL_BAD_STATE;
	if (!code) {
		rbl_for_each_part(part, record)
			if (part->written)
				write_part_back(part, locked);
		WRITE_ONCE(record->deadline_set, false);
		WRITE_ONCE(record->returning, true);
		WRITE_ONCE(record->state, RBL_REVERSED);
	}
	rbl_end_writing();
	if (locked)
		rbl_unlock_text();
	if (code)
		return code;
	record->pause_ns = 0;
	record->looked_at = 0;
	record->tries = 0;
	record->stop_ns = ktime_get_mono_fast_ns() - start;
	return RBL_OK;
}

/* ---- with a stop ---- */

static bool has_stage(const struct rbl_record *record, u32 stage)
{
	u32 i, k;

	for (i = 0; i < record->update->n_objects; i++)
		for (k = 0; k < record->update->objects[i].n_hooks; k++)
			if (record->update->objects[i].hooks[k].stage == stage)
				return true;
	return false;
}

static bool wants_stop(const struct rbl_record *record)
{
	return has_stage(record, RBL_CHECK_REVERSE) || has_stage(record, RBL_REVERSE);
}

/* What a stop has found that is as good a reason without one. */
static bool is_final(u32 code)
{
	return code == RBL_HOOK_REFUSED || code == RBL_KPROBE_INSIDE || code == RBL_JUMP_OVERWRITTEN ||
	       code == RBL_DATA_OVERWRITTEN || code == RBL_BAD_STATE;
}

/* A code, RBL_OK if it is done; else what it says in the abort record has been said. */
static u32 go_back_in_stop(struct rbl_record *record, bool at_deadline)
{
	const struct rbl_switch_options how = { .purpose = RBL_TO_OLD, .force = true, .at_deadline = at_deadline };
	u32 code;

	if (!rbl_lock_within(&rbl_lock, RBL_PATIENCE_MS))
		return RBL_HELPER_BUSY;
	code = rbl_switch(record, &how) ? record->draft.code : RBL_OK;
	mutex_unlock(&rbl_lock);
	return code;
}

/* ---- the whole ---- */

/* Says what was in the way, unless that would have to be waited for. */
static int refuse(struct rbl_record *record, u32 code, const struct rbl_offence *offence)
{
	const struct rbl_companion *companion = &record->companion;
	int err = -EBUSY;

	if (!rbl_lock_within(&rbl_lock, RBL_BRIEFLY_MS))
		return err;
	rbl_begin(record);
	if (code == RBL_HOOK_REFUSED)
		err = rbl_refuse_hook(record, companion->refusing, companion->value);
	else if (code == RBL_BAD_STATE)
		err = rbl_refuse_state(record);
	else
		err = rbl_refuse_offence(record, code, offence);
	mutex_unlock(&rbl_lock);
	return err;
}

static int go_back(struct rbl_record *record, bool at_deadline, enum rbl_company company)
{
	bool in_stop = company == RBL_ACCOMPANIED && wants_stop(record);
	struct rbl_offence offence = {};
	u32 code;

	record->unfinished = false;
	if (company == RBL_REFUSED)
		return refuse(record, RBL_HOOK_REFUSED, NULL);
	code = in_stop ? go_back_in_stop(record, at_deadline) : RBL_HELPER_BUSY;
	if (!code)
		return 0;
	if (in_stop && is_final(code))
		return -EAGAIN;
	record->unfinished = company == RBL_ALONE || wants_stop(record);
	code = write_back(record, at_deadline, &offence);
	if (code == RBL_BAD_STATE && at_deadline)	/* it was confirmed, extended or reversed meanwhile */
		return -EINVAL;
	return code ? refuse(record, code, &offence) : 0;
}

/*
 * The old code comes back, although tasks are in the replacement code; at the
 * deadline only if there is one that has passed.  A negative errno, or 0, and then
 * the record is `returning` until what follows has been done.  For callers that
 * hold nothing.
 */
int rbl_go_back(struct rbl_record *record, bool at_deadline, enum rbl_company *company)
{
	int err = -EINVAL;

	lockdep_assert_not_held(&rbl_lock);
	mutex_lock(&record->way);
	*company = RBL_ALONE;
	if (is_wanted(record, at_deadline)) {
		*company = rbl_companion_begin(record);
		err = go_back(record, at_deadline, *company);
		rbl_companion_end(record, *company, !err);
	} else if (!at_deadline) {
		err = refuse(record, RBL_BAD_STATE, NULL);
	}
	mutex_unlock(&record->way);
	return err;
}

/* ---- afterwards ---- */

/*
 * Static branches that were left to their stand-ins are switched as their keys
 * are, and the kernel switches them itself again.  False as long as it cannot be
 * had to stand still.
 */
bool rbl_come_ashore(struct rbl_record *record)
{
	struct rbl_part *part;
	struct rbl_step step;
	u32 i;

	lockdep_assert_held(&rbl_lock);
	if (!rbl_is_adrift(record))
		return true;
	if (!rbl_lock_text_within(RBL_BRIEFLY_MS))
		return false;
	rbl_begin_writing();
	rbl_for_each_part(part, record) {
		if (!part->adrift)
			continue;
		for (i = 0; i < part->n_writes; i++)
			if (rbl_branch_step(part->writes + i, &step))
				rbl_arch_write_running(&step, true);
		rbl_move_branches(part, false);
		part->adrift = false;
	}
	rbl_end_writing();
	rbl_unlock_text();
	return true;
}
