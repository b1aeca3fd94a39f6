// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What else uses the bytes of a jump, or takes its function away: kprobes, and
 * users of ftrace that change where a function's entry leads (the kernel's own
 * live patches, for one).  Both can come at any time, so that they are looked
 * for before a switch, while all CPUs are stopped, and whenever the state of
 * an update is asked for.
 */
#include <linux/kprobes.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "internal.h"

/*
 * Whether a kprobe that is not ftrace's is registered in [start, end): armed,
 * disabled or optimised, it holds a copy of the instruction under it, and writes
 * over the text when it is armed.  One at the fentry site goes through ftrace,
 * and stays where it is.
 */
static bool is_probed(unsigned long start, unsigned long end, unsigned long *address)
{
	bool found = false;

	rcu_read_lock();	/* get_kprobe() walks a hash chain under RCU */
	for (; start < end && !found; start++) {
		struct kprobe *probe = rbl_kernel(get_kprobe)((void *)start);

		found = probe && !kprobe_ftrace(probe);
		*address = start;
	}
	rcu_read_unlock();
	return found;
}

static bool is_jump_probed(const u8 *where, u32 size, unsigned long *address)
{
	const struct rbl_range reach = rbl_probes_that_reach(where, size);

	return is_probed(reach.start, reach.end, address);
}

/* Whether a user of ftrace may send calls of the function elsewhere, so that they never come to the jump. */
static bool is_redirected(const struct dyn_ftrace *entry)
{
	return entry && READ_ONCE(entry->flags) & FTRACE_FL_IPMODIFY;
}

/* ---- before a switch ---- */

static void note_entry(struct rbl_part *part, struct dyn_ftrace *entry)
{
	u32 i;

	for (i = 0; i < part->object->n_functions; i++) {
		const struct rbl_site *site = part->sites + i;

		if (site->write && entry->ip >= site->old && entry->ip < (unsigned long)site->write->where)
			WRITE_ONCE(site->write->entry, entry);
	}
}

/*
 * ftrace keeps a module's records as long as the module is there, but moves them
 * when it drops those of its init code (ftrace_free_mem()), which is after all
 * notifiers.  Until then there is nothing that a pointer could lead to.
 */
static bool records_may_move(const struct rbl_part *part)
{
	return part->target && rbl_module_has_init(part->target);
}

static void find_entries(struct rbl_part *part)
{
	unsigned long low = ULONG_MAX, high = 0;
	struct ftrace_rec_iter *at;
	u32 i;

	for (i = 0; i < part->object->n_functions; i++) {
		low = min(low, part->sites[i].old);
		high = max(high, part->sites[i].old + part->sites[i].function->size);
	}
	lockdep_assert_held(rbl_kernel_data.ftrace_lock);
	for (at = rbl_kernel(ftrace_rec_iter_start)(); at; at = rbl_kernel(ftrace_rec_iter_next)(at)) {
		struct dyn_ftrace *entry = rbl_kernel(ftrace_rec_iter_record)(at);

		if (entry->ip >= low && entry->ip < high)
			note_entry(part, entry);
	}
	part->entries_found = true;
}

static bool wants_entries(const struct rbl_part *part)
{
	return !part->entries_found && !records_may_move(part);
}

/* Finds ftrace's records of the functions that the part's jumps lie in. */
int rbl_find_entries(struct rbl_record *record, struct rbl_part *part)
{
	lockdep_assert_held(&rbl_lock);
	if (!wants_entries(part))
		return 0;
	if (!rbl_lock_within(rbl_kernel_data.ftrace_lock, RBL_TEXT_PATIENCE_MS))
		return rbl_refuse(record, RBL_TEXT_LOCKED);
	find_entries(part);
	mutex_unlock(rbl_kernel_data.ftrace_lock);
	return 0;
}

/* The same for parts whose module had yet to run its init when they were resolved; for readers, who wait for no lock. */
void rbl_find_late_entries(struct rbl_record *record)
{
	struct rbl_part *part;

	if (!mutex_trylock(&rbl_lock))
		return;
	rbl_for_each_part(part, record) {
		if (!part->present || !wants_entries(part) || !mutex_trylock(rbl_kernel_data.ftrace_lock))
			continue;
		find_entries(part);
		mutex_unlock(rbl_kernel_data.ftrace_lock);
	}
	mutex_unlock(&rbl_lock);
}

/*
 * A kprobe in one of the part's functions: RBL_KPROBE_INSIDE, and *offence says
 * where, or RBL_OK.  One in old code would never be hit again.  Behind the jump's
 * bytes, too: a task that was preempted in the code which an optimised one has it
 * run has the way back in an instruction there, and not on its stack.
 *
 * The answer holds as long as the caller holds kprobe_mutex: a kprobe that is
 * being registered is in no list until the end, and has copied what stands at its
 * place.
 */
u32 rbl_find_probe(const struct rbl_part *part, struct rbl_offence *offence)
{
	u32 i;

	for (i = 0; i < part->object->n_functions; i++) {
		const struct rbl_site *site = part->sites + i;

		if (!is_probed(site->old, site->old + site->function->size, &offence->used))
			continue;
		offence->name = site->function->name;
		return RBL_KPROBE_INSIDE;
	}
	return RBL_OK;
}

/* Whether it is worth to go on: it is looked once more where the jumps are written. */
int rbl_check_probes(struct rbl_record *record, const struct rbl_part *part)
{
	struct rbl_offence offence = {};
	u32 code = rbl_find_probe(part, &offence);

	return code ? rbl_refuse_offence(record, code, &offence) : 0;
}

/* ---- while all CPUs are stopped ---- */

/*
 * Why the step's bytes may not be written now: a code; RBL_OK if they may.  A
 * function that something else has redirected can be given its old code back,
 * which is what its operator then wants, but there is no sense in a fix that is
 * not in effect.
 */
u32 rbl_step_in_use(const struct rbl_step *step, bool forward, unsigned long *address)
{
	if (!step->target)
		return RBL_OK;
	if (is_jump_probed(step->where, step->size, address))
		return RBL_KPROBE_INSIDE;
	*address = (unsigned long)step->where;
	return forward && is_redirected(step->entry) ? RBL_ENTRY_IN_USE : RBL_OK;
}

/* ---- afterwards ---- */

/* Whether the jump of a live update is in place; a kprobe on it runs it, so it still leads to the replacement code. */
enum rbl_jump_state rbl_jump_state(const struct rbl_write *write)
{
	u8 now[RBL_WRITE_SIZE];
	unsigned long unused;

	if (copy_from_kernel_nofault(now, write->where, write->size) ||
	    (memcmp(now, write->jump, write->size) && !is_jump_probed(write->where, write->size, &unused)))
		return RBL_JUMP_MISSING;
	return is_redirected(READ_ONCE(write->entry)) ? RBL_JUMP_BYPASSED : RBL_JUMP_IN_PLACE;
}

/* Whether something has taken one of a live update's functions away, so that what it fixes is not fixed. */
bool rbl_is_bypassed(const struct rbl_record *record)
{
	const struct rbl_part *part;
	u32 i;

	lockdep_assert_held(&record->shown);
	if (!rbl_is_live(record))
		return false;
	rbl_for_each_part(part, record)
		for (i = 0; part->present && i < part->n_writes; i++)
			if (rbl_jump_state(part->writes + i) != RBL_JUMP_IN_PLACE)
				return true;
	return false;
}
