// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Loadable modules that come and go while an update of theirs is live.
 *
 * The update's hooks that may sleep are called without rbl_lock: one that hangs
 * keeps the module that it was called for, and nothing else.  Meanwhile the
 * part is resolved and not present, so the update can be reversed without it;
 * it cannot be applied again, since the module is neither LIVE nor gone.
 */
#define pr_fmt(fmt) "rebootless: " fmt

#include <linux/async.h>
#include <linux/delay.h>
#include <linux/mm.h>

#include "internal.h"

/* Calls a part's hooks of a stage in which they may sleep; neither the record nor the update's module goes meanwhile. */
static int call(struct rbl_record *record, const struct rbl_part *part, u32 stage, const struct rbl_hook **refusing)
{
	int value;

	lockdep_assert_held(&rbl_lock);
	if (!part->object->n_hooks)
		return 0;
	record->visits++;
	mutex_unlock(&rbl_lock);
	value = rbl_part_hooks(part, stage, refusing);
	mutex_lock(&rbl_lock);
	record->visits--;
	return value;
}

/* ---- modules that come ---- */

/*
 * Whether the part was written, or a negative errno: the update's deadline may
 * come at any time, and then finds what was; and a kprobe may have come.
 */
static int write_if_live(struct rbl_record *record, struct rbl_part *part)
{
	struct rbl_offence offence = {};
	u32 code = RBL_OK;
	bool live;

	rbl_lock_text();
	rbl_begin_writing();
	live = rbl_is_live(record);
	if (live)
		code = rbl_write_part(part, &offence);
	rbl_end_writing();
	rbl_unlock_text();
	return code ? rbl_refuse_offence(record, code, &offence) : live;
}

/*
 * Applies a resolved part to a module that has not run any code yet: nothing
 * has to be stopped.  Whether it did, or a negative errno: the update may have
 * been reversed meanwhile.
 */
static int apply_part(struct rbl_record *record, struct rbl_part *part)
{
	const struct rbl_hook *refusing;
	int value, err = rbl_bar_probes(record, part);

	if (err)
		return err;
	value = call(record, part, RBL_PRE_APPLY, &refusing);
	if (!rbl_is_live(record)) {
		call(record, part, RBL_FAIL_APPLY, NULL);
		return false;
	}
	rbl_begin(record);
	rbl_fact(record, "object: %s\n", part->object->name);
	err = value ? 0 : rbl_check_probes(record, part);
	if (!err && !value)
		value = rbl_part_hooks(part, RBL_CHECK_APPLY, &refusing);
	if (value)
		err = rbl_refuse_hook(record, refusing, value);
	err = err ? : write_if_live(record, part);
	if (err <= 0) {
		call(record, part, RBL_FAIL_APPLY, NULL);
		return err;
	}
	rbl_part_hooks(part, RBL_APPLY, NULL);
	rbl_set_present(record, part, true);
	return true;
}

static int join(struct rbl_record *record, struct rbl_part *part, struct module *module)
{
	int applied;

	rbl_begin(record);
	record->match_ns = 0;
	record->resolve_ns = 0;
	part->target = module;
	applied = rbl_resolve(record, part) ? : apply_part(record, part);
	if (applied <= 0) {
		rbl_unresolve(record, part);
		return applied;
	}
	rbl_keep_kept(record);
	rbl_succeed(record);
	pr_info("%s: %s has come: %u functions%s and %u data replaced before its init\n", record->name, module->name,
		part->n_writes, rbl_is_init_part(part) ? " of its init" : "", part->object->n_data);
	call(record, part, RBL_POST_APPLY, NULL);
	return 0;
}

/* A part of a live update that is yet to be applied to a module; NULL if there is none. */
static struct rbl_part *next_to_join(const struct module *module, struct rbl_record **record)
{
	struct rbl_part *part;

	list_for_each_entry((*record), &rbl_records, list) {
		if (!rbl_is_live(*record))
			continue;
		rbl_for_each_part(part, *record)
			if (!part->present && rbl_same_module(part->object->name, module->name))
				return part;
	}
	return NULL;
}

/*
 * A module is COMING, and all of the kernel's own notifiers have seen it.
 * Every update that is live is applied to it, or it is refused: else the host
 * would run code that is believed to be fixed.  The list of updates may be
 * another one after each of them.
 */
int rbl_object_coming(struct module *module)
{
	struct rbl_record *record;
	struct rbl_part *part;
	int err = 0;

	lockdep_assert_held(&rbl_lock);
	while (!err && (part = next_to_join(module, &record))) {
		struct module *update = record->module;

		__module_get(update);
		err = join(record, part, module);
		module_put(update);
	}
	if (err) {
		pr_warn("%s: not loaded, since an update that is applied does not fit it\n", module->name);
		rbl_object_going(module);
	}
	return err;
}

/* ---- modules whose init has run ---- */

/* A part that a module has; of its init code, if `init` is set.  NULL if there is none (any more). */
static struct rbl_part *next_of(const struct module *module, bool init, struct rbl_record **record)
{
	struct rbl_part *part;

	list_for_each_entry((*record), &rbl_records, list)
		rbl_for_each_part(part, *record)
			if (part->target == module && (!init || rbl_is_init_part(part)))
				return part;
	return NULL;
}

static void rest(void)
{
	mutex_unlock(&rbl_lock);
	msleep(10);
	mutex_lock(&rbl_lock);
}

/* Whether an operation calls the part's hooks now that did not hold its module, for it was COMING; waits a little then. */
static bool is_in_use(const struct rbl_part *part)
{
	if (!rbl_is_called_unpinned(part))
		return false;
	rest();
	return true;
}

static bool has_init_part(const struct module *module)
{
	struct rbl_record *record;
	bool found;

	mutex_lock(&rbl_lock);
	found = next_of(module, true, &record);
	mutex_unlock(&rbl_lock);
	return found;
}

static void forget_init_parts(const struct module *module)
{
	struct rbl_record *record;
	struct rbl_part *part;

	mutex_lock(&rbl_lock);
	while ((part = next_of(module, true, &record)))
		if (!is_in_use(part))
			rbl_unresolve(record, part);
	mutex_unlock(&rbl_lock);
}

/*
 * The module's init has run; its init code is about to be freed.  What that
 * has scheduled may still run: before the kernel frees the code, it waits for
 * it in the same way.  Not under rbl_lock, which it may need itself.
 */
void rbl_object_live(struct module *module)
{
	if (!has_init_part(module))
		return;
	if (!module->async_probe_requested)
		async_synchronize_full();
	forget_init_parts(module);
}

/* ---- modules that go ---- */

/* The module runs no code any more, so nothing has to be stopped, and no hook can keep it. */
static void leave(struct rbl_record *record, struct rbl_part *part)
{
	struct module *update = record->module;
	const struct rbl_hook *refusing;
	bool was_written;

	__module_get(update);
	rbl_lock_text();
	rbl_begin_writing();
	was_written = part->written;
	if (was_written)
		rbl_write_part_back(part);
	rbl_end_writing();
	rbl_unlock_text();
	rbl_set_present(record, part, false);
	if (!was_written) {	/* the deadline has come meanwhile */
		module_put(update);
		return;
	}
	call(record, part, RBL_PRE_REVERSE, &refusing);
	rbl_part_hooks(part, RBL_REVERSE, &refusing);
	call(record, part, RBL_POST_REVERSE, &refusing);
	module_put(update);
}

/*
 * A module is GOING: its code has been left.  The kernel's own notifiers have
 * not seen that yet, and find everything as if there had been no update.
 */
void rbl_object_going(struct module *module)
{
	struct rbl_record *record;
	struct rbl_part *part;

	lockdep_assert_held(&rbl_lock);
	while ((part = next_of(module, false, &record))) {
		if (is_in_use(part))
			continue;
		if (part->adrift && !rbl_come_ashore(record)) {
			rest();
			continue;
		}
		if (part->present && part->written)
			leave(record, part);
		pr_info("%s: %s has gone\n", record->name, module->name);
		rbl_unresolve(record, part);
	}
}
