// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Match programs: rbl_check() and rbl_match() on a program, a target's memory
 * and its symbol table, all of them the input's.
 *
 * Input: u8 number of regions, each u64 address, u16 size and its bytes; u8
 * number of symbol table rows, each u16 symbol and u64 address; the program.
 */
#include "input.h"
#include "match.h"
#include "regions.h"

#define MAX_ROWS 255

struct target {
	unsigned int n_regions, n_rows;
	struct region regions[MAX_ROWS];
	uint16_t symbols[MAX_ROWS];
	rbl_u64 addresses[MAX_ROWS];	/* of equal symbols together, ascending */
};

static int read_target(void *context, rbl_u64 address, void *buffer, rbl_u32 length)
{
	const struct target *target = context;

	return read_regions(target->regions, target->n_regions, address, buffer, length);
}

static rbl_u32 look_up(void *context, rbl_u32 symbol, const rbl_u64 **addresses)
{
	const struct target *target = context;
	rbl_u32 i, first = 0;

	while (first < target->n_rows && target->symbols[first] != symbol)
		first++;
	for (i = first; i < target->n_rows && target->symbols[i] == symbol;)
		i++;
	*addresses = target->addresses + first;
	return i - first;
}

static void add_row(struct target *target, uint16_t symbol, uint64_t address)
{
	unsigned int i = target->n_rows++;

	for (; i && (target->symbols[i - 1] > symbol ||
		     (target->symbols[i - 1] == symbol && target->addresses[i - 1] > address)); i--) {
		target->symbols[i] = target->symbols[i - 1];
		target->addresses[i] = target->addresses[i - 1];
	}
	target->symbols[i] = symbol;
	target->addresses[i] = address;
}

/* What a match that succeeded promises: see rbl_match(). */
static void check_result(const struct rbl_header *header, const struct rbl_result *result)
{
	const struct rbl_symbol *symbols = (const void *)((const uint8_t *)header + header->symbols.offset);
	rbl_u32 i;

	for (i = 0; i < header->symbols.count; i++)
		if (symbols[i].flags & RBL_SYMBOL_NEEDED && !result->known[i])
			__builtin_trap();
}

static void match(const uint8_t *program, size_t size, struct target *target)
{
	const struct rbl_header *header = (const void *)program;
	const struct rbl_target callbacks = { target, read_target, look_up };
	struct rbl_result result;
	struct rbl_report report;
	uint8_t *scratch;

	if (rbl_check(program, size))
		return;
	scratch = malloc(rbl_scratch_size(program));
	memset(scratch, 0xaa, rbl_scratch_size(program));
	result.bases = malloc(header->sections.count * sizeof(*result.bases) + 1);
	result.values = malloc(header->symbols.count * sizeof(*result.values) + 1);
	result.known = malloc(header->symbols.count + 1);
	if (rbl_match(program, size, &callbacks, scratch, &result, &report) != report.code)
		__builtin_trap();
	if (!report.code) {
		check_result(header, &result);
		fuzz_accepted++;
	}
	if (report.section != RBL_NONE && report.section >= header->sections.count)
		__builtin_trap();
	if (report.symbol != RBL_NONE && report.symbol >= header->symbols.count)
		__builtin_trap();
	if (report.length > sizeof(report.expected) || !*rbl_code_name(report.code))
		__builtin_trap();
	free(scratch);
	free(result.bases);
	free(result.values);
	free(result.known);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct target *target = calloc(1, sizeof(*target));
	unsigned int i, n;
	uint8_t *program;

	target->n_regions = (unsigned int)take(&input, 1);
	for (i = 0; i < target->n_regions; i++) {
		target->regions[i].address = take(&input, 8);
		target->regions[i].size = take(&input, 2);
		target->regions[i].bytes = take_bytes(&input, &target->regions[i].size);
	}
	for (i = 0, n = (unsigned int)take(&input, 1); i < n; i++) {
		uint16_t symbol = (uint16_t)take(&input, 2);

		add_row(target, symbol, take(&input, 8));
	}
	size = input.left;
	program = take_bytes(&input, &size);
	seal(program, size);
	match(program, size, target);
	free(program);
	for (i = 0; i < target->n_regions; i++)
		free(target->regions[i].bytes);
	free(target);
	return 0;
}
