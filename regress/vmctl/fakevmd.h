/* SPDX-License-Identifier: ISC */
#ifndef REGRESS_FAKEVMD_H
#define REGRESS_FAKEVMD_H

/*
 * For tests only: vmctl's whole command line run in a child process, and a
 * vmd that answers it by a script.
 *
 * A script is words separated by blanks.  Per connection, the fake reads one
 * request (START_KERNEL and START_INITRD belong to the request after them),
 * writes it down, and plays the script up to the next "|", then closes:
 *	ok:ID:TEXT	fail:CODE:TEXT	ended:ID:NAME
 *	line:TEXT	event:KIND[/OUTCOME]:ID:NAME:TEXT
 *	cells:MODE:TEXT	(a screen that begins with TEXT)
 *	vm:ID:NAME:PID:TTY:PROBLEM	(one of a list)
 *	vmctlchars	a running VM full of control characters
 *	short:N		the first N bytes of an ok message
 *	extra		an ok message with bytes left over
 *	long		a VM whose name is longer than a name
 *	nul		an ok message with a NUL in its text
 *	fd		an ok message with a descriptor
 *	junk		bytes that are no message
 *	type		a message of an unknown type
 *	many:N		N VMs of a list
 *	mutate:SEED	a list of two in which some bytes are changed
 *	unread		close before the request is read
 * '_' in TEXT stands for a blank.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "cmd.h"
#include "ctl.h"
#include "imsg.h"
#include "log.h"
#include "screen.h"
#include "vmconf.h"

#define FAKE_ARGS 32

struct fake {
	char dir[32];
	char socket[64];
	int listener;
	bool sealed; /* what is run seals itself */
	char requests[4096]; /* what came in: "STOP 0 web 1\n" */
	/* of the run */
	char out[65536], err[65536];
	int status; /* exit status, or -signal */
};

static inline void __attribute__((format(printf, 2, 3)))
fake_note(struct fake *f, const char *fmt, ...)
{
	size_t len = strlen(f->requests);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->requests + len, sizeof(f->requests) - len, fmt, ap);
	va_end(ap);
}

static inline void
fake_init(struct fake *f)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	memset(f, 0, sizeof(*f));
	strcpy(f->dir, "/tmp/vmctl.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->socket, sizeof(f->socket), "%s/sock", f->dir);
	memcpy(sun.sun_path, f->socket, strlen(f->socket) + 1);
	f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(
	    bind(f->listener, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(f->listener, 8), 0);
}

static inline void
fake_done(struct fake *f)
{
	close(f->listener);
	unlink(f->socket);
	rmdir(f->dir);
}

/* One message of the client; false at its end. */
static inline bool
fake_take(struct imsgbuf *ib, struct imsg *imsg)
{
	int n;

	while ((n = imsgbuf_get(ib, imsg)) == 0) {
		if (imsgbuf_read(ib) != 1)
			return false;
	}
	return n == 1;
}

static inline void
fake_note_fd(struct fake *f, const char *what, int fd)
{
	char data[16] = "";
	ssize_t n = pread(fd, data, sizeof(data) - 1, 0);

	fake_note(f, "%s %s\n", what, n > 0 ? data : "?");
	close(fd);
}

static inline void
fake_note_conf(struct fake *f, struct ibuf *body)
{
	struct vmconf c;
	uint32_t i;

	if (vmconf_get(body, &c) != 0) {
		fake_note(f, "START_ADHOC bad\n");
		return;
	}
	fake_note(f, "START_ADHOC %s flags=%x m=%ju p=%u k=%s i=%s a=%s",
	    c.name, c.flags, (uintmax_t)c.memory >> 20, c.cpus, c.kernel,
	    c.initrd, c.cmdline);
	for (i = 0; i < c.ndisks; i++)
		fake_note(f, " d=%s", c.disk[i].path);
	for (i = 0; i < c.nnics; i++)
		fake_note(f, " n%x=%s", c.nic[i].flags, c.nic[i].sw);
	if (c.bootdev != VM_BOOT_ANY)
		fake_note(f, " B=%s", vm_bootdev_names[c.bootdev]);
	if (c.parent[0] != '\0')
		fake_note(f, " t=%s given=%x", c.parent, c.given);
	fake_note(f, "\n");
}

/* Write a request down. true: it is complete and wants an answer. */
static inline void
fake_note_keys(struct fake *f, struct ibuf *body)
{
	uint32_t key[SCREEN_KEYS_MAX], n, i;

	assert_int_equal(screen_get_keys(body, key, &n), 0);
	for (i = 0; i < n; i++)
		fake_note(f, " %x", key[i]);
}

static inline bool
fake_request(struct fake *f, struct imsg *imsg)
{
	static const char *const names[] = {
#define X(n, r, fd, fields) [CTL_##n - CTL_NONE] = #n,
		CTL_REQUESTS(X)
#undef X
	};
	uint32_t id, extra = 0, type = imsg_get_type(imsg);
	char name[VM_NAME_MAX + 1], path[VM_PATH_MAX + 1];
	struct ibuf body;

	assert_int_equal(imsg_get_id(imsg), CTL_VERSION);
	if (imsg_get_len(imsg) > 0)
		assert_int_equal(imsg_get_ibuf(imsg, &body), 0);
	else
		ibuf_from_buffer(&body, name, 0);
	switch (type) {
	case CTL_START_KERNEL:
	case CTL_START_INITRD:
		fake_note_fd(f, names[type - CTL_NONE], imsg_get_fd(imsg));
		return false;
	case CTL_START_ADHOC:
		fake_note_conf(f, &body);
		break;
	case CTL_LOG:
	case CTL_RESET:
		assert_int_equal(ibuf_get_n32(&body, &extra), 0);
		fake_note(f, "%s %u\n", names[type - CTL_NONE], extra);
		break;
	case CTL_LOAD:
	case CTL_START_FILE:
		assert_int_equal(ctl_get_str(&body, path, sizeof(path)), 0);
		fake_note(f, "%s %s\n", names[type - CTL_NONE], path);
		break;
	case CTL_START:
	case CTL_SNAPSHOT:
	case CTL_SNAPSHOTS:
	case CTL_REVERT:
	case CTL_SCREEN:
	case CTL_KEY:
	case CTL_PAUSE:
	case CTL_UNPAUSE:
	case CTL_STOP:
	case CTL_WAIT:
		assert_int_equal(ibuf_get_n32(&body, &id), 0);
		assert_int_equal(ctl_get_str(&body, name, sizeof(name)), 0);
		fake_note(f, "%s %u %s", names[type - CTL_NONE], id, name);
		if (type == CTL_STOP || type == CTL_SNAPSHOT) {
			assert_int_equal(ibuf_get_n32(&body, &extra), 0);
			fake_note(f, " %u", extra);
		}
		if (type == CTL_SNAPSHOT || type == CTL_REVERT) {
			assert_int_equal(
			    ctl_get_str(&body, name, sizeof(name)), 0);
			fake_note(f, " %s", name);
		}
		if (type == CTL_KEY)
			fake_note_keys(f, &body);
		fake_note(f, "\n");
		break;
	default:
		fake_note(f, "%s\n", names[type - CTL_NONE]);
		break;
	}
	assert_int_equal(ibuf_size(&body), 0);
	return true;
}

static inline void
fake_put(struct imsgbuf *ib, uint32_t type, uint32_t n, const char *text)
{
	struct ibuf *b = ibuf_dynamic(0, 65536);
	char *copy = strdup(text), *p;

	for (p = copy; (p = strchr(p, '_')) != NULL;)
		*p = ' ';
	assert_int_equal(ibuf_add_n32(b, n), 0);
	assert_int_equal(ctl_put_str(b, copy), 0);
	free(copy);
	imsg_compose_ibuf(ib, type, 0, 0, b);
}

static inline void
fake_put_vm(struct imsgbuf *ib, const struct ctl_vm *vm)
{
	struct ibuf *b = ibuf_dynamic(0, 65536);

	assert_int_equal(ctl_vm_put(b, vm), 0);
	imsg_compose_ibuf(ib, CTL_VM, 0, 0, b);
}

/* "ID:NAME:PID:TTY:PROBLEM" */
static inline void
fake_vm(struct imsgbuf *ib, char *spec)
{
	struct ctl_vm vm = { .cpus = 1,
		.maxmem = 512ULL << 20,
		.curmem = 128ULL << 20,
		.gid = VM_NOGID };
	char *field[5] = { 0 };
	int i;

	for (i = 0; i < 5; i++)
		field[i] = strsep(&spec, ":");
	assert_non_null(field[4]);
	vm.id = (uint32_t)atoi(field[0]);
	snprintf(vm.name, sizeof(vm.name), "%s", field[1]);
	vm.pid = (uint32_t)atoi(field[2]);
	vm.state = vm.pid == 0 ? CTL_ST_STOPPED : CTL_ST_RUNNING;
	snprintf(vm.tty, sizeof(vm.tty), "%s", field[3]);
	snprintf(vm.problem, sizeof(vm.problem), "%s", field[4]);
	fake_put_vm(ib, &vm);
}

/* Answers that break a rule. */
static inline void
fake_broken(struct imsgbuf *ib, const char *word, const char *arg)
{
	struct imsg_hdr hdr = { .type = CTL_OK,
		.len = sizeof(hdr) + 8,
		.pid = 1 };
	uint8_t bytes[sizeof(hdr) + 8] = { 0 };
	struct ctl_vm vm = { .id = 1, .pid = 1, .gid = VM_NOGID };
	struct ibuf *b;

	if (strcmp(word, "short") == 0) {
		memcpy(bytes, &hdr, sizeof(hdr));
		assert_true(write(ib->fd, bytes, (size_t)atoi(arg)) > 0);
	} else if (strcmp(word, "junk") == 0) {
		memset(bytes, 0xff, sizeof(bytes));
		assert_true(write(ib->fd, bytes, sizeof(bytes)) > 0);
	} else if (strcmp(word, "type") == 0) {
		imsg_compose(ib, 4242, 0, 0, -1, NULL, 0);
	} else if (strcmp(word, "extra") == 0) {
		imsg_compose(ib, CTL_OK, 0, 0, -1, bytes, 7);
	} else if (strcmp(word, "nul") == 0) {
		bytes[5] = 3;
		imsg_compose(ib, CTL_OK, 0, 0, -1, bytes, 9);
	} else if (strcmp(word, "fd") == 0) {
		imsg_compose(ib, CTL_OK, 0, 0, dup(1), bytes, 6);
	} else if (strcmp(word, "long") == 0) {
		b = ibuf_dynamic(0, 65536);
		ibuf_add_n32(b, 1);
		ctl_put_str(b,
		    "0123456789012345678901234567890123456789"
		    "0123456789012345678901234567890123456789");
		ibuf_add_zero(b, 256);
		imsg_compose_ibuf(ib, CTL_VM, 0, 0, b);
	} else if (strcmp(word, "vmctlchars") == 0) {
		strcpy(vm.name, "a\033[2Jb");
		strcpy(vm.tty, "/dev/\r\n");
		strcpy(vm.problem, "\xff\x9b\a");
		fake_put_vm(ib, &vm);
	} else
		fail_msg("script: %s", word);
}

static inline void
fake_mutate(int fd, unsigned seed)
{
	char a[] = "1:web:99:/dev/pts/7:", b[] = "2:db:98::broken";
	uint8_t bytes[1024];
	struct imsgbuf ib;
	int changes, s[2];
	ssize_t n;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	assert_int_equal(imsgbuf_init(&ib, s[0]), 0);
	fake_vm(&ib, a);
	fake_vm(&ib, b);
	fake_put(&ib, CTL_OK, 0, "");
	imsgbuf_flush(&ib);
	imsgbuf_clear(&ib);
	n = read(s[1], bytes, sizeof(bytes));
	for (changes = rand_r(&seed) % 4 + 1; changes > 0; changes--)
		bytes[rand_r(&seed) % n] = (uint8_t)rand_r(&seed);
	assert_int_equal(write(fd, bytes, (size_t)n), n);
	close(s[0]);
	close(s[1]);
}

static inline void
fake_line(struct imsgbuf *ib, char *text)
{
	struct ibuf *b = ibuf_dynamic(0, 65536);
	char *s;

	for (s = text; (s = strchr(s, '_')) != NULL;)
		*s = ' ';
	assert_int_equal(ctl_put_str(b, text), 0);
	imsg_compose_ibuf(ib, CTL_LINE, 0, 0, b);
}

/* "TAG:MS:BYTES" */
static inline void
fake_kept(struct imsgbuf *ib, char *spec)
{
	struct ibuf *b = ibuf_dynamic(0, 65536);
	struct ctl_kept k = { .ms = 0 };

	snprintf(k.tag, sizeof(k.tag), "%s", strsep(&spec, ":"));
	k.ms = (uint64_t)atoi(strsep(&spec, ":"));
	k.bytes = (uint64_t)atoi(spec);
	assert_int_equal(ctl_kept_put(b, &k), 0);
	imsg_compose_ibuf(ib, CTL_KEPT, 0, 0, b);
}

/* "KIND[/OUTCOME]:ID:NAME:TEXT", at 1.5 s after the beginning of 1970 */
static inline void
fake_event(struct imsgbuf *ib, char *spec)
{
	struct ctl_event e = { .ms = 1500 };
	struct ibuf *b = ibuf_dynamic(0, 65536);
	char *s;

	e.what = (uint32_t)atoi(spec);
	s = strsep(&spec, ":");
	if ((s = strchr(s, '/')) != NULL)
		e.outcome = (uint32_t)atoi(s + 1);
	e.id = (uint32_t)atoi(strsep(&spec, ":"));
	snprintf(e.name, sizeof(e.name), "%s", strsep(&spec, ":"));
	for (s = spec; (s = strchr(s, '_')) != NULL;)
		*s = ' ';
	snprintf(e.text, sizeof(e.text), "%s", spec);
	assert_int_equal(ctl_event_put(b, &e), 0);
	imsg_compose_ibuf(ib, CTL_EVENT, 0, 0, b);
}

/* White on blue, with a smiling face at the end of the first row. */
static inline void
fake_cells(struct imsgbuf *ib, char *spec)
{
	struct screen s = { .cursor = SCREEN_NOCURSOR };
	struct ibuf *b = ibuf_dynamic(0, 65536);
	unsigned i;

	s.mode = (uint32_t)atoi(strsep(&spec, ":"));
	if (s.mode == SCREEN_TEXT) {
		s.cols = 80;
		s.rows = 25;
		s.cursor = 83;
		for (i = 0; i < SCREEN_CELLS; i++)
			s.cell[i] = 0x0720;
		for (i = 0; spec[i] != '\0'; i++)
			s.cell[i] = (uint16_t)(0x1f00 | (uint8_t)spec[i]);
		s.cell[79] = 0x0701;
	}
	assert_int_equal(screen_put(b, &s), 0);
	imsg_compose_ibuf(ib, CTL_CELLS, 0, 0, b);
}

static inline void
fake_play(struct imsgbuf *ib, char *word)
{
	char spec[32], *arg = word, *kind = strsep(&arg, ":"), *n;
	int i;

	if (strcmp(kind, "vm") == 0) {
		fake_vm(ib, arg);
	} else if (strcmp(kind, "many") == 0) {
		for (i = 1; i <= atoi(arg); i++) {
			snprintf(spec, sizeof(spec), "%d:v%d:0::", i, i);
			fake_vm(ib, spec);
			imsgbuf_flush(ib);
		}
	} else if (strcmp(kind, "ok") == 0 || strcmp(kind, "fail") == 0 ||
	    strcmp(kind, "ended") == 0) {
		n = strsep(&arg, ":");
		fake_put(ib,
		    *kind == 'o'	? CTL_OK :
			*kind == 'f' ? CTL_FAIL :
				       CTL_ENDED,
		    (uint32_t)strtoul(n, NULL, 10), arg == NULL ? "" : arg);
	} else if (strcmp(kind, "line") == 0) {
		fake_line(ib, arg);
	} else if (strcmp(kind, "event") == 0) {
		fake_event(ib, arg);
	} else if (strcmp(kind, "kept") == 0) {
		fake_kept(ib, arg);
	} else if (strcmp(kind, "cells") == 0) {
		fake_cells(ib, arg);
	} else if (strcmp(kind, "mutate") == 0) {
		fake_mutate(ib->fd, (unsigned)atoi(arg));
	} else
		fake_broken(ib, kind, arg);
	imsgbuf_flush(ib);
}

/* One connection: a request, then the script up to '|'. */
static inline void
fake_serve(struct fake *f, int fd, char **script)
{
	struct imsgbuf ib;
	struct imsg imsg;
	bool complete = false;
	char *part = strsep(script, "|"), *word;

	if (part == NULL)
		part = (char[]){ "" };
	if (strstr(part, "unread") != NULL) {
		close(fd);
		return;
	}
	assert_int_equal(imsgbuf_init(&ib, fd), 0);
	imsgbuf_allow_fdpass(&ib);
	while (!complete && fake_take(&ib, &imsg)) {
		complete = fake_request(f, &imsg);
		imsg_free(&imsg);
	}
	while (complete && (word = strsep(&part, " ")) != NULL) {
		if (*word != '\0')
			fake_play(&ib, word);
	}
	imsgbuf_clear(&ib);
	close(fd);
}

/* In the child. */
static inline void
fake_exec(struct fake *f, const char *const *args, int out, int err)
{
	char *argv[FAKE_ARGS + 4], vmctl[] = "vmctl", s[] = "-s";
	int argc = 0, status;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(20);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	/* The test's ends of pipes and ptys would keep them open. */
	close_range(STDERR_FILENO + 1, ~0U, 0);
	argv[argc++] = vmctl;
	if (f->socket[0] != '\0') {
		argv[argc++] = s;
		argv[argc++] = f->socket;
	}
	while (*args != NULL && argc < FAKE_ARGS)
		argv[argc++] = strdup(*args++);
	argv[argc] = NULL;
	log_init(LOG_TO_STDERR, "vmctl");
	status = cmd_main(argc, argv);
	/* What sanitizers do in exit(3) cannot be done in a sealed process. */
	if (f->sealed)
		syscall(SYS_exit_group, status);
	exit(status);
}

static inline void
fake_slurp(int fd, char *buf, size_t len)
{
	ssize_t n = pread(fd, buf, len - 1, 0);

	buf[n > 0 ? n : 0] = '\0';
	close(fd);
}

/* Run vmctl with these arguments against the script. */
static inline void
fake_run(struct fake *f, const char *const *args, const char *script)
{
	int err = memfd_create("err", 0), out = memfd_create("out", 0);
	struct pollfd p = { .fd = f->listener, .events = POLLIN };
	char *copy = strdup(script), *rest = copy;
	int fd, status;
	pid_t pid;

	f->requests[0] = '\0';
	signal(SIGPIPE, SIG_IGN);
	fflush(NULL);
	assert_true((pid = fork()) != -1);
	if (pid == 0)
		fake_exec(f, args, out, err);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (poll(&p, 1, 5) != 1)
			continue;
		fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd != -1)
			fake_serve(f, fd, &rest);
	}
	free(copy);
	f->status =
	    WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	fake_slurp(out, f->out, sizeof(f->out));
	fake_slurp(err, f->err, sizeof(f->err));
}

#endif
