/* SPDX-License-Identifier: ISC */
/*
 * Preloaded into the lab's emulator: what its VMRUN leaves behind is removed.
 *
 * QEMU's VMRUN (target/i386/tcg, seen in 7.2 and 10.0) that injects an external
 * interrupt sets the vCPU's exception_index to the vector, delivers the
 * interrupt itself and leaves the index set.  A vCPU that is asked to leave
 * its loop before the next #VMEXIT or exception, because another one needs all
 * to stand still or a reader of RCU is late, takes that for an exception that
 * is pending: the guest gets the interrupt once more, whatever its RFLAGS.IF
 * says, between two instructions of an interrupt's entry as well.  Guests die
 * of it, some tests in a thousand, on KVM as on our driver.
 *
 * VMRUN is the last instruction of its translation block, so the loop can be
 * left as soon as it is done, by the way that means no exception.
 *
 * Emulators without these symbols (7.2 has VMRUN's address in its code) run
 * as they are.
 */
#include <dlfcn.h>
#include <stddef.h>

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

__attribute__((constructor)) static void
mend(void)
{
	struct helper_info *h = dlsym(RTLD_DEFAULT, "helper_info_vmrun");

	*(void **)&leave = dlsym(RTLD_DEFAULT, "cpu_loop_exit_noexc");
	if (h == NULL || leave == NULL)
		return;
	vmrun = h->func;
	h->func = vmrun_and_leave;
}
