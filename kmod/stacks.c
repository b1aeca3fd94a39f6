// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The stack check: whether a task is inside code that is about to change.
 * looks.c says which tasks are checked when.
 */
#include <linux/cpumask.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>

#include "internal.h"

/* One task's stack, while it is looked at. */
struct walk {
	const struct rbl_stacks *stacks;
	unsigned long hit;	/* the first address in a range; 0: none */
	bool is_frame;		/* the walk has found it */
	unsigned long last;	/* that the walk has come to */
	bool proven;		/* the walk has come to the stack's end, over frames that the unwinder is sure of */
	bool faults;		/* before the hit, the task waits for a page */
	bool starts_count;	/* a word that is a function's start may be where the task goes on */
	bool offline;		/* it is the idle task of a CPU that is offline */
};

/* The last range that begins at an address or before it; NULL if there is none.  They are sorted, and none overlap. */
static const struct rbl_range *range_before(const struct rbl_stacks *stacks, unsigned long address)
{
	u32 low = 0, high = stacks->n_ranges;

	while (low < high) {
		u32 middle = low + (high - low) / 2;

		if (stacks->ranges[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? stacks->ranges + low - 1 : NULL;
}

static bool in_ranges(const struct rbl_stacks *stacks, unsigned long address)
{
	const struct rbl_range *range;

	if (address < stacks->low || address >= stacks->high)
		return false;
	range = range_before(stacks, address);
	return range && address < range->end;
}

static bool is_range_start(const struct rbl_stacks *stacks, unsigned long address)
{
	const struct rbl_range *range = range_before(stacks, address);

	return range && address == range->start;
}

/* Whether the address lies in handle_mm_fault(), where a task waits for a page of its own memory. */
static bool is_page_fault(const struct rbl_stacks *stacks, unsigned long address)
{
	return address - (unsigned long)handle_mm_fault < stacks->fault_size;
}

static bool see_frame(void *cookie, unsigned long address)
{
	struct walk *walk = cookie;

	walk->last = address;
	if (walk->hit)
		return true;
	if (in_ranges(walk->stacks, address)) {
		walk->hit = address;
		walk->is_frame = true;
	} else if (is_page_fault(walk->stacks, address)) {
		walk->faults = true;
	}
	return true;
}

static void see_word(void *cookie, unsigned long word)
{
	struct walk *walk = cookie;

	if (!walk->hit && in_ranges(walk->stacks, word) &&
	    (walk->starts_count || !is_range_start(walk->stacks, word)))
		walk->hit = word;
}

/*
 * Every word that the kernel has on the stack, return address or not: this needs
 * no unwind tables, so it does not depend on their being right.  It may see
 * an address that a call long over has left behind.
 * A pointer to a function is none to its inside, and does not count.
 */
static void scan_words(struct walk *walk, unsigned long at, unsigned long end)
{
	for (; at < end && !walk->hit; at += sizeof(long))
		see_word(walk, READ_ONCE_NOCHECK(*(unsigned long *)at));
}

static void scan_stack(struct walk *walk, struct task_struct *task)
{
	scan_words(walk, rbl_arch_stack_pointer(task), rbl_arch_stack_end(task));
}

/*
 * What takes the place of a walk that is not reliable, as that of any task which
 * sleeps below a BPF trampoline is: the whole stack, and the return addresses
 * that are kept elsewhere.  If none of them leads into a range, the task is in
 * none.  A task that was preempted may be about to run a function's very first
 * instruction, also while it prepares to sleep; then it is still on a run queue.
 * Of one that sleeps, no frame is there.
 */
static void scan_all(struct walk *walk, struct task_struct *task)
{
	walk->starts_count = task_is_running(task) || READ_ONCE(task->on_rq);
	scan_stack(walk, task);
	rbl_each_hooked_return(task, see_word, walk);
	rbl_each_graph_return(task, see_word, walk);
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

/*
 * Whether the unwinder may be asked.  It warns when it comes to a kretprobe's
 * trampoline on the stack of a task that is to run, as one that was woken or
 * preempted inside a probed function; such a stack is scanned.
 */
static bool may_walk(const struct task_struct *task)
{
	return task == current || !task_is_running(task) || !rbl_has_hooked_returns(task);
}

/*
 * The walk finds what a scan cannot see: return addresses that function-graph
 * tracing and kretprobes keep elsewhere.  Where it is proven, the scan is left
 * out for the task that asked for the operation, and always for the stopper
 * threads: their stacks hold the very addresses that this code works with, and
 * how they got where they are is known.
 *
 * A word that only the scan finds is waited for.  A task that sleeps for ever
 * may keep it for ever, as a daemon does that wrote something and now polls:
 * so in the last try it counts only if the walk is not proven as well.
 */
static enum rbl_finding look(struct walk *walk, struct task_struct *task)
{
	const struct rbl_stacks *stacks = walk->stacks;
	bool running = task == current;

	if (!running && !stack_pointer_is_sane(task))
		return RBL_UNRELIABLE;
	walk->proven = may_walk(task) && !rbl_kernel(arch_stack_walk_reliable)(see_frame, walk, task);
	if (walk->hit)
		return RBL_INSIDE;
	if (!walk->proven && (!rbl_scan || running))
		return RBL_UNRELIABLE;
	if (!walk->proven) {
		scan_all(walk, task);
	} else if (rbl_scan && !running && task != stacks->requester) {
		scan_stack(walk, task);
		if (walk->hit && stacks->last_try && only_returns(task))
			return RBL_LEFT_OVER;
	}
	return walk->hit ? RBL_INSIDE : RBL_CLEAR;
}

/* A task without a row may be noted twice (looks.c). */
static bool is_noted(const struct rbl_conflicts *conflicts, const struct task_struct *task)
{
	u32 i;

	for (i = 0; i < conflicts->count; i++)
		if (conflicts->rows[i].pid == task->pid)
			return true;
	return false;
}

static enum rbl_task_kind kind_of(const struct task_struct *task, const struct walk *walk)
{
	if (walk->offline)
		return RBL_TASK_OF_OFFLINE_CPU;
	/* An idle task comes here by way of schedule_idle(), and no other, and the stopper thread by its one way. */
	if (walk->is_frame && (!task->pid || task == current))
		return RBL_TASK_ALWAYS_THERE;
	return task->flags & PF_KTHREAD ? RBL_TASK_OF_THE_KERNEL : RBL_TASK_OF_A_PROCESS;
}

static void note_task(struct rbl_conflicts *conflicts, const struct task_struct *task, const struct walk *walk)
{
	struct rbl_conflict *row;

	if (conflicts->count == RBL_MAX_CONFLICTS)
		return;
	row = conflicts->rows + conflicts->count++;
	row->pid = task->pid;
	row->address = walk->hit;
	row->stopped_at = walk->proven ? 0 : walk->last;
	row->faults = walk->hit && walk->faults;
	row->kind = kind_of(task, walk);
	rbl_printable(row->comm, task->comm, sizeof(row->comm));
}

static void note(struct rbl_stacks *stacks, const struct task_struct *task, const struct walk *walk,
		 enum rbl_finding finding)
{
	if (finding == RBL_CLEAR)
		return;
	raw_spin_lock(&stacks->lock);
	if (finding == RBL_LEFT_OVER) {
		if (!is_noted(&stacks->leftovers, task))
			note_task(&stacks->leftovers, task, walk);
	} else if (!task->pid || !is_noted(&stacks->conflicts, task)) {
		if (task == stacks->writer)
			stacks->writer_is_busy = true;
		if (finding == RBL_INSIDE)
			stacks->busy = true;
		else
			stacks->unreliable = true;
		stacks->n_conflicts++;
		note_task(&stacks->conflicts, task, walk);
	}
	raw_spin_unlock(&stacks->lock);
}

/* What the stack of a task says that does not run and has one, or of the one that calls this. */
enum rbl_finding rbl_stack_finding(const struct rbl_stacks *stacks, struct task_struct *task)
{
	struct walk walk = { .stacks = stacks };

	return look(&walk, task);
}

/* While all CPUs are stopped: looks at a task, and notes it if it is in the way. */
void rbl_stack_check(struct rbl_stacks *stacks, struct task_struct *task)
{
	struct walk walk = { .stacks = stacks };

	if (!task_stack_page(task) || !refcount_read(&task->stack_refcount))
		return;		/* it has exited, and its stack is gone */
	note(stacks, task, &walk, look(&walk, task));
}

/* The same for tasks whose number is all that is still of interest, since others have been named. */
void rbl_stacks_count(struct rbl_stacks *stacks, enum rbl_finding finding, u32 tasks)
{
	if (!tasks)
		return;
	raw_spin_lock(&stacks->lock);
	if (finding == RBL_INSIDE)
		stacks->busy = true;
	else
		stacks->unreliable = true;
	stacks->n_conflicts += tasks;
	raw_spin_unlock(&stacks->lock);
}

/*
 * The idle tasks of CPUs that are offline, with CPU hotplug locked, so that they
 * stay where they are.  Such a task waits in the midst of a function for ever,
 * or until the CPU starts anew, and has saved no stack pointer; so all of its
 * stack is scanned, for return addresses that it may have yet to use.
 */
void rbl_stacks_check_offline(struct rbl_stacks *stacks)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct task_struct *task = cpu_online(cpu) ? NULL : rbl_kernel(idle_task)(cpu);
		struct walk walk = { .stacks = stacks, .offline = true };
		unsigned long stack;

		if (!task)
			continue;
		stack = (unsigned long)task_stack_page(task);
		scan_words(&walk, stack, stack + THREAD_SIZE);
		note(stacks, task, &walk, walk.hit ? RBL_INSIDE : RBL_CLEAR);
	}
}
