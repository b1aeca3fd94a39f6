/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an architecture says of machine code as such: arch/<name>/places.h and
 * arch/<name>/forms.c.  Like the matcher, which asks, it uses no kernel API:
 * the same file is compiled into the helper module and into libmatch.so.
 *
 * places.h defines enum rbl_place_kind, why running bytes may differ from the
 * object file's.  The matcher itself knows RBL_PLACE_ENTRY, the call site of
 * ftrace at a function's entry, and RBL_PLACE_KINDS, how many kinds there are.
 */
#ifndef RBL_ARCH_FORMS_H
#define RBL_ARCH_FORMS_H

#if defined(__x86_64__)
#include "x86/places.h"
#else
#error "rebootless does not know this architecture: see arch/arch.h"
#endif

/* Whether the code begins with a call of a fixed address: what ftrace puts at the entry of a function that is traced. */
int rbl_arch_is_call(const unsigned char *code);

/*
 * Why no jump may lie over a place of the kind ("a jump over a static call"):
 * the kernel may rewrite it at any time, and checks what stands there before it
 * does.  NULL if a jump may.
 */
const char *rbl_arch_bars_jump(unsigned int kind);

#endif
