/* SPDX-License-Identifier: ISC */
/*
 * UEFI's variables: a file, and a copy of it that is the guest's flash.
 *
 * The file's length is what it was before the seal; its content is read after
 * it, and is the guest's business alone.  What the guest changes is written by
 * the main thread, soon after, without the machine's lock; a file that cannot
 * be written is no end of the guest, and is tried again: now and then, at the
 * next change, at the end.
 *
 * Invariant: flash_copy is what the file should be, and is but for the bytes
 * from unwritten to unwritten_end.
 */
#include <sys/mman.h>
#include <event2/event.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "flash.h"
#include "load.h"
#include "log.h"
#include "machine.h"
#include "shadow.h"
#include "vm_impl.h"

#define AGAIN_S 10

static void
take(struct vm *vm)
{
	uint32_t off, n;

	n = machine_flash_take(vm->machine, vm->flash_copy, &off);
	if (n == 0)
		return;
	if (vm->unwritten == vm->unwritten_end) {
		vm->unwritten = off;
		vm->unwritten_end = off + n;
		return;
	}
	if (off < vm->unwritten)
		vm->unwritten = off;
	if (off + n > vm->unwritten_end)
		vm->unwritten_end = off + n;
}

static void
write_out(struct vm *vm)
{
	static const struct timeval again = { AGAIN_S, 0 };
	static struct log_rate rate = LOG_RATE(3, 60);
	ssize_t w;

	take(vm);
	while (vm->unwritten < vm->unwritten_end) {
		w = pwrite(vm->efivars, vm->flash_copy + vm->unwritten,
		    vm->unwritten_end - vm->unwritten, (off_t)vm->unwritten);
		if (w == -1 && errno == EINTR)
			continue;
		if (w <= 0) {
			log_limited(&rate, "efivars %s: %s", vm->conf.efivars,
			    strerrordesc_np(w == -1 ? errno : EIO));
			event_add(vm->flash_event, &again);
			return;
		}
		vm->unwritten += (uint32_t)w;
	}
	event_del(vm->flash_event);
}

static void
on_changed(evutil_socket_t fd, short what, void *arg)
{
	write_out(arg);
}

void
vm_flash_changed(void *arg)
{
	struct vm *vm = arg;

	event_active(vm->flash_event, 0, 0);
}

/* Before the image, up to the largest ROM there can be. */
int
vm_flash_make(struct vm *vm)
{
	void *p;

	if (vm->efivars == -1)
		return 0;
	if (vm->rom_len == 0 || !load_is_uefi(vm->kernel))
		return vm_fail(vm, -EINVAL,
		    "efivars %s: what is booted is no UEFI firmware",
		    vm->conf.efivars);
	vm->flash_len =
	    load_flash_size(vm->efivars, SHADOW_ROM_MAX - vm->rom_len);
	if (vm->flash_len == 0)
		return vm_fail(vm, -EINVAL,
		    "efivars %s: not as long as flash for variables",
		    vm->conf.efivars);
	vm->flash_copy = malloc(vm->flash_len);
	vm->flash_event = event_new(vm->base, -1, EV_PERSIST, on_changed, vm);
	p = mmap(NULL, vm->flash_len, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || vm->flash_copy == NULL ||
	    vm->flash_event == NULL)
		return vm_fail(vm, -ENOMEM, "efivars %s: %s", vm->conf.efivars,
		    strerrordesc_np(ENOMEM));
	vm->flash = p;
	return 0;
}

int
vm_flash_fill(struct vm *vm)
{
	char why[LOAD_WHY_MAX];
	int e;

	if (vm->flash == NULL)
		return 0;
	e = load_file(vm->efivars, "efivars", vm->flash, vm->flash_len, why);
	if (e < 0)
		return vm_fail(vm, e, "%s", why);
	if (!load_is_uefi(vm->efivars))
		return vm_fail(vm, -EINVAL,
		    "efivars %s: no store of UEFI variables", vm->conf.efivars);
	memcpy(vm->flash_copy, vm->flash, vm->flash_len);
	return 0;
}

void
vm_flash_finish(struct vm *vm)
{
	if (vm->flash == NULL)
		return;
	write_out(vm);
	if (fdatasync(vm->efivars) == -1)
		log_warn("efivars %s", vm->conf.efivars);
}
