/* SPDX-License-Identifier: GPL-2.0-or-later */
/* x86-64: sizes, and where a task's stack begins and ends; ../arch.h says what each is. */
#ifndef RBL_ARCH_TEXT_H
#define RBL_ARCH_TEXT_H

#include <linux/sched/task_stack.h>
#include <linux/types.h>
#include <asm/text-patching.h>

#define RBL_JUMP_SIZE 5		/* jmp rel32 */
#define RBL_WRITE_SIZE 9	/* a static branch may begin at the jump's last byte */
#define RBL_WRITE_PHASES 3	/* breakpoint, the bytes behind it, the first byte */

#define RBL_STAND_INS 1024
#define RBL_STAND_IN_SIZE 5	/* the longer form of a static branch, which reaches everywhere */

/* arch/x86/include/asm/runtime-const.h */
#define RBL_CONSTANT64 0x0123456789abcdefULL
#define RBL_CONSTANT8 12

#define RBL_ARCH_KERNEL_FUNCTIONS(X)	\
	X(text_poke_bp)				\
	X(text_poke_kgdb)

extern bool uniproc_patched;		/* arch/x86/kernel/alternative.c, under text_mutex; no header has it */

#define RBL_ARCH_KERNEL_DATA(X)		\
	X(uniproc_patched)

static inline unsigned long rbl_arch_stack_pointer(const struct task_struct *task)
{
	return task->thread.sp;
}

static inline unsigned long rbl_arch_stack_end(struct task_struct *task)
{
	return (unsigned long)task_pt_regs(task);
}

#endif
