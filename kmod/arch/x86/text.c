// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Writing jumps over running kernel text on x86-64.
 *
 * All CPUs are stopped with interrupts off, but an NMI (or a machine check)
 * can still run any code, a function that is being written included.  So
 * each jump is written as the kernel's own text_poke_bp() does it: first a
 * breakpoint over its first byte, then the bytes behind it, then the first
 * byte; each CPU synchronises after each phase, out of any NMI.  Code that meets a
 * breakpoint meanwhile is sent to where the jump leads.  text_poke_bp() itself cannot be
 * used: it interrupts the other CPUs, and they would not answer.  Nor can the handler
 * that the kernel has for it, which it asks first: what that looks in is static.  Ours is
 * asked later, so no function may be written that is run until then (sites.c refuses it).
 */
#include <linux/kdebug.h>
#include <linux/linkage.h>
#include <linux/mm.h>
#include <linux/notifier.h>
#include <linux/objtool.h>
#include <linux/ptrace.h>
#include <linux/uaccess.h>
#include <asm/sync_core.h>
#include <asm/text-patching.h>

#include "../../internal.h"

/* x86_nops[] */
#define NOP5 0x0f, 0x1f, 0x44, 0x00, 0x00

static const u8 nop2[] = { 0x66, 0x90 }, nop5[] = { NOP5 };
const u8 rbl_arch_untraced[MCOUNT_INSN_SIZE] = { NOP5 };

asm(".pushsection .text, \"ax\"\n"
    "	.globl rbl_stand_ins\n"
    "	.type rbl_stand_ins, @function\n"
    "rbl_stand_ins:\n"
    ANNOTATE_NOENDBR	/* written to, and never jumped to */
    "	.rept " __stringify(RBL_STAND_INS) "\n"
    "	.byte " __stringify(NOP5) "\n"
    "	.endr\n"
    "	" ASM_RET
    "	.size rbl_stand_ins, . - rbl_stand_ins\n"
    ".popsection");

/* The jumps that are being written. */
static const struct rbl_step *in_progress;
static u32 in_progress_count;

static int on_breakpoint(struct notifier_block *block, unsigned long event, void *data)
{
	const struct die_args *args = data;
	const struct rbl_step *steps = READ_ONCE(in_progress);
	u32 i;

	if (event != DIE_INT3 || !steps || user_mode(args->regs))
		return NOTIFY_DONE;
	for (i = 0; i < in_progress_count; i++) {
		if (args->regs->ip != (unsigned long)steps[i].where + INT3_INSN_SIZE)
			continue;
		/* Old and replacement code take the same arguments and keep the same stack, so a jump is enough. */
		int3_emulate_jmp(args->regs, steps[i].target);
		return NOTIFY_STOP;
	}
	return NOTIFY_DONE;
}
NOKPROBE_SYMBOL(on_breakpoint);

static struct notifier_block breakpoint_notifier = {
	.notifier_call = on_breakpoint,
	.priority = INT_MAX - 1,	/* behind kprobes, before debuggers */
};

int rbl_arch_init(void)
{
	return register_die_notifier(&breakpoint_notifier);
}

void rbl_arch_exit(void)
{
	unregister_die_notifier(&breakpoint_notifier);
}

/*
 * Page by page, as text_poke() maps them.  Not by text_poke() itself: that
 * asserts that the running task holds text_mutex, and while all CPUs are
 * stopped, their stopper threads run, and the task that stopped them holds it.
 */
void rbl_arch_poke(void *where, const void *bytes, u32 size)
{
	while (size) {
		u32 part = min_t(u32, size, PAGE_SIZE - offset_in_page(where));

		rbl_kernel(text_poke_kgdb)(where, bytes, part);
		where += part;
		bytes += part;
		size -= part;
	}
}

/* -ERANGE: they are more than 2 GiB apart. */
int rbl_arch_make_jump(struct rbl_write *write)
{
	long distance = (long)write->target - ((long)write->where + RBL_JUMP_SIZE);
	s32 field = distance;

	if (field != distance)
		return -ERANGE;
	memset(write->jump, INT3_INSN_OPCODE, sizeof(write->jump));
	write->jump[0] = JMP32_INSN_OPCODE;
	memcpy(write->jump + 1, &field, sizeof(field));
	return 0;
}

void rbl_arch_write_step(const struct rbl_step *steps, u32 count, bool forward, int phase)
{
	static const u8 breakpoint = INT3_INSN_OPCODE;
	u32 i;

	if (phase == 0) {
		in_progress_count = count;
		smp_wmb();	/* an NMI that sees the list sees its length */
		WRITE_ONCE(in_progress, steps);
	}
	for (i = 0; i < count; i++) {
		const u8 *code = forward ? steps[i].after : steps[i].before;
		u8 *where = steps[i].where;

		if (phase == 0)
			rbl_kernel(text_poke_kgdb)(where, &breakpoint, 1);
		else if (phase == 1)
			rbl_kernel(text_poke_kgdb)(where + 1, code + 1, steps[i].size - 1);
		else
			rbl_kernel(text_poke_kgdb)(where, code, 1);
	}
}

void rbl_arch_write_end(void)
{
	WRITE_ONCE(in_progress, NULL);
}

void rbl_arch_sync(void)
{
	sync_core();
}

/*
 * The field of call rel32, jmp rel32 or jcc rel32.  A field may be the first of
 * its module's memory, as a table of pointers in .data is, and nothing need be
 * mapped before it.
 */
bool rbl_arch_is_branch(const void *field)
{
	u8 escape, opcode;

	if (copy_from_kernel_nofault(&opcode, field - 1, 1))
		return false;
	if (opcode == CALL_INSN_OPCODE || opcode == JMP32_INSN_OPCODE)
		return true;
	return (opcode & 0xf0) == 0x80 && !copy_from_kernel_nofault(&escape, field - 2, 1) && escape == 0x0f;
}

/* call rel32, or call through a register or memory (FF /2) */
bool rbl_arch_follows_call(unsigned long address)
{
	u8 code[7];	/* the longest: opcode, ModRM, SIB and a displacement of 32 bits */
	const u8 *end = code + sizeof(code);
	int size;

	if (copy_from_kernel_nofault(code, (void *)(address - sizeof(code)), sizeof(code)))
		return false;
	if (end[-CALL_INSN_SIZE] == CALL_INSN_OPCODE)
		return true;
	for (size = 2; size <= (int)sizeof(code); size++)
		if (end[-size] == 0xff && (end[1 - size] & 0x38) == 0x10)
			return true;
	return false;
}

/* gcc gives endbr64 to what pointers may lead to; the kernel overwrites it where none does (apply_seal_endbr()). */
bool rbl_arch_stops_indirect_call(const void *function)
{
	static const u8 endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	u8 mark[sizeof(endbr64)];

	if (!IS_ENABLED(CONFIG_X86_KERNEL_IBT) || !boot_cpu_has(X86_FEATURE_IBT))
		return false;
	return !copy_from_kernel_nofault(mark, function, sizeof(mark)) && memcmp(mark, endbr64, sizeof(mark));
}

const char *rbl_arch_unknown_rewrite(void)
{
#ifdef X86_FEATURE_CALL_DEPTH
	if (boot_cpu_has(X86_FEATURE_CALL_DEPTH))
		return "this kernel was booted with call depth tracking (retbleed=stuff or indirect_target_selection=stuff), "
		       "which rewrites each call";
#endif
	return NULL;
}

u32 rbl_arch_branch_size(const u8 *code)
{
	if (code[0] == JMP32_INSN_OPCODE || !memcmp(code, nop5, sizeof(nop5)))
		return sizeof(nop5);
	return code[0] == JMP8_INSN_OPCODE || !memcmp(code, nop2, sizeof(nop2)) ? sizeof(nop2) : 0;
}

void rbl_arch_make_branch(u8 *code, u32 size, unsigned long where, unsigned long target, bool jump)
{
	s32 distance = target - (where + size);

	if (!jump) {
		memcpy(code, size == sizeof(nop2) ? nop2 : nop5, size);
		return;
	}
	code[0] = size == sizeof(nop2) ? JMP8_INSN_OPCODE : JMP32_INSN_OPCODE;
	memcpy(code + 1, &distance, size - 1);
}

#define LOCK_PREFIX_BYTE 0xf0
#define DS_PREFIX_BYTE 0x3e	/* where there is one CPU: alternatives_smp_unlock() */

bool rbl_arch_is_prefix(unsigned int kind)
{
	return kind == RBL_PLACE_LOCK;
}

u8 rbl_arch_prefix(void)
{
	return *rbl_kernel_data.uniproc_patched ? DS_PREFIX_BYTE : LOCK_PREFIX_BYTE;
}

/* It unlocks code only when it loads it, before any jump is there: alternatives_smp_lock() is what comes later. */
bool rbl_arch_changes_prefix(u8 byte)
{
	return byte == DS_PREFIX_BYTE && *rbl_kernel_data.uniproc_patched;
}
