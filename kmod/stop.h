/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One try of a switch (stop.c), for the tries of it (switch.c). */
#ifndef RBL_STOP_H
#define RBL_STOP_H

#include "internal.h"

/* What one CPU writes while it is stopped. */
struct rbl_slot {
	u32 share;			/* of the tasks: its number of all CPUs; the leader's is 0 */
	u32 arrived;			/* meetings that it has come to */
	u32 acknowledged;		/* phases of the writing after which it has synchronised */
	u32 looked_at;			/* stacks that it has walked */
	u64 begin, end;			/* when it came and left, in ns */
} ____cacheline_aligned_in_smp;

/* One try: what all CPUs see while they are stopped. */
struct rbl_stop {
	struct rbl_record *record;
	struct rbl_record *previous;	/* a live version of the same update, which goes; or NULL */
	enum rbl_purpose purpose;
	bool force;			/* tasks in the replacement code are no reason to refuse */
	struct rbl_steps steps;
	u32 cpus;
	struct rbl_slot *slots;		/* of each CPU */
	struct rbl_range *ranges;	/* of `stacks` */
	u32 code;			/* of the steps' content */
	u32 hook_code;			/* of the hooks that run before; see ask_hooks() */
	const struct rbl_step *offender;	/* the step whose place does not hold what it should */
	u8 found[RBL_WRITE_SIZE];	/* there */
	unsigned long used;		/* or by what it is used: its address */
	const char *probed;		/* a function of old code that a kprobe lies in, at `used`; NULL: none */
	bool has_checks, has_calls;	/* hooks that run before and after everything is written */
	const struct rbl_hook *refusing;
	int hook_value;
	bool written;			/* everything reads back as written */
	u32 verdict;			/* of the whole: a code; RBL_UNSUPPORTED_KERNEL as long as there is none */
	u64 pause_ns, stop_ns;		/* as the CPUs see it, and as the one that stopped them */
	u32 looked_at;			/* stacks that were walked */
	struct rbl_stacks stacks;
	struct rbl_looks looks;
	u32 met ____cacheline_aligned_in_smp;	/* meetings that all CPUs have come to; the leader's alone to write */
	u32 phases;			/* that it has written */
};

int rbl_stop_new(struct rbl_record *record, const struct rbl_switch_options *how, struct rbl_stop **made);
void rbl_stop_free(struct rbl_stop *stop);
void rbl_stop_begin(struct rbl_stop *stop, bool last);
void rbl_stop_all_cpus(struct rbl_stop *stop);

#endif
