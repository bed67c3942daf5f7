/* SPDX-License-Identifier: ISC */
/*
 * The process NAME/passtN: the host's side of a user interface.  It takes the
 * id of the VM's owner and becomes passt(1), which translates the guest's
 * connections to sockets of its own, as any program of that user's could make
 * them.
 *
 * The parent sees its channel end without a word: the exec has worked.
 */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
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

#define PASST	 "/usr/bin/passt"
#define SETUP_MS 30000

struct passt {
	struct chan *parent;
	bool go;
	uint32_t uid;
	gid_t gid;
	int socket;
};

static int
on_go(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct passt *p = arg;

	if (p->go || ibuf_get_n32(body, &p->uid) == -1) {
		fd_close(&fd);
		return -EBADMSG;
	}
	p->socket = fd;
	p->go = true;
	return 0;
}

static const struct chan_row rows[] = {
	{ PASST_GO, "PASST_GO", CHAN_FD, on_go },
};

/* Called from an event loop only; there is none. */
static void
on_closed(void *arg, const char *why)
{
}

static const struct chan_ops ops = { rows, 1, on_closed };

/* A VM of root's has nobody whose rights passt could have. */
static int
find_ids(struct passt *p)
{
	struct passwd *pw;

	pw = p->uid != 0 ? getpwuid(p->uid) : getpwnam("_vmd");
	if (pw == NULL || pw->pw_uid == 0 || pw->pw_gid == 0)
		return -ENOENT;
	p->uid = pw->pw_uid;
	p->gid = pw->pw_gid;
	return 0;
}

static int
become_owner(struct passt *p)
{
	const struct rlimit none = { 0, 0 };
	int error = find_ids(p);

	if (error != 0)
		return error;
	if (setrlimit(RLIMIT_CORE, &none) == -1 || setgroups(0, NULL) == -1 ||
	    setresgid(p->gid, p->gid, p->gid) == -1 ||
	    setresuid(p->uid, p->uid, p->uid) == -1 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return -errno;
	return setresuid(0, 0, 0) == -1 ? 0 : -EPERM;
}

static int
run(const struct passt *p)
{
	char fd[16], path[] = PASST, foreground[] = "-f", quiet[] = "-q",
		     option[] = "-F";
	char *const argv[] = { path, foreground, quiet, option, fd, NULL };

	snprintf(fd, sizeof(fd), "%d", p->socket);
	return spawn_replace(path, argv, p->socket);
}

static int
give_up(struct passt *p, const char *what, int error)
{
	struct ibuf *b = chan_body();
	char line[128];

	snprintf(line, sizeof(line), "%s: %s", what, strerror(-error));
	if (ibuf_add_n32(b, (uint64_t)-error) == -1 ||
	    ctl_put_str(b, line) != 0 ||
	    chan_send(p->parent, PASST_ERROR, 0, -1, b) != 0 ||
	    chan_flush(p->parent, SETUP_MS) != 0)
		log_warnx("%s", line);
	return 1;
}

int
passt_main(void)
{
	struct passt p = { .socket = -1 };
	int error;

	p.parent = chan_new(NULL, SPAWN_FD, &ops, &p);
	if (p.parent == NULL)
		fatal("channel");
	error = chan_recv(p.parent, SETUP_MS);
	if (error != 0)
		return 1;
	error = become_owner(&p);
	if (error != 0)
		return give_up(&p, "cannot become the owner", error);
	return give_up(&p, PASST, run(&p));
}
