/* SPDX-License-Identifier: ISC */
/*
 * Baselines after the System V ABI for x86-64, "Processor Architecture" (its
 * micro-architecture levels); the bits after Intel SDM volume 2, "CPUID-CPU
 * Identification", and AMD64 Architecture Programmer's Manual volume 3.
 *
 * Invariant: this only takes bits away.
 *
 * What programs choose instructions by is cut down to the level.  What stays
 * the host's: who the processor is, its caches and sizes of addresses, and
 * what a kernel protects itself with, as that is chosen at each boot.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include "cpubase.h"
#include "vmconf.h"

#define EXT  0x80000000U
#define ANY  UINT32_MAX
#define ALL  UINT32_MAX
#define B(n) (1U << (n))

enum reg { EAX, EBX, ECX, EDX };

/* What a level adds to the one before it. */
static const struct feature {
	enum vm_cpu level;
	uint32_t leaf;
	enum reg reg;
	unsigned bit;
	const char *name;
} features[] = {
	{ VM_CPU_V1, 0x1, EDX, 0, "FPU" },
	{ VM_CPU_V1, 0x1, EDX, 8, "CMPXCHG8B" },
	{ VM_CPU_V1, 0x1, EDX, 15, "CMOV" },
	{ VM_CPU_V1, 0x1, EDX, 23, "MMX" },
	{ VM_CPU_V1, 0x1, EDX, 24, "FXSR" },
	{ VM_CPU_V1, 0x1, EDX, 25, "SSE" },
	{ VM_CPU_V1, 0x1, EDX, 26, "SSE2" },
	{ VM_CPU_V1, EXT + 1, EDX, 11, "SYSCALL" },
	{ VM_CPU_V1, EXT + 1, EDX, 29, "long mode" },
	{ VM_CPU_V2, 0x1, ECX, 0, "SSE3" },
	{ VM_CPU_V2, 0x1, ECX, 9, "SSSE3" },
	{ VM_CPU_V2, 0x1, ECX, 13, "CMPXCHG16B" },
	{ VM_CPU_V2, 0x1, ECX, 19, "SSE4.1" },
	{ VM_CPU_V2, 0x1, ECX, 20, "SSE4.2" },
	{ VM_CPU_V2, 0x1, ECX, 23, "POPCNT" },
	{ VM_CPU_V2, EXT + 1, ECX, 0, "LAHF" },
	{ VM_CPU_V3, 0x1, ECX, 12, "FMA" },
	{ VM_CPU_V3, 0x1, ECX, 22, "MOVBE" },
	{ VM_CPU_V3, 0x1, ECX, 26, "XSAVE" },
	{ VM_CPU_V3, 0x1, ECX, 28, "AVX" },
	{ VM_CPU_V3, 0x1, ECX, 29, "F16C" },
	{ VM_CPU_V3, 0x7, EBX, 3, "BMI1" },
	{ VM_CPU_V3, 0x7, EBX, 5, "AVX2" },
	{ VM_CPU_V3, 0x7, EBX, 8, "BMI2" },
	{ VM_CPU_V3, EXT + 1, ECX, 5, "LZCNT" },
};
#define NFEATURES (sizeof(features) / sizeof(features[0]))

/*
 * What stays besides in any baseline; of a leaf without a row, all.
 * XSAVE's states are 0xd: those of AVX at most, which are as large and in the
 * same place everywhere, and none of the newer ways to save them.
 */
static const struct keep {
	uint32_t leaf, index;
	uint32_t regs[4];
} keeps[] = {
	/* ecx: x2APIC, TSC deadline, hypervisor.  edx: VME, DE, PSE, TSC,
	 * MSR, PAE, MCE, APIC, SEP, MTRR, PGE, MCA, PAT, PSE36, CLFLUSH,
	 * HTT. */
	{ 0x1, 0,
	    { ALL, ALL, B(21) | B(24) | B(31),
		B(1) | B(2) | B(3) | B(4) | B(5) | B(6) | B(7) | B(9) | B(11) |
		    B(12) | B(13) | B(14) | B(16) | B(17) | B(19) | B(28) } },
	/* ebx: SMEP, SMAP; ecx: UMIP; edx: MD_CLEAR, IBRS, STIBP, L1D_FLUSH,
	 * ARCH_CAPABILITIES, SSBD. */
	{ 0x7, 0,
	    { 0, B(7) | B(20), B(2),
		B(10) | B(26) | B(27) | B(28) | B(29) | B(31) } },
	{ 0x7, ANY, { 0, 0, 0, 0 } },
	{ 0xd, 0, { 0x7, ALL, ALL, 0 } },
	{ 0xd, 2, { ALL, ALL, 0, 0 } },
	{ 0xd, ANY, { 0, 0, 0, 0 } },
	/* ecx: CmpLegacy, TOPOEXT.  edx: AMD's copy of leaf 1, NX. */
	{ EXT + 1, 0, { ALL, ALL, B(1) | B(22), 0x0183f3ff | B(20) } },
	/* ebx: IBPB, IBRS, STIBP, IBRS and STIBP always on, IBRS preferred,
	 * same mode, SSBD by one of two ways, SSB_NO, PSFD. */
	{ EXT + 8, 0,
	    { ALL,
		B(12) | B(14) | B(15) | B(16) | B(17) | B(18) | B(19) | B(24) |
		    B(25) | B(26) | B(28),
		ALL, 0 } },
	/* LFENCE serializes, null selectors clear the base, automatic IBRS. */
	{ EXT + 0x21, 0, { B(2) | B(6) | B(8), 0, 0, 0 } },
};

#define XSAVE_AVX_LEN (512 + 64 + 256) /* legacy area, header, AVX */

static uint32_t *
reg_of(struct kvm_cpuid_entry2 *e, enum reg reg)
{
	switch (reg) {
	case EAX:
		return &e->eax;
	case EBX:
		return &e->ebx;
	case ECX:
		return &e->ecx;
	case EDX:
		break;
	}
	return &e->edx;
}

static bool
has(struct kvm_cpuid2 *c, const struct feature *f)
{
	for (uint32_t i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];

		if (e->function == f->leaf && e->index == 0)
			return (*reg_of(e, f->reg) >> f->bit & 1) != 0;
	}
	return false;
}

static const struct keep *
find_keep(const struct kvm_cpuid_entry2 *e)
{
	for (size_t i = 0; i < sizeof(keeps) / sizeof(keeps[0]); i++) {
		const struct keep *k = &keeps[i];

		if (k->leaf == e->function &&
		    (k->index == ANY || k->index == e->index))
			return k;
	}
	return NULL;
}

static void
cut(struct kvm_cpuid_entry2 *e, enum vm_cpu cpu)
{
	const struct keep *k = find_keep(e);
	uint32_t regs[4];

	if (k == NULL)
		return;
	memcpy(regs, k->regs, sizeof(regs));
	for (size_t i = 0; i < NFEATURES; i++) {
		const struct feature *f = &features[i];

		if (f->leaf == e->function && e->index == 0 && f->level <= cpu)
			regs[f->reg] |= B(f->bit);
	}
	if (e->function == 0xd && cpu < VM_CPU_V3)
		memset(regs, 0, sizeof(regs));
	for (enum reg r = EAX; r <= EDX; r++)
		*reg_of(e, r) &= regs[r];
	if (e->function != 0xd || e->index != 0)
		return;
	if (e->ebx > XSAVE_AVX_LEN)
		e->ebx = XSAVE_AVX_LEN;
	if (e->ecx > XSAVE_AVX_LEN)
		e->ecx = XSAVE_AVX_LEN;
}

int
cpubase_apply(struct kvm_cpuid2 *c, uint32_t cpu, const char **missing)
{
	if (cpu == VM_CPU_HOST)
		return 0;
	for (size_t i = 0; i < NFEATURES; i++) {
		if (features[i].level <= cpu && !has(c, &features[i])) {
			*missing = features[i].name;
			return -ENOTSUP;
		}
	}
	for (uint32_t i = 0; i < c->nent; i++)
		cut(&c->entries[i], (enum vm_cpu)cpu);
	return 0;
}
