// Copyright (c) 2026, The rebootless.splice authors
// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Loads the kernel `vmlinuz` with `initrd` of this directory to be booted by kexec, or by a panic:
 *
 *	kexec load [crash]	kexec unload [crash]	kexec reboot
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/kexec.h>
#include <linux/reboot.h>

#define ARGUMENTS "console=ttyS0 maxcpus=1 reset_devices panic=-1"

int main(int count, char **words)
{
	unsigned long flags = count > 2 ? KEXEC_FILE_ON_CRASH : 0;
	int kernel = -1, initrd = -1;

	if (count < 2)
		return 2;
	if (!strcmp(words[1], "reboot")) {
		syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, 0);
		perror("reboot");
		return 1;
	}
	if (!strcmp(words[1], "load")) {
		kernel = open("vmlinuz", O_RDONLY);
		initrd = open("initrd", O_RDONLY);
	} else {
		flags |= KEXEC_FILE_UNLOAD | KEXEC_FILE_NO_INITRAMFS;
	}
	if (!syscall(SYS_kexec_file_load, kernel, initrd, sizeof(ARGUMENTS), ARGUMENTS, flags))
		return 0;
	perror("kexec_file_load");
	return 1;
}
