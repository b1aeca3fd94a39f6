// SPDX-License-Identifier: GPL-2.0-or-later
/* x86-64: machine code as such, for the matcher and the checks of its programs; no kernel API. */
#include "../forms.h"

#define CALL_REL32 0xe8

int rbl_arch_is_call(const unsigned char *code)
{
	return code[0] == CALL_REL32;
}

/*
 * Static branches are not among them: the helper module has the kernel switch a stand-in (stand_ins.c); nor lock
 * prefixes, which it makes anew (prefixes.c).
 */
const char *rbl_arch_bars_jump(unsigned int kind)
{
	static const char *const reasons[RBL_PLACE_KINDS] = {
		[RBL_PLACE_ENTRY] = "a jump over an fentry site",
		[RBL_PLACE_STATIC_CALL] = "a jump over a static call",
		[RBL_PLACE_MIXED] = "a jump over code that the kernel may rewrite",
	};

	return kind < RBL_PLACE_KINDS ? reasons[kind] : (const char *)0;
}
