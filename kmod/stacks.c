// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The stack check: whether any task is inside code that is about to change.
 * It runs while all CPUs are stopped, on all of them at once, each with its
 * share of the tasks.
 */
#include <linux/kallsyms.h>
#include <linux/moduleparam.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>

#include "internal.h"

static bool scan = true;
module_param(scan, bool, 0644);
MODULE_PARM_DESC(scan, "besides walking each stack, wait as long as any word on it points into code about to change (default: on)");

/* One task's stack, while it is walked. */
struct walk {
	struct rbl_stacks *stacks;
	unsigned long hit;	/* the first address in a range; 0: none */
};

static bool in_ranges(const struct rbl_stacks *stacks, unsigned long address)
{
	u32 i;

	if (address < stacks->low || address >= stacks->high)
		return false;
	for (i = 0; i < stacks->n_ranges; i++)
		if (address >= stacks->ranges[i].start && address < stacks->ranges[i].end)
			return true;
	return false;
}

static bool is_range_start(const struct rbl_stacks *stacks, unsigned long address)
{
	u32 i;

	for (i = 0; i < stacks->n_ranges; i++)
		if (address == stacks->ranges[i].start)
			return true;
	return false;
}

static bool see_frame(void *cookie, unsigned long address)
{
	struct walk *walk = cookie;

	if (!walk->hit && in_ranges(walk->stacks, address))
		walk->hit = address;
	return true;
}

/*
 * Every word that the kernel has on the stack, return address or not: this needs
 * no unwind tables, so it does not depend on their being right.  It may see
 * an address that a call long over has left behind.
 * A pointer to a function is none to its inside, and does not count.
 */
static void scan_stack(struct walk *walk, struct task_struct *task)
{
	unsigned long at = rbl_arch_stack_pointer(task), end = rbl_arch_stack_end(task);

	for (; at < end && !walk->hit; at += sizeof(long)) {
		unsigned long word = READ_ONCE_NOCHECK(*(unsigned long *)at);

		if (in_ranges(walk->stacks, word) && !is_range_start(walk->stacks, word))
			walk->hit = word;
	}
}

static bool stack_pointer_is_sane(struct task_struct *task)
{
	unsigned long stack = (unsigned long)task_stack_page(task), at = rbl_arch_stack_pointer(task);

	return at >= stack && at < stack + THREAD_SIZE && IS_ALIGNED(at, sizeof(long));
}

static bool see_return_address(void *unused, unsigned long address)
{
	return rbl_arch_follows_call(address);
}

/*
 * Whether the walk is proven without unwind tables: it comes to the stack's
 * very end over addresses each of which a call has left, so no frame is missed.
 */
static bool only_returns(struct task_struct *task)
{
	return !rbl_kernel(arch_stack_walk_reliable)(see_return_address, NULL, task);
}

static void note_task(struct rbl_conflicts *conflicts, const struct task_struct *task, unsigned long address)
{
	struct rbl_conflict *row;

	if (conflicts->count == RBL_MAX_CONFLICTS)
		return;
	row = conflicts->rows + conflicts->count++;
	row->pid = task->pid;
	row->address = address;
	memcpy(row->comm, task->comm, sizeof(row->comm));
}

static void note_leftover(struct rbl_stacks *stacks, const struct task_struct *task, unsigned long address)
{
	raw_spin_lock(&stacks->lock);
	note_task(&stacks->leftovers, task, address);
	raw_spin_unlock(&stacks->lock);
}

static void note_conflict(struct rbl_stacks *stacks, const struct task_struct *task, unsigned long address)
{
	raw_spin_lock(&stacks->lock);
	if (task == stacks->writer)
		stacks->writer_is_busy = true;
	if (address)
		stacks->busy = true;
	else
		stacks->unreliable = true;
	stacks->n_conflicts++;
	note_task(&stacks->conflicts, task, address);
	raw_spin_unlock(&stacks->lock);
}

/*
 * The walk finds what a scan cannot see: return addresses that function-graph
 * tracing and kretprobes keep elsewhere.  The scan is left out for the task
 * that asked for the operation, and for the stopper threads: their stacks
 * hold the very addresses that this code works with, and how they got where
 * they are is known.
 *
 * A word that only the scan finds is waited for.  A task that sleeps for ever
 * may keep it for ever, as a daemon does that wrote something and now polls:
 * so in the last try it counts only if the walk is not proven as well.
 */
static void check_task(struct rbl_stacks *stacks, struct task_struct *task)
{
	struct walk walk = { .stacks = stacks };
	bool running = task == current;

	if (!task_stack_page(task) || !refcount_read(&task->stack_refcount))
		return;		/* it has exited, and its stack is gone */
	if (!running && !stack_pointer_is_sane(task)) {
		note_conflict(stacks, task, 0);
		return;
	}
	if (rbl_kernel(arch_stack_walk_reliable)(see_frame, &walk, task) && !walk.hit) {
		note_conflict(stacks, task, 0);
		return;
	}
	if (!walk.hit && scan && !running && task != stacks->requester) {
		scan_stack(&walk, task);
		if (walk.hit && stacks->last_try && only_returns(task)) {
			note_leftover(stacks, task, walk.hit);
			return;
		}
	}
	if (walk.hit)
		note_conflict(stacks, task, walk.hit);
}

/*
 * Checks every `shares`th task, beginning with task `share`, and the two that
 * belong to this CPU: its stopper thread, which runs, and its idle task, which
 * is in no list.  Interrupts are off on all CPUs, so no list can change.
 *
 * A task that reaps itself in exit_notify() leaves the list before its last
 * schedule(); what it runs until then is not seen, here as in the kernel's own
 * live patching.
 */
void rbl_stacks_check(struct rbl_stacks *stacks, u32 share, u32 shares)
{
	struct task_struct *process, *task;
	u32 i = 0;

	check_task(stacks, current);
	check_task(stacks, rbl_kernel(idle_task)(smp_processor_id()));
	for_each_process_thread(process, task) {
		if (i++ % shares != share)
			continue;
		if (!task->on_cpu)	/* else another CPU's stopper thread: it checks itself */
			check_task(stacks, task);
	}
}
