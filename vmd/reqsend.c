/* SPDX-License-Identifier: ISC */
/*
 * A VM goes to another host: send.h.  Its vm process has one end of a stream, a
 * vm process over there the other; in between there is a client with the
 * owner's rights on both hosts, and TLS.
 *
 * Who may start a VM here may have it started by what a sender says, as from a
 * file: the stream is judged by the vm process, which is to be its guest's.
 */
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "ctl.h"
#include "fd.h"
#include "imsg.h"
#include "life.h"
#include "log.h"
#include "msg.h"
#include "parent.h"
#include "requests.h"
#include "start.h"
#include "suspend.h"

#define SILENCE_S 30 /* of a sender */

struct order {
	uint32_t limit, slow; /* ms, percent */
	uint32_t disks; /* 1: as well */
	uint64_t rate;
};

static int
check_socket(int fd, struct fail *why)
{
	struct stat st;

	if (fstat(fd, &st) == -1 || !S_ISSOCK(st.st_mode))
		return fail_set(why, EINVAL, "stream: not a socket");
	if (fcntl(fd, F_SETFL, O_NONBLOCK) == -1)
		return fail_set(why, errno, "stream: %s", strerror(errno));
	return 0;
}

/* Takes fd. */
static int
ask_send(struct vm *vm, const struct order *o, int fd, struct fail *why)
{
	struct ibuf *body;
	int error;

	if ((error = suspend_may(vm, why)) == 0)
		error = check_socket(fd, why);
	if (error != 0) {
		fd_close(&fd);
		return error;
	}
	body = chan_body();
	if (ibuf_add_n32(body, o->limit) == -1 ||
	    ibuf_add_n64(body, o->rate) == -1 ||
	    ibuf_add_n32(body, o->slow) == -1 ||
	    ibuf_add_n32(body, o->disks) == -1) {
		ibuf_free(body);
		fd_close(&fd);
		return fail_set(why, ENOMEM, "out of memory");
	}
	error = chan_send(vm->run.vm.chan, VM_SEND, 0, fd, body);
	if (error != 0)
		return fail_set(why, -error, "cannot reach vm \"%s\": %s",
		    vm->conf.name, strerror(-error));
	vm->run.saving = vm->run.sending = true;
	vm->run.save_go_on = false;
	return 0;
}

int
requests_send(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;
	struct ctl_target t;
	struct order o;
	struct vm *vm;
	struct fail f;

	if (ctl_target_get(body, &t) != 0 ||
	    ibuf_get_n32(body, &o.limit) == -1 ||
	    ibuf_get_n64(body, &o.rate) == -1 ||
	    ibuf_get_n32(body, &o.slow) == -1 ||
	    ibuf_get_n32(body, &o.disks) == -1 || o.disks > 1) {
		fd_close(&fd);
		return -EBADMSG;
	}
	if ((vm = requests_allowed(p, CTL_SEND, id, &t)) == NULL) {
		fd_close(&fd);
		return 0;
	}
	if (ask_send(vm, &o, fd, &f) != 0)
		return answer_fail(p, id, &f);
	log_info("%s: is sent to another host", vm->conf.name);
	if (wait_add(p, id, vm, WAIT_SAVE) == 0)
		return 0;
	(void)chan_send(vm->run.vm.chan, VM_CANCEL, 0, -1, NULL);
	fail_set(&f, ENOMEM, "out of memory");
	return answer_fail(p, id, &f);
}

void
reqsend_cancel(struct parent *p, uint32_t id)
{
	const struct wait *w;

	TAILQ_FOREACH(w, &p->waits, entry)
	{
		if (w->kind == WAIT_SAVE && w->vm->run.sending &&
		    w->vm->run.vm.chan != NULL && (id == 0 || w->client == id))
			(void)chan_send(
			    w->vm->run.vm.chan, VM_CANCEL, 0, -1, NULL);
	}
}

static int
make_ticket(struct vm *vm)
{
	uint8_t r[16];
	size_t i;

	if (getrandom(r, sizeof(r), 0) != sizeof(r))
		return -EIO;
	for (i = 0; i < sizeof(r); i++)
		snprintf(vm->ticket + 2 * i, 3, "%02x", r[i]);
	return 0;
}

/* A pair, of which the sender's end waits to be taken. */
static int
make_stream(struct vm *vm, int *end, struct fail *why)
{
	const struct timeval tv = { .tv_sec = SILENCE_S };
	int pair[2];

	fd_close(&vm->stream);
	if (make_ticket(vm) != 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1)
		return fail_set(why, EIO, "no stream");
	if (setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) ==
		-1 ||
	    setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) ==
		-1) {
		fd_close(&pair[0]);
		fd_close(&pair[1]);
		return fail_set(why, EIO, "no stream");
	}
	*end = pair[0];
	vm->stream = pair[1];
	return 0;
}

static int
receive(struct parent *p, uint32_t id, struct vm *vm, struct fail *why)
{
	struct client *c = clients_find(&p->clients, id);
	struct start_fds given;
	struct ibuf *body;
	int error;

	if (vm_active(vm))
		return fail_set(why, EALREADY, "vm \"%s\" is already running",
		    vm->conf.name);
	start_fds_init(&given);
	if ((error = make_stream(vm, &given.state, why)) != 0)
		return error;
	given.stream = true;
	if ((error = requests_start(p, c, vm, &given, why)) != 0) {
		fd_close(&vm->stream);
		return error;
	}
	log_info("%s: is received from another host", vm->conf.name);
	body = chan_body();
	if (ctl_put_str(body, vm->ticket) != 0)
		fatalx("answer: out of memory");
	answer_send(p, CTL_LINE, id, body);
	return 0;
}

int
requests_receive(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;
	struct ctl_target t;
	struct vm *vm;
	struct fail f;

	if (ctl_target_get(body, &t) != 0)
		return -EBADMSG;
	if ((vm = requests_allowed(p, CTL_RECEIVE, id, &t)) == NULL)
		return 0;
	return receive(p, id, vm, &f) == 0 ? 0 : answer_fail(p, id, &f);
}

int
reqsend_take(struct parent *p, const char *ticket)
{
	struct vm *vm;

	TAILQ_FOREACH(vm, &p->reg.vms, entry)
	{
		if (vm->stream != -1 && strcmp(vm->ticket, ticket) == 0)
			return fd_take(&vm->stream);
	}
	return -1;
}
