// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the compiler and the matcher take for granted, for libmatch.so alone:
 * the library depends on nothing, so that it loads on any host, musl or glibc.
 * Hidden, so that the process keeps its own functions of these names.
 */
#include <stddef.h>
#include <stdint.h>

#define HIDDEN __attribute__((visibility("hidden")))

typedef uint64_t __attribute__((may_alias, aligned(1))) word;

HIDDEN int memcmp(const void *a, const void *b, size_t length)
{
	const unsigned char *p = a, *q = b;

	while (length >= sizeof(word) && *(const word *)p == *(const word *)q) {
		p += sizeof(word);
		q += sizeof(word);
		length -= sizeof(word);
	}
	for (; length; p++, q++, length--)
		if (*p != *q)
			return *p - *q;
	return 0;
}

HIDDEN void *memcpy(void *restrict to, const void *restrict from, size_t length)
{
	unsigned char *p = to;
	const unsigned char *q = from;

	while (length--)
		*p++ = *q++;
	return to;
}

HIDDEN void *memset(void *to, int value, size_t length)
{
	unsigned char *p = to;

	while (length--)
		*p++ = (unsigned char)value;
	return to;
}
