// SPDX-License-Identifier: GPL-2.0-or-later
/* Gives a fuzzer the files that are named, without clang: one line for each, its name and whether it was no refusal. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

extern unsigned int fuzz_accepted;
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++) {
		static uint8_t data[1 << 17];
		FILE *file = fopen(argv[i], "rb");
		size_t size;

		if (!file) {
			perror(argv[i]);
			return 1;
		}
		size = fread(data, 1, sizeof(data), file);
		fclose(file);
		fuzz_accepted = 0;
		LLVMFuzzerTestOneInput(data, size);
		printf("%s %s\n", argv[i], fuzz_accepted ? "accepted" : "refused");
		fflush(stdout);
	}
	return 0;
}
