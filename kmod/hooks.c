// SPDX-License-Identifier: GPL-2.0-or-later
/* An update's custom code: called at its stages, as docs/custom-code.md says. */
#include "internal.h"

static const char *const stage_names[RBL_HOOK_STAGES] = {
	[RBL_PRE_APPLY] = "pre_apply",
	[RBL_CHECK_APPLY] = "check_apply",
	[RBL_APPLY] = "apply",
	[RBL_POST_APPLY] = "post_apply",
	[RBL_FAIL_APPLY] = "fail_apply",
	[RBL_PRE_REVERSE] = "pre_reverse",
	[RBL_CHECK_REVERSE] = "check_reverse",
	[RBL_REVERSE] = "reverse",
	[RBL_POST_REVERSE] = "post_reverse",
	[RBL_FAIL_REVERSE] = "fail_reverse",
};

static bool may_refuse(u32 stage)
{
	return stage == RBL_PRE_APPLY || stage == RBL_CHECK_APPLY || stage == RBL_PRE_REVERSE || stage == RBL_CHECK_REVERSE;
}

bool rbl_has_hooks(const struct rbl_record *record, u32 stage)
{
	const struct rbl_part *part;
	u32 i;

	rbl_for_each_part(part, record)
		for (i = 0; part->present && i < part->object->n_hooks; i++)
			if (part->object->hooks[i].stage == stage)
				return true;
	return false;
}

/* Calls a part's hooks of a stage, in their order.  The value of the first that refuses, *refusing is which; else 0. */
int rbl_part_hooks(const struct rbl_part *part, u32 stage, const struct rbl_hook **refusing)
{
	const struct rbl_hook *hook = part->object->hooks, *end = hook + part->object->n_hooks;

	for (; hook < end; hook++) {
		int value = hook->stage == stage ? hook->call() : 0;

		if (value && may_refuse(stage)) {
			*refusing = hook;
			return value;
		}
	}
	return 0;
}

/* The same for all parts that the party has engaged. */
int rbl_hooks(const struct rbl_record *record, enum rbl_party party, u32 stage, const struct rbl_hook **refusing)
{
	const struct rbl_part *part;
	int value = 0;

	rbl_for_each_part(part, record)
		if (part->engaged[party] && !value)
			value = rbl_part_hooks(part, stage, refusing);
	return value;
}

int rbl_refuse_hook(struct rbl_record *record, const struct rbl_hook *hook, int value)
{
	char name[RBL_FUNCTION_MAX];

	rbl_name_of((unsigned long)hook->call, name, sizeof(name));
	rbl_fact(record, "function: %s\n", name);
	rbl_fact(record, "stage: %s\n", stage_names[hook->stage]);
	rbl_fact(record, "value: %d\n", value);
	return rbl_refuse(record, RBL_HOOK_REFUSED);
}
