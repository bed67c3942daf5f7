/* SPDX-License-Identifier: ISC */
/*
 * Conformance tests of the KVM API: what the tests share.
 *
 * A test is a function that gets the open device; it runs in a process of its
 * own and returns when all is well.  What it expects is what KVM does, so that
 * every test passes on /dev/kvm too.  Guests are a few instructions, written
 * next to their test with GUEST(); they run at CODE in a flat, identity-mapped
 * address space and talk through ports:
 *	DONE	the guest is at its end
 *	TRAP	an exception or interrupt that has the standard handler
 *	MARK	al is appended to what guest_marks() tells
 */
#pragma once

#include <linux/kvm.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The layout of a guest's first megabytes. */
#define GDT	 0x1000u
#define IDT	 0x2000u
#define TSS	 0x3000u
#define STUBS	 0x4000u /* 16 bytes per vector */
#define STACK	 0x6000u /* top, level 0 from user space */
#define STACK0	 0x7000u /* top, entries into level 0 */
#define IST1	 0x7800u
#define STACK3	 0x8000u /* top, level 3 */
#define CODE	 0x8000u
#define DATA	 0xc000u
#define TABLES	 0x10000u /* page tables, see vm.c */
#define PT	 0x16000u /* of the first 2 MiB, in 4 KiB pages */
#define CODE2	 0x18000u
#define FREE	 0x100000u /* nothing here, up to MEMORY */
#define MEMORY	 0x400000u
#define MMIO	 0xd0000000u /* no memory here */
#define APIC	 0xfee00000u
#define STUB_LEN 16u

#define TRAP 0xf5
#define DONE 0xf4
#define MARK 0xf6

#define SEL_CODE64 0x08
#define SEL_DATA   0x10
#define SEL_CODE32 0x18
#define SEL_USER64 0x23
#define SEL_UDATA  0x2b
#define SEL_USER32 0x33
#define SEL_TSS	   0x38
#define SEL_CODE16 0x48
#define SEL_DATA16 0x50

enum vector {
	DE = 0,
	DB = 1,
	NMI = 2,
	BP = 3,
	OF = 4,
	BR = 5,
	UD = 6,
	NM = 7,
	DF = 8,
	TS = 10,
	NP = 11,
	SS = 12,
	GP = 13,
	PF = 14,
	MF = 16,
	AC = 17,
	XM = 19
};

#define RFLAGS_TF   0x100u
#define RFLAGS_IF   0x200u
#define RFLAGS_IOPL 0x3000u

enum mode {
	REAL16,
	PROT32, /* no paging */
	PAGED32, /* 4 MiB pages */
	PAE32,
	LONG64,
	USER32, /* PAE32 at level 3 */
	USER64
};

/* Assembler text between two symbols; directives end where the text ends. */
struct guest {
	const uint8_t *start, *end;
};
#define GUEST(bits, name, ...)                                                \
	__asm__(".pushsection .rodata.guest,\"a\"\n\t.code" #bits "\n"        \
		"guest_" #name ":\n\t" __VA_ARGS__ "\nguest_" #name "_end:\n" \
		"\t.code64\n\t.popsection");                                  \
	extern const uint8_t guest_##name[], guest_##name##_end[];            \
	static const struct guest name = { guest_##name, guest_##name##_end }
#define END	  "out %al, $0xf4\n\t"
#define PUT(mark) "mov $" #mark ", %al\n\tout %al, $0xf6\n\t"

struct vm {
	int fd;
	uint8_t *mem;
	size_t size;
};

struct vcpu {
	struct vm *vm;
	int fd;
	struct kvm_run *run;
	size_t run_size;
	char marks[128]; /* of the MARK port, in order */
	unsigned nmarks;
};

/* An exception as the standard handler found it. */
struct trap {
	unsigned vector;
	uint64_t error; /* of those that have one */
	uint64_t rip, cs, flags;
};

/* check.c: the outcomes of a test. */
#define SKIPPED 77
void fail(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
void skip(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

#define CHECK(what, fmt, ...)                                            \
	do {                                                             \
		if (!(what))                                             \
			fail("%s:%d: %s: " fmt, __FILE_NAME__, __LINE__, \
			    #what, ##__VA_ARGS__);                       \
	} while (0)
#define EQ(got, want) \
	kapi_eq(      \
	    __FILE_NAME__, __LINE__, #got, (uint64_t)(got), (uint64_t)(want))
/* An ioctl that must succeed; its result. */
#define DO(fd, request, arg)                                    \
	kapi_do(__FILE_NAME__, __LINE__, #request, fd, request, \
	    (unsigned long)(arg))
/* An ioctl that must fail with this error. */
#define ERR(fd, request, arg, error)                             \
	kapi_err(__FILE_NAME__, __LINE__, #request, fd, request, \
	    (unsigned long)(arg), error)

void kapi_eq(
    const char *file, int line, const char *what, uint64_t got, uint64_t want);
int kapi_do(const char *file, int line, const char *name, int fd,
    unsigned long request, unsigned long arg);
void kapi_err(const char *file, int line, const char *name, int fd,
    unsigned long request, unsigned long arg, int error);

/* A structure that ends in an array, with room for it. */
#define WITH_ROOM(type, entry, n)                                 \
	union {                                                   \
		type head;                                        \
		uint8_t room[sizeof(type) + (n) * sizeof(entry)]; \
	}

struct test {
	const char *name;
	void (*run)(int dev);
};
#define TESTS(group, ...) \
	const struct test tests_##group[] = { __VA_ARGS__, { NULL, NULL } }
#define T(name)             \
	{                   \
#name, name \
	}

/* vm.c */
bool have_cap(int dev, unsigned cap);
bool is_kvm(int dev);
bool shadows(int dev); /* without nested paging */
int event_fd(void); /* an eventfd, not blocking */
void poke(int fd); /* adds one to it */
void vm_open_bare(struct vm *, int dev); /* no APIC, no memory */
void vm_open(struct vm *, int dev); /* split irqchip, MEMORY at 0 */
void vm_open_chips(struct vm *, int dev); /* its controllers are the kernel's */
void vm_slot(const struct vm *, unsigned slot, unsigned flags, uint64_t gpa,
    void *hva, uint64_t size);
void *pages(size_t size);
void vm_load(const struct vm *, uint64_t gpa, const struct guest *);
void vm_gate(const struct vm *, enum mode, unsigned vector, uint64_t handler);
uint64_t vm_u64(const struct vm *, uint64_t gpa);
uint32_t vm_u32(const struct vm *, uint64_t gpa);
/* The entry that maps a page of the first 2 MiB (long and PAE modes). */
uint64_t *vm_pte(const struct vm *, uint64_t gpa);
void vcpu_open(struct vcpu *, struct vm *, unsigned id);
/* What a mode needs in memory, and the registers for it. */
void mode_sregs(const struct vcpu *, enum mode, struct kvm_sregs *);
void vcpu_mode(const struct vcpu *, enum mode);
void vcpu_enter_user(const struct vcpu *, enum mode, uint64_t flags);
/* The whole of it: a vCPU in mode at the beginning of code. */
void
guest(struct vm *, struct vcpu *, int dev, enum mode, const struct guest *code);
void set_cpuid(const struct vcpu *, int dev);

/* run.c */
uint32_t run(struct vcpu *); /* the exit's reason; MARKs are swallowed */
int run_errno(struct vcpu *); /* 0 or the error of KVM_RUN */
void run_to(struct vcpu *, uint32_t reason);
/*
 * For a guest that runs until another thread does something: the emulator of Intel's
 * processors (Bochs 2.7) takes no interrupt of its own while a guest has interrupts
 * off, and nobody else would have the only CPU.
 */
void interruptible(const struct vcpu *);
void run_done(struct vcpu *);
void run_trap(struct vcpu *, struct trap *);
void expect_trap(struct vcpu *, unsigned vector);
bool at_port(const struct vcpu *, uint16_t port);
/* An exit on MMIO or a port served from a page of bytes. */
bool serve(struct vcpu *, uint64_t base, uint8_t *page, size_t len);
const char *reason_name(uint32_t reason);
void regs_get(const struct vcpu *, struct kvm_regs *);
void regs_set(const struct vcpu *, const struct kvm_regs *);
void sregs_get(const struct vcpu *, struct kvm_sregs *);
void sregs_set(const struct vcpu *, const struct kvm_sregs *);
uint64_t rip_of(const struct vcpu *);
uint64_t rax_of(const struct vcpu *);
uint64_t msr_get(const struct vcpu *, uint32_t index);
void msr_set(const struct vcpu *, uint32_t index, uint64_t value);
bool msr_try(const struct vcpu *, bool write, uint32_t index, uint64_t *value);

/* A thread that runs a vCPU until DONE, a failure or a signal. */
struct runner {
	struct vcpu *v;
	pthread_t thread;
	uint32_t reason; /* of the last exit */
	int error;
};
void runner_start(struct runner *, struct vcpu *);
void runner_join(struct runner *, unsigned seconds);
void runner_kick(const struct runner *);
void wait_u32(const struct vm *, uint64_t gpa, uint32_t at_least);
