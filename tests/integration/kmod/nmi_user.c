// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Calls a function of the kernel from NMIs for a while, as perf, BPF programs
 * in NMI context and the unwinder call theirs:
 *
 *	insmod nmi_user.ko symbol=__bitmap_equal micros=3000
 *
 * Each CPU stays in the NMI a different time, so that they are apart in what
 * they do next.  `nmis` counts them.
 */
#include <linux/bitmap.h>
#include <linux/module.h>
#include <linux/nmi.h>
#include <linux/smp.h>
#include <linux/timekeeping.h>
#include <asm/nmi.h>

#include "find.h"

static char *symbol = "__bitmap_equal";
module_param(symbol, charp, 0444);
MODULE_PARM_DESC(symbol, "a function with __bitmap_equal()'s arguments");

static unsigned int micros = 3000;
module_param(micros, uint, 0644);

static unsigned long nmis;
module_param(nmis, ulong, 0444);

static bool (*function)(const unsigned long *a, const unsigned long *b, unsigned int bits);
static unsigned long a[4], b[4];

static int on_nmi(unsigned int command, struct pt_regs *regs)
{
	u64 end = ktime_get_mono_fast_ns() + micros * (u64)NSEC_PER_USEC * (1 + raw_smp_processor_id());

	if (!raw_smp_processor_id())
		nmis++;
	do {
		function(a, b, 256);
	} while (ktime_get_mono_fast_ns() < end);
	return NMI_HANDLED;
}

static int __init nmi_user_init(void)
{
	int err = find_init();

	if (err)
		return err;
	function = (void *)find_symbol(symbol);
	if (!function)
		return -ENOENT;
	return register_nmi_handler(NMI_LOCAL, on_nmi, 0, "nmi_user");
}

static void __exit nmi_user_exit(void)
{
	unregister_nmi_handler(NMI_LOCAL, "nmi_user");
}

module_init(nmi_user_init);
module_exit(nmi_user_exit);
MODULE_DESCRIPTION("test: NMIs that call a function of the kernel");
MODULE_LICENSE("GPL");
