// SPDX-License-Identifier: GPL-2.0-or-later
/* One try of a switch: what all CPUs do while everything is stopped. */
#include <linux/cpu.h>
#include <linux/kprobes.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/sort.h>

#include "internal.h"
#include "stop.h"

/* ---- while all is stopped ---- */

/*
 * Hundreds of CPUs that count up one number would wait for each other's turn at
 * its cache line.  So each writes a line of its own, which the leader alone
 * reads, and all wait for one that the leader alone writes.
 */

/* On the leader: waits until all have come as far as `number`. */
static void wait_for_all(const struct rbl_stop *stop, size_t counter, u32 number)
{
	int cpu;

	for_each_online_cpu(cpu)
		while (smp_load_acquire((u32 *)((void *)(stop->slots + cpu) + counter)) < number)
			cpu_relax();
}

/* Waits until all CPUs have come here as often as this one. */
static void meet(struct rbl_stop *stop, u32 *meetings)
{
	struct rbl_slot *slot = stop->slots + smp_processor_id();
	u32 number = ++*meetings;

	/* What a CPU wrote before it came is seen by the leader, and so by all that leave. */
	smp_store_release(&slot->arrived, number);
	if (!slot->share) {
		wait_for_all(stop, offsetof(struct rbl_slot, arrived), number);
		smp_store_release(&stop->met, number);
	}
	while (smp_load_acquire(&stop->met) < number)
		cpu_relax();
}

/* That every place holds what the switch is going to replace, and is used by nothing else: a kprobe may have come since the match. */
static u32 check_places(struct rbl_stop *stop)
{
	const struct rbl_step *step = stop->steps.rows, *end = step + stop->steps.count;

	for (; step < end; step++) {
		u32 code = rbl_check_step(step, step->before, stop->purpose == RBL_TO_REPLACEMENT, &stop->offence);

		if (code)
			return code;
	}
	return RBL_OK;
}

/* What all CPUs find when all have checked their share; what no waiting can mend comes first. */
static u32 verdict(const struct rbl_stop *stop)
{
	if (stop->code || stop->force)
		return stop->code;
	if (stop->stacks.busy)
		return RBL_BUSY_FUNCTION;
	return stop->stacks.unreliable ? RBL_UNRELIABLE_STACK : RBL_OK;
}

/*
 * The update's own code has the last word before anything is written.  Its
 * answer has a place of its own: a CPU that is slow to leave the meeting before
 * this one may still be about to read what was found until then, and must find
 * what all others did, or it would not come here, and they would wait for ever.
 */
static u32 ask_hooks(struct rbl_stop *stop, bool leader, u32 *meetings)
{
	u32 stage = stop->purpose == RBL_TO_OLD ? RBL_CHECK_REVERSE : RBL_CHECK_APPLY;

	if (!stop->has_checks)
		return RBL_OK;
	if (leader) {
		stop->hook_value = rbl_hooks(stop->record, stop->party, stage, &stop->refusing);
		stop->hook_code = stop->hook_value ? RBL_HOOK_REFUSED : RBL_OK;
	}
	meet(stop, meetings);
	return stop->hook_code;
}

static bool reads_back(const struct rbl_stop *stop, bool forward)
{
	const struct rbl_step *step = stop->steps.rows, *end = step + stop->steps.count;

	for (; step < end; step++)
		if (memcmp(step->where, forward ? step->after : step->before, step->size))
			return false;
	return true;
}

static void write_data(const struct rbl_stop *stop, bool forward)
{
	const struct rbl_step *step = stop->steps.rows + stop->steps.n_jumps, *end = stop->steps.rows + stop->steps.count;

	for (; step < end; step++)
		rbl_write_constant(step->alias, forward ? step->after : step->before, step->size);
}

/*
 * One phase of the writing, on all CPUs.  Each acknowledges it after it was
 * written, so that none is left in an NMI that began before: such a CPU may
 * still run the old bytes, or have trapped on a breakpoint of the phase before.
 */
static void write_phase(struct rbl_stop *stop, bool leader, bool forward, int phase, u32 number)
{
	if (leader) {
		rbl_arch_write_step(stop->steps.rows, stop->steps.n_jumps, forward, phase);
		smp_store_release(&stop->phases, number);
	}
	while (smp_load_acquire(&stop->phases) < number)
		cpu_relax();
	rbl_arch_sync();
	smp_store_release(&stop->slots[smp_processor_id()].acknowledged, number);
	if (leader)
		wait_for_all(stop, offsetof(struct rbl_slot, acknowledged), number);
}

/*
 * Writes all steps, or what was there before; on all CPUs, of which the leader
 * writes.  Returns, on all, whether everything reads back as written.
 */
static bool write_all(struct rbl_stop *stop, bool leader, bool forward, u32 *phases, u32 *meetings)
{
	int phase;

	if (leader)
		write_data(stop, forward);
	for (phase = 0; phase < RBL_WRITE_PHASES; phase++)
		write_phase(stop, leader, forward, phase, ++*phases);
	if (leader)
		stop->written = reads_back(stop, forward);
	meet(stop, meetings);
	return stop->written;
}

static void move(const struct rbl_record *record, bool to_stand_ins)
{
	const struct rbl_part *part;

	rbl_for_each_part(part, record)
		if (part->present)
			rbl_move_branches(part, to_stand_ins);
}

/*
 * What follows from the switch, before any task runs again: one that hangs in
 * what was replaced may be the very one that did the switch, and its deadline
 * has to find everything in its place.
 */
static void become(struct rbl_stop *stop)
{
	struct rbl_record *record = stop->record, *previous = stop->previous;
	bool forward = stop->purpose == RBL_TO_REPLACEMENT;

	if (previous) {
		move(previous, false);
		rbl_set_written(previous, false);
		WRITE_ONCE(previous->deadline_set, false);
		WRITE_ONCE(previous->state, RBL_REPLACED);
	}
	move(record, forward);
	rbl_set_written(record, forward);
	if (forward)
		record->ran = true;
	else
		WRITE_ONCE(record->deadline_set, false);
	if (!forward && stop->force)
		WRITE_ONCE(record->returning, true);
	WRITE_ONCE(record->state, forward ? RBL_APPLIED : RBL_REVERSED);
}

static void call_hooks(struct rbl_stop *stop, bool leader, u32 *meetings)
{
	if (!stop->has_calls)
		return;
	if (leader)
		rbl_hooks(stop->record, stop->party, stop->purpose == RBL_TO_OLD ? RBL_REVERSE : RBL_APPLY, NULL);
	meet(stop, meetings);
}

/* A way back takes no notice of tasks; which of them are left in the code is asked for afterwards. */
static bool looks_at_tasks(const struct rbl_stop *stop)
{
	return !stop->force || stop->purpose == RBL_CHECK_ONLY;
}

/*
 * What each CPU does, with interrupts off, while no task runs anywhere.  The
 * CPUs meet as seldom as they can: a virtual one may have to wait for its turn.
 */
static int stopped(void *data)
{
	struct rbl_stop *stop = data;
	struct rbl_slot *slot = stop->slots + smp_processor_id();
	u32 meetings = 0, phases = 0, code;
	bool leader = !slot->share;

	slot->begin = ktime_get_mono_fast_ns();
	if (leader)
		stop->code = check_places(stop);
	if (looks_at_tasks(stop))
		slot->looked_at = rbl_looks_check(&stop->looks, &stop->stacks, slot->share, stop->cpus);
	meet(stop, &meetings);
	code = verdict(stop);
	if (!code && stop->purpose != RBL_CHECK_ONLY)
		code = ask_hooks(stop, leader, &meetings);

	if (!code && stop->purpose != RBL_CHECK_ONLY) {
		/*
		 * The point of no return.  Up to here nothing has been written,
		 * and every reason to refuse has been looked for.  From here on
		 * nothing can fail but the memory itself: all CPUs are here, no
		 * task is in code that changes, every place holds what it should.
		 */
		if (!write_all(stop, leader, true, &phases, &meetings)) {
			code = RBL_TEXT_WRITE_FAILED;
			write_all(stop, leader, false, &phases, &meetings);
		}
		if (!code && leader)
			become(stop);
		if (!code)
			call_hooks(stop, leader, &meetings);
	}
	if (leader) {
		stop->verdict = code;
		rbl_arch_write_end();
		rbl_end_writing();
	}
	slot->end = ktime_get_mono_fast_ns();
	return 0;
}

static void begin_slots(struct rbl_stop *stop)
{
	int cpu;

	stop->cpus = 0;
	for_each_online_cpu(cpu)
		stop->slots[cpu] = (struct rbl_slot){ .share = stop->cpus++ };
}

/* From when the first CPU had stopped to when the last one was about to leave. */
static void sum_up(struct rbl_stop *stop)
{
	u64 begin = U64_MAX, end = 0;
	int cpu;

	stop->looked_at = 0;
	for_each_online_cpu(cpu) {
		begin = min(begin, stop->slots[cpu].begin);
		end = max(end, stop->slots[cpu].end);
		stop->looked_at += stop->slots[cpu].looked_at;
	}
	stop->pause_ns = end - begin;
}

static void settle(struct rbl_record *record)
{
	struct rbl_part *part;

	rbl_for_each_part(part, record) {
		if (!part->present)
			continue;
		rbl_settle(part, true);
	}
}

/* One stop at a time, from the first look at tasks to the end of the notes; it is not held for a deadline without a stop. */
static DEFINE_MUTEX(one_stop);

/* Whether the switch is still what is wanted: a deadline needs no rbl_lock to come. */
static u32 check_wanted(const struct rbl_stop *stop)
{
	const struct rbl_record *record = stop->record;

	if (stop->previous && !rbl_is_live(stop->previous))
		return RBL_HELPER_BUSY;
	if (stop->purpose == RBL_TO_OLD && !rbl_is_live(record))
		return RBL_BAD_STATE;
	if (stop->at_deadline && (record->state != RBL_APPLIED || !record->deadline_set || rbl_deadline_left(record) > 0))
		return RBL_BAD_STATE;
	return RBL_OK;
}

static u32 be_absent(struct rbl_stop *stop, int cpu)
{
	stop->absent = cpu;
	if (cpu < nr_cpu_ids)
		rbl_task_on(cpu, &stop->occupant);
	return RBL_CPU_STUCK;
}

/* With everything locked that has to stand still: the stop itself. */
static u32 stop_now(struct rbl_stop *stop)
{
	u64 start;
	int absent;
	u32 code;

	begin_slots(stop);
	rbl_stacks_check_offline(&stop->stacks);
	rbl_looks_refresh(&stop->looks, &stop->stacks);
	rbl_begin_writing();
	code = check_wanted(stop);
	if (code) {
		rbl_end_writing();
		return code;
	}
	start = ktime_get_mono_fast_ns();
	absent = rbl_gather(stopped, stop);
	stop->stop_ns = ktime_get_mono_fast_ns() - start;
	if (absent < 0) {
		sum_up(stop);
		return stop->verdict;
	}
	rbl_end_writing();
	return be_absent(stop, absent);
}

/* With text locked, so that none can come before the jumps are there. */
static u32 find_probe(struct rbl_stop *stop)
{
	const struct rbl_part *part;
	u32 code = RBL_OK;

	rbl_for_each_part(part, stop->record)
		if (!code && part->present)
			code = rbl_find_probe(part, &stop->offence);
	return code;
}

static u32 stop_locked(struct rbl_stop *stop)
{
	u32 code = RBL_OK;

	if (stop->purpose == RBL_CHECK_ONLY) {
		if (!cpus_read_trylock())
			return RBL_TEXT_LOCKED;
		code = stop_now(stop);
		cpus_read_unlock();
		return code;
	}
	if (!rbl_lock_text_within(stop->stacks.last_try ? RBL_PATIENCE_MS : RBL_BRIEFLY_MS))
		return RBL_TEXT_LOCKED;
	settle(stop->record);
	if (stop->previous)
		settle(stop->previous);
	if (stop->purpose == RBL_TO_REPLACEMENT)
		code = find_probe(stop);
	if (!code)
		code = stop_now(stop);
	rbl_unlock_text();
	return code;
}

/*
 * One try.  rbl_lock is given back before anything is called that may be what
 * was replaced and hangs: references, memory, the log.
 */
void rbl_stop_all_cpus(struct rbl_stop *stop)
{
	int absent;

	lockdep_assert_held(&rbl_lock);
	if (!mutex_trylock(&one_stop)) {
		stop->verdict = RBL_TEXT_LOCKED;
		return;
	}
	absent = rbl_ask_cpus();
	if (absent >= 0) {
		stop->verdict = be_absent(stop, absent);
	} else {
		if (looks_at_tasks(stop))
			rbl_looks_begin(&stop->looks, &stop->stacks, !stop->force);
		stop->verdict = stop_locked(stop);
	}
	mutex_unlock(&rbl_lock);
	rbl_looks_end(&stop->looks);
	mutex_unlock(&one_stop);
	mutex_lock(&rbl_lock);
}

/* ---- code that no task may be in ---- */

/* Ranges that are counted, and written if there is room for them. */
struct filling {
	struct rbl_range *ranges;	/* NULL: they are only counted */
	u32 count;
};

static void fill(struct filling *filling, unsigned long start, unsigned long size)
{
	if (filling->ranges)
		filling->ranges[filling->count] = (struct rbl_range){ start, start + size };
	filling->count++;
}

static void fill_module(struct filling *filling, const struct rbl_record *record)
{
	unsigned long size, text = rbl_module_text(record->module, &size);

	fill(filling, text, size);
}

static void fill_functions(struct filling *filling, const struct rbl_record *record)
{
	const struct rbl_part *part;
	u32 i;

	rbl_for_each_part(part, record)
		for (i = 0; part->present && i < part->object->n_functions; i++)
			fill(filling, part->sites[i].old, part->sites[i].function->size);
}

/*
 * A task in there may have asked before the bars came (barred.c) whether its
 * kprobe may lie on a jump, and waits for kprobe_mutex, which we hold: it would
 * go on as soon as the jump is written.
 */
static void fill_registration(struct filling *filling)
{
	unsigned long size, offset;

	if (rbl_kernel(kallsyms_lookup_size_offset)((unsigned long)register_kprobe, &size, &offset))
		fill(filling, (unsigned long)register_kprobe - offset, size);
}

/*
 * Old code, and that by which kprobes come; and all of the module of an update
 * that goes, since replacement code may call new functions of its own.  A task
 * that entered the old code behind our jump's back is as little to be there when
 * it is taken out.  By force the old code comes back regardless: a task that
 * stays in the replacement code stands in none of the bytes that are written.
 */
static u32 fill_ranges(const struct rbl_stop *stop, struct rbl_range *ranges)
{
	struct filling filling = { .ranges = ranges };

	if (stop->purpose == RBL_TO_REPLACEMENT)
		fill_registration(&filling);
	else
		fill_module(&filling, stop->record);
	if (stop->purpose != RBL_CHECK_ONLY && !stop->force)
		fill_functions(&filling, stop->record);
	if (stop->previous) {
		fill_module(&filling, stop->previous);
		fill_functions(&filling, stop->previous);
	}
	return filling.count;
}

static int compare_ranges(const void *one, const void *other)
{
	const struct rbl_range *a = one, *b = other;

	return a->start < b->start ? -1 : a->start > b->start;
}

/* Sorts the ranges, and makes one of those that overlap. */
static void sort_ranges(struct rbl_stop *stop, u32 count)
{
	struct rbl_stacks *stacks = &stop->stacks;
	struct rbl_range *ranges = stop->ranges;
	u32 i, n = 0;

	sort(ranges, count, sizeof(*ranges), compare_ranges, NULL);
	for (i = 0; i < count; i++) {
		if (n && ranges[i].start < ranges[n - 1].end)
			ranges[n - 1].end = max(ranges[n - 1].end, ranges[i].end);
		else
			ranges[n++] = ranges[i];
	}
	stacks->ranges = ranges;
	stacks->n_ranges = n;
	stacks->low = n ? ranges[0].start : ULONG_MAX;
	stacks->high = n ? ranges[n - 1].end : 0;
}

void rbl_stop_free(struct rbl_stop *stop)
{
	rbl_steps_free(&stop->steps);
	kvfree(stop->ranges);
	kvfree(stop->slots);
	kvfree(stop);
}

static bool allocate(struct rbl_stop *stop, u32 ranges)
{
	stop->slots = rbl_allocate(nr_cpu_ids, sizeof(*stop->slots), stop->force);
	stop->ranges = rbl_allocate(ranges, sizeof(*stop->ranges), stop->force);
	return stop->slots && stop->ranges;
}

int rbl_stop_new(struct rbl_record *record, const struct rbl_switch_options *how, struct rbl_stop **made)
{
	enum rbl_purpose purpose = how->purpose;
	struct rbl_stop *stop = rbl_allocate(1, sizeof(*stop), how->force);
	unsigned long offset;
	int err;

	*made = stop;
	if (!stop)
		return rbl_refuse(record, RBL_NO_MEMORY);
	stop->record = record;
	stop->previous = how->previous;
	stop->purpose = purpose;
	stop->force = how->force;
	stop->at_deadline = how->at_deadline;
	stop->party = how->force ? RBL_WAY_BACK : RBL_OPERATION;
	err = allocate(stop, fill_ranges(stop, NULL)) ? 0 : rbl_refuse(record, RBL_NO_MEMORY);
	if (!err)
		err = rbl_steps_make(record, how, &stop->steps);
	if (err) {
		rbl_stop_free(stop);
		return err;
	}
	stop->has_checks = rbl_has_hooks(record, purpose == RBL_TO_OLD ? RBL_CHECK_REVERSE : RBL_CHECK_APPLY);
	stop->has_calls = rbl_has_hooks(record, purpose == RBL_TO_OLD ? RBL_REVERSE : RBL_APPLY);
	sort_ranges(stop, fill_ranges(stop, stop->ranges));
	stop->stacks.requester = current;
	rbl_kernel(kallsyms_lookup_size_offset)((unsigned long)handle_mm_fault, &stop->stacks.fault_size, &offset);
	stop->stacks.writer = READ_ONCE(record->operation.writer);
	raw_spin_lock_init(&stop->stacks.lock);
	return 0;
}

void rbl_stop_begin(struct rbl_stop *stop, bool last)
{
	stop->code = RBL_OK;
	stop->offence.name = NULL;
	stop->refusing = NULL;
	stop->met = 0;
	stop->phases = 0;
	stop->stacks.busy = false;
	stop->stacks.unreliable = false;
	stop->stacks.writer_is_busy = false;
	stop->stacks.n_conflicts = 0;
	stop->stacks.conflicts.count = 0;
	stop->stacks.leftovers.count = 0;
	stop->stacks.last_try = last;
}
