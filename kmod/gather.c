// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * All CPUs stopped at once, within a time limit.
 *
 * stop_machine() has none: it waits for a CPU that loops in kernel code and
 * gives nothing else a chance, and lets all others spin meanwhile, for ever.
 * So here each CPU's stopper thread is first asked whether it runs at all, which
 * costs the others nothing; then all of them are called together, and go
 * home if one has not come in time.  A stopper that did not come still has our
 * work on its list, so that lies in memory that stays, and is not used
 * again before it was run.
 */
#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/ktime.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/stop_machine.h>

#include "internal.h"

#define ANSWER_MS 3000	/* for all stoppers: a virtual CPU may have to wait for its turn */
#define LIMIT_MS 1000	/* for all to come, while the others wait; and to leave */

struct call {
	struct cpu_stop_work work;
	bool pending;		/* it is on the stopper's list, or runs */
};

static DEFINE_PER_CPU(struct call, calls);

enum { COMING, THERE, GIVEN_UP };

/* The one call that is under way; who comes late to an earlier one finds its own `pending` only. */
static struct {
	atomic_t missing;	/* CPUs that have yet to answer, or to come */
	atomic_t state;
	atomic_t loud;		/* CPUs that have yet to switch interrupts off */
	atomic_t inside;	/* CPUs that are not done yet */
	u64 until;		/* ns, for them to come */
	int (*run)(void *data);
	void *data;
	struct completion over;
} gathering = { .over = COMPLETION_INITIALIZER(gathering.over) };

/* The last that a stopper does for us; rebootless_exit() waits for the instructions that follow. */
static int leave(void)
{
	smp_store_release(&this_cpu_ptr(&calls)->pending, false);
	module_put(THIS_MODULE);
	return 0;
}

static void has_answered(void)
{
	if (atomic_dec_and_test(&gathering.missing))
		complete(&gathering.over);
}

static int answer(void *unused)
{
	has_answered();
	return leave();
}

static void has_come(void)
{
	if (atomic_dec_and_test(&gathering.missing))
		atomic_cmpxchg(&gathering.state, COMING, THERE);
}

/* As multi_cpu_stop() does it, which also begins to wait with interrupts on. */
static int come(void *unused)
{
	unsigned long flags;

	has_come();
	while (atomic_read(&gathering.state) == COMING) {
		cpu_relax();
		if (ktime_get_mono_fast_ns() > gathering.until && atomic_cmpxchg(&gathering.state, COMING, GIVEN_UP) == COMING)
			complete(&gathering.over);
	}
	if (atomic_read(&gathering.state) == GIVEN_UP)
		return leave();
	local_irq_save(flags);
	atomic_dec(&gathering.loud);
	while (atomic_read(&gathering.loud))
		cpu_relax();
	gathering.run(gathering.data);
	local_irq_restore(flags);
	if (atomic_dec_and_test(&gathering.inside))
		complete(&gathering.over);
	return leave();
}

static int find_pending(void)
{
	int cpu;

	for_each_online_cpu(cpu)
		if (smp_load_acquire(&per_cpu(calls, cpu).pending))
			return cpu;
	return -1;
}

/*
 * Gives `fn` to each stopper; in one go, as the kernel's own stops are queued, so
 * that no two of them wait for each other's second half; `count` counts who has
 * called.  False: another stop lasts.
 */
static bool call_all(cpu_stop_fn_t fn, void (*count)(void))
{
	int cpu;

	if (!rbl_lock_within(rbl_kernel_data.stop_cpus_mutex, LIMIT_MS))
		return false;
	reinit_completion(&gathering.over);
	atomic_set(&gathering.missing, 1);	/* until all are called */
	preempt_disable();
	WRITE_ONCE(*rbl_kernel_data.stop_cpus_in_progress, true);
	barrier();
	for_each_online_cpu(cpu) {
		struct call *call = per_cpu_ptr(&calls, cpu);

		atomic_inc(&gathering.missing);
		call->pending = true;
		__module_get(THIS_MODULE);
		if (rbl_kernel(stop_one_cpu_nowait)(cpu, fn, NULL, &call->work))
			continue;
		call->pending = false;	/* it goes offline */
		module_put(THIS_MODULE);
		atomic_dec(&gathering.missing);
	}
	count();
	barrier();
	WRITE_ONCE(*rbl_kernel_data.stop_cpus_in_progress, false);
	preempt_enable();
	mutex_unlock(rbl_kernel_data.stop_cpus_mutex);
	return true;
}

/* Those who have answered may have yet to leave: that takes no longer than they are let run. */
static int find_absent(void)
{
	unsigned long end = jiffies + msecs_to_jiffies(LIMIT_MS);
	int cpu = find_pending();

	while (cpu >= 0 && time_before(jiffies, end)) {
		usleep_range(50, 100);
		cpu = find_pending();
	}
	return cpu;
}

/*
 * Whether each CPU's stopper runs, and so lets others run.  The first one that
 * does not; nr_cpu_ids if it is not known which; or -1.
 */
int rbl_ask_cpus(void)
{
	int absent = find_pending();

	lockdep_assert_held(&rbl_lock);
	if (absent >= 0)
		return absent;
	if (!call_all(answer, has_answered))
		return nr_cpu_ids;
	if (!rbl_wait_within(&gathering.over, ANSWER_MS))
		return find_pending();
	return find_absent();
}

/*
 * Has `run` called on all CPUs at once, with interrupts off, as
 * stop_machine_cpuslocked() does; with CPU hotplug locked, and all having
 * answered.  As rbl_ask_cpus(): a CPU has not come in time, and it was called on none.
 */
int rbl_gather(int (*run)(void *data), void *data)
{
	int cpus = num_online_cpus(), absent = find_absent();

	lockdep_assert_held(&rbl_lock);
	if (absent >= 0)
		return absent;
	atomic_set(&gathering.state, COMING);
	atomic_set(&gathering.loud, cpus);
	atomic_set(&gathering.inside, cpus);
	gathering.run = run;
	gathering.data = data;
	gathering.until = ktime_get_mono_fast_ns() + LIMIT_MS * NSEC_PER_MSEC;
	if (!call_all(come, has_come))
		return nr_cpu_ids;
	wait_for_completion(&gathering.over);
	if (atomic_read(&gathering.state) == THERE)
		return -1;
	absent = find_absent();
	return absent >= 0 ? absent : nr_cpu_ids;
}

/* The task that runs on a CPU, as far as it is known; 0 and "-" if none is found. */
void rbl_task_on(int cpu, struct rbl_conflict *row)
{
	struct task_struct *process, *task;

	memset(row, 0, sizeof(*row));
	strscpy(row->comm, "-", sizeof(row->comm));
	strscpy(row->function, "-", sizeof(row->function));
	rcu_read_lock();
	for_each_process_thread(process, task)
		if (READ_ONCE(task->on_cpu) && task_cpu(task) == cpu) {
			row->pid = task->pid;
			rbl_printable(row->comm, task->comm, sizeof(row->comm));
		}
	rcu_read_unlock();
}
