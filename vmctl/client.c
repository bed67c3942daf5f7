/* SPDX-License-Identifier: ISC */
/*
 * The connection to vmd: requests go out, answers come in one at a time.
 *
 * Invariants
 *  1. Nothing that vmd sends is trusted: the channel's table refuses unknown
 *     types and descriptors, the decoders refuse lengths, and every string is
 *     cleaned here, once, before anybody can print it.
 *  2. An answer handed out is complete.
 *  3. Memory for a list is bounded (CLIENT_VMS_MAX).
 *
 * The id field of our messages carries CTL_VERSION.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "args.h"
#include "chan.h"
#include "client.h"
#include "cmd.h"
#include "fd.h"
#include "imsg.h"
#include "log.h"
#include "remote.h"
#include "text.h"

struct client {
	struct chan *chan;
	const struct cmd_env *env;
	struct client_answer answer;
	bool answered; /* answer is new */
};

static int
take(struct client *c, enum client_kind kind)
{
	text_clean(c->answer.text);
	c->answer.kind = kind;
	c->answered = true;
	return 0;
}

static int
handle_ok(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct client *c = arg;

	if (ibuf_get_n32(body, &c->answer.id) == -1 ||
	    ctl_get_str(body, c->answer.text, sizeof(c->answer.text)) != 0)
		return -EBADMSG;
	return take(c, CLIENT_OK);
}

static int
handle_fail(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct client *c = arg;

	if (ibuf_get_n32(body, &c->answer.code) == -1 ||
	    ctl_get_str(body, c->answer.text, sizeof(c->answer.text)) != 0)
		return -EBADMSG;
	return take(c, CLIENT_FAIL);
}

static int
handle_vm(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct client *c = arg;
	uint32_t i;

	if (ctl_vm_get(body, &c->answer.vm) != 0)
		return -EBADMSG;
	text_clean(c->answer.vm.name);
	text_clean(c->answer.vm.tty);
	for (i = 0; i < CTL_MORE; i++)
		text_clean(c->answer.vm.more[i]);
	text_clean(c->answer.vm.problem);
	for (i = 0; i < c->answer.vm.ndevs; i++) {
		text_clean(c->answer.vm.dev[i].name);
		text_clean(c->answer.vm.dev[i].nic.ifname);
	}
	c->answer.text[0] = '\0';
	return take(c, CLIENT_VM);
}

static int
handle_ended(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct client *c = arg;

	if (ibuf_get_n32(body, &c->answer.id) == -1 ||
	    ctl_get_str(body, c->answer.text, sizeof(c->answer.text)) != 0)
		return -EBADMSG;
	return take(c, CLIENT_ENDED);
}

static int
handle_line(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct client *c = arg;

	if (ctl_get_str(body, c->answer.text, sizeof(c->answer.text)) != 0)
		return -EBADMSG;
	return take(c, CLIENT_LINE);
}

static int
handle_event(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct client *c = arg;

	if (ctl_event_get(body, &c->answer.event) != 0)
		return -EBADMSG;
	text_clean(c->answer.event.name);
	text_clean(c->answer.event.text);
	c->answer.text[0] = '\0';
	return take(c, CLIENT_EVENT);
}

static int
handle_cells(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct client *c = arg;

	if (screen_get(body, &c->answer.screen) != 0)
		return -EBADMSG;
	c->answer.text[0] = '\0';
	return take(c, CLIENT_CELLS);
}

static int
handle_kept(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct client *c = arg;

	if (ctl_kept_get(body, &c->answer.kept) != 0)
		return -EBADMSG;
	text_clean(c->answer.kept.tag);
	c->answer.text[0] = '\0';
	return take(c, CLIENT_KEPT);
}

static const struct chan_row rows[] = {
	{ CTL_OK, "CTL_OK", CHAN_NOFD, handle_ok },
	{ CTL_FAIL, "CTL_FAIL", CHAN_NOFD, handle_fail },
	{ CTL_VM, "CTL_VM", CHAN_NOFD, handle_vm },
	{ CTL_ENDED, "CTL_ENDED", CHAN_NOFD, handle_ended },
	{ CTL_LINE, "CTL_LINE", CHAN_NOFD, handle_line },
	{ CTL_EVENT, "CTL_EVENT", CHAN_NOFD, handle_event },
	{ CTL_CELLS, "CTL_CELLS", CHAN_NOFD, handle_cells },
	{ CTL_KEPT, "CTL_KEPT", CHAN_NOFD, handle_kept },
};

static const struct chan_ops ops = {
	rows, sizeof(rows) / sizeof(rows[0]), NULL /* no event loop here */
};

struct client *
client_open(const struct cmd_env *env)
{
	const char *path = env->socket;
	struct client *c;
	int fd;

	/* A peer that is gone is an error to report, not a signal. */
	signal(SIGPIPE, SIG_IGN);
	if (env->host != NULL) {
		if ((fd = remote_open(env, NULL, 0)) < 0)
			return NULL;
		path = env->host;
	} else if ((fd = fd_connect(path, 0)) < 0) {
		errno = -fd;
		log_warn("connect: %s", path);
		cmd_why(env, fd == -EACCES ? CMD_EXIT_DENIED : CMD_EXIT_VMD);
		return NULL;
	}
	log_debug("connected to %s", path);
	if ((c = calloc(1, sizeof(*c))) == NULL) {
		log_warn("connect: %s", path);
		close(fd);
		return NULL;
	}
	if ((c->chan = chan_new(NULL, fd, &ops, c)) == NULL) {
		log_warn("connect: %s", path);
		free(c);
		return NULL;
	}
	c->env = env;
	return c;
}

struct client *
client_await(const struct cmd_env *env, unsigned seconds)
{
	unsigned n;
	int fd;

	for (n = 0; env->host == NULL && n < 5 * seconds; n++) {
		if ((fd = fd_connect(env->socket, 0)) >= 0) {
			close(fd);
			break;
		}
		usleep(200000);
	}
	return client_open(env);
}

void
client_close(struct client *c)
{
	if (c == NULL)
		return;
	chan_free(c->chan);
	free(c);
}

int
client_send(struct client *c, enum ctl_type type, int fd, struct ibuf *body)
{
	int error;

	if (fd != -1 && c->env->host != NULL) {
		log_warnx(
		    "files of this host cannot be passed to %s", c->env->host);
		ibuf_free(body);
		close(fd);
		return -EOPNOTSUPP;
	}
	error = chan_send(c->chan, type, CTL_VERSION, fd, body);
	if (error == 0)
		error = chan_flush(c->chan, CLIENT_PROMPT);
	/*
	 * A vmd that hung up may have said why before: client_next() finds
	 * that answer, or reports the closed connection.
	 */
	if (error == -EPIPE)
		return 0;
	if (error == -ETIMEDOUT)
		log_warnx("vmd does not answer");
	else if (error != 0) {
		errno = -error;
		log_warn("request to vmd");
	}
	if (error != 0)
		cmd_why(c->env, CMD_EXIT_VMD);
	return error;
}

int
client_send_target(struct client *c, enum ctl_type type,
    const struct target *target, const uint32_t *extra)
{
	struct ibuf *body = chan_body();

	if (ibuf_add_n32(body, target->id) == -1 ||
	    ctl_put_str(body, target->name) != 0 ||
	    (extra != NULL && ibuf_add_n32(body, *extra) == -1)) {
		ibuf_free(body);
		log_warnx("request to vmd: too large");
		return -EMSGSIZE;
	}
	return client_send(c, type, -1, body);
}

static void
say_lost(const struct client *c, int error)
{
	const char *why = chan_why(c->chan);

	if (error == -ETIMEDOUT)
		log_warnx("vmd does not answer");
	else if (why != NULL && *why != '\0')
		log_warnx("answer of vmd not understood: %s "
			  "(protocol version %d)",
		    why, CTL_VERSION);
	else if (why != NULL || error == -EPIPE)
		log_warnx("vmd closed the connection");
	else {
		errno = -error;
		log_warn("answer of vmd");
	}
}

/* Of a FAIL's code, for scripts. */
static enum cmd_exit
meaning(uint32_t code)
{
	switch (code) {
	case EPERM:
	case EACCES:
		return CMD_EXIT_DENIED;
	case ENOENT:
	case ESRCH:
	case ENODEV:
	case CTL_E_PARENT:
		return CMD_EXIT_ABSENT;
	case EALREADY:
	case EBUSY:
	case EEXIST:
	case CTL_E_NOTRUNNING:
		return CMD_EXIT_STATE;
	case ENOMEM:
	case ENOSPC:
	case EDQUOT:
	case EUSERS:
		return CMD_EXIT_FULL;
	case ENOEXEC:
	case CTL_E_FIRMWARE:
	case CTL_E_DISK:
	case CTL_E_CDROM:
	case CTL_E_NOTCDROM:
		return CMD_EXIT_FILE;
	}
	return CMD_EXIT_FAILED;
}

int
client_next(struct client *c, struct client_answer *out, int timeout_ms)
{
	int error;

	c->answered = false;
	error = chan_recv(c->chan, timeout_ms);
	if (error == 0 && !c->answered)
		error = -EPIPE;
	if (error != 0) {
		say_lost(c, error);
		cmd_why(c->env, CMD_EXIT_VMD);
		return error;
	}
	if (c->answer.kind == CLIENT_FAIL)
		cmd_why(c->env, meaning(c->answer.code));
	*out = c->answer;
	return 0;
}

static int
list(struct client *c, struct ctl_vm **out, size_t *nout)
{
	static const char toolong[] = "vmd's list of VMs is too long";
	struct client_answer a;
	struct ctl_vm *bigger, *vms = NULL;
	size_t n = 0, room = 0;
	int error;

	if ((error = client_send(c, CTL_LIST, -1, NULL)) != 0)
		return error;
	while ((error = client_next(c, &a, CLIENT_PROMPT)) == 0) {
		if (a.kind == CLIENT_OK) {
			*out = vms;
			*nout = n;
			return 0;
		}
		if (a.kind != CLIENT_VM) {
			log_warnx("command failed: %s", client_reason(&a));
			error = -EPROTO;
			break;
		}
		if (n == CLIENT_VMS_MAX) {
			log_warnx("%s", toolong);
			error = -EMSGSIZE;
			break;
		}
		if (n == room) {
			room = room == 0 ? 16 : room * 2;
			bigger = reallocarray(vms, room, sizeof(*vms));
			if (bigger == NULL) {
				error = -errno;
				log_warn("list of VMs");
				break;
			}
			vms = bigger;
		}
		vms[n++] = a.vm;
	}
	free(vms);
	return error;
}

const char *
client_reason(const struct client_answer *a)
{
	if (a->kind != CLIENT_FAIL)
		return "unexpected answer";
	if (a->text[0] != '\0')
		return a->text;
	return a->code == 0 ? "no reason given" : strerror((int)a->code);
}

int
client_list(const struct cmd_env *env, struct ctl_vm **out, size_t *nout)
{
	struct client *c = client_open(env);
	int error;

	if (c == NULL)
		return -ENOTCONN;
	error = list(c, out, nout);
	client_close(c);
	return error;
}
