/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Takes a fuzzer's input apart; what is beyond its end is zero.  tests/fuzz/seeds.py writes such inputs. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* How many inputs were no refusal, for tests/fuzz/kernel/replay.c: seeds have to stay sound. */
unsigned int fuzz_accepted;

struct input {
	const uint8_t *at;
	size_t left;
};

static inline uint64_t take(struct input *input, size_t width)
{
	uint64_t value = 0;
	size_t n = width < input->left ? width : input->left;

	memcpy(&value, input->at, n);
	input->at += n;
	input->left -= n;
	return value;
}

/* A copy of the next bytes that has its exact size, so that a byte too far is seen; *size may become less. */
static inline uint8_t *take_bytes(struct input *input, size_t *size)
{
	uint8_t *copy;

	if (*size > input->left)
		*size = input->left;
	copy = malloc(*size ? *size : 1);
	memcpy(copy, input->at, *size);
	input->at += *size;
	input->left -= *size;
	return copy;
}

/* A match program in the buffer gets the checksum that its bytes have, as who can give an update can do as well. */
static inline void seal(uint8_t *program, size_t size)
{
	uint32_t crc = ~0u;
	size_t i, bit;

	if (size < 20)
		return;
	memset(program + 16, 0, 4);
	for (i = 0; i < size; i++) {
		crc ^= program[i];
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	crc = ~crc;
	memcpy(program + 16, &crc, 4);
}

#endif
