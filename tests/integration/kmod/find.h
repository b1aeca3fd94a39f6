/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds what the kernel does not export, by way of a kprobe. */
#ifndef RBL_TEST_FIND_H
#define RBL_TEST_FIND_H

#include <linux/kprobes.h>

static unsigned long (*find_symbol)(const char *name);

static int find_init(void)
{
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };
	int err = register_kprobe(&probe);

	if (err)
		return err;
	find_symbol = (void *)probe.addr;
	unregister_kprobe(&probe);
	return 0;
}

#endif
