// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Static branches of replacement code whose keys lie in a loadable module.
 *
 * The update module's own table cannot have them: the kernel reads it when the
 * update is loaded, and the keys may come later, and go.  So each part has a
 * table of its own, which the kernel is told of as one of a module that has
 * nothing else: a struct module of the helper's, with a table and a state.
 */
#include <linux/jump_label.h>
#include <linux/mm.h>

#include "internal.h"

/*
 * Whether the key is the update's own.  It is then as it was compiled; or it
 * never changes, and stands for one of a loadable module, as which the code may
 * have been written by now: that module's part is resolved first.
 */
static bool has_own_key(const struct jump_entry *entry)
{
	bool own;

	preempt_disable();	/* __module_address() walks a tree under RCU-sched */
	own = rbl_kernel(__module_address)((unsigned long)jump_entry_key(entry)) ==
	      rbl_kernel(__module_address)(jump_entry_code(entry));
	preempt_enable();
	return own;
}

/* Writes what the kernel takes for the entry's initial state, unless it is there. */
static void settle(const struct jump_entry *entry)
{
	u8 *where = (u8 *)jump_entry_code(entry), code[RBL_JUMP_SIZE];
	bool jump = !!(jump_entry_key(entry)->type & JUMP_TYPE_TRUE) ^ jump_entry_is_branch(entry);
	u32 size = rbl_arch_branch_size(where);

	lockdep_assert_held(rbl_kernel_data.text_mutex);
	if (!size)
		return;
	rbl_arch_make_branch(code, size, (unsigned long)where, jump_entry_target(entry), jump);
	if (memcmp(where, code, size))
		rbl_arch_poke(where, code, size);
}

/*
 * Before the kernel is told of branches in replacement code: it rewrites only
 * those whose keys have left the state that they were compiled with.  Which one
 * that was it takes from the running key, but a patch may have changed it; and
 * code whose keys have been there before is as those keys left it.
 */
void rbl_settle_new_branches(const struct jump_entry *entries, u32 count)
{
	u32 i;

	mutex_lock(rbl_kernel_data.text_mutex);
	for (i = 0; i < count; i++)
		if (!has_own_key(entries + i))
			settle(entries + i);
	mutex_unlock(rbl_kernel_data.text_mutex);
}

/*
 * Has the kernel set the part's branches as their keys are, and follow them.
 * For an object that is COMING, its keys have to be known to the kernel
 * already: that overwrites what they point to.
 */
int rbl_register_branches(struct rbl_record *record, struct rbl_part *part)
{
	struct module *module;
	int err;

	lockdep_assert_held(&rbl_lock);
	if (!part->object->n_jump_entries)
		return 0;
	module = kvzalloc(sizeof(*module), GFP_KERNEL);
	if (!module)
		return rbl_refuse(record, RBL_NO_MEMORY);
	strscpy(module->name, record->module->name, sizeof(module->name));
	module->state = MODULE_STATE_LIVE;
	module->jump_entries = part->object->jump_entries;
	module->num_jump_entries = part->object->n_jump_entries;
	rbl_settle_new_branches(part->object->jump_entries, part->object->n_jump_entries);
	err = notifier_to_errno(rbl_kernel(jump_label_module_notify)(NULL, MODULE_STATE_COMING, module));
	if (err) {
		kvfree(module);
		return rbl_refuse(record, RBL_NO_MEMORY);	/* the only reason that there is */
	}
	part->branches = module;
	return 0;
}

/* Has the kernel forget them; before it does so with the object's own, if that is GOING. */
void rbl_unregister_branches(struct rbl_part *part)
{
	lockdep_assert_held(&rbl_lock);
	if (!part->branches)
		return;
	rbl_kernel(jump_label_module_notify)(NULL, MODULE_STATE_GOING, part->branches);
	kvfree(part->branches);
	part->branches = NULL;
}
