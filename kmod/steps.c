// SPDX-License-Identifier: GPL-2.0-or-later
/* What a switch between old and replacement code writes: one step for each jump, and for each datum. */
#define pr_fmt(fmt) "rebootless: " fmt

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

static struct rbl_step step_of_jump(const struct rbl_part *part, const struct rbl_write *write, bool forward)
{
	return (struct rbl_step){
		.where = write->where,
		.before = forward ? write->saved : write->jump,
		.after = forward ? write->jump : write->saved,
		.size = write->size,
		.target = write->target,
		.entry = write->entry,
		.name = name_of(part, write),
	};
}

static struct rbl_step step_of_datum(const struct rbl_exchange *exchange, bool forward)
{
	return (struct rbl_step){
		.where = exchange->where,
		.before = forward ? exchange->saved : exchange->datum->replacement,
		.after = forward ? exchange->datum->replacement : exchange->saved,
		.size = exchange->datum->size,
		.name = exchange->datum->name,
	};
}

static bool add_jumps(struct rbl_steps *steps, const struct rbl_record *record, bool forward)
{
	const struct rbl_part *part;
	bool fits = true;
	u32 i;

	rbl_for_each_part(part, record)
		for (i = 0; part->present && i < part->n_writes; i++) {
			const struct rbl_step step = step_of_jump(part, part->writes + i, forward);

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
			const struct rbl_step step = step_of_datum(part->data + i, forward);

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

/* ---- of one part, whose module runs no code yet, or none any more ---- */

static u32 count_steps(const struct rbl_part *part)
{
	return part->n_writes + part->object->n_data;
}

static struct rbl_step step_of(const struct rbl_part *part, u32 i, bool forward)
{
	return i < part->n_writes ? step_of_jump(part, part->writes + i, forward) :
				    step_of_datum(part->data + i - part->n_writes, forward);
}

/* That all of the part can be written.  With text locked, and before it is given back: then nothing else can come. */
int rbl_check_part(struct rbl_record *record, struct rbl_part *part)
{
	unsigned long at;
	const char *probed = rbl_probed_function(part, &at);
	u32 i;

	if (probed)
		return rbl_refuse_probe(record, probed, at);
	rbl_settle_branches(part);
	rbl_settle_prefixes(part);
	for (i = 0; i < count_steps(part); i++) {
		struct rbl_step step = step_of(part, i, true);
		u32 code = rbl_check_step(&step, true, &at);

		if (code)
			return rbl_refuse_step(record, code, &step, at, step.where);
	}
	return 0;
}

/*
 * Writes all of a part, or what was there before; text is locked.  What holds
 * something else by now, or is used by it, is left as it is.  That can only be on
 * the way back, when nothing runs it any more: rbl_check_part() comes first.
 */
void rbl_write_part(struct rbl_part *part, bool forward)
{
	u32 i;

	lockdep_assert_held(rbl_kernel_data.kprobe_mutex);
	lockdep_assert_held(&rbl_lock);
	rbl_settle_branches(part);
	rbl_settle_prefixes(part);
	for (i = 0; i < count_steps(part); i++) {
		struct rbl_step step = step_of(part, i, forward);
		unsigned long unused;
		u32 code = rbl_check_step(&step, forward, &unused);

		if (code)
			pr_warn("%s: %s is left as it is: %s\n", part->target->name, step.name, rbl_code_name(code));
		else
			rbl_arch_poke(step.where, step.after, step.size);
	}
	rbl_move_branches(part, forward);
}
