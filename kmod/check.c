// SPDX-License-Identifier: GPL-2.0-or-later
/* What has to hold of an update's descriptor before anything in it is used. */
#include <linux/ctype.h>
#include <linux/jump_label.h>
#include <linux/string.h>

#include "internal.h"

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

/* [a-z0-9][a-z0-9._-]*, and none of the files beside it in sysfs, nor what the other versions of an update are called. */
static bool is_name(const char *name)
{
	const char *c;

	for (c = name; *c; c++)
		if (!islower(*c) && !isdigit(*c) && (c == name || !strchr("._-", *c)))
			return false;
	return strcmp(name, "abi") && strcmp(name, "build_id") && !strstr(name, RBL_NEXT) && !strstr(name, RBL_PREVIOUS);
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

static const char *bad_datum(const struct module *module, const struct rbl_datum *datum)
{
	if (!is_string(module, datum->name, KSYM_NAME_LEN))
		return "data without a name";
	if (!datum->size || !inside(module, datum->replacement, datum->size, 1))
		return "replacement data outside of the module";
	return NULL;
}

static const char *bad_hook(const struct module *module, const struct rbl_hook *hook)
{
	unsigned long size, text = rbl_module_text(module, &size), call = (unsigned long)hook->call;

	if (hook->stage >= RBL_HOOK_STAGES)
		return "a hook of an unknown stage";
	return call < text || call >= text + size ? "a hook outside of the module's code" : NULL;
}

/* Of a module's init code only functions can be replaced, and of the kernel's own none. */
static bool is_bad_init(const struct rbl_object *object)
{
	return object->flags & RBL_OBJECT_INIT &&
	       (!object->n_functions || object->n_data || object->n_hooks || !strcmp(object->name, "vmlinux"));
}

/* What is wrong with a part's tables; NULL if nothing is. */
static const char *bad_tables(const struct module *module, const struct rbl_object *object)
{
	const char *reason = NULL;
	u32 i;

	if (!is_string(module, object->name, MODULE_NAME_LEN))
		return "a part without the name of its object";
	if (is_bad_init(object))
		return "a part for init code that is none";
	if (object->program_size < sizeof(struct rbl_header) || !inside(module, object->program, object->program_size, 1))
		return "a match program lies outside of the module";
	if (!inside(module, object->functions, object->n_functions, sizeof(*object->functions)))
		return "a table of functions lies outside of the module";
	if (!inside(module, object->data, object->n_data, sizeof(*object->data)))
		return "a table of data lies outside of the module";
	if (!inside(module, object->fixups, object->n_fixups, sizeof(*object->fixups)))
		return "a table of fixups lies outside of the module";
	if (!inside(module, object->hooks, object->n_hooks, sizeof(*object->hooks)))
		return "a table of hooks lies outside of the module";
	if (!inside(module, object->jump_entries, object->n_jump_entries, sizeof(*object->jump_entries)) ||
	    (object->n_jump_entries && !rbl_module_writable(module, (unsigned long)object->jump_entries)))
		return "a table of static branches lies outside of the module's data";
	for (i = 0; i < object->n_functions && !reason; i++)
		reason = bad_function(module, object->functions + i);
	for (i = 0; i < object->n_data && !reason; i++)
		reason = bad_datum(module, object->data + i);
	for (i = 0; i < object->n_hooks && !reason; i++)
		reason = bad_hook(module, object->hooks + i);
	return reason;
}

/*
 * A part may do nothing to its object: code that is new in it, and that only
 * another part's code calls, needs no more than the match, and perhaps fields.
 */
static bool does_something(const struct rbl_object *object)
{
	return object->n_functions || object->n_data || object->n_hooks;
}

/* What is wrong with a descriptor of the right ABI; NULL if nothing is. */
static const char *bad_update(const struct module *module, const struct rbl_update *update)
{
	const char *reason = NULL;
	bool effective = false;
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
	if (!update->n_objects || !inside(module, update->objects, update->n_objects, sizeof(*update->objects)))
		return "the table of objects lies outside of the module";
	for (i = 0; i < update->n_objects && !reason; i++) {
		reason = bad_tables(module, update->objects + i);
		effective |= does_something(update->objects + i);
	}
	return reason || effective ? reason : "an update that changes nothing";
}

static const char *bad_jump(const void *program, const struct rbl_section *section, u64 start)
{
	const struct rbl_header *header = program;
	const struct rbl_place *place = program + header->places.offset;
	u32 i;

	for (i = 0, place += section->first_place; i < section->n_places; i++, place++)
		if (place->offset < start + RBL_JUMP_SIZE && start < place->offset + place->length &&
		    rbl_arch_bars_jump(place->kind))
			return rbl_arch_bars_jump(place->kind);
	return NULL;
}

/* A symbol that a table uses, in a matched section; NULL and a reason if it is none. */
static const struct rbl_section *section_of(const struct rbl_object *object, u32 symbol, const char **reason)
{
	const struct rbl_header *header = object->program;
	const struct rbl_symbol *symbols = object->program + header->symbols.offset;
	const struct rbl_section *sections = object->program + header->sections.offset;

	*reason = NULL;
	if (symbol >= header->symbols.count || !(symbols[symbol].flags & RBL_SYMBOL_NEEDED))
		*reason = "a function or data that the match program does not have to find";
	else if (symbols[symbol].kind != RBL_SYMBOL_LOCAL)
		*reason = "a function or data that is in no matched section";
	else if (!(sections[symbols[symbol].section].flags & RBL_SECTION_COMPARED))
		*reason = "a function or data that is not matched";
	return *reason ? NULL : sections + symbols[symbol].section;
}

static const char *bad_place(const struct rbl_object *object, const struct rbl_function *function)
{
	const struct rbl_header *header = object->program;
	const struct rbl_symbol *symbol = object->program + header->symbols.offset;
	const struct rbl_section *section;
	const char *reason;
	u64 room;

	section = section_of(object, function->symbol, &reason);
	if (reason)
		return reason;
	symbol += function->symbol;
	if (!(section->flags & RBL_SECTION_TEXT))
		return "a function in a section without code";
	room = symbol->offset < section->size ? section->size - symbol->offset : 0;
	if (function->size > room)
		return "a function that is larger than its section";
	if (!function->replacement)
		return NULL;
	if ((u64)function->jump_offset + RBL_JUMP_SIZE > room)
		return "a jump outside of its section";
	return bad_jump(header, section, symbol->offset + function->jump_offset);
}

static const char *bad_exchange(const struct rbl_object *object, const struct rbl_datum *datum)
{
	const struct rbl_header *header = object->program;
	const struct rbl_symbol *symbol = object->program + header->symbols.offset;
	const struct rbl_section *section;
	const char *reason;

	section = section_of(object, datum->symbol, &reason);
	if (reason)
		return reason;
	symbol += datum->symbol;
	if (section->flags & RBL_SECTION_TEXT)
		return "data among code";
	if (symbol->offset > section->size || datum->size > section->size - symbol->offset)
		return "data that is larger than its section";
	return NULL;
}

/* What the part's program has to say of the symbols that its tables use. */
static const char *bad_symbols(const struct rbl_object *object, const struct module *module)
{
	const struct rbl_header *header = object->program;
	const struct rbl_symbol *symbols = object->program + header->symbols.offset;
	const char *reason = NULL;
	u32 i;

	for (i = 0; i < object->n_functions && !reason; i++)
		reason = bad_place(object, object->functions + i);
	for (i = 0; i < object->n_data && !reason; i++)
		reason = bad_exchange(object, object->data + i);
	for (i = 0; i < object->n_fixups && !reason; i++) {
		const struct rbl_fixup *fixup = object->fixups + i;
		u32 width = rbl_field_width(fixup->type);

		if (!width || fixup->type == RBL_INDIRECT_PC32)
			reason = "a fixup of unknown type";
		else if (!inside(module, fixup->where, width, 1))
			reason = "a fixup outside of the module";
		else if (fixup->symbol >= header->symbols.count || !(symbols[fixup->symbol].flags & RBL_SYMBOL_NEEDED))
			reason = "a fixup to a symbol that the match program does not have to find";
	}
	return reason;
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
 * a match program outside of the program.
 */
int rbl_check_update(struct rbl_record *record)
{
	const struct rbl_update *update = record->update;
	const char *reason;
	u32 i;

	lockdep_assert_held(&rbl_lock);
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
	}
	for (i = 0; !reason && i < update->n_objects; i++) {
		const struct rbl_object *object = update->objects + i;

		if (rbl_check(object->program, object->program_size)) {
			rbl_fact(record, "object: %s\n", object->name);
			return rbl_refuse(record, RBL_BAD_PROGRAM);
		}
		reason = bad_symbols(object, record->module);
	}
	if (reason) {
		rbl_fact(record, "reason: %s\n", reason);
		return rbl_refuse(record, RBL_BAD_UPDATE);
	}
	return check_build_id(record, update);
}
