// SPDX-License-Identifier: GPL-2.0-or-later
/* Says in the kernel log how many cycles a call of gcd() takes; its loading then fails, so that it need not be unloaded. */
#include <linux/gcd.h>
#include <linux/irqflags.h>
#include <linux/module.h>
#include <linux/timex.h>

#define ROUNDS 64
#define CALLS 10000

static unsigned long volatile sink;

static cycles_t round_of_calls(void)
{
	unsigned long flags;
	cycles_t start, end;
	int i;

	local_irq_save(flags);
	start = get_cycles();
	for (i = 0; i < CALLS; i++)
		sink = gcd(12, 1);
	end = get_cycles();
	local_irq_restore(flags);
	return end - start;
}

static int __init call_cost_init(void)
{
	cycles_t best = round_of_calls();
	int i;

	/* The quickest round is the one that nothing interrupted. */
	for (i = 1; i < ROUNDS; i++)
		best = min(best, round_of_calls());
	pr_info("call_cost: %llu cycles for %d calls\n", (unsigned long long)best, CALLS);
	return -ECANCELED;
}

module_init(call_cost_init);
MODULE_DESCRIPTION("measures what a call of a replaced function costs");
MODULE_LICENSE("GPL");
