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

/* Adds the part's own from `first` to `end`, in the direction that is wanted. */
/* The part's step of that number, as it stands now; or the way back. */
static struct rbl_step step_of(const struct rbl_part *part, u32 i, bool forward)
{
	struct rbl_step step = part->steps[i];

	if (!forward)
		swap(step.before, step.after);
	if (i < part->n_writes)
		step.entry = part->writes[i].entry;
	return step;
}

static bool add_steps(struct rbl_steps *steps, u32 begin, const struct rbl_part *part, u32 first, u32 end, bool forward)
{
	bool fits = true;

	for (; first < end; first++) {
		const struct rbl_step step = step_of(part, first, forward);

		fits &= add(steps, begin, &step);
	}
	return fits;
}

static bool add_jumps(struct rbl_steps *steps, const struct rbl_record *record, bool forward)
{
	const struct rbl_part *part;
	bool fits = true;

	rbl_for_each_part(part, record)
		if (part->present)
			fits &= add_steps(steps, 0, part, 0, part->n_writes, forward);
	return fits;
}

static bool add_data(struct rbl_steps *steps, const struct rbl_record *record, bool forward)
{
	const struct rbl_part *part;
	bool fits = true;

	rbl_for_each_part(part, record)
		if (part->present)
			fits &= add_steps(steps, steps->n_jumps, part, part->n_writes,
					  part->n_writes + part->object->n_data, forward);
	return fits;
}

/* The steps of a switch; those that also take away what `previous` (a live version of the same update, or NULL) wrote. */
int rbl_steps_make(struct rbl_record *record, const struct rbl_switch_options *how, struct rbl_steps *steps)
{
	const struct rbl_record *previous = how->previous;
	bool forward = how->purpose == RBL_TO_REPLACEMENT, fits = true;
	u32 most = rbl_count_jumps(record) + count_data(record);

	lockdep_assert_held(&rbl_lock);
	if (previous)
		most += rbl_count_jumps(previous) + count_data(previous);
	memset(steps, 0, sizeof(*steps));
	if (how->purpose == RBL_CHECK_ONLY)
		return 0;
	steps->rows = rbl_allocate(most, sizeof(*steps->rows), how->force);
	if (!steps->rows)
		return rbl_refuse(record, RBL_NO_MEMORY);
	if (previous)
		fits &= add_jumps(steps, previous, false);
	fits &= add_jumps(steps, record, forward);
	steps->n_jumps = steps->count;
	if (previous)
		fits &= add_data(steps, previous, false);
	fits &= add_data(steps, record, forward);
	if (fits)
		return 0;
	rbl_steps_free(steps);
	rbl_fact(record, "reason: it writes over other bytes of a function or datum than the version that it replaces\n");
	return rbl_refuse(record, RBL_BAD_UPDATE);
}

void rbl_steps_free(struct rbl_steps *steps)
{
	kvfree(steps->rows);
	memset(steps, 0, sizeof(*steps));
}

/*
 * That a step's place holds what is expected there, and is used by nothing else:
 * a kprobe may have come since the match.  RBL_OK, or a code, and *offence says
 * what is there.
 */
u32 rbl_check_step(const struct rbl_step *step, const u8 *expected, bool forward, struct rbl_offence *offence)
{
	u32 code = rbl_step_in_use(step, forward, &offence->used);

	if (!code && memcmp(step->where, expected, step->size))
		code = forward ? RBL_NO_MATCH : step->target ? RBL_JUMP_OVERWRITTEN : RBL_DATA_OVERWRITTEN;
	if (!code)
		return RBL_OK;
	offence->name = step->name;
	offence->where = step->where;
	offence->expected = expected;
	offence->size = min_t(u32, step->size, sizeof(offence->found));
	memcpy(offence->found, step->where, offence->size);
	return code;
}

/* ---- of one part ---- */

static const char *name_of(const struct rbl_part *part, const struct rbl_write *write)
{
	u32 i;

	for (i = 0; i < part->object->n_functions; i++)
		if (part->sites[i].write == write)
			return part->sites[i].function->name;
	return "";
}

/* Makes the part's steps, when its writes and data are there; rbl_part_steps_free() them also if that fails. */
int rbl_part_steps_make(struct rbl_record *record, struct rbl_part *part)
{
	struct rbl_step *step = kvcalloc(part->n_writes + part->object->n_data, sizeof(*step), GFP_KERNEL);
	u32 i;

	lockdep_assert_held(&rbl_lock);
	part->steps = step;
	if (!step)
		return rbl_refuse(record, RBL_NO_MEMORY);
	for (i = 0; i < part->n_writes; i++, step++) {
		const struct rbl_write *write = part->writes + i;

		*step = (struct rbl_step){
			.where = write->where, .before = write->saved, .after = write->jump, .size = write->size,
			.target = write->target, .name = name_of(part, write),
		};
	}
	for (i = 0; i < part->object->n_data; i++, step++) {
		const struct rbl_exchange *exchange = part->data + i;

		*step = (struct rbl_step){
			.where = exchange->where, .before = exchange->saved, .after = exchange->datum->replacement,
			.size = exchange->datum->size, .name = exchange->datum->name,
			.alias = rbl_map_constant(exchange->where, exchange->datum->size),
		};
		if (!step->alias)
			return rbl_refuse(record, RBL_NO_MEMORY);
	}
	return 0;
}

void rbl_part_steps_free(struct rbl_part *part)
{
	u32 i;

	if (ZERO_OR_NULL_PTR(part->steps))
		return;
	for (i = 0; i < part->n_writes + part->object->n_data; i++)
		rbl_unmap_constant(part->steps[i].alias);
	kvfree(part->steps);
	part->steps = NULL;
}

/* Makes what belongs under the part's jumps now, as far as it changes: by what is `locked`, see there. */
void rbl_settle(struct rbl_part *part, bool locked)
{
	rbl_settle_branches(part, locked);
	rbl_settle_prefixes(part, locked);
}

/* ---- of one part, whose module runs no code yet, or none any more; with text locked ---- */

static u32 count_steps(const struct rbl_part *part)
{
	return part->n_writes + part->object->n_data;
}

static void write_step(const struct rbl_step *step)
{
	if (step->alias)
		rbl_write_constant(step->alias, step->after, step->size);
	else
		rbl_arch_poke(step->where, step->after, step->size);
}

/*
 * Writes all of a part, unless one of its places is not what it was, or is used
 * by something: RBL_OK, or a code, and then nothing was written, and *offence
 * says where.  As long as text is locked nothing else can come.
 */
u32 rbl_write_part(struct rbl_part *part, struct rbl_offence *offence)
{
	u32 i, code = rbl_find_probe(part, offence);
	struct rbl_step step;

	lockdep_assert_held(&rbl_lock);
	rbl_settle(part, true);
	for (i = 0; !code && i < count_steps(part); i++) {
		step = step_of(part, i, true);
		code = rbl_check_step(&step, step.before, true, offence);
	}
	if (code)
		return code;
	for (i = 0; i < count_steps(part); i++) {
		step = step_of(part, i, true);
		write_step(&step);
	}
	rbl_move_branches(part, true);
	part->written = true;
	return RBL_OK;
}

/* Writes what was there before.  What holds something else by now, or is used by it, is left as it is: nothing runs it. */
void rbl_write_part_back(struct rbl_part *part)
{
	struct rbl_offence unused = {};
	struct rbl_step step;
	u32 i, code;

	lockdep_assert_held(&rbl_lock);
	rbl_settle(part, true);
	for (i = 0; i < count_steps(part); i++) {
		step = step_of(part, i, false);
		code = rbl_check_step(&step, step.before, false, &unused);
		if (code)
			pr_warn("%s: %s is left as it is: %s\n", part->target->name, step.name, rbl_code_name(code));
		else
			write_step(&step);
	}
	rbl_move_branches(part, false);
	part->written = false;
}
