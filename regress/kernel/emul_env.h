/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef REGRESS_EMUL_ENV_H
#define REGRESS_EMUL_ENV_H

/*
 * A machine for the emulator: the memory that native.h describes, mapped one
 * to one, in user mode; or as a device, whose accesses are counted.
 */
#include "emul.h"
#include "native.h"

struct env {
	struct emul e;
	struct gcpu cpu;
	u8 code[NATIVE_CODE_LEN];
	u8 rw[NATIVE_RW_LEN];
	u8 ro[NATIVE_RO_LEN];
	u8 ymm[16][32];
	u64 gdt[16], ldt[LDT_COUNT]; /* where nothing else is */
	bool device; /* rw is a device's */
	unsigned reads, writes; /* of it */
	bool strayed; /* touched what only the native side has there */
};

void env_init(struct env *);
/* The CPU as a process has it. */
void env_user(struct env *);
/* Load a segment register with one of the descriptors. */
void env_segment(struct env *, unsigned seg, u16 sel);
/* Run it to its end, answering accesses to the device. */
enum emul_result env_run(struct env *);

#endif
