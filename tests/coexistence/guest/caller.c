// Copyright (c) 2026, The rebootless.splice authors
// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Calls the functions that the update of the coexistence tests replaces.
 *
 *	caller			prints `old`, `new`, or what each function said if they do not agree
 *	caller receive		prints the same of msgrcv(), as soon as `caller send` lets it return
 *	caller send
 *	caller eat		has unix_ioctl() touch new pages of its memory, until it is killed for want of memory
 *
 * It is static, so that an emulated machine starts it in no time.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIOCOUTQ_ 0x5411
#define NO_SUCH_HOW 77
#define MORE 77
#define KEY 0x7d
#define PAGE 4096L
#define EATEN (1L << 30)

struct message {
	long type;
	char text[8];
};

/* Where a uprobe lies. */
__attribute__((noinline)) long enter(int sock, unsigned long request, void *argument)
{
	return ioctl(sock, request, argument);
}

static const char *word(int is_new)
{
	return is_new ? "new" : "old";
}

/* What an ioctl() said of a socket that has sent nothing. */
static const char *ioctl_word(int failed, int answer)
{
	return failed && errno == ENOSYS ? "elsewhere" : word(!failed && answer == MORE);
}

static int tell(void)
{
	int sock = socket(AF_UNIX, SOCK_DGRAM, 0), answer = 0, failed = enter(sock, SIOCOUTQ_, &answer) != 0;
	const char *ioctl_is = ioctl_word(failed, answer);
	const char *shutdown_is = word(shutdown(sock, NO_SUCH_HOW) && errno == EXDEV);

	shutdown(sock, SHUT_RD);	/* of which the new code, too, asks the security modules */
	if (strcmp(ioctl_is, shutdown_is))
		printf("ioctl %s, shutdown %s\n", ioctl_is, shutdown_is);
	else
		puts(ioctl_is);
	return 0;
}

/* In do_msgrcv(), of which the new code says a longer message. */
static int receive(void)
{
	struct message message;
	ssize_t got = msgrcv(msgget(KEY, IPC_CREAT | 0600), &message, sizeof(message.text), 0, 0);

	if (got < 0)
		return 1;
	puts(word(got == sizeof(message.text) + MORE));
	return 0;
}

static int send_one(void)
{
	const struct message message = { .type = 1 };

	return msgsnd(msgget(KEY, 0), &message, sizeof(message.text), 0) != 0;
}

static int eat(void)
{
	char *memory = mmap(NULL, EATEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int sock = socket(AF_UNIX, SOCK_STREAM, 0);
	long at;

	if (memory == MAP_FAILED)
		return 1;
	for (at = 0; at < EATEN; at += PAGE)
		enter(sock, SIOCOUTQ_, memory + at);
	return 1;
}

int main(int count, char **words)
{
	const char *what = count > 1 ? words[1] : "";

	if (!strcmp(what, "receive"))
		return receive();
	if (!strcmp(what, "send"))
		return send_one();
	if (!strcmp(what, "eat"))
		return eat();
	return tell();
}
