/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fields of code that refer to symbols: of match programs (matcher/match.h) and of replacement code (rebootless.h). */
#ifndef RBL_RELOCS_H
#define RBL_RELOCS_H

/* S: the symbol's value, A: the addend, P: the address of the field. */
enum rbl_reloc_type {
	RBL_ABS64 = 1,		/* 8 bytes: S + A */
	RBL_PC32,		/* 4 bytes: S + A - P */
	RBL_ABS32,		/* 4 bytes: S + A, zero-extended */
	RBL_ABS32S,		/* 4 bytes: S + A, sign-extended */
	RBL_PC8,		/* 1 byte: S + A - P */
	RBL_PC64,		/* 8 bytes: S + A - P */
	RBL_INDIRECT_PC32,	/* 4 bytes: *(u64 *)(S + A) - (P + 4): call or jump to what a pointer points to */
	RBL_COPY64,		/* 8 bytes: the 8 bytes at S + A: a variable that the kernel made a constant at boot */
	RBL_COPY8,		/* 1 byte: the one at S + A */
};

#endif
