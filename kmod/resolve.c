// SPDX-License-Identifier: GPL-2.0-or-later
/* Run-pre match of an update against the running kernel, and what follows from it: addresses, fixups, jumps. */
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
	for (at = report->address - 4; at <= report->address; at++)
		found |= rbl_kernel(get_kprobe)((void *)(unsigned long)at) != NULL;
	rcu_read_unlock();
	return found ? RBL_KPROBE_INSIDE : report->code;
}

static int refuse_report(struct rbl_record *record, const struct rbl_report *report)
{
	const void *program = record->update->program;
	const struct rbl_header *header = program;

	if (report->section != RBL_NONE) {
		const struct rbl_section *section = program + header->sections.offset;

		section += report->section;
		rbl_fact(record, "unit: %s\n", rbl_string(program, section->unit));
		rbl_fact(record, "object: %s\n", rbl_string(program, section->object));
		rbl_fact(record, "section: %s\n", rbl_string(program, section->name));
	}
	if (report->address) {
		rbl_fact(record, "function: %s\n", symbol_before(program, report->section, report->offset));
		rbl_fact(record, "offset: 0x%x\n", report->offset);
		rbl_fact(record, "address: 0x%llx\n", report->address);
	}
	if (report->length) {
		rbl_fact(record, "expected: %*phN\n", report->length, report->expected);
		rbl_fact(record, "found: %*phN\n", report->length, report->found);
	}
	if (report->symbol != RBL_NONE) {
		const struct rbl_symbol *symbol = program + header->symbols.offset;

		rbl_fact(record, "symbol: %s\n", rbl_string(program, symbol[report->symbol].name));
	}
	rbl_fact(record, "candidates: %u\n", report->candidates);
	return rbl_refuse(record, telling_code(report));
}

static void free_result(struct rbl_result *result)
{
	kvfree(result->bases);
	kvfree(result->values);
	kvfree(result->known);
	memset(result, 0, sizeof(*result));
}

/* Matches the program and leaves the addresses in *result. */
static int match(struct rbl_record *record, struct rbl_result *result)
{
	const void *program = record->update->program;
	const struct rbl_header *header = program;
	struct surroundings surroundings = { .lookup = &record->lookup, .tracing = rbl_tracing_get() };
	const struct rbl_target target = { &surroundings, read_target, lookup_target };
	void *scratch = kvmalloc(rbl_scratch_size(program), GFP_KERNEL);
	struct rbl_report report;
	int err = 0;

	/* kvcalloc() of no elements gives ZERO_SIZE_PTR, which is what the matcher may have for no row. */
	result->bases = kvcalloc(header->sections.count, sizeof(*result->bases), GFP_KERNEL);
	result->values = kvcalloc(header->symbols.count, sizeof(*result->values), GFP_KERNEL);
	result->known = kvcalloc(header->symbols.count, sizeof(*result->known), GFP_KERNEL);
	if (!scratch || !surroundings.tracing || !result->bases || !result->values || !result->known)
		err = rbl_refuse(record, RBL_NO_MEMORY);
	else if (rbl_match(program, record->update->program_size, &target, scratch, result, &report))
		err = refuse_report(record, &report);
	kvfree(scratch);
	rbl_tracing_free(surroundings.tracing);
	if (err)
		free_result(result);
	return err;
}

/* ---- loadable modules that are patched ---- */

static bool is_pinned(const struct rbl_record *record, const struct module *module)
{
	u32 i;

	for (i = 0; i < record->n_targets; i++)
		if (record->targets[i] == module)
			return true;
	return false;
}

/*
 * Keeps every module that the program matches in memory as long as the update
 * is loaded: its addresses are written into the replacement code.  One that is
 * not loaded has no symbols either, so the match refuses it by name.
 */
static int pin_targets(struct rbl_record *record)
{
	const void *program = record->update->program;
	const struct rbl_header *header = program;
	const struct rbl_section *sections = program + header->sections.offset;
	u32 i;

	record->targets = kvcalloc(header->sections.count, sizeof(*record->targets), GFP_KERNEL);
	if (!record->targets)
		return rbl_refuse(record, RBL_NO_MEMORY);
	for (i = 0; i < header->sections.count; i++) {
		char name[MODULE_NAME_LEN];
		struct module *module;
		bool leaving;

		strscpy(name, rbl_string(program, sections[i].object), sizeof(name));
		strreplace(name, '-', '_');
		preempt_disable();	/* find_module() walks the list under RCU-sched */
		module = rbl_kernel(find_module)(name);
		if (module && is_pinned(record, module))
			module = NULL;
		leaving = module && !try_module_get(module);
		preempt_enable();
		if (leaving) {
			rbl_fact(record, "object: %s\n", name);
			return rbl_refuse(record, RBL_SYMBOL_NOT_FOUND);
		}
		if (module)
			record->targets[record->n_targets++] = module;
	}
	return 0;
}

static void unpin_targets(struct rbl_record *record)
{
	while (record->n_targets)
		module_put(record->targets[--record->n_targets]);
	kvfree(record->targets);
	record->targets = NULL;
}

/* ---- jumps ---- */

static int make_write(struct rbl_record *record, const struct rbl_site *site, struct rbl_write *write)
{
	write->where = (u8 *)site->old + site->function->jump_offset;
	write->target = (unsigned long)site->function->replacement;
	if (!rbl_arch_make_jump(write) && !copy_from_kernel_nofault(write->saved, write->where, RBL_JUMP_SIZE))
		return 0;
	rbl_fact(record, "function: %s\naddress: 0x%lx\n", site->function->name, (unsigned long)write->where);
	return rbl_refuse(record, RBL_RELOC_OVERFLOW);
}

static int make_sites(struct rbl_record *record)
{
	const struct rbl_update *update = record->update;
	u32 i;
	int err;

	record->sites = kvcalloc(update->n_functions, sizeof(*record->sites), GFP_KERNEL);
	record->writes = kvcalloc(update->n_functions, sizeof(*record->writes), GFP_KERNEL);
	if (!record->sites || !record->writes)
		return rbl_refuse(record, RBL_NO_MEMORY);
	for (i = 0; i < update->n_functions; i++) {
		struct rbl_site *site = record->sites + i;

		site->function = update->functions + i;
		site->old = record->result.values[site->function->symbol];
		if (!site->function->replacement)
			continue;
		site->write = record->writes + record->n_writes++;
		err = make_write(record, site, site->write);
		if (err)
			return err;
	}
	return 0;
}

/* ---- the whole ---- */

/* Matches a checked update, and makes its code ready to run.  All that it allocates goes with rbl_unresolve(). */
int rbl_resolve(struct rbl_record *record)
{
	u64 start = ktime_get_ns(), matched;
	int err = pin_targets(record);

	if (err)
		return err;
	if (rbl_lookup_all(record->update->program, &record->lookup))
		return rbl_refuse(record, RBL_NO_MEMORY);
	err = match(record, &record->result);
	matched = ktime_get_ns();
	record->match_ns = matched - start;
	if (!err)
		err = make_sites(record);
	if (!err)
		err = rbl_check_sites(record);
	if (!err)
		err = rbl_check_conflicts(record);
	if (!err)
		err = rbl_check_probes(record);
	if (!err)
		err = rbl_write_fixups(record);
	record->resolve_ns = ktime_get_ns() - matched;
	return err;
}

/*
 * The match once more, before the jumps are written: the kernel may have run
 * for days since the first one.  All has to be where it was.
 */
int rbl_match_again(struct rbl_record *record)
{
	const struct rbl_header *header = record->update->program;
	struct rbl_result again;
	u64 start = ktime_get_ns();
	int err = match(record, &again);

	record->match_ns = ktime_get_ns() - start;
	if (err)
		return err;
	if (memcmp(again.bases, record->result.bases, header->sections.count * sizeof(*again.bases)) ||
	    memcmp(again.values, record->result.values, header->symbols.count * sizeof(*again.values)))
		err = rbl_refuse(record, RBL_NO_MATCH);
	free_result(&again);
	return err;
}

void rbl_unresolve(struct rbl_record *record)
{
	kvfree(record->writes);
	kvfree(record->sites);
	record->writes = NULL;
	record->sites = NULL;
	record->n_writes = 0;
	free_result(&record->result);
	rbl_lookup_free(&record->lookup);
	unpin_targets(record);
}
