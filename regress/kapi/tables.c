/* SPDX-License-Identifier: ISC */
/*
 * A guest that edits its page tables in every way and looks at what each access
 * comes to: the same on processors with nested paging, and where the hypervisor
 * has to shadow the tables.  The guest carries out a list of commands; what must
 * become of each is computed beside it, from the architecture's rules alone.
 */
#include <stdlib.h>
#include "kapi.h"

#define COMMANDS 0x200000u
#define NCOMMAND 20000u
#define BIG	 0x40000000u /* of a large page */
#define VA	 (1ull << 39)
#define CR0_WP	 0x10000ull

enum op { STOP, STORE, INVLPG, CR3, READ, WRITE, CR0 };

struct command {
	uint32_t op, unused;
	uint64_t addr, value, result;
};

#define FAULTED (1ull << 63)

/* r15 has the command, r14 where a fault goes on. */
GUEST(64, interpreter,
    "lea 7f(%rip), %r14\n"
    "1:	mov (%r15), %eax\n\tmov 8(%r15), %rdi\n\tmov 16(%r15), %rdx\n\t"
    "cmp $1, %eax\n\tje 2f\n\tcmp $2, %eax\n\tje 3f\n\tcmp $3, %eax\n\tje 4f\n\t"
    "cmp $4, %eax\n\tje 5f\n\tcmp $5, %eax\n\tje 6f\n\tcmp $6, %eax\n\tje 8f\n\t"
    "jmp 9f\n"
    "2:	mov %rdx, (%rdi)\n\tjmp 7f\n"
    "3:	invlpg (%rdi)\n\tjmp 7f\n"
    "4:	mov %cr3, %rax\n\tmov %rax, %cr3\n\tjmp 7f\n"
    "5:	mov (%rdi), %rax\n\tmov %rax, 24(%r15)\n\tjmp 7f\n"
    "6:	mov %rdx, (%rdi)\n\tmovq $1, 24(%r15)\n\tjmp 7f\n"
    "8:	mov %rdx, %cr0\n"
    "7:	add $32, %r15\n\tjmp 1b\n"
    "9:	" END);
/* The error code and the address become the result. */
GUEST(64, fault,
    "pop %rax\n\tshl $48, %rax\n\tbts $63, %rax\n\tmov %cr2, %rbx\n\t"
    "or %rbx, %rax\n\tmov %rax, 24(%r15)\n\tmov %r14, (%rsp)\n\tiretq");

/* Two entries of the third level, each of two tables of the second, four of
 * each of four of the first; and what the pages hold. */
struct model {
	uint64_t entry[7][4];
	uint64_t data[8], big[4], cr0;
};
#define PAGE_OF(table) (FREE + (table)*0x1000u)
#define DATA_OF(n)     (FREE + 0x10000u + (n)*0x1000u)

static uint64_t seed = 88172645463325252ull;

static unsigned
rnd(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)((seed >> 20) % n);
}

static uint64_t
random_entry(unsigned table)
{
	uint64_t e = rnd(8) ? 1 : 0;

	e |= rnd(4) ? 2 : 0;
	e |= rnd(2) * 4 | rnd(2) * 0x20;
	if (table == 0) /* the third level's */
		return e | PAGE_OF(1 + rnd(2));
	if (table > 2)
		return e | rnd(2) * 0x40 | DATA_OF(rnd(8));
	if (rnd(4) == 0)
		return e | rnd(2) * 0x40 | 0x80 | BIG;
	return e | PAGE_OF(3 + rnd(4));
}

static uint64_t
va_of(const unsigned i[3])
{
	return VA | (uint64_t)i[0] << 30 | (uint64_t)i[1] << 21 |
	    (uint64_t)i[2] << 12;
}

static unsigned
table_of(uint64_t e)
{
	return (unsigned)((e & 0xfff000) - FREE) / 0x1000;
}

/* The entries of a path; *leaf: how many.  NULL last: it ends in the air. */
static void
path_of(struct model *m, const unsigned i[3], uint64_t *path[3], unsigned *leaf)
{
	unsigned level, table = 0;

	for (level = 0; level < 3; level++) {
		path[level] = &m->entry[table][i[level]];
		*leaf = level + 1;
		if (!(*path[level] & 1) || (*path[level] & 0x80))
			return;
		table = table_of(*path[level]);
	}
}

/* What the command's result is to be. */
static uint64_t
expected(struct model *m, const unsigned i[3], bool write, uint64_t value)
{
	uint64_t *path[3], all = 2, *data;
	unsigned leaf, level;

	path_of(m, i, path, &leaf);
	for (level = 0; level < leaf; level++) {
		if (!(*path[level] & 1))
			return FAULTED | (write ? 2ull : 0) << 48 | va_of(i);
		all &= *path[level];
	}
	if (write && !all && (m->cr0 & CR0_WP))
		return FAULTED | 3ull << 48 | va_of(i);
	for (level = 0; level < leaf; level++)
		*path[level] |= 0x20;
	if (write)
		*path[leaf - 1] |= 0x40;
	if (*path[leaf - 1] & 0x80)
		data = &m->big[i[2]];
	else
		data = &m->data[((*path[leaf - 1] & 0xfff000) - DATA_OF(0)) /
		    0x1000];
	if (!write)
		return *data;
	*data = value;
	return 1;
}

/* What is expected, in the place of each result. */
struct script {
	struct command *c;
	uint64_t *want;
	unsigned n;
};

static void
say(struct script *s, enum op op, uint64_t addr, uint64_t value, uint64_t want)
{
	s->c[s->n] = (struct command){ op, 0, addr, value, 0 };
	s->want[s->n++] = want;
}

static void
say_access(struct script *s, struct model *m, const unsigned i[3])
{
	bool write = rnd(2);
	uint64_t value = s->n + 2;

	say(s, write ? WRITE : READ, va_of(i), value,
	    expected(m, i, write, value));
}

/* One entry of the path, and what the guest owes the processor for it: nothing
 * when it was not present. */
static void
say_edit(struct script *s, struct model *m, const unsigned i[3])
{
	uint64_t *path[3], old, new;
	unsigned leaf, table, index;

	path_of(m, i, path, &leaf);
	leaf = rnd(leaf);
	table = (unsigned)(path[leaf] - m->entry[0]) / 4;
	index = (unsigned)(path[leaf] - m->entry[0]) % 4;
	old = *path[leaf];
	new = *path[leaf] = random_entry(table);
	say(s, STORE, PAGE_OF(table) + index * 8, new, 0);
	if (!(old & 1))
		return;
	if (rnd(2)) {
		say(s, INVLPG, va_of(i), 0, 0);
		say_access(s, m, i);
	}
	/* By another address it may be known still. */
	say(s, CR3, 0, 0, 0);
}

static void
write_script(struct script *s, struct model *m)
{
	unsigned i[3];

	while (s->n < NCOMMAND - 8) {
		i[0] = rnd(2);
		i[1] = rnd(2);
		i[2] = rnd(4);
		switch (rnd(8)) {
		case 0:
		case 1:
		case 2:
			say_edit(s, m, i);
			break;
		case 3:
			if (rnd(4) == 0) {
				m->cr0 ^= CR0_WP;
				say(s, CR0, 0, m->cr0, 0);
			}
			break;
		default:
			say_access(s, m, i);
		}
	}
	say(s, STOP, 0, 0, 0);
}

static void
start_model(struct vm *vm, struct model *m)
{
	uint64_t e = PAGE_OF(0) | 7;
	unsigned t, i;

	for (t = 0; t < 7; t++) {
		for (i = 0; i < (t < 3 ? 2 : 4); i++) {
			m->entry[t][i] = random_entry(t);
			memcpy(
			    vm->mem + PAGE_OF(t) + i * 8, &m->entry[t][i], 8);
		}
	}
	memcpy(vm->mem + TABLES + 8, &e, 8);
}

static void
check_results(const struct script *s)
{
	unsigned i;

	for (i = 0; i < s->n; i++)
		CHECK(s->c[i].result == s->want[i],
		    "command %u, %u of %#llx: %#llx, not %#llx", i, s->c[i].op,
		    (unsigned long long)s->c[i].addr,
		    (unsigned long long)s->c[i].result,
		    (unsigned long long)s->want[i]);
}

/* A may be set by an access that the processor only thought of. */
static void
check_memory(const struct vm *vm, const struct model *m, const uint8_t *big)
{
	unsigned t, i;

	for (t = 0; t < 7; t++) {
		for (i = 0; i < (t < 3 ? 2 : 4); i++)
			EQ(vm_u64(vm, PAGE_OF(t) + i * 8) | 0x20,
			    m->entry[t][i] | 0x20);
	}
	for (i = 0; i < 8; i++)
		EQ(vm_u64(vm, DATA_OF(i)), m->data[i]);
	for (i = 0; i < 4; i++)
		EQ(*(const uint64_t *)(const void *)(big + i * 0x1000),
		    m->big[i]);
}

static void
edited(int dev)
{
	uint8_t *big = pages(2u << 20);
	struct model m = { .cr0 = 0 };
	struct script s = { .want = calloc(NCOMMAND, sizeof(*s.want)) };
	struct kvm_sregs sregs;
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &interpreter);
	vm_slot(&vm, 1, 0, BIG, big, 2u << 20);
	vm_load(&vm, CODE2, &fault);
	vm_gate(&vm, LONG64, PF, CODE2);
	sregs_get(&v, &sregs);
	m.cr0 = sregs.cr0;
	start_model(&vm, &m);
	s.c = (struct command *)(void *)(vm.mem + COMMANDS);
	write_script(&s, &m);
	regs_get(&v, &r);
	r.r15 = COMMANDS;
	regs_set(&v, &r);
	run_done(&v);
	check_results(&s);
	check_memory(&vm, &m, big);
}

TESTS(tables, T(edited));
