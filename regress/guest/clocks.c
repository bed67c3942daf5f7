/* SPDX-License-Identifier: ISC */
/*
 * clocks: whether a guest's clocks ever go back, from one of its processors to the
 * next as well.  Static, no library but libc.
 *
 *	clocks FILE
 *
 * Takes the time-stamp counter, CLOCK_MONOTONIC (kvm-clock, where the guest has
 * that) and CLOCK_BOOTTIME over and over, now on this processor and now on another.
 * Every second FILE says "READINGS BACK TSC NS": how many were taken, how many were
 * less than the one before of the same clock (each of them is a line on standard
 * output), and the last ones of the first two clocks.
 */
#include <sys/types.h>
#include <err.h>
#include <inttypes.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define TURN   500 /* readings on one processor */
#define REST   2000000 /* ns between turns; others have work to do */
#define SECOND 1000000000u

enum { TSC, MONOTONIC, BOOTTIME, CLOCKS };
static const char *const names[CLOCKS] = { "tsc", "monotonic", "boottime" };

static uint64_t
ns(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t) == -1)
		err(1, "clock_gettime");
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static uint64_t
reading(int clock)
{
	uint64_t t;

	switch (clock) {
	case TSC:
		/* Not before what was read earlier. */
		_mm_lfence();
		t = __rdtsc();
		_mm_lfence();
		return t;
	case MONOTONIC:
		return ns(CLOCK_MONOTONIC);
	default:
		return ns(CLOCK_BOOTTIME);
	}
}

static void
move_to(long cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) == -1)
		err(1, "processor %ld", cpu);
}

/* How many of them went back. */
static unsigned int
turn(long cpu, uint64_t last[CLOCKS])
{
	unsigned int n, back = 0;
	uint64_t t;
	int clock;

	for (n = 0; n < TURN; n++) {
		for (clock = 0; clock < CLOCKS; clock++) {
			t = reading(clock);
			if (t < last[clock]) {
				back++;
				printf("tiny: back: %s %" PRIu64
				       " after %" PRIu64 " on processor %ld\n",
				    names[clock], t, last[clock], cpu);
			}
			last[clock] = t;
		}
	}
	return back;
}

static void
report(const char *path, uint64_t readings, uint64_t back,
    const uint64_t last[CLOCKS])
{
	char temporary[256];
	FILE *fp;

	snprintf(temporary, sizeof(temporary), "%s.new", path);
	if ((fp = fopen(temporary, "w")) == NULL)
		err(1, "%s", temporary);
	fprintf(fp, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
	    readings, back, last[TSC], last[MONOTONIC]);
	if (fclose(fp) == EOF || rename(temporary, path) == -1)
		err(1, "%s", path);
}

int
main(int argc, char **argv)
{
	const struct timespec rest = { 0, REST };
	uint64_t last[CLOCKS] = { 0 }, readings = 0, back = 0, said = 0;
	long cpu, cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (argc != 2)
		errx(1, "usage: clocks FILE");
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (cpu = 0;; cpu = (cpu + 1) % cpus) {
		move_to(cpu);
		back += turn(cpu, last);
		readings += (uint64_t)TURN * CLOCKS;
		if (last[MONOTONIC] - said >= SECOND) {
			report(argv[1], readings, back, last);
			said = last[MONOTONIC];
		}
		nanosleep(&rest, NULL);
	}
}
