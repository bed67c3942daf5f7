/* SPDX-License-Identifier: ISC */
/*
 * The order of a VM's snapshot, whatever fails: what each disk is asked, when
 * the state is written, and what comes of it.  Everything around vm_snap.c is
 * a fake that writes down what it is told.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chan.h"
#include "ctl.h"
#include "imsg.h"
#include "save.h"
#include "virtio_chan.h"
#include "vm_impl.h"

#define DISKS 3 /* the last one can only be read */

/* Errors of disks 0 and 1, and where they come. */
struct row {
	enum snap_what what;
	int send, prepare[2], write, commit[2]; /* write: or read it */
	bool lost; /* a device process, while it was drained */
	const char *steps;
	int error;
	const char *why;
};

static const struct row *row;
static struct vm vm;
static char steps[128];
static struct answer {
	unsigned disk;
	int error;
} answers[8];
static unsigned nanswers;
static int result;
static char reason[256];
static unsigned nresults;

static void
note(char step, unsigned disk)
{
	snprintf(steps + strlen(steps), sizeof(steps) - strlen(steps), "%c%u ",
	    step, disk);
}

int
virtio_chan_snapshot(struct virtio_chan *vc, enum snap_step step,
    enum snap_what what, const char *tag, struct timespec when)
{
	unsigned i = (unsigned)((uintptr_t)vc - 1);

	assert_true(i < 2);
	assert_string_equal(tag, "tag");
	assert_int_equal(when.tv_sec, 7);
	assert_int_equal(when.tv_nsec, 9);
	assert_int_equal(
	    what, row->what == SNAP_CHECK ? SNAP_REVERT : row->what);
	note("pca"[step], i);
	if (i == 1 && step == SNAP_PREPARE && row->send != 0)
		return row->send;
	answers[nanswers++] = (struct answer){ i,
		step == SNAP_PREPARE	  ? row->prepare[i]
		    : step == SNAP_COMMIT ? row->commit[i]
					  : 0 };
	return 0;
}

/* The last one that was asked answers first. */
static void
deliver(void)
{
	struct answer a;

	while (nanswers > 0) {
		a = answers[--nanswers];
		vm_snapped(&vm.disk[a.disk], a.error, "its reason");
	}
}

int
virtio_chan_snap_wait(struct virtio_chan *vc, int ms)
{
	deliver();
	return 0;
}

int
save_write(const struct save *s, int fd, char why[SAVE_WHY_MAX])
{
	assert_int_not_equal(fd, -1);
	note('w', 0);
	snprintf(why, SAVE_WHY_MAX, "no space");
	return row->write;
}

const char *
save_cannot(const struct vmconf *c)
{
	return NULL;
}

void
vm_parts(struct vm *v, struct save *s)
{
}

bool
vm_idle(const struct vm *v)
{
	return v->snap == NULL && v->save == -1;
}

void
vm_stand_still(struct vm *v)
{
	v->save_lost = row->lost;
	vm_snap_drained(v);
}

void
vm_saved(struct vm *v, int error, const char *why)
{
	assert_true(v->save_go_on);
	assert_null(v->snap);
	if (v->save != -1)
		close(v->save);
	v->save = -1;
	result = error;
	snprintf(reason, sizeof(reason), "%s", why);
	nresults++;
}

void
vm_report(struct vm *v, uint32_t type, uint32_t number, const char *text)
{
	assert_int_equal(type, VM_SAVED);
	result = -(int)number;
	nresults++;
}

static struct ibuf *
body_of(enum snap_what what)
{
	struct ibuf *b = chan_body();

	assert_int_equal(ibuf_add_n32(b, what), 0);
	assert_int_equal(ctl_put_str(b, "tag"), 0);
	assert_int_equal(ibuf_add_n64(b, 7), 0);
	assert_int_equal(ibuf_add_n32(b, 9), 0);
	return b;
}

static void
begin(const struct row *r)
{
	unsigned i;

	row = r;
	memset(&vm, 0, sizeof(vm));
	vm.save = -1;
	vm.conf.ndisks = DISKS;
	vm.conf.disk[2].readonly = true;
	for (i = 0; i < DISKS; i++) {
		vm.disk[i].vm = &vm;
		vm.disk[i].front = (struct virtio_chan *)(uintptr_t)(i + 1);
		snprintf(vm.conf.disk[i].path, sizeof(vm.conf.disk[i].path),
		    "/d%u", i);
	}
	if (r->what != SNAP_REVERT)
		vm.vcpus = (struct vcpus *)&vm;
	steps[0] = '\0';
	nanswers = nresults = 0;
}

static void
run(const struct row *r)
{
	struct ibuf *b = body_of(r->what);
	int fd;

	begin(r);
	if (r->what == SNAP_CREATE) {
		fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
		assert_int_equal(vm_on_snapshot(&vm, 0, fd, b), 0);
	} else
		assert_int_equal(vm_on_snapchange(&vm, 0, -1, b), 0);
	ibuf_free(b);
	deliver();
	if (r->what == SNAP_REVERT) {
		assert_int_equal(nresults, 0);
		vm.vcpus = (struct vcpus *)&vm;
		result = vm_snap_prepare(&vm, reason, sizeof(reason));
		if (result == 0) {
			note('r', 0);
			result = r->write;
		}
		result = vm_snap_revert(&vm, result, reason, sizeof(reason));
		nresults++;
	}
	if (strcmp(steps, r->steps) != 0)
		fail_msg("\"%s\", not \"%s\"", steps, r->steps);
	assert_int_equal(nresults, 1);
	assert_int_equal(result, r->error);
	assert_null(vm.snap);
	if (r->why != NULL)
		assert_string_equal(reason, r->why);
}

static void
test_orders(void **state)
{
	static const struct row rows[] = {
		{ SNAP_CREATE, 0, { 0, 0 }, 0, { 0, 0 }, false,
		    "p0 p1 w0 c0 c1 ", 0, NULL },
		/* Nothing is written, and nothing stays. */
		{ SNAP_CREATE, 0, { 0, -ENOSPC }, 0, { 0, 0 }, false,
		    "p0 p1 a0 ", -ENOSPC, "disk /d1: its reason" },
		{ SNAP_CREATE, 0, { -ENOTSUP, -ENOTSUP }, 0, { 0, 0 }, false,
		    "p0 p1 ", -ENOTSUP, "disk /d1: its reason" },
		{ SNAP_CREATE, -EPIPE, { 0, 0 }, 0, { 0, 0 }, false,
		    "p0 p1 a0 ", -EPIPE, "disk /d1: Broken pipe" },
		{ SNAP_CREATE, 0, { 0, 0 }, -ENOSPC, { 0, 0 }, false,
		    "p0 p1 w0 a0 a1 ", -ENOSPC, "no space" },
		{ SNAP_CREATE, 0, { 0, 0 }, 0, { 0, 0 }, true, "", -EIO,
		    "a device process ended" },
		{ SNAP_CREATE, 0, { 0, -ENOENT }, 0, { 0, 0 }, false,
		    "p0 p1 a0 ", -ENOENT, "disk /d1: its reason" },
		/* The other has it: for a delete that comes. */
		{ SNAP_CREATE, 0, { 0, 0 }, 0, { -EIO, 0 }, false,
		    "p0 p1 w0 c0 c1 ", -EIO, "disk /d0: its reason" },
		{ SNAP_DELETE, 0, { 0, 0 }, 0, { 0, 0 }, false, "p0 p1 c0 c1 ",
		    0, NULL },
		/* Half of it is gone already. */
		{ SNAP_DELETE, 0, { -ENOENT, 0 }, 0, { 0, 0 }, false,
		    "p0 p1 c1 ", 0, NULL },
		{ SNAP_DELETE, 0, { -ENOENT, -ENOENT }, 0, { 0, 0 }, false,
		    "p0 p1 ", -ENOENT, "no disk has a snapshot \"tag\"" },
		{ SNAP_DELETE, 0, { -ENOENT, -EIO }, 0, { 0, 0 }, false,
		    "p0 p1 ", -EIO, "disk /d1: its reason" },
		/* Only a look. */
		{ SNAP_CHECK, 0, { 0, 0 }, 0, { 0, 0 }, false, "p0 p1 a0 a1 ",
		    0, NULL },
		{ SNAP_CHECK, 0, { -ENOENT, 0 }, 0, { 0, 0 }, false,
		    "p0 p1 a1 ", -ENOENT, "disk /d0: its reason" },
		{ SNAP_REVERT, 0, { 0, 0 }, 0, { 0, 0 }, false,
		    "p0 p1 r0 c0 c1 ", 0, NULL },
		/* The state is not one of this VM. */
		{ SNAP_REVERT, 0, { 0, 0 }, -EINVAL, { 0, 0 }, false,
		    "p0 p1 r0 a0 a1 ", -EINVAL, NULL },
		{ SNAP_REVERT, 0, { 0, 0 }, 0, { 0, -EIO }, false,
		    "p0 p1 r0 c0 c1 ", -EIO, "disk /d1: its reason" },
		{ SNAP_REVERT, 0, { 0, -ENOENT }, 0, { 0, 0 }, false,
		    "p0 p1 a0 ", -ENOENT, "disk /d1: its reason" },
		{ SNAP_REVERT, -EPIPE, { 0, 0 }, 0, { 0, 0 }, false,
		    "p0 p1 a0 ", -EPIPE, "disk /d1: Broken pipe" },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		run(&rows[i]);
}

/* No disk that can be written: the state is all there is. */
static void
test_without_disks(void **state)
{
	static const struct row r = { .what = SNAP_CREATE, .steps = "w0 " };
	struct ibuf *b = body_of(SNAP_CREATE);
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	begin(&r);
	vm.conf.ndisks = 0;
	assert_int_equal(vm_on_snapshot(&vm, 0, fd, b), 0);
	ibuf_free(b);
	assert_string_equal(steps, "w0 ");
	assert_int_equal(nresults, 1);
	assert_int_equal(result, 0);
}

static void
refused(enum snap_what what, int fd)
{
	struct ibuf *b = body_of(what);

	assert_int_equal(fd != -1 ? vm_on_snapshot(&vm, 0, fd, b)
				  : vm_on_snapchange(&vm, 0, -1, b),
	    -EBADMSG);
	ibuf_free(b);
}

static void
test_at_the_wrong_time(void **state)
{
	static const struct row r = { .what = SNAP_CHECK };
	struct ibuf *b;

	begin(&r);
	refused(SNAP_REVERT, -1); /* it runs */
	refused(SNAP_CREATE, -1); /* without a file */
	refused(SNAP_DELETE, open("/dev/null", O_WRONLY | O_CLOEXEC));
	/* Something of the kind is under way. */
	vm.save = 99;
	b = body_of(SNAP_CHECK);
	assert_int_equal(vm_on_snapchange(&vm, 0, -1, b), 0);
	ibuf_free(b);
	assert_int_equal(result, -EBUSY);
	assert_string_equal(steps, "");
	/* It does not run. */
	vm.save = -1;
	vm.vcpus = NULL;
	refused(SNAP_CHECK, -1);
	refused(SNAP_CREATE, open("/dev/null", O_WRONLY | O_CLOEXEC));
	assert_int_equal(vm_snap_prepare(&vm, reason, sizeof(reason)), 0);
	assert_int_equal(vm_snap_revert(&vm, 0, reason, sizeof(reason)), 0);
	assert_int_equal(
	    vm_snap_revert(&vm, -EIO, reason, sizeof(reason)), -EIO);
	b = body_of(SNAP_REVERT);
	assert_int_equal(vm_on_snapchange(&vm, 0, -1, b), 0);
	ibuf_free(b);
	refused(SNAP_REVERT, -1); /* once */
	free(vm.snap);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_orders),
		cmocka_unit_test(test_without_disks),
		cmocka_unit_test(test_at_the_wrong_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
