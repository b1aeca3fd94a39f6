// SPDX-License-Identifier: GPL-2.0-or-later
/* What a switch between old and replacement code writes: one step for each jump, and for each datum. */
#include <linux/mm.h>

#include "internal.h"

/* The functions that are replaced, of the parts that are present. */
u32 rbl_count_jumps(const struct rbl_record *record)
{
	const struct rbl_part *part;
	u32 count = 0;

	rbl_for_each_part(part, record)
		count += part->present ? part->n_writes : 0;
	return count;
}

static u32 count_data(const struct rbl_record *record)
{
	const struct rbl_part *part;
	u32 count = 0;

	rbl_for_each_part(part, record)
		count += part->present ? part->object->n_data : 0;
	return count;
}

static struct rbl_step *find_step(struct rbl_step *first, const struct rbl_step *end, const u8 *where, u32 size)
{
	struct rbl_step *step;

	for (step = first; step < end; step++)
		if (step->where < where + size && where < step->where + step->size)
			return step;
	return NULL;
}

/*
 * Adds a step from `old` to `new` at `where`, or makes the step that is there
 * already (of the previous version, which goes away) end in `new`.  False if
 * that one is about other bytes.
 */
static bool add(struct rbl_steps *steps, u32 first, const struct rbl_step *wanted)
{
	struct rbl_step *there = find_step(steps->rows + first, steps->rows + steps->count, wanted->where, wanted->size);

	if (!there) {
		steps->rows[steps->count++] = *wanted;
		return true;
	}
	there->after = wanted->after;
	there->target = wanted->target;
	there->name = wanted->name;
	return there->where == wanted->where && there->size == wanted->size;
}

static const char *name_of(const struct rbl_part *part, const struct rbl_write *write)
{
	u32 i;

	for (i = 0; i < part->object->n_functions; i++)
		if (part->sites[i].write == write)
			return part->sites[i].function->name;
	return "";
}

static bool add_jumps(struct rbl_steps *steps, const struct rbl_record *record, bool forward)
{
	const struct rbl_part *part;
	bool fits = true;
	u32 i;

	rbl_for_each_part(part, record)
		for (i = 0; part->present && i < part->n_writes; i++) {
			const struct rbl_write *write = part->writes + i;
			const struct rbl_step step = {
				.where = write->where,
				.before = forward ? write->saved : write->jump,
				.after = forward ? write->jump : write->saved,
				.size = write->size,
				.target = write->target,
				.entry = write->entry,
				.name = name_of(part, write),
			};

			fits &= add(steps, 0, &step);
		}
	return fits;
}

static bool map_all(struct rbl_steps *steps)
{
	u32 i;

	for (i = steps->n_jumps; i < steps->count; i++) {
		struct rbl_step *step = steps->rows + i;

		if (rbl_is_in_module(step->where))
			continue;
		step->alias = rbl_map_constant(step->where, step->size);
		if (!step->alias)
			return false;
	}
	return true;
}

/* Writes the bytes of a step that is no jump. */
void rbl_write_data(const struct rbl_step *step, const u8 *bytes)
{
	if (step->alias)
		memcpy(step->alias, bytes, step->size);
	else
		rbl_arch_poke(step->where, bytes, step->size);
}

static bool add_data(struct rbl_steps *steps, const struct rbl_record *record, bool forward)
{
	const struct rbl_part *part;
	bool fits = true;
	u32 i;

	rbl_for_each_part(part, record)
		for (i = 0; part->present && i < part->object->n_data; i++) {
			const struct rbl_exchange *exchange = part->data + i;
			const struct rbl_step step = {
				.where = exchange->where,
				.before = forward ? exchange->saved : exchange->datum->replacement,
				.after = forward ? exchange->datum->replacement : exchange->saved,
				.size = exchange->datum->size,
				.name = exchange->datum->name,
			};

			fits &= add(steps, steps->n_jumps, &step);
		}
	return fits;
}

/* The steps of a switch; those that also take away what `previous` (a live version of the same update, or NULL) wrote. */
int rbl_steps_make(struct rbl_record *record, const struct rbl_record *previous, enum rbl_purpose purpose,
		   struct rbl_steps *steps)
{
	bool forward = purpose == RBL_TO_REPLACEMENT, fits = true;
	u32 most = rbl_count_jumps(record) + count_data(record);

	lockdep_assert_held(&rbl_lock);
	if (previous)
		most += rbl_count_jumps(previous) + count_data(previous);
	memset(steps, 0, sizeof(*steps));
	if (purpose == RBL_CHECK_ONLY)
		return 0;
	steps->rows = kvcalloc(most, sizeof(*steps->rows), GFP_KERNEL);
	if (!steps->rows)
		return rbl_refuse(record, RBL_NO_MEMORY);
	if (previous)
		fits &= add_jumps(steps, previous, false);
	fits &= add_jumps(steps, record, forward);
	steps->n_jumps = steps->count;
	if (previous)
		fits &= add_data(steps, previous, false);
	fits &= add_data(steps, record, forward);
	if (fits && map_all(steps))
		return 0;
	rbl_steps_free(steps);
	if (fits)
		return rbl_refuse(record, RBL_NO_MEMORY);
	rbl_fact(record, "reason: it writes over other bytes of a function or datum than the version that it replaces\n");
	return rbl_refuse(record, RBL_BAD_UPDATE);
}

void rbl_steps_free(struct rbl_steps *steps)
{
	u32 i;

	for (i = 0; i < steps->count; i++)
		rbl_unmap_constant(steps->rows[i].alias);
	kvfree(steps->rows);
	memset(steps, 0, sizeof(*steps));
}

/* Writes all of a part, or what was there before, to a module that runs no code yet, or none any more. */
void rbl_write_part(struct rbl_part *part, bool forward)
{
	u32 i;

	lockdep_assert_held(&rbl_lock);
	rbl_lock_text();
	rbl_settle_branches(part);
	rbl_settle_prefixes(part);
	for (i = 0; i < part->n_writes; i++) {
		const struct rbl_write *write = part->writes + i;

		rbl_arch_poke(write->where, forward ? write->jump : write->saved, write->size);
	}
	for (i = 0; i < part->object->n_data; i++) {
		const struct rbl_exchange *exchange = part->data + i;

		rbl_arch_poke(exchange->where, forward ? exchange->datum->replacement : exchange->saved,
				exchange->datum->size);
	}
	rbl_move_branches(part, forward);
	rbl_unlock_text();
}
