/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For the custom code of an update: docs/custom-code.md.  Such code is a C
 * file that is compiled at the end of the patched source that it belongs to,
 * so that it sees that source's types, variables and static functions.
 */
#ifndef REBOOTLESS_CUSTOM_H
#define REBOOTLESS_CUSTOM_H

#include "rebootless.h"

/*
 * RBL_HOOK(RBL_PRE_APPLY, prepare): prepare(), an `int prepare(void)`, is
 * called at that stage (enum rbl_hook_stage).  The compiler orders the hooks of
 * one stage as it likes.
 */
#define RBL_HOOK(when, function)							\
	static const struct rbl_hook __used __aligned(8) __section(".rbl.hooks")	\
	rbl_hook_##when##_##function = { .stage = when, .call = function }

/*
 * RBL_HANDLES("init_code_changed", "foo_init"): this code brings about what
 * the finding says the update cannot: so it is no reason to refuse the build.
 * The words are those of the finding: its code, and its function, data, type,
 * symbol or member.
 */
#define RBL_HANDLES(finding, thing)							\
	static const char __used __aligned(1) __section(".rbl.handles")			\
	__UNIQUE_ID(rbl_handles)[] = finding "\0" thing

#endif
