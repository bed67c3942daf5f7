/* SPDX-License-Identifier: ISC */
/*
 * Seed disks: the texts, and an image made in a sealed process, which
 * xorriso(1) reads.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/mman.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "imsg.h"
#include "sandbox.h"
#include "seed_impl.h"

static struct seed_data data;
static struct why why;

static int
set_up(void **state)
{
	memset(&data, 0, sizeof(data));
	strcpy(data.name, "web");
	strcpy(data.hostname, "web.example.org");
	return 0;
}

static void
say(enum seed_file i, const char *text)
{
	data.file[i].data = (char *)(uintptr_t)text;
	data.file[i].len = strlen(text);
}

/* meta-data, or "" when it is refused. */
static const char *
meta(void)
{
	static char text[65536];
	struct ibuf *b = ibuf_dynamic(0, sizeof(text) - 1);
	int error = seed_meta(&data, b, &why);

	memcpy(text, ibuf_data(b), ibuf_size(b));
	text[error == 0 ? ibuf_size(b) : 0] = '\0';
	ibuf_free(b);
	return text;
}

static void
test_meta(void **state)
{
	const char *text;

	say(SEED_SSH_KEY,
	    "# mine\n\nssh-ed25519 AAAA me@here\r\n"
	    "  no-pty,command=\"a\\b\" ssh-rsa BBBB\n");
	text = meta();
	assert_memory_equal(text, "instance-id: \"web-", 18);
	assert_string_equal(text + 18 + 16,
	    "\"\n"
	    "local-hostname: \"web.example.org\"\n"
	    "public-keys:\n"
	    "  - \"ssh-ed25519 AAAA me@here\"\n"
	    "  - \"no-pty,command=\\\"a\\\\b\\\" ssh-rsa BBBB\"\n");
	data.file[SEED_SSH_KEY].data = NULL;
	data.file[SEED_SSH_KEY].len = 0;
	assert_null(strstr(meta(), "public-keys"));
}

static void
instance_id(char id[64])
{
	assert_int_equal(sscanf(meta(), "instance-id: \"%63[^\"]", id), 1);
}

/* The same for the same data, another one whatever changes. */
static void
test_instance_id(void **state)
{
	char id[7][64];
	unsigned i, k;

	instance_id(id[0]);
	say(SEED_USER_DATA, "a");
	instance_id(id[1]);
	say(SEED_USER_DATA, "b");
	instance_id(id[2]);
	say(SEED_NETWORK_CONFIG, "b");
	instance_id(id[3]);
	say(SEED_SSH_KEY, "ssh-rsa AAAA");
	instance_id(id[4]);
	strcpy(data.hostname, "other");
	instance_id(id[5]);
	strcpy(data.name, "we");
	strcpy(data.hostname, "bother");
	instance_id(id[6]);
	for (i = 0; i < 7; i++)
		for (k = 0; k < i; k++)
			assert_string_not_equal(id[i], id[k]);
	strcpy(data.name, "web");
	strcpy(data.hostname, "other");
	instance_id(id[6]);
	assert_string_equal(id[5], id[6]);
}

static void
test_keys_refused(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "", "no key in the file" },
		{ "# none\n \n", "no key in the file" },
		{ "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n",
		    "line 1 is not a public key" },
		{ "ssh-rsa AAAA\n\nb3BlbnNzaC1rZXk\n",
		    "line 3 is not a public key" },
		{ "ssh-rsa AAAA \x1b[2J", "printable ASCII" },
		{ "ssh-rsa AAAA j\xc3\xbcrgen", "printable ASCII" },
	};
	static char large[8193 + 1];
	unsigned i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		say(SEED_SSH_KEY, rows[i].text);
		assert_string_equal(meta(), "");
		assert_non_null(strstr(why.text, rows[i].says));
	}
	memset(large, 'A', sizeof(large) - 1);
	memcpy(large, "ssh-rsa ", 8);
	say(SEED_SSH_KEY, large);
	assert_string_equal(meta(), "");
	assert_non_null(strstr(why.text, "line 1 is too long"));
	for (i = 0; i < 65; i++)
		memcpy(large + 4 * i, "a b\n", 4);
	large[4 * 64] = '\0';
	say(SEED_SSH_KEY, large);
	assert_string_not_equal(meta(), "");
	large[4 * 64] = 'a';
	large[4 * 65] = '\0';
	say(SEED_SSH_KEY, large);
	assert_string_equal(meta(), "");
	assert_non_null(strstr(why.text, "more than 64 keys"));
}

/* The image. */

#define USER_LEN 300000 /* more than the library's buffers */

static char user[USER_LEN];

/* As the process does it, but for its user and root. */
static int
write_image(int fd)
{
	struct seed_iso *iso;

	if (seed_iso_open(&iso, fd, "user-data", USER_LEN, &why) != 0)
		return 2;
	sandbox_seal("stdio archive", NULL, 0);
	if (seed_iso_first(iso, user, USER_LEN, &why) != 0 ||
	    seed_iso_add(iso, "meta-data", "hello\n", 6, &why) != 0 ||
	    seed_iso_add(iso, "network-config", "", 0, &why) != 0 ||
	    seed_iso_finish(iso, &why) != 0)
		return 3;
	seed_iso_free(iso);
	return 0;
}

static void __attribute__((format(printf, 1, 2))) run(const char *fmt, ...)
{
	char command[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	if (system(command) != 0)
		fail_msg("%s", command);
}

static void
test_image(void **state)
{
	char dir[] = "/tmp/test_seed.XXXXXX", path[64];
	int fd, status = -1;
	FILE *f;
	pid_t pid;

	if (system("command -v xorriso >/dev/null") != 0)
		skip();
	assert_non_null(mkdtemp(dir));
	memset(user, 'u', sizeof(user));
	memcpy(user, "#cloud-config\n", 14);
	snprintf(path, sizeof(path), "%s/user", dir);
	assert_non_null(f = fopen(path, "we"));
	assert_int_equal(fwrite(user, 1, sizeof(user), f), sizeof(user));
	fclose(f);
	snprintf(path, sizeof(path), "%s/image", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_not_equal(fd, -1);
	if ((pid = fork()) == 0)
		_exit(write_image(fd));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(lseek(fd, 0, SEEK_END) % 2048, 0);
	close(fd);
	run("xorriso -indev stdio:%s/image -osirrox on -extract / %s/tree "
	    ">/dev/null 2>&1",
	    dir, dir);
	run("cmp %s/user %s/tree/user-data", dir, dir);
	run("test \"$(cat %s/tree/meta-data)\" = hello && "
	    "test -f %s/tree/network-config",
	    dir, dir);
	run("xorriso -indev stdio:%s/image -pvd_info 2>/dev/null | "
	    "grep -qx 'Volume Id    : CIDATA'",
	    dir);
	run("xorriso -indev stdio:%s/image -lsl / 2>/dev/null | "
	    "grep -q '^-r-------- .* 0 .* 0 .* 300000 .*user-data'",
	    dir);
	run("xorriso -read_fs norock -indev stdio:%s/image -ls / 2>/dev/null "
	    "| grep -q \"'user-data'\"",
	    dir);
	run("chmod -R u+w %s && rm -r %s", dir, dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_meta, set_up),
		cmocka_unit_test_setup(test_instance_id, set_up),
		cmocka_unit_test_setup(test_keys_refused, set_up),
		cmocka_unit_test(test_image),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
