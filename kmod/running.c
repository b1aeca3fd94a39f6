// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The running kernel's memory as the match has to see it: without what the
 * helper module wrote, and without what ftrace wrote in a way that does not
 * change the function.
 */
#include <linux/ftrace.h>
#include <linux/mm.h>
#include <linux/sort.h>
#include <linux/uaccess.h>

#include "internal.h"

/* Addresses, ascending, of the fentry sites that hold a call to a mere tracer. */
struct rbl_tracing {
	u32 count;
	unsigned long sites[];
};

/*
 * A traced function still runs: ftrace, BPF programs and kprobes on the entry
 * return to behind the call, where our jump stands.  Only what may change the
 * instruction pointer takes the function away from us: another live patch.
 */
static bool is_harmless(const struct dyn_ftrace *record)
{
	return record->flags & FTRACE_FL_ENABLED && !(record->flags & FTRACE_FL_IPMODIFY);
}

static u32 each_traced(struct rbl_tracing *tracing, u32 room)
{
	struct ftrace_rec_iter *at;
	u32 count = 0;

	for (at = rbl_kernel(ftrace_rec_iter_start)(); at; at = rbl_kernel(ftrace_rec_iter_next)(at)) {
		const struct dyn_ftrace *record = rbl_kernel(ftrace_rec_iter_record)(at);
		u8 code[MCOUNT_INSN_SIZE];

		if (!is_harmless(record) || copy_from_kernel_nofault(code, (void *)record->ip, sizeof(code)) ||
		    !rbl_arch_is_call(code))
			continue;
		if (count < room)
			tracing->sites[count] = record->ip;
		count++;
	}
	return count;
}

static int by_address(const void *a, const void *b)
{
	unsigned long left = *(const unsigned long *)a, right = *(const unsigned long *)b;

	return left < right ? -1 : left > right;
}

static struct rbl_tracing *note_traced(void)
{
	u32 count = each_traced(NULL, 0);
	struct rbl_tracing *tracing = kvmalloc(struct_size(tracing, sites, count), GFP_KERNEL);

	if (!tracing)
		return NULL;
	tracing->count = each_traced(tracing, count);
	sort(tracing->sites, tracing->count, sizeof(*tracing->sites), by_address, NULL);
	return tracing;
}

/*
 * Notes which functions are traced, and keeps the text as it is until
 * rbl_still_end(): no tracer and no kprobe comes or goes, and no static branch
 * or call moves.  What is read in between fits together; else a tracer that came
 * after the note would pass for code that differs.  RBL_OK, or why it cannot: a
 * code.
 */
u32 rbl_still_begin(struct rbl_tracing **tracing)
{
	u32 code = RBL_TEXT_LOCKED;

	lockdep_assert_held(&rbl_lock);
	if (!rbl_lock_within(rbl_kernel_data.kprobe_mutex, RBL_TEXT_PATIENCE_MS))
		return code;
	if (!rbl_lock_within(rbl_kernel_data.ftrace_lock, RBL_TEXT_PATIENCE_MS))
		goto no_ftrace;
	*tracing = note_traced();
	if (!*tracing)
		code = RBL_NO_MEMORY;
	else if (rbl_lock_within(rbl_kernel_data.text_mutex, RBL_TEXT_PATIENCE_MS))
		return RBL_OK;
	kvfree(*tracing);
	*tracing = NULL;
	mutex_unlock(rbl_kernel_data.ftrace_lock);
no_ftrace:
	mutex_unlock(rbl_kernel_data.kprobe_mutex);
	return code;
}

void rbl_still_end(struct rbl_tracing *tracing)
{
	if (!tracing)
		return;
	mutex_unlock(rbl_kernel_data.text_mutex);
	mutex_unlock(rbl_kernel_data.ftrace_lock);
	mutex_unlock(rbl_kernel_data.kprobe_mutex);
	kvfree(tracing);
}

/* Copies into `buffer` (memory from `address` on) what belongs at `where`, as far as it lies in there. */
static void overlay(u64 address, void *buffer, u32 length, u64 where, const u8 *bytes, u32 size)
{
	u64 start = max(address, where), end = min(address + length, where + size);

	if (start < end)
		memcpy(buffer + (start - address), bytes + (start - where), end - start);
}

static void overlay_untraced(const struct rbl_tracing *tracing, u64 address, void *buffer, u32 length)
{
	u32 low = 0, high = tracing->count;

	while (low < high) {
		u32 middle = low + (high - low) / 2;

		if (tracing->sites[middle] + sizeof(rbl_arch_untraced) <= address)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < tracing->count && tracing->sites[low] < address + length; low++)
		overlay(address, buffer, length, tracing->sites[low], rbl_arch_untraced, sizeof(rbl_arch_untraced));
}

/* Only what really stands there is ours to hide; what others wrote over it has to be seen. */
static void overlay_saved(u64 address, void *buffer, u32 length, const u8 *where, const u8 *ours, const u8 *saved, u32 size)
{
	u64 at = (unsigned long)where;

	if (at < address + length && address < at + size && !memcmp(where, ours, size))
		overlay(address, buffer, length, at, saved, size);
}

static void overlay_part(const struct rbl_part *part, u64 address, void *buffer, u32 length)
{
	u32 i;

	for (i = 0; i < part->n_writes; i++) {
		const struct rbl_write *write = part->writes + i;

		overlay_saved(address, buffer, length, write->where, write->jump, write->saved, write->size);
	}
	for (i = 0; i < part->object->n_data; i++) {
		const struct rbl_exchange *exchange = part->data + i;

		overlay_saved(address, buffer, length, exchange->where, exchange->datum->replacement, exchange->saved,
			      exchange->datum->size);
	}
}

/* Reads kernel memory as it would be without any update, and without tracers if they are given; 0 or a negative errno. */
int rbl_read_running(const struct rbl_tracing *tracing, u64 address, void *buffer, u32 length)
{
	const struct rbl_record *record;
	const struct rbl_part *part;
	int err = copy_from_kernel_nofault(buffer, (void *)(unsigned long)address, length);

	lockdep_assert_held(&rbl_lock);
	if (err)
		return err;
	list_for_each_entry(record, &rbl_records, list) {
		if (!rbl_is_live(record))
			continue;
		rbl_for_each_part(part, record)
			if (part->present)
				overlay_part(part, address, buffer, length);
	}
	if (tracing)
		overlay_untraced(tracing, address, buffer, length);
	return 0;
}
