// SPDX-License-Identifier: GPL-2.0-or-later
/* The switch between old and replacement code, with everything stopped. */
#include <linux/cpu.h>
#include <linux/kallsyms.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/sched/signal.h>

#include "internal.h"

static unsigned int tries = 11;
module_param(tries, uint, 0644);
MODULE_PARM_DESC(tries, "times to try before a busy function refuses an operation (default: 11)");

static unsigned int first_pause_ms = 10;
module_param(first_pause_ms, uint, 0644);
MODULE_PARM_DESC(first_pause_ms, "wait after the first try, twice as long after each other one (default: 10, so 10 s in all)");

/* ---- the stop ---- */

/* One try: what all CPUs see while they are stopped. */
struct stop {
	struct rbl_record *record;
	enum rbl_purpose purpose;
	u32 cpus;
	atomic_t next_share, arrived;
	u32 code;			/* of the sites' content */
	const struct rbl_write *offender;	/* the site that does not hold what it should */
	u8 found[RBL_JUMP_SIZE];	/* there */
	bool written;			/* everything reads back as written */
	u32 verdict;			/* of the whole: a code */
	u64 pause_ns;
	struct rbl_stacks stacks;
};

/* Waits until all CPUs have come here as often as this one. */
static void meet(struct stop *stop, u32 *meetings)
{
	u32 all = ++*meetings * stop->cpus;

	/* Both order memory: what a CPU wrote before it came is seen by all that leave. */
	atomic_inc_return(&stop->arrived);
	while (atomic_read_acquire(&stop->arrived) < all)
		cpu_relax();
}

static const u8 *code_before(const struct stop *stop, const struct rbl_write *write)
{
	return stop->purpose == RBL_TO_OLD ? write->jump : write->saved;
}

/* That every site holds what the switch is going to replace: someone may have come since the match. */
static u32 check_code(struct stop *stop)
{
	const struct rbl_record *record = stop->record;
	u32 i;

	for (i = 0; i < record->n_writes; i++) {
		const struct rbl_write *write = record->writes + i;

		if (!memcmp(write->where, code_before(stop, write), RBL_JUMP_SIZE))
			continue;
		stop->offender = write;
		memcpy(stop->found, write->where, RBL_JUMP_SIZE);
		return stop->purpose == RBL_TO_OLD ? RBL_JUMP_OVERWRITTEN : RBL_NO_MATCH;
	}
	return RBL_OK;
}

/* What all CPUs find when all have checked their share; what no waiting can mend comes first. */
static u32 verdict(const struct stop *stop)
{
	if (stop->code)
		return stop->code;
	if (stop->stacks.busy)
		return RBL_BUSY_FUNCTION;
	return stop->stacks.unreliable ? RBL_UNRELIABLE_STACK : RBL_OK;
}

static bool reads_back(const struct rbl_record *record, bool jump)
{
	u32 i;

	for (i = 0; i < record->n_writes; i++) {
		const struct rbl_write *write = record->writes + i;

		if (memcmp(write->where, jump ? write->jump : write->saved, RBL_JUMP_SIZE))
			return false;
	}
	return true;
}

/*
 * Writes all jumps, or what they stand over; on all CPUs, of which the leader
 * writes.  Returns, on all, whether everything reads back as written.
 */
static bool write_all(struct stop *stop, bool leader, bool jump, u32 *meetings)
{
	const struct rbl_record *record = stop->record;
	int step;

	for (step = 0; step < RBL_WRITE_STEPS; step++) {
		if (leader)
			rbl_arch_write_step(record->writes, record->n_writes, jump, step);
		if (leader && step == RBL_WRITE_STEPS - 1)
			stop->written = reads_back(record, jump);
		meet(stop, meetings);
		rbl_arch_sync();
	}
	return stop->written;
}

/*
 * What each CPU does, with interrupts off, while no task runs anywhere.  The
 * CPUs meet as seldom as they can: a virtual one may have to wait for its turn.
 */
static int stopped(void *data)
{
	struct stop *stop = data;
	u32 share = atomic_inc_return(&stop->next_share) - 1, meetings = 0, code;
	bool leader = share == 0, jump = stop->purpose == RBL_TO_REPLACEMENT;
	u64 start = ktime_get_mono_fast_ns();

	if (leader && stop->purpose != RBL_CHECK_ONLY)
		stop->code = check_code(stop);
	rbl_stacks_check(&stop->stacks, share, stop->cpus);
	meet(stop, &meetings);
	code = verdict(stop);

	if (!code && stop->purpose != RBL_CHECK_ONLY) {
		/*
		 * The point of no return.  Up to here nothing has been written,
		 * and every reason to refuse has been looked for.  From here on
		 * nothing can fail but the memory itself: all CPUs are here, no
		 * task is in code that changes, every site holds what it should.
		 */
		if (!write_all(stop, leader, jump, &meetings)) {
			code = RBL_TEXT_WRITE_FAILED;
			write_all(stop, leader, !jump, &meetings);
		}
		if (leader)
			rbl_arch_write_end();
	}
	if (leader) {
		stop->verdict = code;
		stop->pause_ns = ktime_get_mono_fast_ns() - start;
	}
	return 0;
}

static void stop_all_cpus(struct stop *stop)
{
	/* In the kernel's own order, which jump labels and kprobes take them in. */
	cpus_read_lock();
	mutex_lock(rbl_kernel_data.text_mutex);
	stop->cpus = num_online_cpus();
	rbl_kernel(stop_machine_cpuslocked)(stopped, stop, cpu_online_mask);
	mutex_unlock(rbl_kernel_data.text_mutex);
	cpus_read_unlock();
}

/* ---- what nobody may be in ---- */

/* Old code; or all of the update's module, since replacement code may call new functions of its own. */
static u32 fill_ranges(const struct stop *stop, struct rbl_range *ranges)
{
	const struct rbl_record *record = stop->record;
	u32 i, n = 0;

	if (stop->purpose != RBL_TO_REPLACEMENT) {
		unsigned long size, text = rbl_module_text(record->module, &size);

		ranges[n++] = (struct rbl_range){ text, text + size };
	}
	/* A task that entered the old code behind our jump's back is as little to be there when it is taken out. */
	for (i = 0; i < record->update->n_functions && stop->purpose != RBL_CHECK_ONLY; i++) {
		unsigned long old = record->sites[i].old;

		ranges[n++] = (struct rbl_range){ old, old + record->sites[i].function->size };
	}
	return n;
}

static void bound_ranges(struct rbl_stacks *stacks)
{
	u32 i;

	stacks->low = ULONG_MAX;
	for (i = 0; i < stacks->n_ranges; i++) {
		stacks->low = min(stacks->low, stacks->ranges[i].start);
		stacks->high = max(stacks->high, stacks->ranges[i].end);
	}
}

static struct stop *new_stop(struct rbl_record *record, enum rbl_purpose purpose)
{
	struct stop *stop = kvzalloc(sizeof(*stop), GFP_KERNEL);
	struct rbl_range *ranges = kvcalloc(record->update->n_functions + 1, sizeof(*ranges), GFP_KERNEL);

	if (!stop || !ranges) {
		kvfree(stop);
		kvfree(ranges);
		return NULL;
	}
	stop->record = record;
	stop->purpose = purpose;
	stop->stacks.ranges = ranges;
	stop->stacks.n_ranges = fill_ranges(stop, ranges);
	stop->stacks.requester = current;
	raw_spin_lock_init(&stop->stacks.lock);
	bound_ranges(&stop->stacks);
	return stop;
}

static void forget_try(struct stop *stop)
{
	stop->code = RBL_OK;
	stop->offender = NULL;
	atomic_set(&stop->next_share, 0);
	atomic_set(&stop->arrived, 0);
	stop->stacks.busy = false;
	stop->stacks.unreliable = false;
	stop->stacks.conflicts.count = 0;
}

static void free_stop(struct stop *stop)
{
	kvfree(stop->stacks.ranges);
	kvfree(stop);
}

/* ---- telling who was in the way ---- */

static void name_function(const struct rbl_record *record, struct rbl_conflict *row)
{
	char symbol[KSYM_SYMBOL_LEN];
	u32 i;

	for (i = 0; i < record->update->n_functions; i++) {
		const struct rbl_site *site = record->sites + i;
		unsigned long new = (unsigned long)site->function->replacement;

		if ((row->address >= site->old && row->address < site->old + site->function->size) ||
		    (row->address >= new && row->address < new + site->function->replacement_size)) {
			strscpy(row->function, site->function->name, sizeof(row->function));
			return;
		}
	}
	if (!row->address)
		strscpy(symbol, "-", sizeof(symbol));
	else
		snprintf(symbol, sizeof(symbol), "%ps", (void *)row->address);
	symbol[strcspn(symbol, " ")] = '\0';	/* "function [module]" */
	strscpy(row->function, symbol, sizeof(row->function));
}

static void show_conflicts(struct rbl_record *record, struct stop *stop)
{
	struct rbl_conflicts *conflicts = &stop->stacks.conflicts;
	const struct rbl_conflict *first = conflicts->rows;
	u32 i;

	for (i = 0; i < conflicts->count; i++)
		name_function(record, conflicts->rows + i);
	record->draft.conflicts = *conflicts;
	/* The first with an address, if there is one: those whose stacks could not be walked have none. */
	for (i = 0; i < conflicts->count && !first->address; i++)
		if (conflicts->rows[i].address)
			first = conflicts->rows + i;
	if (!conflicts->count)
		return;
	rbl_fact(record, "task: %d %s\n", first->pid, first->comm);
	if (first->address)
		rbl_fact(record, "function: %s\naddress: 0x%lx\n", first->function, first->address);
}

static void show_offender(struct rbl_record *record, const struct stop *stop)
{
	const struct rbl_write *write = stop->offender;
	u32 i;

	for (i = 0; i < record->update->n_functions; i++)
		if (record->sites[i].write == write)
			rbl_fact(record, "function: %s\n", record->sites[i].function->name);
	rbl_fact(record, "address: 0x%lx\n", (unsigned long)write->where);
	rbl_fact(record, "expected: %*phN\n", RBL_JUMP_SIZE, code_before(stop, write));
	rbl_fact(record, "found: %*phN\n", RBL_JUMP_SIZE, stop->found);
}

/* ---- tries ---- */

static bool is_worth_waiting(u32 code)
{
	return code == RBL_BUSY_FUNCTION || code == RBL_UNRELIABLE_STACK;
}

/*
 * Switches between old and replacement code, or only checks that nobody is in
 * it; waits and tries again while somebody is.  0, or the refusal's errno.
 */
int rbl_switch(struct rbl_record *record, enum rbl_purpose purpose)
{
	struct stop *stop = new_stop(record, purpose);
	unsigned int pause = max(first_pause_ms, 1u);
	u32 most = purpose == RBL_CHECK_ONLY ? 1 : tries;
	int err = 0;

	if (!stop)
		return rbl_refuse(record, RBL_NO_MEMORY);
	for (record->tries = 1;; record->tries++) {
		forget_try(stop);
		stop_all_cpus(stop);
		if (!is_worth_waiting(stop->verdict) || record->tries >= most)
			break;
		schedule_timeout_killable(msecs_to_jiffies(pause));
		if (fatal_signal_pending(current))
			break;
		pause = rbl_longer(pause);
	}
	record->pause_ns = stop->pause_ns;
	if (is_worth_waiting(stop->verdict))
		show_conflicts(record, stop);
	else if (stop->offender)
		show_offender(record, stop);
	if (stop->verdict)
		err = rbl_refuse(record, stop->verdict);
	free_stop(stop);
	return err;
}
