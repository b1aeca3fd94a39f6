// SPDX-License-Identifier: GPL-2.0-or-later
/* Run-pre match of a part of an update against the running kernel, and what follows from it: addresses, fixups, jumps. */
#include <linux/ktime.h>
#include <linux/mm.h>

#include "internal.h"

/* ---- the match ---- */

struct surroundings {
	const struct rbl_lookup *lookup;
	struct rbl_tracing *tracing;
};

static int read_target(void *context, u64 address, void *buffer, u32 length)
{
	struct surroundings *surroundings = context;

	return rbl_read_running(surroundings->tracing, address, buffer, length);
}

static u32 lookup_target(void *context, u32 symbol, const u64 **addresses)
{
	const struct rbl_lookup *lookup = ((struct surroundings *)context)->lookup;

	*addresses = lookup->addresses + lookup->first[symbol];
	return lookup->first[symbol + 1] - lookup->first[symbol];
}

/* The program's symbol that a section's offset lies behind; "" if it names none. */
static const char *symbol_before(const void *program, u32 section, u32 offset)
{
	const struct rbl_header *header = program;
	const struct rbl_symbol *symbol = program + header->symbols.offset, *best = NULL;
	u32 i;

	for (i = 0; i < header->symbols.count; i++, symbol++)
		if (symbol->kind == RBL_SYMBOL_LOCAL && symbol->section == section && symbol->offset <= offset &&
		    *rbl_string(program, symbol->name) && (!best || symbol->offset > best->offset))
			best = symbol;
	return best ? rbl_string(program, best->name) : "";
}

/* Bytes that differ have many causes; a kprobe at them is the one that can be named. */
static u32 telling_code(const struct rbl_report *report)
{
	u64 at;
	bool found = false;

	if (report->code != RBL_NO_MATCH || !report->address)
		return report->code;
	rcu_read_lock();
	/* An optimised kprobe writes a jump, which may differ only after its first byte. */
	for (at = report->address - (RBL_JUMP_SIZE - 1); at <= report->address; at++)
		found |= rbl_kernel(get_kprobe)((void *)(unsigned long)at) != NULL;
	rcu_read_unlock();
	return found ? RBL_KPROBE_INSIDE : report->code;
}

static int refuse_report(struct rbl_record *record, const struct rbl_part *part, const struct rbl_report *report)
{
	const void *program = part->object->program;
	const struct rbl_header *header = program;

	if (report->section != RBL_NONE) {
		const struct rbl_section *section = program + header->sections.offset;

		section += report->section;
		rbl_fact(record, "unit: %s\n", rbl_string(program, section->unit));
		rbl_fact(record, "section: %s\n", rbl_string(program, section->name));
	}
	if (report->address) {
		rbl_fact(record, "function: %s\n", symbol_before(program, report->section, report->offset));
		rbl_fact(record, "offset: 0x%x\n", report->offset);
		rbl_secret(record, "address: 0x%llx\n", report->address);
	}
	if (report->length) {
		rbl_secret(record, "expected: %*phN\n", report->length, report->expected);
		rbl_secret(record, "found: %*phN\n", report->length, report->found);
	}
	if (report->symbol != RBL_NONE) {
		const struct rbl_symbol *symbol = program + header->symbols.offset;

		rbl_fact(record, "symbol: %s\n", rbl_string(program, symbol[report->symbol].name));
	}
	rbl_fact(record, "candidates: %u\n", report->candidates);
	if (report->code == RBL_NO_MATCH && rbl_arch_unknown_rewrite())
		rbl_fact(record, "reason: %s\n", rbl_arch_unknown_rewrite());
	return rbl_refuse(record, telling_code(report));
}

static void free_result(struct rbl_result *result)
{
	kvfree(result->bases);
	kvfree(result->values);
	kvfree(result->known);
	memset(result, 0, sizeof(*result));
}

/* Matches the part's program and leaves the addresses in *result. */
static int match(struct rbl_record *record, const struct rbl_part *part, struct rbl_result *result)
{
	const void *program = part->object->program;
	const struct rbl_header *header = program;
	struct surroundings surroundings = { .lookup = &part->lookup };
	const struct rbl_target target = { &surroundings, read_target, lookup_target };
	void *scratch = kvmalloc(rbl_scratch_size(program), GFP_KERNEL);
	struct rbl_report report;
	u32 code;
	int err = 0;

	/* kvcalloc() of no elements gives ZERO_SIZE_PTR, which is what the matcher may have for no row. */
	result->bases = kvcalloc(header->sections.count, sizeof(*result->bases), GFP_KERNEL);
	result->values = kvcalloc(header->symbols.count, sizeof(*result->values), GFP_KERNEL);
	result->known = kvcalloc(header->symbols.count, sizeof(*result->known), GFP_KERNEL);
	code = scratch && result->bases && result->values && result->known ? RBL_OK : RBL_NO_MEMORY;
	if (!code)
		code = rbl_still_begin(&surroundings.tracing);
	if (code)
		err = rbl_refuse(record, code);
	else if (rbl_match(program, part->object->program_size, &target, scratch, result, &report))
		err = refuse_report(record, part, &report);
	rbl_still_end(surroundings.tracing);
	kvfree(scratch);
	if (err)
		free_result(result);
	return err;
}

/* ---- other modules that the part uses ---- */

/* A module that stays in memory as long as the part is present. */
struct pin {
	struct list_head list;
	struct module *module;
};

static bool is_pinned(const struct rbl_part *part, const struct module *module)
{
	const struct pin *pin;

	list_for_each_entry(pin, &part->pins, list)
		if (pin->module == module)
			return true;
	return false;
}

/*
 * The module at the address, which the caller now holds; NULL if there is none
 * that has to be held.  *busy if it is not one that may be used now.
 */
static struct module *hold_module_at(const struct rbl_part *part, unsigned long address, bool *busy)
{
	struct module *module;

	preempt_disable();	/* __module_address() walks a tree under RCU-sched */
	module = rbl_kernel(__module_address)(address);
	if (module && (module == part->target || is_pinned(part, module)))
		module = NULL;
	*busy = module && (READ_ONCE(module->state) != MODULE_STATE_LIVE || !try_module_get(module));
	preempt_enable();
	return module;
}

/*
 * Keeps every module that the part's symbols lie in, besides its own, in
 * memory: their addresses are going to be in its replacement code.  They
 * cannot have gone since the match, for a module that goes has to pass our
 * notifier, which waits.
 */
static int pin_others(struct rbl_record *record, struct rbl_part *part)
{
	const void *program = part->object->program;
	const struct rbl_header *header = program;
	const struct rbl_symbol *symbols = program + header->symbols.offset;
	u32 i;

	for (i = 0; i < header->symbols.count; i++) {
		struct module *module;
		struct pin *pin;
		bool busy;

		if (!part->result.known[i] || !(symbols[i].flags & RBL_SYMBOL_NEEDED))
			continue;
		module = hold_module_at(part, part->result.values[i], &busy);
		if (busy) {
			rbl_fact(record, "symbol: %s\n", rbl_string(program, symbols[i].name));
			return rbl_refuse(record, RBL_OBJECT_BUSY);
		}
		if (!module)
			continue;
		pin = kmalloc(sizeof(*pin), GFP_KERNEL);
		if (!pin) {
			module_put(module);
			return rbl_refuse(record, RBL_NO_MEMORY);
		}
		pin->module = module;
		list_add(&pin->list, &part->pins);
	}
	return 0;
}

static void unpin_others(struct rbl_part *part)
{
	struct pin *pin, *next;

	list_for_each_entry_safe(pin, next, &part->pins, list) {
		list_del(&pin->list);
		module_put(pin->module);
		kfree(pin);
	}
}

/* ---- the whole ---- */

/* Whether the part is there for operations, and for those who read sysfs. */
void rbl_set_present(struct rbl_record *record, struct rbl_part *part, bool present)
{
	mutex_lock(&record->shown);
	part->present = present;
	mutex_unlock(&record->shown);
}

static int match_and_locate(struct rbl_record *record, struct rbl_part *part)
{
	u64 start = ktime_get_ns();
	int err;

	if (rbl_lookup_all(part->object->program, &part->lookup))
		return rbl_refuse(record, RBL_NO_MEMORY);
	err = match(record, part, &part->result);
	record->match_ns += ktime_get_ns() - start;
	return err ? : pin_others(record, part);
}

/*
 * Matches a part whose object is there, and makes its code ready to run:
 * part->target is set.  It is for the caller to say that it is present.  On an
 * error nothing is left of it.
 */
int rbl_resolve(struct rbl_record *record, struct rbl_part *part)
{
	int err;
	u64 start;

	lockdep_assert_held(&rbl_lock);
	rbl_begin(record);
	rbl_fact(record, "object: %s\n", part->object->name);
	err = match_and_locate(record, part);
	start = ktime_get_ns();
	if (!err)
		err = rbl_sites_make(record, part);
	if (!err)
		err = rbl_check_conflicts(record, part);
	if (!err)
		err = rbl_check_probes(record, part);
	if (!err)
		err = rbl_write_fixups(record, part);
	if (!err)
		err = rbl_register_branches(record, part);
	record->resolve_ns += ktime_get_ns() - start;
	if (err) {
		rbl_unresolve(record, part);
		return err;
	}
	rbl_begin(record);
	return 0;
}

static int match_part_again(struct rbl_record *record, const struct rbl_part *part)
{
	const struct rbl_header *header = part->object->program;
	struct rbl_result again;
	int err;

	rbl_begin(record);
	rbl_fact(record, "object: %s\n", part->object->name);
	err = match(record, part, &again);
	if (err)
		return err;
	if (memcmp(again.bases, part->result.bases, header->sections.count * sizeof(*again.bases)) ||
	    memcmp(again.values, part->result.values, header->symbols.count * sizeof(*again.values)))
		err = rbl_refuse(record, RBL_NO_MATCH);
	free_result(&again);
	return err;
}

/*
 * The match once more, before the jumps are written: the kernel may have run
 * for days since the first one.  All has to be where it was.
 */
int rbl_match_again(struct rbl_record *record)
{
	const struct rbl_part *part;
	u64 start = ktime_get_ns();
	int err = 0;

	lockdep_assert_held(&rbl_lock);
	rbl_for_each_part(part, record)
		if (part->present && !err)
			err = match_part_again(record, part);
	record->match_ns = ktime_get_ns() - start;
	if (!err)
		rbl_begin(record);
	return err;
}

/* The part becomes absent, and its code as it was when the update was loaded; also for one that is absent already. */
void rbl_unresolve(struct rbl_record *record, struct rbl_part *part)
{
	lockdep_assert_held(&rbl_lock);
	rbl_set_present(record, part, false);
	rbl_lift_bars(part);
	rbl_unregister_branches(part);
	rbl_take_back_fixups(part);
	rbl_sites_free(part);
	free_result(&part->result);
	rbl_lookup_free(&part->lookup);
	unpin_others(part);
	part->written = false;
	memset(part->engaged, 0, sizeof(part->engaged));
	memset(part->pinned, 0, sizeof(part->pinned));	/* it was held, and goes all the same: by force */
	part->target = NULL;
}
