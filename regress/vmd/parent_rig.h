/* SPDX-License-Identifier: ISC */
#ifndef REGRESS_PARENT_RIG_H
#define REGRESS_PARENT_RIG_H

/*
 * The whole daemon but its guests: a real parent and a real, sealed control
 * process; vm, vioblk and probe are fakes (fake.h).  And clients of it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "fake.inc"

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>

#include "parent.h"
#include "spawn.h"

#define ALICE	 4001 /* owns "hers" */
#define BOB	 4002 /* in group OPS, which owns "theirs" */
#define EVE	 4003 /* may use the socket, owns nothing */
#define OPS	 4100
#define USERS	 4200 /* the socket's group */
#define WAIT_MS	 30000
#define QUIET_MS 300

static char dir[] = "/tmp/test_parent.XXXXXX";
static char sock[64], conffile[64], kernel[64];
static pid_t vmd;

/* A client and what it was told last. */
struct session {
	struct chan *chan;
	unsigned nvms, nended, nok, nfail, nlines;
	struct ctl_vm vms[16];
	uint32_t id, code;
	char text[1024];
	char lines[2048]; /* of a reload, each with its newline */
	char events[4096]; /* "twice running\n" */
};

static inline int
got_ok(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct session *s = arg;

	s->nok++;
	if (ibuf_get_n32(body, &s->id) == -1)
		return -EBADMSG;
	return ctl_get_str(body, s->text, sizeof(s->text));
}

static inline int
got_fail(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct session *s = arg;

	s->nfail++;
	if (ibuf_get_n32(body, &s->code) == -1)
		return -EBADMSG;
	return ctl_get_str(body, s->text, sizeof(s->text));
}

static inline int
got_vm(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct session *s = arg;

	return ctl_vm_get(body, &s->vms[s->nvms++ % 16]);
}

static inline int
got_ended(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct session *s = arg;
	struct ctl_target t;

	s->nended++;
	return ctl_target_get(body, &t);
}

static inline int
got_line(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct session *s = arg;
	char line[256];

	if (ctl_get_str(body, line, sizeof(line)) != 0)
		return -EBADMSG;
	s->nlines++;
	strlcat(s->lines, line, sizeof(s->lines));
	strlcat(s->lines, "\n", sizeof(s->lines));
	return 0;
}

static inline int
got_event(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct session *s = arg;
	struct ctl_event e;
	char line[512];

	if (ctl_event_get(body, &e) != 0)
		return -EBADMSG;
	snprintf(line, sizeof(line), "%s %s%s%s\n", e.name,
	    ctl_event_name(e.what), e.text[0] == '\0' ? "" : ": ", e.text);
	strlcat(s->events, line, sizeof(s->events));
	return 0;
}

static inline int
got_kept(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct session *s = arg;
	struct ctl_kept k;

	if (ctl_kept_get(body, &k) != 0)
		return -EBADMSG;
	strlcat(s->lines, k.tag, sizeof(s->lines));
	strlcat(s->lines, "\n", sizeof(s->lines));
	return 0;
}

static const struct chan_row rows[] = {
	{ CTL_OK, "CTL_OK", CHAN_NOFD, got_ok },
	{ CTL_FAIL, "CTL_FAIL", CHAN_NOFD, got_fail },
	{ CTL_VM, "CTL_VM", CHAN_NOFD, got_vm },
	{ CTL_ENDED, "CTL_ENDED", CHAN_NOFD, got_ended },
	{ CTL_LINE, "CTL_LINE", CHAN_NOFD, got_line },
	{ CTL_EVENT, "CTL_EVENT", CHAN_NOFD, got_event },
	{ CTL_KEPT, "CTL_KEPT", CHAN_NOFD, got_kept },
};
static const struct chan_ops ops = { rows, 7, fake_closed };

static inline int
try_connect(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_not_equal(fd, -1);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", sock);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1) {
		close(fd);
		return -errno;
	}
	return fd;
}

static inline int
raw_connect(void)
{
	int fd, i;

	for (i = 0; i < WAIT_MS / 10; i++) {
		if ((fd = try_connect()) >= 0)
			return fd;
		usleep(10000);
	}
	fail_msg("cannot connect: %s", strerror(-fd));
	return -1;
}

static inline void
send_raw(int fd, const void *data, size_t len)
{
	ssize_t n;

	do {
		n = send(fd, data, len, MSG_NOSIGNAL);
		if (n > 0) {
			data = (const char *)data + n;
			len -= (size_t)n;
		}
	} while (n > 0 && len > 0);
}

static inline void
hello(struct session *s)
{
	memset(s, 0, sizeof(*s));
	s->chan = chan_new(NULL, raw_connect(), &ops, s);
	assert_non_null(s->chan);
}

static inline void
bye(struct session *s)
{
	chan_free(s->chan);
}

static inline void
post(struct session *s, uint32_t type, int fd, struct ibuf *body)
{
	assert_int_equal(chan_send(s->chan, type, 0, fd, body), 0);
	assert_int_equal(chan_flush(s->chan, WAIT_MS), 0);
}

static inline struct ibuf *
target(const char *name, int force)
{
	struct ctl_target t = { 0, "" };
	struct ibuf *body = chan_body();

	snprintf(t.name, sizeof(t.name), "%s", name);
	ctl_target_put(body, &t);
	if (force >= 0)
		ibuf_add_n32(body, (uint32_t)force);
	return body;
}

/* Until the next OK (0) or FAIL (its code). */
static inline int
answer(struct session *s)
{
	unsigned before = s->nok + s->nfail, nfail = s->nfail;
	int error;

	while (s->nok + s->nfail == before) {
		error = chan_recv(s->chan, WAIT_MS);
		if (error != 0)
			fail_msg("no answer: %s", strerror(-error));
	}
	return s->nfail == nfail ? 0 : (int)s->code;
}

static inline int
ask(struct session *s, uint32_t type, struct ibuf *body)
{
	post(s, type, -1, body);
	return answer(s);
}

/* One request in a session of its own. */
static inline int
once(uint32_t type, struct ibuf *body)
{
	struct session s;
	int code;

	hello(&s);
	code = ask(&s, type, body);
	bye(&s);
	return code;
}

/* The state of a VM now; -1: there is no such VM. */
static inline int
state_of(const char *name)
{
	struct session s;
	int state = -1;
	unsigned i;

	hello(&s);
	assert_int_equal(ask(&s, CTL_LIST, NULL), 0);
	for (i = 0; i < s.nvms; i++) {
		if (strcmp(s.vms[i].name, name) == 0)
			state = (int)s.vms[i].state;
	}
	bye(&s);
	return state;
}

/* It gets there in time. */
static inline void
becomes(const char *name, int want)
{
	int i;

	for (i = 0; i < WAIT_MS / 10 && state_of(name) != want; i++)
		usleep(10000);
	assert_int_equal(state_of(name), want);
}

/* The daemon. */

static inline void
write_conf(const char *more)
{
	FILE *f = fopen(conffile, "we");

	assert_non_null(f);
	fprintf(f,
	    "socket owner :%d\n"
	    "hypervisor \"/dev/null\"\n"
	    "k = \"%s\"\n"
	    "vm hers {\n\tboot $k\n\tmemory 64M\n\towner %d\n\tdisable\n}\n"
	    "vm theirs {\n\tboot $k\n\tmemory 64M\n\towner \":%d\"\n"
	    "\tdisable\n}\n"
	    "vm silent {\n\tboot $k\n\tmemory 64M\n\tcmdline silent\n"
	    "\tdisable\n}\n"
	    "vm twice {\n\tboot $k\n\tmemory 64M\n\tdisable\n}\n"
	    "%s",
	    USERS, kernel, ALICE, OPS, more);
	fclose(f);
}

static inline int
start_vmd(void)
{
	struct options o = { .file = conffile,
		.file_given = true,
		.socket = sock,
		.foreground = true,
		.verbose = 0 };

	TAILQ_INIT(&o.macros);
	vmd = fork();
	if (vmd == 0) {
		/* Not longer than the test, however that ends. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(parent_run(&o));
	}
	return vmd > 0 ? 0 : -1;
}

static inline bool
runs_as(const char *pid, const char *role, const char *exe)
{
	char path[64], line[256] = "";
	ssize_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.20s/exe", pid);
	n = readlink(path, line, sizeof(line) - 1);
	line[n < 0 ? 0 : n] = '\0';
	if (strcmp(line, exe) != 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	if ((f = fopen(path, "re")) == NULL)
		return false;
	if (fgets(line, sizeof(line), f) == NULL)
		line[0] = '\0';
	fclose(f);
	line[strcspn(line, "\n")] = '\0';
	return strcmp(line, role) == 0;
}

/* The process of this role, whoever's child it is; 0: there is none. */
static inline pid_t
role_pid(const char *role)
{
	char exe[256] = "";
	struct dirent *e;
	pid_t pid = 0;
	DIR *d = opendir("/proc");

	assert_non_null(d);
	assert_true(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	while (pid == 0 && (e = readdir(d)) != NULL)
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' &&
		    runs_as(e->d_name, role, exe))
			pid = atoi(e->d_name);
	closedir(d);
	return pid;
}

static inline bool
can_run(void)
{
	return geteuid() == 0 && getpwnam("_vmd") != NULL;
}

static inline int
setup(void **state)
{
	int fd;

	if (!can_run())
		return 0;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0755), 0);
	snprintf(sock, sizeof(sock), "%s/sock", dir);
	snprintf(conffile, sizeof(conffile), "%s/conf", dir);
	snprintf(kernel, sizeof(kernel), "%s/kernel", dir);
	fd = open(kernel, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_not_equal(fd, -1);
	close(fd);
	write_conf("");
	assert_int_equal(spawn_init("test_parent"), 0);
	return start_vmd();
}

/* Nobody of vmd's family is left: its socket, its children. */
static inline int
teardown(void **state)
{
	int status = -1;

	if (!can_run())
		return 0;
	kill(vmd, SIGTERM);
	assert_int_equal(waitpid(vmd, &status, 0), vmd);
	assert_int_equal(status, 0);
	assert_int_equal(access(sock, F_OK), -1);
	unlink(conffile);
	unlink(kernel);
	return rmdir(dir);
}

static inline int
each(void **state)
{
	if (can_run())
		assert_int_equal(waitpid(vmd, NULL, WNOHANG), 0);
	return 0;
}

#define NEED_VMD()      \
	if (!can_run()) \
	skip()

static inline struct ibuf *
adhoc(const char *name, const char *how)
{
	struct ibuf *body = chan_body();
	struct vmconf c;

	vmconf_init(&c);
	snprintf(c.name, sizeof(c.name), "%s", name);
	snprintf(c.cmdline, sizeof(c.cmdline), "%s", how);
	c.memory = 64 << 20;
	vmconf_put(body, &c);
	return body;
}

static inline struct ibuf *
load_of(const char *path)
{
	struct ibuf *body = chan_body();

	ctl_put_str(body, path);
	return body;
}

static inline struct ibuf *
reset_of(uint32_t what)
{
	struct ibuf *body = chan_body();

	ibuf_add_n32(body, what);
	return body;
}

/* As somebody else, in a process of its own. */
static inline void
as_user(uid_t uid, gid_t group, void (*test)(void))
{
	gid_t groups[2] = { USERS, group };
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		if (setgroups(2, groups) == -1 ||
		    setresgid(uid, uid, uid) == -1 ||
		    setresuid(uid, uid, uid) == -1)
			_exit(99);
		test();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

#define WANT(type, body, want)          \
	if (once(type, body) != (want)) \
	_exit(__LINE__ % 90 + 1)

/* Its row in a list; it must be there. */
static inline struct ctl_vm
row_of(const char *name)
{
	struct session s;
	struct ctl_vm row = { 0 };
	unsigned i;

	hello(&s);
	assert_int_equal(ask(&s, CTL_LIST, NULL), 0);
	for (i = 0; i < s.nvms; i++) {
		if (strcmp(s.vms[i].name, name) == 0)
			row = s.vms[i];
	}
	bye(&s);
	assert_string_equal(row.name, name);
	return row;
}

#endif
