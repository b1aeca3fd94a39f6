// SPDX-License-Identifier: GPL-2.0-or-later
/* The functions and data that a part replaces, at their addresses in the running kernel, and other updates that replace them. */
#include <linux/mm.h>
#include <linux/string.h>

#include "internal.h"

static bool overlap(unsigned long a, u32 a_size, unsigned long b, u32 b_size)
{
	return a < b + b_size && b < a + a_size;
}

/* ---- making ---- */

static int make_write(struct rbl_record *record, const struct rbl_site *site, struct rbl_write *write)
{
	write->where = (u8 *)site->old + site->function->jump_offset;
	write->target = (unsigned long)site->function->replacement;
	write->size = RBL_JUMP_SIZE;
	/* What stood there before another version's jump, if there is one. */
	if (!rbl_arch_make_jump(write) &&
	    !rbl_read_running(NULL, (unsigned long)write->where, write->saved, RBL_JUMP_SIZE))
		return 0;
	rbl_fact(record, "function: %s\n", site->function->name);
	rbl_secret(record, "address: 0x%lx\n", (unsigned long)write->where);
	return rbl_refuse(record, RBL_RELOC_OVERFLOW);
}

static int make_exchange(struct rbl_record *record, const struct rbl_part *part, struct rbl_exchange *exchange)
{
	const struct rbl_datum *datum = exchange->datum;
	unsigned long where = part->result.values[datum->symbol];

	exchange->where = (u8 *)where;
	exchange->saved = kvmalloc(datum->size, GFP_KERNEL);
	if (!exchange->saved)
		return rbl_refuse(record, RBL_NO_MEMORY);
	if (!rbl_read_running(NULL, where, exchange->saved, datum->size))
		return 0;
	rbl_fact(record, "function: %s\n", datum->name);
	rbl_secret(record, "address: 0x%lx\n", where);
	return rbl_refuse(record, RBL_READ_FAULT);
}

/* ---- checks ---- */

/* Whether the symbol table has another symbol begin between the function's start and the jump's end. */
static bool jump_reaches_beyond(const struct rbl_site *site)
{
	unsigned long last = (unsigned long)site->write->where + site->write->size - 1, size, offset;

	if (!rbl_kernel(kallsyms_lookup_size_offset)(last, &size, &offset))
		return true;
	return last - offset > site->old;
}

/* Whether the bytes stay in memory as long as the part is present. */
static bool stays(const struct rbl_part *part, unsigned long address, u32 size)
{
	return !part->target || part->object->flags & RBL_OBJECT_INIT ||
	       (within_module_core(address, part->target) && within_module_core(address + size - 1, part->target));
}

static int refuse_site(struct rbl_record *record, const char *name, unsigned long address, const char *reason)
{
	rbl_fact(record, "function: %s\nreason: %s\n", name, reason);
	rbl_secret(record, "address: 0x%lx\n", address);
	return rbl_refuse(record, RBL_BAD_UPDATE);
}

static int check_data(struct rbl_record *record, const struct rbl_part *part)
{
	u32 i, k;

	for (i = 0; i < part->object->n_data; i++) {
		const struct rbl_datum *datum = part->data[i].datum;
		unsigned long where = (unsigned long)part->data[i].where;

		if (!stays(part, where, datum->size))
			return refuse_site(record, datum->name, where, "it is gone when the module's init has run");
		if (rbl_kernel(kernel_text_address)(where) || rbl_kernel(kernel_text_address)(where + datum->size - 1))
			return refuse_site(record, datum->name, where, "it lies among code");
		for (k = 0; k < i; k++)
			if (overlap(where, datum->size, (unsigned long)part->data[k].where, part->data[k].datum->size))
				return refuse_site(record, datum->name, where, "it overlaps other data of the update");
	}
	return 0;
}

static bool is_between(unsigned long address, const char *start, const char *end)
{
	return address >= (unsigned long)start && address < (unsigned long)end;
}

/* What is run before and after each handler of a breakpoint, kernel/rcu/tree_plugin.h; kprobes are asked before that. */
static bool is_around_notifiers(const struct rbl_part *part, const char *name)
{
	static const char *const names[] = { "__rcu_read_lock", "__rcu_read_unlock", "rcu_read_unlock_special" };
	size_t length = strcspn(name, ".");	/* of a clone's name, without its suffix */
	u32 i;

	for (i = 0; !part->target && i < ARRAY_SIZE(names); i++)
		if (strlen(names[i]) == length && !strncmp(name, names[i], length))
			return true;
	return false;
}

/* Whether another version of the update has a jump there: what has been asked of that need not be asked again. */
static bool is_replaced(const struct rbl_record *record, const struct rbl_write *write)
{
	const struct rbl_record *other;
	const struct rbl_part *part;
	u32 i;

	list_for_each_entry(other, &rbl_records, list) {
		if (other == record || !rbl_is_live(other) || strcmp(other->name, record->name))
			continue;
		rbl_for_each_part(part, other)
			for (i = 0; part->present && i < part->n_writes; i++)
				if (part->writes[i].where == write->where)
					return true;
	}
	return false;
}

/*
 * Whether the kernel may run the function while it handles a breakpoint, and
 * before it comes to ours.  Jumps are written by way of one (arch/), and an NMI
 * that met it there would meet it again, without end.  The kernel keeps a list of
 * its own of what must take no breakpoint, for kprobes.
 */
static bool takes_no_breakpoint(const struct rbl_record *record, const struct rbl_part *part, const struct rbl_site *site)
{
	bool barred;

	if (is_between(site->old, *rbl_kernel_data.__noinstr_text_start, *rbl_kernel_data.__noinstr_text_end) ||
	    is_between(site->old, *rbl_kernel_data.__entry_text_start, *rbl_kernel_data.__entry_text_end) ||
	    rbl_kernel(cpu_in_idle)(site->old) || is_around_notifiers(part, site->function->name))
		return true;
	mutex_lock(rbl_kernel_data.kprobe_mutex);
	barred = rbl_kernel(within_kprobe_blacklist)(site->old);
	mutex_unlock(rbl_kernel_data.kprobe_mutex);
	return barred && !is_replaced(record, site->write);
}

/* That functions do not overlap, and that each jump has its room, and can be written. */
static int check_sites(struct rbl_record *record, const struct rbl_part *part)
{
	u32 i, k;

	for (i = 0; i < part->object->n_functions; i++) {
		const struct rbl_site *site = part->sites + i;
		const char *name = site->function->name;

		if (!stays(part, site->old, site->function->size))
			return refuse_site(record, name, site->old, "it is gone when the module's init has run");
		for (k = 0; k < i; k++)
			if (overlap(site->old, site->function->size, part->sites[k].old, part->sites[k].function->size))
				return refuse_site(record, name, site->old, "it overlaps another function of the update");
		if (site->write && jump_reaches_beyond(site))
			return refuse_site(record, name, site->old, "the jump does not fit in before the next function");
		if (site->write && takes_no_breakpoint(record, part, site))
			return refuse_site(record, name, site->old, "the kernel may run it while it handles a breakpoint");
	}
	return 0;
}

/* The addresses of a matched part's functions and data, their jumps, and what stands there now. */
int rbl_sites_make(struct rbl_record *record, struct rbl_part *part)
{
	const struct rbl_object *object = part->object;
	int err = 0;
	u32 i;

	lockdep_assert_held(&rbl_lock);
	part->sites = kvcalloc(object->n_functions, sizeof(*part->sites), GFP_KERNEL);
	part->writes = kvcalloc(object->n_functions, sizeof(*part->writes), GFP_KERNEL);
	part->data = kvcalloc(object->n_data, sizeof(*part->data), GFP_KERNEL);
	if (!part->sites || !part->writes || !part->data)
		return rbl_refuse(record, RBL_NO_MEMORY);
	for (i = 0; i < object->n_functions && !err; i++) {
		struct rbl_site *site = part->sites + i;

		site->function = object->functions + i;
		site->old = part->result.values[site->function->symbol];
		if (!site->function->replacement)
			continue;
		site->write = part->writes + part->n_writes++;
		err = make_write(record, site, site->write);
		if (!err)
			err = rbl_find_branch(record, part, site->write) ? : rbl_find_prefixes(record, part, site->write);
	}
	for (i = 0; i < object->n_data && !err; i++) {
		part->data[i].datum = object->data + i;
		err = make_exchange(record, part, part->data + i);
	}
	err = err ? : check_sites(record, part) ? : check_data(record, part);
	if (!err)
		rbl_find_entries(part);
	return err;
}

void rbl_sites_free(struct rbl_part *part)
{
	u32 i;

	lockdep_assert_held(&rbl_lock);
	for (i = 0; !ZERO_OR_NULL_PTR(part->data) && i < part->object->n_data; i++)
		kvfree(part->data[i].saved);
	for (i = 0; i < part->n_writes; i++)
		rbl_forget_branch(part->writes + i);
	kvfree(part->data);
	kvfree(part->writes);
	kvfree(part->sites);
	part->data = NULL;
	part->writes = NULL;
	part->sites = NULL;
	part->n_writes = 0;
	part->entries_found = false;
}

/* ---- other updates ---- */

static int refuse_conflict(struct rbl_record *record, const char *name, const struct rbl_record *other)
{
	rbl_fact(record, "function: %s\nother_update: %s\n", name, other->name);
	return rbl_refuse(record, RBL_CONFLICT);
}

static int check_parts(struct rbl_record *record, const struct rbl_part *part, const struct rbl_record *other,
		       const struct rbl_part *theirs)
{
	u32 i, k;

	for (i = 0; i < part->object->n_functions; i++)
		for (k = 0; k < theirs->object->n_functions; k++)
			if (overlap(part->sites[i].old, part->sites[i].function->size,
				    theirs->sites[k].old, theirs->sites[k].function->size))
				return refuse_conflict(record, part->sites[i].function->name, other);
	for (i = 0; i < part->object->n_data; i++)
		for (k = 0; k < theirs->object->n_data; k++)
			if (overlap((unsigned long)part->data[i].where, part->data[i].datum->size,
				    (unsigned long)theirs->data[k].where, theirs->data[k].datum->size))
				return refuse_conflict(record, part->data[i].datum->name, other);
	return 0;
}

/* That no other update is applied to the part's functions and data; another version of the same one does not count. */
int rbl_check_conflicts(struct rbl_record *record, const struct rbl_part *part)
{
	const struct rbl_record *other;
	const struct rbl_part *theirs;
	int err;

	lockdep_assert_held(&rbl_lock);
	list_for_each_entry(other, &rbl_records, list) {
		if (other == record || !rbl_is_live(other) || !strcmp(other->name, record->name))
			continue;
		rbl_for_each_part(theirs, other) {
			err = theirs->present ? check_parts(record, part, other, theirs) : 0;
			if (err)
				return err;
		}
	}
	return 0;
}
