/* SPDX-License-Identifier: ISC */
/*
 * What an image may make the parent open: ATTACKS.md, part C.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chain.h"
#include "ctl.h"

static char dir[] = "/tmp/vmm-chain.XXXXXX";

static void __attribute__((format(printf, 1, 2))) sh(const char *fmt, ...)
{
	char cmd[1024], line[1200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	snprintf(line, sizeof(line), "cd %s && %s", dir, cmd);
	if (system(line) != 0)
		fail_msg("%s", cmd);
}

static const char *base; /* of the configuration, in dir; NULL: none */

static int
try_open(
    const char *name, enum vm_diskfmt fmt, struct chain *c, struct fail *why)
{
	struct vm_diskconf d = { .format = fmt };

	if (base != NULL)
		snprintf(d.base, sizeof(d.base), "%s/%s", dir, base);
	snprintf(d.path, sizeof(d.path), "%s/%s", dir, name);
	why->text[0] = '\0';
	c->n = 0;
	return chain_open(c, &d, why);
}

static void
opens(const char *name, enum vm_diskfmt fmt, unsigned n)
{
	struct chain c;
	struct fail why;

	if (try_open(name, fmt, &c, &why) != 0)
		fail_msg("%s: %s", name, why.text);
	assert_int_equal(c.n, n);
	chain_close(&c);
}

static void
refused(const char *name, enum vm_diskfmt fmt, const char *text)
{
	struct chain c;
	struct fail why;

	assert_int_equal(try_open(name, fmt, &c, &why), -CTL_E_DISK);
	if (strstr(why.text, text) == NULL)
		fail_msg("%s: %s", name, why.text);
	assert_int_equal(c.n, 0);
}

/* GHSA-jmr4-g2hv-mjj6: the guest wrote a qcow2 header into its raw disk. */
static void
test_format_is_not_the_guests(void **state)
{
	struct chain c;
	struct fail why;

	sh("qemu-img create -q -f qcow2 a.qcow2 1M && cp a.qcow2 a.img");
	sh("truncate -s 1M a.img r.qcow2 r.img");
	refused("a.img", VM_DISK_ANY, "looks like a qcow2 image");
	assert_int_equal(try_open("a.img", VM_DISK_RAW, &c, &why), 0);
	assert_int_equal(c.layer[0].format, VM_DISK_RAW);
	chain_close(&c);
	opens("a.img", VM_DISK_QCOW2, 1);
	opens("a.qcow2", VM_DISK_ANY, 1);
	opens("r.img", VM_DISK_ANY, 1);
	refused("r.qcow2", VM_DISK_ANY, "not a qcow2 image");
	refused("r.img", VM_DISK_QCOW2, "not a qcow2 image");
}

static void
test_chain(void **state)
{
	unsigned i;

	sh("truncate -s 1M 0.img && qemu-img create -q -f qcow2 -F raw -b "
	   "0.img 1.qcow2");
	for (i = 2; i < 17; i++)
		sh("qemu-img create -q -f qcow2 -F qcow2 -b %u.qcow2 %u.qcow2",
		    i - 1, i);
	opens("15.qcow2", VM_DISK_QCOW2, 16);
	refused("16.qcow2", VM_DISK_QCOW2, "more than 16 images");
	/* Relative to the image, not to us. */
	sh("mkdir -p sub && qemu-img create -q -f qcow2 -F qcow2 -b "
	   "../1.qcow2 sub/s.qcow2");
	opens("sub/s.qcow2", VM_DISK_QCOW2, 3);
	sh("rm 0.img");
	refused("sub/s.qcow2", VM_DISK_QCOW2, "0.img: No such file");
}

static void
test_loop(void **state)
{
	sh("qemu-img create -q -f qcow2 l0.qcow2 1M");
	sh("qemu-img create -q -f qcow2 -F qcow2 -b l0.qcow2 l1.qcow2");
	sh("qemu-img create -q -f qcow2 -F qcow2 -b l1.qcow2 l2.qcow2");
	sh("qemu-img rebase -u -f qcow2 -F qcow2 -b l1.qcow2 l0.qcow2");
	refused("l2.qcow2", VM_DISK_QCOW2, "is based on itself");
	/* The top itself is locked, for us alone. */
	refused("l1.qcow2", VM_DISK_QCOW2, "locked");
}

/* CVE-2024-4467: a name is a path and nothing else. */
static void
test_names(void **state)
{
	static const char *const names[] = {
		"json:{\\\"driver\\\":\\\"raw\\\"}", "nbd:localhost:1",
		"file:x", "fat:rw:."
	};
	size_t i;

	sh("qemu-img create -q -f qcow2 base.qcow2 1M");
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		sh("qemu-img create -q -f qcow2 -u -F raw -b \"%s\" n.qcow2 1M",
		    names[i]);
		refused("n.qcow2", VM_DISK_QCOW2, "is not a path");
	}
	sh("qemu-img create -q -f qcow2 -u -F vmdk -b base.qcow2 n.qcow2 1M");
	refused("n.qcow2", VM_DISK_QCOW2, "unsupported format vmdk");
	sh("qemu-img create -q -f qcow2 -u -F raw -b /dev/null n.qcow2 1M");
	refused("n.qcow2", VM_DISK_QCOW2, "neither a regular file");
}

/* A name without a format: what is behind it is not looked at. */
static void
test_untyped(void **state)
{
	sh("truncate -s 1M u.img && qemu-img create -q -f qcow2 -F raw -b "
	   "u.img u.qcow2");
	/* The extension's type becomes an unknown one. */
	sh("printf '\\0\\0\\0\\1' | dd of=u.qcow2 bs=1 seek=112 conv=notrunc "
	   "2>/dev/null");
	refused("u.qcow2", VM_DISK_QCOW2, "does not name");
}

/* Who can write the image's header must not read root's files by it. */
static void
test_owner(void **state)
{
	if (geteuid() != 0)
		skip();
	sh("truncate -s 1M secret open && chmod 600 secret && chmod 644 open");
	sh("mkdir -p closed && truncate -s 1M closed/open && chmod 700 closed");
	sh("qemu-img create -q -f qcow2 -F raw -b secret s.qcow2");
	sh("qemu-img create -q -f qcow2 -F raw -b open o.qcow2");
	sh("qemu-img create -q -f qcow2 -F raw -b closed/open c.qcow2");
	/* An image of root's may name what everybody can read. */
	refused("s.qcow2", VM_DISK_QCOW2,
	    "secret: Permission denied (as the base of");
	refused("c.qcow2", VM_DISK_QCOW2, "closed/open: Permission denied");
	opens("o.qcow2", VM_DISK_QCOW2, 2);
	sh("chown 4711 s.qcow2 o.qcow2 c.qcow2");
	refused("s.qcow2", VM_DISK_QCOW2, "secret: Permission denied");
	refused("c.qcow2", VM_DISK_QCOW2, "closed/open: Permission denied");
	opens("o.qcow2", VM_DISK_QCOW2, 2);
	sh("chown 4711 secret");
	opens("s.qcow2", VM_DISK_QCOW2, 2);
	/* Others may have written it. */
	sh("chown 0 s.qcow2 secret && chmod 666 s.qcow2");
	refused("s.qcow2", VM_DISK_QCOW2, "secret: Permission denied");
	sh("chmod 660 s.qcow2");
	refused("s.qcow2", VM_DISK_QCOW2, "secret: Permission denied");
	/* We are root again. */
	assert_int_equal(access(dir, W_OK), 0);
	sh("chmod 600 s.qcow2 && chmod 644 secret");
	opens("s.qcow2", VM_DISK_QCOW2, 2);
}

/* The group root is not used, either. */
static void
test_groups(void **state)
{
	gid_t root = 0;

	if (geteuid() != 0)
		skip();
	assert_int_equal(setgroups(1, &root), 0);
	sh("truncate -s 1M team && chmod 640 team");
	sh("qemu-img create -q -f qcow2 -F raw -b team t.qcow2");
	refused("t.qcow2", VM_DISK_QCOW2, "team: Permission denied");
	assert_int_equal(getgroups(0, NULL), 1);
}

/* A right that an image's owner does not have does not come back behind an
 * image of somebody else's. */
static void
test_rights_narrow(void **state)
{
	if (geteuid() != 0)
		skip();
	sh("truncate -s 1M his && chmod 600 his && chown 4712 his");
	sh("qemu-img create -q -f qcow2 -F raw -b his mid.qcow2");
	sh("qemu-img create -q -f qcow2 -F qcow2 -b mid.qcow2 top.qcow2");
	sh("chmod 644 mid.qcow2 && chown 4712 mid.qcow2");
	opens("mid.qcow2", VM_DISK_QCOW2, 2);
	sh("chown 4711 top.qcow2");
	refused("top.qcow2", VM_DISK_QCOW2, "his: Permission denied");
	sh("chown 0 top.qcow2");
	refused("top.qcow2", VM_DISK_QCOW2, "his: Permission denied");
	sh("chown 4712 top.qcow2");
	opens("top.qcow2", VM_DISK_QCOW2, 3);
}

/* What a device process that was taken over wrote into its image opens
 * nothing but what the configuration names. */
static void
test_configured_base(void **state)
{
	sh("mkdir -p bases && truncate -s 1M bases/b x bases-x");
	sh("chmod 600 bases/b x bases-x");
	sh("qemu-img create -q -f qcow2 -F raw -b bases/b d.qcow2");
	base = "bases/b";
	opens("d.qcow2", VM_DISK_QCOW2, 2);
	base = "bases";
	opens("d.qcow2", VM_DISK_QCOW2, 2);
	sh("qemu-img rebase -u -f qcow2 -F raw -b x d.qcow2");
	refused("d.qcow2", VM_DISK_QCOW2, "not its base");
	sh("qemu-img rebase -u -f qcow2 -F raw -b bases/../x d.qcow2");
	refused("d.qcow2", VM_DISK_QCOW2, "not its base");
	/* By component, not by prefix. */
	sh("qemu-img rebase -u -f qcow2 -F raw -b bases-x d.qcow2");
	refused("d.qcow2", VM_DISK_QCOW2, "not its base");
	base = "x";
	refused("d.qcow2", VM_DISK_QCOW2, "not its base");
	/* The whole chain. */
	sh("qemu-img create -q -f qcow2 -F raw -b ../x bases/m.qcow2");
	sh("qemu-img rebase -u -f qcow2 -F qcow2 -b bases/m.qcow2 d.qcow2");
	base = "bases";
	refused("d.qcow2", VM_DISK_QCOW2, "not its base");
	base = "gone";
	refused("d.qcow2", VM_DISK_QCOW2, "not its base");
	base = NULL;
}

/* Many may use a base at once, nobody may write it meanwhile. */
static void
test_locks(void **state)
{
	struct chain a, b, kept;
	struct fail why;

	sh("truncate -s 1M k.img");
	sh("qemu-img create -q -f qcow2 -F raw -b k.img k1.qcow2");
	sh("qemu-img create -q -f qcow2 -F raw -b k.img k2.qcow2");
	assert_int_equal(try_open("k1.qcow2", VM_DISK_QCOW2, &a, &why), 0);
	assert_int_equal(try_open("k2.qcow2", VM_DISK_QCOW2, &b, &why), 0);
	refused("k1.qcow2", VM_DISK_QCOW2, "locked");
	chain_close(&b);
	refused("k.img", VM_DISK_RAW, "locked");
	assert_int_equal(chain_dup(&kept, &a), 0);
	chain_close(&a);
	refused("k.img", VM_DISK_RAW, "locked");
	chain_release(&kept);
	opens("k.img", VM_DISK_RAW, 1);
}

static int
setup(void **state)
{
	/* Images of root's may name what everybody can read. */
	return mkdtemp(dir) == NULL || chmod(dir, 0755) == -1 ? -1 : 0;
}

static int
teardown(void **state)
{
	sh("rm -rf %s", dir);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format_is_not_the_guests),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_untyped),
		cmocka_unit_test(test_owner),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_rights_narrow),
		cmocka_unit_test(test_configured_base),
		cmocka_unit_test(test_locks),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
