/* SPDX-License-Identifier: ISC */
/*
 * The daemon and its clients of every kind, the hostile ones included; the
 * rest is in parent_rig.h.
 */
#include "parent_rig.h"

static void
test_list(void **state)
{
	struct session s;

	NEED_VMD();
	hello(&s);
	assert_int_equal(ask(&s, CTL_LIST, NULL), 0);
	assert_int_equal(s.nvms, 4);
	assert_string_equal(s.vms[0].name, "hers");
	assert_int_equal(s.vms[0].id, 1);
	assert_int_equal(s.vms[0].uid, ALICE);
	assert_int_equal(s.vms[1].gid, OPS);
	assert_int_equal(s.vms[0].state, CTL_ST_STOPPED);
	assert_int_equal(s.vms[0].maxmem, 64 << 20);
	bye(&s);
}

static void
test_start_wait_stop(void **state)
{
	struct session s, w;

	NEED_VMD();
	hello(&s);
	assert_int_equal(ask(&s, CTL_START, target("twice", -1)), 0);
	assert_int_equal(s.id, 4);
	assert_memory_equal(s.text, "/dev/pts/", 9);
	assert_int_equal(state_of("twice"), CTL_ST_RUNNING);
	assert_int_equal(ask(&s, CTL_START, target("twice", -1)), EALREADY);
	hello(&w);
	post(&w, CTL_WAIT, -1, target("twice", -1));
	assert_int_equal(chan_recv(w.chan, QUIET_MS), -ETIMEDOUT);
	assert_int_equal(ask(&s, CTL_STOP, target("twice", 0)), 0);
	assert_int_equal(answer(&w), 0);
	assert_int_equal(w.nended, 1);
	assert_int_equal(w.id, 4);
	assert_int_equal(state_of("twice"), CTL_ST_STOPPED);
	assert_int_equal(
	    ask(&s, CTL_STOP, target("twice", 0)), CTL_E_NOTRUNNING);
	assert_int_equal(
	    ask(&s, CTL_WAIT, target("twice", -1)), CTL_E_NOTRUNNING);
	assert_int_equal(ask(&s, CTL_STOP, target("nobody", 0)), ENOENT);
	assert_int_equal(ask(&s, CTL_WAIT, target("nobody", -1)), ENOENT);
	assert_int_equal(ask(&s, CTL_START, target("nobody", -1)), ENOENT);
	bye(&w);
	bye(&s);
}

/* Somebody who starts a VM and goes away, and the parent's other clients. */
static void
test_start_does_not_block(void **state)
{
	struct session s;

	NEED_VMD();
	hello(&s);
	post(&s, CTL_START, -1, target("silent", -1));
	assert_int_equal(state_of("twice"), CTL_ST_STOPPED);
	bye(&s);
	assert_int_equal(state_of("silent"), CTL_ST_RUNNING);
	assert_int_equal(once(CTL_STOP, target("silent", 1)), 0);
	becomes("silent", CTL_ST_STOPPED);
}

static void
test_adhoc(void **state)
{
	struct session s;

	NEED_VMD();
	hello(&s);
	assert_int_equal(
	    ask(&s, CTL_START_ADHOC, adhoc("new", "")), CTL_E_FIRMWARE);
	assert_int_equal(state_of("new"), -1);
	post(&s, CTL_START_KERNEL, open(kernel, O_RDONLY), NULL);
	assert_int_equal(ask(&s, CTL_START_ADHOC, adhoc("new", "")), 0);
	assert_int_equal(state_of("new"), CTL_ST_RUNNING);
	post(&s, CTL_START_KERNEL, open(kernel, O_RDONLY), NULL);
	assert_int_equal(ask(&s, CTL_START_ADHOC, adhoc("new", "")), EEXIST);
	assert_int_equal(ask(&s, CTL_STOP, target("new", 1)), 0);
	becomes("new", -1);
	post(&s, CTL_START_KERNEL, open("/dev/null", O_RDONLY), NULL);
	assert_int_equal(ask(&s, CTL_START_ADHOC, adhoc("new", "")), EINVAL);
	post(&s, CTL_START_KERNEL, open(kernel, O_RDONLY), NULL);
	assert_int_equal(
	    ask(&s, CTL_START_ADHOC, adhoc("new", "error")), ENOEXEC);
	assert_string_equal(s.text, "kernel: not a kernel");
	assert_int_equal(state_of("new"), -1);
	bye(&s);
}

static void
root_only(void)
{
	struct ibuf *n = chan_body();

	ibuf_add_n32(n, 1);
	WANT(CTL_LOG, n, EPERM);
	WANT(CTL_RELOAD, NULL, EPERM);
	WANT(CTL_LOAD, load_of("/etc/vm.conf"), EPERM);
	WANT(CTL_START_FILE, load_of("/etc/vm.conf"), EPERM);
	WANT(CTL_RESET, reset_of(CTL_RESET_ALL), EPERM);
	WANT(CTL_START_ADHOC, adhoc("new", ""), CTL_E_FIRMWARE);
	WANT(CTL_START, target("twice", -1), EPERM);
	WANT(CTL_START, target("nobody", -1), EPERM);
	WANT(CTL_STOP, target("nobody", 0), ENOENT);
	WANT(CTL_LIST, NULL, 0);
}

static void
owner_of(const char *name)
{
	root_only();
	WANT(CTL_START, target(name, -1), 0);
	WANT(CTL_STOP, target(name, 1), 0);
	becomes(name, CTL_ST_STOPPED);
	WANT(CTL_STOP, target(name, 1), CTL_E_NOTRUNNING);
}

static void
as_alice(void)
{
	owner_of("hers");
	WANT(CTL_START, target("theirs", -1), EPERM);
	WANT(CTL_STOP, target("theirs", 0), EPERM);
}

static void
as_bob(void)
{
	owner_of("theirs");
	WANT(CTL_START, target("hers", -1), EPERM);
	WANT(CTL_STOP, target("hers", 1), EPERM);
}

static void
as_eve(void)
{
	root_only();
	WANT(CTL_START, target("hers", -1), EPERM);
	WANT(CTL_STOP, target("theirs", 1), EPERM);
	WANT(CTL_WAIT, target("theirs", -1), CTL_E_NOTRUNNING);
}

static void
as_mallory(void)
{
	int fd;

	if (setgroups(0, NULL) == 0)
		_exit(1); /* no right to do that */
	fd = try_connect();
	if (fd != -EACCES)
		_exit(2);
}

static void
test_rights(void **state)
{
	NEED_VMD();
	assert_int_equal(state_of("hers"), CTL_ST_STOPPED);
	as_user(ALICE, ALICE, as_alice);
	as_user(BOB, OPS, as_bob);
	as_user(EVE, EVE, as_eve);
	/* Not even the socket's group. */
	assert_int_equal(chmod(sock, 0600), 0);
	as_user(EVE, EVE, as_mallory);
	assert_int_equal(chmod(sock, 0660), 0);
}

/* Hostile clients: each is dropped, and nobody else notices. */

static void
is_dropped(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char buf[256];

	while (poll(&p, 1, WAIT_MS) == 1) {
		if (read(fd, buf, sizeof(buf)) <= 0) {
			close(fd);
			return;
		}
	}
	fail_msg("a hostile client was not dropped");
}

static void
test_garbage(void **state)
{
	static const struct {
		const char *what;
		struct imsg_hdr hdr;
		size_t len; /* of zeroes that follow */
	} bad[] = {
		{ "no such type", { 9999, 16, 0, 0 }, 0 },
		{ "an answer", { CTL_OK, 16, 0, 0 }, 0 },
		{ "length 0", { CTL_LIST, 0, 0, 0 }, 0 },
		{ "length 15", { CTL_LIST, 15, 0, 0 }, 0 },
		{ "huge", { CTL_LIST, 0x7fffffff, 0, 0 }, 0 },
		{ "bytes left over", { CTL_LIST, 17, 0, 0 }, 1 },
		{ "fields missing", { CTL_START, 16, 0, 0 }, 0 },
		{ "half a field", { CTL_START, 18, 0, 0 }, 2 },
		{ "more than a target", { CTL_WAIT, 26, 0, 0 }, 10 },
		{ "not a configuration", { CTL_START_ADHOC, 116, 0, 0 }, 100 },
		{ "reset of nothing", { CTL_RESET, 20, 0, 0 }, 4 },
		{ "load of nothing", { CTL_LOAD, 18, 0, 0 }, 2 },
		{ "start of no file", { CTL_START_FILE, 18, 0, 0 }, 2 },
		{ "kernel without a file", { CTL_START_KERNEL, 16, 0, 0 }, 0 },
		{ "a file announced", { CTL_LIST, 16 | 1u << 31, 0, 0 }, 0 },
	};
	char zero[128] = { 0 }, noise[8192];
	size_t i, j;
	int fd;

	NEED_VMD();
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		print_message("%s\n", bad[i].what);
		fd = raw_connect();
		send_raw(fd, &bad[i].hdr, sizeof(bad[i].hdr));
		send_raw(fd, zero, bad[i].len);
		is_dropped(fd);
	}
	for (i = 0; i < 20; i++) {
		fd = raw_connect();
		srandom((unsigned)i);
		for (j = 0; j < sizeof(noise); j++)
			noise[j] = (char)random();
		send_raw(fd, noise, sizeof(noise));
		is_dropped(fd);
	}
	assert_int_equal(state_of("twice"), CTL_ST_STOPPED);
}

/* Descriptors where none belong, many at once. */
static void
test_fd_flood(void **state)
{
	char data[64] = { 0 };
	union {
		char buf[CMSG_SPACE(64 * sizeof(int))];
		struct cmsghdr align;
	} u;
	struct iovec iov = { data, sizeof(data) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	int fd, i, k;

	NEED_VMD();
	for (k = 0; k < 50; k++) {
		fd = raw_connect();
		memset(&u, 0, sizeof(u));
		m.msg_control = u.buf;
		m.msg_controllen = sizeof(u.buf);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(64 * sizeof(int));
		for (i = 0; i < 64; i++)
			memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &fd,
			    sizeof(int));
		if (sendmsg(fd, &m, MSG_NOSIGNAL) == -1)
			assert_int_equal(errno, EPIPE);
		is_dropped(fd);
	}
	assert_int_equal(state_of("twice"), CTL_ST_STOPPED);
}

/* Requests without waiting for answers: bounded. */
static void
test_request_flood(void **state)
{
	struct session s;
	unsigned i;

	NEED_VMD();
	hello(&s);
	assert_int_equal(ask(&s, CTL_START, target("twice", -1)), 0);
	for (i = 0; i < CTL_PENDING_MAX + 1; i++)
		post(&s, CTL_WAIT, -1, target("twice", -1));
	assert_int_equal(chan_recv(s.chan, WAIT_MS), -EPIPE);
	bye(&s);
	assert_int_equal(once(CTL_STOP, target("twice", 1)), 0);
	becomes("twice", CTL_ST_STOPPED);
}

/* Somebody who asks and never reads. */
static void
test_deaf_client(void **state)
{
	struct imsg_hdr hdr = { CTL_LIST, sizeof(hdr), 0, 0 };
	struct session s;
	int fd, i;

	NEED_VMD();
	fd = raw_connect();
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	for (i = 0; i < 20000; i++) {
		if (send(fd, &hdr, sizeof(hdr), MSG_NOSIGNAL) == -1)
			break;
	}
	hello(&s);
	assert_int_equal(ask(&s, CTL_LIST, NULL), 0);
	bye(&s);
	close(fd);
}

static int
connect_as_eve(void)
{
	int fd = try_connect();

	return fd;
}

static void
many_of_eve(void)
{
	struct pollfd p = { .events = POLLIN };
	unsigned open_ones = 0;
	int fds[200], i;

	for (i = 0; i < 200; i++) {
		while ((fds[i] = connect_as_eve()) == -EAGAIN)
			usleep(1000);
		if (fds[i] < 0)
			_exit(1);
	}
	usleep(QUIET_MS * 1000);
	for (i = 0; i < 200; i++) {
		p.fd = fds[i];
		if (poll(&p, 1, 0) == 0)
			open_ones++;
	}
	if (open_ones != CLIENTS_MAX_UID)
		_exit(2);
	/* Root is served all the same: the other end of the pipe. */
	if (write(STDOUT_FILENO, "", 0) == -1)
		_exit(3);
}

static void
test_many_clients(void **state)
{
	int fds[200], i;

	NEED_VMD();
	as_user(EVE, EVE, many_of_eve);
	for (i = 0; i < 200; i++)
		fds[i] = raw_connect();
	assert_int_equal(state_of("twice"), CTL_ST_STOPPED);
	for (i = 0; i < 200; i++)
		close(fds[i]);
	assert_int_equal(state_of("twice"), CTL_ST_STOPPED);
}

static void
half_open(void)
{
	char half[8] = { 0 };
	int fd = try_connect();

	if (fd < 0)
		_exit(1);
	send_raw(fd, half, sizeof(half));
	shutdown(fd, SHUT_WR);
	is_dropped(fd);
}

static void
test_half_open(void **state)
{
	NEED_VMD();
	half_open();
	assert_int_equal(state_of("twice"), CTL_ST_STOPPED);
}

/* A new file: running VMs stay as they are, the others are replaced. */
static void
test_reload(void **state)
{
	struct session s;

	NEED_VMD();
	assert_int_equal(once(CTL_START, target("twice", -1)), 0);
	write_conf("vm more {\n\tboot $k\n\tmemory 64M\n}\n");
	assert_int_equal(once(CTL_RELOAD, NULL), 0);
	becomes("more", CTL_ST_RUNNING);
	assert_int_equal(state_of("twice"), CTL_ST_RUNNING);
	write_conf("bogus\n");
	hello(&s);
	assert_int_equal(ask(&s, CTL_RELOAD, NULL), EINVAL);
	assert_non_null(strstr(s.text, "syntax error"));
	assert_non_null(strstr(s.text, conffile));
	bye(&s);
	assert_int_equal(state_of("more"), CTL_ST_RUNNING);
	assert_int_equal(once(CTL_STOP, target("more", 1)), 0);
	assert_int_equal(once(CTL_STOP, target("twice", 1)), 0);
	becomes("more", CTL_ST_STOPPED);
	becomes("twice", CTL_ST_STOPPED);
	write_conf("");
	kill(vmd, SIGHUP);
	becomes("more", -1);
	/* The id is for ever. */
	write_conf("vm more {\n\tboot $k\n\tmemory 64M\n\tdisable\n}\n");
	assert_int_equal(once(CTL_RELOAD, NULL), 0);
	hello(&s);
	assert_int_equal(ask(&s, CTL_LIST, NULL), 0);
	assert_string_equal(s.vms[4].name, "more");
	assert_int_equal(s.vms[4].id, 6); /* "new" was 5 */
	bye(&s);
	write_conf("");
	assert_int_equal(once(CTL_RELOAD, NULL), 0);
}

static void
reload_says(const char *more, const char *want)
{
	struct session s;

	write_conf(more);
	hello(&s);
	assert_int_equal(ask(&s, CTL_RELOAD, NULL), 0);
	assert_string_equal(s.lines, want);
	bye(&s);
}

#define CONF(name, memory) \
	"vm " name " {\n\tboot $k\n\tmemory " memory "\n\tdisable\n}\n"
#define SWITCH(name, more) "switch " name " {\n\tinterface br9\n" more "}\n"

/* What changed is told once; a VM that runs is what it was until it ended. */
static void
test_reload_report(void **state)
{
	struct ctl_vm before, after;

	NEED_VMD();
	reload_says(CONF("a", "64M") CONF("b", "64M") SWITCH("s", ""),
	    "switch s: added\nvm a: added\nvm b: added\n");
	reload_says(CONF("a", "64M") CONF("b", "64M") SWITCH("s", ""), "");
	assert_int_equal(once(CTL_START, target("a", -1)), 0);
	before = row_of("a");
	reload_says(CONF("a", "96M") CONF("b", "96M") SWITCH("s", "\tdown\n"),
	    "switch s: changed, for VMs that start\n"
	    "vm a: changed, takes effect at its next start\n"
	    "vm b: changed\n");
	reload_says(
	    CONF("a", "96M") CONF("b", "96M") SWITCH("s", "\tdown\n"), "");
	after = row_of("a");
	assert_int_equal(after.pid, before.pid);
	assert_int_equal(after.state, CTL_ST_RUNNING);
	assert_int_equal(after.maxmem, 64 << 20);
	assert_int_equal(row_of("b").maxmem, 96 << 20);
	assert_int_equal(once(CTL_STOP, target("a", 1)), 0);
	becomes("a", CTL_ST_STOPPED);
	after = row_of("a");
	assert_int_equal(after.maxmem, 96 << 20);
	assert_int_equal(after.id, before.id);

	assert_int_equal(once(CTL_START, target("a", -1)), 0);
	reload_says("",
	    "switch s: removed\n"
	    "vm a: removed, runs until it is stopped\n"
	    "vm b: removed\n");
	reload_says("", "");
	assert_int_equal(state_of("a"), CTL_ST_RUNNING);
	assert_int_equal(state_of("b"), -1);
	reload_says(
	    CONF("a", "96M"), "vm a: added, takes effect at its next start\n");
	reload_says("", "vm a: removed, runs until it is stopped\n");
	assert_int_equal(once(CTL_STOP, target("a", 1)), 0);
	becomes("a", -1);
	reload_says("", "");
}

static void
test_control_is_sealed(void **state)
{
	char path[64], line[256];
	unsigned seen = 0;
	FILE *f;

	NEED_VMD();
	snprintf(
	    path, sizeof(path), "/proc/%d/status", (int)role_pid("control"));
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strcmp(line, "NoNewPrivs:\t1\n") == 0 ||
		    strcmp(line, "Seccomp:\t2\n") == 0 ||
		    strcmp(line, "CapBnd:\t0000000000000000\n") == 0 ||
		    strcmp(line, "CapPrm:\t0000000000000000\n") == 0)
			seen++;
	}
	fclose(f);
	assert_int_equal(seen, 4);
}

/* Control can be replaced; VMs do not notice. */
static void
test_control_killed(void **state)
{
	pid_t old;

	NEED_VMD();
	assert_int_equal(once(CTL_START, target("twice", -1)), 0);
	assert_int_equal(once(CTL_STOP, target("twice", 1)), 0);
	usleep(QUIET_MS * 1000);
	old = role_pid("control");
	assert_true(old > 1);
	assert_int_equal(once(CTL_START, target("twice", -1)), 0);
	kill(old, SIGKILL);
	usleep(2 * QUIET_MS * 1000);
	assert_int_equal(state_of("twice"), CTL_ST_RUNNING);
	assert_int_equal(once(CTL_STOP, target("twice", 0)), 0);
	becomes("twice", CTL_ST_STOPPED);
}

static void
test_second_vmd(void **state)
{
	int status = 0;
	pid_t first = vmd;

	NEED_VMD();
	assert_int_equal(start_vmd(), 0);
	assert_int_equal(waitpid(vmd, &status, 0), vmd);
	vmd = first;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	assert_int_equal(state_of("twice"), CTL_ST_STOPPED);
}

/* At the very end: a VM runs when vmd is told to end. */
static void
test_end_with_running_vm(void **state)
{
	NEED_VMD();
	assert_int_equal(once(CTL_START, target("twice", -1)), 0);
}

/* The probe's word is for a terminal, whoever speaks. */
static void
test_probe(void **state)
{
	static const struct {
		const char *path;
		int error;
		const char *text, *why; /* how it begins */
	} cases[] = {
		{ "/dev/null", 0, "first line\nsecond line\n", "" },
		{ "/dev/zero", 0, "first?[2J line?\nsecond line?\n", "" },
		{ "/dev/random", -EBADMSG, "",
		    "host check on /dev/random: unknown message " },
	};
	struct hostcheck hc;
	struct fail why;
	size_t i;

	NEED_VMD();
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		why = (struct fail){ 0 };
		assert_int_equal(
		    hostcheck_run(cases[i].path, &hc, &why), cases[i].error);
		assert_int_equal(hc.done, cases[i].error == 0);
		assert_string_equal(hc.text, cases[i].text);
		assert_memory_equal(
		    why.text, cases[i].why, strlen(cases[i].why));
	}
}

int
main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup(f, each)
	const struct CMUnitTest tests[] = {
		T(test_list),
		T(test_probe),
		T(test_start_wait_stop),
		T(test_start_does_not_block),
		T(test_adhoc),
		T(test_rights),
		T(test_garbage),
		T(test_fd_flood),
		T(test_request_flood),
		T(test_deaf_client),
		T(test_many_clients),
		T(test_half_open),
		T(test_reload),
		T(test_reload_report),
		T(test_control_is_sealed),
		T(test_control_killed),
		T(test_second_vmd),
		T(test_end_with_running_vm),
	};

	fake_role(argc, argv);
	return cmocka_run_group_tests(tests, setup, teardown);
}
