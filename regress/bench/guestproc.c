/* SPDX-License-Identifier: ISC */
/*
 * guestproc: what a guest's kernel does to page tables, for `make bench'; run
 * as the only program of a guest.  Static, no library but libc.
 *
 *	guestproc
 *
 * It prints "result FIGURE NANOSECONDS", each of one turn, and
 * "guestproc end".  The figures, in a process of some MiB:
 *	fork	a child that ends at once, and is waited for
 *	exec	one that starts this program anew, which ends at once
 *	switch	from one process to another, by pipes
 *	touch	a page of new memory, which is given back
 *	protect	a page whose rights are changed, and that is written to then
 */
#include <sys/mman.h>
#include <sys/wait.h>
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PAGE	4096
#define BALLAST (4 << 20) /* bytes; what fork has to copy tables of */
#define AREA	(256 * PAGE)

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint8_t *
area(size_t size)
{
	uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		err(1, "mmap");
	return p;
}

static void
touch(volatile uint8_t *p, size_t size)
{
	size_t i;

	for (i = 0; i < size; i += PAGE)
		p[i] = (uint8_t)(i / PAGE + 1);
}

static void
await(pid_t child)
{
	int status;

	if (waitpid(child, &status, 0) == -1 || status != 0)
		errx(1, "a child failed");
}

static void
turn_fork(void)
{
	pid_t child = fork();

	if (child == -1)
		err(1, "fork");
	if (child == 0)
		_exit(0);
	await(child);
}

static void
turn_exec(void)
{
	pid_t child = fork();

	if (child == -1)
		err(1, "fork");
	if (child == 0) {
		execl("/proc/self/exe", "guestproc", "ends", (char *)NULL);
		_exit(1);
	}
	await(child);
}

static int to[2], from[2];

/* Two switches. */
static void
turn_switch(void)
{
	char c = 0;

	if (write(to[1], &c, 1) != 1 || read(from[0], &c, 1) != 1)
		err(1, "pipe");
}

/* Echoes what comes until the other end is closed. */
static pid_t
partner(void)
{
	pid_t child;
	char c;

	if (pipe(to) == -1 || pipe(from) == -1 || (child = fork()) == -1)
		err(1, "partner");
	if (child != 0) {
		close(to[0]);
		close(from[1]);
		return child;
	}
	close(to[1]);
	close(from[0]);
	while (read(to[0], &c, 1) == 1)
		if (write(from[1], &c, 1) != 1)
			break;
	_exit(0);
}

static void
turn_touch(void)
{
	uint8_t *p = area(AREA);

	touch(p, AREA);
	munmap(p, AREA);
}

static uint8_t *rights;

static void
turn_protect(void)
{
	if (mprotect(rights, AREA, PROT_READ) == -1 ||
	    mprotect(rights, AREA, PROT_READ | PROT_WRITE) == -1)
		err(1, "mprotect");
	touch(rights, AREA);
}

/* Each turn does the thing `times' times. */
static void
measure(const char *figure, void (*turn)(void), unsigned turns, unsigned times)
{
	unsigned i;
	double t;

	turn();
	t = now();
	for (i = 0; i < turns; i++)
		turn();
	printf("result %s %.0f\n", figure, (now() - t) / turns / times);
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	pid_t other;

	(void)argv;
	if (argc > 1)
		return 0;
	touch(area(BALLAST), BALLAST);
	measure("fork", turn_fork, 200, 1);
	measure("exec", turn_exec, 100, 1);
	other = partner();
	measure("switch", turn_switch, 1000, 2);
	close(to[1]);
	await(other);
	measure("touch", turn_touch, 40, AREA / PAGE);
	rights = area(AREA);
	touch(rights, AREA);
	measure("protect", turn_protect, 40, AREA / PAGE);
	printf("guestproc end\n");
	return 0;
}
