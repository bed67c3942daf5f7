/* SPDX-License-Identifier: ISC */
/* UEFI's variables on their way to the file, which cannot always be written. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>
#include <event2/event.h>
#include "machine.h"
#include "vm_impl.h"

#define LEN 0x3000U

static struct {
	uint32_t off, n;
} guest; /* what it changed */

uint32_t
machine_flash_take(struct machine *m, uint8_t *p, uint32_t *off)
{
	uint32_t n = guest.n;

	memset(p + guest.off, 'g', n);
	*off = guest.off;
	guest.n = 0;
	return n;
}

int
vm_fail(struct vm *vm, int error, const char *fmt, ...)
{
	return 1;
}

static void
largest_file(rlim_t bytes)
{
	struct rlimit r;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &r), 0);
	r.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static void
changes(struct vm *vm, uint32_t off, uint32_t n)
{
	guest.off = off;
	guest.n = n;
	vm_flash_changed(vm);
	event_base_loop(vm->base, EVLOOP_NONBLOCK);
}

/* How many bytes of the file the guest has written, from off on. */
static unsigned
written(const struct vm *vm, uint32_t off)
{
	uint8_t b[LEN];
	unsigned n = 0;

	assert_int_equal(pread(vm->efivars, b, LEN, 0), LEN);
	while (off + n < LEN && b[off + n] == 'g')
		n++;
	return n;
}

static void
on_changed_again(evutil_socket_t fd, short what, void *vm)
{
	vm_flash_finish(vm);
}

static void
test_again(void **state)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	unsigned i;

	signal(SIGXFSZ, SIG_IGN);
	vm->base = event_base_new();
	vm->efivars = memfd_create("vars", MFD_CLOEXEC);
	assert_int_equal(ftruncate(vm->efivars, LEN), 0);
	vm->flash_copy = calloc(1, LEN);
	vm->flash = vm->flash_copy;
	vm->flash_event =
	    event_new(vm->base, -1, EV_PERSIST, on_changed_again, vm);

	changes(vm, 0x100, 16);
	assert_int_equal(written(vm, 0x100), 16);
	largest_file(0x1000);
	changes(vm, 0x2000, 32); /* it fails */
	changes(vm, 0x800, 8);
	assert_int_equal(written(vm, 0x2000), 0);
	/* It is known when to try again. */
	assert_true(event_pending(vm->flash_event, EV_TIMEOUT, NULL));
	largest_file(RLIM_INFINITY);
	for (i = 0; i < 2; i++) { /* nothing is new, the second time */
		event_active(vm->flash_event, EV_TIMEOUT, 0);
		event_base_loop(vm->base, EVLOOP_NONBLOCK);
	}
	assert_int_equal(written(vm, 0x2000), 32);
	assert_int_equal(written(vm, 0x800), 8);
	assert_false(event_pending(vm->flash_event, EV_TIMEOUT, NULL));

	/* At the end. */
	largest_file(0x1000);
	changes(vm, 0x2800, 4);
	assert_int_equal(written(vm, 0x2800), 0);
	largest_file(RLIM_INFINITY);
	vm_flash_finish(vm);
	assert_int_equal(written(vm, 0x2800), 4);

	event_free(vm->flash_event);
	event_base_free(vm->base);
	close(vm->efivars);
	free(vm->flash_copy);
	free(vm);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_again) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
