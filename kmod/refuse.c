// SPDX-License-Identifier: GPL-2.0-or-later
/* Abort records: why the last operation on an update was refused. */
#define pr_fmt(fmt) "rebootless: " fmt

#include <linux/errno.h>
#include <linux/printk.h>

#include "internal.h"

/* What system calls return for a code; the abort record says the same in prose. */
static const int errnos[RBL_CODE_COUNT] = {
	[RBL_BAD_PROGRAM] = -ENOEXEC,
	[RBL_NO_MEMORY] = -ENOMEM,
	[RBL_READ_FAULT] = -EFAULT,
	[RBL_BUILD_ID_MISMATCH] = -ENOEXEC,
	[RBL_SYMBOL_NOT_FOUND] = -ENXIO,
	[RBL_SYMBOL_AMBIGUOUS] = -ENOTUNIQ,
	[RBL_NO_MATCH] = -ENOEXEC,
	[RBL_AMBIGUOUS_MATCH] = -ENOEXEC,
	[RBL_ENTRY_IN_USE] = -EADDRINUSE,
	[RBL_BAD_UPDATE] = -ENOEXEC,
	[RBL_ABI_MISMATCH] = -ENOEXEC,
	[RBL_RELOC_OVERFLOW] = -EOVERFLOW,
	[RBL_SEALED_FUNCTION] = -EPERM,
	[RBL_CONFLICT] = -EADDRINUSE,
	[RBL_BUSY_FUNCTION] = -EAGAIN,
	[RBL_NEVER_LEFT] = -EDEADLK,
	[RBL_NO_STAND_IN] = -ENOSPC,
	[RBL_UNRELIABLE_STACK] = -EAGAIN,
	[RBL_JUMP_OVERWRITTEN] = -EADDRINUSE,
	[RBL_KPROBE_INSIDE] = -EADDRINUSE,
	[RBL_BAD_STATE] = -EINVAL,
	[RBL_HELPER_BUSY] = -EBUSY,
	[RBL_DATA_OVERWRITTEN] = -EADDRINUSE,
	[RBL_OBJECT_BUSY] = -EBUSY,
	[RBL_INIT_HAS_RUN] = -EBUSY,
	[RBL_HOOK_REFUSED] = -ECANCELED,
	[RBL_TEXT_WRITE_FAILED] = -EIO,
	[RBL_UNSUPPORTED_KERNEL] = -EOPNOTSUPP,
	[RBL_TEXT_LOCKED] = -EBUSY,
	[RBL_CPU_STUCK] = -EBUSY,
};

/* What sysfs shows becomes what the operation that runs has found. */
static void show(struct rbl_record *record)
{
	mutex_lock(&record->shown);
	record->abort = record->draft;
	mutex_unlock(&record->shown);
}

static void clear(struct rbl_abort *abort, u32 code)
{
	abort->code = code;
	abort->facts.length = 0;
	abort->facts.text[0] = '\0';
	abort->secrets.length = 0;
	abort->secrets.text[0] = '\0';
	abort->conflicts.count = 0;
}

/* Begins an operation, or a new try of one; what sysfs shows stays until its end. */
void rbl_begin(struct rbl_record *record)
{
	lockdep_assert_held(&rbl_lock);
	clear(&record->draft, RBL_OK);
}

static __printf(2, 0) void add(struct rbl_text *to, const char *format, va_list args)
{
	u32 room = sizeof(to->text) - to->length;
	int length = vsnprintf(to->text + to->length, room, format, args);

	if (length < room)
		to->length += length;
	else
		to->text[to->length] = '\0';
}

/* Adds "key: value\n" to the record of the operation that runs; what does not fit is left out. */
void rbl_fact(struct rbl_record *record, const char *format, ...)
{
	va_list args;

	lockdep_assert_held(&rbl_lock);
	va_start(args, format);
	add(&record->draft.facts, format, args);
	va_end(args);
}

/* The same for what only those are shown who may see the kernel's addresses; it is not logged. */
void rbl_secret(struct rbl_record *record, const char *format, ...)
{
	va_list args;

	lockdep_assert_held(&rbl_lock);
	va_start(args, format);
	add(&record->draft.secrets, format, args);
	va_end(args);
}

/* Ends an operation that did what it should. */
void rbl_succeed(struct rbl_record *record)
{
	lockdep_assert_held(&rbl_lock);
	rbl_begin(record);
	show(record);
}

/* Ends one that did not: its facts and conflicts become the abort record, with `code`.  Returns the errno. */
int rbl_refuse(struct rbl_record *record, u32 code)
{
	const struct rbl_abort *draft = &record->draft;
	char line[256];

	lockdep_assert_held(&rbl_lock);
	record->draft.code = code;
	show(record);

	strscpy(line, draft->facts.text, sizeof(line));
	strreplace(line, '\n', ' ');
	pr_warn("%s: %s: %s %s\n", record->name, rbl_code_name(code), rbl_code_sentence(code), line);
	return errnos[code] ? : -EINVAL;
}

/* The same for an update in whose state it cannot be done. */
int rbl_refuse_state(struct rbl_record *record)
{
	rbl_fact(record, "state: %s\n", rbl_state_name(record));
	return rbl_refuse(record, RBL_BAD_STATE);
}

/* The same for what a step's place holds, if it is about that. */
int rbl_refuse_offence(struct rbl_record *record, u32 code, const struct rbl_offence *offence)
{
	if (!offence->name)
		return rbl_refuse(record, code);
	rbl_fact(record, "function: %s\n", offence->name);
	if (code == RBL_KPROBE_INSIDE || code == RBL_ENTRY_IN_USE) {
		rbl_secret(record, "address: 0x%lx\n", offence->used);
		return rbl_refuse(record, code);
	}
	rbl_secret(record, "address: 0x%lx\n", (unsigned long)offence->where);
	rbl_secret(record, "expected: %*phN\n", (int)offence->size, offence->expected);
	rbl_secret(record, "found: %*phN\n", (int)offence->size, offence->found);
	return rbl_refuse(record, code);
}

/* The same for an operation that could not even begin, since another one runs. */
int rbl_refuse_busy_helper(struct rbl_record *record)
{
	mutex_lock(&record->shown);
	clear(&record->abort, RBL_HELPER_BUSY);
	mutex_unlock(&record->shown);
	return errnos[RBL_HELPER_BUSY];
}
