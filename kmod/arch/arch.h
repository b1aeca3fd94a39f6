/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the helper module needs of an architecture.  Nothing outside of
 * arch/<name>/ names an instruction or a register.  An architecture provides
 *
 *   arch/<name>/text.h	the sizes below, as macros, and what is inline
 *	RBL_JUMP_SIZE	bytes of the jump to replacement code
 *	RBL_WRITE_SIZE	bytes that one jump may write over, at most
 *	RBL_WRITE_PHASES	in which a jump is written; all CPUs synchronise after each
 *	RBL_STAND_INS, RBL_STAND_IN_SIZE	of rbl_stand_ins[]
 *	RBL_CONSTANT64, RBL_CONSTANT8	what the compiler puts where the boot is to write a constant
 *	RBL_ARCH_KERNEL_FUNCTIONS(X)	unexported kernel functions that text.c uses (compat.h)
 *	RBL_ARCH_KERNEL_DATA(X)	the same of data
 *   arch/<name>/text.c	the functions below
 *   arch/<name>/places.h, forms.c	what forms.h declares
 */
#ifndef RBL_ARCH_H
#define RBL_ARCH_H

#include <linux/ftrace.h>
#include <linux/types.h>

#include "forms.h"

#ifdef CONFIG_X86_64
#include "x86/text.h"
#else
#error "rebootless does not know this architecture"
#endif

struct dyn_ftrace;
struct jump_entry;
struct task_struct;

/* A jump over running text. */
struct rbl_write {
	u8 *where;
	unsigned long target;		/* of the jump */
	u32 size;			/* RBL_JUMP_SIZE, or more: up to the end of a static branch that begins under the jump */
	u8 jump[RBL_WRITE_SIZE];	/* and breakpoints where the rest of that branch was */
	u8 saved[RBL_WRITE_SIZE];	/* what stands there without it */
	struct jump_entry *branch;	/* of the kernel's: the static branch that the jump lies over; NULL if there is none */
	u8 branch_at, branch_size;	/* in `saved` */
	s32 *branch_code;		/* where that entry says which code it switches, writable */
	u8 *stand_in;			/* what the kernel switches instead, meanwhile */
	u32 prefixes;			/* bit n: byte n of `saved` is a prefix that the kernel changes (prefixes.c) */
	const struct dyn_ftrace *entry;	/* ftrace's record of the function; NULL if it has none, or it moves */
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
	unsigned long target;		/* where code that meets a jump half written is sent; 0: data */
	void *alias;			/* of data: the same memory, writable */
	const char *name;		/* of the function or datum */
	const struct dyn_ftrace *entry;	/* of jumps as in struct rbl_write */
};

/* ---- writing ---- */

int rbl_arch_init(void);
void rbl_arch_exit(void);

/*
 * Writes text, or read-only memory of a module, on any number of pages, with
 * text_mutex held; no CPU runs these bytes.  Constants of the kernel itself:
 * rbl_map_constant().
 */
void rbl_arch_poke(void *where, const void *bytes, u32 size);

/* Fills in write->jump from where and target; -ERANGE if the jump does not reach. */
int rbl_arch_make_jump(struct rbl_write *write);

/*
 * One of the RBL_WRITE_PHASES phases, for all jumps; `forward` writes what
 * comes after, else what was before.  On one CPU; before it goes on to the
 * next one, each of the CPUs has to call rbl_arch_sync().
 */
void rbl_arch_write_step(const struct rbl_step *steps, u32 count, bool forward, int phase);

/* When all CPUs have synchronised after the last phase: until then code that meets a jump half written finds where that leads. */
void rbl_arch_write_end(void);

/*
 * One jump, or a whole static branch, while all CPUs run and text_mutex is held:
 * as rbl_arch_write_step() and rbl_arch_sync() of all CPUs, but also for what the
 * handling of a breakpoint itself runs.
 */
void rbl_arch_write_running(const struct rbl_step *step, bool forward);

/* Makes this CPU forget what it has fetched of the old text. */
void rbl_arch_sync(void);

/*
 * Whether this machine's CPUs may go on running what the kernel writes over
 * while they run it, for ever: the emulator's fault.  What is written while all
 * CPUs are stopped is not concerned: no CPU has it translated meanwhile.
 */
bool rbl_arch_may_run_old_text(void);

/* ---- reading ---- */

/* What stands at a function's entry as long as it is not traced. */
extern const u8 rbl_arch_untraced[MCOUNT_INSN_SIZE];

/* Whether a field of four bytes belongs to a call or a jump, rather than to an address that is taken. */
bool rbl_arch_is_branch(const void *field);

/* Whether the instruction before an address can be a call. */
bool rbl_arch_follows_call(unsigned long address);

/* Whether the processor stops an indirect call of a function, which has no landing mark, or has it no more. */
bool rbl_arch_stops_indirect_call(const void *function);

/* The lowest word in use on the stack of a task that does not run. */
static inline unsigned long rbl_arch_stack_pointer(const struct task_struct *task);

/* The end of what the kernel itself put on a task's stack; behind it lie the registers of user space. */
static inline unsigned long rbl_arch_stack_end(struct task_struct *task);

/*
 * A choice of this boot by which running code differs from what match programs
 * know, in words for an operator; NULL if there is none.
 */
const char *rbl_arch_unknown_rewrite(void);

/* ---- static branches ---- */

/* Code that never runs: one static branch after another, in its state without a jump, for stand_ins.c. */
extern u8 rbl_stand_ins[RBL_STAND_INS * RBL_STAND_IN_SIZE];

/* The length of a static branch that is in either state; 0 if the code is none. */
u32 rbl_arch_branch_size(const u8 *code);

/* The code of a static branch at `where` in one of its states. */
void rbl_arch_make_branch(u8 *code, u32 size, unsigned long where, unsigned long target, bool jump);

/* ---- prefixes that the kernel changes while it runs ---- */

/* Whether a place of that kind is such a prefix, one byte. */
bool rbl_arch_is_prefix(unsigned int kind);

/* What stands in all these places now, if text_mutex is held (`known`); else what does on any number of CPUs. */
u8 rbl_arch_prefix(bool known);

/* Whether the kernel may yet change a byte that it finds in such a place. */
bool rbl_arch_changes_prefix(u8 byte);

#endif
