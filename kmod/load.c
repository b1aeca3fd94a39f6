// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The helper module of rebootless.splice: matches, resolves, applies and
 * reverses updates.  This file holds its beginning and end, and those of each
 * update's record.
 */
#define pr_fmt(fmt) "rebootless: " fmt

#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/rcupdate.h>

#include "internal.h"

/* ---- records ---- */

static u64 loaded;	/* updates, ever */

static struct rbl_record *new_record(struct module *module, const struct rbl_update *update)
{
	struct rbl_record *record = kvzalloc(sizeof(*record), GFP_KERNEL);

	lockdep_assert_held(&rbl_lock);
	if (!record)
		return NULL;
	record->module = module;
	record->update = update;
	record->sequence = ++loaded;
	/* Until the descriptor is known to be sound, the module's name has to do. */
	rbl_printable(record->name, module->name + strlen(RBL_MODULE_PREFIX), sizeof(record->name));
	mutex_init(&record->shown);
	INIT_LIST_HEAD(&record->list);
	INIT_DELAYED_WORK(&record->deadline, rbl_deadline_work);
	INIT_DELAYED_WORK(&record->drain, rbl_drain_work);
	rbl_operation_init(record);
	rbl_sysfs_prepare(record);
	return record;
}

/* Ends the failed record that has a name, if there is one: a record of the same name comes. */
static void bury_failed(const char *name, const char *suffix)
{
	struct rbl_record *record = rbl_find_directory(name, suffix);

	lockdep_assert_held(&rbl_lock);
	if (!record || record->state != RBL_FAILED || record->busy)
		return;
	rbl_detach(record);
	mutex_unlock(&rbl_lock);
	rbl_bury(record);
	mutex_lock(&rbl_lock);
}

/* Shows the record in sysfs: under its name, if that is free; beside another version of the same update as the next one. */
static int show(struct rbl_record *record)
{
	struct rbl_record *there = rbl_find_directory(record->name, "");
	const char *suffix = "";
	int err;

	lockdep_assert_held(&rbl_lock);
	if (there) {
		suffix = RBL_NEXT;
		there = rbl_find_directory(record->name, suffix);
	}
	if (there) {
		pr_warn("%s: two versions of this update are loaded already\n", record->name);
		return -EEXIST;
	}
	err = rbl_sysfs_add(record, suffix);
	if (!err)
		list_add_tail(&record->list, &rbl_records);
	return err;
}

/* ---- update modules that come and go ---- */

static const struct rbl_update *descriptor(const struct module *module)
{
	char symbol[MODULE_NAME_LEN + sizeof(":rebootless_update")];

	snprintf(symbol, sizeof(symbol), "%s:rebootless_update", module->name);
	return (const void *)rbl_kernel(kallsyms_lookup_name)(symbol);
}

/* Makes a refused update's record one that needs nothing of its module. */
static void detach(struct rbl_record *record)
{
	rbl_parts_free(record);
	record->module = NULL;
	record->update = NULL;
	record->state = RBL_FAILED;
}

static int admit(struct module *module, const struct rbl_update *update)
{
	struct rbl_record *record = new_record(module, update);
	int err, shown;

	if (!record)
		return -ENOMEM;
	err = rbl_check_update(record);
	bury_failed(record->name, RBL_NEXT);
	bury_failed(record->name, "");
	if (!err)
		err = rbl_parts_new(record);
	if (!err)
		err = rbl_parts_resolve(record);
	if (!err)
		rbl_settle_new_branches(module->jump_entries, module->num_jump_entries);
	if (err)
		detach(record);
	shown = show(record);
	if (shown) {
		rbl_parts_free(record);
		kobject_put(&record->kobj);
	} else if (!err) {
		pr_info("%s %s: matched in %llu us, resolved in %llu us\n", record->name, record->version,
			record->match_ns / NSEC_PER_USEC, record->resolve_ns / NSEC_PER_USEC);
	}
	return err ? : shown;
}

static int coming(struct module *module)
{
	const struct rbl_update *update = descriptor(module);
	char name[MODULE_NAME_LEN];
	int err;

	if (!update) {
		rbl_printable(name, module->name, sizeof(name));
		pr_warn("%s: it has no rebootless_update, so it is no update\n", name);
		return -ENOEXEC;
	}
	err = mutex_lock_killable(&rbl_lock);
	if (err)
		return err;
	err = admit(module, update);
	mutex_unlock(&rbl_lock);
	return err;
}

static void going(struct module *module)
{
	struct rbl_record *record;

	mutex_lock(&rbl_lock);
	record = rbl_find_module_record(module);
	/* Only this notifier ends a record that has a module, so it stays while others are waited for. */
	while (record && (rbl_is_busy(record) || record->visits)) {
		mutex_unlock(&rbl_lock);
		msleep(10);
		mutex_lock(&rbl_lock);
	}
	if (record) {
		record->busy++;
		rbl_leave(record);
		rbl_detach(record);
	}
	mutex_unlock(&rbl_lock);
	if (record) {
		pr_info("%s: gone\n", record->name);
		rbl_bury(record);
	}
}

static bool is_update(const struct module *module)
{
	return strstarts(module->name, RBL_MODULE_PREFIX);
}

static int on_module(struct notifier_block *block, unsigned long event, void *data)
{
	struct module *module = data;

	if (event == MODULE_STATE_COMING && is_update(module))
		return notifier_from_errno(coming(module));
	if (event == MODULE_STATE_GOING && is_update(module)) {
		going(module);
		return NOTIFY_DONE;
	}
	if (event == MODULE_STATE_LIVE)
		rbl_object_live(module);
	if (event != MODULE_STATE_GOING)
		return NOTIFY_DONE;
	mutex_lock(&rbl_lock);
	rbl_object_going(module);
	mutex_unlock(&rbl_lock);
	return NOTIFY_DONE;
}

/* Objects that come: when jump labels and static calls have read the module's tables, and before its init runs. */
static int on_object(struct notifier_block *block, unsigned long event, void *data)
{
	struct module *module = data;
	int err;

	if (event != MODULE_STATE_COMING || is_update(module))
		return NOTIFY_DONE;
	err = mutex_lock_killable(&rbl_lock);
	if (err)
		return notifier_from_errno(err);
	err = rbl_object_coming(module);
	mutex_unlock(&rbl_lock);
	return notifier_from_errno(err);
}

static struct notifier_block first_notifier = {
	.notifier_call = on_module,
	/* Before jump labels, static calls and tracepoints read a coming module's tables or forget a going one's. */
	.priority = INT_MAX,
};

static struct notifier_block last_notifier = {
	.notifier_call = on_object,
	.priority = INT_MIN,
};

/*
 * Called by the init function of every update module: 0 if the update was
 * matched and resolved while the module was COMING.  The kernel lets the
 * helper module not go as long as a module is there that calls this.
 */
int rebootless_loaded(const void *update)
{
	struct rbl_record *record;
	int err = -ENOEXEC;

	mutex_lock(&rbl_lock);
	list_for_each_entry(record, &rbl_records, list) {
		if (record->update != update)
			continue;
		record->loaded = true;
		err = 0;
	}
	mutex_unlock(&rbl_lock);
	return err;
}
EXPORT_SYMBOL_GPL(rebootless_loaded);

/* ---- the helper module itself ---- */

static int __init rebootless_init(void)
{
	int err;

	/* Text is written there by code that sleeps, which is not possible while all CPUs are stopped. */
	if (IS_ENABLED(CONFIG_PREEMPT_RT)) {
		pr_err("%s: this is the rt flavour (CONFIG_PREEMPT_RT)\n", rbl_code_name(RBL_UNSUPPORTED_KERNEL));
		return -EOPNOTSUPP;
	}
	err = rbl_symbols_init();
	if (err)
		return err;
	/* A rescuer of its own: a deadline has to be kept on a host that is out of memory, too. */
	rbl_workqueue = alloc_workqueue("rebootless", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!rbl_workqueue)
		return -ENOMEM;
	err = rbl_arch_init();
	if (err)
		goto no_arch;
	err = rbl_sysfs_init();
	if (err)
		goto no_sysfs;
	err = rbl_deadlines_init();
	if (err)
		goto no_deadlines;
	err = register_module_notifier(&first_notifier);
	if (err)
		goto no_notifier;
	err = register_module_notifier(&last_notifier);
	if (err)
		goto no_last;
	return 0;

no_last:
	unregister_module_notifier(&first_notifier);
no_notifier:
	rbl_deadlines_exit();
no_deadlines:
	rbl_sysfs_exit();
no_sysfs:
	rbl_arch_exit();
no_arch:
	destroy_workqueue(rbl_workqueue);
	return err;
}

static void __exit rebootless_exit(void)
{
	struct rbl_record *record;

	unregister_module_notifier(&last_notifier);
	unregister_module_notifier(&first_notifier);
	rbl_deadlines_exit();
	mutex_lock(&rbl_lock);
	/* Update modules depend on this one, so only failed records are left. */
	while ((record = list_first_entry_or_null(&rbl_records, struct rbl_record, list))) {
		rbl_detach(record);
		mutex_unlock(&rbl_lock);
		rbl_bury(record);
		mutex_lock(&rbl_lock);
	}
	mutex_unlock(&rbl_lock);
	rbl_sysfs_exit();
	rbl_arch_exit();
	destroy_workqueue(rbl_workqueue);
	rbl_notes_exit();
	/* The writer of `forget` was not waited for when its file went, and may have yet to return from rbl_control_store(). */
	synchronize_rcu_tasks();
}

module_init(rebootless_init);
module_exit(rebootless_exit);
MODULE_DESCRIPTION("Matches, applies and reverses updates of the running kernel");
MODULE_AUTHOR("The rebootless.splice authors");
MODULE_LICENSE("GPL");
