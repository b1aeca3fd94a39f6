// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A kprobe that does nothing, at an instruction of a function.
 *
 *	insmod probe_inside.ko symbol=unix_ioctl offset=5
 */
#include <linux/kprobes.h>
#include <linux/module.h>

static char *symbol;
module_param(symbol, charp, 0444);

static unsigned int offset;
module_param(offset, uint, 0444);

static bool disabled;
module_param(disabled, bool, 0444);
MODULE_PARM_DESC(disabled, "register the kprobe, but do not arm it");

static int on_hit(struct kprobe *unused, struct pt_regs *regs)
{
	return 0;
}

static struct kprobe probe = { .pre_handler = on_hit };

static int __init probe_inside_init(void)
{
	probe.symbol_name = symbol;
	probe.offset = offset;
	if (disabled)
		probe.flags = KPROBE_FLAG_DISABLED;
	return register_kprobe(&probe);
}

static void __exit probe_inside_exit(void)
{
	unregister_kprobe(&probe);
}

module_init(probe_inside_init);
module_exit(probe_inside_exit);
MODULE_DESCRIPTION("test: a kprobe inside a function");
MODULE_LICENSE("GPL");
