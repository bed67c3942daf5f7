/* SPDX-License-Identifier: ISC */
/*
 * vmctl create and vmctl image, as a user runs them, with qemu-img as the
 * other side.
 */
#include <sys/wait.h>

#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[] = "/tmp/vmm-create.XXXXXX";
static char vmctl[PATH_MAX];

/* In the directory; $V is vmctl.  The exit status, and the output. */
static int __attribute__((format(printf, 3, 4)))
run(char *out, size_t len, const char *fmt, ...)
{
	char cmd[2048], line[PATH_MAX + 3072];
	size_t n;
	va_list ap;
	FILE *fp;
	int rc;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	snprintf(
	    line, sizeof(line), "cd %s; V=%s; { %s; } 2>&1", dir, vmctl, cmd);
	fp = popen(line, "r");
	assert_non_null(fp);
	n = fread(out, 1, len - 1, fp);
	out[n] = '\0';
	rc = pclose(fp);
	return WIFEXITED(rc) ? WEXITSTATUS(rc) : -1;
}

static void __attribute__((format(printf, 1, 2))) works(const char *fmt, ...)
{
	char cmd[1024], out[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	if (run(out, sizeof(out), "%s", cmd) != 0)
		fail_msg("%s: %s", cmd, out);
}

static const struct row {
	const char *cmd;
	int rc;
	const char *text; /* the first line, or its beginning */
} rows[] = {
	{ "$V create -s 1G a.qcow2", 0, "vmctl: qcow2 imagefile created\n" },
	{ "$V create -s 10M a.img", 0, "vmctl: raw imagefile created\n" },
	{ "$V create b.img -s 10M", 0, "vmctl: raw imagefile created\n" },
	{ "$V create -s 10M qcow2:c.img", 0,
	    "vmctl: qcow2 imagefile created\n" },
	{ "$V create -s 10M raw:c.qcow2", 0, "vmctl: raw imagefile created\n" },
	{ "$V create -s 1.5M d.img", 0, "vmctl: disk size rounded to 1M\n" },
	{ "$V create -b a.qcow2 t.qcow2", 0,
	    "vmctl: qcow2 imagefile created\n" },
	{ "$V create -s 1G -b a.qcow2 u.qcow2", 0,
	    "vmctl: qcow2 imagefile created\n" },
	/* refused */
	{ "$V create -s 10M a.img", 1,
	    "vmctl: could not create a.img: File exists\n" },
	{ "$V create n.img", 1,
	    "vmctl: could not create n.img: missing size argument\n" },
	{ "$V create -s 1023K n.img", 1,
	    "vmctl: disk size must be at least 1MB: 1023K\n" },
	{ "$V create -s x n.img", 1, "vmctl: invalid disk size: x\n" },
	{ "$V create -s -1 n.img", 1, "vmctl: invalid disk size: -1\n" },
	{ "$V create -s 9000P n.qcow2", 1,
	    "vmctl: invalid disk size: 9000P\n" },
	{ "$V create -s 7E n.qcow2", 1,
	    "vmctl: could not create n.qcow2: disk size: from 512 bytes" },
	{ "$V create -s 1M -s 2M n.img", 1,
	    "vmctl: size specified multiple times\n" },
	{ "$V create -b a.qcow2 n.img", 1,
	    "vmctl: base images require qcow2 disk format\n" },
	{ "$V create -s 2G -b a.qcow2 n.qcow2", 1,
	    "vmctl: size is not that of the base image, 1073741824 bytes\n" },
	{ "$V create -b a.qcow2 -i a.img n.qcow2", 1,
	    "vmctl: a base image and an input image exclude each other\n" },
	{ "$V create -b nowhere n.qcow2", 1,
	    "vmctl: nowhere: No such file or directory\n" },
	{ "$V create -i c.img n.img", 1,
	    "vmctl: c.img: looks like a qcow2 image: write raw: or qcow2: "
	    "before it\n" },
	{ "$V create -i c.qcow2 n.img", 1,
	    "vmctl: c.qcow2: not a qcow2 image\n" },
	{ "$V create -i a.img -s 5M n.img", 1,
	    "vmctl: size is less than the input image's, 10485760 bytes\n" },
	{ "$V create -i /dev/null n.img", 1,
	    "vmctl: /dev/null: neither a file nor a block device\n" },
	{ "$V create -s 1M ''", 1, "vmctl: empty path\n" },
	{ "$V create -s 1M no/where.img", 1,
	    "vmctl: could not create no/where.img: No such file or "
	    "directory\n" },
	{ "$V create -s 1M a b", 1, "usage: vmctl" },
	{ "ls n.img n.qcow2 2>/dev/null", 2, "" },
	/* image */
	{ "$V image check a.qcow2", 0,
	    "0 of 16384 clusters are allocated, 0 of them compressed\n" },
	{ "$V image check a.img", 1,
	    "vmctl: a.img: a raw image has nothing to be checked\n" },
	{ "$V image info t.qcow2 | tail -n 1", 0,
	    "based on: a.qcow2 (qcow2)\n" },
	{ "$V image info a.img", 0, "format: raw\n" },
	{ "$V image info -j t.qcow2 | jq -c "
	  "'[keys_unsorted, .format, .disk_size, .version, .cluster_size, "
	  ".refcount_width, .compression, .snapshots, .base, .base_format, "
	  ".not_closed, .corrupt, (.allocated < .disk_size)]'",
	    0,
	    "[[\"format\",\"disk_size\",\"file_size\",\"allocated\","
	    "\"version\",\"cluster_size\",\"refcount_width\","
	    "\"compression\",\"snapshots\",\"base\",\"base_format\","
	    "\"not_closed\",\"corrupt\"],\"qcow2\",1073741824,3,65536,16,"
	    "\"deflate\",0,\"a.qcow2\",\"qcow2\",false,false,true]\n" },
	{ "$V image info -j a.img | jq -c 'del(.allocated)'", 0,
	    "{\"format\":\"raw\",\"disk_size\":10485760,"
	    "\"file_size\":10485760,\"version\":null,\"cluster_size\":null,"
	    "\"refcount_width\":null,\"compression\":null,"
	    "\"snapshots\":null,\"base\":null,\"base_format\":null,"
	    "\"not_closed\":null,\"corrupt\":null}\n" },
	{ "$V image check -j a.qcow2 | jq -c .", 0,
	    "{\"clusters\":16384,\"allocated\":0,\"compressed\":0,"
	    "\"errors\":0,\"leaked\":0,\"problems\":[]}\n" },
	{ "$V image check -j a.img", 1,
	    "vmctl: a.img: a raw image has nothing to be checked\n" },
	{ "$V image info -r a.img", 1, "vmctl: unknown option: -r\n" },
	{ "$V image frob a.img", 1, "vmctl: unknown argument: frob\n" },
	{ "$V image", 1, "usage: vmctl" },
	{ "$V image check", 1, "usage: vmctl" },
	/* image snapshot */
	{ "$V image snapshot create a.qcow2 one", 0, "" },
	{ "$V image snapshot create a.qcow2 one", 1,
	    "vmctl: a.qcow2: has a snapshot \"one\" already\n" },
	{ "$V image snapshot create a.qcow2 1", 1,
	    "vmctl: a.qcow2: invalid name for a snapshot: " },
	{ "$V image snapshot create a.img one", 1,
	    "vmctl: a.img: a raw image has no snapshots\n" },
	{ "$V image snapshot list a.qcow2 | awk '{ print $1, $3, $4 }'", 0,
	    "ID DISK NAME\n1 1.0G one\n" },
	{ "$V image snapshot list -j a.qcow2 | jq -c "
	  "'[.[] | keys_unsorted, .id, .name, .disk_size, .state_size]'",
	    0,
	    "[[\"id\",\"name\",\"time\",\"disk_size\",\"state_size\"],"
	    "\"1\",\"one\",1073741824,0]\n" },
	{ "qemu-img snapshot -l a.qcow2 | awk 'NR > 2 { print $1, $2 }'", 0,
	    "1 one\n" },
	{ "$V image snapshot revert a.qcow2 two", 1,
	    "vmctl: a.qcow2: has no snapshot \"two\"\n" },
	{ "$V image snapshot revert a.qcow2 one", 0, "" },
	{ "$V image snapshot delete a.qcow2 one", 0, "" },
	{ "$V image snapshot list -j a.qcow2", 0, "[]\n" },
	{ "$V image info a.qcow2 | grep snapshots", 0, "snapshots: 0\n" },
	{ "$V image snapshot delete a.qcow2", 1, "usage: vmctl" },
	{ "$V image snapshot frob a.qcow2", 1,
	    "vmctl: unknown argument: frob\n" },
};

static void
test_commands(void **state)
{
	char out[4096];
	size_t i;
	int rc;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		rc = run(out, sizeof(out), "%s", rows[i].cmd);
		if (rc != rows[i].rc ||
		    strncmp(out, rows[i].text, strlen(rows[i].text)) != 0)
			fail_msg("%s: exit %d: %s", rows[i].cmd, rc, out);
	}
	works("qemu-img check -q a.qcow2 && qemu-img check -q t.qcow2");
	works("test $(stat -c %%s d.img) = 1048576");
}

/* Either type to either type, and back. */
static void
test_copies(void **state)
{
	works("head -c 5000000 /dev/urandom >r.img && truncate -s 30M r.img && "
	      "head -c 3000000 /dev/urandom | dd of=r.img bs=1M seek=20 "
	      "conv=notrunc 2>/dev/null");
	works("$V create -i r.img r1.qcow2 && qemu-img check -q r1.qcow2 && "
	      "qemu-img compare -q r.img r1.qcow2");
	works("$V create -i r1.qcow2 r2.img && cmp r.img r2.img");
	works("test $(du -k r2.img | cut -f1) -lt 9000");
	works("$V create -i r1.qcow2 -s 64M r3.qcow2 && "
	      "qemu-img compare -q r.img r3.qcow2");
	works("qemu-img convert -c -O qcow2 r.img z.qcow2 && "
	      "$V create -i z.qcow2 z.img && cmp r.img z.img");
	works("$V create -b z.qcow2 y.qcow2 && qemu-io -c 'write -P 7 1M 1M' "
	      "y.qcow2 >/dev/null && $V create -i y.qcow2 y.img && "
	      "qemu-img compare -q y.qcow2 y.img");
	works("head -c 1000001 /dev/zero >odd && "
	      "$V create -i odd odd.img 2>&1 | grep -q 'rounded to 1 meg'");
}

static void
test_refuses_what_it_cannot_keep(void **state)
{
	char out[4096];

	works("$V create -s 4M s.qcow2 && qemu-img snapshot -c one s.qcow2");
	assert_int_equal(
	    run(out, sizeof(out), "$V create -i s.qcow2 s.img"), 1);
	assert_string_equal(
	    out, "vmctl: s.qcow2: has 1 snapshots, which a copy cannot keep\n");
}

/* A failed copy leaves nothing. */
static void
test_failure(void **state)
{
	char out[4096];

	works("seq 1000000 >n.img && truncate -s 8M n.img && "
	      "qemu-img convert -c -O qcow2 n.img bad.qcow2 && "
	      "dd if=/dev/urandom of=bad.qcow2 bs=64k seek=8 count=9 "
	      "conv=notrunc 2>/dev/null");
	assert_int_equal(
	    run(out, sizeof(out), "$V create -i bad.qcow2 bad.img"), 1);
	assert_non_null(strstr(out, "cannot read the input image"));
	works("test ! -e bad.img");
}

static void
test_check_and_repair(void **state)
{
	char out[4096];

	works("$V create -i r.img k.qcow2");
	/* The first count of a data cluster, behind those of the metadata. */
	works("printf '\\0\\7' | dd of=k.qcow2 bs=1 seek=$((0x20000 + 20)) "
	      "conv=notrunc 2>/dev/null");
	assert_int_equal(run(out, sizeof(out), "$V image check k.qcow2"), 1);
	assert_non_null(strstr(
	    out, "leak: cluster 10 has a refcount of 7 and 1 references"));
	assert_int_equal(run(out, sizeof(out), "$V image check -j k.qcow2"), 1);
	works("$V image check -j k.qcow2 | jq -e '.leaked == 1 and "
	      ".errors == 0 and .problems == [\"leak: cluster 10 has a "
	      "refcount of 7 and 1 references\"]'");
	works("$V image check -r k.qcow2 && $V image check k.qcow2 && "
	      "qemu-img check -q k.qcow2");
	/* Not closed by somebody who counts late: QEMU's lazy refcounts. */
	works("printf '\\0\\0\\0\\0\\0\\0\\0\\1' | dd of=k.qcow2 bs=1 seek=72 "
	      "conv=notrunc 2>/dev/null; printf '\\0\\0' | dd of=k.qcow2 bs=1 "
	      "seek=$((0x20000 + 20)) conv=notrunc 2>/dev/null");
	assert_int_equal(run(out, sizeof(out), "$V image check k.qcow2"), 1);
	works("$V image info k.qcow2 | grep -q 'not closed'");
	works("$V image check -r k.qcow2 && qemu-img check -q k.qcow2 && "
	      "qemu-img compare -q k.qcow2 r.img");
	works("not=$($V image info k.qcow2 | grep -c 'not closed'); "
	      "test $not = 0");
}

static int
setup(void **state)
{
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	char out[256];

	return run(out, sizeof(out), "rm -rf %s", dir);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_refuses_what_it_cannot_keep),
		cmocka_unit_test(test_failure),
		cmocka_unit_test(test_check_and_repair),
	};
	char self[PATH_MAX], *slash;

	if (realpath(argv[0], self) == NULL)
		return 1;
	/* build/regress/vmctl/test_create: build/vmctl/vmctl */
	slash = strrchr(self, '/');
	snprintf(vmctl, sizeof(vmctl), "%.*s/../../vmctl/vmctl",
	    (int)(slash - self), self);
	return cmocka_run_group_tests(tests, setup, teardown);
}
