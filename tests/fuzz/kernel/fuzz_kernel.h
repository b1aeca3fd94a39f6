/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the helper module takes of a kernel (6.12, x86-64), for its own source
 * files in user space, included before anything else.  Each of the kernel's
 * headers that they include is an empty file (tests/fuzz/native.py lists them), so
 * a file that begins to use something else no longer compiles here.  Locks know
 * whether they are held, and lists and formats do what the kernel's do; what
 * touches a running kernel is declared only: the fuzzer that links it has it.
 */
#ifndef FUZZ_KERNEL_H
#define FUZZ_KERNEL_H

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

/* ---- types, and words of the compiler ---- */

typedef uint8_t u8; typedef uint16_t u16; typedef uint32_t u32; typedef unsigned long long u64;
typedef int8_t s8; typedef int16_t s16; typedef int32_t s32; typedef long long s64;

#define CONFIG_X86_64 1
#define CONFIG_SMP 1
#define CONFIG_X86_KERNEL_IBT 1
#define IS_ENABLED(option) (option)
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))
#define LINUX_VERSION_CODE KERNEL_VERSION(6, 12, 0)

#define __printf(a, b)	/* %*phN is the kernel's own */
#define READ_ONCE(x) (x)
#define WRITE_ONCE(x, value) ((x) = (value))
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define container_of(pointer, type, member) ((type *)((char *)(pointer) - offsetof(type, member)))
#define struct_size(pointer, member, count) (sizeof(*(pointer)) + (count) * sizeof(*(pointer)->member))
#define min(a, b) ({ typeof(a) min_a = (a); typeof(b) min_b = (b); min_a < min_b ? min_a : min_b; })
#define max(a, b) ({ typeof(a) max_a = (a); typeof(b) max_b = (b); max_a > max_b ? max_a : max_b; })
#define swap(a, b) do { typeof(a) swap_a = (a); (a) = (b); (b) = swap_a; } while (0)
#define min_t(type, a, b) min((type)(a), (type)(b))
#define max_t(type, a, b) max((type)(a), (type)(b))
#define ALIGN(x, to) (((x) + (to) - 1) & ~((typeof(x))(to) - 1))
#define DIV_ROUND_UP(a, b) (((a) + (b) - 1) / (b))
#define __stringify_1(x...) #x
#define __stringify(x...) __stringify_1(x)
#define ANNOTATE_NOENDBR ""
#define ASM_RET "ret\n"
#define NOKPROBE_SYMBOL(name)
#define EXPORT_SYMBOL_GPL(name)
#define smp_wmb() __sync_synchronize()
#define MSEC_PER_SEC 1000L

static inline unsigned long roundup_pow_of_two(unsigned long n)
{
	return n <= 1 ? 1 : 1ul << (64 - __builtin_clzl(n - 1));
}

/* ---- memory ---- */

#define PAGE_SIZE 4096ul
#define offset_in_page(address) ((unsigned long)(address) & (PAGE_SIZE - 1))
#define GFP_KERNEL 0
#define GFP_NOWAIT 0
#define __GFP_NOWARN 0
#define ZERO_SIZE_PTR ((void *)16)
#define ZERO_OR_NULL_PTR(pointer) ((unsigned long)(pointer) <= (unsigned long)ZERO_SIZE_PTR)
#define KERNEL_ALLOCATION_MAX INT_MAX	/* kvmalloc() of more fails with a warning */

static inline void *kvmalloc(size_t size, int flags)
{
	return !size ? ZERO_SIZE_PTR : size > KERNEL_ALLOCATION_MAX ? NULL : malloc(size);
}

static inline void *kvcalloc(size_t count, size_t size, int flags)
{
	void *memory;

	if (__builtin_mul_overflow(count, size, &size))
		return NULL;
	memory = kvmalloc(size, flags);
	return size && memory ? memset(memory, 0, size) : memory;
}

static inline void *kvmalloc_array(size_t count, size_t size, int flags)
{
	return __builtin_mul_overflow(count, size, &size) ? NULL : kvmalloc(size, flags);
}

static inline void kvfree(const void *memory)
{
	if (!ZERO_OR_NULL_PTR(memory))
		free((void *)memory);
}

#define kvzalloc(size, flags) kvcalloc(1, size, flags)
#define kcalloc(count, size, flags) kvcalloc(count, size, flags)
#define kmalloc(size, flags) kvmalloc(size, flags)
#define kfree(memory) kvfree(memory)

/* 0, or -EFAULT for what is not mapped; the fuzzer says what is. */
long copy_from_kernel_nofault(void *to, const void *from, size_t size);

/* ---- locks ---- */

struct mutex { bool held; };
typedef struct { bool held; } spinlock_t;
typedef spinlock_t raw_spinlock_t;
typedef struct { int unused; } rwlock_t;
typedef struct { int unused; } wait_queue_head_t;
struct work_struct { int unused; };
struct delayed_work { struct work_struct work; };
struct completion { int unused; };
struct kthread_work { int unused; };
struct kthread_worker;
struct hrtimer { int unused; };
typedef void (*kthread_work_func_t)(struct kthread_work *work);
struct workqueue_struct;

#define FUZZ_CHECK(condition) do { if (!(condition)) __builtin_trap(); } while (0)
#define DEFINE_MUTEX(name) struct mutex name
#define mutex_lock(lock) fuzz_lock(lock)
#define mutex_unlock(lock) fuzz_unlock(lock)
#define lockdep_assert_held(lock) FUZZ_CHECK((lock)->held)
#define lockdep_assert_not_held(lock) FUZZ_CHECK(!(lock)->held)

static inline void fuzz_lock(struct mutex *lock)
{
	FUZZ_CHECK(!lock->held);
	lock->held = true;
}

static inline void fuzz_unlock(struct mutex *lock)
{
	FUZZ_CHECK(lock->held);
	lock->held = false;
}

static inline int mutex_trylock(struct mutex *lock)
{
	return lock->held ? 0 : (lock->held = true);
}

#define preempt_disable() do { } while (0)
#define preempt_enable() do { } while (0)
#define rcu_read_lock() do { } while (0)
#define rcu_read_unlock() do { } while (0)
#define cpus_read_lock() do { } while (0)
#define cpus_read_unlock() do { } while (0)
#define cpus_read_trylock() true

/* Every lock is free, so nothing waits. */
#define USEC_PER_MSEC 1000
/* At the first try, since nothing else holds anything here. */
#define read_poll_timeout(op, value, condition, sleep, timeout, sleeps_first, args...) \
	({ (value) = op(args); FUZZ_CHECK(condition); 0; })
#define usleep_range(least, most) FUZZ_CHECK(false)
#define try_wait_for_completion(done) true
#define msleep(ms) FUZZ_CHECK(false)

/* ---- lists and bits ---- */

struct list_head { struct list_head *next, *prev; };

#define LIST_HEAD(name) struct list_head name = { &(name), &(name) }
#define list_entry(pointer, type, member) container_of(pointer, type, member)
#define list_for_each_entry(at, head, member) \
	for (at = list_entry((head)->next, typeof(*at), member); &at->member != (head); \
	     at = list_entry(at->member.next, typeof(*at), member))
#define list_for_each_entry_safe(at, after, head, member) \
	for (at = list_entry((head)->next, typeof(*at), member), after = list_entry(at->member.next, typeof(*at), member); \
	     &at->member != (head); at = after, after = list_entry(after->member.next, typeof(*at), member))

static inline void INIT_LIST_HEAD(struct list_head *head)
{
	head->next = head->prev = head;
}

static inline void list_add(struct list_head *row, struct list_head *head)
{
	row->next = head->next;
	row->prev = head;
	head->next->prev = row;
	head->next = row;
}

static inline void list_del(struct list_head *row)
{
	row->next->prev = row->prev;
	row->prev->next = row->next;
}

#define DECLARE_BITMAP(name, bits) unsigned long name[((bits) + 63) / 64]

static inline unsigned long find_first_zero_bit(const unsigned long *map, unsigned long bits)
{
	unsigned long i = 0;

	while (i < bits && map[i / 64] >> (i % 64) & 1)
		i++;
	return i;
}

#define test_and_set_bit_lock(bit, word) ({ bool was_set = *(word) >> (bit) & 1; *(word) |= 1ul << (bit); was_set; })
#define clear_bit_unlock(bit, word) (*(word) &= ~(1ul << (bit)))
#define set_bit(bit, map) ((map)[(bit) / 64] |= 1ul << ((bit) % 64))
#define clear_bit(bit, map) ((map)[(bit) / 64] &= ~(1ul << ((bit) % 64)))

/* ---- text ---- */

#define islower(c) ((unsigned char)(c) - 'a' < 26u)	/* of ASCII; the kernel's own knows Latin-1, too */
#define isdigit(c) ((unsigned char)(c) - '0' < 10u)
#define isascii(c) ((unsigned char)(c) < 128)
#define isgraph(c) ((unsigned char)(c) - '!' < 94u)	/* of ASCII */
#define KSYM_NAME_LEN 512
#define KSYM_SYMBOL_LEN (KSYM_NAME_LEN + 120)
#define pr_err(format, ...) fuzz_print(format, ##__VA_ARGS__)
#define pr_warn(format, ...) fuzz_print(format, ##__VA_ARGS__)
#define pr_info(format, ...) fuzz_print(format, ##__VA_ARGS__)
#define vsnprintf fuzz_vsnprintf
#define snprintf fuzz_snprintf

/* fuzz_kernel.c */
int fuzz_vsnprintf(char *to, size_t size, const char *format, va_list args);
int fuzz_snprintf(char *to, size_t size, const char *format, ...);
void fuzz_print(const char *format, ...);
ssize_t strscpy(char *to, const char *from, size_t size);
char *strreplace(char *text, char old, char new);
char *strim(char *text);
char *skip_spaces(const char *text);
int match_string(const char *const *words, size_t count, const char *text);
int kstrtouint(const char *text, unsigned int base, unsigned int *number);
unsigned int full_name_hash(const void *salt, const char *name, unsigned int length);

#define strstarts(text, prefix) (!strncmp(text, prefix, strlen(prefix)))

/* ---- ELF notes ---- */

typedef struct { u32 n_namesz, n_descsz, n_type; } Elf64_Nhdr;

/* ---- tasks ---- */

#define TASK_COMM_LEN 16

struct pt_regs { unsigned long ip; };
struct task_struct { struct { unsigned long sp; } thread; };
struct cred;
struct stack_trace_walk;

#define task_pt_regs(task) ((struct pt_regs *)(task)->thread.sp)
#define user_mode(regs) (!(regs)->ip)
#define CAP_SYS_MODULE 16
#define capable(capability) true

/* ---- modules ---- */

#define MODULE_NAME_LEN 56
enum module_state { MODULE_STATE_LIVE, MODULE_STATE_COMING, MODULE_STATE_GOING, MODULE_STATE_UNFORMED };
enum mod_mem_type { MOD_TEXT, MOD_DATA, MOD_RODATA, MOD_INIT_TEXT, MOD_MEM_NUM_TYPES };

struct jump_entry;

struct module_memory { void *base; unsigned int size; };

struct module {
	enum module_state state;
	char name[MODULE_NAME_LEN];
	struct module_memory mem[MOD_MEM_NUM_TYPES];
	void *percpu;
	unsigned int percpu_size;
	struct jump_entry *jump_entries;
	unsigned int num_jump_entries;
	bool async_probe_requested;
	int references;
};

#define THIS_MODULE ((struct module *)NULL)

static inline bool within_module_mem_type(unsigned long address, const struct module *module, enum mod_mem_type type)
{
	return address - (unsigned long)module->mem[type].base < module->mem[type].size;
}

static inline bool within_module_core(unsigned long address, const struct module *module)
{
	return within_module_mem_type(address, module, MOD_TEXT) || within_module_mem_type(address, module, MOD_DATA) ||
	       within_module_mem_type(address, module, MOD_RODATA);
}

static inline bool try_module_get(struct module *module)
{
	return ++module->references > 0;
}

static inline void module_put(struct module *module)
{
	FUZZ_CHECK(module->references-- > 0);
}

#define __module_get(module) ((void)try_module_get(module))
#define async_synchronize_full() do { } while (0)

/* ---- notifiers ---- */

struct notifier_block { int (*notifier_call)(struct notifier_block *, unsigned long, void *); int priority; };

#define NOTIFY_DONE 0
#define NOTIFY_STOP 0x8001
#define notifier_to_errno(value) ((value) > 1 ? 1 - (value) : 0)
#define DIE_INT3 1

struct die_args { struct pt_regs *regs; };

#define register_die_notifier(block) ((void)(block), 0)
#define unregister_die_notifier(block) ((void)(block))

/* ---- sysfs ---- */

struct kobject { const char *name; };
struct attribute { const char *name; };
struct kobj_attribute { struct attribute attr; };
struct kernfs_node;

#define kobject_name(kobj) ((kobj)->name)
int kobject_rename(struct kobject *kobj, const char *name);
struct kernfs_node *sysfs_break_active_protection(struct kobject *kobj, const struct attribute *attribute);
void sysfs_unbreak_active_protection(struct kernfs_node *node);

/* ---- static calls: direct ones of what the fuzzer defines ---- */

struct static_call_key { int unused; };

#define DECLARE_STATIC_CALL(name, function) static inline __attribute__((unused)) typeof(function) *fuzz_##name(void) { return function; } \
	extern struct static_call_key name##_key
#define DEFINE_STATIC_CALL_NULL(name, function) struct static_call_key name##_key
#define STATIC_CALL_KEY(name) name##_key
#define STATIC_CALL_TRAMP_ADDR(name) NULL
#define static_call(name) fuzz_##name()
#define static_call_update(name, function) ((void)(function))
#define __static_call_update(key, trampoline, function) ((void)(key), (void)(trampoline), (void)(function))

/* ---- text of the kernel ---- */

#define INT3_INSN_OPCODE 0xcc
#define INT3_INSN_SIZE 1
#define CALL_INSN_OPCODE 0xe8
#define CALL_INSN_SIZE 5
#define JMP32_INSN_OPCODE 0xe9
#define JMP8_INSN_OPCODE 0xeb
#define MCOUNT_INSN_SIZE 5
#define X86_FEATURE_IBT 1
extern bool fuzz_tracks_branches;
#define boot_cpu_has(feature) fuzz_tracks_branches	/* no other one decides anything here */
#define cpuid(leaf, a, b, c, d) (*(a) = *(b) = *(c) = *(d) = 0)	/* no processor of an emulator */
#define int3_emulate_jmp(regs, target) ((regs)->ip = (target))
#define sync_core() do { } while (0)
void text_poke_bp(void *where, const void *bytes, size_t size, const void *meanwhile);
void *text_poke_kgdb(void *where, const void *bytes, size_t size);

struct static_key { unsigned long type; };
struct jump_entry { s32 code, target; long key; };

#define JUMP_TYPE_TRUE 1ul

static inline unsigned long jump_entry_code(const struct jump_entry *entry)
{
	return (unsigned long)&entry->code + entry->code;
}

static inline unsigned long jump_entry_target(const struct jump_entry *entry)
{
	return (unsigned long)&entry->target + entry->target;
}

static inline struct static_key *jump_entry_key(const struct jump_entry *entry)
{
	return (struct static_key *)((unsigned long)&entry->key + (entry->key & ~3l));
}

#define jump_entry_is_branch(entry) ((entry)->key & 1)
#define static_key_enabled(key) ((key)->type & JUMP_TYPE_TRUE)

/* ---- kprobes and ftrace ---- */

struct kprobe { const char *symbol_name; unsigned int flags; void *addr; };

#define KPROBE_FLAG_DISABLED 2
#define kprobe_ftrace(probe) false
int register_kprobe(struct kprobe *probe);
void unregister_kprobe(struct kprobe *probe);

#define FTRACE_FL_ENABLED (1ul << 31)
#define FTRACE_FL_IPMODIFY (1ul << 28)

struct dyn_ftrace { unsigned long ip, flags; };
struct ftrace_rec_iter;

/* ---- what compat.h lists, by the kernel's own types ---- */

struct module *__module_address(unsigned long address);
int arch_stack_walk_reliable(bool (*consume)(void *, unsigned long), void *cookie, struct task_struct *task);
struct module *find_module(const char *name);
struct ftrace_rec_iter *ftrace_rec_iter_start(void);
struct ftrace_rec_iter *ftrace_rec_iter_next(struct ftrace_rec_iter *at);
struct dyn_ftrace *ftrace_rec_iter_record(struct ftrace_rec_iter *at);
struct kprobe *get_kprobe(void *address);
struct task_struct *idle_task(int cpu);
int kallsyms_lookup_size_offset(unsigned long address, unsigned long *size, unsigned long *offset);
int kallsyms_on_each_symbol(int (*see)(void *data, const char *name, unsigned long address), void *data);
bool kallsyms_show_value(const struct cred *cred);
int kernel_text_address(unsigned long address);
int module_kallsyms_on_each_symbol(const char *module, int (*see)(void *data, const char *name, unsigned long address),
				   void *data);
void put_task_stack(struct task_struct *task);
struct cpu_stop_work;
bool stop_one_cpu_nowait(unsigned int cpu, int (*run)(void *), void *data, struct cpu_stop_work *work);
int task_call_func(struct task_struct *task, int (*call)(struct task_struct *task, void *data), void *data);
struct callback_head *task_work_cancel_match(struct task_struct *task, bool (*match)(struct callback_head *work, void *data),
					     void *data);
int wake_up_state(struct task_struct *task, unsigned int state);
unsigned long kallsyms_lookup_name(const char *name);
extern struct jump_entry __start___jump_table[], __stop___jump_table[];
extern struct mutex text_mutex;
extern struct tracepoint __tracepoint_sched_switch;
extern rwlock_t tasklist_lock;
extern int nr_threads;
extern unsigned long total_forks;

static inline u64 ktime_get_ns(void)
{
	return 0;
}

#define sort(base, count, size, compare, swap) qsort(base, count, size, compare)

#endif
