/* SPDX-License-Identifier: ISC */
/*
 * A parent dies, or goes and leaves its guests; the next one finds them.  Like
 * test_parent.c, with vmd killed again and again.
 */
#include "parent_rig.h"

#include "adopt.h"
#include "record.h"

#define ROUNDS	   40
#define INSTANT_US 30000

/* The row of LIST; false: there is none. */
static bool
row(const char *name, struct ctl_vm *out)
{
	struct session s;
	bool found = false;
	unsigned i;

	hello(&s);
	assert_int_equal(ask(&s, CTL_LIST, NULL), 0);
	for (i = 0; i < s.nvms; i++) {
		if (strcmp(s.vms[i].name, name) == 0) {
			*out = s.vms[i];
			found = true;
		}
	}
	bye(&s);
	return found;
}

/* Until its control process, which serves no more, is gone as well. */
static void
crash(void)
{
	int i, fd = 0;

	assert_int_equal(kill(vmd, SIGKILL), 0);
	assert_int_equal(waitpid(vmd, NULL, 0), vmd);
	for (i = 0; i < WAIT_MS / 10 && (fd = try_connect()) >= 0; i++) {
		close(fd);
		usleep(10000);
	}
	assert_true(fd < 0);
}

static void
crash_and_return(void)
{
	crash();
	assert_int_equal(start_vmd(), 0);
}

static bool
alive(uint32_t pid)
{
	return kill((pid_t)pid, 0) == 0;
}

static void
dies(uint32_t pid)
{
	int i;

	for (i = 0; i < WAIT_MS / 10 && alive(pid); i++)
		usleep(10000);
	assert_false(alive(pid));
}

static char *
keeper_path(void)
{
	static char path[80];

	snprintf(path, sizeof(path), "%s.keep", sock);
	return path;
}

/* As a parent would.  NULL: nobody listens. */
static struct chan *
keeper_connect(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_int_not_equal(fd, -1);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", keeper_path());
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return chan_new(NULL, fd, &ops, NULL);
	close(fd);
	return NULL;
}

static void
same(const struct ctl_vm *a, const char *name)
{
	struct ctl_vm b;

	assert_true(row(name, &b));
	assert_int_equal(a->id, b.id);
	assert_int_equal(a->pid, b.pid);
	assert_int_equal(a->state, b.state);
	assert_string_equal(a->tty, b.tty);
	assert_int_equal(a->ndevs, b.ndevs);
}

static void
test_crash(void **state)
{
	struct ctl_vm a, b;
	int tty;

	NEED_VMD();
	assert_int_equal(once(CTL_START, target("twice", -1)), 0);
	assert_int_equal(once(CTL_START, target("hers", -1)), 0);
	assert_true(row("twice", &a));
	assert_true(row("hers", &b));
	crash_and_return();
	same(&a, "twice");
	same(&b, "hers");
	crash_and_return();
	same(&a, "twice");
	/* Its console is there, it stops, and it starts again. */
	tty = open(a.tty, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_int_not_equal(tty, -1);
	close(tty);
	assert_int_equal(once(CTL_STOP, target("twice", 0)), 0);
	becomes("twice", CTL_ST_STOPPED);
	dies(a.pid);
	assert_int_equal(once(CTL_START, target("twice", -1)), 0);
	assert_true(row("twice", &a));
	crash_and_return();
	same(&a, "twice");
	assert_int_equal(once(CTL_STOP, target("twice", 1)), 0);
	assert_int_equal(once(CTL_STOP, target("hers", 1)), 0);
	becomes("twice", CTL_ST_STOPPED);
	becomes("hers", CTL_ST_STOPPED);
}

/* VMs keep their ids, and those that were stopped are not started. */
static void
test_stopped_stays_so(void **state)
{
	struct ctl_vm a, b;

	NEED_VMD();
	write_conf("vm eager {\n\tboot $k\n\tmemory 64M\n}\n");
	assert_int_equal(once(CTL_RELOAD, NULL), 0);
	becomes("eager", CTL_ST_RUNNING);
	assert_int_equal(once(CTL_START, target("twice", -1)), 0);
	assert_int_equal(once(CTL_STOP, target("eager", 1)), 0);
	becomes("eager", CTL_ST_STOPPED);
	assert_true(row("eager", &a));
	assert_true(row("theirs", &b));
	crash_and_return();
	same(&a, "eager");
	same(&b, "theirs");
	usleep(QUIET_MS * 1000);
	same(&a, "eager");
	assert_int_equal(once(CTL_STOP, target("twice", 1)), 0);
	write_conf("");
	assert_int_equal(once(CTL_RELOAD, NULL), 0);
	becomes("twice", CTL_ST_STOPPED);
}

static void
test_paused(void **state)
{
	NEED_VMD();
	assert_int_equal(once(CTL_START, target("hers", -1)), 0);
	assert_int_equal(once(CTL_PAUSE, target("hers", -1)), 0);
	crash_and_return();
	becomes("hers", CTL_ST_PAUSED);
	assert_int_equal(once(CTL_UNPAUSE, target("hers", -1)), 0);
	becomes("hers", CTL_ST_RUNNING);
	assert_int_equal(once(CTL_STOP, target("hers", 0)), 0);
	becomes("hers", CTL_ST_STOPPED);
}

/* It was asked to end, and saw that; then nothing.  It is asked again. */
static void
test_stopping(void **state)
{
	struct session s;
	struct ctl_vm a;

	NEED_VMD();
	hello(&s);
	post(&s, CTL_START_KERNEL, open(kernel, O_RDONLY), NULL);
	assert_int_equal(ask(&s, CTL_START_ADHOC, adhoc("slow", "ack")), 0);
	assert_int_equal(ask(&s, CTL_STOP, target("slow", 0)), 0);
	bye(&s);
	becomes("slow", CTL_ST_STOPPING);
	assert_true(row("slow", &a));
	crash_and_return();
	same(&a, "slow");
	assert_int_equal(once(CTL_STOP, target("slow", 1)), 0);
	/* One of a user's is forgotten then. */
	becomes("slow", -1);
	dies(a.pid);
}

/* What happens to a guest while there is no parent. */
static void
test_ended_meanwhile(void **state)
{
	struct ctl_vm a;

	NEED_VMD();
	assert_int_equal(once(CTL_START, target("twice", -1)), 0);
	assert_true(row("twice", &a));
	crash();
	assert_int_equal(kill((pid_t)a.pid, SIGKILL), 0);
	dies(a.pid);
	assert_int_equal(start_vmd(), 0);
	becomes("twice", CTL_ST_STOPPED);
	assert_true(row("twice", &a));
	assert_string_equal(a.problem, "vm process ended");
	assert_int_equal(once(CTL_START, target("twice", -1)), 0);
	assert_int_equal(once(CTL_STOP, target("twice", 1)), 0);
	becomes("twice", CTL_ST_STOPPED);
}

static void
test_keeper_killed(void **state)
{
	struct ctl_vm a;
	pid_t old, new = 0;
	int i;

	NEED_VMD();
	old = role_pid("keeper");
	assert_true(old > 0);
	assert_int_equal(once(CTL_START, target("twice", -1)), 0);
	assert_true(row("twice", &a));
	kill(old, SIGKILL);
	for (i = 0; i < WAIT_MS / 10 && (new == 0 || new == old); i++) {
		usleep(10000);
		new = role_pid("keeper");
	}
	usleep(QUIET_MS * 1000);
	same(&a, "twice");
	crash_and_return();
	same(&a, "twice");
	/* And of a keeper that is not the new parent's child. */
	kill(role_pid("keeper"), SIGKILL);
	usleep(4 * QUIET_MS * 1000);
	crash_and_return();
	same(&a, "twice");
	/* Both: nobody has the guest's channel any more. */
	crash();
	kill(role_pid("keeper"), SIGKILL);
	dies(a.pid);
	assert_int_equal(start_vmd(), 0);
	becomes("twice", CTL_ST_STOPPED);
}

static void
test_left_alone(void **state)
{
	struct ctl_vm a;
	int status = -1;

	NEED_VMD();
	assert_int_equal(once(CTL_START, target("twice", -1)), 0);
	assert_true(row("twice", &a));
	kill(vmd, SIGUSR1);
	assert_int_equal(waitpid(vmd, &status, 0), vmd);
	assert_int_equal(status, 0);
	assert_true(alive(a.pid));
	assert_int_equal(access(sock, F_OK), -1);
	assert_int_equal(start_vmd(), 0);
	becomes("twice", CTL_ST_RUNNING);
	same(&a, "twice");
	assert_int_equal(once(CTL_STOP, target("twice", 1)), 0);
	becomes("twice", CTL_ST_STOPPED);
}

static void
say_version(uint32_t version)
{
	struct record_daemon d = { .version = version };
	struct chan *c = keeper_connect();
	struct ibuf *body = chan_body();

	assert_non_null(c);
	ibuf_add_n32(body, KEEP_DAEMON);
	ibuf_add_n32(body, 0);
	record_put_daemon(body, &d);
	assert_int_equal(chan_send(c, KEEP_NOTE, 0, -1, body), 0);
	assert_int_equal(chan_flush(c, WAIT_MS), 0);
	chan_free(c);
}

static void
vmd_refuses(void)
{
	int status = -1;

	assert_int_equal(start_vmd(), 0);
	assert_int_equal(waitpid(vmd, &status, 0), vmd);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
}

/* Guests of another version are left alone, and so are those of nobody. */
static void
test_other_version(void **state)
{
	struct ctl_vm a;

	NEED_VMD();
	assert_int_equal(once(CTL_START, target("twice", -1)), 0);
	assert_true(row("twice", &a));
	crash();
	say_version(MSG_VERSION + 1);
	vmd_refuses();
	assert_true(alive(a.pid));
	say_version(MSG_VERSION);
	assert_int_equal(start_vmd(), 0);
	becomes("twice", CTL_ST_RUNNING);
	same(&a, "twice");
	assert_int_equal(once(CTL_STOP, target("twice", 1)), 0);
	becomes("twice", CTL_ST_STOPPED);
}

/* An item of a VM, of the number 1, or none any more. */
static void
surplus(uint32_t vm, uint32_t type, uint32_t what)
{
	struct chan *c = keeper_connect();
	struct ibuf *body = chan_body();

	assert_non_null(c);
	ibuf_add_n32(body, what);
	ibuf_add_n32(body, 1);
	if (type == KEEP_NOTE)
		ibuf_add(body, "what?", 5);
	assert_int_equal(chan_send(c, type, vm, -1, body), 0);
	assert_int_equal(chan_flush(c, WAIT_MS), 0);
	chan_free(c);
}

/* Nobody says without end what there is of a VM: each thing once. */
static void
test_said_again(void **state)
{
	static const uint32_t what[] = { KEEP_ID, KEEP_VM };
	struct ctl_vm a;
	size_t i;

	NEED_VMD();
	assert_int_equal(once(CTL_START, target("twice", -1)), 0);
	assert_true(row("twice", &a));
	for (i = 0; i < sizeof(what) / sizeof(what[0]); i++) {
		crash();
		surplus(a.id, KEEP_NOTE, what[i]);
		vmd_refuses();
		assert_true(alive(a.pid));
		surplus(a.id, KEEP_CLEAR, what[i]);
		assert_int_equal(start_vmd(), 0);
		becomes("twice", CTL_ST_RUNNING);
		same(&a, "twice");
	}
	assert_int_equal(once(CTL_STOP, target("twice", 1)), 0);
	becomes("twice", CTL_ST_STOPPED);
}

/* Another item in the place of what a keeper has of a VM; path NULL: a note. */
static void
replace(uint32_t vm, uint32_t what, const char *path)
{
	struct chan *c = keeper_connect();
	struct ibuf *body = chan_body();
	int fd = -1;

	assert_non_null(c);
	ibuf_add_n32(body, what);
	ibuf_add_n32(body, 0);
	if (path == NULL)
		ibuf_add(body, "what?", 5);
	else
		assert_int_not_equal(fd = open(path, O_RDONLY | O_CLOEXEC), -1);
	assert_int_equal(
	    chan_send(c, path == NULL ? KEEP_NOTE : KEEP_FD, vm, fd, body), 0);
	assert_int_equal(chan_flush(c, WAIT_MS), 0);
	chan_free(c);
}

/* A keeper with damaged notes, or with descriptors that are something else:
 * that VM ends, and starts again as it was to run; the daemon does not mind. */
static void
test_damaged(void **state)
{
	static const struct {
		uint32_t what;
		const char *path;
	} cases[] = {
		{ KEEP_VM, NULL },
		{ KEEP_CHAN, "/etc/passwd" },
		{ KEEP_CHAN, "/dev/null" },
		{ KEEP_PID, "/etc/passwd" },
		{ KEEP_PID, "/proc/self" },
	};
	struct ctl_vm a, b;
	size_t i;

	NEED_VMD();
	assert_int_equal(once(CTL_START, target("twice", -1)), 0);
	assert_int_equal(once(CTL_START, target("hers", -1)), 0);
	assert_true(row("hers", &b));
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(row("twice", &a));
		crash();
		replace(a.id, cases[i].what, cases[i].path);
		assert_int_equal(start_vmd(), 0);
		same(&b, "hers");
		dies(a.pid);
		becomes("twice", CTL_ST_RUNNING);
	}
	assert_int_equal(once(CTL_STOP, target("twice", 1)), 0);
	assert_int_equal(once(CTL_STOP, target("hers", 1)), 0);
	becomes("twice", CTL_ST_STOPPED);
	becomes("hers", CTL_ST_STOPPED);
}

/* Without an answer, and maybe without its being read. */
static void throw(uint32_t type, struct ibuf *body)
{
	struct session s;

	hello(&s);
	chan_send(s.chan, type, 0, -1, body);
	(void)chan_flush(s.chan, WAIT_MS);
	bye(&s);
}

/* No run at all, or one that can be ended: whenever the parent dies. */
static void
settles(const char *name, const char *title)
{
	int i, state = state_of(name);

	for (i = 0; i < WAIT_MS / 10 && state != CTL_ST_STOPPED; i++) {
		if (state == CTL_ST_RUNNING)
			(void)once(CTL_STOP, target(name, 1));
		usleep(10000);
		state = state_of(name);
	}
	assert_int_equal(state, CTL_ST_STOPPED);
	for (i = 0; i < WAIT_MS / 10 && role_pid(title) != 0; i++)
		usleep(10000);
	assert_int_equal(role_pid(title), 0);
}

static void
test_any_instant(void **state)
{
	unsigned i;

	NEED_VMD();
	for (i = 0; i < ROUNDS; i++) {
		throw(CTL_START, target("twice", -1));
		if (i % 3 == 0)
			throw(CTL_STOP, target("hers", i % 2 == 0));
		else
			throw(CTL_START, target("hers", -1));
		if (i % 3 == 2)
			throw(CTL_STOP, target("twice", 1));
		usleep(arc4random_uniform(INSTANT_US));
		crash_and_return();
	}
	settles("twice", "vm/twice");
	settles("hers", "vm/hers");
	assert_int_equal(once(CTL_START, target("twice", -1)), 0);
	settles("twice", "vm/twice");
}

/* Nothing runs, so there is nothing to keep. */
static void
test_keeper_ends(void **state)
{
	pid_t pid;

	NEED_VMD();
	pid = role_pid("keeper");
	assert_true(pid > 0);
	crash();
	dies((uint32_t)pid);
	assert_null(keeper_connect());
	assert_int_equal(start_vmd(), 0);
	becomes("twice", CTL_ST_STOPPED);
}

enum ended { UNHEARD, ACCEPTED, SPOKE };

/* A keeper that listens on path and ends; it may have said something. */
static pid_t
keeper_that_ends(const char *path, enum ended how)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), peer = -1;
	pid_t pid;

	assert_int_not_equal(fd, -1);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 1), 0);
	if ((pid = fork()) == 0) {
		if (how != UNHEARD)
			peer = accept(fd, NULL, NULL);
		usleep(50000);
		if (how == SPOKE)
			send(peer, "what?", 5, MSG_NOSIGNAL);
		_exit(0);
	}
	close(fd);
	return pid;
}

/* One that ended without a word had nothing; one that sent nonsense had. */
static void
test_keeper_that_ends(void **state)
{
	struct keep k;
	struct fail why;
	char path[80], base[72];
	enum ended how;
	pid_t pid;
	int error;

	snprintf(base, sizeof(base), "/tmp/test_adopt.%d", (int)getpid());
	snprintf(path, sizeof(path), "%s.keep", base);
	for (how = UNHEARD; how <= SPOKE; how++) {
		memset(&k, 0, sizeof(k));
		pid = keeper_that_ends(path, how);
		error = keep_open(&k, base, NULL, NULL, &why);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		unlink(path);
		assert_null(k.chan);
		assert_int_equal(error == 0, how != SPOKE);
	}
}

static int
adopt_teardown(void **state)
{
	int error = teardown(state);

	if (can_run() && access(keeper_path(), F_OK) == 0)
		return -1;
	return error;
}

/* A keeper that names a process which is not its own. */
static void
test_whose_keeper(void **state)
{
	const struct {
		pid_t claimed;
		uid_t uid;
		bool taken;
	} claims[] = {
		{ getpid(), getuid(), true },
		{ getpid(), getuid() + 1, false },
		/* Root's, and those of others. */
		{ 1, ALICE, false },
		{ 1, 0, true },
		{ vmd, 0, true },
		{ vmd, ALICE, false },
		/* None at all. */
		{ 0, 0, false },
		{ -1, 0, false },
		{ INT32_MIN, 0, false },
		{ INT32_MAX, 0, false },
	};
	size_t i;

	for (i = 0; i < sizeof(claims) / sizeof(claims[0]); i++)
		assert_int_equal(adopt_keeper(claims[i].claimed, claims[i].uid),
		    claims[i].taken ? claims[i].claimed : 0);
}

int
main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup(f, each)
	const struct CMUnitTest tests[] = {
		T(test_crash),
		T(test_stopped_stays_so),
		T(test_paused),
		T(test_stopping),
		T(test_ended_meanwhile),
		T(test_keeper_killed),
		T(test_left_alone),
		T(test_other_version),
		T(test_said_again),
		T(test_damaged),
		T(test_any_instant),
		T(test_keeper_ends),
		T(test_keeper_that_ends),
		T(test_whose_keeper),
	};

	fake_role(argc, argv);
	return cmocka_run_group_tests(tests, setup, adopt_teardown);
}
