/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One try of a switch (stop.c), for the tries of it (switch.c). */
#ifndef RBL_STOP_H
#define RBL_STOP_H

#include "internal.h"

/* One try: what all CPUs see while they are stopped. */
struct rbl_stop {
	struct rbl_record *record;
	struct rbl_record *previous;	/* a live version of the same update, which goes; or NULL */
	enum rbl_purpose purpose;
	bool force;			/* tasks in the replacement code are no reason to refuse */
	struct rbl_steps steps;
	u32 cpus;
	atomic_t next_share, arrived;
	atomic_t acknowledged;		/* CPUs that have synchronised after what the leader wrote */
	u32 phases;			/* that the leader has written */
	u32 code;			/* of the steps' content */
	u32 hook_code;			/* of the hooks that run before; see ask_hooks() */
	const struct rbl_step *offender;	/* the step whose place does not hold what it should */
	u8 found[RBL_WRITE_SIZE];	/* there */
	unsigned long used;		/* or by what it is used: its address */
	bool has_checks, has_calls;	/* hooks that run before and after everything is written */
	const struct rbl_hook *refusing;
	int hook_value;
	bool written;			/* everything reads back as written */
	u32 verdict;			/* of the whole: a code */
	u64 pause_ns;
	struct rbl_stacks stacks;
};

int rbl_stop_new(struct rbl_record *record, const struct rbl_switch_options *how, struct rbl_stop **made);
void rbl_stop_free(struct rbl_stop *stop);
void rbl_stop_begin(struct rbl_stop *stop, bool last);
void rbl_stop_all_cpus(struct rbl_stop *stop);

#endif
