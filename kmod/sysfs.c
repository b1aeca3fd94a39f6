// SPDX-License-Identifier: GPL-2.0-or-later
/* /sys/kernel/rebootless: docs/formats.md says what each file holds. */
#define pr_fmt(fmt) "rebootless: " fmt

#include <linux/slab.h>
#include <linux/sysfs.h>
#include <linux/uaccess.h>

#include "internal.h"

#define RBL_FUNCTION_LINE (KSYM_NAME_LEN + 80)	/* of the file `functions` */

static struct kobject *root;

/* ---- files of an update: reading ---- */

/* As for /proc/kallsyms: uid 0 alone is not enough, as in a container.  Others see zeros. */
static bool may_see_addresses(const struct cred *cred)
{
	return rbl_kernel(kallsyms_show_value)(cred);
}

#define SHOW(name) \
	static ssize_t name##_show(struct kobject *kobj, struct kobj_attribute *attribute, char *buffer)

SHOW(state)
{
	struct rbl_record *record = rbl_record_of(kobj);
	ssize_t length;

	rbl_find_late_entries(record);
	mutex_lock(&record->shown);
	if (record->held && record->n_holders)
		length = sysfs_emit(buffer, "%s, held by %u task%s\n", rbl_state_name(record), record->n_holders,
				    record->n_holders == 1 ? "" : "s");
	else
		length = sysfs_emit(buffer, "%s\n", rbl_is_bypassed(record) ? "bypassed" : rbl_state_name(record));
	mutex_unlock(&record->shown);
	return length;
}

SHOW(version)
{
	return sysfs_emit(buffer, "%s\n", rbl_record_of(kobj)->version);
}

SHOW(digest)
{
	return sysfs_emit(buffer, "%s\n", rbl_record_of(kobj)->digest);
}

SHOW(module)
{
	struct rbl_record *record = rbl_record_of(kobj);
	ssize_t length = 0;

	mutex_lock(&record->shown);
	if (record->module)
		length = sysfs_emit(buffer, "%s\n", record->module->name);
	mutex_unlock(&record->shown);
	return length;
}

SHOW(kept)
{
	return sysfs_emit(buffer, "%u\n", READ_ONCE(rbl_record_of(kobj)->kept));
}

SHOW(pause_ns)
{
	return sysfs_emit(buffer, "%llu\n", rbl_record_of(kobj)->pause_ns);
}

SHOW(stop_ns)
{
	return sysfs_emit(buffer, "%llu\n", rbl_record_of(kobj)->stop_ns);
}

SHOW(looked_at)
{
	return sysfs_emit(buffer, "%u\n", rbl_record_of(kobj)->looked_at);
}

SHOW(match_ns)
{
	return sysfs_emit(buffer, "%llu\n", rbl_record_of(kobj)->match_ns);
}

SHOW(resolve_ns)
{
	return sysfs_emit(buffer, "%llu\n", rbl_record_of(kobj)->resolve_ns);
}

SHOW(tries)
{
	return sysfs_emit(buffer, "%u\n", rbl_record_of(kobj)->tries);
}

SHOW(signalled)
{
	return sysfs_emit(buffer, "%u\n", rbl_record_of(kobj)->signalled);
}

SHOW(deadline)
{
	const struct rbl_record *record = rbl_record_of(kobj);
	s64 left;

	if (!READ_ONCE(record->deadline_set))
		return sysfs_emit(buffer, "0\n");
	left = rbl_deadline_left(record);
	/* Rounded away from 0, which means that there is none; negative while the helper tries to reverse. */
	left += left > 0 ? NSEC_PER_SEC - 1 : -NSEC_PER_SEC;
	return sysfs_emit(buffer, "%lld\n", div_s64(left, NSEC_PER_SEC));
}

SHOW(abort)
{
	struct rbl_record *record = rbl_record_of(kobj);
	const struct rbl_abort *abort = &record->abort;
	ssize_t length = 0;

	mutex_lock(&record->shown);
	if (abort->code)
		length = sysfs_emit(buffer, "code: %s\nsentence: %s\nnext_step: %s\n%s%s", rbl_code_name(abort->code),
				    rbl_code_sentence(abort->code), rbl_code_next_step(abort->code), abort->facts.text,
				    may_see_addresses(current_cred()) ? abort->secrets.text : "");
	mutex_unlock(&record->shown);
	return length;
}

static ssize_t show_tasks(struct rbl_record *record, const struct rbl_conflicts *tasks, char *buffer)
{
	bool visible = may_see_addresses(current_cred());
	ssize_t length = 0;
	u32 i;

	mutex_lock(&record->shown);
	for (i = 0; i < tasks->count; i++) {
		const struct rbl_conflict *row = tasks->rows + i;

		length += sysfs_emit_at(buffer, length, "%d %s %s 0x%lx\n", row->pid, row->comm, row->function,
					visible ? row->address : 0);
	}
	mutex_unlock(&record->shown);
	return length;
}

SHOW(conflicts)
{
	struct rbl_record *record = rbl_record_of(kobj);

	return show_tasks(record, &record->abort.conflicts, buffer);
}

SHOW(holders)
{
	struct rbl_record *record = rbl_record_of(kobj);

	return show_tasks(record, &record->holders, buffer);
}

SHOW(operation)
{
	struct rbl_operation *operation = &rbl_record_of(kobj)->operation;
	ssize_t length = 0;

	spin_lock(&operation->lock);
	if (*operation->name)
		length = sysfs_emit(buffer, "%s %s\n", operation->name,
				    operation->running ? "running" : operation->result ? "refused" : "done");
	spin_unlock(&operation->lock);
	return length;
}

/* ---- files of an update: tables ---- */

/*
 * A table may be longer than the page that an ordinary file has, so it is a
 * binary file, whose reader asks for a piece at a time.
 */
struct piece {
	char *buffer;
	loff_t offset, at;	/* of the piece, and of what is printed next, in the whole */
	size_t count, done;	/* bytes wanted and there */
	bool visible;		/* addresses, and bytes of memory, which may hold some */
};

static void add_text(struct piece *piece, const char *text, size_t length)
{
	loff_t skip = max(piece->offset - piece->at, 0ll);

	if (skip < length && piece->done < piece->count) {
		size_t part = min_t(size_t, length - skip, piece->count - piece->done);

		memcpy(piece->buffer + piece->done, text + skip, part);
		piece->done += part;
	}
	piece->at += length;
}

static __printf(2, 3) void add_line(struct piece *piece, const char *format, ...)
{
	char line[RBL_FUNCTION_LINE];
	va_list args;

	va_start(args, format);
	add_text(piece, line, vscnprintf(line, sizeof(line), format, args));
	va_end(args);
}

static void add_function(struct piece *piece, const struct rbl_record *record, const struct rbl_site *site)
{
	static const char *const words[] = {
		[RBL_JUMP_IN_PLACE] = "yes", [RBL_JUMP_MISSING] = "no", [RBL_JUMP_BYPASSED] = "bypassed",
	};
	const struct rbl_write *write = site->write;
	const char *word;

	if (!write) {
		add_line(piece, "%s 0x%lx 0x0 0x0 - no\n", site->function->name, piece->visible ? site->old : 0);
		return;
	}
	word = rbl_is_live(record) ? words[rbl_jump_state(write)] : "no";
	if (piece->visible)
		add_line(piece, "%s 0x%lx 0x%lx 0x%lx %*phN %s\n", site->function->name, site->old, write->target,
			 (unsigned long)write->where, write->size, write->saved, word);
	else
		add_line(piece, "%s 0x0 0x0 0x0 - %s\n", site->function->name, word);
}

static bool is_exchanged(const struct rbl_exchange *exchange)
{
	u32 i;

	for (i = 0; i < exchange->datum->size; i++) {
		u8 now;

		if (copy_from_kernel_nofault(&now, exchange->where + i, 1) ||
		    now != ((const u8 *)exchange->datum->replacement)[i])
			return false;
	}
	return true;
}

static void add_datum(struct piece *piece, const struct rbl_exchange *exchange)
{
	const char *exchanged = is_exchanged(exchange) ? "yes" : "no";
	u32 i;

	if (!piece->visible) {
		add_line(piece, "%s 0x0 0x0 %u %s -\n", exchange->datum->name, exchange->datum->size, exchanged);
		return;
	}
	add_line(piece, "%s 0x%lx 0x%lx %u %s ", exchange->datum->name, (unsigned long)exchange->where,
		 (unsigned long)exchange->datum->replacement, exchange->datum->size, exchanged);
	for (i = 0; i < exchange->datum->size; i++)
		add_line(piece, "%02x", exchange->saved[i]);
	add_line(piece, "\n");
}

static void add_functions(struct piece *piece, const struct rbl_record *record, const struct rbl_part *part)
{
	u32 i;

	for (i = 0; part->present && i < part->object->n_functions; i++)
		add_function(piece, record, part->sites + i);
}

static void add_data(struct piece *piece, const struct rbl_record *record, const struct rbl_part *part)
{
	u32 i;

	for (i = 0; part->present && i < part->object->n_data; i++)
		add_datum(piece, part->data + i);
}

static void add_objects(struct piece *piece, const struct rbl_record *record, const struct rbl_part *part)
{
	const char *state = !part->present ? "absent" : rbl_is_live(record) ? "applied" : "matched";

	add_line(piece, "%s%s %s\n", part->object->name, part->object->flags & RBL_OBJECT_INIT ? ":init" : "", state);
}

/* While `shown` is held, no part of the record comes or goes. */
static ssize_t read_parts(struct rbl_record *record, struct piece *piece,
			  void (*add)(struct piece *piece, const struct rbl_record *record, const struct rbl_part *part))
{
	const struct rbl_part *part;

	mutex_lock(&record->shown);
	rbl_for_each_part(part, record)
		if (piece->done < piece->count)
			add(piece, record, part);
	mutex_unlock(&record->shown);
	return piece->done;
}

#define TABLE(file_name, permissions)										\
	static ssize_t file_name##_read(struct file *file, struct kobject *kobj, struct bin_attribute *attribute,	\
				   char *buffer, loff_t offset, size_t count)					\
	{													\
		struct piece piece = {										\
			.buffer = buffer, .offset = offset, .count = count,					\
			.visible = may_see_addresses(file->f_cred),						\
		};												\
														\
		return read_parts(rbl_record_of(kobj), &piece, add_##file_name);					\
	}													\
	static struct bin_attribute file_name##_file = {								\
		.attr = { .name = #file_name, .mode = permissions },						\
		.read = file_name##_read,									\
	}

TABLE(functions, 0400);
TABLE(data, 0400);
TABLE(objects, 0444);

#define FILE(name, mode, show, store) \
	static struct kobj_attribute name##_file = __ATTR(name, mode, show, store)

FILE(state, 0444, state_show, NULL);
FILE(control, 0200, NULL, rbl_control_store);
FILE(operation, 0444, operation_show, NULL);
FILE(version, 0444, version_show, NULL);
FILE(digest, 0444, digest_show, NULL);
FILE(module, 0444, module_show, NULL);
FILE(kept, 0444, kept_show, NULL);
FILE(abort, 0400, abort_show, NULL);
FILE(conflicts, 0400, conflicts_show, NULL);
FILE(holders, 0400, holders_show, NULL);
FILE(pause_ns, 0444, pause_ns_show, NULL);
FILE(stop_ns, 0444, stop_ns_show, NULL);
FILE(looked_at, 0444, looked_at_show, NULL);
FILE(tries, 0444, tries_show, NULL);
FILE(signalled, 0444, signalled_show, NULL);
FILE(match_ns, 0444, match_ns_show, NULL);
FILE(resolve_ns, 0444, resolve_ns_show, NULL);
FILE(deadline, 0444, deadline_show, NULL);

static struct attribute *record_attrs[] = {
	&state_file.attr, &control_file.attr, &operation_file.attr, &version_file.attr, &digest_file.attr, &module_file.attr, &kept_file.attr,
	&abort_file.attr, &conflicts_file.attr, &holders_file.attr, &pause_ns_file.attr, &stop_ns_file.attr,
	&looked_at_file.attr, &tries_file.attr, &signalled_file.attr,
	&match_ns_file.attr, &resolve_ns_file.attr, &deadline_file.attr,
	NULL
};

static struct bin_attribute *record_bin_attrs[] = { &functions_file, &data_file, &objects_file, NULL };

static const struct attribute_group record_group = {
	.attrs = record_attrs,
	.bin_attrs = record_bin_attrs,
};
__ATTRIBUTE_GROUPS(record);

static void release_record(struct kobject *kobj)
{
	kvfree(rbl_record_of(kobj));
}

static const struct kobj_type record_type = {
	.release = release_record,
	.sysfs_ops = &kobj_sysfs_ops,
	.default_groups = record_groups,
};

/* From now on the record is freed with its last reference. */
void rbl_sysfs_prepare(struct rbl_record *record)
{
	kobject_init(&record->kobj, RBL_KTYPE(record_type));
}

/* Shows a finished record, under its name with a suffix. */
int rbl_sysfs_add(struct rbl_record *record, const char *suffix)
{
	return kobject_add(&record->kobj, root, "%s%s", record->name, suffix);
}

/* ---- the root ---- */

SHOW(abi)
{
	return sysfs_emit(buffer, "%u\n", RBL_ABI);
}

SHOW(build_id)
{
	u32 size;
	const u8 *id = rbl_build_id(&size);

	return sysfs_emit(buffer, "%*phN\n", (int)size, id);
}

FILE(abi, 0444, abi_show, NULL);
FILE(build_id, 0444, build_id_show, NULL);

static const struct attribute *root_attrs[] = { &abi_file.attr, &build_id_file.attr, NULL };

int rbl_sysfs_init(void)
{
	int err;

	root = kobject_create_and_add("rebootless", kernel_kobj);
	if (!root)
		return -ENOMEM;
	err = sysfs_create_files(root, root_attrs);
	if (err)
		kobject_put(root);
	return err;
}

void rbl_sysfs_exit(void)
{
	sysfs_remove_files(root, root_attrs);
	kobject_put(root);
}
