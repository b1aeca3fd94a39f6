// SPDX-License-Identifier: GPL-2.0-or-later
/* Names and addresses: the kernel's unexported symbols, its build ID, and the names that a match program wants. */
#define pr_fmt(fmt) "rebootless: " fmt

#include <linux/ctype.h>
#include <linux/elf.h>
#include <linux/hashtable.h>
#include <linux/mm.h>
#include <linux/stringhash.h>

#include "internal.h"

#define MAX_HITS (1u << 20)	/* addresses that a program's names may have in all */
#define NOTE_GNU_BUILD_ID 3	/* NT_GNU_BUILD_ID of the System V ABI's GNU notes */

/* ---- the kernel's own ---- */

struct rbl_kernel_data rbl_kernel_data;

#define X(name) DEFINE_STATIC_CALL_NULL(rbl_##name, name);
RBL_KERNEL_FUNCTIONS(X)
X(kallsyms_lookup_name)
#undef X

static const struct {
	const char *name;
	struct static_call_key *key;
	void *trampoline;
} functions[] = {
#define X(name) { #name, &STATIC_CALL_KEY(rbl_##name), STATIC_CALL_TRAMP_ADDR(rbl_##name) },
	RBL_KERNEL_FUNCTIONS(X)
#undef X
};

static const struct {
	const char *name;
	void *pointer;
} data[] = {
#define X(name) { #name, &rbl_kernel_data.name },
	RBL_KERNEL_DATA(X)
#undef X
};

/*
 * kallsyms_lookup_name() has not been exported since 5.7, but a kprobe may
 * name it, and then holds its address.
 */
static int find_lookup_name(void)
{
	/* Not armed: with kernel.ftrace_enabled=0 the kernel would lose count of what it has armed, and trace no more. */
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name", .flags = KPROBE_FLAG_DISABLED };
	int err = register_kprobe(&probe);

	if (err) {
		pr_err("%s: this kernel lets no kprobe find kallsyms_lookup_name (%d)\n",
		       rbl_code_name(RBL_UNSUPPORTED_KERNEL), err);
		return err;
	}
	static_call_update(rbl_kallsyms_lookup_name, (typeof(kallsyms_lookup_name) *)probe.addr);
	unregister_kprobe(&probe);
	return 0;
}

static void *find(const char *name)
{
	void *address = (void *)rbl_kernel(kallsyms_lookup_name)(name);

	if (!address)
		pr_err("%s: this kernel has no symbol %s\n", rbl_code_name(RBL_UNSUPPORTED_KERNEL), name);
	return address;
}

int rbl_symbols_init(void)
{
	int i, err = find_lookup_name();
	void *address;

	for (i = 0; !err && i < ARRAY_SIZE(functions); i++) {
		address = find(functions[i].name);
		if (address)
			__static_call_update(functions[i].key, functions[i].trampoline, address);
		else
			err = -EOPNOTSUPP;
	}
	for (i = 0; !err && i < ARRAY_SIZE(data); i++) {
		address = find(data[i].name);
		*(void **)data[i].pointer = address;
		if (!address)
			err = -EOPNOTSUPP;
	}
	return err;
}

/* The GNU build ID in the running kernel's own notes (the same as /sys/kernel/notes); NULL if it has none. */
const u8 *rbl_build_id(u32 *size)
{
	const char *at = rbl_kernel_data.__start_notes, *end = rbl_kernel_data.__stop_notes;

	while (end - at >= (long)sizeof(Elf64_Nhdr)) {
		const Elf64_Nhdr *note = (const void *)at;
		const char *name = at + sizeof(*note);
		const char *content = name + ALIGN(note->n_namesz, 4);

		if (note->n_namesz > end - name || note->n_descsz > end - content)
			break;
		if (note->n_type == NOTE_GNU_BUILD_ID && note->n_namesz == 4 && !memcmp(name, "GNU", 4)) {
			*size = note->n_descsz;
			return (const u8 *)content;
		}
		at = content + ALIGN(note->n_descsz, 4);
	}
	*size = 0;
	return NULL;
}

/* ---- a match program's ---- */

struct hit {
	u32 symbol;
	u64 address;
};

struct collection {
	const void *program;
	const struct rbl_symbol *symbols;
	u32 n_symbols;
	u32 mask;		/* number of chains - 1 */
	u32 *chains;		/* first symbol of each chain, RBL_NONE if empty */
	u32 *next;		/* of each symbol, in its chain */
	struct hit *hits;
	u32 n_hits, room;
	bool modules;		/* the pass that runs is over loadable modules */
};

static u32 chain_of(const struct collection *collection, const char *name)
{
	return full_name_hash(NULL, name, strlen(name)) & collection->mask;
}

static int add_hit(struct collection *collection, u32 symbol, unsigned long address)
{
	if (collection->n_hits == collection->room) {
		u32 room = collection->room ? 2 * collection->room : 1024;
		struct hit *hits;

		if (room > MAX_HITS)
			return -E2BIG;
		hits = kvmalloc_array(room, sizeof(*hits), GFP_KERNEL);
		if (!hits)
			return -ENOMEM;
		if (collection->n_hits)
			memcpy(hits, collection->hits, collection->n_hits * sizeof(*hits));
		kvfree(collection->hits);
		collection->hits = hits;
		collection->room = room;
	}
	collection->hits[collection->n_hits++] = (struct hit){ symbol, address };
	return 0;
}

/* Module names are the same with '-' and '_'. */
bool rbl_same_module(const char *a, const char *b)
{
	for (; *a && *b; a++, b++)
		if (*a != *b && !((*a == '-' || *a == '_') && (*b == '-' || *b == '_')))
			return false;
	return *a == *b;
}

/*
 * A name that others have given, of a task, a module or a symbol, as what we show
 * and log may hold it: it may be anything, and "a\nfunction: b" would pass for two
 * lines of an abort record.  So names are taken over by this alone.
 */
void rbl_printable(char *to, const char *name, u32 size)
{
	u32 i;

	for (i = 0; i + 1 < size && name[i]; i++)
		to[i] = isascii(name[i]) && isgraph(name[i]) ? name[i] : '_';
	to[i] = '\0';
}

/* The name of the function at an address, "-" if it has none: no address is ever shown in its place. */
void rbl_name_of(unsigned long address, char *name, u32 size)
{
	char symbol[KSYM_SYMBOL_LEN];

	snprintf(symbol, sizeof(symbol), "%ps", (void *)address);
	symbol[strcspn(symbol, " ")] = '\0';	/* "function [module]" */
	rbl_printable(name, strstarts(symbol, "0x") || !address ? "-" : symbol, size);
}

static bool is_per_cpu(const struct module *module, unsigned long address)
{
#ifdef CONFIG_SMP
	unsigned long start = (unsigned long)module->percpu;

	return module->percpu && address >= start && address - start < module->percpu_size;
#else
	return false;
#endif
}

/* Whether a symbol of the pass that runs is one of `object`, as programs name it. */
static bool belongs(const struct collection *collection, const char *object, unsigned long address)
{
	const struct module *module;
	bool answer;

	if (!collection->modules)
		return !*object || !strcmp(object, "vmlinux");
	preempt_disable();	/* __module_address() walks a tree under RCU-sched */
	module = rbl_kernel(__module_address)(address);
	/* A per-CPU variable lies at no address of its module: kallsyms has its place in the area of each CPU. */
	if (!module && *object) {
		module = rbl_kernel(find_module)(object);
		if (module && !is_per_cpu(module, address))
			module = NULL;
	}
	/* Replacement code has the names of what it replaces, and must never be taken for it. */
	if (!module || module == THIS_MODULE || strstarts(module->name, RBL_MODULE_PREFIX))
		answer = false;
	else
		answer = !*object || rbl_same_module(object, module->name);
	preempt_enable();
	return answer;
}

static int collect(RBL_EACH_SYMBOL_ARGS)
{
	struct collection *collection = data;
	u32 i = collection->chains[chain_of(collection, name)];
	int err = 0;

	for (; i != RBL_NONE && !err; i = collection->next[i]) {
		const struct rbl_symbol *symbol = collection->symbols + i;

		if (!strcmp(name, rbl_string(collection->program, symbol->name)) &&
		    belongs(collection, rbl_string(collection->program, symbol->object), address))
			err = add_hit(collection, i, address);
	}
	return err;
}

static void chain_names(struct collection *collection)
{
	u32 i;

	memset(collection->chains, 0xff, (collection->mask + 1) * sizeof(u32));
	for (i = 0; i < collection->n_symbols; i++) {
		const char *name = rbl_string(collection->program, collection->symbols[i].name);
		u32 chain = chain_of(collection, name);

		if (!*name || collection->symbols[i].kind == RBL_SYMBOL_LITERAL)
			continue;
		collection->next[i] = collection->chains[chain];
		collection->chains[chain] = i;
	}
}

static int sort_hits(const struct collection *collection, struct rbl_lookup *lookup)
{
	u32 i, *first;

	first = kvcalloc(collection->n_symbols + 2, sizeof(*first), GFP_KERNEL);
	lookup->first = first;
	lookup->addresses = kvcalloc(collection->n_hits + 1, sizeof(u64), GFP_KERNEL);
	if (!first || !lookup->addresses)
		return -ENOMEM;
	/* A counting sort: first[i + 2] counts, then first[i + 1] is where the next address of i goes. */
	for (i = 0; i < collection->n_hits; i++)
		first[collection->hits[i].symbol + 2]++;
	for (i = 2; i < collection->n_symbols + 2; i++)
		first[i] += first[i - 1];
	for (i = 0; i < collection->n_hits; i++)
		lookup->addresses[first[collection->hits[i].symbol + 1]++] = collection->hits[i].address;
	return 0;
}

/*
 * Looks up all names of a checked program in one pass over the symbols of the
 * kernel and one over those of its modules.  0 or a negative errno.
 */
int rbl_lookup_all(const void *program, struct rbl_lookup *lookup)
{
	const struct rbl_header *header = program;
	struct collection collection = {
		.program = program,
		.symbols = program + header->symbols.offset,
		.n_symbols = header->symbols.count,
		.mask = roundup_pow_of_two(2 * min(header->symbols.count, 1u << 20) + 1) - 1,
	};
	int err = -ENOMEM;

	collection.chains = kvmalloc_array(collection.mask + 1, sizeof(u32), GFP_KERNEL);
	collection.next = kvmalloc_array(collection.n_symbols + 1, sizeof(u32), GFP_KERNEL);
	if (collection.chains && collection.next) {
		chain_names(&collection);
		err = rbl_kernel(kallsyms_on_each_symbol)(collect, &collection);
		if (!err) {
			collection.modules = true;
			err = rbl_each_module_symbol(collect, &collection);
		}
		if (!err)
			err = sort_hits(&collection, lookup);
	}
	kvfree(collection.hits);
	kvfree(collection.next);
	kvfree(collection.chains);
	return err;
}

void rbl_lookup_free(struct rbl_lookup *lookup)
{
	kvfree(lookup->first);
	kvfree(lookup->addresses);
	memset(lookup, 0, sizeof(*lookup));
}
