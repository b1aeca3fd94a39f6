// SPDX-License-Identifier: GPL-2.0-or-later
/* /sys/kernel/rebootless: docs/formats.md says what each file holds. */
#include <linux/ctype.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <linux/uaccess.h>

#include "internal.h"

#define RBL_FUNCTION_LINE (KSYM_NAME_LEN + 80)	/* of the file `functions` */
#define MAX_DEADLINE (30 * 24 * 3600)	/* seconds; far below what fits in jiffies */

static struct kobject *root;

static struct rbl_record *record_of(struct kobject *kobj)
{
	return container_of(kobj, struct rbl_record, kobj);
}

/* ---- files of an update: reading ---- */

#define SHOW(name) \
	static ssize_t name##_show(struct kobject *kobj, struct kobj_attribute *attribute, char *buffer)

SHOW(state)
{
	return sysfs_emit(buffer, "%s\n", rbl_state_name(record_of(kobj)));
}

SHOW(version)
{
	return sysfs_emit(buffer, "%s\n", record_of(kobj)->version);
}

SHOW(digest)
{
	return sysfs_emit(buffer, "%s\n", record_of(kobj)->digest);
}

SHOW(pause_ns)
{
	return sysfs_emit(buffer, "%llu\n", record_of(kobj)->pause_ns);
}

SHOW(match_ns)
{
	return sysfs_emit(buffer, "%llu\n", record_of(kobj)->match_ns);
}

SHOW(resolve_ns)
{
	return sysfs_emit(buffer, "%llu\n", record_of(kobj)->resolve_ns);
}

SHOW(tries)
{
	return sysfs_emit(buffer, "%u\n", record_of(kobj)->tries);
}

SHOW(deadline)
{
	const struct rbl_record *record = record_of(kobj);
	long left;

	if (!READ_ONCE(record->deadline_set))
		return sysfs_emit(buffer, "0\n");
	left = (long)(record->deadline_at - jiffies);
	/* Rounded away from 0, which means that there is none; negative while the helper tries to reverse. */
	return sysfs_emit(buffer, "%ld\n", left > 0 ? (left + HZ - 1) / HZ : (left - HZ) / HZ);
}

SHOW(abort)
{
	struct rbl_record *record = record_of(kobj);
	const struct rbl_abort *abort = &record->abort;
	ssize_t length = 0;

	mutex_lock(&record->shown);
	if (abort->code)
		length = sysfs_emit(buffer, "code: %s\nsentence: %s\nnext_step: %s\n%s", rbl_code_name(abort->code),
				    rbl_code_sentence(abort->code), rbl_code_next_step(abort->code), abort->facts);
	mutex_unlock(&record->shown);
	return length;
}

/* A task's name may hold anything; one field of a line may not. */
static void printable_name(char *to, const char *comm)
{
	u32 i;

	for (i = 0; i < TASK_COMM_LEN - 1 && comm[i]; i++)
		to[i] = isascii(comm[i]) && isgraph(comm[i]) ? comm[i] : '_';
	to[i] = '\0';
}

SHOW(conflicts)
{
	struct rbl_record *record = record_of(kobj);
	ssize_t length = 0;
	u32 i;

	mutex_lock(&record->shown);
	for (i = 0; i < record->abort.conflicts.count; i++) {
		const struct rbl_conflict *row = record->abort.conflicts.rows + i;
		char comm[TASK_COMM_LEN];

		printable_name(comm, row->comm);
		length += sysfs_emit_at(buffer, length, "%d %s %s 0x%lx\n", row->pid, comm, row->function, row->address);
	}
	mutex_unlock(&record->shown);
	return length;
}

static int print_function(const struct rbl_site *site, char *buffer, size_t size)
{
	const struct rbl_write *write = site->write;
	u8 now[RBL_JUMP_SIZE];
	bool jumps;

	if (!write)
		return snprintf(buffer, size, "%s 0x%lx 0x0 0x0 - no\n", site->function->name, site->old);
	jumps = !copy_from_kernel_nofault(now, write->where, sizeof(now)) && !memcmp(now, write->jump, sizeof(now));
	return snprintf(buffer, size, "%s 0x%lx 0x%lx 0x%lx %*phN %s\n", site->function->name, site->old, write->target,
			(unsigned long)write->where, RBL_JUMP_SIZE, write->saved, jumps ? "yes" : "no");
}

/* A binary file, since its text may be longer than the page that an ordinary one has. */
static ssize_t functions_read(struct file *file, struct kobject *kobj, struct bin_attribute *attribute,
			      char *buffer, loff_t offset, size_t count)
{
	const struct rbl_record *record = record_of(kobj);
	loff_t at = 0;
	ssize_t done = 0;
	char line[RBL_FUNCTION_LINE];
	u32 i;

	/* The module whose tables these are stays as long as this file does: drop() waits for its readers. */
	for (i = 0; record->update && i < record->update->n_functions && done < count; i++) {
		int length = min_t(int, print_function(record->sites + i, line, sizeof(line)), sizeof(line) - 1);
		loff_t skip = max(offset - at, 0ll);

		if (skip < length) {
			size_t part = min_t(size_t, length - skip, count - done);

			memcpy(buffer + done, line + skip, part);
			done += part;
		}
		at += length;
	}
	return done;
}

/* ---- files of an update: control ---- */

static int control_apply(struct rbl_record *record, const char *argument)
{
	unsigned int deadline = 0;

	if (*argument && (kstrtouint(argument, 10, &deadline) || !deadline || deadline > MAX_DEADLINE))
		return -EINVAL;
	return rbl_apply(record, deadline);
}

static int control_confirm(struct rbl_record *record, const char *argument)
{
	return *argument ? -EINVAL : rbl_confirm(record);
}

static int control_reverse(struct rbl_record *record, const char *argument)
{
	return *argument ? -EINVAL : rbl_reverse(record);
}

static int control_forget(struct rbl_record *record, const char *argument)
{
	return *argument ? -EINVAL : rbl_forget(record);
}

struct command {
	const char *name;
	int (*run)(struct rbl_record *record, const char *argument);
	bool removes;	/* the record, and with it the file that is written to */
};

static const struct command commands[] = {
	{ "apply", control_apply },
	{ "confirm", control_confirm },
	{ "reverse", control_reverse },
	{ "forget", control_forget, .removes = true },
};

static const struct command *find_command(const char *name)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(name, commands[i].name))
			return commands + i;
	return NULL;
}

static int run_command(struct rbl_record *record, const struct command *command, const char *argument)
{
	int err = -ENODEV;

	/*
	 * The second of two operations is refused, not queued: when its turn
	 * came, the update might be in another state than it was meant for.
	 * And who holds the lock may wait for the end of this write.
	 */
	if (!mutex_trylock(&rbl_lock))
		return rbl_refuse_busy_helper(record);
	if (!record->gone)
		err = command->run(record, argument);
	mutex_unlock(&rbl_lock);
	return err;
}

static ssize_t control_store(struct kobject *kobj, struct kobj_attribute *attribute, const char *buffer, size_t size)
{
	struct rbl_record *record = record_of(kobj);
	struct kernfs_node *node = NULL;
	const struct command *command;
	char line[32], *argument;
	int err;

	if (size >= sizeof(line))
		return -EINVAL;
	memcpy(line, buffer, size);
	line[size] = '\0';
	argument = strim(line);
	command = find_command(strsep(&argument, " "));
	if (!command)
		return -EINVAL;
	/* Removing a file waits for those who write to it; here that would be this very task. */
	if (command->removes) {
		node = sysfs_break_active_protection(kobj, &attribute->attr);
		if (!node)
			return -ENODEV;
	}
	err = run_command(record, command, argument ? skip_spaces(argument) : "");
	if (node)
		sysfs_unbreak_active_protection(node);
	return err ? : size;
}

/* Addresses of kernel code are for root alone, as in /proc/kallsyms. */
#define FILE(name, mode, show, store) \
	static struct kobj_attribute name##_file = __ATTR(name, mode, show, store)

FILE(state, 0444, state_show, NULL);
FILE(control, 0200, NULL, control_store);
FILE(version, 0444, version_show, NULL);
FILE(digest, 0444, digest_show, NULL);
FILE(abort, 0400, abort_show, NULL);
FILE(conflicts, 0400, conflicts_show, NULL);
FILE(pause_ns, 0444, pause_ns_show, NULL);
FILE(tries, 0444, tries_show, NULL);
FILE(match_ns, 0444, match_ns_show, NULL);
FILE(resolve_ns, 0444, resolve_ns_show, NULL);
FILE(deadline, 0444, deadline_show, NULL);

static struct attribute *record_attrs[] = {
	&state_file.attr, &control_file.attr, &version_file.attr, &digest_file.attr,
	&abort_file.attr, &conflicts_file.attr, &pause_ns_file.attr, &tries_file.attr,
	&match_ns_file.attr, &resolve_ns_file.attr, &deadline_file.attr,
	NULL
};

static struct bin_attribute functions_file = {
	.attr = { .name = "functions", .mode = 0400 },
	.read = functions_read,
};

static struct bin_attribute *record_bin_attrs[] = { &functions_file, NULL };

static const struct attribute_group record_group = {
	.attrs = record_attrs,
	.bin_attrs = record_bin_attrs,
};
__ATTRIBUTE_GROUPS(record);

static void release_record(struct kobject *kobj)
{
	kvfree(record_of(kobj));
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

/* Shows a finished record. */
int rbl_sysfs_add(struct rbl_record *record)
{
	return kobject_add(&record->kobj, root, "%s", record->name);
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
