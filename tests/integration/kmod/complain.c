// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a kernel that checks itself is to complain about, one fault for each load.
 *
 *	insmod complain.ko fault=use_after_free
 */
#include <linux/delay.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>

static char *fault = "";
module_param(fault, charp, 0444);

static DEFINE_MUTEX(one);
static DEFINE_MUTEX(other);
static LIST_HEAD(list);
static u8 bytes[5];
static void __rcu *pointer;

static void use_after_free(void)
{
	u8 *memory = kmalloc(128, GFP_KERNEL);

	kfree(memory);
	((volatile u8 *)memory)[3] = 1;
}

static void beyond_a_variable(void)
{
	volatile unsigned int beyond = sizeof(bytes);

	((volatile u8 *)bytes)[beyond] = 1;
}

static void both_ways(void)
{
	mutex_lock(&one);
	mutex_lock(&other);
	mutex_unlock(&other);
	mutex_unlock(&one);
	mutex_lock(&other);
	mutex_lock(&one);
	mutex_unlock(&one);
	mutex_unlock(&other);
}

static void sleep_in_atomic(void)
{
	preempt_disable();
	msleep(1);
	preempt_enable();
}

static void broken_list(void)
{
	LIST_HEAD(entry);

	list_add(&entry, &list);
	list.next = &list;
	list_del(&entry);
	INIT_LIST_HEAD(&list);
}

static void no_rcu(void)
{
	(void)rcu_dereference(pointer);
}

static void no_lock(void)
{
	lockdep_assert_held(&one);
}

static const struct {
	const char *name;
	void (*make)(void);
} faults[] = {
	{ "use_after_free", use_after_free },
	{ "beyond_a_variable", beyond_a_variable },
	{ "both_ways", both_ways },
	{ "sleep_in_atomic", sleep_in_atomic },
	{ "broken_list", broken_list },
	{ "no_rcu", no_rcu },
	{ "no_lock", no_lock },
};

static int __init complain_init(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(faults); i++)
		if (!strcmp(fault, faults[i].name)) {
			faults[i].make();
			return 0;
		}
	return -EINVAL;
}

static void __exit complain_exit(void)
{
}

module_init(complain_init);
module_exit(complain_exit);
MODULE_DESCRIPTION("test: faults that a kernel which checks itself finds");
MODULE_LICENSE("GPL");
