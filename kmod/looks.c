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
 * over all rows, each CPU notes the tasks that it switches away from, in a probe
 * on sched_switch, which __schedule() calls right after it has counted.  Either
 * the pass sees the count, and looks at the task once more; or the probe sees
 * that it is to note the task (the barriers on both sides are a pair).  So a
 * task that runs after the pass has come to its row is noted.  CPU hotplug is
 * locked all the while: sched_switch is not traced on a CPU that is offline.  If
 * there is no probe, since there are too few tasks to be worth one, or a CPU had
 * to note more than it has room for, the stop looks at all sums.
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
 *   that came are searched for in the stop.
 */
#include <linux/hash.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/prefetch.h>
#include <linux/rculist.h>
#include <linux/sched/signal.h>
#include <linux/smp.h>
#include <linux/tracepoint.h>

#include "internal.h"

#define REFRESHES 3		/* passes at most, right before the stop */
#define FEW 8			/* tasks that ran since the last look, and are left to the stop */
#define AHEAD 8			/* rows, whose tasks are fetched into the cache meanwhile */
#define NOTES 2048		/* tasks that a CPU can note */
#define DEAR_NS (100 * NSEC_PER_MSEC)	/* of a probe that takes as long to make, or longer, */
#define SPARED_NS (60 * NSEC_PER_SEC)	/* the next one is made this long after it, at the earliest */

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
 * before those without, which check_new() relies on.  What is on a list for as
 * long as it is gone through under RCU is found; exec() by a thread puts it in
 * its leader's place, and both lead to the same threads.
 */
static void collect(struct rbl_looks *looks)
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

/* ---- which have run ---- */

/* What a CPU has switched away from; written there, with interrupts off. */
struct notes {
	struct task_struct **tasks;	/* referenced; NULL: the CPU was not online when the probe was made */
	u32 count;
};

static DEFINE_PER_CPU(struct notes, notes);
static bool probed;			/* the probe is there */
static bool noting;			/* and is to note */
static bool missed;			/* something that there was no room for */
static u64 spared_until;		/* no probe is made before */

static void on_switch(void *unused, bool preempt, struct task_struct *prev, struct task_struct *next,
		      unsigned int prev_state)
{
	struct notes *own = this_cpu_ptr(&notes);

	smp_mb();	/* between the count of the switch and `noting`; begin_noting() has the other one */
	if (!READ_ONCE(noting) || !prev->pid)	/* is_idle_task() says yes of a thread in play_idle_precise(), too */
		return;
	if (own->tasks && own->count < NOTES)
		own->tasks[own->count++] = get_task_struct(prev);
	else
		WRITE_ONCE(missed, true);
}

static void free_notes(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct notes *own = per_cpu_ptr(&notes, cpu);

		while (own->count)
			put_task_struct(own->tasks[--own->count]);
		kvfree(own->tasks);
		own->tasks = NULL;
	}
}

/*
 * Whether to search for those that ran takes longer than to have them noted.  To
 * make a probe and to remove it, the kernel writes to its text, waits for an
 * interrupt of every CPU some twenty times, and may wait for a grace period of
 * RCU.  Where a virtual CPU has to wait for its turn each time, that takes
 * seconds of each try: two, with a tenth of a processor for two of them.  The
 * counts of some hundred tasks are compared within microseconds.
 */
static bool is_worth_noting(u32 tasks)
{
	return tasks >= READ_ONCE(rbl_note_from) && ktime_get_mono_fast_ns() >= spared_until;
}

/* Without memory for a CPU's notes, it misses what it is to note. */
static void begin_probe(u32 tasks)
{
	u64 begin = ktime_get_mono_fast_ns(), end;
	int cpu;

	check_trace_callback_type_sched_switch(on_switch);
	if (!is_worth_noting(tasks))
		return;
	missed = false;
	for_each_online_cpu(cpu)
		per_cpu(notes, cpu).tasks = kvmalloc_array(NOTES, sizeof(struct task_struct *), GFP_KERNEL);
	probed = !tracepoint_probe_register(rbl_kernel_data.__tracepoint_sched_switch, on_switch, NULL);
	/* Where sched_switch had probes, a CPU may be at the old list of them, and not have published its count yet. */
	if (probed)
		kick_all_cpus_sync();
	end = ktime_get_mono_fast_ns();
	if (end - begin >= DEAR_NS)
		spared_until = end + SPARED_NS;
}

/* An interrupt of each CPU waits for the probe's calls, which have interrupts off: no later one notes anything. */
static void end_probe(void)
{
	WRITE_ONCE(noting, false);
	if (probed) {
		tracepoint_probe_unregister(rbl_kernel_data.__tracepoint_sched_switch, on_switch, NULL);
		kick_all_cpus_sync();
	}
	probed = false;
	free_notes();
}

/* Before this module goes: the probe's last calls have returned. */
void rbl_looks_exit(void)
{
	tracepoint_synchronize_unregister();
}

static void begin_noting(void)
{
	WRITE_ONCE(noting, probed);
	smp_mb();	/* before any count is read */
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
	if (READ_ONCE(task->on_cpu))
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

/* Looks at the tasks that have run; returns how many they were. */
static u32 look_again(struct rbl_looks *looks, const struct rbl_stacks *stacks)
{
	u32 i, looked = 0;

	for (i = 0; i < looks->count; i++) {
		struct pinned pinned = { stacks, looks->rows + i };
		struct task_struct *task = pinned.look->task;

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
		cond_resched();
	}
	return looked;
}

/* Looks at all tasks.  Without memory it looks at none, and all are left to the stop. */
void rbl_looks_begin(struct rbl_looks *looks, const struct rbl_stacks *stacks)
{
	u32 room = READ_ONCE(*rbl_kernel_data.nr_threads);

	lockdep_assert_held(&rbl_lock);		/* the notes are those of one stop */
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
	collect(looks);
	look_again(looks, stacks);
	begin_probe(looks->count);
}

/* Right before the stop: looks at what has run since, until little is left, or the tasks run as fast as this looks. */
void rbl_looks_refresh(struct rbl_looks *looks, const struct rbl_stacks *stacks)
{
	u32 i = 0;

	if (!looks->room)
		return;
	begin_noting();
	do {
		if (READ_ONCE(*rbl_kernel_data.total_forks) != looks->forks)
			collect(looks);
	} while (look_again(looks, stacks) > FEW && ++i < REFRESHES);
	for (i = 0; i < looks->count; i++)
		if (looks->rows[i].finding != RBL_CLEAR)
			looks->again[looks->n_again++] = i;
}

void rbl_looks_end(struct rbl_looks *looks)
{
	u32 i;

	end_probe();
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
	bool named = READ_ONCE(stacks->conflicts.count) == RBL_MAX_CONFLICTS && look->task != stacks->writer;

	if (!has_run(look) && (look->finding == RBL_CLEAR || look->task->on_cpu))
		return;
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

/* The tasks of each `shares`th process that came after the last with a row, if any came. */
static void check_new(struct part *part, u32 share, u32 shares)
{
	struct task_struct *process, *task;
	u32 i = 0;

	if (part->looks->whole && part->looks->forks == *rbl_kernel_data.total_forks)
		return;
	for_each_process(process) {
		if (i++ % shares != share)
			continue;
		list_for_each_entry_reverse(task, &process->signal->thread_head, thread_node) {
			if (is_known(part->looks, task))
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
		check_row(part, looks->rows + i);
	}
	check_new(part, share, shares);
}

/* What this CPU has noted, and its share of what was known before to need a second look. */
static void check_noted(struct part *part, u32 share, u32 shares)
{
	const struct rbl_looks *looks = part->looks;
	const struct notes *own = this_cpu_ptr(&notes);
	u32 i;

	for (i = share; i < looks->n_again; i += shares)
		check_row(part, looks->rows + looks->again[i]);
	for (i = 0; i < own->count; i++) {
		u32 row = *find(looks, own->tasks[i]);

		if (row)
			check_row(part, looks->rows + row - 1);
		else
			check(part, own->tasks[i]);
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
	if (noting && !missed && looks->whole)
		check_noted(&part, share, shares);
	else
		check_all(&part, share, shares);
	rbl_stacks_count(stacks, RBL_INSIDE, part.inside);
	rbl_stacks_count(stacks, RBL_UNRELIABLE, part.unreliable);
	return part.looked;
}
