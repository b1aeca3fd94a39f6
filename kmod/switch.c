// SPDX-License-Identifier: GPL-2.0-or-later
/* The switch between old and replacement code: as many tries as it takes, and what was in the way if none does it. */
#define pr_fmt(fmt) "rebootless: " fmt

#include <linux/kallsyms.h>

#include "internal.h"
#include "stop.h"

/* ---- naming what was in the way ---- */

static const char *function_at(const struct rbl_record *record, unsigned long address)
{
	const struct rbl_part *part;
	u32 i;

	rbl_for_each_part(part, record)
		for (i = 0; part->present && i < part->object->n_functions; i++) {
			const struct rbl_site *site = part->sites + i;
			unsigned long new = (unsigned long)site->function->replacement;

			if ((address >= site->old && address < site->old + site->function->size) ||
			    (address >= new && address < new + site->function->replacement_size))
				return site->function->name;
		}
	return NULL;
}

static void name_function(const struct rbl_stop *stop, struct rbl_conflict *row)
{
	const char *name = function_at(stop->record, row->address);

	if (!name && stop->previous)
		name = function_at(stop->previous, row->address);
	if (name)
		strscpy(row->function, name, sizeof(row->function));
	else
		rbl_name_of(row->address, row->function, sizeof(row->function));
}

static void name_functions(struct rbl_stop *stop)
{
	u32 i;

	for (i = 0; i < stop->stacks.conflicts.count; i++)
		name_function(stop, stop->stacks.conflicts.rows + i);
}

/* Tasks that are left in the replacement code. */
static void show_holders(struct rbl_record *record, struct rbl_stop *stop)
{
	name_functions(stop);
	mutex_lock(&record->shown);
	record->n_holders = stop->stacks.n_conflicts;
	record->holders = stop->stacks.conflicts;
	mutex_unlock(&record->shown);
}

/* A task that is in a function, and will be in the next try, too; NULL: there is none. */
static const struct rbl_conflict *never_leaves(const struct rbl_conflicts *conflicts)
{
	const struct rbl_conflict *row;

	for (row = conflicts->rows; row < conflicts->rows + conflicts->count; row++)
		if (row->address && row->kind == RBL_TASK_ALWAYS_THERE)
			return row;
	return NULL;
}

/* The one that is named first.  Those whose stacks could not be walked have no address. */
static const struct rbl_conflict *foremost(const struct rbl_conflicts *conflicts)
{
	const struct rbl_conflict *row;

	for (row = conflicts->rows; row < conflicts->rows + conflicts->count; row++)
		if (row->address)
			return never_leaves(conflicts) ? : row;
	return conflicts->rows;
}

/* What the operator has to know of a task beside its name. */
static void show_reason(struct rbl_record *record, const struct rbl_conflict *row)
{
	char stopped_at[RBL_FUNCTION_MAX];

	if (row->faults) {
		rbl_fact(record, "reason: it waits for user memory: a page of FUSE, userfaultfd or a file on the network\n");
	} else if (row->stopped_at) {
		rbl_name_of(row->stopped_at, stopped_at, sizeof(stopped_at));
		rbl_fact(record, "reason: its stack can be walked only up to %s\n", stopped_at);
	} else if (row->kind == RBL_TASK_OF_OFFLINE_CPU) {
		rbl_fact(record, "reason: its CPU is offline; it leaves the function when that is taken online\n");
	} else if (row->kind == RBL_TASK_OF_THE_KERNEL) {
		rbl_fact(record, "reason: it is a thread of the kernel, which cannot be restarted; if it stays, reboot into a fixed kernel\n");
	}
}

static void show_conflicts(struct rbl_record *record, struct rbl_stop *stop)
{
	struct rbl_conflicts *conflicts = &stop->stacks.conflicts;
	const struct rbl_conflict *first;

	name_functions(stop);
	record->draft.conflicts = *conflicts;
	if (!conflicts->count)
		return;
	first = foremost(conflicts);
	rbl_fact(record, "task: %d %s\n", first->pid, first->comm);
	if (first->address)
		rbl_fact(record, "function: %s\n", first->function);
	if (first->address)
		rbl_secret(record, "address: 0x%lx\n", first->address);
	if (record->signalled)
		rbl_fact(record, "signalled: %u\n", record->signalled);
	show_reason(record, first);
}

/* Tasks that were ignored; logged to help debugging. */
static void log_leftovers(const struct rbl_record *record, struct rbl_stop *stop)
{
	struct rbl_conflicts *leftovers = &stop->stacks.leftovers;
	u32 i;

	for (i = 0; i < leftovers->count; i++) {
		struct rbl_conflict *row = leftovers->rows + i;

		name_function(stop, row);
		pr_info("%s: the stack of %d %s holds an address in %s of a call that is over\n",
			record->name, row->pid, row->comm, row->function);
	}
}

/* ---- tries ---- */

static bool is_worth_waiting(u32 code)
{
	return code == RBL_BUSY_FUNCTION || code == RBL_UNRELIABLE_STACK || code == RBL_HOOK_REFUSED;
}

/* The tries of a switch. */
struct tries {
	const struct rbl_switch_options *how;
	unsigned int pause;		/* after the next one, in ms */
	struct rbl_edge *edge;		/* of the kernel, to which tasks were sent; NULL: none were */
};

/* Whether this try is the last for which tasks are merely waited. */
static bool has_waited(const struct rbl_record *record, const struct rbl_switch_options *how)
{
	return how->force || how->blockers == RBL_REFUSE_BLOCKERS || record->tries >= max(rbl_tries, 1u);
}

/* Tasks have stayed in the way: sends them out, if that is wanted, and waits for them; false if there is no other try. */
static bool send_out(struct rbl_record *record, const struct rbl_stop *stop, struct tries *tries)
{
	int sent;

	if (tries->how->blockers != RBL_SIGNAL_BLOCKERS || stop->verdict == RBL_HOOK_REFUSED)
		return false;
	if (!tries->edge)
		tries->edge = rbl_edge_open();
	sent = tries->edge ? rbl_edge_send(tries->edge, &stop->stacks.conflicts) : -ENOMEM;
	if (sent < 0)
		return false;
	record->signalled += sent;
	mutex_unlock(&rbl_lock);
	rbl_edge_wait(tries->edge);
	mutex_lock(&rbl_lock);
	return !rbl_operation_wait(record, 1);	/* a moment for kernel threads that were woken */
}

/* Pauses after a try; false if there is to be no other one. */
static bool wait_for_tasks(struct rbl_record *record, const struct rbl_stop *stop, struct tries *tries)
{
	bool again;

	if (!is_worth_waiting(stop->verdict))
		return false;
	if (stop->stacks.writer_is_busy && (!stop->stacks.last_try || tries->how->blockers == RBL_SIGNAL_BLOCKERS))
		rbl_let_writer_go(record);
	if (stop->stacks.last_try)
		return send_out(record, stop, tries);
	again = !rbl_operation_wait(record, msecs_to_jiffies(tries->pause));
	tries->pause = rbl_longer(tries->pause);
	return again;
}

static int refuse_stop(struct rbl_record *record, struct rbl_stop *stop)
{
	if (stop->refusing)
		return rbl_refuse_hook(record, stop->refusing, stop->hook_value);
	if (is_worth_waiting(stop->verdict)) {
		show_conflicts(record, stop);
		return rbl_refuse(record, never_leaves(&stop->stacks.conflicts) ? RBL_NEVER_LEFT : stop->verdict);
	}
	if (stop->verdict == RBL_UNSUPPORTED_KERNEL)
		rbl_fact(record, "reason: the kernel did not stop its processors\n");
	if (stop->probed)
		return rbl_refuse_probe(record, stop->probed, stop->used);
	if (stop->offender)
		return rbl_refuse_step(record, stop->verdict, stop->offender, stop->used, stop->found);
	return rbl_refuse(record, stop->verdict);
}

/* What has to hold before each try, since modules and other updates may have come and gone meanwhile. */
static int check_again(struct rbl_record *record, const struct rbl_switch_options *how)
{
	struct rbl_part *part;
	int err;

	rbl_begin(record);
	if (how->purpose != RBL_TO_REPLACEMENT)
		return rbl_check_engaged(record);
	err = rbl_parts_resolve(record) ? : rbl_check_engaged(record);
	rbl_for_each_part(part, record) {
		if (err || !part->present)
			continue;
		rbl_find_entries(part);
		err = rbl_check_conflicts(record, part);
	}
	return err;
}

/* One try; true if another one is wanted. */
static bool try(struct rbl_record *record, struct rbl_stop *stop, struct tries *tries)
{
	const struct rbl_switch_options *how = tries->how;

	rbl_stop_begin(stop, has_waited(record, how));
	if (how->deadline)
		rbl_set_deadline(record, how->deadline);
	rbl_stop_all_cpus(stop);
	if (stop->verdict && how->deadline)
		rbl_clear_deadline(record);
	return wait_for_tasks(record, stop, tries);
}

static int end_tries(struct rbl_record *record, const struct rbl_switch_options *how, struct rbl_stop *stop)
{
	record->pause_ns = stop->pause_ns;
	record->stop_ns = stop->stop_ns;
	record->looked_at = stop->looked_at;
	if (stop->verdict)
		return refuse_stop(record, stop);
	if (how->force)
		show_holders(record, stop);
	else
		log_leftovers(record, stop);
	return 0;
}

static int try_on(struct rbl_record *record, struct tries *tries)
{
	struct rbl_stop *stop;
	bool again;
	int err;

	for (record->tries = 1;; record->tries++) {
		err = check_again(record, tries->how) ? : rbl_stop_new(record, tries->how, &stop);
		if (err)
			return err;
		again = try(record, stop, tries);
		if (!again)
			err = end_tries(record, tries->how, stop);
		rbl_stop_free(stop);
		if (!again)
			return err;
	}
}

/*
 * Switches between old and replacement code.  While tasks are in the way it
 * waits, without rbl_lock, and tries again.  0, or the refusal's errno.
 */
int rbl_switch(struct rbl_record *record, const struct rbl_switch_options *how)
{
	struct tries tries = { .how = how, .pause = max(rbl_first_pause_ms, 1u) };
	int err;

	lockdep_assert_held(&rbl_lock);
	record->signalled = 0;
	err = try_on(record, &tries);
	rbl_edge_close(tries.edge);
	return err;
}

/*
 * Looks once whether tasks are in the update's module: how many, under their
 * names in record->holders, or a negative errno: it is not known then.
 */
int rbl_look_for_holders(struct rbl_record *record)
{
	const struct rbl_switch_options how = { .purpose = RBL_CHECK_ONLY, .force = true };
	struct rbl_stop *stop;
	int err;

	lockdep_assert_held(&rbl_lock);
	rbl_begin(record);
	err = rbl_stop_new(record, &how, &stop);
	if (err)
		return err;
	rbl_stop_begin(stop, true);
	rbl_stop_all_cpus(stop);
	if (stop->verdict)
		err = -EIO;
	else
		show_holders(record, stop);
	rbl_stop_free(stop);
	return err ? : record->n_holders;
}
