// SPDX-License-Identifier: GPL-2.0-or-later
/* The end of an update's record, in two steps: what needs rbl_lock, and what waits for others. */
#include "internal.h"

/* The first step: the record holds nothing any more, and is in no list.  No operation on it begins after this. */
void rbl_detach(struct rbl_record *record)
{
	struct rbl_part *part;

	lockdep_assert_held(&rbl_lock);
	record->gone = true;
	/* The kernel has yet to read a going module's tables, by which it forgets its static branches: they stay. */
	rbl_for_each_part(part, record)
		part->fields_written = false;
	rbl_parts_free(record);
	list_del_init(&record->list);
}

/* A version that was loaded beside another one takes the update's name when that one is gone. */
static void promote(const char *name)
{
	struct rbl_record *next = rbl_find_directory(name, RBL_NEXT);

	if (next && !rbl_find_directory(name, ""))
		rbl_rename(next, "", 0);
}

/* The second step, without rbl_lock: waits for what still uses the record, and frees it. */
void rbl_bury(struct rbl_record *record)
{
	char name[sizeof(record->name)];

	lockdep_assert_not_held(&rbl_lock);
	strscpy(name, record->name, sizeof(name));
	cancel_delayed_work_sync(&record->deadline);
	cancel_delayed_work_sync(&record->drain);
	kobject_del(&record->kobj);	/* waits for the readers and writers of its files */
	rbl_operation_end(record);	/* not before: until then a writer could begin one more, and be killed, not waited for */
	kobject_put(&record->kobj);
	mutex_lock(&rbl_lock);
	promote(name);
	mutex_unlock(&rbl_lock);
}

/* Drops a failed record, at the operator's word. */
int rbl_forget(struct rbl_record *record)
{
	int err = rbl_operation_lock(record);

	if (err)
		return err;
	if (record->state != RBL_FAILED) {
		rbl_begin(record);
		rbl_fact(record, "state: %s\n", rbl_state_name(record));
		err = rbl_refuse(record, RBL_BAD_STATE);
		rbl_operation_unlock(record);
		return err;
	}
	rbl_detach(record);
	rbl_operation_unlock(record);
	rbl_bury(record);
	return 0;
}
