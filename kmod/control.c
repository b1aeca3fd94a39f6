// SPDX-License-Identifier: GPL-2.0-or-later
/* What operators write to an update's file `control`: docs/formats.md has the commands. */
#include <linux/capability.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "internal.h"

#define MAX_DEADLINE (30 * 24 * 3600)	/* seconds; far below what fits in jiffies */

static bool is_deadline(const char *argument, unsigned int *seconds)
{
	return !kstrtouint(argument, 10, seconds) && *seconds && *seconds <= MAX_DEADLINE;
}

static bool is_blockers(const char *argument, enum rbl_blockers *blockers)
{
	static const char *const words[] = {
		[RBL_WAIT_FOR_BLOCKERS] = "wait", [RBL_SIGNAL_BLOCKERS] = "signal", [RBL_REFUSE_BLOCKERS] = "refuse",
	};
	int word = match_string(words, ARRAY_SIZE(words), argument);

	if (word < 0)
		return false;
	*blockers = word;
	return true;
}

/* The next word of a line, "" behind the last one. */
static char *next_word(char **line)
{
	char *word = *line ? strsep(line, " ") : "";

	if (*line)
		*line = skip_spaces(*line);
	return word;
}

static int control_apply(struct rbl_record *record, char *rest)
{
	struct rbl_arguments arguments = {};
	const char *word = next_word(&rest);

	if (is_deadline(word, &arguments.deadline))
		word = next_word(&rest);
	if (is_blockers(word, &arguments.blockers))
		word = next_word(&rest);
	return *word ? -EINVAL : rbl_operation_start(record, "apply", rbl_apply, &arguments);
}

static int control_reverse(struct rbl_record *record, char *rest)
{
	struct rbl_arguments arguments = {};
	const char *word = next_word(&rest);

	/* By force no task is in the way, so there is nothing to say of them; nor is an operation that is under way. */
	if (!strcmp(word, "force"))
		return *next_word(&rest) ? -EINVAL : rbl_force(record);
	if (is_blockers(word, &arguments.blockers))
		word = next_word(&rest);
	return *word ? -EINVAL : rbl_operation_start(record, "reverse", rbl_reverse, &arguments);
}

/* What takes no time is done here and now. */
static int at_once(struct rbl_record *record, rbl_run_fn *run, const struct rbl_arguments *arguments)
{
	int err = rbl_operation_lock(record);

	if (err)
		return err;
	err = run(record, arguments);
	rbl_operation_unlock(record);
	return err;
}

static int control_extend(struct rbl_record *record, char *rest)
{
	struct rbl_arguments arguments = {};

	return is_deadline(rest, &arguments.deadline) ? at_once(record, rbl_extend, &arguments) : -EINVAL;
}

static int control_confirm(struct rbl_record *record, char *rest)
{
	const struct rbl_arguments none = {};

	return *rest ? -EINVAL : at_once(record, rbl_confirm, &none);
}

static int control_forget(struct rbl_record *record, char *rest)
{
	return *rest ? -EINVAL : rbl_forget(record);
}

struct command {
	const char *name;
	int (*run)(struct rbl_record *record, char *rest);
	bool removes;	/* the record, and with it the file that is written to */
};

static const struct command commands[] = {
	{ "apply", control_apply },
	{ "extend", control_extend },
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

ssize_t rbl_control_store(struct kobject *kobj, struct kobj_attribute *attribute, const char *buffer, size_t size)
{
	struct rbl_record *record = rbl_record_of(kobj);
	struct kernfs_node *node = NULL;
	const struct command *command;
	char line[48], *rest;
	int err;

	/* What may load an update may apply it: uid 0 alone is not enough, as in a container. */
	if (!capable(CAP_SYS_MODULE))
		return -EPERM;
	if (size >= sizeof(line))
		return -EINVAL;
	memcpy(line, buffer, size);
	line[size] = '\0';
	rest = strim(line);
	command = find_command(next_word(&rest));
	if (!command)
		return -EINVAL;
	/* Removing a file waits for those who write to it; here that would be this very task. */
	if (command->removes) {
		node = sysfs_break_active_protection(kobj, &attribute->attr);
		if (!node)
			return -ENODEV;
	}
	err = command->run(record, rest ? rest : "");
	if (node)
		sysfs_unbreak_active_protection(node);
	return err ? : size;
}
