// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A live patch of the kernel's own kind (CONFIG_LIVEPATCH), as another vendor
 * would bring it: while it is enabled, the function returns -ENOSYS.
 *
 *	insmod other_live_patch.ko symbol=unix_ioctl
 *	echo 0 > /sys/kernel/livepatch/other_live_patch/enabled
 *	rmmod other_live_patch		(when the directory above is gone)
 */
#include <linux/livepatch.h>
#include <linux/module.h>

static char *symbol;
module_param(symbol, charp, 0444);

static char *object;
module_param(object, charp, 0444);
MODULE_PARM_DESC(object, "the loadable module that the function is in (default: none)");

static long replacement(void)
{
	return -ENOSYS;
}

static struct klp_func functions[] = {
	{ .new_func = replacement },
	{ }
};

static struct klp_object objects[] = {
	{ .funcs = functions },
	{ }
};

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objects,
};

static int __init other_live_patch_init(void)
{
	functions[0].old_name = symbol;
	objects[0].name = object;
	return klp_enable_patch(&patch);
}

static void __exit other_live_patch_exit(void)
{
}

module_init(other_live_patch_init);
module_exit(other_live_patch_exit);
MODULE_DESCRIPTION("test: another live patch");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
