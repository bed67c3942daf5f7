/* SPDX-License-Identifier: ISC */
/*
 * usage: share [-t] text ... <console		(in the lab, as root)
 *
 * Reads a guest's console, or with -t that which vmctl start has named there, so
 * that nobody else has to pass it on, and prints, as each text comes on it in turn, what
 * has gone since the start, "text busy guest exits least":
 *   busy	nanoseconds that the host's processor was not idle
 *   guest	those that the guest had it, without what the driver does between
 *		the two tracepoints for each exit, which is as long as the
 *		shortest turn of all: that of a guest which exits at once
 *   exits	world switches
 *   least	that shortest turn
 * The lab has one processor and the guest one vCPU; in the deterministic lab a
 * nanosecond is an instruction.  An interrupt of the host's that ends a turn is
 * in there.
 *
 * The two tracepoints are those of KVM's driver, kvm_entry and kvm_exit, with a
 * program of BPF at each ("BPF_PROG_TYPE_RAW_TRACEPOINT" of bpf(2)), whose cost
 * is no guest's.  Busy is from /proc/schedstat ("Scheduler Statistics": the time
 * spent running by tasks on this processor).
 */
#include <sys/syscall.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUFFER 4096

/* The only value of the map. */
struct turns {
	uint64_t entry, sum, exits, least;
};

enum { R0, R1, R2, R6 = 6 };

#define INSN(c, d, s, o, i)                                              \
	{                                                                \
		.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), \
		.imm = (i)                                               \
	}
#define LOAD(d, s, member)                                                     \
	INSN(BPF_LDX | BPF_MEM | BPF_DW, d, s, offsetof(struct turns, member), \
	    0)
#define STORE(d, s, member)                                                    \
	INSN(BPF_STX | BPF_MEM | BPF_DW, d, s, offsetof(struct turns, member), \
	    0)
#define OP(op, d, s) INSN(BPF_ALU64 | BPF_X | (op), d, s, 0, 0)
/* R6 is the map's value, R0 the time. */
#define BEGIN                                                            \
	INSN(BPF_LD | BPF_IMM | BPF_DW, R6, BPF_PSEUDO_MAP_VALUE, 0, 0), \
	    INSN(0, 0, 0, 0, 0),                                         \
	    INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_ktime_get_ns)
#define END                                             \
	INSN(BPF_ALU64 | BPF_K | BPF_MOV, R0, 0, 0, 0), \
	    INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

static struct bpf_insn at_entry[] = {
	BEGIN,
	STORE(R6, R0, entry),
	END,
};

static struct bpf_insn at_exit[] = {
	BEGIN,
	LOAD(R1, R6, entry),
	/* Not one that has begun before. */
	INSN(BPF_JMP | BPF_K | BPF_JEQ, R1, 0, 10, 0),
	OP(BPF_SUB, R0, R1),
	LOAD(R2, R6, sum),
	OP(BPF_ADD, R2, R0),
	STORE(R6, R2, sum),
	LOAD(R2, R6, exits),
	INSN(BPF_ALU64 | BPF_K | BPF_ADD, R2, 0, 0, 1),
	STORE(R6, R2, exits),
	LOAD(R2, R6, least),
	INSN(BPF_JMP | BPF_X | BPF_JGE, R0, R2, 1, 0),
	STORE(R6, R0, least),
	END,
};

static int
bpf(int cmd, union bpf_attr *attr, const char *what)
{
	int r = (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));

	if (r == -1)
		err(1, "%s", what);
	return r;
}

static int
make_map(void)
{
	const struct turns none = { .least = UINT64_MAX };
	const uint32_t key = 0;
	union bpf_attr attr = { .map_type = BPF_MAP_TYPE_ARRAY,
		.key_size = sizeof(key),
		.value_size = sizeof(none),
		.max_entries = 1 };
	int map = bpf(BPF_MAP_CREATE, &attr, "BPF's map");

	attr = (union bpf_attr){ .map_fd = (uint32_t)map,
		.key = (uintptr_t)&key,
		.value = (uintptr_t)&none };
	bpf(BPF_MAP_UPDATE_ELEM, &attr, "BPF's map");
	return map;
}

static struct turns
turns(int map)
{
	const uint32_t key = 0;
	struct turns t;
	union bpf_attr attr = { .map_fd = (uint32_t)map,
		.key = (uintptr_t)&key,
		.value = (uintptr_t)&t };

	bpf(BPF_MAP_LOOKUP_ELEM, &attr, "BPF's map");
	return t;
}

/* It is there as long as this process. */
static void
attach(const char *tracepoint, struct bpf_insn *insn, size_t n, int map)
{
	static const char license[] = "ISC";
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT,
		.insns = (uintptr_t)insn,
		.insn_cnt = (uint32_t)n,
		.license = (uintptr_t)license };
	int prog;

	insn[0].imm = map;
	prog = bpf(BPF_PROG_LOAD, &attr, tracepoint);
	attr =
	    (union bpf_attr){ .raw_tracepoint = { .name = (uintptr_t)tracepoint,
				  .prog_fd = (uint32_t)prog } };
	bpf(BPF_RAW_TRACEPOINT_OPEN, &attr, tracepoint);
}

/* The line is "cpu0" and nine numbers, of which it is the seventh. */
static uint64_t
busy(void)
{
	unsigned long long ns = 0;
	char line[256];
	FILE *f = fopen("/proc/schedstat", "r");

	if (f == NULL)
		err(1, "/proc/schedstat");
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "cpu0 %*u %*u %*u %*u %*u %*u %llu", &ns) == 1)
			break;
	fclose(f);
	return ns;
}

/* "... successfully, tty NAME" on standard input; it is that from now on. */
static void
follow(void)
{
	char line[256], *name;
	int fd;

	if (fgets(line, sizeof(line), stdin) == NULL ||
	    (name = strstr(line, "tty /")) == NULL)
		errx(1, "no console is named");
	name += strlen("tty ");
	name[strcspn(name, "\r\n")] = '\0';
	if ((fd = open(name, O_RDONLY | O_NOCTTY)) == -1 || dup2(fd, 0) == -1)
		err(1, "%s", name);
}

int
main(int argc, char **argv)
{
	char buf[BUFFER + 1];
	struct turns t;
	size_t len = 0, keep, own;
	uint64_t begin;
	ssize_t n;
	bool named;
	int map;

	named = argc > 1 && strcmp(argv[1], "-t") == 0;
	argv += named;
	if (argc < 2 + named) {
		fprintf(stderr, "usage: share [-t] text ...\n");
		return 2;
	}
	map = make_map();
	attach(
	    "kvm_entry", at_entry, sizeof(at_entry) / sizeof(*at_entry), map);
	attach("kvm_exit", at_exit, sizeof(at_exit) / sizeof(*at_exit), map);
	begin = busy();
	printf("ready\n");
	fflush(stdout);
	if (named)
		follow();
	while (*++argv != NULL) {
		while (memmem(buf, len, *argv, strlen(*argv)) == NULL) {
			/* What could be a part of it. */
			keep = strlen(*argv) - 1;
			if (len > keep) {
				memmove(buf, buf + len - keep, keep);
				len = keep;
			}
			n = read(0, buf + len, BUFFER - len);
			if (n == -1 && errno == EINTR)
				continue;
			if (n <= 0)
				errx(1, "the console's end, and no \"%s\"",
				    *argv);
			len += (size_t)n;
		}
		t = turns(map);
		own = t.sum - t.exits * t.least;
		printf("%s %llu %llu %llu %llu\n", *argv,
		    (unsigned long long)(busy() - begin),
		    (unsigned long long)own, (unsigned long long)t.exits,
		    (unsigned long long)t.least);
		fflush(stdout);
	}
	return 0;
}
