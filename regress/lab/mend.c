/* SPDX-License-Identifier: ISC */
/*
 * Preloaded into the lab's emulator, QEMU, whose AMD-V (TCG) has three
 * faults that kill guests on KVM as on our driver, or itself.  Found in 10.0.2; what a QEMU does
 * not export stays as it is.
 *
 * 1. VMRUN that injects an external interrupt sets the vCPU's exception_index
 *    to the vector, delivers the interrupt itself and leaves the index set.  A
 *    vCPU that is asked to leave its loop before the next #VMEXIT or exception,
 *    because another one needs all to stand still or a reader of RCU is late,
 *    takes that for an exception that is pending: the guest gets the interrupt
 *    once more, whatever its RFLAGS.IF says.  VMRUN is the last instruction of
 *    its translation block, so the loop can be left as soon as it is done, by
 *    the way that means no exception.
 *
 * 2. Whichever vCPU loads an FPU state without a pending x87 exception clears a
 *    flag of the first one, IGNNE, and with it writes back, without a lock, what
 *    hflags2 was a moment ago.  There are GIF and "nested paging is on": lost
 *    in VMRUN, the guest's page tables are read at the host's addresses and it
 *    ends in a triple fault, which was seen; a write after a #VMEXIT can set
 *    both again, for the host, which was not.  Only port 0xf0 sets IGNNE, and
 *    nobody writes there: the function is made to do nothing.
 *
 * 3. A guest that writes CR8 while a virtual interrupt is pending makes QEMU ask
 *    for an interrupt without the lock that this needs, which it finds and
 *    aborts.  UEFI firmware writes CR8 at the end of each interrupt.  So the
 *    lock is taken where it is found missing, and given back behind the write.
 */
#include <sys/mman.h>
#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define RET	  0xc3
#define CALL	  0xe8 /* a 32-bit displacement follows */
#define CALL_LEN  5
#define LOOK	  32 /* bytes of a function where the call is */
#define NEAR_STEP (1UL << 24)
#define NEAR_MAX  (1UL << 30)

typedef void vmrun_fn(void *env, int aflag, int length);
typedef void leave_fn(void *cpu);
typedef void write_cr_fn(void *env, uint32_t reg, uint64_t val);
typedef bool locked_fn(void);
typedef void lock_fn(const char *file, int line);
typedef void unlock_fn(void);

/* How QEMU describes a function that translated code calls: its beginning. */
struct helper_info {
	void (*func)(void);
	const char *name;
};

/* QEMU's; of the thread. */
extern __thread void *current_cpu __attribute__((weak));

static vmrun_fn *vmrun;
static leave_fn *leave;
static write_cr_fn *write_cr;
static locked_fn *is_locked;
static lock_fn *lock;
static unlock_fn *unlock;
static __thread bool writing, taken;

static void
vmrun_and_leave(void *env, int aflag, int length)
{
	vmrun(env, aflag, length);
	leave(current_cpu);
}

static void
mend_vmrun(void)
{
	struct helper_info *h = dlsym(RTLD_DEFAULT, "helper_info_vmrun");

	*(void **)&leave = dlsym(RTLD_DEFAULT, "cpu_loop_exit_noexc");
	if (h == NULL || leave == NULL)
		return;
	vmrun = (vmrun_fn *)h->func;
	h->func = (void (*)(void))vmrun_and_leave;
}

static void
mend_ignne(void)
{
	uint8_t *code = dlsym(RTLD_DEFAULT, "cpu_clear_ignne");
	size_t size = (size_t)getpagesize();
	uint8_t *page;

	if (code == NULL)
		return;
	page = code - (uintptr_t)code % size;
	if (mprotect(page, size, PROT_READ | PROT_WRITE | PROT_EXEC) == -1)
		return;
	*code = RET;
	mprotect(page, size, PROT_READ | PROT_EXEC);
}

/* Other registers by a jump: QEMU finds the guest's instruction by the address
 * that its function returns to.  (Makefile: always with optimization.) */
static void
write_and_unlock(void *env, uint32_t reg, uint64_t val)
{
	if (reg != 8) {
		write_cr(env, reg, val);
		return;
	}
	writing = true;
	write_cr(env, reg, val);
	writing = false;
	if (taken)
		unlock();
	taken = false;
}

/* In the place of the question whether the lock is held. */
static bool
locked_by_now(void)
{
	if (is_locked())
		return true;
	if (!writing)
		return false;
	lock(__FILE__, __LINE__);
	taken = true;
	return true;
}

/* The call of target near the beginning of code, or NULL. */
static uint8_t *
find_call(uint8_t *code, uintptr_t target)
{
	int32_t rel;

	for (unsigned i = 0; i < LOOK; i++) {
		memcpy(&rel, code + i + 1, sizeof(rel));
		if (code[i] == CALL &&
		    (uintptr_t)code + i + CALL_LEN + (uintptr_t)rel == target)
			return code + i;
	}
	return NULL;
}

/* A jump to anywhere, where a call of code can reach it. */
static uint8_t *
make_jump(const uint8_t *code, uintptr_t to)
{
	static const uint8_t jump[] = { 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0,
		0xff, 0xe0 }; /* to rax */
	size_t size = (size_t)getpagesize();
	uintptr_t at = (uintptr_t)code - (uintptr_t)code % size;
	uint8_t *p = MAP_FAILED;

	for (size_t off = NEAR_STEP; off < NEAR_MAX && p == MAP_FAILED;
	     off += NEAR_STEP)
		p = mmap((void *)(at - off), size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	memcpy(p, jump, sizeof(jump));
	memcpy(p + 2, &to, sizeof(to));
	mprotect(p, size, PROT_READ | PROT_EXEC);
	return p;
}

static void
redirect(uint8_t *call, const uint8_t *to)
{
	size_t size = (size_t)getpagesize();
	uint8_t *page = call - (uintptr_t)call % size;
	int32_t rel = (int32_t)(to - (call + CALL_LEN));

	if (mprotect(page, 2 * size, PROT_READ | PROT_WRITE | PROT_EXEC) == -1)
		return;
	memcpy(call + 1, &rel, sizeof(rel));
	mprotect(page, 2 * size, PROT_READ | PROT_EXEC);
}

static void
mend_cr8(void)
{
	struct helper_info *h = dlsym(RTLD_DEFAULT, "helper_info_write_crN");
	uint8_t *code = dlsym(RTLD_DEFAULT, "tcg_handle_interrupt");
	uint8_t *call, *jump;

	*(void **)&is_locked = dlsym(RTLD_DEFAULT, "bql_locked");
	*(void **)&lock = dlsym(RTLD_DEFAULT, "bql_lock_impl");
	*(void **)&unlock = dlsym(RTLD_DEFAULT, "bql_unlock");
	if (h == NULL || code == NULL || is_locked == NULL || lock == NULL ||
	    unlock == NULL)
		return;
	if ((call = find_call(code, (uintptr_t)is_locked)) == NULL ||
	    (jump = make_jump(code, (uintptr_t)locked_by_now)) == NULL)
		return;
	redirect(call, jump);
	write_cr = (write_cr_fn *)h->func;
	h->func = (void (*)(void))write_and_unlock;
}

__attribute__((constructor)) static void
mend(void)
{
	mend_vmrun();
	mend_ignne();
	mend_cr8();
}
