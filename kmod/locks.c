// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The kernel's own locks for its text, and what is live.
 *
 * A kernel lock may be held for as long as a replaced function likes: the
 * optimiser of kprobes holds three of the four below while it waits for
 * RCU-tasks, which a busy thread puts off.  So nothing here waits for one of
 * them without a limit, and what waits for one long gives rbl_lock back.
 */
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/iopoll.h>

#include "internal.h"

#define POLL_US 1000	/* at most between two tries; slept by a timer of the thread's own CPU */

/*
 * In the kernel's own order: with it no key can be switched, nor text written.
 * Nor can a kprobe be half registered: the kernel copies the instruction first,
 * and lists the probe after it has given text_mutex back, so that a jump which
 * is written in between would be overwritten by what stood there before.
 */
static bool try_lock_text(void)
{
	if (!mutex_trylock(rbl_kernel_data.kprobe_mutex))
		return false;
	if (!cpus_read_trylock())
		goto no_cpus;
	if (!mutex_trylock(rbl_kernel_data.jump_label_mutex))
		goto no_branches;
	if (mutex_trylock(rbl_kernel_data.text_mutex))
		return true;
	mutex_unlock(rbl_kernel_data.jump_label_mutex);
no_branches:
	cpus_read_unlock();
no_cpus:
	mutex_unlock(rbl_kernel_data.kprobe_mutex);
	return false;
}

/* As read_poll_timeout() of <linux/iopoll.h>: until it has what it wants, or for so many ms. */
#define had_within(ms, try, args...) ({ \
	bool had; \
	!read_poll_timeout(try, had, had, POLL_US, (ms) * USEC_PER_MSEC, false, ##args); \
})

/* All of them within so many ms, or none. */
bool rbl_lock_text_within(unsigned int ms)
{
	return had_within(ms, try_lock_text);
}

/* One lock within so many ms. */
bool rbl_lock_within(struct mutex *lock, unsigned int ms)
{
	return had_within(ms, mutex_trylock, lock);
}

/* The same for what another thread completes: an ordinary timer might belong to a CPU that is lost (deadline.c). */
bool rbl_wait_within(struct completion *done, unsigned int ms)
{
	return had_within(ms, try_wait_for_completion, done);
}

/* rbl_lock is given back meanwhile, so anything may have come and gone. */
static void let_others_go_on(void)
{
	lockdep_assert_held(&rbl_lock);
	mutex_unlock(&rbl_lock);
	msleep(RBL_BRIEFLY_MS);
	mutex_lock(&rbl_lock);
}

/* For what cannot be refused, letting others go on. */
void rbl_lock_text(void)
{
	while (!rbl_lock_text_within(RBL_BRIEFLY_MS))
		let_others_go_on();
}

/* The same of one of the kernel's locks. */
void rbl_lock_patiently(struct mutex *lock)
{
	while (!rbl_lock_within(lock, RBL_BRIEFLY_MS))
		let_others_go_on();
}

void rbl_unlock_text(void)
{
	mutex_unlock(rbl_kernel_data.text_mutex);
	mutex_unlock(rbl_kernel_data.jump_label_mutex);
	cpus_read_unlock();
	mutex_unlock(rbl_kernel_data.kprobe_mutex);
}

/* ---- what is live ---- */

static unsigned long writing;	/* bit 0: it is held */

/*
 * Guards which updates are live, and what of them is written in the running
 * kernel.  It is the last lock of all, and held only while that changes: in a
 * stop, by a deadline, or for a module that comes or goes.  No mutex, for the
 * CPU that writes in a stop gives it back before any task runs again.
 */
void rbl_begin_writing(void)
{
	while (test_and_set_bit_lock(0, &writing))
		usleep_range(500, 1000);
}

void rbl_end_writing(void)
{
	clear_bit_unlock(0, &writing);
}

/* All parts that are there are written, or none is any more. */
void rbl_set_written(struct rbl_record *record, bool written)
{
	struct rbl_part *part;

	rbl_for_each_part(part, record)
		part->written = written && part->present;
}
