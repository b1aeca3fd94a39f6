// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The objects of an update's parts: vmlinux, which is always there, and
 * loadable modules, which may be absent, come and go.
 *
 * A module that comes or goes passes our notifiers, which take rbl_lock.  So
 * for the lock's holder, a module that is LIVE stays in memory, and none that is
 * COMING has been seen half.
 */
#define pr_fmt(fmt) "rebootless: " fmt

#include <linux/async.h>
#include <linux/mm.h>

#include "internal.h"

static bool is_in_vmlinux(const struct rbl_part *part)
{
	return !strcmp(part->object->name, "vmlinux");
}

static bool is_init_part(const struct rbl_part *part)
{
	return part->object->flags & RBL_OBJECT_INIT;
}

/* The loaded module of the name, NULL if there is none; *state is its own, UNFORMED if there is none. */
static struct module *find_target(const char *object, enum module_state *state)
{
	char name[MODULE_NAME_LEN];
	struct module *module;

	strscpy(name, object, sizeof(name));
	strreplace(name, '-', '_');
	preempt_disable();	/* find_module() walks the list under RCU-sched */
	module = rbl_kernel(find_module)(name);
	*state = module ? READ_ONCE(module->state) : MODULE_STATE_UNFORMED;
	preempt_enable();
	return module;
}

/* All parts, absent; rbl_parts_free() them. */
int rbl_parts_new(struct rbl_record *record)
{
	u32 i, count = record->update->n_objects;
	struct rbl_part *parts = kvcalloc(count, sizeof(*parts), GFP_KERNEL);

	lockdep_assert_held(&rbl_lock);
	if (!parts)
		return rbl_refuse(record, RBL_NO_MEMORY);
	for (i = 0; i < count; i++) {
		parts[i].object = record->update->objects + i;
		INIT_LIST_HEAD(&parts[i].pins);
	}
	mutex_lock(&record->shown);
	record->parts = parts;
	record->n_parts = count;
	mutex_unlock(&record->shown);
	return 0;
}

void rbl_parts_free(struct rbl_record *record)
{
	struct rbl_part *part, *parts = record->parts;

	lockdep_assert_held(&rbl_lock);
	rbl_for_each_part(part, record)
		rbl_unresolve(record, part);
	mutex_lock(&record->shown);
	record->parts = NULL;
	record->n_parts = 0;
	mutex_unlock(&record->shown);
	kvfree(parts);
}

/* Init code can only be replaced before it runs. */
static int check_init_to_come(struct rbl_record *record, const struct rbl_part *part)
{
	enum module_state state;

	find_target(part->object->name, &state);
	if (state == MODULE_STATE_UNFORMED)
		return 0;
	rbl_fact(record, "object: %s\nfunction: %s\n", part->object->name, part->object->functions[0].name);
	return rbl_refuse(record, RBL_INIT_HAS_RUN);
}

static int resolve_part(struct rbl_record *record, struct rbl_part *part)
{
	enum module_state state;
	struct module *target;

	if (part->present)
		return 0;
	if (is_init_part(part))
		return check_init_to_come(record, part);
	if (is_in_vmlinux(part))
		return rbl_resolve(record, part);
	target = find_target(part->object->name, &state);
	if (state == MODULE_STATE_UNFORMED)
		return 0;
	if (state != MODULE_STATE_LIVE) {
		rbl_fact(record, "object: %s\n", part->object->name);
		return rbl_refuse(record, RBL_OBJECT_BUSY);
	}
	part->target = target;
	return rbl_resolve(record, part);
}

/* Matches and resolves each part whose object is there and which is not resolved yet. */
int rbl_parts_resolve(struct rbl_record *record)
{
	struct rbl_part *part;
	int err = 0;

	lockdep_assert_held(&rbl_lock);
	rbl_for_each_part(part, record)
		if (!err)
			err = resolve_part(record, part);
	return err;
}

/* ---- operations ---- */

/*
 * The parts that are there take part in the operation that begins.  The modules
 * of those with hooks stay, since hooks are called without rbl_lock.
 */
int rbl_parts_engage(struct rbl_record *record)
{
	struct rbl_part *part;

	lockdep_assert_held(&rbl_lock);
	if (record->operations++)
		return 0;
	rbl_for_each_part(part, record) {
		if (!part->present)
			continue;
		/* A module that is COMING may fail to: its memory would go, held or not. */
		if (part->target && part->object->n_hooks) {
			if (READ_ONCE(part->target->state) != MODULE_STATE_LIVE || !try_module_get(part->target)) {
				rbl_parts_disengage(record);
				rbl_fact(record, "object: %s\n", part->object->name);
				return rbl_refuse(record, RBL_OBJECT_BUSY);
			}
			part->pinned = part->target;
		}
		part->engaged = true;
	}
	return 0;
}

void rbl_parts_disengage(struct rbl_record *record)
{
	struct rbl_part *part;

	lockdep_assert_held(&rbl_lock);
	if (--record->operations)
		return;
	rbl_for_each_part(part, record) {
		if (part->pinned)
			module_put(part->pinned);
		part->pinned = NULL;
		part->engaged = false;
	}
}

/* That no part has come or gone since the operation began: its hooks would have been called for other parts. */
int rbl_check_engaged(struct rbl_record *record)
{
	const struct rbl_part *part;

	lockdep_assert_held(&rbl_lock);
	rbl_for_each_part(part, record)
		if (part->present != part->engaged) {
			rbl_fact(record, "object: %s\n", part->object->name);
			return rbl_refuse(record, RBL_OBJECT_BUSY);
		}
	return 0;
}

/* ---- modules that come ---- */

/* Some updates' code may never go once it was applied: a timer that it has armed would call into freed memory. */
void rbl_keep_code(struct rbl_record *record)
{
	const struct rbl_part *part;

	lockdep_assert_held(&rbl_lock);
	rbl_for_each_part(part, record)
		if (part->present && part->object->flags & RBL_OBJECT_KEPT && !record->kept) {
			__module_get(record->module);
			record->kept = true;
		}
}

/* Applies a resolved part to a module that has not run any code yet: nothing has to be stopped. */
static int apply_part(struct rbl_record *record, struct rbl_part *part)
{
	const struct rbl_hook *refusing;
	int value = rbl_part_hooks(part, RBL_PRE_APPLY, &refusing) ? : rbl_part_hooks(part, RBL_CHECK_APPLY, &refusing);

	if (value) {
		rbl_part_hooks(part, RBL_FAIL_APPLY, NULL);
		rbl_fact(record, "object: %s\n", part->object->name);
		return rbl_refuse_hook(record, refusing, value);
	}
	rbl_write_part(part, true);
	rbl_part_hooks(part, RBL_APPLY, NULL);
	rbl_part_hooks(part, RBL_POST_APPLY, NULL);
	return 0;
}

static int join(struct rbl_record *record, struct rbl_part *part, struct module *module)
{
	int err;

	rbl_begin(record);
	record->match_ns = 0;
	record->resolve_ns = 0;
	part->target = module;
	err = rbl_resolve(record, part);
	if (err)
		return err;
	err = apply_part(record, part);
	if (err) {
		rbl_unresolve(record, part);
		return err;
	}
	rbl_keep_code(record);
	rbl_succeed(record);
	pr_info("%s: %s has come: %u functions%s and %u data replaced before its init\n", record->name, module->name,
		part->n_writes, is_init_part(part) ? " of its init" : "", part->object->n_data);
	return 0;
}

/*
 * A module is COMING, and all of the kernel's own notifiers have seen it.
 * Every update that is live is applied to it, or it is refused: else the host
 * would run code that is believed to be fixed.
 */
int rbl_object_coming(struct module *module)
{
	struct rbl_record *record;
	struct rbl_part *part;
	int err = 0;

	lockdep_assert_held(&rbl_lock);
	list_for_each_entry(record, &rbl_records, list) {
		if (!rbl_is_live(record))
			continue;
		rbl_for_each_part(part, record)
			if (!err && !part->present && rbl_same_module(part->object->name, module->name))
				err = join(record, part, module);
	}
	if (err) {
		pr_warn("%s: not loaded, since an update that is applied does not fit it\n", module->name);
		rbl_object_going(module);
	}
	return err;
}

static bool has_init_part(const struct module *module)
{
	struct rbl_record *record;
	struct rbl_part *part;
	bool found = false;

	mutex_lock(&rbl_lock);
	list_for_each_entry(record, &rbl_records, list)
		rbl_for_each_part(part, record)
			found |= part->target == module && is_init_part(part);
	mutex_unlock(&rbl_lock);
	return found;
}

static void forget_init_parts(const struct module *module)
{
	struct rbl_record *record;
	struct rbl_part *part;

	mutex_lock(&rbl_lock);
	list_for_each_entry(record, &rbl_records, list)
		rbl_for_each_part(part, record)
			if (part->target == module && is_init_part(part))
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

static void leave(struct rbl_record *record, struct rbl_part *part)
{
	const struct rbl_hook *refusing;	/* none can: the module goes in any case */

	if (rbl_is_live(record)) {
		rbl_part_hooks(part, RBL_PRE_REVERSE, &refusing);
		rbl_write_part(part, false);
		rbl_part_hooks(part, RBL_REVERSE, &refusing);
		rbl_part_hooks(part, RBL_POST_REVERSE, &refusing);
	}
	pr_info("%s: %s has gone\n", record->name, part->target->name);
	rbl_unresolve(record, part);
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
	list_for_each_entry(record, &rbl_records, list)
		rbl_for_each_part(part, record)
			if (part->target == module)
				leave(record, part);
}
