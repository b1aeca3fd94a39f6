// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What an update module holds: its descriptor, tables and match programs are
 * checked, matched against a kernel, and its fields are written and taken back,
 * as when the helper module is told of a module that comes (load.c, admit()).
 *
 * Input: u16 where in the module its descriptor is; u16 size of its text; u8
 * number of pointers, each u16 place in the module and u16 what it points to;
 * u8 number of the kernel's symbols, each u16 address, u8 size of its name and
 * that; u16 size of the kernel's memory, and that; the module, its text first.
 */
#define FUZZ_UPDATE
#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include "internal.h"
#include "input.h"
#include "nothing.h"

/* Where the module lies, text and data apart from each other, and the kernel, which is at no address of this process. */
#define TEXT 0x40001000ul
#define DATA 0x40101000ul
#define ARENA 0x100000ul
#define KERNEL 0x41000000ul
#define KERNEL_DATA (KERNEL + 0x200)
#define OTHER_MODULE (KERNEL + 0x400)
#define OTHER_MODULE_SIZE 0x100
#define MAX_NAMES 255

struct name { u32 address; char text[256]; };

static struct module module, other_module;
static struct name names[MAX_NAMES];
static unsigned int n_names;
static u8 *kernel;
static size_t kernel_size;

struct mutex ftrace_lock, kprobe_mutex, text_mutex;
bool uniproc_patched;
struct jump_entry __start___jump_table[1], __stop___jump_table[1];
const char __start_notes, __stop_notes;
char __noinstr_text_start[1];	/* code of both kinds that there is none of */

/* ---- the kernel's answers ---- */

long copy_from_kernel_nofault(void *to, const void *from, size_t size)
{
	unsigned long at = (unsigned long)from;

	if (at >= KERNEL && at - KERNEL <= kernel_size && size <= kernel_size - (at - KERNEL))
		memcpy(to, kernel + (at - KERNEL), size);
	else if (size && within_module_core(at, &module) && within_module_core(at + size - 1, &module))
		memcpy(to, from, size);
	else
		return -EFAULT;
	return 0;
}

void *text_poke_kgdb(void *where, const void *bytes, size_t size)
{
	FUZZ_CHECK(text_mutex.held);
	return memcpy(where, bytes, size);	/* ASan knows where the module ends */
}

struct module *__module_address(unsigned long address)
{
	return within_module_core(address, &module) ? &module :
	       within_module_core(address, &other_module) ? &other_module : NULL;
}

struct module *find_module(const char *name)
{
	return strcmp(name, other_module.name) ? NULL : &other_module;
}

static int each_symbol(bool of_modules, int (*see)(void *data, const char *name, unsigned long address), void *data)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < n_names && !err; i++)
		if ((__module_address(KERNEL + names[i].address) != NULL) == of_modules)
			err = see(data, names[i].text, KERNEL + names[i].address);
	return err;
}

int kallsyms_on_each_symbol(int (*see)(void *data, const char *name, unsigned long address), void *data)
{
	return each_symbol(false, see, data);
}

int module_kallsyms_on_each_symbol(const char *name, int (*see)(void *data, const char *name, unsigned long address),
				   void *data)
{
	return each_symbol(true, see, data);
}

int kallsyms_lookup_size_offset(unsigned long address, unsigned long *size, unsigned long *offset)
{
	unsigned long best = 0;
	unsigned int i;

	for (i = 0; i < n_names; i++)
		if (KERNEL + names[i].address <= address)
			best = max(best, KERNEL + names[i].address);
	*offset = address - best;
	*size = *offset + 1;
	return best != 0;
}

int kernel_text_address(unsigned long address)
{
	return (address >= KERNEL && address < KERNEL_DATA) || within_module_mem_type(address, &other_module, MOD_TEXT);
}

/* No function is traced, and no kprobe is there. */
struct ftrace_rec_iter *ftrace_rec_iter_start(void)
{
	return NULL;
}

NEVER(struct ftrace_rec_iter *ftrace_rec_iter_next(struct ftrace_rec_iter *at))
NEVER(struct dyn_ftrace *ftrace_rec_iter_record(struct ftrace_rec_iter *at))

struct kprobe *get_kprobe(void *address)
{
	return NULL;
}

/* No breakpoint is handled, and no processor is idle. */
bool cpu_in_idle(unsigned long address)
{
	return false;
}

bool within_kprobe_blacklist(unsigned long address)
{
	return false;
}

NEVER(void jump_label_lock(void))
NEVER(void jump_label_unlock(void))
NEVER(int kobject_rename(struct kobject *kobj, const char *name))

/* Of constants.c: there is no second mapping here, since no static branch of the kernel's is among the input. */
NEVER(void *rbl_map_constant(const void *where, u32 size))
NEVER(bool rbl_is_in_module(const void *where))

void rbl_unmap_constant(void *alias)
{
	FUZZ_CHECK(!alias);
}

/* ---- the module ---- */

static void map(unsigned long start)
{
	void *arena = (void *)(start - PAGE_SIZE);

	if (mmap(arena, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != arena)
		abort();
}

static void place(enum mod_mem_type type, unsigned long start, const u8 *bytes, size_t size)
{
	static bool mapped[MOD_MEM_NUM_TYPES];

	if (!mapped[type])
		map(start);
	mapped[type] = true;
	ASAN_UNPOISON_MEMORY_REGION((void *)(start - PAGE_SIZE), ARENA);
	memcpy((void *)start, bytes, size);
	ASAN_POISON_MEMORY_REGION((void *)(start - PAGE_SIZE), PAGE_SIZE);
	ASAN_POISON_MEMORY_REGION((void *)(start + size), ARENA - PAGE_SIZE - size);
	module.mem[type] = (struct module_memory){ (void *)start, (unsigned int)size };
}

static unsigned long address_of(size_t offset, size_t text_size)
{
	return offset < text_size ? TEXT + offset : DATA + (offset - text_size);
}

/* What the module loader does: pointers, and the checksums that the programs have. */
static void relocate(u8 *image, size_t size, size_t text_size, const u16 (*pointers)[2], unsigned int n_pointers)
{
	size_t i;

	for (i = 0; i < n_pointers; i++) {
		u64 value = address_of(pointers[i][1], text_size);

		if (pointers[i][1] == 0xffff)
			value = (unsigned long)&module;
		if (pointers[i][0] + sizeof(value) <= size)
			memcpy(image + pointers[i][0], &value, sizeof(value));
	}
	for (i = 0; i + sizeof(struct rbl_header) <= size; i++) {
		u32 length;

		memcpy(&length, image + i + offsetof(struct rbl_header, size), sizeof(length));
		if (!memcmp(image + i, RBL_MAGIC, 8) && length <= size - i)
			seal(image + i, length);
	}
}

/* ---- an update that comes and goes ---- */

static bool has_branches(const struct rbl_update *update)
{
	u32 i;

	/* The kernel follows the keys of static branches by itself, in any module. */
	for (i = 0; i < update->n_objects; i++)
		if (update->objects[i].n_jump_entries)
			return true;
	return false;
}

static void come_and_go(struct rbl_record *record)
{
	if (rbl_check_update(record) || has_branches(record->update))
		return;
	if (!rbl_parts_new(record) && !rbl_parts_resolve(record) && !rbl_match_again(record))
		fuzz_accepted++;
	rbl_parts_free(record);
}

static void admit(size_t descriptor, size_t text_size, const u8 *image, size_t size)
{
	struct rbl_record *record = calloc(1, sizeof(*record));

	record->module = &module;
	record->update = (const void *)address_of(descriptor, text_size);
	mutex_lock(&rbl_lock);
	come_and_go(record);
	mutex_unlock(&rbl_lock);
	/* The module is as it was, every other one is free to go, and all locks are. */
	FUZZ_CHECK(!memcmp((void *)TEXT, image, text_size) && !memcmp((void *)DATA, image + text_size, size - text_size));
	FUZZ_CHECK(!other_module.references && !record->shown.held && !text_mutex.held && !ftrace_lock.held);
	FUZZ_CHECK(strlen(record->abort.facts.text) < RBL_FACTS_SIZE);
	free(record);
}

/* GNU build ID 0123...: what the seeds are built for. */
static const struct { Elf64_Nhdr header; char name[4]; u8 id[20]; } note = {
	{ 4, 20, 3 }, "GNU", { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20 },
};

static void prepare(void)
{
	rbl_kernel_data = (struct rbl_kernel_data){
		.__entry_text_start = &__noinstr_text_start,
		.__entry_text_end = &__noinstr_text_start,
		.__noinstr_text_start = &__noinstr_text_start,
		.__noinstr_text_end = &__noinstr_text_start,
		.__start___jump_table = &__start___jump_table,
		.__stop___jump_table = &__start___jump_table,	/* no static branch is there */
		.__start_notes = (const char *)&note,
		.__stop_notes = (const char *)(&note + 1),
		.ftrace_lock = &ftrace_lock,
		.kprobe_mutex = &kprobe_mutex,
		.text_mutex = &text_mutex,
		.uniproc_patched = &uniproc_patched,
	};
	module = (struct module){ .state = MODULE_STATE_COMING, .name = "rbl_fuzz_12345678" };
	other_module = (struct module){ .state = MODULE_STATE_LIVE, .name = "kvm_amd" };
	other_module.mem[MOD_TEXT] = (struct module_memory){ (void *)OTHER_MODULE, OTHER_MODULE_SIZE };
	other_module.mem[MOD_DATA] = (struct module_memory){ (void *)(OTHER_MODULE + OTHER_MODULE_SIZE), OTHER_MODULE_SIZE };
}

bool fuzz_tracks_branches;

static void offer(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	size_t descriptor = take(&input, 2), text_size = take(&input, 2);
	u16 pointers[255][2];
	unsigned int i, n_pointers = (unsigned int)take(&input, 1);
	u8 *image;

	prepare();
	for (i = 0; i < n_pointers; i++) {
		pointers[i][0] = (u16)take(&input, 2);
		pointers[i][1] = (u16)take(&input, 2);
	}
	n_names = (unsigned int)take(&input, 1);
	for (i = 0; i < n_names; i++) {
		size_t length;
		u8 *text;

		names[i].address = (u32)take(&input, 2);
		length = take(&input, 1);
		text = take_bytes(&input, &length);
		memcpy(names[i].text, text, length);
		names[i].text[length] = '\0';
		free(text);
	}
	kernel_size = take(&input, 2);
	kernel = take_bytes(&input, &kernel_size);
	size = min(input.left, 0xfff0ul);
	image = take_bytes(&input, &size);
	text_size = min(text_size, size);
	relocate(image, size, text_size, pointers, n_pointers);
	place(MOD_TEXT, TEXT, image, text_size);
	place(MOD_DATA, DATA, image + text_size, size - text_size);
	admit(descriptor, text_size, image, size);
	free(image);
	free(kernel);
}

/* Once for each kind of processor: where branches are tracked, more is refused. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_tracks_branches = false;
	offer(data, size);
	fuzz_tracks_branches = true;
	offer(data, size);
	return 0;
}
