// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Copyright (c) 2026, The rebootless.splice authors
 *
 * python3, run by python_server.py in a copy of an interpreter that has imported Ansible already.  The copy gets this
 * program's arguments, environment, working directory, and standard input and outputs.  Without a server (the machine
 * was restarted), and for options (`python3 -c`), the plain interpreter runs.
 *
 *	python_client [SCRIPT [ARGUMENT...]] < script
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET "/run/python_server"
#define PYTHON "/usr/bin/python3"

extern char **environ;

static void write_all(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t written = write(fd, bytes, size);

		if (written <= 0)
			_exit(125);
		bytes += written;
		size -= written;
	}
}

/* How many there are, and the strings, each with its NUL. */
static void write_strings(int fd, char **strings)
{
	size_t count = 0;

	while (strings[count])
		count++;
	dprintf(fd, "%zu%c", count, '\0');
	for (; *strings; strings++)
		write_all(fd, *strings, strlen(*strings) + 1);
}

static int send_descriptors(int fd)
{
	int descriptors[3] = { 0, 1, 2 };
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(descriptors))];
	} control = { 0 };
	struct iovec byte = { .iov_base = "+", .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &byte,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(descriptors));
	memcpy(CMSG_DATA(&control.header), descriptors, sizeof(descriptors));
	return sendmsg(fd, &message, 0) == 1 ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = SOCKET };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char *directory[] = { getcwd(NULL, 0), NULL };
	unsigned char status;

	argv[0] = PYTHON;
	if (!directory[0] || (argc > 1 && argv[1][0] == '-') ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) || send_descriptors(fd)) {
		execv(PYTHON, argv);
		perror(PYTHON);
		return 127;
	}
	write_strings(fd, directory);
	write_strings(fd, argv + 1);
	write_strings(fd, environ);
	shutdown(fd, SHUT_WR);
	if (read(fd, &status, 1) != 1) {
		fputs("python_server.py ended without a status\n", stderr);
		return 125;
	}
	return status;
}
