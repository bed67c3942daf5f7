/* SPDX-License-Identifier: ISC */
/* vmctl -H: see remote.h. */
#include <sys/socket.h>
#include <sys/wait.h>
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chan.h"
#include "cmd.h"
#include "ctl.h"
#include "fd.h"
#include "imsg.h"
#include "log.h"
#include "remote.h"
#include "vmconf.h"
#include "spawn.h"
#include "text.h"

#define OPEN_MS	   60000
#define SYSTEM_DIR "/etc/vmctl"
#define USER_DIR   ".config/vmctl"
#define HOST_MAX   255

struct opening {
	bool ready, failed;
	char why[REMOTE_LINE_MAX];
};

static int
on_ready(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct opening *o = arg;

	o->ready = true;
	return 0;
}

static int
on_failed(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct opening *o = arg;

	if (ctl_get_str(body, o->why, sizeof(o->why)) != 0)
		return -EBADMSG;
	text_clean(o->why);
	o->failed = true;
	return 0;
}

static const struct chan_row rows[] = {
	{ RELAY_READY, "RELAY_READY", CHAN_NOFD, on_ready },
	{ RELAY_FAILED, "RELAY_FAILED", CHAN_NOFD, on_failed },
};
static const struct chan_ops ops = { rows, 2, NULL };

/* Where the certificates are: the user's own, or the host's. */
static bool
directory(char *dir, size_t len)
{
	const char *home = getenv("HOME");
	const struct passwd *pw;
	char ca[PATH_MAX];

	if (home == NULL && (pw = getpwuid(getuid())) != NULL)
		home = pw->pw_dir;
	if (home != NULL) {
		snprintf(ca, sizeof(ca), "%s/" USER_DIR "/ca.pem", home);
		if (access(ca, R_OK) == 0)
			return (size_t)snprintf(
				   dir, len, "%s/" USER_DIR, home) < len;
	}
	return (size_t)snprintf(dir, len, SYSTEM_DIR) < len;
}

/* host, host:port, [address]:port or an address; false: none of them. */
static bool
split(const char *s, char host[HOST_MAX + 1], const char **port)
{
	const char *end = strchr(s, ':');
	size_t n;

	*port = REMOTE_PORT;
	if (s[0] == '[') {
		end = strchr(++s, ']');
		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
			return false;
		if (end[1] == ':')
			*port = end + 2;
	} else if (end != NULL && strchr(end + 1, ':') == NULL)
		*port = end + 1;
	else
		end = NULL;
	n = end != NULL ? (size_t)(end - s) : strlen(s);
	if (n == 0 || n > HOST_MAX || **port == '\0' || strlen(*port) > 5)
		return false;
	memcpy(host, s, n);
	host[n] = '\0';
	return true;
}

static int
send_open(struct chan *c, const char *host, const char *port, const char *want,
    const char *dir, int fd)
{
	struct ibuf *body = chan_body();

	if (ctl_put_str(body, host) != 0 || ctl_put_str(body, port) != 0 ||
	    ctl_put_str(body, want) != 0 || ctl_put_str(body, dir) != 0) {
		ibuf_free(body);
		fd_close(&fd);
		return -ENOMEM;
	}
	return chan_send(c, RELAY_OPEN, 0, fd, body);
}

/* The relay's answer; 0 or -errno with o->why. */
static int
await(struct chan *c, struct opening *o)
{
	int error = 0;

	while (error == 0 && !o->ready && !o->failed)
		error = chan_recv(c, OPEN_MS);
	if (o->ready)
		return 0;
	if (!o->failed)
		snprintf(o->why, sizeof(o->why), "%s",
		    error == -ETIMEDOUT ? "no answer" : "the relay ended");
	return -ECONNREFUSED;
}

static int
reach(const struct cmd_env *env, const char *want)
{
	const struct spawn s = { REMOTE_ROLE, REMOTE_ROLE, "vmctl", 0, -1 };
	char host[HOST_MAX + 1], dir[PATH_MAX];
	struct opening o = { false, false, "" };
	struct chan *c = NULL;
	const char *port;
	int error, fd = -1, pair[2];

	if (!split(env->host, host, &port) || !directory(dir, sizeof(dir))) {
		log_warnx("invalid host: %s", env->host);
		return -EINVAL;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1) {
		log_warn("socketpair");
		return -ENFILE;
	}
	/* Those of earlier connections; no other child is there with a host. */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	error = spawn_child(&s, &fd);
	if (error >= 0 && (c = chan_new(NULL, fd, &ops, &o)) == NULL)
		error = -errno;
	if (error < 0) {
		log_warnx("cannot start a process: %s", strerror(-error));
		fd_close(&pair[0]);
		fd_close(&pair[1]);
		return -EAGAIN;
	}
	error = send_open(c, host, port, want, dir, pair[1]);
	if (error == 0)
		error = await(c, &o);
	chan_free(c);
	if (error == 0)
		return pair[0];
	log_warnx("%s: %s", env->host, o.why[0] != '\0' ? o.why : "no relay");
	cmd_why(env, CMD_EXIT_VMD);
	fd_close(&pair[0]);
	return error;
}

int
remote_open(const struct cmd_env *env, const char *vm, unsigned console)
{
	char want[128];

	if (vm == NULL)
		snprintf(want, sizeof(want), "control");
	else
		snprintf(want, sizeof(want), "%s %s",
		    console == VM_TTY_SERIAL ? "console"
					     : vm_tty_names[console],
		    vm);
	return reach(env, want);
}

int
remote_stream(const struct cmd_env *env, const char *ticket)
{
	char want[128];

	snprintf(want, sizeof(want), "stream %.64s", ticket);
	return reach(env, want);
}
