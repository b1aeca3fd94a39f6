// SPDX-License-Identifier: GPL-2.0-or-later
/* One try of a switch: what all CPUs do while everything is stopped. */
#define pr_fmt(fmt) "rebootless: " fmt

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

/* That every place holds what the switch is going to replace, and is used by nothing else. */
static u32 check_places(struct rbl_stop *stop)
{
	const struct rbl_step *step = stop->steps.rows, *end = step + stop->steps.count;

	for (; step < end; step++) {
		u32 code = rbl_check_step(step, stop->purpose == RBL_TO_REPLACEMENT, &stop->used);

		if (!code)
			continue;
		stop->offender = step;
		memcpy(stop->found, step->where, min_t(u32, step->size, sizeof(stop->found)));
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
		stop->hook_value = rbl_hooks(stop->record, stage, &stop->refusing);
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
		rbl_write_data(step, forward ? step->after : step->before);
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

static void call_hooks(struct rbl_stop *stop, bool leader, u32 *meetings)
{
	if (!stop->has_calls)
		return;
	if (leader)
		rbl_hooks(stop->record, stop->purpose == RBL_TO_OLD ? RBL_REVERSE : RBL_APPLY, NULL);
	meet(stop, meetings);
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
		if (!code)
			call_hooks(stop, leader, &meetings);
	}
	if (leader)
		stop->verdict = code;
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
		rbl_settle_branches(part);
		rbl_settle_prefixes(part);
	}
}

static void move(const struct rbl_record *record, bool to_stand_ins)
{
	const struct rbl_part *part;

	rbl_for_each_part(part, record)
		if (part->present)
			rbl_move_branches(part, to_stand_ins);
}

/*
 * Whether a kprobe lies in old code, where it would never be hit again.  Behind
 * the jump's bytes, too: a task that was preempted in the code which an optimised
 * one has it run has the way back in an instruction there, and not on its stack.
 */
static bool is_probed(struct rbl_stop *stop)
{
	const struct rbl_part *part;

	rbl_for_each_part(part, stop->record)
		if (part->present && !stop->probed)
			stop->probed = rbl_probed_function(part, &stop->used);
	return stop->probed;
}

static void stop_and_write(struct rbl_stop *stop)
{
	u64 start;
	int err;

	begin_slots(stop);
	rbl_stacks_check_offline(&stop->stacks);
	rbl_looks_refresh(&stop->looks, &stop->stacks);
	start = ktime_get_mono_fast_ns();
	err = rbl_kernel(stop_machine_cpuslocked)(stopped, stop, cpu_online_mask);
	if (err)	/* the verdict says that nothing was done, unless the leader has said otherwise */
		pr_err("%s: the kernel did not stop its processors (%d)\n", rbl_code_name(RBL_UNSUPPORTED_KERNEL), err);
	stop->stop_ns = ktime_get_mono_fast_ns() - start;
	rbl_arch_write_end();
	sum_up(stop);
}

void rbl_stop_all_cpus(struct rbl_stop *stop)
{
	rbl_looks_begin(&stop->looks, &stop->stacks, !stop->force);
	rbl_lock_text();
	settle(stop->record);
	if (stop->previous)
		settle(stop->previous);
	if (stop->purpose == RBL_TO_REPLACEMENT && is_probed(stop))
		stop->verdict = RBL_KPROBE_INSIDE;
	else
		stop_and_write(stop);
	if (!stop->verdict && stop->previous)
		move(stop->previous, false);
	if (!stop->verdict && stop->purpose != RBL_CHECK_ONLY)
		move(stop->record, stop->purpose == RBL_TO_REPLACEMENT);
	rbl_unlock_text();
	rbl_looks_end(&stop->looks);
}

/* ---- code that no task may be in ---- */

static u32 count_functions(const struct rbl_record *record)
{
	const struct rbl_part *part;
	u32 count = 0;

	rbl_for_each_part(part, record)
		count += part->present ? part->object->n_functions : 0;
	return count;
}

static u32 fill_module(const struct rbl_record *record, struct rbl_range *ranges)
{
	unsigned long size, text = rbl_module_text(record->module, &size);

	*ranges = (struct rbl_range){ text, text + size };
	return 1;
}

static u32 fill_functions(const struct rbl_record *record, struct rbl_range *ranges)
{
	const struct rbl_part *part;
	u32 i, n = 0;

	rbl_for_each_part(part, record)
		for (i = 0; part->present && i < part->object->n_functions; i++) {
			unsigned long old = part->sites[i].old;

			ranges[n++] = (struct rbl_range){ old, old + part->sites[i].function->size };
		}
	return n;
}

/*
 * Old code; and all of the module of an update that goes, since replacement
 * code may call new functions of its own.  A task that entered the old code
 * behind our jump's back is as little to be there when it is taken out.  By
 * force the old code comes back regardless: a task that stays in the
 * replacement code stands in none of the bytes that are written.
 */
static u32 fill_ranges(const struct rbl_stop *stop, struct rbl_range *ranges)
{
	u32 n = 0;

	if (stop->purpose != RBL_TO_REPLACEMENT)
		n += fill_module(stop->record, ranges + n);
	if (stop->purpose != RBL_CHECK_ONLY && !stop->force)
		n += fill_functions(stop->record, ranges + n);
	if (stop->previous) {
		n += fill_module(stop->previous, ranges + n);
		n += fill_functions(stop->previous, ranges + n);
	}
	return n;
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
	stop->slots = kvcalloc(nr_cpu_ids, sizeof(*stop->slots), GFP_KERNEL);
	stop->ranges = kvcalloc(ranges, sizeof(*stop->ranges), GFP_KERNEL);
	return stop->slots && stop->ranges;
}

int rbl_stop_new(struct rbl_record *record, const struct rbl_switch_options *how, struct rbl_stop **made)
{
	struct rbl_record *previous = how->previous;
	enum rbl_purpose purpose = how->purpose;
	struct rbl_stop *stop = kvzalloc(sizeof(*stop), GFP_KERNEL);
	u32 functions = count_functions(record) + (previous ? count_functions(previous) : 0);
	unsigned long offset;
	int err;

	*made = stop;
	if (!stop)
		return rbl_refuse(record, RBL_NO_MEMORY);
	stop->record = record;
	stop->previous = previous;
	stop->purpose = purpose;
	stop->force = how->force;
	err = allocate(stop, functions + 2) ? 0 : rbl_refuse(record, RBL_NO_MEMORY);
	if (!err)
		err = rbl_steps_make(record, previous, purpose, &stop->steps);
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
	stop->verdict = RBL_UNSUPPORTED_KERNEL;
	stop->code = RBL_OK;
	stop->offender = NULL;
	stop->probed = NULL;
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
