/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the helper module share; nothing here is seen by update modules. */
#ifndef RBL_INTERNAL_H
#define RBL_INTERNAL_H

#include <linux/completion.h>
#include <linux/hrtimer.h>
#include <linux/kobject.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "arch/arch.h"
#include "compat.h"
#include "matcher/match.h"
#include "rebootless.h"

#define RBL_DIGEST_SIZE 64	/* hex digits of a SHA-256 */
#define RBL_VERSION_MAX 64	/* characters of an update's version */
#define RBL_MAX_CONFLICTS 16	/* tasks that are named when functions are busy */
#define RBL_FUNCTION_MAX 128	/* of a function's name there */
#define RBL_NEXT ".next"		/* behind an update's name: the version that is loaded beside another one */
#define RBL_PREVIOUS ".previous"	/* the one that was replaced */
#define RBL_FACTS_SIZE 1536	/* text of an abort record, beside its code's prose */

/* What became of an update; docs/formats.md has the words. */
enum rbl_state { RBL_MATCHED, RBL_APPLIED, RBL_CONFIRMED, RBL_REVERSED, RBL_REPLACED, RBL_FAILED };

/* What can be done about a task that is in the way. */
enum rbl_task_kind {
	RBL_TASK_OF_A_PROCESS,
	RBL_TASK_OF_THE_KERNEL,		/* which cannot be restarted */
	RBL_TASK_ALWAYS_THERE,		/* an idle or stopper task, where it is whenever all CPUs are stopped */
	RBL_TASK_OF_OFFLINE_CPU,	/* an idle task that waits for its CPU to be taken online */
};

/* A task that was in the way of an operation. */
struct rbl_conflict {
	pid_t pid;
	char comm[TASK_COMM_LEN];	/* as rbl_printable() has it */
	unsigned long address;		/* where it was found; 0 if its stack could not be walked */
	unsigned long stopped_at;	/* where the walk of its stack ended too early; 0: nowhere */
	bool faults;			/* it waits there for a page of its own memory */
	enum rbl_task_kind kind;
	char function[RBL_FUNCTION_MAX];	/* which it is in; "-" if that is not known */
};

struct rbl_conflicts {
	u32 count;
	struct rbl_conflict rows[RBL_MAX_CONFLICTS];
};

/* "key: value" lines. */
struct rbl_text {
	u32 length;
	char text[RBL_FACTS_SIZE];
};

/* Why an operation was refused. */
struct rbl_abort {
	u32 code;
	struct rbl_text facts;
	struct rbl_text secrets;	/* facts that hold addresses, or bytes of memory, which may hold some */
	struct rbl_conflicts conflicts;
};

/* What stands in the way of a step. */
struct rbl_offence {
	const char *name;		/* of the function or datum; NULL: nothing is there */
	const u8 *where, *expected;
	u32 size;			/* of what is shown of both */
	u8 found[RBL_WRITE_SIZE];
	unsigned long used;		/* by what it is used: its address */
};

/* Who calls an update's custom code: two may do so at a time. */
enum rbl_party { RBL_OPERATION, RBL_WAY_BACK, RBL_PARTIES };

/* A row of a part's functions, at its address in the running kernel. */
struct rbl_site {
	const struct rbl_function *function;
	unsigned long old;		/* the running function */
	struct rbl_write *write;	/* of the jump; NULL if the function only has to be left */
};

/* A row of a part's data, at its address in the running kernel. */
struct rbl_exchange {
	const struct rbl_datum *datum;
	u8 *where;			/* the running datum */
	u8 *saved;			/* what stands there without the update */
};

/* The addresses that the symbol table has for each symbol of a match program. */
struct rbl_lookup {
	u32 *first;			/* of each symbol in addresses, and one more for the end */
	u64 *addresses;
};

/* What an update has for one object: vmlinux, or a loadable module, which may be absent, come and go. */
struct rbl_part {
	const struct rbl_object *object;	/* in the update's module */
	bool present;			/* matched and resolved, so all that follows is there; and of the update (coming.c) */
	struct module *target;		/* NULL for vmlinux */

	struct rbl_lookup lookup;
	struct rbl_result result;
	struct rbl_site *sites;		/* one for each of object->n_functions */
	struct rbl_write *writes;	/* one for each function that is replaced */
	u32 n_writes;
	struct rbl_exchange *data;	/* one for each of object->n_data */
	struct rbl_step *steps;		/* to the replacement code: one for each of `writes`, then one for each of `data` */
	bool written;			/* they have been made in the running kernel: rbl_begin_writing() */
	bool adrift;			/* and unmade, but the kernel still switches the stand-ins: back.c */
	bool entries_found;		/* of `writes`: rbl_find_entries() */
	u64 *fields;			/* what the module loader left in each of object->n_fixups */
	bool fields_written;
	bool engaged[RBL_PARTIES];	/* takes part in what is under way; its hooks are called */
	struct module *pinned[RBL_PARTIES];	/* meanwhile: its target; NULL: none */
	struct list_head bars;		/* of its jumps, against kprobes: while they are written, or about to be (barred.c) */
	struct list_head pins;		/* other modules that its symbols lie in: in memory as long as the part is present */
	struct module *branches;	/* what the kernel knows the part's static branches as; NULL if it does not */
	void *pristine_branches;	/* the part's jump entries before they were written */
};

/* Addresses of code. */
struct rbl_range {
	unsigned long start, end;
};

struct rbl_record;

/* What is done about tasks that stay in the way of a switch. */
enum rbl_blockers {
	RBL_WAIT_FOR_BLOCKERS,		/* as many tries as the module's parameter says */
	RBL_SIGNAL_BLOCKERS,		/* after those they are sent out of the kernel (blockers.c) */
	RBL_REFUSE_BLOCKERS,		/* one try */
};

/* What a command says beside its name; each operation looks at its own. */
struct rbl_arguments {
	unsigned int deadline;		/* in seconds; 0: none */
	enum rbl_blockers blockers;
};

typedef int rbl_run_fn(struct rbl_record *record, const struct rbl_arguments *arguments);

/*
 * A command that was written to `control` and may take a while.  A work item
 * does it, so that the writer is not inside vfs_write() and its like when those
 * are replaced: if they are, its write() returns before the end (EINPROGRESS).
 */
struct rbl_operation {
	struct work_struct work;
	spinlock_t lock;		/* guards what follows */
	const char *name;		/* of the last one, "" if there was none */
	rbl_run_fn *run;
	struct rbl_arguments arguments;
	bool running;
	bool unwanted;			/* the writer was killed: no other try */
	int result;			/* of the last one */
	struct task_struct *writer;	/* the task that waits for the end; NULL: none */
	wait_queue_head_t changed;
};

/* An update's custom code beside a way back: companion.c. */
struct rbl_companion {
	struct work_struct work;
	bool running;			/* under rbl_lock */
	struct completion ready;	/* what comes before has returned, with `value` */
	struct completion decided;	/* `came_back` says how */
	struct completion over;
	bool came_back;
	int value;			/* not 0: `refusing` refuses */
	const struct rbl_hook *refusing;
};

/* What comes of it. */
enum rbl_company {
	RBL_NO_HOOKS,
	RBL_ALONE,			/* it could not be called */
	RBL_ACCOMPANIED,
	RBL_LEFT_BEHIND,		/* it takes too long */
	RBL_REFUSED,
};

/* One update that was loaded, or that failed to. */
struct rbl_record {
	struct kobject kobj;
	struct list_head list;		/* of rbl_records */
	const struct rbl_update *update;	/* in its module; NULL for a failed one */
	struct module *module;
	char name[RBL_NAME_MAX + 1];
	char version[RBL_VERSION_MAX + 1];
	char digest[RBL_DIGEST_SIZE + 1];
	const char *suffix;		/* of its name in sysfs: "", RBL_NEXT or RBL_PREVIOUS */
	unsigned int number;		/* of several that were replaced, behind the suffix of its name in sysfs; 0: none */
	u64 sequence;			/* the higher, the later it was loaded */
	enum rbl_state state;
	bool loaded;			/* its module's init function runs or has run */
	bool ran;			/* it was applied at least once */
	bool kept;			/* its module may not go until the next boot */
	bool leaving;			/* its module goes: no operation on it begins, and other versions are free */
	bool gone;			/* no longer in the list, and about to be freed */
	u32 busy;			/* operations on it that are under way, also while they do not hold rbl_lock */
	u32 visits;			/* hooks that are called for modules which come or go, without rbl_lock */

	struct rbl_part *parts;		/* one for each of update->n_objects */
	u32 n_parts;

	struct rbl_operation operation;

	struct kthread_worker *keeper;	/* of the deadline */
	struct kthread_work deadline;
	struct hrtimer timer;
	bool deadline_set;
	u64 deadline_at;		/* ns of CLOCK_BOOTTIME */
	u32 deadline_tries;		/* to reverse since then */

	/* The way back that nothing holds up: back.c. */
	struct mutex way;		/* one at a time */
	bool returning;			/* it was gone, and what follows from that has yet to be done */
	bool unfinished;		/* without the custom code that belongs to it */
	struct work_struct aftermath;
	struct rbl_companion companion;

	/* Reversed by force while tasks were in its code: its module is held until they have left. */
	bool held;
	struct delayed_work drain;
	u32 drain_tries;
	u32 n_holders;			/* found in the last look, under `shown` like their names */
	struct rbl_conflicts holders;

	u64 match_ns, resolve_ns, pause_ns;
	u64 stop_ns;			/* of the last try: from the call that stops all CPUs to its return */
	u32 looked_at;			/* stacks that were walked meanwhile */
	u32 tries;
	u32 signalled;			/* tasks that the last apply or reverse has sent out of the kernel */

	struct rbl_abort draft;		/* of the operation that runs */
	struct mutex shown;		/* guards what sysfs shows of all this: `abort`, and whether a part is present */
	struct rbl_abort abort;
};

/*
 * Guards rbl_records and all in them that `shown` does not, nor
 * rbl_begin_writing(): whether an update is live, and its deadline.  What waits
 * gives it back first: between two tries, while hooks are called, for RCU.  A
 * record stays `busy` meanwhile, so that no other operation on that update
 * begins.  But a deadline needs no rbl_lock: a live update may be so no more
 * at any time.
 */
extern struct mutex rbl_lock;
extern struct list_head rbl_records;

extern struct workqueue_struct *rbl_workqueue;

#define rbl_for_each_part(part, record) \
	for ((part) = (record)->parts; (part) < (record)->parts + (record)->n_parts; (part)++)

/* parameters.c */
extern unsigned int rbl_tries, rbl_first_pause_ms, rbl_note_from;
extern bool rbl_scan;
void rbl_parameters_init(void);

/* records.c */
struct rbl_record *rbl_record_of(struct kobject *kobj);
struct rbl_record *rbl_find_directory(const char *name, const char *suffix);
struct rbl_record *rbl_find_other(const struct rbl_record *record);
struct rbl_record *rbl_find_module_record(const struct module *module);
const char *rbl_state_name(const struct rbl_record *record);
void rbl_rename(struct rbl_record *record);

bool rbl_is_busy(const struct rbl_record *record);

/* locks.c */
#define RBL_BRIEFLY_MS 50		/* for others to go on meanwhile */
#define RBL_PATIENCE_MS 2000		/* of a way back that goes on without then */
#define RBL_TEXT_PATIENCE_MS 10000	/* of what is refused then; the optimiser of kprobes may need seconds */
#define RBL_HOOK_LIMIT_MS 5000		/* for custom code before a way back */
bool rbl_lock_within(struct mutex *lock, unsigned int ms);
bool rbl_wait_within(struct completion *done, unsigned int ms);
bool rbl_lock_text_within(unsigned int ms);
void rbl_lock_text(void);
void rbl_lock_patiently(struct mutex *lock);
void rbl_unlock_text(void);
void rbl_begin_writing(void);
void rbl_end_writing(void);
void rbl_set_written(struct rbl_record *record, bool written);

/* forget.c */
void rbl_detach(struct rbl_record *record);
void rbl_bury(struct rbl_record *record);
int rbl_forget(struct rbl_record *record);

/* objects.c: vmlinux and the loadable modules that are patched */
int rbl_parts_new(struct rbl_record *record);
int rbl_parts_resolve(struct rbl_record *record);
void rbl_parts_free(struct rbl_record *record);
void rbl_keep_code(struct rbl_record *record);
bool rbl_keep_kept(struct rbl_record *record);
int rbl_parts_engage(struct rbl_record *record, enum rbl_party party);
void rbl_parts_disengage(struct rbl_record *record, enum rbl_party party);
int rbl_check_engaged(struct rbl_record *record, enum rbl_party party);
bool rbl_is_called_unpinned(const struct rbl_part *part);
bool rbl_is_init_part(const struct rbl_part *part);

/* coming.c: loadable modules that come and go */
int rbl_object_coming(struct module *module);
void rbl_object_live(struct module *module);
void rbl_object_going(struct module *module);

/* refuse.c: abort records */
void rbl_begin(struct rbl_record *record);
__printf(2, 3) void rbl_fact(struct rbl_record *record, const char *format, ...);
__printf(2, 3) void rbl_secret(struct rbl_record *record, const char *format, ...);
int rbl_refuse(struct rbl_record *record, u32 code);
int rbl_refuse_state(struct rbl_record *record);
int rbl_refuse_offence(struct rbl_record *record, u32 code, const struct rbl_offence *offence);
void rbl_succeed(struct rbl_record *record);
int rbl_refuse_busy_helper(struct rbl_record *record);

/* symbols.c */
int rbl_symbols_init(void);
const u8 *rbl_build_id(u32 *size);
int rbl_lookup_all(const void *program, struct rbl_lookup *lookup);
void rbl_lookup_free(struct rbl_lookup *lookup);

bool rbl_same_module(const char *a, const char *b);
void rbl_printable(char *to, const char *name, u32 size);
void rbl_name_of(unsigned long address, char *name, u32 size);

/* check.c */
int rbl_check_update(struct rbl_record *record);

/* sites.c */
int rbl_sites_make(struct rbl_record *record, struct rbl_part *part);
void rbl_sites_free(struct rbl_part *part);
int rbl_check_conflicts(struct rbl_record *record, const struct rbl_part *part);

/* in_use.c: kprobes and users of ftrace on the same functions */
enum rbl_jump_state {
	RBL_JUMP_IN_PLACE,
	RBL_JUMP_MISSING,	/* something has written over it */
	RBL_JUMP_BYPASSED,	/* something sends calls elsewhere before they come to it */
};

/* What a switch must not meet a kprobe in: an optimised one before the bytes writes a jump that reaches into them. */
static inline struct rbl_range rbl_probes_that_reach(const u8 *where, u32 size)
{
	return (struct rbl_range){ (unsigned long)where - (RBL_JUMP_SIZE - 1), (unsigned long)where + size };
}

int rbl_find_entries(struct rbl_record *record, struct rbl_part *part);
void rbl_find_late_entries(struct rbl_record *record);
u32 rbl_find_probe(const struct rbl_part *part, struct rbl_offence *offence);
int rbl_check_probes(struct rbl_record *record, const struct rbl_part *part);
u32 rbl_step_in_use(const struct rbl_step *step, bool forward, unsigned long *address);
enum rbl_jump_state rbl_jump_state(const struct rbl_write *write);
bool rbl_is_bypassed(const struct rbl_record *record);

/* barred.c: no kprobe on jumps */
int rbl_bar_probes(struct rbl_record *record, struct rbl_part *part);
void rbl_lift_bars(struct rbl_part *part);
void rbl_bars_exit(void);

/* resolve.c */
int rbl_resolve(struct rbl_record *record, struct rbl_part *part);
int rbl_match_again(struct rbl_record *record);
void rbl_unresolve(struct rbl_record *record, struct rbl_part *part);
void rbl_set_present(struct rbl_record *record, struct rbl_part *part, bool present);

/* fixups.c */
int rbl_write_fixups(struct rbl_record *record, struct rbl_part *part);
void rbl_take_back_fixups(struct rbl_part *part);

/* branches.c: static branches of replacement code whose keys are a loadable module's */
void rbl_settle_new_branches(const struct jump_entry *entries, u32 count);
int rbl_register_branches(struct rbl_record *record, struct rbl_part *part);
void rbl_unregister_branches(struct rbl_part *part);

/* constants.c */
void *rbl_map_constant(const void *where, u32 size);
void rbl_unmap_constant(void *alias);
void rbl_write_constant(void *alias, const void *bytes, u32 size);
bool rbl_is_in_module(const void *where);

/* stand_ins.c: static branches that jumps lie over */
int rbl_find_branch(struct rbl_record *record, const struct rbl_part *part, struct rbl_write *write);
void rbl_forget_branch(struct rbl_write *write);
void rbl_settle_branches(struct rbl_part *part, bool locked);
void rbl_move_branches(const struct rbl_part *part, bool to_stand_ins);
bool rbl_branch_step(struct rbl_write *write, struct rbl_step *step);
bool rbl_has_branches(const struct rbl_part *part);
bool rbl_is_adrift(const struct rbl_record *record);

/* prefixes.c: prefixes of instructions that jumps lie over, and that the kernel changes */
int rbl_find_prefixes(struct rbl_record *record, const struct rbl_part *part, struct rbl_write *write);
void rbl_settle_prefixes(struct rbl_part *part, bool locked);

/* hooks.c: an update's custom code */
bool rbl_has_hooks(const struct rbl_record *record, u32 stage);
int rbl_part_hooks(const struct rbl_part *part, u32 stage, const struct rbl_hook **refusing);
int rbl_hooks(const struct rbl_record *record, enum rbl_party party, u32 stage, const struct rbl_hook **refusing);
int rbl_refuse_hook(struct rbl_record *record, const struct rbl_hook *hook, int value);

/* running.c: the running kernel's memory as the match has to see it */
struct rbl_tracing;
u32 rbl_still_begin(struct rbl_tracing **tracing);
void rbl_still_end(struct rbl_tracing *tracing);
int rbl_read_running(const struct rbl_tracing *tracing, u64 address, void *buffer, u32 length);

/* stacks.c: whether a task is inside code that is about to change */
/* What a look at a task's stack has found. */
enum rbl_finding {
	RBL_NOT_KNOWN,		/* nothing: the task was running */
	RBL_CLEAR,
	RBL_LEFT_OVER,		/* words that calls which are over have left behind; in the last try only */
	RBL_UNRELIABLE,
	RBL_INSIDE,
};

struct rbl_stacks {
	const struct rbl_range *ranges;	/* that no task may be in; sorted, and none overlap */
	u32 n_ranges;
	unsigned long low, high;	/* all of them lie between */
	unsigned long fault_size;	/* of handle_mm_fault() */
	struct task_struct *requester;	/* the task that does the switch, and waits */
	const struct task_struct *writer;	/* the task that wrote to `control` and waits; NULL: none */
	bool last_try;			/* there is no waiting for words that only the scan finds */
	raw_spinlock_t lock;		/* guards what follows */
	bool busy, unreliable, writer_is_busy;
	u32 n_conflicts;		/* tasks in all; `conflicts` names the first of them */
	struct rbl_conflicts conflicts;
	struct rbl_conflicts leftovers;	/* tasks whose stacks hold addresses of calls that are over, in the last try */
};

enum rbl_finding rbl_stack_finding(const struct rbl_stacks *stacks, struct task_struct *task);
void rbl_stack_check(struct rbl_stacks *stacks, struct task_struct *task);
void rbl_stacks_count(struct rbl_stacks *stacks, enum rbl_finding finding, u32 tasks);
void rbl_stacks_check_offline(struct rbl_stacks *stacks);

/* notes.c: which tasks have run */
void rbl_notes_open(void);
void rbl_notes_close(void);
void rbl_notes_begin(void);
void rbl_notes_end(void);
bool rbl_notes_are_whole(void);
struct task_struct *const *rbl_notes_here(u32 *count);
void rbl_notes_exit(void);

/* looks.c: which tasks are looked at before the stop, and which in it */
struct rbl_look;

struct rbl_looks {
	struct rbl_look *rows;		/* one for each task that was there */
	u32 count, room;
	u32 *index;			/* of rows + 1, by task; 0: none */
	u32 bits;			/* of its length */
	u32 *again, n_again;		/* rows of tasks that were running, or in the way, in the last pass before the stop */
	bool notes;			/* tasks that run are to be noted */
	bool whole;			/* when `forks` was read each task had a row, or got one */
	unsigned long forks;		/* tasks that had been made since the boot */
};

void rbl_looks_begin(struct rbl_looks *looks, const struct rbl_stacks *stacks, bool notes);
void rbl_looks_refresh(struct rbl_looks *looks, const struct rbl_stacks *stacks);
u32 rbl_looks_check(const struct rbl_looks *looks, struct rbl_stacks *stacks, u32 share, u32 shares);
void rbl_looks_end(struct rbl_looks *looks);

/* steps.c: what a switch writes */
enum rbl_purpose {
	RBL_TO_REPLACEMENT,
	RBL_TO_OLD,
	RBL_CHECK_ONLY,		/* that no task is in the replacement code */
};

struct rbl_switch_options;

struct rbl_steps {
	struct rbl_step *rows;		/* jumps first, then data */
	u32 n_jumps, count;
};

u32 rbl_count_jumps(const struct rbl_record *record);
int rbl_steps_make(struct rbl_record *record, const struct rbl_switch_options *how, struct rbl_steps *steps);
void rbl_steps_free(struct rbl_steps *steps);
u32 rbl_check_step(const struct rbl_step *step, const u8 *expected, bool forward, struct rbl_offence *offence);
int rbl_part_steps_make(struct rbl_record *record, struct rbl_part *part);
void rbl_part_steps_free(struct rbl_part *part);
void rbl_settle(struct rbl_part *part, bool locked);
u32 rbl_write_part(struct rbl_part *part, struct rbl_offence *offence);
void rbl_write_part_back(struct rbl_part *part);

/* gather.c: all CPUs stopped at once, or not */
int rbl_ask_cpus(void);
int rbl_gather(int (*run)(void *data), void *data);
void rbl_task_on(int cpu, struct rbl_conflict *row);

/* companion.c */
void rbl_companion_init(struct rbl_record *record);
enum rbl_company rbl_companion_begin(struct rbl_record *record);
void rbl_companion_end(struct rbl_record *record, enum rbl_company company, bool came_back);
void rbl_companion_wait(struct rbl_record *record, enum rbl_company company);

/* back.c: the way back that nothing can hold up */
int rbl_go_back(struct rbl_record *record, bool at_deadline, enum rbl_company *company);
bool rbl_come_ashore(struct rbl_record *record);

/* deadline.c */
int rbl_deadline_prepare(struct rbl_record *record, kthread_work_func_t come);
void rbl_deadline_again(struct rbl_record *record, u64 ns);
void rbl_deadline_end(struct rbl_record *record);
void rbl_set_deadline(struct rbl_record *record, unsigned int seconds);
void rbl_clear_deadline(struct rbl_record *record);
s64 rbl_deadline_left(const struct rbl_record *record);

/* blockers.c: tasks that stay in the way */
struct rbl_edge;
struct rbl_edge *rbl_edge_open(void);
int rbl_edge_send(struct rbl_edge *edge, const struct rbl_conflicts *conflicts);
void rbl_edge_wait(struct rbl_edge *edge);
void rbl_edge_close(struct rbl_edge *edge);

/* switch.c */
struct rbl_switch_options {
	enum rbl_purpose purpose;
	struct rbl_record *previous;	/* a live version of the same update, which goes; NULL: none */
	unsigned int deadline;		/* in seconds, from the switch on; 0: none */
	bool force;			/* the old code comes back although tasks are in the replacement code: a way back */
	bool at_deadline;		/* and only if there still is one that has passed */
	enum rbl_blockers blockers;
};

int rbl_switch(struct rbl_record *record, const struct rbl_switch_options *how);
int rbl_look_for_holders(struct rbl_record *record);

/* Memory for a switch; one by force takes what is there, and reclaims none: that may run what was replaced. */
static inline void *rbl_allocate(size_t count, size_t size, bool force)
{
	return force ? kcalloc(count, size, GFP_NOWAIT | __GFP_NOWARN) : kvcalloc(count, size, GFP_KERNEL);
}

/* The next of pauses that grow up to a minute, in ms. */
static inline unsigned int rbl_longer(unsigned int pause)
{
	return min_t(unsigned int, 2 * pause, 60 * MSEC_PER_SEC);
}

/* operation.c */
int rbl_operation_lock(struct rbl_record *record);
void rbl_operation_unlock(struct rbl_record *record);
void rbl_operation_init(struct rbl_record *record);
int rbl_operation_start(struct rbl_record *record, const char *name, rbl_run_fn *run,
			const struct rbl_arguments *arguments);
void rbl_operation_end(struct rbl_record *record);
void rbl_let_writer_go(struct rbl_record *record);
bool rbl_operation_wait(struct rbl_record *record, long jiffies);

/* apply.c */
int rbl_apply(struct rbl_record *record, const struct rbl_arguments *arguments);
int rbl_extend(struct rbl_record *record, const struct rbl_arguments *arguments);
int rbl_confirm(struct rbl_record *record, const struct rbl_arguments *unused);
int rbl_reverse(struct rbl_record *record, const struct rbl_arguments *arguments);
void rbl_leave(struct rbl_record *record);
void rbl_deadline_work(struct kthread_work *work);
void rbl_drain_work(struct work_struct *work);
void rbl_aftermath_work(struct work_struct *work);
int rbl_force(struct rbl_record *record);
static inline bool rbl_is_live(const struct rbl_record *record)
{
	return record->state == RBL_APPLIED || record->state == RBL_CONFIRMED;
}

/* control.c: what operators write */
ssize_t rbl_control_store(struct kobject *kobj, struct kobj_attribute *attribute, const char *buffer, size_t size);

/* sysfs.c: what they read */
int rbl_sysfs_init(void);
void rbl_sysfs_exit(void);
void rbl_sysfs_prepare(struct rbl_record *record);
int rbl_sysfs_add(struct rbl_record *record, const char *suffix);

#endif
