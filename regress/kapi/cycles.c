/* SPDX-License-Identifier: ISC */
/*
 * usage: cycles [-d device] [-n count] [-s KiB]
 *
 * Creates, runs and destroys VMs; memory and slab objects at the end must be
 * what they were after the first tenth, but for the slack that -s gives.  Prints
 * what grew; exit 1 then.  A page
 * that the kernel took for itself, as of nested page tables, is in no count of
 * /proc/meminfo: it is what is missing from their sum.
 */
#include <sys/mman.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "kapi.h"

#define SLACK_KIB 2048 /* by default; of noise: caches, per-CPU lists */

GUEST(64, touch,
    "1:	mov %rax, (%rsi)\n\tadd $4096, %rsi\n\tcmp $0x400000, %rsi\n\t"
    "jb 1b\n\tcpuid\n\t" END);

struct usage {
	long unaccounted, unreclaimable, tables, percpu, stacks, files;
};

static long
field(FILE *f, const char *name)
{
	char line[256], key[64];
	long n;

	rewind(f);
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "%63[^:]: %ld", key, &n) == 2 &&
		    strcmp(key, name) == 0)
			return n;
	return 0;
}

/* Free pages that a CPU keeps for itself are not in MemFree. */
static long
kept_by_cpus(void)
{
	FILE *f = fopen("/proc/zoneinfo", "re");
	long n, sum = 0;
	char line[256];

	if (f == NULL) {
		perror("/proc/zoneinfo");
		exit(1);
	}
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, " count: %ld", &n) == 1)
			sum += n * (sysconf(_SC_PAGESIZE) / 1024);
	fclose(f);
	return sum;
}

static long
unaccounted(FILE *f)
{
	static const char *const known[] = { "MemFree", "Buffers", "Cached",
		"SwapCached", "AnonPages", "Slab", "KernelStack", "PageTables",
		"SecPageTables", "Percpu" };
	long n = field(f, "MemTotal") - kept_by_cpus();
	unsigned i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		n -= field(f, known[i]);
	return n;
}

static void
measure(struct usage *u)
{
	FILE *f = fopen("/proc/meminfo", "re");
	FILE *n = fopen("/proc/sys/fs/file-nr", "re");

	if (f == NULL || n == NULL || fscanf(n, "%ld", &u->files) != 1) {
		perror("/proc");
		exit(1);
	}
	u->unaccounted = unaccounted(f);
	u->unreclaimable = field(f, "SUnreclaim");
	u->tables = field(f, "PageTables");
	u->percpu = field(f, "Percpu");
	u->stacks = field(f, "KernelStack");
	fclose(f);
	fclose(n);
}

static void
cycle(const char *device)
{
	int dev, status;
	struct vcpu v[2];
	struct vm vm;
	pid_t pid = fork();

	if (pid == 0) {
		dev = open(device, O_RDWR | O_CLOEXEC);
		guest(&vm, &v[0], dev, LONG64, &touch);
		vcpu_open(&v[1], &vm, 1);
		regs_set(&v[0],
		    &(struct kvm_regs){
			.rip = CODE, .rflags = 2, .rsp = STACK, .rsi = FREE });
		run_done(&v[0]);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (status != 0) {
		fprintf(stderr, "a cycle ended with status %#x\n", status);
		exit(1);
	}
}

static bool
grew(const char *what, long from, long to, long slack)
{
	printf("%s: %ld, then %ld\n", what, from, to);
	return to - from > slack;
}

int
main(int argc, char **argv)
{
	const char *device = "/dev/kvm";
	unsigned n = 1000, i;
	long slack = SLACK_KIB;
	struct usage a, b;
	bool bad;
	int o;

	while ((o = getopt(argc, argv, "d:n:s:")) != -1) {
		if (o == 'd')
			device = optarg;
		else if (o == 'n')
			n = (unsigned)strtoul(optarg, NULL, 0);
		else if (o == 's')
			slack = strtol(optarg, NULL, 0);
		else
			return 2;
	}
	if (dup2(STDERR_FILENO, 3) < 0)
		return 1;
	for (i = 0; i < n / 10 + 1; i++)
		cycle(device);
	sleep(1); /* for what is freed after a grace period */
	measure(&a);
	for (i = 0; i < n; i++)
		cycle(device);
	sleep(1);
	measure(&b);
	bad = grew("unaccounted KiB", a.unaccounted, b.unaccounted, slack);
	bad |= grew(
	    "unreclaimable slab KiB", a.unreclaimable, b.unreclaimable, slack);
	bad |= grew("page tables KiB", a.tables, b.tables, slack);
	bad |= grew("per-CPU KiB", a.percpu, b.percpu, slack);
	bad |= grew("kernel stacks KiB", a.stacks, b.stacks, slack);
	bad |= grew("open files", a.files, b.files, 64);
	return bad;
}
