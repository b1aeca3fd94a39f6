// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which tasks have run: each CPU notes those that it switches away from.
 *
 * __schedule() calls the probes of sched_switch with interrupts off, right after
 * it has counted the switch (looks.c).  The probe is there while operations are
 * under way, and notes only between rbl_notes_begin() and rbl_notes_end().
 * sched_switch is not traced on a CPU that is offline, so CPU hotplug is to be
 * locked from rbl_notes_begin() to the stop.
 */
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/sched/task.h>
#include <linux/smp.h>
#include <linux/tracepoint.h>

#include "internal.h"

#define NOTES 2048		/* tasks that a CPU can note */
#define DEAR_NS (100 * NSEC_PER_MSEC)	/* of a probe that takes as long to make, or longer, */
#define SPARED_NS (60 * NSEC_PER_SEC)	/* the next one is made this long after it, at the earliest */

/* What a CPU has switched away from; written there, with interrupts off. */
struct notes {
	struct task_struct **tasks;	/* referenced; NULL: the CPU was not online when the probe was made */
	u32 count;
};

static DEFINE_PER_CPU(struct notes, notes);
static bool noting;			/* the probe is to note */
static bool missed;			/* something that there was no room for */

/* Taken without rbl_lock: what makes and removes a probe waits for RCU, and for who else does that. */
static DEFINE_MUTEX(probe_lock);
static u32 users;
static bool probed;			/* the probe is there; stays so as long as there are users */
static u64 spared_until;		/* no probe is made before */

static void on_switch(void *unused, bool preempt, struct task_struct *prev, struct task_struct *next,
		      unsigned int prev_state)
{
	struct notes *own = this_cpu_ptr(&notes);

	smp_mb();	/* between the count of the switch and `noting`; rbl_notes_begin() has the other one */
	if (!READ_ONCE(noting) || !prev->pid)	/* is_idle_task() says yes of a thread in play_idle_precise(), too */
		return;
	if (own->tasks && own->count < NOTES)
		own->tasks[own->count++] = get_task_struct(prev);
	else
		WRITE_ONCE(missed, true);
}

/* ---- the probe ---- */

/*
 * Whether to search for those that ran takes longer than to have them noted.  To
 * make a probe and to remove it, the kernel writes to its text, waits for an
 * interrupt of every CPU some twenty times, and may wait for a grace period of
 * RCU.  Where a virtual CPU has to wait for its turn each time, that takes
 * seconds of each operation: two, with a tenth of a processor for two of them.
 * The counts of some hundred tasks are compared within microseconds.
 */
static bool is_worth_noting(void)
{
	return READ_ONCE(*rbl_kernel_data.nr_threads) >= READ_ONCE(rbl_note_from) &&
	       ktime_get_mono_fast_ns() >= spared_until;
}

static void make_probe(void)
{
	u64 begin = ktime_get_mono_fast_ns(), end;
	int cpu;

	check_trace_callback_type_sched_switch(on_switch);
	/* Without memory for a CPU's notes, it misses what it is to note. */
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

static void remove_probe(void)
{
	int cpu;

	if (probed) {
		tracepoint_probe_unregister(rbl_kernel_data.__tracepoint_sched_switch, on_switch, NULL);
		kick_all_cpus_sync();	/* no CPU is in the probe, which has interrupts off, or comes there */
	}
	probed = false;
	for_each_possible_cpu(cpu) {
		kvfree(per_cpu(notes, cpu).tasks);
		per_cpu(notes, cpu).tasks = NULL;
	}
}

/* Before an operation that notes; it may find that it is not worth it.  rbl_notes_close() in the end. */
void rbl_notes_open(void)
{
	lockdep_assert_not_held(&rbl_lock);
	mutex_lock(&probe_lock);
	if (!users++ && is_worth_noting())
		make_probe();
	mutex_unlock(&probe_lock);
}

void rbl_notes_close(void)
{
	lockdep_assert_not_held(&rbl_lock);
	mutex_lock(&probe_lock);
	if (!--users)
		remove_probe();
	mutex_unlock(&probe_lock);
}

/* Before this module goes: the probe's last calls have returned. */
void rbl_notes_exit(void)
{
	tracepoint_synchronize_unregister();
}

/* ---- notes ---- */

/* From now on a task is noted, or its count of switches is seen to have grown. */
void rbl_notes_begin(void)
{
	lockdep_assert_held(&rbl_lock);
	WRITE_ONCE(missed, false);
	WRITE_ONCE(noting, probed);
	smp_mb();	/* before any count is read */
}

/* Forgets what was noted; before another stop begins, and without rbl_lock: what is called here may be what was replaced. */
void rbl_notes_end(void)
{
	int cpu;

	if (!noting)
		return;
	WRITE_ONCE(noting, false);
	kick_all_cpus_sync();	/* waits for those that have seen it otherwise */
	for_each_possible_cpu(cpu) {
		struct notes *own = per_cpu_ptr(&notes, cpu);

		while (own->count)
			put_task_struct(own->tasks[--own->count]);
	}
}

/* In the stop: whether each task that has run was noted. */
bool rbl_notes_are_whole(void)
{
	return noting && !missed;
}

/* In the stop: what this CPU has noted. */
struct task_struct *const *rbl_notes_here(u32 *count)
{
	const struct notes *own = this_cpu_ptr(&notes);

	*count = own->count;
	return own->tasks;
}
