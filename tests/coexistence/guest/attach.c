// Copyright (c) 2026, The rebootless.splice authors
// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Attaches a BPF program to a kernel function, as monitoring agents and security modules do, until it is killed.
 *
 *	attach fexit unix_ioctl 0		prints `attached`
 *	attach fexit unix_ioctl 0 loop		attaches it, takes it away, and so on
 *
 * The program does nothing but return the number that is given.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/bpf.h>
#include <linux/btf.h>

static const struct kind {
	const char *name;
	enum bpf_prog_type type;
	enum bpf_attach_type attach;
} kinds[] = {
	{ "fentry", BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY },
	{ "fexit", BPF_PROG_TYPE_TRACING, BPF_TRACE_FEXIT },
	{ "fmod_ret", BPF_PROG_TYPE_TRACING, BPF_MODIFY_RETURN },
	{ "lsm", BPF_PROG_TYPE_LSM, BPF_LSM_MAC },
};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static long bpf(enum bpf_cmd command, union bpf_attr *attributes, const char *what)
{
	long result = syscall(SYS_bpf, command, attributes, sizeof(*attributes));

	if (result < 0)
		fail(what);
	return result;
}

/* The bytes behind a type in the kernel's type information. */
static size_t behind(const struct btf_type *type)
{
	size_t count = BTF_INFO_VLEN(type->info);

	switch (BTF_INFO_KIND(type->info)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		return 4;
	case BTF_KIND_ARRAY:
		return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return count * sizeof(struct btf_member);
	case BTF_KIND_ENUM:
	case BTF_KIND_FUNC_PROTO:
		return count * 8;
	case BTF_KIND_DATASEC:
	case BTF_KIND_ENUM64:
		return count * 12;
	}
	return 0;
}

static char *read_btf(void)
{
	size_t size = 0, room = 1 << 24;
	char *text = malloc(room);
	int file = open("/sys/kernel/btf/vmlinux", O_RDONLY);
	ssize_t got;

	while (text && size < room && (got = read(file, text + size, room - size)) > 0)
		size += got;
	if (!text || got)
		fail("/sys/kernel/btf/vmlinux");
	return text;
}

static uint32_t btf_id(const char *function)
{
	const struct btf_header *header = (void *)read_btf();
	const char *start = (const char *)header + header->hdr_len, *at = start + header->type_off;
	const char *end = at + header->type_len, *names = start + header->str_off;
	uint32_t number;

	for (number = 1; at < end; number++) {
		const struct btf_type *type = (void *)at;

		if (BTF_INFO_KIND(type->info) == BTF_KIND_FUNC && !strcmp(names + type->name_off, function))
			return number;
		at += sizeof(*type) + behind(type);
	}
	errno = ENOENT;
	fail(function);
	return 0;
}

static int load(const struct kind *kind, const char *function, int answer)
{
	const struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = answer },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	static char said[4096];
	union bpf_attr attributes = {
		.prog_type = kind->type,
		.expected_attach_type = kind->attach,
		.insn_cnt = sizeof(code) / sizeof(*code),
		.insns = (uintptr_t)code,
		.license = (uintptr_t)"GPL",
		.log_level = 1,
		.log_buf = (uintptr_t)said,
		.log_size = sizeof(said),
		.attach_btf_id = btf_id(function),
	};

	return bpf(BPF_PROG_LOAD, &attributes, said);
}

static int attach(int program)
{
	union bpf_attr attributes = { .raw_tracepoint.prog_fd = program };

	return bpf(BPF_RAW_TRACEPOINT_OPEN, &attributes, "attach");
}

int main(int count, char **words)
{
	size_t i = 0;
	int program;

	if (count < 4)
		return 2;
	while (strcmp(kinds[i].name, words[1]))
		if (++i == sizeof(kinds) / sizeof(*kinds))
			return 2;
	program = load(kinds + i, words[2], atoi(words[3]));
	do {
		int link = attach(program);

		if (count == 4) {
			puts("attached");
			fflush(stdout);
			pause();
		}
		usleep(1000);
		close(link);
		usleep(1000);
	} while (1);
}
