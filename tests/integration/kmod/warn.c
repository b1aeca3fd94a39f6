// SPDX-License-Identifier: GPL-2.0-or-later
/* A warning of the kernel's own, each time that it is loaded; then it is gone again. */
#include <linux/bug.h>
#include <linux/module.h>

static int __init warn_init(void)
{
	WARN(1, "a test that warns\n");
	return -EAGAIN;
}

module_init(warn_init);
MODULE_DESCRIPTION("Warns");
MODULE_LICENSE("GPL");
