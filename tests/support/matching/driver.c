// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs the matcher under the sanitizers: reads cases from standard input,
 * writes what was found to standard output, until the input ends.  Every
 * buffer is allocated at its exact size, so that a byte too far is seen.
 *
 * A case: u32 size and the program; u32 number of regions, each u64 address,
 * u32 size and its bytes; u32 number of names, each u32 symbol, u32 number
 * of addresses and those, u64 each.
 * An answer: u32 code, number of sections, number of symbols (both 0 if the
 * program was refused); struct rbl_report; u64 bases, u64 values, u8 known.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "match.h"
#include "regions.h"

struct name { uint32_t symbol, count; uint64_t *addresses; };
struct target { uint32_t n_regions, n_names; struct region *regions; struct name *names; };

static void take(void *buffer, size_t size)
{
	if (size && fread(buffer, size, 1, stdin) != 1)
		exit(feof(stdin) ? 0 : 2);
}

static uint32_t take32(void)
{
	uint32_t value;

	take(&value, sizeof(value));
	return value;
}

static uint64_t take64(void)
{
	uint64_t value;

	take(&value, sizeof(value));
	return value;
}

static int read_target(void *context, rbl_u64 address, void *buffer, rbl_u32 length)
{
	const struct target *target = context;

	return read_regions(target->regions, target->n_regions, address, buffer, length);
}

static rbl_u32 look_up(void *context, rbl_u32 symbol, const rbl_u64 **addresses)
{
	const struct target *target = context;

	for (uint32_t i = 0; i < target->n_names; i++) {
		if (target->names[i].symbol == symbol) {
			*addresses = target->names[i].addresses;
			return target->names[i].count;
		}
	}
	return 0;
}

static void answer(const unsigned char *program, uint32_t size, struct target *target)
{
	struct rbl_target callbacks = { target, read_target, look_up };
	uint32_t code = rbl_check(program, size);
	const struct rbl_header *header = (const void *)program;
	uint32_t sections = code ? 0 : header->sections.count, symbols = code ? 0 : header->symbols.count;
	struct rbl_report report = { 0 };
	struct rbl_result result = {
		malloc(sections * sizeof(uint64_t)), malloc(symbols * sizeof(uint64_t)), malloc(symbols),
	};

	if (!code) {
		size_t scratch_size = rbl_scratch_size(program);
		unsigned char *scratch = malloc(scratch_size);

		memset(scratch, 0xaa, scratch_size);
		code = rbl_match(program, size, &callbacks, scratch, &result, &report);
		free(scratch);
	}
	fwrite(&code, sizeof(code), 1, stdout);
	fwrite(&sections, sizeof(sections), 1, stdout);
	fwrite(&symbols, sizeof(symbols), 1, stdout);
	fwrite(&report, sizeof(report), 1, stdout);
	fwrite(result.bases, sizeof(uint64_t), sections, stdout);
	fwrite(result.values, sizeof(uint64_t), symbols, stdout);
	fwrite(result.known, 1, symbols, stdout);
	fflush(stdout);
	free(result.bases);
	free(result.values);
	free(result.known);
}

int main(void)
{
	for (;;) {
		struct target target;
		uint32_t i, k, size = take32();
		unsigned char *program = malloc(size);

		take(program, size);
		target.n_regions = take32();
		target.regions = calloc(target.n_regions, sizeof(*target.regions));
		for (i = 0; i < target.n_regions; i++) {
			target.regions[i].address = take64();
			target.regions[i].size = take32();
			target.regions[i].bytes = malloc(target.regions[i].size);
			take(target.regions[i].bytes, target.regions[i].size);
		}
		target.n_names = take32();
		target.names = calloc(target.n_names, sizeof(*target.names));
		for (i = 0; i < target.n_names; i++) {
			target.names[i].symbol = take32();
			target.names[i].count = take32();
			target.names[i].addresses = calloc(target.names[i].count, sizeof(uint64_t));
			for (k = 0; k < target.names[i].count; k++)
				target.names[i].addresses[k] = take64();
		}
		answer(program, size, &target);
		for (i = 0; i < target.n_names; i++)
			free(target.names[i].addresses);
		for (i = 0; i < target.n_regions; i++)
			free(target.regions[i].bytes);
		free(target.names);
		free(target.regions);
		free(program);
	}
}
