// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Changes one byte of kernel text, and changes it back when it is unloaded.
 *
 *	insmod flip.ko symbol=unix_stream_connect offset=100 mask=0x01
 *
 * `address` can be given instead of `symbol`; each bit of `mask` is flipped.
 * The function should not run meanwhile.
 */
#define pr_fmt(fmt) "flip: " fmt

#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/uaccess.h>

#include "find.h"

static char *symbol;
module_param(symbol, charp, 0444);

static unsigned long address;
module_param(address, ulong, 0444);

static unsigned long offset;
module_param(offset, ulong, 0444);

static unsigned char mask = 1;
module_param(mask, byte, 0444);

static void *(*poke)(void *address, const void *opcode, size_t length);
static struct mutex *text_lock;

static int flip(void)
{
	u8 byte;
	int err = copy_from_kernel_nofault(&byte, (void *)address, 1);

	if (err)
		return err;
	pr_info("0x%lx: %02x becomes %02x\n", address, byte, byte ^ mask);
	byte ^= mask;
	mutex_lock(text_lock);
	poke((void *)address, &byte, 1);
	mutex_unlock(text_lock);
	return 0;
}

static int __init flip_init(void)
{
	int err = find_init();

	if (err)
		return err;
	poke = (void *)find_symbol("text_poke");
	text_lock = (void *)find_symbol("text_mutex");
	if (symbol)
		address = find_symbol(symbol);
	if (!poke || !text_lock || !address)
		return -ENOENT;
	address += offset;
	return flip();
}

static void __exit flip_exit(void)
{
	flip();
}

module_init(flip_init);
module_exit(flip_exit);
MODULE_DESCRIPTION("test: one changed byte of kernel text");
MODULE_LICENSE("GPL");
