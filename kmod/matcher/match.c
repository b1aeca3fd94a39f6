// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Run-pre matching: proves that running code equals the pre code of a match
 * program, and learns symbol addresses from it.  The rules are those of
 * docs/formats.md; rule numbers below are theirs.
 *
 * Pure C: no kernel API, no floating point, no recursion, all state in the
 * caller's scratch memory.  match.h declares the interface.
 */
#ifdef __KERNEL__
#include <linux/string.h>
#else
#include <string.h>
#endif
#include "match.h"

#define WINDOW 4096u			/* bytes of the target read at once */

struct matcher {
	const struct rbl_section *sections;
	const struct rbl_symbol *symbols;
	const struct rbl_place *places;
	const struct rbl_content *contents;
	const struct rbl_reloc *relocs;
	const rbl_u8 *pool;
	rbl_u32 n_sections, n_symbols;
	const struct rbl_target *target;
	struct rbl_result *result;
	struct rbl_report *report;
	rbl_u64 compared;

	/* What is being learned.  The trail lists what the candidate at hand taught, to take it back. */
	rbl_u32 *trail;			/* symbols, and sections as n_symbols + index */
	rbl_u32 n_trail;
	rbl_u32 *first_named;		/* of each section: its symbols that the symbol table may know */
	rbl_u32 *next_named;		/* of each symbol: the next one of that list */
	rbl_u8 *base_known;		/* of each section; a base may be 0 */
	rbl_u8 *done;			/* of each section: its one candidate is found */
	int all_known;			/* second pass: what is unknown now must come from the symbol table */

	/* The part of the section at hand that was read last, and a buffer for literals. */
	rbl_u32 window_start, window_length;
	rbl_u8 *window, *literal;

	/* Where and why the candidate at hand fails. */
	rbl_u32 fault_offset, fault_end, fault_symbol;
	const struct rbl_place *fault_place;
	const struct rbl_content *fault_content;
	rbl_u32 plausible;		/* candidates of the last section that agree with the symbol table */
	rbl_u64 furthest;		/* 1 + how far the candidate in the report came; 0: none yet */
};

/* ---- fields ---- */

static rbl_u64 load(const rbl_u8 *bytes, rbl_u32 width, int sign)
{
	rbl_u64 value = 0;
	rbl_u32 i;

	for (i = 0; i < width; i++)
		value |= (rbl_u64)bytes[i] << (8 * i);
	if (sign && width < 8 && bytes[width - 1] & 0x80)
		value |= ~0ull << (8 * width);
	return value;
}

/* S of a field that is not indirect. */
static rbl_u64 symbol_value_in(const struct rbl_reloc *reloc, rbl_u64 address, const rbl_u8 *field)
{
	rbl_u64 value = load(field, rbl_field_width(reloc->type), reloc->type != RBL_ABS32) - (rbl_u64)reloc->addend;

	if (reloc->type == RBL_PC8 || reloc->type == RBL_PC32 || reloc->type == RBL_PC64)
		value += address;
	return value;
}

/* The field that S makes; the opposite of symbol_value_in(). */
static rbl_u64 field_for(const struct rbl_reloc *reloc, rbl_u64 address, rbl_u64 value)
{
	value += (rbl_u64)reloc->addend;
	if (reloc->type == RBL_PC8 || reloc->type == RBL_PC32 || reloc->type == RBL_PC64)
		value -= address;
	return value;
}

/* ---- learning ---- */

static int contains(const rbl_u64 *addresses, rbl_u32 count, rbl_u64 value)
{
	rbl_u32 i;

	for (i = 0; i < count; i++)
		if (addresses[i] == value)
			return 1;
	return 0;
}

static rbl_u32 lookup(struct matcher *m, rbl_u32 symbol, const rbl_u64 **addresses)
{
	*addresses = NULL;
	return m->target->lookup(m->target->context, symbol, addresses);
}

/* 1, and the symbol's value, if it is known. */
static int known_value(const struct matcher *m, rbl_u32 index, rbl_u64 *value)
{
	const struct rbl_symbol *symbol = m->symbols + index;

	if (symbol->kind == RBL_SYMBOL_LOCAL) {
		*value = m->result->bases[symbol->section] + symbol->offset;
		return m->base_known[symbol->section];
	}
	*value = m->result->values[index];
	return m->result->known[index];
}

/* Rule 5 for all symbols of a section, and that no two compared sections lie over one another. */
static rbl_u32 check_base(struct matcher *m, rbl_u32 index, rbl_u64 base)
{
	const struct rbl_section *section = m->sections + index;
	const rbl_u64 *addresses;
	rbl_u32 i, count;

	for (i = m->first_named[index]; i != RBL_NONE; i = m->next_named[i]) {
		count = lookup(m, i, &addresses);
		if (count && !contains(addresses, count, base + m->symbols[i].offset)) {
			m->fault_symbol = i;
			m->fault_offset = m->symbols[i].offset < section->size ? (rbl_u32)m->symbols[i].offset : 0;
			return RBL_NO_MATCH;
		}
	}
	if (!(section->flags & RBL_SECTION_COMPARED))
		return RBL_OK;
	for (i = 0; i < m->n_sections; i++) {
		rbl_u64 other = m->result->bases[i];

		if (i != index && m->done[i] && base < other + m->sections[i].size && other < base + section->size) {
			m->fault_offset = other > base ? (rbl_u32)(other - base) : 0;
			return RBL_NO_MATCH;
		}
	}
	return RBL_OK;
}

static rbl_u32 learn_base(struct matcher *m, rbl_u32 index, rbl_u64 base)
{
	rbl_u32 code;

	if (m->base_known[index])
		return m->result->bases[index] == base ? RBL_OK : RBL_NO_MATCH;
	code = check_base(m, index, base);
	if (code)
		return code;
	m->result->bases[index] = base;
	m->base_known[index] = 1;
	m->trail[m->n_trail++] = m->n_symbols + index;
	return RBL_OK;
}

static void learn_value(struct matcher *m, rbl_u32 index, rbl_u64 value)
{
	m->result->values[index] = value;
	m->result->known[index] = 1;
	m->trail[m->n_trail++] = index;
}

static void forget_all_learned(struct matcher *m)
{
	while (m->n_trail) {
		rbl_u32 index = m->trail[--m->n_trail];

		if (index < m->n_symbols) {
			m->result->known[index] = 0;
			continue;
		}
		m->result->bases[index - m->n_symbols] = 0;
		m->base_known[index - m->n_symbols] = 0;
	}
}

/* Of the symbols of a section that the symbol table has, the one with the fewest addresses. */
static rbl_u32 rarest_symbol(struct matcher *m, rbl_u32 index, const rbl_u64 **addresses, rbl_u32 *count)
{
	rbl_u32 i, rarest = RBL_NONE;

	*count = 0;
	for (i = m->first_named[index]; i != RBL_NONE; i = m->next_named[i]) {
		const rbl_u64 *found;
		rbl_u32 n = lookup(m, i, &found);

		if (n && (!*count || n < *count)) {
			*count = n;
			*addresses = found;
			rarest = i;
		}
	}
	return rarest;
}

/* The base of a section from the symbol table alone, if that leaves one. */
static rbl_u32 base_from_table(struct matcher *m, rbl_u32 index)
{
	const rbl_u64 *addresses;
	rbl_u64 base = 0;
	rbl_u32 i, n, count = 0, rarest = rarest_symbol(m, index, &addresses, &n);

	for (i = 0; i < n; i++) {
		rbl_u64 candidate = addresses[i] - m->symbols[rarest].offset;

		if (i && addresses[i] == addresses[i - 1])
			continue;
		if (check_base(m, index, candidate) == RBL_OK) {
			base = candidate;
			count++;
		}
	}
	if (count == 1)
		return learn_base(m, index, base);
	return count ? RBL_SYMBOL_AMBIGUOUS : RBL_SYMBOL_NOT_FOUND;
}

/* Makes a symbol known that no running code has taught. */
static rbl_u32 value_from_table(struct matcher *m, rbl_u32 index)
{
	const struct rbl_symbol *symbol = m->symbols + index;
	const rbl_u64 *addresses;
	rbl_u32 i, count;

	if (symbol->kind == RBL_SYMBOL_LOCAL)
		return base_from_table(m, symbol->section);
	if (symbol->kind == RBL_SYMBOL_LITERAL)
		return RBL_SYMBOL_NOT_FOUND;
	count = lookup(m, index, &addresses);
	for (i = 1; i < count; i++)
		if (addresses[i] != addresses[0])
			return RBL_SYMBOL_AMBIGUOUS;
	if (!count)
		return RBL_SYMBOL_NOT_FOUND;
	learn_value(m, index, addresses[0]);
	return RBL_OK;
}

/* Rule 4. */
static rbl_u32 check_literal(struct matcher *m, const struct rbl_symbol *symbol, rbl_u64 address)
{
	rbl_u64 done = 0;

	while (done < symbol->size) {
		rbl_u32 length = symbol->size - done < WINDOW ? (rbl_u32)(symbol->size - done) : WINDOW;

		if (m->target->read(m->target->context, address + done, m->literal, length))
			return RBL_NO_MATCH;
		if (memcmp(m->literal, m->pool + symbol->offset + done, length))
			return RBL_NO_MATCH;
		done += length;
	}
	return RBL_OK;
}

/* A field that holds, or leads to, what stands at its symbol. */
static rbl_u32 check_indirect(struct matcher *m, const struct rbl_reloc *reloc, rbl_u64 address, const rbl_u8 *field)
{
	rbl_u32 width = reloc->type == RBL_COPY8 ? 1 : 8;
	rbl_u64 value;
	rbl_u8 pointer[8];

	if (!known_value(m, reloc->symbol, &value)) {
		/* The field tells where the pointer points, not where it lies. */
		rbl_u32 code = m->all_known ? value_from_table(m, reloc->symbol) : RBL_OK;

		if (code || !m->all_known)
			return code;
		known_value(m, reloc->symbol, &value);
	}
	if (m->target->read(m->target->context, value + (rbl_u64)reloc->addend, pointer, width))
		return RBL_NO_MATCH;
	if (reloc->type != RBL_INDIRECT_PC32)
		return memcmp(pointer, field, width) ? RBL_NO_MATCH : RBL_OK;
	return load(pointer, 8, 0) == load(field, 4, 1) + address + 4 ? RBL_OK : RBL_NO_MATCH;
}

/* Rules 3 and 4 for one field; learns from it if `teach`. */
static rbl_u32 check_field(struct matcher *m, const struct rbl_reloc *reloc, rbl_u64 address,
			   const rbl_u8 *field, int teach)
{
	const struct rbl_symbol *symbol = m->symbols + reloc->symbol;
	const rbl_u64 *addresses;
	rbl_u64 value, known;
	rbl_u32 code, count;
	int is_known;

	if (reloc->type >= RBL_INDIRECT_PC32)
		return check_indirect(m, reloc, address, field);
	value = symbol_value_in(reloc, address, field);
	is_known = known_value(m, reloc->symbol, &known);
	if (is_known && known == value)
		return RBL_OK;
	if (symbol->kind == RBL_SYMBOL_LITERAL) {
		/* Equal constants can stand at several addresses, one for each alignment. */
		code = check_literal(m, symbol, value);
		if (!code && teach && !is_known)
			learn_value(m, reloc->symbol, value);
		return code;
	}
	if (is_known)
		return RBL_NO_MATCH;
	if (!teach && m->all_known) {
		code = value_from_table(m, reloc->symbol);
		if (code)
			return code;
		known_value(m, reloc->symbol, &known);
		return known == value ? RBL_OK : RBL_NO_MATCH;
	}
	if (symbol->kind == RBL_SYMBOL_LOCAL)
		return teach ? learn_base(m, symbol->section, value - symbol->offset) : RBL_OK;
	count = lookup(m, reloc->symbol, &addresses);
	if (!count)
		return RBL_SYMBOL_NOT_FOUND;
	if (!contains(addresses, count, value))
		return RBL_NO_MATCH;
	if (teach)
		learn_value(m, reloc->symbol, value);
	return RBL_OK;
}

/* ---- comparing ---- */

static rbl_u32 first_difference(const rbl_u8 *a, const rbl_u8 *b, rbl_u32 length)
{
	rbl_u32 i = 0;

	if (!memcmp(a, b, length))
		return length;
	while (a[i] == b[i])
		i++;
	return i;
}

/* Whether `running` holds a content of a place; sets fault_offset (in the place) and fault_symbol if not. */
static rbl_u32 check_running(struct matcher *m, const struct rbl_content *content, rbl_u32 length,
			     rbl_u64 address, const rbl_u8 *running, int teach)
{
	const struct rbl_reloc *relocs = m->relocs + content->first_reloc;
	const rbl_u8 *expected = m->pool + content->bytes;
	rbl_u32 i, at, code, start = 0;

	m->fault_symbol = RBL_NONE;
	for (i = 0; i <= content->n_relocs; i++) {
		rbl_u32 end = i < content->n_relocs ? relocs[i].offset : length;

		at = first_difference(expected + start, running + start, end - start);
		if (at < end - start) {
			m->fault_offset = start + at;
			return RBL_NO_MATCH;
		}
		if (i < content->n_relocs)
			start = end + rbl_field_width(relocs[i].type);
	}
	for (i = 0; i < content->n_relocs; i++) {
		at = relocs[i].offset;
		code = check_field(m, relocs + i, address + at, running + at, teach);
		if (code) {
			m->fault_offset = at;
			m->fault_symbol = relocs[i].symbol;
			return code;
		}
	}
	return RBL_OK;
}

static rbl_u32 check_place(struct matcher *m, const struct rbl_place *place, rbl_u64 address, const rbl_u8 *running)
{
	const struct rbl_content *contents = m->contents + place->first_content;
	rbl_u32 i, code, failure = RBL_NO_MATCH, symbol = RBL_NONE;

	if (place->n_contents == 1) {
		failure = check_running(m, contents, place->length, address, running, 1);
		if (!failure)
			return RBL_OK;
		m->fault_offset += place->offset;
	} else {
		for (i = 0; i < place->n_contents; i++) {
			code = check_running(m, contents + i, place->length, address, running, 0);
			if (!code)
				return RBL_OK;
			/* Bytes that fit but for an unknown symbol say more than bytes that do not fit. */
			if (symbol == RBL_NONE || (code != RBL_NO_MATCH && failure == RBL_NO_MATCH)) {
				failure = code;
				symbol = m->fault_symbol;
			}
		}
		m->fault_offset = place->offset;
		m->fault_symbol = symbol;
	}
	m->fault_place = place;
	m->fault_content = contents;
	m->fault_end = place->offset + place->length;
	if (failure == RBL_NO_MATCH && place->kind == RBL_PLACE_ENTRY && rbl_arch_is_call(running))
		return RBL_ENTRY_IN_USE;
	return failure;
}

/* The running bytes from `offset` on, at least `wanted` of them, *length in all; NULL if they cannot be read. */
static const rbl_u8 *running_bytes(struct matcher *m, const struct rbl_section *section, rbl_u64 base,
				   rbl_u32 offset, rbl_u32 wanted, rbl_u32 *length)
{
	if (offset < m->window_start || offset + wanted > m->window_start + m->window_length) {
		rbl_u32 rest = section->size - offset;

		m->window_start = offset;
		m->window_length = rest < WINDOW ? rest : WINDOW;
		if (m->target->read(m->target->context, base + offset, m->window, m->window_length)) {
			m->window_length = 0;
			m->fault_offset = m->fault_end = offset;
			m->fault_symbol = RBL_NONE;
			return NULL;
		}
	}
	*length = m->window_start + m->window_length - offset;
	return m->window + (offset - m->window_start);
}

/* Rules 2 to 4: the section's bytes at one candidate. */
static rbl_u32 compare_section(struct matcher *m, rbl_u32 index, rbl_u64 base)
{
	const struct rbl_section *section = m->sections + index;
	const struct rbl_place *places = m->places + section->first_place;
	const rbl_u8 *running;
	rbl_u32 i, position = 0, available, at, code;

	m->window_start = m->window_length = 0;
	for (i = 0; i <= section->n_places; i++) {
		rbl_u32 end = i < section->n_places ? places[i].offset : section->size;

		while (position < end) {
			running = running_bytes(m, section, base, position, 1, &available);
			if (!running)
				return RBL_READ_FAULT;
			if (available > end - position)
				available = end - position;
			at = first_difference(m->pool + section->bytes + position, running, available);
			if (at < available) {
				m->fault_offset = position + at;
				m->fault_end = end;
				m->fault_symbol = RBL_NONE;
				return RBL_NO_MATCH;
			}
			m->compared += available;
			position += available;
		}
		if (i == section->n_places)
			break;
		running = running_bytes(m, section, base, position, places[i].length, &available);
		if (!running)
			return RBL_READ_FAULT;
		code = check_place(m, places + i, base + position, running);
		if (code)
			return code;
		m->compared += places[i].length;
		position += places[i].length;
	}
	return RBL_OK;
}

/* ---- reports ---- */

static void clear_report(struct matcher *m, rbl_u32 code, rbl_u32 section)
{
	struct rbl_report *report = m->report;

	report->code = code;
	report->section = section;
	report->symbol = report->place_kind = RBL_NONE;
	report->offset = report->length = 0;
	report->address = 0;
	report->candidates = report->survivors = 0;
	memset(report->expected, 0, sizeof(report->expected));
	memset(report->found, 0, sizeof(report->found));
}

/* What should stand in the fields of the content at fault, as far as it is known. */
static void fill_expected_fields(struct matcher *m, rbl_u64 base)
{
	const struct rbl_content *content = m->fault_content;
	rbl_u32 i, k;

	for (i = 0; i < content->n_relocs; i++) {
		const struct rbl_reloc *reloc = m->relocs + content->first_reloc + i;
		rbl_u64 at = m->fault_place->offset + reloc->offset, value;

		if (reloc->type >= RBL_INDIRECT_PC32 || !known_value(m, reloc->symbol, &value))
			continue;
		value = field_for(reloc, base + at, value);
		for (k = 0; k < rbl_field_width(reloc->type); k++, at++, value >>= 8)
			if (at >= m->report->offset && at < m->report->offset + m->report->length)
				m->report->expected[at - m->report->offset] = (rbl_u8)value;
	}
}

/* Writes the fault of a candidate into the report, unless another one came further. */
static void report_fault(struct matcher *m, rbl_u32 code, rbl_u32 index, rbl_u64 base, rbl_u64 progress)
{
	const struct rbl_section *section = m->sections + index;
	struct rbl_report *report = m->report;
	const rbl_u8 *expected;
	rbl_u32 length;

	if (m->furthest > progress)
		return;
	m->furthest = progress + 1;
	clear_report(m, code, index);
	report->symbol = m->fault_symbol;
	report->offset = m->fault_offset;
	report->address = base + m->fault_offset;
	length = m->fault_end > m->fault_offset ? m->fault_end - m->fault_offset : 0;
	report->length = length < sizeof(report->expected) ? length : (rbl_u32)sizeof(report->expected);
	if (!report->length)
		return;
	expected = m->pool + section->bytes + m->fault_offset;
	if (m->fault_place) {
		report->place_kind = m->fault_place->kind;
		expected = m->pool + m->fault_content->bytes + (m->fault_offset - m->fault_place->offset);
	}
	memcpy(report->expected, expected, report->length);
	if (m->fault_place)
		fill_expected_fields(m, base);
	if (m->target->read(m->target->context, report->address, report->found, report->length))
		memset(report->found, 0, sizeof(report->found));
}

static void clear_fault(struct matcher *m)
{
	m->fault_offset = m->fault_end = 0;
	m->fault_symbol = RBL_NONE;
	m->fault_place = NULL;
	m->fault_content = NULL;
}

/* ---- candidates ---- */

/* Compares a section at one candidate, learning on the way; says in the report why it fails. */
static rbl_u32 try_candidate(struct matcher *m, rbl_u32 index, rbl_u64 base)
{
	rbl_u64 progress = 0;
	rbl_u32 code;

	clear_fault(m);
	code = learn_base(m, index, base);
	if (!code) {
		code = compare_section(m, index, base);
		/* Bytes that differ say more than bytes that cannot be read. */
		progress = 1 + (rbl_u64)m->fault_offset + (code != RBL_READ_FAULT);
	}
	if (code)
		report_fault(m, code, index, base, progress);
	return code;
}

static void settle(struct matcher *m, rbl_u32 index)
{
	m->done[index] = 1;
	m->n_trail = 0;
}

/* How many of the candidates agree with the symbol table; *base is the first of them. */
static rbl_u32 count_plausible(struct matcher *m, rbl_u32 index, const rbl_u64 *addresses, rbl_u32 n,
			       rbl_u64 offset, rbl_u64 *base)
{
	rbl_u32 i, code, count = 0;

	for (i = 0; i < n; i++) {
		rbl_u64 candidate = addresses[i] - offset;

		if (i && addresses[i] == addresses[i - 1])
			continue;
		clear_fault(m);
		code = check_base(m, index, candidate);
		if (code)
			report_fault(m, code, index, candidate, 0);
		else if (!count++)
			*base = candidate;
	}
	return count;
}

/*
 * Rules 1 and 6 for one section.  Settles it if exactly one candidate
 * survives, leaves it if several do or none is known yet.  A section that the
 * symbol table alone cannot place is only tried if `several`.
 */
static rbl_u32 match_section(struct matcher *m, rbl_u32 index, int several)
{
	const rbl_u64 *addresses;
	rbl_u64 base = 0, offset = 0, survivor = 0;
	rbl_u32 i, n = 1, plausible, symbol, survivors = 0, code;

	m->furthest = 0;
	if (m->base_known[index]) {
		base = m->result->bases[index];
		addresses = &base;
	} else {
		symbol = rarest_symbol(m, index, &addresses, &n);
		if (symbol == RBL_NONE)
			return RBL_OK;
		offset = m->symbols[symbol].offset;
	}
	plausible = count_plausible(m, index, addresses, n, offset, &base);
	if (plausible > 1 && !several)
		return RBL_OK;
	if (plausible == 1) {
		code = try_candidate(m, index, base);
		survivors = code == RBL_OK;
		if (survivors)
			settle(m, index);
	} else if (plausible) {
		for (i = 0; i < n; i++) {
			base = addresses[i] - offset;
			if (i && addresses[i] == addresses[i - 1])
				continue;
			if (try_candidate(m, index, base) == RBL_OK) {
				survivor = base;
				survivors++;
			}
			forget_all_learned(m);
		}
		if (survivors == 1 && try_candidate(m, index, survivor) == RBL_OK)
			settle(m, index);
	}
	m->plausible = plausible;
	m->report->candidates = n;
	m->report->survivors = survivors;
	return survivors ? RBL_OK : m->report->code;
}

/*
 * Matches all sections whose place can be found; each one settled may teach
 * where others are.  Sections with one candidate go first, so that those with
 * several have fewer to choose from.
 */
static rbl_u32 match_sections(struct matcher *m)
{
	rbl_u32 i, code;
	int several, progress;

	do {
		progress = 0;
		for (several = 0; several <= 1 && !progress; several++) {
			for (i = 0; i < m->n_sections && !(several && progress); i++) {
				if (!(m->sections[i].flags & RBL_SECTION_COMPARED) || m->done[i])
					continue;
				code = match_section(m, i, several);
				if (code)
					return code;
				progress |= m->done[i];
			}
		}
	} while (progress);
	return RBL_OK;
}

static int is_needed(const struct matcher *m, rbl_u32 section)
{
	rbl_u32 i;

	for (i = 0; i < m->n_symbols; i++)
		if (m->symbols[i].kind == RBL_SYMBOL_LOCAL && m->symbols[i].section == section &&
		    m->symbols[i].flags & RBL_SYMBOL_NEEDED)
			return 1;
	return 0;
}

/*
 * Rule 6 for a section that is left over.  Where the update needs no address
 * in it, it does not matter which candidate it is, if all of them fit.
 */
static rbl_u32 check_left_over(struct matcher *m, rbl_u32 index)
{
	rbl_u32 code, candidates, survivors;

	clear_report(m, RBL_SYMBOL_NOT_FOUND, index);
	m->report->symbol = m->first_named[index];
	code = match_section(m, index, 1);
	survivors = m->report->survivors;
	if (code || !survivors)
		return m->report->code;
	if (m->done[index] || (survivors == m->plausible && !is_needed(m, index)))
		return RBL_OK;
	candidates = m->report->candidates;
	clear_report(m, RBL_AMBIGUOUS_MATCH, index);
	m->report->symbol = m->first_named[index];
	m->report->candidates = candidates;
	m->report->survivors = survivors;
	return m->report->code;
}

/* Rule 3's second half: places with several contents, now that everything is known that can be. */
static rbl_u32 check_again(struct matcher *m)
{
	rbl_u32 i, code;

	m->all_known = 1;
	for (i = 0; i < m->n_sections; i++) {
		if (!(m->sections[i].flags & RBL_SECTION_COMPARED))
			continue;
		if (!m->done[i]) {
			code = check_left_over(m, i);
		} else {
			m->furthest = 0;
			code = try_candidate(m, i, m->result->bases[i]);
			m->n_trail = 0;
			m->report->candidates = 1;
		}
		if (code)
			return code;
	}
	return RBL_OK;
}

/* Rule 7. */
static rbl_u32 check_needed(struct matcher *m)
{
	rbl_u64 value;
	rbl_u32 i, code;

	for (i = 0; i < m->n_symbols; i++) {
		if (!(m->symbols[i].flags & RBL_SYMBOL_NEEDED) || known_value(m, i, &value))
			continue;
		code = value_from_table(m, i);
		if (code) {
			clear_report(m, code, RBL_NONE);
			m->report->symbol = i;
			m->report->candidates = m->report->survivors = 0;
			return code;
		}
	}
	return RBL_OK;
}

/* ---- the whole ---- */

static rbl_u64 state_size(void)
{
	return (sizeof(struct matcher) + 15) / 16 * 16;
}

rbl_u64 rbl_scratch_size(const void *program)
{
	const struct rbl_header *header = program;
	rbl_u64 symbols = header->symbols.count, sections = header->sections.count;

	return state_size() + 2 * WINDOW + (2 * symbols + 2 * sections) * sizeof(rbl_u32) + 2 * sections;
}

static void list_named_symbols(struct matcher *m)
{
	rbl_u32 i;

	for (i = 0; i < m->n_sections; i++)
		m->first_named[i] = RBL_NONE;
	for (i = m->n_symbols; i-- > 0;) {
		const struct rbl_symbol *symbol = m->symbols + i;

		m->next_named[i] = RBL_NONE;
		if (symbol->kind != RBL_SYMBOL_LOCAL || !symbol->name || !(symbol->flags & RBL_SYMBOL_KALLSYMS))
			continue;
		m->next_named[i] = m->first_named[symbol->section];
		m->first_named[symbol->section] = i;
	}
}

static struct matcher *start(const rbl_u8 *program, const struct rbl_target *target, rbl_u8 *scratch,
			     struct rbl_result *result, struct rbl_report *report)
{
	const struct rbl_header *header = (const void *)program;
	struct matcher *m = (void *)scratch;

	memset(m, 0, sizeof(*m));
	m->sections = (const void *)(program + header->sections.offset);
	m->symbols = (const void *)(program + header->symbols.offset);
	m->places = (const void *)(program + header->places.offset);
	m->contents = (const void *)(program + header->contents.offset);
	m->relocs = (const void *)(program + header->relocs.offset);
	m->pool = program + header->bytes.offset;
	m->n_sections = header->sections.count;
	m->n_symbols = header->symbols.count;
	m->target = target;
	m->result = result;
	m->report = report;

	m->window = scratch + state_size();
	m->literal = m->window + WINDOW;
	m->trail = (void *)(m->literal + WINDOW);
	m->next_named = m->trail + m->n_symbols + m->n_sections;
	m->first_named = m->next_named + m->n_symbols;
	m->base_known = (rbl_u8 *)(m->first_named + m->n_sections);
	m->done = m->base_known + m->n_sections;
	memset(m->base_known, 0, 2 * (unsigned long)m->n_sections);
	memset(result->bases, 0, m->n_sections * sizeof(*result->bases));
	memset(result->values, 0, m->n_symbols * sizeof(*result->values));
	memset(result->known, 0, m->n_symbols * sizeof(*result->known));
	list_named_symbols(m);
	return m;
}

static void give_local_values(struct matcher *m)
{
	rbl_u32 i;

	for (i = 0; i < m->n_symbols; i++)
		if (m->symbols[i].kind == RBL_SYMBOL_LOCAL)
			m->result->known[i] = (rbl_u8)known_value(m, i, &m->result->values[i]);
}

rbl_u32 rbl_match(const void *program, rbl_u64 size, const struct rbl_target *target,
		  void *scratch, struct rbl_result *result, struct rbl_report *report)
{
	struct matcher *m;
	rbl_u32 code;

	memset(report, 0, sizeof(*report));
	report->section = report->symbol = report->place_kind = RBL_NONE;
	report->code = rbl_check(program, size);
	if (report->code)
		return report->code;
	m = start(program, target, scratch, result, report);
	code = match_sections(m);
	if (!code)
		code = check_again(m);
	if (!code)
		code = check_needed(m);
	if (!code) {
		give_local_values(m);
		clear_report(m, RBL_OK, RBL_NONE);
	}
	report->compared = m->compared;
	return code;
}
