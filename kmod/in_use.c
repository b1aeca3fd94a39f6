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

/* The bytes that a kprobe has to keep off: an optimised one before them writes a jump that reaches into them. */
static bool is_jump_probed(const u8 *where, u32 size, unsigned long *address)
{
	return is_probed((unsigned long)where - (RBL_JUMP_SIZE - 1), (unsigned long)where + size, address);
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
void rbl_find_entries(struct rbl_part *part)
{
	lockdep_assert_held(&rbl_lock);
	if (!wants_entries(part))
		return;
	mutex_lock(rbl_kernel_data.ftrace_lock);
	find_entries(part);
	mutex_unlock(rbl_kernel_data.ftrace_lock);
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
 * The first of the part's functions that a kprobe lies in: one in old code would
 * never be hit again.  NULL if there is none; that stays so as long as the
 * caller holds kprobe_mutex, and not longer: a kprobe that is being registered is
 * in no list until the end, and has copied what stands at its place.
 */
const char *rbl_probed_function(const struct rbl_part *part, unsigned long *address)
{
	u32 i;

	lockdep_assert_held(rbl_kernel_data.kprobe_mutex);
	for (i = 0; i < part->object->n_functions; i++) {
		const struct rbl_site *site = part->sites + i;

		if (is_probed(site->old, site->old + site->function->size, address))
			return site->function->name;
	}
	return NULL;
}

int rbl_refuse_probe(struct rbl_record *record, const char *function, unsigned long address)
{
	rbl_fact(record, "function: %s\n", function);
	rbl_secret(record, "address: 0x%lx\n", address);
	return rbl_refuse(record, RBL_KPROBE_INSIDE);
}

/* Whether it is worth to go on: it is looked once more where the jumps are written. */
int rbl_check_probes(struct rbl_record *record, const struct rbl_part *part)
{
	unsigned long at;
	const char *function;

	mutex_lock(rbl_kernel_data.kprobe_mutex);
	function = rbl_probed_function(part, &at);
	mutex_unlock(rbl_kernel_data.kprobe_mutex);
	return function ? rbl_refuse_probe(record, function, at) : 0;
}

/* ---- where it is written, with text locked ---- */

/*
 * Why something else uses the step's bytes: a code; RBL_OK if nothing does.  A
 * function that something else has redirected can be given its old code back,
 * which is what its operator then wants, but there is no sense in a fix that is
 * not in effect.
 */
static u32 in_use(const struct rbl_step *step, bool forward, unsigned long *address)
{
	if (!step->target)
		return RBL_OK;
	if (is_jump_probed(step->where, step->size, address))
		return RBL_KPROBE_INSIDE;
	*address = (unsigned long)step->where;
	return forward && is_redirected(step->entry) ? RBL_ENTRY_IN_USE : RBL_OK;
}

/*
 * Why the step's bytes may not be written now: a code; RBL_OK if they may.  Asked
 * of every step right before it is written, by all that writes: a kprobe may have
 * come, or another byte, since the match.
 */
u32 rbl_check_step(const struct rbl_step *step, bool forward, unsigned long *address)
{
	u32 code = in_use(step, forward, address);

	if (code || !memcmp(step->where, step->before, step->size))
		return code;
	if (forward)
		return RBL_NO_MATCH;
	return step->target ? RBL_JUMP_OVERWRITTEN : RBL_DATA_OVERWRITTEN;
}

/* For a step of that code; `address` is by what it is used, `found` what stood there. */
int rbl_refuse_step(struct rbl_record *record, u32 code, const struct rbl_step *step, unsigned long address,
		    const u8 *found)
{
	int shown = min_t(u32, step->size, RBL_WRITE_SIZE);

	if (code == RBL_KPROBE_INSIDE)
		return rbl_refuse_probe(record, step->name, address);
	rbl_fact(record, "function: %s\n", step->name);
	if (code == RBL_ENTRY_IN_USE) {
		rbl_secret(record, "address: 0x%lx\n", address);
		return rbl_refuse(record, code);
	}
	rbl_secret(record, "address: 0x%lx\n", (unsigned long)step->where);
	rbl_secret(record, "expected: %*phN\n", shown, step->before);
	rbl_secret(record, "found: %*phN\n", shown, found);
	return rbl_refuse(record, code);
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
