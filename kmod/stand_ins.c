// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Jumps over static branches, or over the beginning of one: then what is
 * written goes on to the branch's end.
 *
 * The kernel rewrites a static branch whenever its key is switched, and panics
 * if something else stands there.  So while our jump lies over one, the
 * kernel's own entry for it leads to a stand-in of the helper's, in code that
 * never runs; and what belongs under the jump is made anew from the key's
 * state whenever it is needed.  All of that under the lock that switching keys
 * takes.
 */
#include <linux/bitmap.h>
#include <linux/jump_label.h>

#include "internal.h"

static DECLARE_BITMAP(taken, RBL_STAND_INS);

static u8 *take(void)
{
	unsigned long i = find_first_zero_bit(taken, RBL_STAND_INS);

	lockdep_assert_held(&rbl_lock);
	if (i == RBL_STAND_INS)
		return NULL;
	set_bit(i, taken);
	return rbl_stand_ins + i * RBL_STAND_IN_SIZE;
}

static void give_back(u8 *stand_in)
{
	lockdep_assert_held(&rbl_lock);
	clear_bit((stand_in - rbl_stand_ins) / RBL_STAND_IN_SIZE, taken);
}

/* A live jump at the same place, of the version of the update that this one is going to replace. */
static const struct rbl_write *live_write(const struct rbl_record *record, const u8 *where)
{
	const struct rbl_record *other;
	const struct rbl_part *part;
	u32 i;

	lockdep_assert_held(&rbl_lock);
	list_for_each_entry(other, &rbl_records, list) {
		if (other == record || strcmp(other->name, record->name) ||
		    !(rbl_is_live(other) || rbl_is_adrift(other)))
			continue;
		rbl_for_each_part(part, other)
			for (i = 0; part->present && i < part->n_writes; i++)
				if (part->writes[i].where == where && part->writes[i].branch)
					return part->writes + i;
	}
	return NULL;
}

static int note(struct rbl_record *record, struct rbl_write *write, struct jump_entry *entry, u32 at, u32 size)
{
	if (write->branch || at >= RBL_JUMP_SIZE) {
		rbl_secret(record, "address: 0x%lx\n", (unsigned long)write->where);
		rbl_fact(record, "reason: the jump lies over more than one static branch, or over the end of one\n");
		return rbl_refuse(record, RBL_BAD_UPDATE);
	}
	write->branch = entry;
	write->branch_at = at;
	write->branch_size = size;
	write->size = max_t(u32, write->size, at + size);
	write->branch_code = rbl_map_constant(&entry->code, sizeof(entry->code));
	if (!write->branch_code)
		return rbl_refuse(record, RBL_NO_MEMORY);
	write->stand_in = take();
	if (write->stand_in)
		return 0;
	rbl_fact(record, "branches: %u\n", RBL_STAND_INS);
	return rbl_refuse(record, RBL_NO_STAND_IN);
}

static int look_at(struct rbl_record *record, struct rbl_write *write, struct jump_entry *entry)
{
	unsigned long where = (unsigned long)write->where, code = jump_entry_code(entry);
	u8 bytes[RBL_STAND_IN_SIZE];
	u32 size;

	if (code + RBL_STAND_IN_SIZE <= where || code >= where + RBL_JUMP_SIZE)
		return 0;
	if (rbl_read_running(NULL, code, bytes, sizeof(bytes)))
		return rbl_refuse(record, RBL_READ_FAULT);
	size = rbl_arch_branch_size(bytes);
	if (size && code + size <= where)
		return 0;
	return note(record, write, entry, code < where || !size ? RBL_JUMP_SIZE : code - where, size);
}

/* Looks whether the jump lies over a static branch that the kernel may switch. */
int rbl_find_branch(struct rbl_record *record, const struct rbl_part *part, struct rbl_write *write)
{
	struct jump_entry *entry = *rbl_kernel_data.__start___jump_table, *end = *rbl_kernel_data.__stop___jump_table;
	const struct rbl_write *live = live_write(record, write->where);
	int err = 0;

	lockdep_assert_held(&rbl_lock);
	if (live)
		return note(record, write, live->branch, live->branch_at, live->branch_size);
	if (part->target) {
		entry = part->target->jump_entries;
		end = entry + part->target->num_jump_entries;
	}
	for (; entry < end && !err; entry++)
		err = look_at(record, write, entry);
	return err;
}

void rbl_forget_branch(struct rbl_write *write)
{
	if (write->stand_in)
		give_back(write->stand_in);
	rbl_unmap_constant(write->branch_code);
	write->stand_in = NULL;
	write->branch_code = NULL;
	write->branch = NULL;
}

static bool is_jump(const struct jump_entry *entry)
{
	return static_key_enabled(jump_entry_key(entry)) ^ jump_entry_is_branch(entry);
}

static bool is_stand_in_jump(const struct rbl_write *write)
{
	u8 none[RBL_STAND_IN_SIZE];

	rbl_arch_make_branch(none, sizeof(none), 0, 0, false);
	return memcmp(write->stand_in, none, sizeof(none));
}

/*
 * Makes what belongs under the part's jumps now: what the keys say, which are
 * `locked`; or, while the jumps are there, what the kernel has written last, to
 * the stand-ins.
 */
void rbl_settle_branches(struct rbl_part *part, bool locked)
{
	u32 i;

	for (i = 0; i < part->n_writes; i++) {
		struct rbl_write *write = part->writes + i;

		if (write->branch)
			rbl_arch_make_branch(write->saved + write->branch_at, write->branch_size,
					     (unsigned long)write->where + write->branch_at,
					     jump_entry_target(write->branch),
					     locked ? is_jump(write->branch) : is_stand_in_jump(write));
	}
}

/* What is to be written to a branch for which the kernel has switched a stand-in, without a jump over it; false: nothing. */
bool rbl_branch_step(struct rbl_write *write, struct rbl_step *step)
{
	u8 *where = write->where + write->branch_at;
	bool jump;

	if (!write->branch)
		return false;
	jump = is_jump(write->branch);
	rbl_arch_make_branch(write->saved + write->branch_at, write->branch_size, (unsigned long)where,
			     jump_entry_target(write->branch), jump);
	*step = (struct rbl_step){
		.where = where, .after = write->saved + write->branch_at, .size = write->branch_size,
		.target = jump ? jump_entry_target(write->branch) : (unsigned long)where + write->branch_size,
	};
	return memcmp(where, step->after, step->size);
}

bool rbl_has_branches(const struct rbl_part *part)
{
	u32 i;

	for (i = 0; i < part->n_writes; i++)
		if (part->writes[i].branch)
			return true;
	return false;
}

/* Whether the kernel still switches stand-ins of an update that was reversed: back.c. */
bool rbl_is_adrift(const struct rbl_record *record)
{
	const struct rbl_part *part;

	rbl_for_each_part(part, record)
		if (part->adrift)
			return true;
	return false;
}

/* Has the kernel switch the stand-ins, when the jumps are written, or again what stood under them; text is locked. */
void rbl_move_branches(const struct rbl_part *part, bool to_stand_ins)
{
	u32 i;

	for (i = 0; i < part->n_writes; i++) {
		const struct rbl_write *write = part->writes + i;
		struct jump_entry *entry = write->branch;
		u8 *site = to_stand_ins ? write->stand_in : write->where + write->branch_at, code[RBL_STAND_IN_SIZE];
		s32 field;

		if (!entry)
			continue;
		if (to_stand_ins) {
			rbl_arch_make_branch(code, sizeof(code), (unsigned long)site, jump_entry_target(entry), is_jump(entry));
			rbl_arch_poke(site, code, sizeof(code));
		}
		field = (long)site - (long)&entry->code;
		WRITE_ONCE(*write->branch_code, field);
	}
}
