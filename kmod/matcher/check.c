// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The match program as such: rbl_check(), which lets nothing through that
 * could lead the matcher astray, and the strings of programs and codes.
 */
#ifdef __KERNEL__
#include <linux/string.h>
#else
#include <string.h>
#endif
#include "match.h"

#define CHECK_BUDGET (1u << 24)		/* rows that rbl_check() visits through places, at most */
#define SIZE_BUDGET (1ull << 28)	/* bytes in all compared sections, at most */
#define NAME_SIZE 24			/* of a code's name, with its NUL */

static rbl_u32 crc32_update(rbl_u32 crc, const rbl_u8 *data, rbl_u64 size)
{
	static const rbl_u32 table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
		0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	rbl_u64 i;

	for (i = 0; i < size; i++) {
		crc ^= data[i];
		crc = (crc >> 4) ^ table[crc & 15];
		crc = (crc >> 4) ^ table[crc & 15];
	}
	return crc;
}

static rbl_u32 program_crc(const rbl_u8 *program, rbl_u64 size)
{
	static const rbl_u8 zero[sizeof(rbl_u32)];
	const rbl_u64 at = __builtin_offsetof(struct rbl_header, crc32);
	rbl_u32 crc = crc32_update(~0u, program, at);

	crc = crc32_update(crc, zero, sizeof(zero));
	return ~crc32_update(crc, program + at + sizeof(zero), size - at - sizeof(zero));
}

static int table_is_inside(const struct rbl_header *header, const struct rbl_table *table, rbl_u64 row, rbl_u64 align)
{
	return table->offset % align == 0 && table->offset >= sizeof(*header) &&
	       table->offset + table->count * row <= header->size;
}

static int range_is_inside(rbl_u64 first, rbl_u64 count, rbl_u64 limit)
{
	return first <= limit && count <= limit - first;
}

rbl_u32 rbl_field_width(rbl_u32 type)
{
	static const rbl_u8 widths[] = {
		[RBL_ABS64] = 8, [RBL_PC32] = 4, [RBL_ABS32] = 4, [RBL_ABS32S] = 4,
		[RBL_PC8] = 1, [RBL_PC64] = 8, [RBL_INDIRECT_PC32] = 4,
		[RBL_COPY64] = 8, [RBL_COPY8] = 1,
	};

	return type < sizeof(widths) ? widths[type] : 0;
}

static int check_symbols(const rbl_u8 *program, const struct rbl_header *header)
{
	const struct rbl_symbol *symbol = (const void *)(program + header->symbols.offset);
	rbl_u32 i;

	for (i = 0; i < header->symbols.count; i++, symbol++) {
		if (symbol->name >= header->strings.count || symbol->object >= header->strings.count)
			return 0;
		if (symbol->flags & ~(RBL_SYMBOL_NEEDED | RBL_SYMBOL_KALLSYMS))
			return 0;
		if (symbol->kind == RBL_SYMBOL_LOCAL) {
			if (symbol->section >= header->sections.count)
				return 0;
			continue;
		}
		if (symbol->section != RBL_NONE)
			return 0;
		if (symbol->kind == RBL_SYMBOL_GLOBAL) {
			if (!symbol->name)
				return 0;
		} else if (symbol->kind == RBL_SYMBOL_LITERAL) {
			if (!symbol->size || symbol->size > RBL_MAX_LITERAL ||
			    !range_is_inside(symbol->offset, symbol->size, header->bytes.count))
				return 0;
		} else {
			return 0;
		}
	}
	return 1;
}

static int check_content(const rbl_u8 *program, const struct rbl_header *header,
			 const struct rbl_content *content, rbl_u32 length)
{
	const struct rbl_reloc *reloc = (const void *)(program + header->relocs.offset);
	rbl_u32 i, end = 0;

	if (!range_is_inside(content->bytes, length, header->bytes.count) ||
	    !range_is_inside(content->first_reloc, content->n_relocs, header->relocs.count))
		return 0;
	for (i = 0, reloc += content->first_reloc; i < content->n_relocs; i++, reloc++) {
		rbl_u32 width = rbl_field_width(reloc->type);

		if (!width || reloc->symbol >= header->symbols.count)
			return 0;
		if (reloc->offset < end || reloc->offset + width > length)
			return 0;
		end = reloc->offset + width;
	}
	return 1;
}

static int check_places(const rbl_u8 *program, const struct rbl_header *header,
			const struct rbl_section *section, rbl_u32 *budget)
{
	const struct rbl_place *place = (const void *)(program + header->places.offset);
	const struct rbl_content *contents = (const void *)(program + header->contents.offset);
	rbl_u64 end = 0;
	rbl_u32 i, k;

	if (!range_is_inside(section->first_place, section->n_places, header->places.count))
		return 0;
	for (i = 0, place += section->first_place; i < section->n_places; i++, place++) {
		if (!place->length || place->length > RBL_MAX_PLACE || place->kind >= RBL_PLACE_KINDS)
			return 0;
		if (place->offset < end || !range_is_inside(place->offset, place->length, section->size))
			return 0;
		end = place->offset + place->length;
		if (!place->n_contents ||
		    !range_is_inside(place->first_content, place->n_contents, header->contents.count))
			return 0;
		for (k = 0; k < place->n_contents; k++) {
			const struct rbl_content *content = contents + place->first_content + k;

			/* Rows may be shared, so their number alone does not bound the work. */
			if (content->n_relocs > RBL_MAX_PLACE || *budget < 1 + content->n_relocs)
				return 0;
			*budget -= 1 + content->n_relocs;
			if (!check_content(program, header, content, place->length))
				return 0;
		}
	}
	return 1;
}

static int check_sections(const rbl_u8 *program, const struct rbl_header *header)
{
	const struct rbl_section *section = (const void *)(program + header->sections.offset);
	rbl_u32 i, budget = CHECK_BUDGET;
	rbl_u64 total = 0;

	for (i = 0; i < header->sections.count; i++, section++) {
		if (section->object >= header->strings.count || section->unit >= header->strings.count ||
		    section->name >= header->strings.count)
			return 0;
		if (section->flags & ~(RBL_SECTION_TEXT | RBL_SECTION_COMPARED))
			return 0;
		if (!(section->flags & RBL_SECTION_COMPARED)) {
			if (section->bytes != RBL_NONE || section->n_places)
				return 0;
			continue;
		}
		total += section->size;
		if (!section->size || total > SIZE_BUDGET ||
		    !range_is_inside(section->bytes, section->size, header->bytes.count))
			return 0;
		if (!check_places(program, header, section, &budget))
			return 0;
	}
	return 1;
}

rbl_u32 rbl_check(const void *program, rbl_u64 size)
{
	const struct rbl_header *header = program;
	const char *strings;

	if (!program || (unsigned long)program % 8 || size < sizeof(*header) || size != header->size)
		return RBL_BAD_PROGRAM;
	if (memcmp(header->magic, RBL_MAGIC, sizeof(header->magic)) || header->version != RBL_VERSION ||
	    header->reserved || header->crc32 != program_crc(program, size))
		return RBL_BAD_PROGRAM;
	if (!table_is_inside(header, &header->sections, sizeof(struct rbl_section), 4) ||
	    !table_is_inside(header, &header->symbols, sizeof(struct rbl_symbol), 8) ||
	    !table_is_inside(header, &header->places, sizeof(struct rbl_place), 4) ||
	    !table_is_inside(header, &header->contents, sizeof(struct rbl_content), 4) ||
	    !table_is_inside(header, &header->relocs, sizeof(struct rbl_reloc), 8) ||
	    !table_is_inside(header, &header->strings, 1, 1) || !table_is_inside(header, &header->bytes, 1, 1))
		return RBL_BAD_PROGRAM;
	/* With a NUL at its end every offset in the string table is a string. */
	strings = (const char *)program + header->strings.offset;
	if (!header->strings.count || strings[0] || strings[header->strings.count - 1])
		return RBL_BAD_PROGRAM;
	if (!check_symbols(program, header) || !check_sections(program, header))
		return RBL_BAD_PROGRAM;
	return RBL_OK;
}

const char *rbl_string(const void *program, rbl_u32 offset)
{
	const struct rbl_header *header = program;

	return offset < header->strings.count ? (const char *)program + header->strings.offset + offset : "";
}

/* ---- codes ---- */

/* The i-th letter of a code's name in lower case, for a constant initialiser. */
#define LETTER(s, i) ((i) < sizeof(s) - 1 ? ((s)[(i) % sizeof(s)] == '_' ? '_' : (s)[(i) % sizeof(s)] | 0x20) : 0)

static const struct {
	char name[NAME_SIZE];
	const char *sentence, *next_step;
} codes[] = {
#define RBL_CODE(name, sentence, next_step) { { \
	LETTER(#name, 0), LETTER(#name, 1), LETTER(#name, 2), LETTER(#name, 3), LETTER(#name, 4), LETTER(#name, 5), \
	LETTER(#name, 6), LETTER(#name, 7), LETTER(#name, 8), LETTER(#name, 9), LETTER(#name, 10), LETTER(#name, 11), \
	LETTER(#name, 12), LETTER(#name, 13), LETTER(#name, 14), LETTER(#name, 15), LETTER(#name, 16), \
	LETTER(#name, 17), LETTER(#name, 18), LETTER(#name, 19), LETTER(#name, 20), LETTER(#name, 21), \
	LETTER(#name, 22), 0 }, sentence, next_step },
#include "../codes.h"
#undef RBL_CODE
};

#define RBL_CODE(name, sentence, next_step) _Static_assert(sizeof(#name) <= NAME_SIZE, #name " is too long");
#include "../codes.h"
#undef RBL_CODE

const char *rbl_code_name(rbl_u32 code)
{
	return code < RBL_CODE_COUNT ? codes[code].name : "unknown";
}

const char *rbl_code_sentence(rbl_u32 code)
{
	return code < RBL_CODE_COUNT ? codes[code].sentence : "";
}

const char *rbl_code_next_step(rbl_u32 code)
{
	return code < RBL_CODE_COUNT ? codes[code].next_step : "";
}
