// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The objects of an update's parts: vmlinux, which is always there, and
 * loadable modules, which may be absent, come and go.
 *
 * A module that comes or goes passes our notifiers, which take rbl_lock
 * (coming.c).  So for the lock's holder, a module that is LIVE stays in memory,
 * and a part that is present is so as a whole.
 */
#include <linux/mm.h>

#include "internal.h"

static bool is_in_vmlinux(const struct rbl_part *part)
{
	return !strcmp(part->object->name, "vmlinux");
}

bool rbl_is_init_part(const struct rbl_part *part)
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
		INIT_LIST_HEAD(&parts[i].bars);
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

static int resolve_now(struct rbl_record *record, struct rbl_part *part)
{
	int err = rbl_resolve(record, part);

	if (!err)
		rbl_set_present(record, part, true);
	return err;
}

static int resolve_part(struct rbl_record *record, struct rbl_part *part)
{
	enum module_state state;
	struct module *target;

	if (part->present)
		return 0;
	if (rbl_is_init_part(part))
		return check_init_to_come(record, part);
	if (is_in_vmlinux(part))
		return resolve_now(record, part);
	target = find_target(part->object->name, &state);
	if (state == MODULE_STATE_UNFORMED)
		return 0;
	if (state != MODULE_STATE_LIVE) {
		rbl_fact(record, "object: %s\n", part->object->name);
		return rbl_refuse(record, RBL_OBJECT_BUSY);
	}
	part->target = target;
	return resolve_now(record, part);
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

/* Keeps the update's module until the next boot; it is held while this is called. */
void rbl_keep_code(struct rbl_record *record)
{
	lockdep_assert_held(&rbl_lock);
	if (record->kept)
		return;
	__module_get(record->module);
	record->kept = true;
}

/* Some updates' code may never go once it was applied: a timer that it has armed would call into freed memory.  Whether it is kept from now on. */
bool rbl_keep_kept(struct rbl_record *record)
{
	bool was_kept = record->kept;
	const struct rbl_part *part;

	lockdep_assert_held(&rbl_lock);
	rbl_for_each_part(part, record)
		if (part->present && part->object->flags & RBL_OBJECT_KEPT)
			rbl_keep_code(record);
	return record->kept && !was_kept;
}

/* ---- operations ---- */

/* Sees to it that the module of a part with hooks stays, since hooks are called without rbl_lock; false if it cannot. */
static bool pin(struct rbl_part *part, enum rbl_party party)
{
	/* Held or not, it goes if it fails to come; coming.c waits then. */
	if (READ_ONCE(part->target->state) == MODULE_STATE_COMING)
		return true;
	if (READ_ONCE(part->target->state) != MODULE_STATE_LIVE || !try_module_get(part->target))
		return false;
	part->pinned[party] = part->target;
	return true;
}

/* The parts that are there take part in what begins: an operation, or a way back beside one, with what has come since. */
int rbl_parts_engage(struct rbl_record *record, enum rbl_party party)
{
	struct rbl_part *part;

	lockdep_assert_held(&rbl_lock);
	rbl_for_each_part(part, record) {
		if (!part->present)
			continue;
		if (part->target && part->object->n_hooks && !pin(part, party)) {
			rbl_parts_disengage(record, party);
			rbl_fact(record, "object: %s\n", part->object->name);
			return rbl_refuse(record, RBL_OBJECT_BUSY);
		}
		part->engaged[party] = true;
	}
	return 0;
}

void rbl_parts_disengage(struct rbl_record *record, enum rbl_party party)
{
	struct rbl_part *part;

	lockdep_assert_held(&rbl_lock);
	rbl_for_each_part(part, record) {
		if (part->pinned[party])
			module_put(part->pinned[party]);
		part->pinned[party] = NULL;
		part->engaged[party] = false;
	}
}

/* Whether hooks of the part may be called now for which its module is not held, since it was COMING. */
bool rbl_is_called_unpinned(const struct rbl_part *part)
{
	int party;

	for (party = 0; party < RBL_PARTIES; party++)
		if (part->engaged[party] && part->object->n_hooks && !part->pinned[party])
			return true;
	return false;
}

/* That no part has come or gone since it began: its hooks would have been called for other parts. */
int rbl_check_engaged(struct rbl_record *record, enum rbl_party party)
{
	const struct rbl_part *part;

	lockdep_assert_held(&rbl_lock);
	rbl_for_each_part(part, record)
		if (part->present != part->engaged[party]) {
			rbl_fact(record, "object: %s\n", part->object->name);
			return rbl_refuse(record, RBL_OBJECT_BUSY);
		}
	return 0;
}
