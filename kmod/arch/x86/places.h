/* SPDX-License-Identifier: GPL-2.0-or-later */
/* x86-64: why running bytes may differ from the object file's at a place; `kind` of struct rbl_place. */
#ifndef RBL_ARCH_PLACES_H
#define RBL_ARCH_PLACES_H

enum rbl_place_kind {
	RBL_PLACE_RELOCATION, RBL_PLACE_ENTRY, RBL_PLACE_RETURN, RBL_PLACE_RETPOLINE, RBL_PLACE_STATIC_CALL,
	RBL_PLACE_STATIC_BRANCH, RBL_PLACE_ALTERNATIVE, RBL_PLACE_PARAVIRT, RBL_PLACE_LOCK, RBL_PLACE_ENDBR,
	RBL_PLACE_CALL_THUNK, RBL_PLACE_MIXED,
	RBL_PLACE_KINDS
};

#endif
