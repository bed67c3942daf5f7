/* SPDX-License-Identifier: ISC */
/*
 * What clients ask of snapshots: lib/ctl.h, SNAPSHOT, SNAPSHOTS and REVERT.
 */
#include <errno.h>
#include <stdio.h>

#include "answer.h"
#include "ctl.h"
#include "imsg.h"
#include "life.h"
#include "log.h"
#include "parent.h"
#include "requests.h"
#include "snapshot.h"
#include "start.h"

int
requests_snapshot(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	static const enum snap_what whats[] = {
		[CTL_SNAP_CREATE] = SNAP_CREATE,
		[CTL_SNAP_DELETE] = SNAP_DELETE,
		[CTL_SNAP_CHECK] = SNAP_CHECK,
	};
	struct parent *p = arg;
	char tag[CTL_TAG_MAX];
	struct ctl_target t;
	uint32_t what;
	struct vm *vm;
	struct fail f;

	if (ctl_target_get(body, &t) != 0 || ibuf_get_n32(body, &what) == -1 ||
	    what >= CTL_SNAP_END || ctl_get_str(body, tag, sizeof(tag)) != 0)
		return -EBADMSG;
	if ((vm = requests_allowed(p, CTL_SNAPSHOT, id, &t)) == NULL)
		return 0;
	if (whats[what] == SNAP_DELETE && !vm_active(vm)) {
		if (snapdel_begin(p, id, vm, tag, &f) == 0)
			return 0;
		return answer_fail(p, id, &f);
	}
	if (snapshot_ask(vm, whats[what], tag, &f) != 0)
		return answer_fail(p, id, &f);
	if (wait_add(p, id, vm, WAIT_SAVE) == 0)
		return 0;
	fail_set(&f, ENOMEM, "out of memory");
	return answer_fail(p, id, &f);
}

struct list {
	struct parent *p;
	uint32_t client;
};

static int
tell(void *arg, const struct ctl_kept *k)
{
	const struct list *l = arg;
	struct ibuf *body = chan_body();

	if (ctl_kept_put(body, k) != 0)
		fatalx("list: out of memory");
	answer_send(l->p, CTL_KEPT, l->client, body);
	return 0;
}

int
requests_snapshots(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct list l = { .p = arg, .client = id };
	struct ctl_target t;
	struct vm *vm;
	struct fail f;
	int error;

	if (ctl_target_get(body, &t) != 0)
		return -EBADMSG;
	if ((vm = requests_allowed(l.p, CTL_SNAPSHOTS, id, &t)) == NULL ||
	    answer_busy(l.p, id))
		return 0;
	if ((error = snapshot_list(&l.p->life, vm, tell, &l)) == 0)
		return answer_ok(l.p, id, vm->id, "");
	fail_set(&f, -error, "snapshots of vm \"%s\": %s", vm->conf.name,
	    strerrordesc_np(-error));
	return answer_fail(l.p, id, &f);
}

int
requests_revert(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;
	char tag[CTL_TAG_MAX];
	struct start_fds given;
	struct ctl_target t;
	struct vm *vm;
	struct fail f;

	if (ctl_target_get(body, &t) != 0 ||
	    ctl_get_str(body, tag, sizeof(tag)) != 0)
		return -EBADMSG;
	if ((vm = requests_allowed(p, CTL_REVERT, id, &t)) == NULL)
		return 0;
	start_fds_init(&given);
	if (snapshot_name(tag, &f) != 0 ||
	    snapshot_open(&p->life, vm, tag, &given.state, &f) != 0)
		return answer_fail(p, id, &f);
	snprintf(given.revert, sizeof(given.revert), "%s", tag);
	if (requests_start(p, clients_find(&p->clients, id), vm, &given, &f) ==
	    0)
		return 0;
	return answer_fail(p, id, &f);
}
