/* SPDX-License-Identifier: ISC */
/*
 * KVM_GET_STATS_FD: what a VM and a vCPU count, by a description of itself.
 */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "kapi.h"

#define CPUIDS 20

GUEST(64, some_cpuids,
    "mov $20, %r8d\n1:	xor %eax, %eax\n\tcpuid\n\tdec %r8d\n\tjnz 1b\n\t" END);

static struct kvm_stats_header
header(int fd)
{
	struct kvm_stats_header h;

	EQ(pread(fd, &h, sizeof(h), 0), sizeof(h));
	EQ(h.flags, 0);
	CHECK(h.name_size > 0 && h.name_size <= 256, "names: %u", h.name_size);
	CHECK(h.num_desc > 0 && h.num_desc < 1000, "%u of them", h.num_desc);
	CHECK(h.id_offset >= sizeof(h) && h.desc_offset >= sizeof(h) &&
		h.data_offset >= sizeof(h),
	    "over the header");
	return h;
}

/* One value, by its name; each description is looked at on the way. */
static uint64_t
value(int fd, const char *name)
{
	struct kvm_stats_header h = header(fd);
	_Alignas(8) uint8_t room[sizeof(struct kvm_stats_desc) + 256];
	struct kvm_stats_desc *d = (void *)room;
	size_t len = sizeof(*d) + h.name_size;
	uint64_t v = 0;
	bool found = false;
	unsigned i;

	for (i = 0; i < h.num_desc; i++) {
		EQ(pread(fd, room, len, h.desc_offset + i * len), len);
		CHECK(memchr(d->name, '\0', h.name_size) != NULL && d->name[0],
		    "name %u", i);
		CHECK(d->size >= 1 && d->offset % 8 == 0, "%s", d->name);
		if (strcmp(d->name, name) != 0)
			continue;
		found = true;
		EQ(d->flags & KVM_STATS_TYPE_MASK, KVM_STATS_TYPE_CUMULATIVE);
		EQ(d->size, 1);
		EQ(pread(fd, &v, 8, h.data_offset + d->offset), 8);
	}
	CHECK(found, "no %s", name);
	return v;
}

static int
stats_of(int fd)
{
	int stats = ioctl(fd, KVM_GET_STATS_FD, 0);

	CHECK(stats >= 0, "KVM_GET_STATS_FD: %s", strerror(errno));
	return stats;
}

static void
counts(int dev)
{
	uint64_t before;
	struct vcpu v;
	struct vm vm;
	int fd;

	EQ(have_cap(dev, KVM_CAP_BINARY_STATS_FD), 1);
	guest(&vm, &v, dev, LONG64, &some_cpuids);
	fd = stats_of(v.fd);
	before = value(fd, "exits");
	EQ(before, 0);
	run(&v);
	CHECK(at_port(&v, DONE), "exit %u", v.run->exit_reason);
	CHECK(value(fd, "exits") > CPUIDS, "%llu exits",
	    (unsigned long long)value(fd, "exits"));
	CHECK(value(fd, "io_exits") >= 1, "no I/O");
	EQ(value(fd, "hypercalls"), 0);
	close(fd);
}

/* Two vCPUs have numbers of their own, and names; the VM has its own. */
static void
apart(int dev)
{
	char id[3][256] = { "" };
	struct kvm_stats_header h;
	struct vcpu v[2];
	int fd[3], i;
	struct vm vm;

	guest(&vm, &v[0], dev, LONG64, &some_cpuids);
	vcpu_open(&v[1], &vm, 1);
	fd[0] = stats_of(v[0].fd);
	fd[1] = stats_of(v[1].fd);
	fd[2] = stats_of(vm.fd);
	run(&v[0]);
	EQ(value(fd[1], "exits"), 0);
	for (i = 0; i < 3; i++) {
		h = header(fd[i]);
		EQ(pread(fd[i], id[i], h.name_size, h.id_offset), h.name_size);
		CHECK(memchr(id[i], '\0', h.name_size) != NULL, "id %d", i);
		close(fd[i]);
	}
	CHECK(strcmp(id[0], id[1]) != 0 && strcmp(id[0], id[2]) != 0,
	    "all are %s", id[0]);
}

/* The file is good for as long as it is open, and for reading only. */
static void
outlives(int dev)
{
	struct kvm_stats_header h;
	uint64_t before;
	struct vcpu v;
	struct vm vm;
	int fd, of_vm;
	char c = 0;

	guest(&vm, &v, dev, LONG64, &some_cpuids);
	fd = stats_of(v.fd);
	of_vm = stats_of(vm.fd);
	run(&v);
	before = value(fd, "exits");
	munmap(v.run, v.run_size);
	close(v.fd);
	close(vm.fd);
	EQ(value(fd, "exits"), before);
	header(of_vm);
	EQ(write(fd, &c, 1), -1);
	EQ(read(fd, &h, sizeof(h)), sizeof(h));
	EQ(pread(fd, &c, 1, 1 << 20), 0);
	EQ(syscall(SYS_pread64, fd, 8L, 64L, 0L), -1);
	EQ(errno, EFAULT);
	close(fd);
	close(of_vm);
}

/* Of an Intel processor without unrestricted guests all of CR0 is the host's. */
static bool
restricted(void)
{
	char line[4096];
	bool yes = false;
	FILE *f = fopen("/proc/cpuinfo", "re");

	if (f == NULL)
		fail("/proc/cpuinfo");
	while (!yes && fgets(line, sizeof(line), f) != NULL)
		yes = strncmp(line, "vmx flags", 9) == 0 &&
		    strstr(line, "unrestricted_guest") == NULL;
	fclose(f);
	return yes;
}

/* No LMSW: with the selective intercept that KVM has, each one exits (APM
 * vol. 2 "Intercepting Control Register Accesses"). */
GUEST(64, switches_ts,
    "mov $200, %r8d\n1:	mov %cr0, %rax\n\tor $8, %rax\n\tmov %rax, %cr0\n\t"
    "mov %cr0, %rbx\n\tclts\n\tmov %cr0, %rax\n\txor $2, %rax\n\t"
    "mov %rax, %cr0\n\tdec %r8d\n\tjnz 1b\n\t" END);

/* TS and MP are the guest's own, however often it switches them. */
static void
switched_freely(int dev)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	int fd;

	if (shadows(dev))
		skip("without nested paging, each write to CR0 exits");
	guest(&vm, &v, dev, LONG64, &switches_ts);
	fd = stats_of(v.fd);
	run_done(&v);
	CHECK(restricted() || value(fd, "exits") < 100, "%llu exits",
	    (unsigned long long)value(fd, "exits"));
	regs_get(&v, &r);
	sregs_get(&v, &s);
	EQ(r.rbx & 8, 8); /* as the guest saw it, set */
	EQ(s.cr0 & 8, 0);
	close(fd);
}

/* WP and AM on and off, CD on and off, back to what it was: what is read. */
GUEST(64, other_bits,
    "mov %cr0, %r12\n\tmov %r12, %rax\n\txor $0x50000, %rax\n\t"
    "mov %rax, %cr0\n\tmov %cr0, %r13\n\tmov %r12, %rax\n\t"
    "or $0x40000000, %rax\n\tmov %rax, %cr0\n\tmov %cr0, %r14\n\t"
    "mov %r12, %cr0\n\tmov %cr0, %r15\n\t" END);
static void
other_bits_of_cr0(int dev)
{
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &other_bits);
	run_done(&v);
	regs_get(&v, &r);
	EQ(r.r13, r.r12 ^ 0x50000);
	EQ(r.r14, r.r12 | 0x40000000);
	EQ(r.r15, r.r12);
}

TESTS(stats, T(counts), T(apart), T(outlives), T(switched_freely),
    T(other_bits_of_cr0));
