// SPDX-License-Identifier: GPL-2.0-or-later
/* A second, writable mapping of constants that the kernel itself has mapped read-only. */
#include <linux/mm.h>
#include <linux/vmalloc.h>

#include "internal.h"

/*
 * Constants of the kernel itself are read-only wherever it has mapped them, and
 * text_poke() asks of them what it may only ask of modules (CONFIG_DEBUG_VIRTUAL
 * finds that).  So their pages are mapped once more, before anything is
 * written.  The writable address of the same memory, NULL if there is no memory
 * for that; rbl_unmap_constant() it.
 */
void *rbl_map_constant(const void *where, u32 size)
{
	u32 i, first = offset_in_page(where), n = DIV_ROUND_UP(first + size, PAGE_SIZE);
	struct page **pages = kvmalloc_array(n, sizeof(*pages), GFP_KERNEL);
	void *mapping;

	if (!pages)
		return NULL;
	for (i = 0; i < n; i++)
		pages[i] = pfn_to_page(PHYS_PFN(__pa_symbol(where - first + i * PAGE_SIZE)));
	mapping = vmap(pages, n, VM_MAP, PAGE_KERNEL);
	kvfree(pages);
	return mapping ? mapping + first : NULL;
}

void rbl_unmap_constant(void *alias)
{
	vunmap(alias - offset_in_page(alias));
}

bool rbl_is_in_module(const void *where)
{
	bool found;

	preempt_disable();	/* __module_address() walks a tree under RCU-sched */
	found = rbl_kernel(__module_address)((unsigned long)where);
	preempt_enable();
	return found;
}
