/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory of a target, for what runs the matcher in user space: regions, between which there is nothing. */
#ifndef REGIONS_H
#define REGIONS_H

#include <stdint.h>
#include <string.h>
#include "match.h"

struct region { uint64_t address; size_t size; uint8_t *bytes; };

/* The `read` of struct rbl_target: 0, or -1 unless all of it lies in one region. */
static inline int read_regions(const struct region *regions, uint32_t count, rbl_u64 address, void *buffer,
			       rbl_u32 length)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct region *region = regions + i;

		if (address < region->address || address - region->address > region->size ||
		    length > region->size - (address - region->address))
			continue;
		memcpy(buffer, region->bytes + (address - region->address), length);
		return 0;
	}
	return -1;
}

#endif
