// SPDX-License-Identifier: GPL-2.0-or-later
/* Commands to an update that may take a while, done by a work item while their writer waits. */
#include <linux/sched/signal.h>

#include "internal.h"

/*
 * Takes rbl_lock for an operation on the record, which gives it back whenever
 * it waits.  The second of two operations on an update is refused, not queued:
 * when its turn came, the update might be in another state than it was meant
 * for.
 */
int rbl_operation_lock(struct rbl_record *record)
{
	mutex_lock(&rbl_lock);
	if (record->gone) {
		mutex_unlock(&rbl_lock);
		return -ENODEV;
	}
	if (rbl_is_busy(record) || record->leaving) {
		mutex_unlock(&rbl_lock);
		return rbl_refuse_busy_helper(record);
	}
	record->busy++;
	return 0;
}

void rbl_operation_unlock(struct rbl_record *record)
{
	lockdep_assert_held(&rbl_lock);
	record->busy--;
	mutex_unlock(&rbl_lock);
}

static int run(struct rbl_record *record)
{
	int err = rbl_operation_lock(record);

	if (err)
		return err;
	err = record->operation.run(record, &record->operation.arguments);
	rbl_operation_unlock(record);
	return err;
}

static void work(struct work_struct *item)
{
	struct rbl_operation *operation = container_of(item, struct rbl_operation, work);
	struct rbl_record *record = container_of(operation, struct rbl_record, operation);
	int result = run(record);

	spin_lock(&operation->lock);
	operation->result = result;
	operation->running = false;
	operation->unwanted = false;
	operation->writer = NULL;
	wake_up_all(&operation->changed);
	spin_unlock(&operation->lock);
}

void rbl_operation_init(struct rbl_record *record)
{
	struct rbl_operation *operation = &record->operation;

	INIT_WORK(&operation->work, work);
	spin_lock_init(&operation->lock);
	init_waitqueue_head(&operation->changed);
	operation->name = "";
}

static bool is_over(const struct rbl_operation *operation)
{
	return !READ_ONCE(operation->running) || !READ_ONCE(operation->writer);
}

/*
 * Has `run` done, and waits for its end: its errno; EINPROGRESS if the writer
 * itself is in code that is to be replaced, so that it goes on alone; EINTR if
 * the writer is killed, and then there is no other try.
 */
int rbl_operation_start(struct rbl_record *record, const char *name, rbl_run_fn *run,
			const struct rbl_arguments *arguments)
{
	struct rbl_operation *operation = &record->operation;
	int err;

	spin_lock(&operation->lock);
	if (operation->running) {
		spin_unlock(&operation->lock);
		return rbl_refuse_busy_helper(record);
	}
	operation->name = name;
	operation->run = run;
	operation->arguments = *arguments;
	operation->running = true;
	operation->unwanted = false;
	operation->writer = current;
	spin_unlock(&operation->lock);
	queue_work(rbl_workqueue, &operation->work);

	err = wait_event_killable(operation->changed, is_over(operation));
	spin_lock(&operation->lock);
	if (!operation->running) {
		err = operation->result;
	} else if (err) {
		operation->unwanted = true;
		operation->writer = NULL;
		wake_up_all(&operation->changed);
		err = -EINTR;
	} else {
		err = -EINPROGRESS;
	}
	spin_unlock(&operation->lock);
	return err;
}

/* Waits for the end of an operation, which finds the record gone. */
void rbl_operation_end(struct rbl_record *record)
{
	flush_work(&record->operation.work);
}

/* The writer stands in the way of its own operation. */
void rbl_let_writer_go(struct rbl_record *record)
{
	struct rbl_operation *operation = &record->operation;

	spin_lock(&operation->lock);
	operation->writer = NULL;
	wake_up_all(&operation->changed);
	spin_unlock(&operation->lock);
}

/* Pauses between two tries, without rbl_lock; true if no other one is wanted, since the writer was killed. */
bool rbl_operation_wait(struct rbl_record *record, long jiffies)
{
	struct rbl_operation *operation = &record->operation;
	bool unwanted;

	mutex_unlock(&rbl_lock);
	unwanted = wait_event_timeout(operation->changed, READ_ONCE(operation->unwanted), jiffies) > 0;
	mutex_lock(&rbl_lock);
	return unwanted;
}
