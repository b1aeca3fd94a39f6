/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an update module owes the helper module.  The generated update module
 * defines one `struct rbl_update rebootless_update` (global, so that the
 * helper finds it in the module's own symbol table while the module is still
 * COMING) and calls rebootless_loaded() from its init.
 */
#ifndef REBOOTLESS_H
#define REBOOTLESS_H

#include <linux/types.h>
#include <linux/module.h>

#include "relocs.h"

#define RBL_ABI 2
#define RBL_MODULE_PREFIX "rbl_"	/* every update module's name begins so */
#define RBL_NAME_MAX 64

struct jump_entry;

/* A field of the update module that the helper fills in when the part's object is matched. */
struct rbl_fixup {
	void *where;
	u32 type;	/* enum rbl_reloc_type, never RBL_INDIRECT_PC32; RBL_COPY64 and RBL_COPY8 hold what is read when it is filled in */
	u32 symbol;	/* index in the part's match program; flagged RBL_SYMBOL_NEEDED there */
	s64 addend;
};

/* A function of the running kernel that is replaced, or a piece of one (.cold) that only must be left. */
struct rbl_function {
	const char *name;
	void *replacement;	/* NULL: only checked on the stacks */
	u32 symbol;		/* program symbol of the running function */
	u32 size;		/* of the running function, in bytes */
	u32 replacement_size;
	u32 jump_offset;	/* where in the running function the jump goes; the build proved that there is room */
};

/* Constant data of the running kernel whose bytes are exchanged in place during the stop, and put back by reverse. */
struct rbl_datum {
	const char *name;
	const void *replacement;	/* in the update module; its own relocations and fixups are done by then */
	u32 symbol;			/* program symbol (LOCAL, in a COMPARED section without TEXT) of the running datum */
	u32 size;			/* of both */
};

/* When custom code is called: docs/custom-code.md. */
enum rbl_hook_stage {
	RBL_PRE_APPLY, RBL_CHECK_APPLY, RBL_APPLY, RBL_POST_APPLY, RBL_FAIL_APPLY,
	RBL_PRE_REVERSE, RBL_CHECK_REVERSE, RBL_REVERSE, RBL_POST_REVERSE, RBL_FAIL_REVERSE,
	RBL_HOOK_STAGES
};

/* pre_* and check_*: non-zero refuses; the others' values mean nothing.  check_*, apply and reverse run while all is stopped. */
struct rbl_hook {
	u32 stage;
	u32 reserved;
	int (*call)(void);
};

enum rbl_object_flags {
	/*
	 * The part's functions lie in the module's init code: it is applied only to a module that is loaded while the
	 * update is, and is gone when that module's init has run.
	 */
	RBL_OBJECT_INIT = 1,
	/*
	 * Objects that live on may hold addresses of the part's new functions (a timer, a work item, an RCU callback),
	 * so the update's module stays in memory once it was applied, also when it is reversed.
	 */
	RBL_OBJECT_KEPT = 2,
};

/*
 * One part of an update for each object that it changes, or only adds code to
 * that another part's code calls.  A loadable module may not be loaded when the
 * update is, and may come and go later; so each part has a match program of its
 * own.
 */
struct rbl_object {
	const char *name;		/* "vmlinux", or the kernel's name of a loadable module */
	const void *program;		/* the part's match program, RBL_MAGIC first */
	const struct rbl_function *functions;
	const struct rbl_datum *data;
	const struct rbl_fixup *fixups;
	const struct rbl_hook *hooks;
	/* Static branches of the part's replacement code whose keys the object itself (or a module it needs) defines; writable. */
	struct jump_entry *jump_entries;
	u32 program_size, n_functions, n_data, n_fixups, n_hooks, n_jump_entries;
	u32 flags;			/* enum rbl_object_flags */
	u32 reserved;
};

struct rbl_update {
	u32 abi;		/* RBL_ABI */
	u32 n_objects;
	const char *name;	/* of the update, as operators know it: [a-z0-9][a-z0-9._-]*, without .next or .previous in it */
	const char *version;
	const char *digest;	/* hex SHA-256 that names the build */
	const u8 *build_id;	/* GNU build ID of the kernel it was built for */
	u32 build_id_size;
	u32 reserved;
	const struct rbl_object *objects;	/* vmlinux first if it is there */
	struct module *module;
};

/*
 * Called by the update module's init: 0 if the helper matched and resolved it
 * while it was COMING.  It takes no typed pointer, since its checksum
 * (CONFIG_MODVERSIONS) would then be one of all kernel types within; `abi`
 * alone says whether helper and update fit together.
 */
int rebootless_loaded(const void *update);

#endif
