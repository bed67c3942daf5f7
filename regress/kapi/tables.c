/* SPDX-License-Identifier: ISC */
/*
 * A guest that edits its page tables in every way and looks at what each access
 * comes to: the same on processors with nested paging, and where the hypervisor
 * has to shadow the tables.  The guest carries out a list of commands; what must
 * become of each is computed beside it, from the architecture's rules alone.
 * With two processors, the one that is at work is told by a word in memory.
 */
#include <stdlib.h>
#include "kapi.h"

#define COMMANDS 0x200000u
#define NCOMMAND 20000u
#define BIG	 0x40000000u /* of a large page */
#define VA	 (1ull << 39)
#define CR0_WP	 0x10000ull

#define TURN (FREE + 0x20000u)

enum op { STOP, STORE, INVLPG, CR3, READ, WRITE, CR0, WAIT };

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
    "cmp $7, %eax\n\tje 10f\n\t"
    "jmp 9f\n"
    "2:	mov %rdx, (%rdi)\n\tjmp 7f\n"
    "3:	invlpg (%rdi)\n\tjmp 7f\n"
    "4:	mov %cr3, %rax\n\tmov %rax, %cr3\n\tjmp 7f\n"
    "5:	mov (%rdi), %rax\n\tmov %rax, 24(%r15)\n\tjmp 7f\n"
    "6:	mov %rdx, (%rdi)\n\tmovq $1, 24(%r15)\n\tjmp 7f\n"
    "10:	pause\n\tcmp %rdx, (%rdi)\n\tjne 10b\n\tjmp 7f\n"
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
	uint64_t data[8], big[4];
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

/* What the command's result is to be; wp: CR0.WP. */
static uint64_t
expected(
    struct model *m, const unsigned i[3], bool wp, bool write, uint64_t value)
{
	uint64_t *path[3], all = 2, *data;
	unsigned leaf, level;

	path_of(m, i, path, &leaf);
	for (level = 0; level < leaf; level++) {
		if (!(*path[level] & 1))
			return FAULTED | (write ? 2ull : 0) << 48 | va_of(i);
		all &= *path[level];
	}
	if (write && !all && wp)
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

/* One processor's; what is expected, in the place of each result. */
struct script {
	struct command *c;
	uint64_t *want, cr0;
	unsigned n;
	bool stale; /* CR3 is to be loaded before the next access */
};

struct play {
	struct model m;
	struct script s[2];
	unsigned cpus, at, turn; /* at: the one at work */
};

static void
say(struct play *p, enum op op, uint64_t addr, uint64_t value, uint64_t want)
{
	struct script *s = &p->s[p->at];

	s->c[s->n] = (struct command){ op, 0, addr, value, 0 };
	s->want[s->n++] = want;
}

static void
say_access(struct play *p, const unsigned i[3])
{
	struct script *s = &p->s[p->at];
	bool write = rnd(2);
	uint64_t value = ++p->turn;

	say(p, write ? WRITE : READ, va_of(i), value,
	    expected(&p->m, i, (s->cr0 & CR0_WP) != 0, write, value));
}

/* One entry of the path, and what the guest owes the processor for it: nothing
 * when it was not present. */
static void
say_edit(struct play *p, const unsigned i[3])
{
	uint64_t *path[3], old;
	unsigned leaf, table, index;

	path_of(&p->m, i, path, &leaf);
	leaf = rnd(leaf);
	table = (unsigned)(path[leaf] - p->m.entry[0]) / 4;
	index = (unsigned)(path[leaf] - p->m.entry[0]) % 4;
	old = *path[leaf];
	*path[leaf] = random_entry(table);
	say(p, STORE, PAGE_OF(table) + index * 8, *path[leaf], 0);
	if (!(old & 1))
		return;
	if (!p->s[p->at].stale && rnd(2)) {
		say(p, INVLPG, va_of(i), 0, 0);
		say_access(p, i);
	}
	/* By another address it may be known still. */
	p->s[0].stale = p->s[1].stale = true;
}

static void
say_turn(struct play *p)
{
	say(p, STORE, TURN, ++p->turn, 0);
	p->at = !p->at;
	say(p, WAIT, TURN, p->turn, 0);
}

static void
write_play(struct play *p)
{
	struct script *s;
	unsigned i[3];

	while (p->s[0].n < NCOMMAND - 8 && p->s[1].n < NCOMMAND - 8) {
		s = &p->s[p->at];
		i[0] = rnd(2);
		i[1] = rnd(2);
		i[2] = rnd(4);
		if (rnd(8) < 3) {
			say_edit(p, i);
		} else if (rnd(32) == 0) {
			s->cr0 ^= CR0_WP;
			say(p, CR0, 0, s->cr0, 0);
		} else if (p->cpus == 2 && rnd(16) == 0) {
			say_turn(p);
		} else {
			if (s->stale)
				say(p, CR3, 0, 0, 0);
			s->stale = false;
			say_access(p, i);
		}
	}
	if (p->cpus == 2) /* the other one waits still */
		say_turn(p);
	for (p->at = 0; p->at < p->cpus; p->at++)
		say(p, STOP, 0, 0, 0);
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
play(int dev, unsigned cpus)
{
	struct kvm_mp_state on = { KVM_MP_STATE_RUNNABLE };
	uint8_t *big = pages(2u << 20);
	struct play p = { .cpus = cpus };
	struct runner run[2];
	struct kvm_sregs sregs;
	struct kvm_regs r;
	struct vcpu v[2];
	struct vm vm;
	unsigned i;

	guest(&vm, &v[0], dev, LONG64, &interpreter);
	if (cpus == 2) {
		vcpu_open(&v[1], &vm, 1);
		set_cpuid(&v[1], dev);
		DO(v[1].fd, KVM_SET_MP_STATE, &on);
		vcpu_mode(&v[1], LONG64);
	}
	vm_slot(&vm, 1, 0, BIG, big, 2u << 20);
	vm_load(&vm, CODE2, &fault);
	vm_gate(&vm, LONG64, PF, CODE2);
	start_model(&vm, &p.m);
	for (i = 0; i < cpus; i++) {
		sregs_get(&v[i], &sregs);
		p.s[i].cr0 = sregs.cr0;
		p.s[i].want = calloc(NCOMMAND, sizeof(*p.s[i].want));
		p.s[i].c = (struct command *)(void *)(vm.mem + COMMANDS) +
		    i * NCOMMAND;
		regs_get(&v[i], &r);
		r.rip = CODE;
		r.rflags = 2;
		r.rsp = STACK - i * 0x400;
		r.r15 = COMMANDS + i * NCOMMAND * sizeof(struct command);
		regs_set(&v[i], &r);
	}
	write_play(&p);
	for (i = 0; i < cpus; i++)
		runner_start(&run[i], &v[i]);
	for (i = 0; i < cpus; i++) {
		runner_join(&run[i], 500); /* the test has a limit */
		CHECK(
		    at_port(&v[i], DONE), "vCPU %u: exit %u", i, run[i].reason);
		check_results(&p.s[i]);
	}
	check_memory(&vm, &p.m, big);
}

static void
edited(int dev)
{
	play(dev, 1);
}

static void
edited_by_two(int dev)
{
	play(dev, 2);
}

TESTS(tables, T(edited), T(edited_by_two));
