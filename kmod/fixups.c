// SPDX-License-Identifier: GPL-2.0-or-later
/* The fields of replacement code that only the helper module can fill in: what they refer to is not exported. */
#include <linux/jump_label.h>
#include <linux/mm.h>
#include <linux/uaccess.h>

#include "internal.h"

static bool is_relative(u32 type)
{
	return type == RBL_PC8 || type == RBL_PC32 || type == RBL_PC64;
}

/* A constant that the boot writes into the kernel's code, but not into a module's: the value of a variable. */
static bool is_copy(u32 type)
{
	return type == RBL_COPY64 || type == RBL_COPY8;
}

static bool fits(u32 type, u64 value)
{
	switch (type) {
	case RBL_PC8:
		return (s8)value == (s64)value;
	case RBL_PC32:
	case RBL_ABS32S:
		return (s32)value == (s64)value;
	case RBL_ABS32:
		return (u32)value == value;
	default:
		return true;
	}
}

static u64 field_value(const struct rbl_fixup *fixup, u64 symbol)
{
	return symbol + fixup->addend - (is_relative(fixup->type) ? (unsigned long)fixup->where : 0);
}

/* What is to stand in the field of a matched part; false if the variable of a constant cannot be read. */
static bool matched_value(const struct rbl_part *part, const struct rbl_fixup *fixup, u64 *value)
{
	u64 variable;

	*value = field_value(fixup, part->result.values[fixup->symbol]);
	if (!is_copy(fixup->type))
		return true;
	variable = *value;
	*value = 0;
	return !copy_from_kernel_nofault(value, (void *)(unsigned long)variable, rbl_field_width(fixup->type));
}

/*
 * Whether the field still holds what the module loader left there: the value
 * for an undefined weak symbol (0), or for an exported one of the same name.
 * Anything else was written by module_finalize() (an alternative, a paravirt
 * call), and a value in the midst of it would make other code of it.
 */
static bool is_loaders(const struct rbl_part *part, const struct rbl_fixup *fixup)
{
	const struct rbl_lookup *lookup = &part->lookup;
	u32 i, width = rbl_field_width(fixup->type);
	u64 value = field_value(fixup, 0);

	if (is_copy(fixup->type)) {	/* no relocation: the compiler's own bytes */
		value = fixup->type == RBL_COPY64 ? RBL_CONSTANT64 : RBL_CONSTANT8;
		return !memcmp(fixup->where, &value, width);
	}
	if (!memcmp(fixup->where, &value, width))
		return true;
	for (i = lookup->first[fixup->symbol]; i < lookup->first[fixup->symbol + 1]; i++) {
		value = field_value(fixup, lookup->addresses[i]);
		if (!memcmp(fixup->where, &value, width))
			return true;
	}
	return false;
}

/*
 * Whether the field takes the address of a function to which no pointer may
 * lead: with indirect branch tracking the kernel takes the landing mark of
 * every function away whose address nothing in it takes, and the compiler
 * gives none to a static function that is only called.
 */
static bool takes_sealed_address(const struct rbl_part *part, const struct rbl_fixup *fixup)
{
	s64 start = is_relative(fixup->type) ? -(s64)rbl_field_width(fixup->type) : 0;
	unsigned long address = part->result.values[fixup->symbol];

	return fixup->addend == start && !is_copy(fixup->type) && !rbl_arch_is_branch(fixup->where) &&
	       rbl_kernel(kernel_text_address)(address) && rbl_arch_stops_indirect_call((const void *)address);
}

static int check_fixup(struct rbl_record *record, const struct rbl_part *part, const struct rbl_fixup *fixup)
{
	const void *program = part->object->program;
	const struct rbl_header *header = program;
	const struct rbl_symbol *symbols = program + header->symbols.offset;
	bool sealed = takes_sealed_address(part, fixup);
	u64 value;
	bool readable = matched_value(part, fixup, &value);
	bool fit = fits(fixup->type, value);

	if (readable && fit && !sealed && is_loaders(part, fixup))
		return 0;
	rbl_fact(record, "symbol: %s\n", rbl_string(program, symbols[fixup->symbol].name));
	rbl_secret(record, "address: 0x%lx\n", (unsigned long)fixup->where);
	if (!fit)
		return rbl_refuse(record, RBL_RELOC_OVERFLOW);
	if (sealed)
		return rbl_refuse(record, RBL_SEALED_FUNCTION);
	rbl_fact(record, "reason: %s\n", readable ? "a fixup lies in code that the kernel itself has rewritten" :
						  "the variable of a constant cannot be read");
	return rbl_refuse(record, RBL_BAD_UPDATE);
}

/*
 * Fills in the fields of a matched part, and keeps what the module loader left
 * there: the part's object may go and come back elsewhere.  The module's text
 * and constants are read-only by now (complete_formation() comes before the
 * COMING notifiers).  For parts that are there when the update is loaded its
 * jump labels, static calls and tracepoints are not read yet: ours is the
 * first notifier.  No code of a part runs before it is applied.
 */
int rbl_write_fixups(struct rbl_record *record, struct rbl_part *part)
{
	const struct rbl_object *object = part->object;
	u32 i;
	int err;

	lockdep_assert_held(&rbl_lock);
	for (i = 0; i < object->n_fixups; i++) {
		err = check_fixup(record, part, object->fixups + i);
		if (err)
			return err;
	}
	part->fields = kvcalloc(object->n_fixups, sizeof(*part->fields), GFP_KERNEL);
	part->pristine_branches = kvmalloc_array(object->n_jump_entries, sizeof(*object->jump_entries), GFP_KERNEL);
	if (!part->fields || !part->pristine_branches)
		return rbl_refuse(record, RBL_NO_MEMORY);
	memcpy(part->pristine_branches, object->jump_entries, object->n_jump_entries * sizeof(*object->jump_entries));
	mutex_lock(rbl_kernel_data.text_mutex);
	for (i = 0; i < object->n_fixups; i++) {
		const struct rbl_fixup *fixup = object->fixups + i;
		u32 width = rbl_field_width(fixup->type);
		u64 value;

		matched_value(part, fixup, &value);	/* check_fixup() has seen that it can be read */
		memcpy(part->fields + i, fixup->where, width);
		rbl_arch_poke(fixup->where, &value, width);
	}
	part->fields_written = true;
	mutex_unlock(rbl_kernel_data.text_mutex);
	return 0;
}

/* Puts back what the module loader left, so that the part can be resolved again. */
void rbl_take_back_fixups(struct rbl_part *part)
{
	const struct rbl_object *object = part->object;
	u32 i;

	lockdep_assert_held(&rbl_lock);
	if (part->fields_written) {
		/* The kernel has sorted the table: its fields are no longer where they were. */
		memcpy(object->jump_entries, part->pristine_branches, object->n_jump_entries * sizeof(*object->jump_entries));
		mutex_lock(rbl_kernel_data.text_mutex);
		for (i = 0; i < object->n_fixups; i++)
			rbl_arch_poke(object->fixups[i].where, part->fields + i,
				      rbl_field_width(object->fixups[i].type));
		mutex_unlock(rbl_kernel_data.text_mutex);
	}
	part->fields_written = false;
	kvfree(part->fields);
	kvfree(part->pristine_branches);
	part->fields = NULL;
	part->pristine_branches = NULL;
}
