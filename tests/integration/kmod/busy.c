// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Lets a task sleep inside a function until this module is unloaded.
 *
 *	insmod busy.ko symbol=unix_ioctl offset=5
 *	(a task calls unix_ioctl(); "busy: pid 123 sleeps" is logged)
 *	rmmod busy			(the task goes on where it was)
 *
 * A kprobe at the given instruction makes the first task that comes by call
 * sleep_here(), as if the instruction before had been that call; then the
 * kprobe is removed, so that the text is as it was.  `address` can be given
 * instead of `symbol`, for code that the symbol table has twice.  The task
 * must be allowed to sleep there, and the instruction must not be the
 * function's first one, or the stack could not be walked.  `left` lies on the
 * task's stack meanwhile, as a call that is over leaves an address behind.
 */
#define pr_fmt(fmt) "busy: " fmt

#include <linux/irq_work.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <asm/ibt.h>
#include <asm/text-patching.h>

static char *symbol;
module_param(symbol, charp, 0444);

static unsigned long address;
module_param(address, ulong, 0444);

static unsigned int offset;
module_param(offset, uint, 0444);

static unsigned long left;
module_param(left, ulong, 0444);

static char *comm;
module_param(comm, charp, 0444);
MODULE_PARM_DESC(comm, "the name of the task that is to sleep (default: the first that comes by)");

static unsigned long argument;
module_param(argument, ulong, 0444);
MODULE_PARM_DESC(argument, "the first argument of the call in which a task is to sleep (default: any)");

static unsigned long caller[2];
module_param_array(caller, ulong, NULL, 0444);
MODULE_PARM_DESC(caller, "where the function begins and ends that calls the one in which a task is to sleep (default: any)");

static int skip;
module_param(skip, int, 0444);
MODULE_PARM_DESC(skip, "how many calls go by before the one in which a task is to sleep (default: 0)");

static int sleeper;
module_param(sleeper, int, 0444);
MODULE_PARM_DESC(sleeper, "pid of the task that sleeps, 0 if there is none yet (read only)");

static atomic_t caught, passed;
static bool over;
static DECLARE_WAIT_QUEUE_HEAD(end);
static DECLARE_COMPLETION(gone);

asmlinkage void sleep_here(void);
asmlinkage void sleep_there(void);

asmlinkage __visible __used void sleep_here(void)
{
	volatile unsigned long leftover[] = { left };

	wait_event_idle(end, READ_ONCE(over));	/* neither counted as load nor taken for hung */
	(void)leftover[0];
}

/* The task is in the midst of a function, so every register has to survive. */
asm(".pushsection .text\n"
    ".type sleep_there, @function\n"
    "sleep_there:\n"
    "	" ASM_ENDBR
    "	pushf\n"
    "	push %rax; push %rcx; push %rdx; push %rsi; push %rdi\n"
    "	push %r8; push %r9; push %r10; push %r11\n"
    "	call sleep_here\n"
    "	pop %r11; pop %r10; pop %r9; pop %r8\n"
    "	pop %rdi; pop %rsi; pop %rdx; pop %rcx; pop %rax\n"
    "	popf\n"
    "	" ASM_RET
    ".size sleep_there, . - sleep_there\n"
    ".popsection\n");

static void remove_probe(struct work_struct *unused);
static DECLARE_WORK(removal, remove_probe);

static void begin_removal(struct irq_work *unused)
{
	schedule_work(&removal);
}

/* A breakpoint may be hit with any lock held, those of workqueues included; this takes none. */
static DEFINE_IRQ_WORK(hit, begin_removal);

/* `argument` and `caller` are for an instruction before which the function has changed neither registers nor stack. */
static bool is_wanted(const struct pt_regs *regs)
{
	unsigned long back = *(unsigned long *)regs->sp;

	return (!comm || !strcmp(current->comm, comm)) && (!argument || regs->di == argument) &&
	       (!caller[1] || (back >= caller[0] && back < caller[1]));
}

static int on_hit(struct kprobe *probe, struct pt_regs *regs)
{
	if (!is_wanted(regs) || atomic_inc_return(&passed) <= skip || atomic_xchg(&caught, 1))
		return 0;
	sleeper = current->pid;
	irq_work_queue(&hit);
	int3_emulate_push(regs, (unsigned long)probe->addr);
	int3_emulate_jmp(regs, (unsigned long)sleep_there);
	return 1;
}

/* That there is one keeps the kprobe from being optimised into a jump, which could not change the registers. */
static void after_hit(struct kprobe *probe, struct pt_regs *regs, unsigned long flags)
{
}

static struct kprobe probe = { .pre_handler = on_hit, .post_handler = after_hit };

static void remove_probe(struct work_struct *unused)
{
	unregister_kprobe(&probe);
	complete(&gone);
	pr_info("pid %d sleeps\n", sleeper);
}

static int __init busy_init(void)
{
	if (symbol)
		probe.symbol_name = symbol;
	else
		probe.addr = (void *)address;
	probe.offset = offset;
	return register_kprobe(&probe);
}

static void __exit busy_exit(void)
{
	if (!atomic_xchg(&caught, 1)) {
		unregister_kprobe(&probe);
		return;
	}
	wait_for_completion(&gone);
	irq_work_sync(&hit);
	WRITE_ONCE(over, true);
	wake_up_all(&end);
	/* Until it has left sleep_there(): no voluntary switch lies on its way out. */
	synchronize_rcu_tasks();
}

module_init(busy_init);
module_exit(busy_exit);
MODULE_DESCRIPTION("test: a task that sleeps inside a function");
MODULE_LICENSE("GPL");
