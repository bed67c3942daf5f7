/* SPDX-License-Identifier: ISC */
/*
 * Preloaded into the lab's emulator, QEMU, whose AMD-V (TCG) has two faults
 * that kill guests on KVM as on our driver.  Found in 10.0.2; what a QEMU does
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
 */
#include <sys/mman.h>
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#define RET 0xc3

typedef void vmrun_fn(void *env, int aflag, int length);
typedef void leave_fn(void *cpu);

/* How QEMU describes a function that translated code calls: its beginning. */
struct helper_info {
	vmrun_fn *func;
	const char *name;
};

/* QEMU's; of the thread. */
extern __thread void *current_cpu __attribute__((weak));

static vmrun_fn *vmrun;
static leave_fn *leave;

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
	vmrun = h->func;
	h->func = vmrun_and_leave;
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

__attribute__((constructor)) static void
mend(void)
{
	mend_vmrun();
	mend_ignne();
}
