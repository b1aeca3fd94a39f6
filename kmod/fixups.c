// SPDX-License-Identifier: GPL-2.0-or-later
/* The fields of replacement code that only the helper module can fill in: what they refer to is not exported. */
#include "internal.h"

static bool is_relative(u32 type)
{
	return type == RBL_PC8 || type == RBL_PC32 || type == RBL_PC64;
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

/*
 * Whether the field still holds what the module loader left there: the value
 * for an undefined weak symbol (0), or for an exported one of the same name.
 * Anything else was written by module_finalize() (an alternative, a paravirt
 * call), and a value in the midst of it would make other code of it.
 */
static bool is_loaders(const struct rbl_record *record, const struct rbl_fixup *fixup)
{
	const struct rbl_lookup *lookup = &record->lookup;
	u32 i, width = rbl_field_width(fixup->type);
	u64 value = field_value(fixup, 0);

	if (!memcmp(fixup->where, &value, width))
		return true;
	for (i = lookup->first[fixup->symbol]; i < lookup->first[fixup->symbol + 1]; i++) {
		value = field_value(fixup, lookup->addresses[i]);
		if (!memcmp(fixup->where, &value, width))
			return true;
	}
	return false;
}

static int check_fixup(struct rbl_record *record, const struct rbl_fixup *fixup)
{
	const void *program = record->update->program;
	const struct rbl_header *header = program;
	const struct rbl_symbol *symbols = program + header->symbols.offset;
	bool fit = fits(fixup->type, field_value(fixup, record->result.values[fixup->symbol]));

	if (fit && is_loaders(record, fixup))
		return 0;
	rbl_fact(record, "symbol: %s\n", rbl_string(program, symbols[fixup->symbol].name));
	rbl_fact(record, "address: 0x%lx\n", (unsigned long)fixup->where);
	if (!fit)
		return rbl_refuse(record, RBL_RELOC_OVERFLOW);
	rbl_fact(record, "reason: a fixup lies in code that the kernel itself has rewritten\n");
	return rbl_refuse(record, RBL_BAD_UPDATE);
}

/*
 * Fills in the fields.  The module's text and constants are read-only by now
 * (complete_formation() comes before the COMING notifiers), and its jump
 * labels, static calls and tracepoints are not read yet: ours is the first.
 */
int rbl_write_fixups(struct rbl_record *record)
{
	const struct rbl_update *update = record->update;
	u32 i;
	int err;

	for (i = 0; i < update->n_fixups; i++) {
		err = check_fixup(record, update->fixups + i);
		if (err)
			return err;
	}
	mutex_lock(rbl_kernel_data.text_mutex);
	for (i = 0; i < update->n_fixups; i++) {
		const struct rbl_fixup *fixup = update->fixups + i;
		u64 value = field_value(fixup, record->result.values[fixup->symbol]);

		rbl_kernel(text_poke)(fixup->where, &value, rbl_field_width(fixup->type));
	}
	mutex_unlock(rbl_kernel_data.text_mutex);
	return 0;
}
