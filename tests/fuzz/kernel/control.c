// SPDX-License-Identifier: GPL-2.0-or-later
/* What is written to `control`: kmod/control.c, up to the operation that it begins. */
#include "internal.h"
#include "input.h"

#define MAX_DEADLINE (30 * 24 * 3600)

struct mutex rbl_lock;

static unsigned int begun;

static int note(bool right)
{
	FUZZ_CHECK(right);
	begun++;
	return 0;
}

struct rbl_record *rbl_record_of(struct kobject *kobj)
{
	return container_of(kobj, struct rbl_record, kobj);
}

int rbl_apply(struct rbl_record *record, const struct rbl_arguments *arguments)
{
	return note(arguments->deadline <= MAX_DEADLINE && arguments->blockers <= RBL_REFUSE_BLOCKERS);
}

int rbl_extend(struct rbl_record *record, const struct rbl_arguments *arguments)
{
	return note(arguments->deadline && arguments->deadline <= MAX_DEADLINE && !arguments->blockers);
}

int rbl_confirm(struct rbl_record *record, const struct rbl_arguments *none)
{
	return note(!none->deadline && !none->blockers);
}

int rbl_reverse(struct rbl_record *record, const struct rbl_arguments *arguments)
{
	return note(!arguments->deadline);
}

int rbl_force(struct rbl_record *record)
{
	return note(true);
}

int rbl_forget(struct rbl_record *record)
{
	return note(true);
}

int rbl_operation_lock(struct rbl_record *record)
{
	mutex_lock(&rbl_lock);
	return 0;
}

void rbl_operation_unlock(struct rbl_record *record)
{
	mutex_unlock(&rbl_lock);
}

int rbl_operation_start(struct rbl_record *record, const char *name, rbl_run_fn *run,
			const struct rbl_arguments *arguments)
{
	return run(record, arguments);
}

static int broken;

struct kernfs_node *sysfs_break_active_protection(struct kobject *kobj, const struct attribute *attribute)
{
	broken++;
	return (struct kernfs_node *)&broken;
}

void sysfs_unbreak_active_protection(struct kernfs_node *node)
{
	broken--;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rbl_record record;
	struct kobj_attribute attribute = { { "control" } };
	struct input input = { data, size };
	char *buffer = (char *)take_bytes(&input, &size);
	ssize_t result;

	begun = 0;
	result = rbl_control_store(&record.kobj, &attribute, buffer, size);
	/* One operation and all of the input taken, or none and an error; and nothing is held afterwards. */
	FUZZ_CHECK(begun ? begun == 1 && result == (ssize_t)size : result < 0);
	fuzz_accepted += begun;
	FUZZ_CHECK(!broken && !rbl_lock.held);
	free(buffer);
	return 0;
}
