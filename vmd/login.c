/* SPDX-License-Identifier: ISC */
/*
 * The process "login": becomes the user that a client of another host stands
 * for, opens what that user may open, and ends.  So the kernel decides about
 * it, as it does about local users: with the ids and all groups that the host's
 * database gives, at a connect(2) to the control socket or an open(2) of a
 * guest's line.
 */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "chan.h"
#include "ctl.h"
#include "fd.h"
#include "imsg.h"
#include "log.h"
#include "msg.h"
#include "role.h"
#include "spawn.h"
#include "ttyline.h"
#include "vmconf.h"

#define SETUP_MS 5000

struct login {
	uint32_t uid, what;
	char path[VM_PATH_MAX + 1];
};

static int
on_open(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct login *l = arg;

	if (ibuf_get_n32(body, &l->uid) == -1 ||
	    ibuf_get_n32(body, &l->what) == -1 ||
	    ctl_get_str(body, l->path, sizeof(l->path)) != 0)
		return -EBADMSG;
	return 0;
}

static const struct chan_row rows[] = {
	{ LOGIN_OPEN, "LOGIN_OPEN", CHAN_NOFD, on_open },
};
static const struct chan_ops ops = { rows, 1, NULL };

static int
become(uid_t uid)
{
	const struct rlimit none = { 0, 0 };
	const struct passwd *pw;

	errno = 0;
	if ((pw = getpwuid(uid)) == NULL)
		return errno != 0 ? -errno : -ENOENT;
	if (setrlimit(RLIMIT_CORE, &none) == -1 ||
	    initgroups(pw->pw_name, pw->pw_gid) == -1 ||
	    setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) == -1 ||
	    setresuid(uid, uid, uid) == -1 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return -errno;
	return uid != 0 && setresuid(0, 0, 0) != -1 ? -EPERM : 0;
}

static int
open_console(const char *path)
{
	int error, fd = ttyline_open(path);

	if (fd < 0)
		return fd;
	if ((error = ttyline_prepare(fd)) == 0)
		return fd;
	fd_close(&fd);
	return error;
}

static int
open_it(const struct login *l)
{
	int error = become(l->uid);

	if (error != 0)
		return error;
	switch (l->what) {
	case REMOTE_CONTROL:
		return fd_connect(l->path, SOCK_NONBLOCK);
	case REMOTE_CONSOLE:
		return open_console(l->path);
	}
	return -EINVAL;
}

int
login_main(void)
{
	struct login l = { 0 };
	struct chan *parent;
	struct ibuf *body;
	int fd;

	if ((parent = chan_new(NULL, SPAWN_FD, &ops, &l)) == NULL)
		fatal("channel");
	if (chan_recv(parent, SETUP_MS) != 0)
		return 1;
	if ((fd = open_it(&l)) >= 0)
		chan_send(parent, LOGIN_OPENED, 0, fd, NULL);
	else {
		body = chan_body();
		if (ibuf_add_n32(body, (uint64_t)-fd) == -1)
			fatalx("answer");
		chan_send(parent, LOGIN_REFUSED, 0, -1, body);
	}
	return chan_flush(parent, SETUP_MS) == 0 ? 0 : 1;
}
