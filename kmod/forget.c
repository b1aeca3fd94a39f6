// SPDX-License-Identifier: GPL-2.0-or-later
/* The end of an update's record. */
#include "internal.h"

/* Ends a record: no file of it is left, nor anything that it held. */
void rbl_drop(struct rbl_record *record)
{
	struct rbl_part *part;

	lockdep_assert_held(&rbl_lock);
	record->gone = true;
	list_del_init(&record->list);
	cancel_delayed_work_sync(&record->deadline);
	rbl_operation_end(record);
	kobject_del(&record->kobj);	/* waits for the readers of its files */
	/* The kernel has yet to read a going module's tables, by which it forgets its static branches: they stay. */
	rbl_for_each_part(part, record)
		part->fields_written = false;
	rbl_parts_free(record);
	kobject_put(&record->kobj);
}

/* A version that was loaded beside another one takes the update's name when that one is gone. */
void rbl_promote(const char *name)
{
	struct rbl_record *next = rbl_find_directory(name, RBL_NEXT);

	lockdep_assert_held(&rbl_lock);
	if (next && !rbl_find_directory(name, ""))
		rbl_rename(next, "", 0);
}

/* Drops a failed record, at the operator's word. */
int rbl_forget(struct rbl_record *record, unsigned int unused)
{
	char name[sizeof(record->name)];

	lockdep_assert_held(&rbl_lock);
	if (record->state != RBL_FAILED) {
		rbl_begin(record);
		rbl_fact(record, "state: %s\n", rbl_state_name(record));
		return rbl_refuse(record, RBL_BAD_STATE);
	}
	strscpy(name, record->name, sizeof(name));
	rbl_drop(record);
	rbl_promote(name);
	return 0;
}
