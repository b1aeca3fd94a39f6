/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The match program and its matcher.
 *
 * A match program is the compact form of the pre code of an update's units.
 * The matcher proves that the code in a target equals it, and learns symbol
 * addresses on the way.  match.c (the matcher) and check.c (the program's
 * checks, strings and codes) use no kernel API: the same files are compiled
 * into the helper module and into libmatch.so.
 *
 * All integers are little-endian and naturally aligned; every offset counts
 * from the start of the program.  docs/formats.md explains the format.
 */
#ifndef RBL_MATCH_H
#define RBL_MATCH_H

#ifdef __KERNEL__
#include <linux/types.h>
typedef u8 rbl_u8; typedef u16 rbl_u16; typedef u32 rbl_u32; typedef u64 rbl_u64; typedef s64 rbl_s64;
#else
#include <stdint.h>
typedef uint8_t rbl_u8; typedef uint16_t rbl_u16; typedef uint32_t rbl_u32; typedef uint64_t rbl_u64; typedef int64_t rbl_s64;
#endif

#include "../arch/forms.h"
#include "../relocs.h"

#define RBL_MAGIC "RBLMATCH"
#define RBL_VERSION 1
#define RBL_NONE 0xffffffffu	/* no such index */
#define RBL_MAX_PLACE 256	/* bytes in one place at most */
#define RBL_MAX_LITERAL 65536	/* bytes in one literal at most */

enum rbl_code {
#define RBL_CODE(name, sentence, next_step) RBL_##name,
#include "../codes.h"
#undef RBL_CODE
	RBL_CODE_COUNT
};

/* One of the program's tables: `count` rows from byte `offset` on. */
struct rbl_table {
	rbl_u32 offset;
	rbl_u32 count;
};

struct rbl_header {
	rbl_u8 magic[8];
	rbl_u32 version;
	rbl_u32 size;		/* of the whole program, in bytes */
	rbl_u32 crc32;		/* zlib's CRC-32 of the program with this field 0 */
	rbl_u32 reserved;
	struct rbl_table sections, symbols, places, contents, relocs;
	struct rbl_table strings;	/* bytes of NUL-terminated names; offset 0 of it is "" */
	struct rbl_table bytes;		/* pool of section, content and literal bytes */
};

enum rbl_section_flags {
	RBL_SECTION_TEXT = 1,		/* executable */
	RBL_SECTION_COMPARED = 2,	/* has bytes, every one is compared; else only its base is learned */
};

/* One section of one unit's pre object: matched as one piece. */
struct rbl_section {
	rbl_u32 object;		/* string: "vmlinux" or the name of a loadable module */
	rbl_u32 unit;		/* string: "net/unix/af_unix.o" */
	rbl_u32 name;		/* string: ".text" */
	rbl_u32 flags;
	rbl_u32 size;		/* bytes */
	rbl_u32 bytes;		/* offset in the pool; RBL_NONE unless compared */
	rbl_u32 first_place, n_places;	/* ascending, not overlapping */
};

enum rbl_symbol_kind {
	RBL_SYMBOL_GLOBAL,	/* known by name from the target's symbol table */
	RBL_SYMBOL_LOCAL,	/* base of `section` plus `offset` */
	RBL_SYMBOL_LITERAL,	/* wherever `size` bytes at `offset` of the pool stand (the linker merges constants) */
};

enum rbl_symbol_flags {
	RBL_SYMBOL_NEEDED = 1,		/* the update uses the value: it has to be known after the match */
	RBL_SYMBOL_KALLSYMS = 2,	/* LOCAL: if the symbol table has the name at all, it must have it at this address */
};

struct rbl_symbol {
	rbl_u32 name;		/* string; "" if it has none */
	rbl_u32 object;		/* string: where to look it up: "vmlinux", a module, or "" for anywhere */
	rbl_u16 kind, flags;
	rbl_u32 section;	/* LOCAL: index; else RBL_NONE */
	rbl_u64 offset;
	rbl_u32 size;		/* of the object or literal, in bytes; 0 if unknown */
	rbl_u32 reserved;
};

/* Bytes of a section that hold one of several contents. */
struct rbl_place {
	rbl_u32 offset;		/* in the section */
	rbl_u16 length;		/* bytes, 1..RBL_MAX_PLACE */
	rbl_u16 kind;		/* enum rbl_place_kind of the architecture */
	rbl_u32 first_content, n_contents;	/* at least one */
};

struct rbl_content {
	rbl_u32 bytes;		/* offset in the pool; as long as the place; what relocs cover is ignored */
	rbl_u32 first_reloc, n_relocs;	/* ascending, not overlapping */
	rbl_u32 reserved;
};

struct rbl_reloc {
	rbl_u16 offset;		/* in the content */
	rbl_u16 type;		/* enum rbl_reloc_type */
	rbl_u32 symbol;
	rbl_s64 addend;
};

/* What the matcher asks of its surroundings. */
struct rbl_target {
	void *context;
	/* Copies `length` bytes at `address`; 0, or negative if any of them cannot be read. */
	int (*read)(void *context, rbl_u64 address, void *buffer, rbl_u32 length);
	/*
	 * The addresses at which the target's symbol table has program symbol
	 * `symbol` (by its name, in its object), in ascending order; returns their number
	 * and sets *addresses, which stays valid during the match.  The surroundings
	 * look all names up in one pass before matching.
	 */
	rbl_u32 (*lookup)(void *context, rbl_u32 symbol, const rbl_u64 **addresses);
};

/* What was found; `code` RBL_OK or the reason for refusing. */
struct rbl_report {
	rbl_u32 code;
	rbl_u32 section;	/* index, RBL_NONE if it concerns none */
	rbl_u32 symbol;		/* index: what could not be found or agreed on; RBL_NONE if none */
	rbl_u32 place_kind;	/* of the place that differs; RBL_NONE if a plain byte does */
	rbl_u32 offset;		/* in the section, of the first difference */
	rbl_u32 length;		/* of expected and found, up to 16 */
	rbl_u64 address;	/* of the first difference */
	rbl_u32 candidates;	/* tried for the section */
	rbl_u32 survivors;
	rbl_u8 expected[16];	/* pre bytes (first content) from `offset` on */
	rbl_u8 found[16];
	rbl_u64 compared;	/* bytes compared in all, for statistics */
};

/* Results, allocated by the caller with the header's counts. */
struct rbl_result {
	rbl_u64 *bases;		/* one for each section; 0: not learned */
	rbl_u64 *values;	/* one for each symbol */
	rbl_u8 *known;		/* one for each symbol: value is valid */
};

/*
 * Checks that the program is well formed: afterwards nothing in it can lead
 * the matcher outside of it.  Returns RBL_OK or RBL_BAD_PROGRAM.
 */
rbl_u32 rbl_check(const void *program, rbl_u64 size);

/* Bytes of scratch memory that rbl_match() wants; `program` has been checked. */
rbl_u64 rbl_scratch_size(const void *program);

/*
 * Matches all sections.  Calls rbl_check() itself.  On RBL_OK every compared
 * section equals the running code and every NEEDED symbol has its value (a
 * section without one can lack a base, if it fits everywhere where it could
 * be); on anything else the result is not to be used.  Returns report->code.
 */
rbl_u32 rbl_match(const void *program, rbl_u64 size, const struct rbl_target *target,
		  void *scratch, struct rbl_result *result, struct rbl_report *report);

/* Strings of a checked program; "" for offsets that are none. */
const char *rbl_string(const void *program, rbl_u32 offset);

/* Bytes of a field of an enum rbl_reloc_type; 0 if there is no such type. */
rbl_u32 rbl_field_width(rbl_u32 type);

/* The stable name ("no_match"), sentence and next step of a code. */
const char *rbl_code_name(rbl_u32 code);
const char *rbl_code_sentence(rbl_u32 code);
const char *rbl_code_next_step(rbl_u32 code);

#endif
