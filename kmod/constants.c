// SPDX-License-Identifier: GPL-2.0-or-later
/* A second, writable mapping of constants, which the kernel itself has mapped read-only. */
#include <linux/mm.h>
#include <linux/vmalloc.h>

#include "internal.h"

bool rbl_is_in_module(const void *where)
{
	bool found;

	preempt_disable();	/* __module_address() walks a tree under RCU-sched */
	found = rbl_kernel(__module_address)((unsigned long)where);
	preempt_enable();
	return found;
}

static struct page *page_of(const void *where)
{
	return rbl_is_in_module(where) ? vmalloc_to_page(where) : pfn_to_page(PHYS_PFN(__pa_symbol(where)));
}

/*
 * Constants of the kernel itself are read-only wherever it has mapped them, and
 * text_poke() asks of them what it may only ask of modules (CONFIG_DEBUG_VIRTUAL
 * finds that).  So their pages are mapped once more, long before anything is
 * written: a deadline may come when there is no memory left.  Those of modules
 * are, too, since text_poke() copies bytes, and a reader may come by.  The
 * writable address of the same memory, NULL if there is no memory for that;
 * rbl_unmap_constant() it.
 */
void *rbl_map_constant(const void *where, u32 size)
{
	u32 i, first = offset_in_page(where), n = DIV_ROUND_UP(first + size, PAGE_SIZE);
	struct page **pages = kvmalloc_array(n, sizeof(*pages), GFP_KERNEL);
	void *mapping;

	if (!pages)
		return NULL;
	for (i = 0; i < n; i++)
		pages[i] = page_of(where - first + i * PAGE_SIZE);
	mapping = vmap(pages, n, VM_MAP, PAGE_KERNEL);
	kvfree(pages);
	return mapping ? mapping + first : NULL;
}

void rbl_unmap_constant(void *alias)
{
	vunmap(alias - offset_in_page(alias));
}

#define COPY_AT_ONCE(type, to, from) \
	do { \
		type value; \
 \
		memcpy(&value, from, sizeof(value)); \
		WRITE_ONCE(*(type *)(to), value); \
	} while (0)

/*
 * Exchanges a constant's bytes while others may read it: each number and each
 * pointer at once, as their alignment has it.
 */
void rbl_write_constant(void *alias, const void *bytes, u32 size)
{
	u32 at, part;

	for (at = 0; at < size; at += part) {
		for (part = sizeof(u64); part > size - at || !IS_ALIGNED((unsigned long)alias + at, part); part /= 2)
			;
		switch (part) {
		case sizeof(u64):
			COPY_AT_ONCE(u64, alias + at, bytes + at);
			break;
		case sizeof(u32):
			COPY_AT_ONCE(u32, alias + at, bytes + at);
			break;
		case sizeof(u16):
			COPY_AT_ONCE(u16, alias + at, bytes + at);
			break;
		default:
			COPY_AT_ONCE(u8, alias + at, bytes + at);
		}
	}
}
