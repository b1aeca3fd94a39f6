// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * threads SLEEPING BUSY: makes as many threads, in processes of some thousands,
 * says so, and goes on until its group is killed.  The busy ones sleep for a
 * millisecond after each of some work.
 */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MOST 4000	/* of a process: each takes two mappings */
#define STACK (32 << 10)
#define WORK 20000

static void *sleeping(void *unused)
{
	for (;;)
		poll(NULL, 0, -1);
	return unused;
}

static void *busy(void *unused)
{
	for (;;) {
		for (volatile int i = 0; i < WORK; i++)
			;
		poll(NULL, 0, 1);
	}
	return unused;
}

static void make(int count, void *(*body)(void *))
{
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK);
	for (; count; count--)
		if (pthread_create(&thread, &attributes, body, NULL)) {
			perror("pthread_create");
			exit(1);
		}
}

int main(int count, char **arguments)
{
	int sleepers = count > 1 ? atoi(arguments[1]) : 0, workers = count > 2 ? atoi(arguments[2]) : 0;
	int ready[2];
	char byte = 0;

	if (pipe(ready))
		return 1;
	for (int left = sleepers; left > 0 || workers > 0; left -= MOST) {
		if (!fork()) {
			make(left > MOST ? MOST : left > 0 ? left : 0, sleeping);
			make(workers, busy);
			if (write(ready[1], &byte, 1) != 1)
				return 1;
			sleeping(NULL);
		}
		workers = 0;
		if (read(ready[0], &byte, 1) != 1)
			return 1;
	}
	puts("ready");
	fflush(stdout);
	sleeping(NULL);
}
