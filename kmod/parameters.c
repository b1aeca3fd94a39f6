// SPDX-License-Identifier: GPL-2.0-or-later
/* The module's parameters: they can be set by what may load modules, and not by each process of uid 0. */
#include <linux/capability.h>
#include <linux/moduleparam.h>

#include "internal.h"

unsigned int rbl_tries = 11;
unsigned int rbl_first_pause_ms = 10;
bool rbl_scan = true;
unsigned int rbl_note_from = 1000;
static bool note_from_is_set;

static int set_number(const char *value, const struct kernel_param *parameter)
{
	return capable(CAP_SYS_MODULE) ? param_set_uint(value, parameter) : -EPERM;
}

static int set_note_from(const char *value, const struct kernel_param *parameter)
{
	int err = set_number(value, parameter);

	note_from_is_set |= !err;
	return err;
}

static int set_flag(const char *value, const struct kernel_param *parameter)
{
	return capable(CAP_SYS_MODULE) ? param_set_bool(value, parameter) : -EPERM;
}

static const struct kernel_param_ops number = { .set = set_number, .get = param_get_uint };
static const struct kernel_param_ops note_from = { .set = set_note_from, .get = param_get_uint };
static const struct kernel_param_ops flag = { .set = set_flag, .get = param_get_bool };

module_param_cb(tries, &number, &rbl_tries, 0644);
MODULE_PARM_DESC(tries, "times to try before a busy function refuses an operation (default: 11)");

module_param_cb(first_pause_ms, &number, &rbl_first_pause_ms, 0644);
MODULE_PARM_DESC(first_pause_ms, "wait after the first try, twice as long after each other one (default: 10, so 10 s in all)");

module_param_cb(scan, &flag, &rbl_scan, 0644);
MODULE_PARM_DESC(scan, "besides walking each stack, wait as long as any word on it points into code about to change (default: on)");

module_param_cb(note_from, &note_from, &rbl_note_from, 0644);
MODULE_PARM_DESC(note_from, "tasks from which on those that run before a stop are noted, and not searched for in it (default: 1000; never if QEMU emulates the processors)");

/*
 * For a probe the kernel writes over code that all CPUs run.  Where that can
 * stop the machine for good, the counts of all tasks are compared in the stop,
 * unless it is asked for otherwise: all CPUs may be emulated by one thread.
 */
void rbl_parameters_init(void)
{
	if (!note_from_is_set && rbl_arch_may_run_old_text())
		rbl_note_from = UINT_MAX;
}
