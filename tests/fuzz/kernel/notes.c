// SPDX-License-Identifier: GPL-2.0-or-later
/* The GNU build ID among a kernel's notes: rbl_build_id() of kmod/symbols.c. */
#include "internal.h"
#include "input.h"
#include "nothing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	char *notes = (char *)take_bytes(&input, &size);
	u8 sum = 0;
	const u8 *found;
	u32 i, length;

	rbl_kernel_data.__start_notes = notes;
	rbl_kernel_data.__stop_notes = notes + size;
	found = rbl_build_id(&length);
	FUZZ_CHECK(found || !length);
	fuzz_accepted += found != NULL;
	for (i = 0; i < length; i++)
		sum ^= found[i];
	FUZZ_CHECK(length || !sum);
	free(notes);
	return 0;
}
