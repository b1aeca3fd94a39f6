// SPDX-License-Identifier: GPL-2.0-or-later
/* The updates that are loaded: their list and its lock, how one is found, and the words for its state. */
#define pr_fmt(fmt) "rebootless: " fmt

#include <linux/kernel.h>

#include "internal.h"

DEFINE_MUTEX(rbl_lock);
LIST_HEAD(rbl_records);
struct workqueue_struct *rbl_workqueue;

struct rbl_record *rbl_record_of(struct kobject *kobj)
{
	return container_of(kobj, struct rbl_record, kobj);
}

/* A record by the name of its directory. */
struct rbl_record *rbl_find_directory(const char *name, const char *suffix)
{
	struct rbl_record *record;

	lockdep_assert_held(&rbl_lock);
	list_for_each_entry(record, &rbl_records, list)
		if (!strcmp(record->name, name) && !strcmp(record->suffix, suffix) && !record->number)
			return record;
	return NULL;
}

/* Another version of the same update, which a newer one replaces; NULL if there is none. */
struct rbl_record *rbl_find_other(const struct rbl_record *record)
{
	struct rbl_record *other;

	lockdep_assert_held(&rbl_lock);
	list_for_each_entry(other, &rbl_records, list)
		if (other != record && !strcmp(other->name, record->name) && other->state != RBL_FAILED &&
		    other->state != RBL_REPLACED)
			return other;
	return NULL;
}

/* Whether an operation on the update is under way, on any of its versions. */
bool rbl_is_busy(const struct rbl_record *record)
{
	const struct rbl_record *other;

	lockdep_assert_held(&rbl_lock);
	list_for_each_entry(other, &rbl_records, list)
		if ((other->busy || READ_ONCE(other->returning)) && !strcmp(other->name, record->name))
			return true;
	return record->busy || READ_ONCE(record->returning);
}

struct rbl_record *rbl_find_module_record(const struct module *module)
{
	struct rbl_record *record;

	lockdep_assert_held(&rbl_lock);
	list_for_each_entry(record, &rbl_records, list)
		if (record->module == module)
			return record;
	return NULL;
}

static const char *const state_names[] = {
	[RBL_MATCHED] = "matched",
	[RBL_APPLIED] = "applied",
	[RBL_CONFIRMED] = "confirmed",
	[RBL_REVERSED] = "reversed",
	[RBL_REPLACED] = "replaced",
	[RBL_FAILED] = "failed",
};

const char *rbl_state_name(const struct rbl_record *record)
{
	return state_names[READ_ONCE(record->state)];
}

/*
 * Gives its directory the name that it has by now, after the fact: it is an
 * inconvenience if that fails.  Without rbl_lock, since the kernel has much to do
 * for it; by who made it another one alone.
 */
void rbl_rename(struct rbl_record *record)
{
	char name[RBL_NAME_MAX + sizeof(RBL_PREVIOUS) + 12];

	lockdep_assert_not_held(&rbl_lock);
	snprintf(name, sizeof(name), record->number ? "%s%s.%u" : "%s%s", record->name, record->suffix, record->number);
	if (kobject_rename(&record->kobj, name))
		pr_warn("%s: its directory could not be renamed to %s\n", kobject_name(&record->kobj), name);
}
