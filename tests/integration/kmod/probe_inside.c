// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A kprobe that only counts, at an instruction of a function.
 *
 *	insmod probe_inside.ko symbol=unix_ioctl offset=5
 *	cat /sys/module/probe_inside/parameters/hits
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

static bool post;
module_param(post, bool, 0444);
MODULE_PARM_DESC(post, "it has a post handler, too: at a function's entry it may go on elsewhere then");

static unsigned long hits;
module_param(hits, ulong, 0444);

static int on_hit(struct kprobe *unused, struct pt_regs *regs)
{
	WRITE_ONCE(hits, hits + 1);
	return 0;
}

static void after_hit(struct kprobe *unused, struct pt_regs *regs, unsigned long flags)
{
}

static struct kprobe probe = { .pre_handler = on_hit };

static int __init probe_inside_init(void)
{
	probe.symbol_name = symbol;
	probe.offset = offset;
	if (disabled)
		probe.flags = KPROBE_FLAG_DISABLED;
	if (post)
		probe.post_handler = after_hit;
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
