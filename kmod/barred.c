// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * While an update is live, the kernel refuses kprobes on its jumps.
 *
 * Such a kprobe holds a copy of the jump, and would keep the update from being
 * reversed, at its deadline too.  So the jumps' bytes are in the kernel's own
 * list of what must not be probed (kprobe_blacklist of kernel/kprobes.c), which
 * register_kprobe() looks through, and which /sys/kernel/debug/kprobes/blacklist
 * shows.  The kernel's own function that adds to it bars whole functions, with
 * their entries (kprobe_add_ksym_blacklist()), and the one that takes out of it
 * is static.
 *
 * What writes to the list holds kprobe_mutex, and what reads it need not: the
 * registration of a kprobe has preemption disabled, that of a hardware
 * breakpoint not even that (arch_build_bp_info()).  No reader sleeps, so what
 * has been taken out can be freed after a grace period of RCU-tasks.
 *
 * A bar is lifted without any lock of the kernel's, since an operation may not
 * wait for one when the replacement code runs: it is made to hold no address,
 * and taken out later.  When a loadable module goes, the kernel frees what
 * entries begin in that module's own barred sections; a bar that is lifted
 * begins nowhere, and our notifier, which comes first, lifts those of a module.
 */
#include <linux/kprobes.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "internal.h"

/* The bytes of one jump. */
struct bar {
	struct kprobe_blacklist_entry entry;
	struct list_head list;		/* of the part's bars, or of `lifted` */
};

static LIST_HEAD(lifted);	/* bars that are yet to be taken out and freed; under rbl_lock */

static void free_bars(struct list_head *bars)
{
	struct bar *bar, *next;

	list_for_each_entry_safe(bar, next, bars, list)
		kfree(bar);
}

/* No operation waits for this: a task that is busy without sleeping puts off the grace period as long as it likes. */
static void take_out_lifted(struct work_struct *unused)
{
	LIST_HEAD(bars);
	struct bar *bar;

	mutex_lock(&rbl_lock);
	list_splice_init(&lifted, &bars);
	mutex_unlock(&rbl_lock);
	mutex_lock(rbl_kernel_data.kprobe_mutex);
	list_for_each_entry(bar, &bars, list)
		list_del_rcu(&bar->entry.list);
	mutex_unlock(rbl_kernel_data.kprobe_mutex);
	synchronize_rcu_tasks();
	free_bars(&bars);
}

static DECLARE_WORK(removal, take_out_lifted);

static bool add_bar(struct list_head *bars, const struct rbl_write *write)
{
	const struct rbl_range reach = rbl_probes_that_reach(write->where, write->size);
	struct bar *bar = kmalloc(sizeof(*bar), GFP_KERNEL);

	if (!bar)
		return false;
	bar->entry.start_addr = reach.start;
	bar->entry.end_addr = reach.end;
	list_add_tail(&bar->list, bars);
	return true;
}

/*
 * From now on no kprobe's registration begins on one of the part's jumps.  One
 * that is there is for rbl_check_probes() to find, and one that is under way
 * for the stop.  rbl_lock may be given back meanwhile.
 */
int rbl_bar_probes(struct rbl_record *record, struct rbl_part *part)
{
	LIST_HEAD(bars);
	struct bar *bar;
	u32 i;

	lockdep_assert_held(&rbl_lock);
	for (i = 0; i < part->n_writes; i++) {
		if (add_bar(&bars, part->writes + i))
			continue;
		free_bars(&bars);
		return rbl_refuse(record, RBL_NO_MEMORY);
	}
	rbl_lock_patiently(rbl_kernel_data.kprobe_mutex);
	list_for_each_entry(bar, &bars, list)
		list_add_tail_rcu(&bar->entry.list, rbl_kernel_data.kprobe_blacklist);
	mutex_unlock(rbl_kernel_data.kprobe_mutex);
	list_splice_tail(&bars, &part->bars);
	return 0;
}

/* The part's jumps are gone, or are not going to be written: kprobes may come again at once. */
void rbl_lift_bars(struct rbl_part *part)
{
	struct bar *bar;

	lockdep_assert_held(&rbl_lock);
	if (list_empty(&part->bars))
		return;
	list_for_each_entry(bar, &part->bars, list)
		WRITE_ONCE(bar->entry.start_addr, ULONG_MAX);
	list_splice_tail_init(&part->bars, &lifted);
	queue_work(system_unbound_wq, &removal);
}

/* No update is left. */
void rbl_bars_exit(void)
{
	flush_work(&removal);
}
