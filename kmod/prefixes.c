// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Jumps over the prefixes of instructions that the kernel changes by itself.
 *
 * A kernel that began with one CPU has written another prefix over each that
 * locks, and takes it back when a second CPU comes.  It looks first, and leaves
 * a place alone that holds neither.  So a jump may lie over one, if none of the
 * jump's own bytes looks like it there; what belongs under the jump is made
 * anew from the kernel's state whenever it is needed.
 */
#include "internal.h"

static int note(struct rbl_record *record, struct rbl_write *write, u64 at)
{
	write->prefixes |= 1u << at;
	if (!rbl_arch_changes_prefix(write->jump[at]))
		return 0;
	rbl_secret(record, "address: 0x%lx\n", (unsigned long)write->where + (unsigned long)at);
	rbl_fact(record, "reason: the kernel would change a byte of the jump to where the module is now; load it again\n");
	return rbl_refuse(record, RBL_BAD_UPDATE);
}

/* Looks which bytes under the jump are such prefixes; the part has been matched. */
int rbl_find_prefixes(struct rbl_record *record, const struct rbl_part *part, struct rbl_write *write)
{
	const void *program = part->object->program;
	const struct rbl_header *header = program;
	const struct rbl_section *section = program + header->sections.offset;
	const struct rbl_place *places = program + header->places.offset;
	u32 i, k;

	lockdep_assert_held(&rbl_lock);
	for (i = 0; i < header->sections.count; i++, section++) {
		for (k = 0; part->result.bases[i] && k < section->n_places; k++) {
			const struct rbl_place *place = places + section->first_place + k;
			u64 at = part->result.bases[i] + place->offset - (unsigned long)write->where;
			int err = at < RBL_JUMP_SIZE && rbl_arch_is_prefix(place->kind) ? note(record, write, at) : 0;

			if (err)
				return err;
		}
	}
	return 0;
}

/* Makes what belongs under the part's jumps now; if text is not `locked`, what is right in any case. */
void rbl_settle_prefixes(struct rbl_part *part, bool locked)
{
	u32 i, at;

	for (i = 0; i < part->n_writes; i++)
		for (at = 0; at < RBL_JUMP_SIZE; at++)
			if (part->writes[i].prefixes & 1u << at)
				part->writes[i].saved[at] = rbl_arch_prefix(locked);
}
