/* SPDX-License-Identifier: ISC */
/*
 * What is kept for a later parent: there and back, and everything that
 * somebody else may have made of it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "imsg.h"
#include "msg.h"
#include "record.h"
#include "vmconf.h"

static struct vmreg reg;

static struct vm *
make_vm(void)
{
	struct vmconf c;
	struct vm *vm;
	unsigned i;

	vmreg_init(&reg);
	vmconf_init(&c);
	strcpy(c.name, "web");
	strcpy(c.kernel, "/boot/vmlinuz");
	c.memory = 64 << 20;
	c.uid = 7;
	c.ndisks = 1;
	strcpy(c.disk[0].path, "/srv/disk");
	c.nnics = 2;
	assert_int_equal(vmreg_add(&reg, &c, &vm), 0);
	vm->state = VM_STOPPING;
	vm->run.stopped = true;
	vm->run.forced = true;
	vm->unplugged = 2;
	vm->restarts = 3;
	vm->quick = 1;
	vm->starter = 1000;
	vm->started = 123456789;
	vm->medium.bytes = 4096;
	vm->keep = 32 << 20;
	strcpy(vm->tty[0].name, "/dev/pts/3");
	strcpy(vm->tty[VM_TTY_VIRTIO].name, "/dev/pts/4");
	strcpy(vm->problem, "vioblk0: ended");
	vm->run.end = RUN_RESET;
	vm->run.fail.code = EIO;
	strcpy(vm->run.fail.text, "vcpu 0");
	for (i = 0; i < RUN_CHILDREN; i++)
		run_child(&vm->run, i)->pid = (pid_t)(100 + i);
	vm->run.net[1].key = 9;
	vm->run.net[1].ready = vm->run.net[1].locked = true;
	strcpy(vm->run.net[1].tap.ifname, "tap0");
	strcpy(vm->run.net[1].tap.alias, "vm1-if1-web");
	vm->run.net[1].tap.local = true;
	return vm;
}

static struct ibuf *
vm_note(void)
{
	struct ibuf *b = ibuf_dynamic(0, 65536);

	assert_non_null(b);
	assert_int_equal(record_put_vm(b, make_vm()), 0);
	return b;
}

static void
test_vm(void **state)
{
	struct ibuf *b = vm_note();
	struct record_vm *r = malloc(sizeof(*r));
	struct vmreg other;
	struct vm *vm;
	unsigned i;

	assert_non_null(r);
	assert_int_equal(record_get_vm(b, r), 0);
	assert_true(r->stopping && r->forced);
	vmreg_init(&other);
	assert_int_equal(vmreg_set_id(&other, 5, 7, "web"), 0);
	assert_int_equal(vmreg_add(&other, &r->conf, &vm), 0);
	assert_int_equal(vm->id, 5);
	record_apply(vm, r);
	/* Addresses that were chosen are not chosen again. */
	assert_memory_equal(
	    &vm->conf, &TAILQ_FIRST(&reg.vms)->conf, sizeof(vm->conf));
	assert_int_equal(vm->state, VM_RUNNING);
	assert_true(vm->run.stopped);
	assert_int_equal(vm->unplugged, 2);
	assert_int_equal(vm->keep, 32 << 20);
	assert_int_equal(vm->restarts, 3);
	assert_int_equal(vm->quick, 1);
	assert_int_equal(vm->starter, 1000);
	assert_int_equal(vm->started, 123456789);
	assert_int_equal(vm->medium.bytes, 4096);
	assert_string_equal(vm->tty[0].name, "/dev/pts/3");
	assert_string_equal(vm->tty[VM_TTY_SERIAL2].name, "");
	assert_string_equal(vm->tty[VM_TTY_VIRTIO].name, "/dev/pts/4");
	assert_string_equal(vm->problem, "vioblk0: ended");
	assert_int_equal(vm->run.end, RUN_RESET);
	assert_int_equal(vm->run.fail.code, EIO);
	assert_string_equal(vm->run.fail.text, "vcpu 0");
	for (i = 0; i < RUN_CHILDREN; i++)
		assert_int_equal(run_child(&vm->run, i)->pid, 100 + i);
	assert_int_equal(vm->run.net[0].key, 0);
	assert_int_equal(vm->run.net[1].key, 9);
	assert_true(vm->run.net[1].ready && vm->run.net[1].locked);
	assert_string_equal(vm->run.net[1].tap.ifname, "tap0");
	assert_true(vm->run.net[1].tap.local);
	vmreg_clear(&other);
	vmreg_clear(&reg);
	ibuf_free(b);
	free(r);
}

/* Cut anywhere, or with something behind it. */
static void
test_vm_length(void **state)
{
	struct ibuf *b = vm_note(), view;
	struct record_vm *r = malloc(sizeof(*r));
	size_t len = ibuf_size(b), i;
	uint8_t *bytes = malloc(len + 1);

	assert_true(r != NULL && bytes != NULL);
	memcpy(bytes, ibuf_data(b), len);
	bytes[len] = 0;
	for (i = 0; i <= len + 1; i++) {
		ibuf_from_buffer(&view, bytes, i);
		assert_int_equal(
		    record_get_vm(&view, r), i == len ? 0 : -EBADMSG);
	}
	free(bytes);
	free(r);
	ibuf_free(b);
	vmreg_clear(&reg);
}

/* Any byte another one: it is refused, or within all limits. */
static void
test_vm_bytes(void **state)
{
	static const uint8_t other[] = { 0, 1, 0x2f, 0x7f, 0x80, 0xff };
	struct ibuf *b = vm_note(), view;
	struct record_vm *r = malloc(sizeof(*r));
	size_t len = ibuf_size(b), i, k;
	uint8_t *bytes = malloc(len), old;

	assert_true(r != NULL && bytes != NULL);
	memcpy(bytes, ibuf_data(b), len);
	for (i = 0; i < len; i++) {
		old = bytes[i];
		for (k = 0; k < sizeof(other); k++) {
			bytes[i] = other[k];
			ibuf_from_buffer(&view, bytes, len);
			if (record_get_vm(&view, r) != 0)
				continue;
			assert_true(vmconf_name_ok(r->conf.name));
			assert_true(r->conf.ndisks <= VM_DISKS_MAX);
			assert_true(r->conf.nnics <= VM_NICS_MAX);
			assert_true(r->unplugged < 1U << VM_NICS_MAX);
			assert_true(r->keep <= r->conf.memory);
			assert_true(r->pid[0] > 0 && r->started >= 0);
			assert_true(strlen(r->tty[0]) < sizeof(r->tty[0]));
			assert_true(strlen(r->tty[2]) < sizeof(r->tty[2]));
			assert_true(strlen(r->problem) < sizeof(r->problem));
		}
		bytes[i] = old;
	}
	free(bytes);
	free(r);
	ibuf_free(b);
	vmreg_clear(&reg);
}

static void
test_id(void **state)
{
	struct ibuf *b = ibuf_dynamic(0, 1024), view;
	const struct vm *vm = make_vm();
	struct record_id id;
	size_t i, len;
	uint8_t bytes[256];

	assert_int_equal(record_put_id(b, vm), 0);
	len = ibuf_size(b);
	assert_true(len + 1 < sizeof(bytes));
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, ibuf_data(b), len);
	for (i = 0; i <= len + 1; i++) {
		ibuf_from_buffer(&view, bytes, i);
		assert_int_equal(
		    record_get_id(&view, &id), i == len ? 0 : -EBADMSG);
	}
	ibuf_from_buffer(&view, bytes, len);
	assert_int_equal(record_get_id(&view, &id), 0);
	assert_string_equal(id.name, "web");
	assert_int_equal(id.uid, 7);
	assert_true(id.up);
	ibuf_free(b);
	vmreg_clear(&reg);
}

static void
test_daemon(void **state)
{
	struct record_daemon d = { MSG_VERSION, true, { 0xfd, 1, 2 }, 77 }, e;
	struct ibuf *b = ibuf_dynamic(0, 1024), view;
	size_t i, len;
	uint8_t bytes[64] = { 0 };

	assert_int_equal(record_put_daemon(b, &d), 0);
	len = ibuf_size(b);
	assert_true(len + 1 < sizeof(bytes));
	memcpy(bytes, ibuf_data(b), len);
	for (i = 0; i <= len + 1; i++) {
		ibuf_from_buffer(&view, bytes, i);
		assert_int_equal(
		    record_get_daemon(&view, &e), i == len ? 0 : -EBADMSG);
	}
	ibuf_from_buffer(&view, bytes, len);
	assert_int_equal(record_get_daemon(&view, &e), 0);
	assert_true(e.have_prefix6);
	assert_int_equal(e.keeper, d.keeper);
	assert_memory_equal(e.prefix6, d.prefix6, sizeof(e.prefix6));
	/* Whatever another version has behind it. */
	bytes[3]++;
	for (i = sizeof(uint32_t); i < sizeof(bytes); i++) {
		ibuf_from_buffer(&view, bytes, i);
		assert_int_equal(record_get_daemon(&view, &e), -EPROTO);
		assert_int_equal(e.version, MSG_VERSION + 1);
	}
	ibuf_free(b);
}

/* An id is one VM's, for ever; those that follow are new. */
static void
test_ids(void **state)
{
	struct vmreg r;
	struct vmconf c;
	struct vm *vm;

	vmreg_init(&r);
	assert_int_equal(vmreg_set_id(&r, 9, 0, "old"), 0);
	assert_int_equal(vmreg_set_id(&r, 9, 0, "new"), -EEXIST);
	assert_int_equal(vmreg_set_id(&r, 3, 0, "old"), -EEXIST);
	assert_int_equal(vmreg_set_id(&r, 3, 1, "old"), 0);
	assert_int_equal(vmreg_set_id(&r, 0, 0, "none"), -EINVAL);
	assert_int_equal(vmreg_set_id(&r, UINT32_MAX, 0, "last"), -EINVAL);
	vmconf_init(&c);
	strcpy(c.name, "new");
	assert_int_equal(vmreg_add(&r, &c, &vm), 0);
	assert_int_equal(vm->id, 10);
	strcpy(c.name, "old");
	assert_int_equal(vmreg_add(&r, &c, &vm), 0);
	assert_int_equal(vm->id, 9);
	vmreg_clear(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vm),
		cmocka_unit_test(test_vm_length),
		cmocka_unit_test(test_vm_bytes),
		cmocka_unit_test(test_id),
		cmocka_unit_test(test_daemon),
		cmocka_unit_test(test_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
