// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which tasks' stacks are looked at, and when.
 *
 * With 10,000 threads, of which 9,990 sleep, walking each stack while all CPUs
 * are stopped would take all of the pause, and merely to compare what is known of
 * 10,000 tasks would take half of it.  So stacks are walked before; in the stop
 * only those of tasks that have run since are, and these alone are touched.
 *
 * Why that is right.  __schedule() adds one to nvcsw or nivcsw of the task that
 * it is about to switch away from, every time, and nothing else writes them
 * after fork(); they are 64 bits wide.  task_call_func() pins a task: while it
 * calls pinned_look(), the task can neither begin to run nor be switched away
 * from.  If it is off its CPU then (on_cpu is 0), its registers are on its
 * stack, and stay there until it runs again.  In the stop it is off its CPU,
 * too, unless it is a stopper thread.  So if it ran in between, it was switched
 * away from in between, and the sum of its counts has grown.  An unchanged sum
 * means that it has not run one instruction: the stack is the very one that was
 * walked, and only the task itself calls, returns, or pushes to it (a tracer
 * may write the registers of user space, which lie behind its end).
 *
 * Why not all sums have to be looked at in the stop.  From before the last pass
 * over all rows, each CPU notes the tasks that it switches away from (notes.c).
 * Either the pass sees the count, and looks at the task once more; or the task is
 * noted.  If nothing is noted, since there are too few tasks, the CPUs are emulated
 * or the switch is one by force, or a CPU had to note more than it has room for,
 * the stop looks at all sums.
 *
 * By kind of task:
 * - asleep, or waiting on the queue of any CPU: as above.  Being woken, or moved
 *   to another CPU, changes neither the stack nor the counts;
 * - ran and sleeps again in the same place, with the same stack pointer: the
 *   counts have grown, so it is looked at again, although it looks the same;
 * - preempted: nivcsw has grown before it left the CPU.  As before, a word that
 *   is a function's start counts on its stack (scan_all()); a sleeping one that
 *   is woken after its look has still stopped where it went to sleep;
 * - running at the look: nothing is known of it, and it is looked at in the stop;
 * - a stopper thread sleeps at the look and runs in the stop, with its counts
 *   unchanged.  Its row is never relied on: each CPU checks the one it runs;
 * - the idle task of a CPU has no row: each CPU checks its own, and those of
 *   CPUs that are offline are checked before, with CPU hotplug locked;
 * - kernel threads are tasks like others;
 * - exiting: to die it has to run.  One that was dead has no stack any more, and
 *   never runs.  Its row holds a reference, so that no new task gets its
 *   address; one that has left the list of tasks and still runs is thereby seen,
 *   if it was looked at before;
 * - a thread that plays idle (intel_powerclamp) is a task like others, although
 *   is_idle_task() is true of it meanwhile; only the CPUs' own have pid 0;
 * - new: a fork copies the parent's registers of user space, and none of its kernel
 *   stack.  But a kernel thread that has not run yet has the address of its
 *   function on its stack, for ret_from_fork to call, and is noted by no CPU.
 *   Each pass begins with giving rows to those that came since the one before:
 *   copy_process() adds one to total_forks for each task that it lists, both under
 *   tasklist_lock, which nothing holds in the stop.  If it has grown since, those
 *   that came are searched for in the stop: among the last processes, and if
 *   they are not as many as have come (one has died, or is a thread of an older
 *   process), among all.
 */
#include <linux/hash.h>
#include <linux/mm.h>
#include <linux/prefetch.h>
#include <linux/rculist.h>
#include <linux/sched/signal.h>
#include <linux/smp.h>

#include "internal.h"

#define REFRESHES 3		/* passes at most, right before the stop */
#define FEW 8			/* tasks that ran since the last look, and are left to the stop */
#define AHEAD 8			/* rows, whose tasks are fetched into the cache meanwhile */
#define MOST_LAST 64		/* tasks that are searched for with tasklist_lock held */

/* What is known of one task. */
struct rbl_look {
	struct task_struct *task;	/* referenced */
	unsigned long switches;		/* away from it, before it was looked at */
	enum rbl_finding finding;	/* as long as it is not switched away from again */
	u32 checked;			/* in the stop: it may have been noted on several CPUs */
};

static unsigned long switches_of(const struct task_struct *task)
{
	return READ_ONCE(task->nvcsw) + READ_ONCE(task->nivcsw);
}

/* ---- which tasks there are ---- */

/* The place in the index of a task, or where it is to go. */
static u32 *find(const struct rbl_looks *looks, const struct task_struct *task)
{
	u32 at = hash_ptr(task, looks->bits), mask = (1u << looks->bits) - 1;

	while (looks->index[at] && looks->rows[looks->index[at] - 1].task != task)
		at = (at + 1) & mask;
	return looks->index + at;
}

static bool is_known(const struct rbl_looks *looks, const struct task_struct *task)
{
	return looks->room && *find(looks, task);
}

/* Gives the task a row unless it has one; false if there is no room. */
static bool add(struct rbl_looks *looks, struct task_struct *task)
{
	u32 *place = find(looks, task);

	if (*place)
		return true;
	if (looks->count == looks->room)
		return false;
	looks->rows[looks->count] = (struct rbl_look){ .task = get_task_struct(task) };
	*place = ++looks->count;
	return true;
}

/*
 * Gives a row to each task that has none.  The tasks of a process are listed in
 * the order in which they came, and so are given rows: those with a row come
 * before those without, which all that goes through them backwards relies on.
 * What is on a list for as long as it is gone through under RCU is found; exec()
 * by a thread puts it in its leader's place, and both lead to the same threads.
 */
static void collect_all(struct rbl_looks *looks)
{
	struct task_struct *process, *task;
	bool whole = true;

	/* With the lock held, each task that is counted is listed. */
	read_lock(rbl_kernel_data.tasklist_lock);
	looks->forks = *rbl_kernel_data.total_forks;
	read_unlock(rbl_kernel_data.tasklist_lock);
	rcu_read_lock();
	for_each_process_thread(process, task)
		whole = whole && add(looks, task);
	rcu_read_unlock();
	looks->whole = whole;
}

/* Backwards, as long as the list of processes does not change. */
#define for_each_last_process(process) list_for_each_entry_reverse(process, &init_task.tasks, tasks)
#define for_each_last_thread(task, process) \
	list_for_each_entry_reverse(task, &(process)->signal->thread_head, thread_node)

/* How many threads of the process have no row. */
static u32 count_new(const struct rbl_looks *looks, const struct task_struct *process)
{
	struct task_struct *task;
	u32 count = 0;

	for_each_last_thread(task, process) {
		if (is_known(looks, task))
			break;
		count++;
	}
	return count;
}

/*
 * Whether the last processes have all of the tasks that were made since each had
 * a row: as many as were counted.  A process is put at the end of the list.
 */
static bool all_came_last(const struct rbl_looks *looks, unsigned long made)
{
	struct task_struct *process;

	for_each_last_process(process) {
		u32 count = count_new(looks, process);

		if (!count || count >= made)
			return count == made;
		made -= count;
	}
	return false;
}

/* Gives rows to those that came since the pass before, if they are few and easy to find. */
static bool collect_last(struct rbl_looks *looks)
{
	struct task_struct *process, *task;
	unsigned long made;
	bool found;

	read_lock(rbl_kernel_data.tasklist_lock);
	made = *rbl_kernel_data.total_forks - looks->forks;
	found = looks->whole && made <= min_t(u32, MOST_LAST, looks->room - looks->count) && all_came_last(looks, made);
	looks->forks += found ? made : 0;
	for_each_last_process(process) {
		if (!found || !count_new(looks, process))
			break;
		for_each_last_thread(task, process)
			if (is_known(looks, task) || !add(looks, task))
				break;
	}
	read_unlock(rbl_kernel_data.tasklist_lock);
	return found;
}

/* Each task that was made until now has a row afterwards, if there is room. */
static void collect_new(struct rbl_looks *looks)
{
	if (READ_ONCE(*rbl_kernel_data.total_forks) != looks->forks && !collect_last(looks))
		collect_all(looks);
}

/* ---- before the stop ---- */

struct pinned {
	const struct rbl_stacks *stacks;
	struct rbl_look *look;
};

/* Called while the task can neither begin nor cease to run. */
static int pinned_look(struct task_struct *task, void *data)
{
	const struct pinned *pinned = data;
	struct rbl_look *look = pinned->look;

	look->switches = switches_of(task);
	/* With finish_task(), which clears it when all that the task has done is in memory. */
	if (smp_load_acquire(&task->on_cpu))
		look->finding = RBL_NOT_KNOWN;
	else if (READ_ONCE(task->__state) == TASK_DEAD)	/* its kretprobes' list is about to be flushed */
		look->finding = RBL_CLEAR;
	else
		look->finding = rbl_stack_finding(pinned->stacks, task);
	return 0;
}

/* Whether the task has run, or may have, since it was looked at. */
static bool has_run(const struct rbl_look *look)
{
	return look->finding == RBL_NOT_KNOWN || switches_of(look->task) != look->switches;
}

/* Whether there is nothing more to find out, as with nearly all tasks of a host with thousands: they sleep, and not in what changes. */
static bool is_clear(const struct rbl_look *look)
{
	return look->finding == RBL_CLEAR && switches_of(look->task) == look->switches;
}

/* Looks at the tasks that have run; returns how many they were. */
static u32 look_again(struct rbl_looks *looks, const struct rbl_stacks *stacks)
{
	u32 i, looked = 0;

	for (i = 0; i < looks->count; i++) {
		struct pinned pinned = { stacks, looks->rows + i };
		struct task_struct *task = pinned.look->task;

		cond_resched();
		if (!has_run(pinned.look))
			continue;
		looked++;
		if (try_get_task_stack(task)) {
			rbl_kernel(task_call_func)(task, pinned_look, &pinned);
			rbl_kernel(put_task_stack)(task);
		} else {	/* dead, and its last switch over */
			pinned.look->switches = switches_of(task);
			pinned.look->finding = RBL_CLEAR;
		}
	}
	return looked;
}

/*
 * Looks at all tasks.  Without memory it looks at none, and all are left to the
 * stop.  `notes`: those that run are to be noted, and rbl_notes_open() was called.
 */
void rbl_looks_begin(struct rbl_looks *looks, const struct rbl_stacks *stacks, bool notes)
{
	u32 room = READ_ONCE(*rbl_kernel_data.nr_threads);

	lockdep_assert_held(&rbl_lock);		/* the notes are those of one stop */
	looks->notes = notes;
	room += room / 8 + 256;
	looks->bits = ilog2(roundup_pow_of_two(2 * room));
	looks->rows = kvmalloc_array(room, sizeof(*looks->rows), GFP_KERNEL);
	looks->index = kvcalloc(1u << looks->bits, sizeof(*looks->index), GFP_KERNEL);
	if (!looks->rows || !looks->index)
		return;
	looks->again = kvmalloc_array(room, sizeof(*looks->again), GFP_KERNEL);
	if (!looks->again)
		return;
	looks->room = room;
	collect_all(looks);
	look_again(looks, stacks);
}

/* Right before the stop: looks at what has run since, until little is left, or the tasks run as fast as this looks. */
void rbl_looks_refresh(struct rbl_looks *looks, const struct rbl_stacks *stacks)
{
	u32 i = 0;

	if (!looks->room)
		return;
	if (looks->notes)
		rbl_notes_begin();
	do {
		collect_new(looks);
	} while (look_again(looks, stacks) > FEW && ++i < REFRESHES);
	collect_new(looks);	/* those that have come now are looked at in the stop */
	for (i = 0; i < looks->count; i++)
		if (looks->rows[i].finding != RBL_CLEAR)
			looks->again[looks->n_again++] = i;
}

void rbl_looks_end(struct rbl_looks *looks)
{
	u32 i;

	if (looks->notes)
		rbl_notes_end();
	for (i = 0; i < looks->count; i++) {
		put_task_struct(looks->rows[i].task);
		cond_resched();
	}
	kvfree(looks->rows);
	kvfree(looks->index);
	kvfree(looks->again);
	memset(looks, 0, sizeof(*looks));
}

/* ---- in the stop ---- */

/* One CPU's part of it. */
struct part {
	const struct rbl_looks *looks;
	struct rbl_stacks *stacks;
	u32 looked;			/* stacks that were walked */
	u32 inside, unreliable;		/* tasks that are known to be in the way, and need no name */
};

static void check(struct part *part, struct task_struct *task)
{
	if (task->on_cpu)	/* another CPU's stopper thread: it checks itself */
		return;
	rbl_stack_check(part->stacks, task);
	part->looked++;
}

/* A task that was in the way before and has not run since still is; it is walked once more for its name alone. */
static void check_row(struct part *part, struct rbl_look *look)
{
	const struct rbl_stacks *stacks = part->stacks;
	bool named;

	if (is_clear(look) || (!has_run(look) && look->task->on_cpu))
		return;
	named = READ_ONCE(stacks->conflicts.count) == RBL_MAX_CONFLICTS && look->task != stacks->writer;
	if (xchg(&look->checked, 1))
		return;
	if (has_run(look))
		check(part, look->task);
	else if (look->finding == RBL_INSIDE && named)
		part->inside++;
	else if (look->finding == RBL_UNRELIABLE && named)
		part->unreliable++;
	else if (look->finding != RBL_LEFT_OVER || READ_ONCE(stacks->leftovers.count) < RBL_MAX_CONFLICTS)
		check(part, look->task);
}

/* The tasks without a row of each `shares`th process that may have some. */
static void check_new(struct part *part, u32 share, u32 shares)
{
	const struct rbl_looks *looks = part->looks;
	unsigned long made = *rbl_kernel_data.total_forks - looks->forks;
	struct task_struct *process, *task;
	bool last;
	u32 i = 0;

	if (looks->whole && !made)
		return;
	last = looks->whole && all_came_last(looks, made);
	for_each_last_process(process) {
		if (last && !count_new(looks, process))
			break;
		if (i++ % shares != share)
			continue;
		for_each_last_thread(task, process) {
			if (is_known(looks, task))
				break;
			check(part, task);
		}
	}
}

/* One of `shares` shares of all tasks. */
static void check_all(struct part *part, u32 share, u32 shares)
{
	const struct rbl_looks *looks = part->looks;
	u32 i = (u64)looks->count * share / shares, end = (u64)looks->count * (share + 1) / shares;

	for (; i < end; i++) {
		prefetch(&looks->rows[min(i + AHEAD, end - 1)].task->nvcsw);
		if (!is_clear(looks->rows + i))
			check_row(part, looks->rows + i);
	}
	check_new(part, share, shares);
}

/* What this CPU has noted, and its share of what was known before to need a second look. */
static void check_noted(struct part *part, u32 share, u32 shares)
{
	const struct rbl_looks *looks = part->looks;
	u32 i, count;
	struct task_struct *const *noted = rbl_notes_here(&count);

	for (i = share; i < looks->n_again; i += shares)
		check_row(part, looks->rows + looks->again[i]);
	for (i = 0; i < count; i++) {
		u32 row = *find(looks, noted[i]);

		if (row)
			check_row(part, looks->rows + row - 1);
		else
			check(part, noted[i]);
	}
	check_new(part, share, shares);
}

/*
 * Checks this CPU's part of the tasks, and the two that belong to it: its
 * stopper thread, which runs, and its idle task, which is in no list.
 * Interrupts are off on all CPUs, so no list can change.  Returns how many
 * other stacks were walked.
 *
 * A task that reaps itself in exit_notify() leaves the list before its last
 * schedule().  If it has no row, and is preempted before the notes begin, what
 * it runs until then is not seen, here as in the kernel's own live patching.
 */
u32 rbl_looks_check(const struct rbl_looks *looks, struct rbl_stacks *stacks, u32 share, u32 shares)
{
	struct part part = { .looks = looks, .stacks = stacks };

	rbl_stack_check(stacks, current);
	rbl_stack_check(stacks, rbl_kernel(idle_task)(smp_processor_id()));
	if (looks->notes && looks->whole && rbl_notes_are_whole())
		check_noted(&part, share, shares);
	else
		check_all(&part, share, shares);
	rbl_stacks_count(stacks, RBL_INSIDE, part.inside);
	rbl_stacks_count(stacks, RBL_UNRELIABLE, part.unreliable);
	return part.looked;
}
