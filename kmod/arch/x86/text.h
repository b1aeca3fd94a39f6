/* SPDX-License-Identifier: GPL-2.0-or-later */
/* x86-64: how jumps and fields are written into text, and where a task's stack begins. */
#ifndef RBL_ARCH_TEXT_H
#define RBL_ARCH_TEXT_H

#include <linux/sched/task_stack.h>
#include <linux/types.h>

#define RBL_JUMP_SIZE 5		/* jmp rel32 */
#define RBL_WRITE_SIZE 9	/* most: a static branch may begin at the jump's last byte */
#define RBL_WRITE_PHASES 3	/* in which a jump is written, all CPUs synchronised after each */

/* What the compiler puts where the boot is to write a constant: arch/x86/include/asm/runtime-const.h. */
#define RBL_CONSTANT64 0x0123456789abcdefULL
#define RBL_CONSTANT8 12

struct jump_entry;

/* A jump over running text. */
struct rbl_write {
	u8 *where;
	unsigned long target;		/* of the jump */
	u32 size;			/* RBL_JUMP_SIZE, or more: up to the end of a static branch that begins under the jump */
	u8 jump[RBL_WRITE_SIZE];	/* and breakpoints where the rest of that branch was */
	u8 saved[RBL_WRITE_SIZE];	/* what stands there without it */
	struct jump_entry *branch;	/* of the kernel's: the static branch that the jump lies over; NULL if there is none */
	u8 branch_at, branch_size;	/* in `saved` */
	u8 *stand_in;			/* what the kernel switches instead, meanwhile */
};

/*
 * Bytes of the running kernel that a switch changes, by stepping from one
 * version to another.  Jumps are written so that code which runs meanwhile
 * (of NMIs) meets whole instructions; of data only the bytes are written.
 */
struct rbl_step {
	u8 *where;
	const u8 *before, *after;
	u32 size;			/* of jumps as in struct rbl_write */
	unsigned long target;		/* where who meets a jump half written is sent; 0: data */
	const char *name;		/* of the function or datum */
};

int rbl_arch_init(void);
void rbl_arch_exit(void);
int rbl_arch_make_jump(struct rbl_write *write);
void rbl_arch_write_step(const struct rbl_step *steps, u32 count, bool forward, int phase);
void rbl_arch_write_end(void);
void rbl_arch_sync(void);
bool rbl_arch_is_branch(const void *field);
bool rbl_arch_follows_call(unsigned long address);
bool rbl_arch_is_sealed(const void *function);
u32 rbl_arch_branch_size(const u8 *code);
void rbl_arch_make_branch(u8 *code, u32 size, unsigned long where, unsigned long target, bool jump);

/* The lowest word in use on the stack of a task that does not run. */
static inline unsigned long rbl_arch_stack_pointer(const struct task_struct *task)
{
	return task->thread.sp;
}

/* The end of what the kernel itself put on a task's stack; behind it lie the registers of user space. */
static inline unsigned long rbl_arch_stack_end(struct task_struct *task)
{
	return (unsigned long)task_pt_regs(task);
}

#endif
