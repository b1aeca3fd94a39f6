// SPDX-License-Identifier: GPL-2.0-or-later
/* What has to hold before an update's code may be used: its descriptor, its functions, and who else uses them. */
#include <linux/ctype.h>
#include <linux/string.h>

#include "internal.h"

/* ---- the descriptor ---- */

/* Whether `count` rows of `size` bytes at `start` lie in the module's memory that stays after init. */
static bool inside(const struct module *module, const void *start, u64 count, u64 size)
{
	unsigned long address = (unsigned long)start, bytes = count * size;

	if (!count)
		return true;
	return count <= INT_MAX && address + bytes > address &&
	       within_module_core(address, module) && within_module_core(address + bytes - 1, module);
}

static bool is_string(const struct module *module, const char *string, u32 max)
{
	u32 i;

	for (i = 0; i <= max; i++) {
		if (!inside(module, string + i, 1, 1))
			return false;
		if (!string[i])
			return i > 0;
	}
	return false;
}

/* [a-z0-9][a-z0-9._-]*, and none of the files beside it in sysfs. */
static bool is_name(const char *name)
{
	const char *c;

	for (c = name; *c; c++)
		if (!islower(*c) && !isdigit(*c) && (c == name || !strchr("._-", *c)))
			return false;
	return strcmp(name, "abi") && strcmp(name, "build_id");
}

static const char *bad_function(const struct module *module, const struct rbl_function *function)
{
	if (!is_string(module, function->name, KSYM_NAME_LEN))
		return "a function without a name";
	if (!function->size)
		return "a function of no size";
	if (!function->replacement)
		return NULL;
	if (!function->replacement_size || !inside(module, function->replacement, function->replacement_size, 1))
		return "replacement code outside of the module";
	return NULL;
}

/* What is wrong with a descriptor of the right ABI; NULL if nothing is. */
static const char *bad_update(const struct module *module, const struct rbl_update *update)
{
	u32 i;

	if (update->module != module)
		return "the descriptor is another module's";
	if (!is_string(module, update->name, RBL_NAME_MAX) || !is_name(update->name))
		return "the name";
	if (!is_string(module, update->version, RBL_VERSION_MAX))
		return "the version";
	if (!is_string(module, update->digest, RBL_DIGEST_SIZE))
		return "the digest";
	if (!update->build_id_size || !inside(module, update->build_id, update->build_id_size, 1))
		return "the build ID";
	if (update->program_size < sizeof(struct rbl_header) ||
	    !inside(module, update->program, update->program_size, 1))
		return "the match program lies outside of the module";
	if (!update->n_functions || !inside(module, update->functions, update->n_functions, sizeof(*update->functions)))
		return "the table of functions lies outside of the module";
	if (!inside(module, update->fixups, update->n_fixups, sizeof(*update->fixups)))
		return "the table of fixups lies outside of the module";
	for (i = 0; i < update->n_functions; i++) {
		const char *reason = bad_function(module, update->functions + i);

		if (reason)
			return reason;
	}
	return NULL;
}

/* Kinds of places that the kernel may rewrite at any time, and checks before it does: no jump may lie over them. */
static const char *const rewritten[] = {
	[RBL_PLACE_FENTRY] = "a jump over an fentry site",
	[RBL_PLACE_STATIC_CALL] = "a jump over a static call",
	[RBL_PLACE_STATIC_BRANCH] = "a jump over a static branch",
	[RBL_PLACE_LOCK] = "a jump over a lock prefix",
	[RBL_PLACE_MIXED] = "a jump over code that the kernel may rewrite",
};

static const char *bad_jump(const void *program, const struct rbl_section *section, u64 start)
{
	const struct rbl_header *header = program;
	const struct rbl_place *place = program + header->places.offset;
	u32 i;

	for (i = 0, place += section->first_place; i < section->n_places; i++, place++)
		if (place->offset < start + RBL_JUMP_SIZE && start < place->offset + place->length &&
		    place->kind < ARRAY_SIZE(rewritten) && rewritten[place->kind])
			return rewritten[place->kind];
	return NULL;
}

/* What the program has to say of the symbols that the tables use. */
static const char *bad_symbols(const struct rbl_update *update, const struct module *module)
{
	const struct rbl_header *header = update->program;
	const struct rbl_symbol *symbols = update->program + header->symbols.offset;
	const struct rbl_section *sections = update->program + header->sections.offset;
	const char *reason;
	u32 i;

	for (i = 0; i < update->n_functions; i++) {
		const struct rbl_function *function = update->functions + i;
		const struct rbl_symbol *symbol = symbols + function->symbol;
		const struct rbl_section *section;
		u64 room;

		if (function->symbol >= header->symbols.count || !(symbol->flags & RBL_SYMBOL_NEEDED))
			return "a function that the match program does not have to find";
		if (symbol->kind != RBL_SYMBOL_LOCAL)
			return "a function that is in no matched section";
		section = sections + symbol->section;
		if (!(section->flags & RBL_SECTION_TEXT) || !(section->flags & RBL_SECTION_COMPARED))
			return "a function whose code is not matched";
		room = symbol->offset < section->size ? section->size - symbol->offset : 0;
		if (function->size > room)
			return "a function that is larger than its section";
		if (function->replacement && (u64)function->jump_offset + RBL_JUMP_SIZE > room)
			return "a jump outside of its section";
		reason = function->replacement ?
			 bad_jump(header, section, symbol->offset + function->jump_offset) : NULL;
		if (reason)
			return reason;
	}
	for (i = 0; i < update->n_fixups; i++) {
		const struct rbl_fixup *fixup = update->fixups + i;
		u32 width = rbl_field_width(fixup->type);

		if (!width || fixup->type >= RBL_INDIRECT_PC32)
			return "a fixup of unknown type";
		if (!inside(module, fixup->where, width, 1))
			return "a fixup outside of the module";
		if (fixup->symbol >= header->symbols.count || !(symbols[fixup->symbol].flags & RBL_SYMBOL_NEEDED))
			return "a fixup to a symbol that the match program does not have to find";
	}
	return NULL;
}

static int check_build_id(struct rbl_record *record, const struct rbl_update *update)
{
	u32 size;
	const u8 *running = rbl_build_id(&size);

	if (running && size == update->build_id_size && !memcmp(running, update->build_id, size))
		return 0;
	rbl_fact(record, "expected: %*phN\n", (int)min(update->build_id_size, 64u), update->build_id);
	rbl_fact(record, "found: %*phN\n", (int)size, running);
	return rbl_refuse(record, RBL_BUILD_ID_MISMATCH);
}

/*
 * Checks the descriptor of record->update, in record->module, and copies its
 * names.  Afterwards nothing in it leads outside of the module, and nothing in
 * its match program outside of the program.
 */
int rbl_check_update(struct rbl_record *record)
{
	const struct rbl_update *update = record->update;
	const char *reason;

	if (!inside(record->module, update, 1, sizeof(*update))) {
		rbl_fact(record, "reason: the descriptor lies outside of the module\n");
		return rbl_refuse(record, RBL_BAD_UPDATE);
	}
	if (update->abi != RBL_ABI) {
		rbl_fact(record, "expected: %u\nfound: %u\n", RBL_ABI, update->abi);
		return rbl_refuse(record, RBL_ABI_MISMATCH);
	}
	reason = bad_update(record->module, update);
	if (!reason) {
		strscpy(record->name, update->name, sizeof(record->name));
		strscpy(record->version, update->version, sizeof(record->version));
		strscpy(record->digest, update->digest, sizeof(record->digest));
		if (rbl_check(update->program, update->program_size))
			return rbl_refuse(record, RBL_BAD_PROGRAM);
		reason = bad_symbols(update, record->module);
	}
	if (reason) {
		rbl_fact(record, "reason: %s\n", reason);
		return rbl_refuse(record, RBL_BAD_UPDATE);
	}
	return check_build_id(record, update);
}

/* ---- functions, at their addresses ---- */

/* Whether the symbol table has another symbol begin between the function's start and the jump's end. */
static bool jump_reaches_beyond(const struct rbl_site *site)
{
	unsigned long last = (unsigned long)site->write->where + RBL_JUMP_SIZE - 1, size, offset;

	if (!rbl_kernel(kallsyms_lookup_size_offset)(last, &size, &offset))
		return true;
	return last - offset > site->old;
}

/* That the sites do not overlap, and that each jump has its room. */
int rbl_check_sites(struct rbl_record *record)
{
	u32 i, k;

	for (i = 0; i < record->update->n_functions; i++) {
		const struct rbl_site *site = record->sites + i;

		for (k = 0; k < i; k++) {
			const struct rbl_site *other = record->sites + k;

			if (site->old < other->old + other->function->size &&
			    other->old < site->old + site->function->size) {
				rbl_fact(record, "function: %s\nreason: it overlaps %s\n",
					 site->function->name, other->function->name);
				return rbl_refuse(record, RBL_BAD_UPDATE);
			}
		}
		if (site->write && jump_reaches_beyond(site)) {
			rbl_fact(record, "function: %s\naddress: 0x%lx\n", site->function->name,
				 (unsigned long)site->write->where);
			rbl_fact(record, "reason: the jump does not fit in before the next function\n");
			return rbl_refuse(record, RBL_BAD_UPDATE);
		}
	}
	return 0;
}

static const struct rbl_site *site_over(const struct rbl_record *record, const struct rbl_site *site)
{
	u32 i;

	for (i = 0; i < record->update->n_functions; i++) {
		const struct rbl_site *other = record->sites + i;

		if (site->old < other->old + other->function->size && other->old < site->old + site->function->size)
			return other;
	}
	return NULL;
}

/* That no other update is applied to one of the functions. */
int rbl_check_conflicts(struct rbl_record *record)
{
	const struct rbl_record *other;
	u32 i;

	list_for_each_entry(other, &rbl_records, list) {
		if (other == record || !rbl_is_live(other))
			continue;
		for (i = 0; i < record->update->n_functions; i++) {
			const struct rbl_site *site = site_over(other, record->sites + i);

			if (!site)
				continue;
			rbl_fact(record, "function: %s\nother_update: %s\n", site->function->name, other->name);
			return rbl_refuse(record, RBL_CONFLICT);
		}
	}
	return 0;
}

/*
 * That no kprobe lies in one of the functions.  An armed one would have been
 * found by the match; but one that is registered and disabled holds a copy of
 * the instruction under it, and would write over the jump when it is armed.
 * One at the fentry site goes through ftrace, and stays where it is.
 */
int rbl_check_probes(struct rbl_record *record)
{
	u32 i;

	for (i = 0; i < record->update->n_functions; i++) {
		const struct rbl_site *site = record->sites + i;
		unsigned long at;

		for (at = site->old; at < site->old + site->function->size; at++) {
			const struct kprobe *probe;
			bool inside;

			rcu_read_lock();	/* get_kprobe() walks a hash chain under RCU */
			probe = rbl_kernel(get_kprobe)((void *)at);
			inside = probe && !kprobe_ftrace((struct kprobe *)probe);
			rcu_read_unlock();
			if (!inside)
				continue;
			rbl_fact(record, "function: %s\naddress: 0x%lx\n", site->function->name, at);
			return rbl_refuse(record, RBL_KPROBE_INSIDE);
		}
	}
	return 0;
}
