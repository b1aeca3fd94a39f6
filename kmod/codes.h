/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every reason for which rebootless refuses or gives up: one row each, the
 * only place where codes and their prose stand.  The helper module prints
 * them in sysfs, libmatch.so hands them to Python.
 *
 * RBL_CODE(NAME, "what is wrong, in one sentence", "what to do next")
 *
 * The numbers are the order of the rows and mean nothing outside one build;
 * the lower-case name is the stable identifier that operators script against.
 */
RBL_CODE(OK, "No error.", "Nothing to do.")
/* the match program itself */
RBL_CODE(BAD_PROGRAM, "The match program is damaged or of another format version.",
	 "Build the update again, or copy its package to the host again.")
RBL_CODE(NO_MEMORY, "The kernel could not allocate memory for the update.",
	 "Free memory on the host and try again.")
RBL_CODE(READ_FAULT, "The running kernel's memory could not be read at an address that the match needs.",
	 "Check that the update was built for exactly this kernel.")
/* run-pre matching */
RBL_CODE(BUILD_ID_MISMATCH, "The running kernel is not the build that this update was made for.",
	 "Build the update for this kernel's build ID; the version string alone does not identify a kernel.")
RBL_CODE(SYMBOL_NOT_FOUND, "A symbol that the update needs is not in this kernel's symbol table.",
	 "Check that the update was built for exactly this kernel, and that the module it patches is loaded.")
RBL_CODE(SYMBOL_AMBIGUOUS, "A symbol that the update needs stands for several addresses, and the match does not say which.",
	 "Report this update: the build has to learn the address from code that refers to it.")
RBL_CODE(NO_MATCH, "Running code differs from the code that the update was made for.",
	 "Look for what changed the code (a kprobe, another live patch, a different build, memory corruption); remove it or reboot, then try again.")
RBL_CODE(AMBIGUOUS_MATCH, "Running code fits the update's pre code at several addresses.",
	 "Report this update: its match program has to tell the candidates apart.")
RBL_CODE(ENTRY_IN_USE, "The function's entry is traced, probed or live-patched by something else.",
	 "Stop the tracer, probe or other live patch that uses this function, then try again.")
/* loading and resolving */
RBL_CODE(BAD_UPDATE, "The update module's tables are not well formed.",
	 "Build the update again with the release that built the helper module.")
RBL_CODE(ABI_MISMATCH, "The update module was built for another version of the helper module.",
	 "Build update and helper module with the same release of the collection.")
RBL_CODE(SEALED_FUNCTION, "The update takes the address of code to which this kernel lets no indirect call lead.",
	 "Let the patch call the function directly, or through a new function that calls it.")
RBL_CODE(RELOC_OVERFLOW, "A relocation of the replacement code does not fit its field.",
	 "Report this update: the replacement code lies too far from what it refers to.")
RBL_CODE(CONFLICT, "Another update already replaces one of these functions.",
	 "Reverse the other update first, or build one cumulative update.")
/* applying and reversing */
RBL_CODE(BUSY_FUNCTION, "A task stayed inside a function that is about to change, in every try.",
	 "Try again, since tasks move on; if the named one stays, stop or restart it, or use blockers: signal.")
RBL_CODE(NEVER_LEFT, "Idle or stopper threads of the kernel are inside a function that is about to change whenever processors are stopped.",
	 "Reboot into a fixed kernel: nothing can replace this function while the kernel runs.")
RBL_CODE(NO_STAND_IN, "The jumps of all updates would lie over more static branches than the helper module can stand in for.",
	 "Reverse an update that is not needed, or make one cumulative update of several.")
RBL_CODE(UNRELIABLE_STACK, "The stack of a task could not be walked reliably, in every try.",
	 "Stop the named task, or wait until it sleeps elsewhere, then try again.")
RBL_CODE(JUMP_OVERWRITTEN, "Something else has written over the update's jump.",
	 "Remove what overwrote it (a kprobe, another live patch), then reverse again; a reboot also removes the update.")
RBL_CODE(KPROBE_INSIDE, "A kprobe lies inside a function that is about to change.",
	 "Remove the kprobe, then try again.")
RBL_CODE(BAD_STATE, "The update is not in a state in which this can be done.",
	 "Read the update's state first; applied updates can be reversed, reversed ones applied.")
RBL_CODE(HELPER_BUSY, "Another operation on an update is in progress.",
	 "Wait until it has ended, then try again.")
RBL_CODE(DATA_OVERWRITTEN, "Something else has written over constant data that the update exchanges.",
	 "Find out what writes to it (the kernel log, another live patch), then reverse again; a reboot also removes the update.")
RBL_CODE(OBJECT_BUSY, "A loadable module that the update patches or uses is being loaded or unloaded at this moment.",
	 "Wait until that has ended, then try again.")
RBL_CODE(INIT_HAS_RUN, "The update replaces init code of a loadable module that is loaded, so that this code has run.",
	 "Unload the module, apply the update, and load the module again; or reboot into a fixed kernel.")
RBL_CODE(HOOK_REFUSED, "The update's own custom code refused the operation.",
	 "Read what the update's author says of the named function; its value is an errno if it is negative.")
RBL_CODE(TEXT_WRITE_FAILED, "Kernel text did not read back as written; everything was put back.",
	 "Look at the kernel log, and report it.")
RBL_CODE(TEXT_LOCKED, "Something else held the kernel's locks for its text all the time.",
	 "Wait until it has ended (a tracer or kprobe that is placed while a thread is busy in the kernel), then try again; a reversal by force or at a deadline does without.")
RBL_CODE(CPU_STUCK, "A CPU does not leave the code of the kernel that it runs, so it cannot be stopped.",
	 "Find out what the named task does there; until it has ended only a reversal by force or at a deadline is possible, which stops no CPU.")
RBL_CODE(UNSUPPORTED_KERNEL, "A kernel facility that the helper module needs is missing.",
	 "Look at the kernel log for its name; this kernel's configuration cannot be patched live.")
