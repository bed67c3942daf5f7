/* SPDX-License-Identifier: ISC */
#ifndef VMD_PROBE_H
#define VMD_PROBE_H

/*
 * Can this hypervisor device run an unmodified operating system?  Some hosts
 * have a /dev/kvm that makes VMs and then hangs in them.  A tiny guest of our
 * own (probe_guest.c) says so within PROBE_MS.
 */
#include <stdbool.h>
#include <stdint.h>

#define PROBE_MS       1500
#define PROBE_TEXT_MAX 2048

struct probe_report {
	bool fit;
	char text[PROBE_TEXT_MAX]; /* lines; the last one is the verdict */
};

/* Takes devfd.  The report is always filled; 0 fit, else -errno. */
int probe_run(int devfd, const char *path, struct probe_report *);

/* In two steps, with the seal between them; probe is NULL when the device is
 * unfit already. */
struct probe;
struct sandbox_ioctl;
void probe_prepare(
    struct probe **, int devfd, const char *path, struct probe_report *);
size_t
probe_seal_list(const struct probe *, struct sandbox_ioctl *, size_t max);
void probe_execute(struct probe *, struct probe_report *);
void probe_free(struct probe *);

/* The guest's report is a fixed list of port writes. */
#define PROBE_PORT_STEP	 0x500 /* byte: enum probe_step */
#define PROBE_PORT_VALUE 0x504 /* dword: what the step saw */

enum probe_step {
	PROBE_START,
	PROBE_REAL,
	PROBE_PROTECTED,
	PROBE_LONG,
	PROBE_FAULT, /* values: CR2, error code */
	PROBE_IRQ, /* value: vector */
	PROBE_SYSCALL, /* value: CS of ring 3 */
	PROBE_INT, /* value: CS of ring 3, by way of IRETQ and a gate */
	PROBE_DONE,
};

#endif
