/* SPDX-License-Identifier: ISC */
/*
 * Requests about the daemon itself: its log, its configuration; the start of
 * what a file says.  The invariants of requests.c hold.
 */
#include <errno.h>
#include <string.h>

#include "answer.h"
#include "changes.h"
#include "imsg.h"
#include "log.h"
#include "msg.h"
#include "parent.h"
#include "requests.h"
#include "rights.h"

/* May it?  If not, that was answered, or there is nobody. */
static bool
allowed(struct parent *p, uint32_t type, uint32_t id)
{
	const struct client *c = clients_find(&p->clients, id);

	if (c == NULL)
		return false;
	if (rights_ok(type, &c->cred, NULL))
		return true;
	answer_perm(p, id);
	return false;
}

int
requests_log(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;
	struct ibuf *out;
	uint32_t verbose;

	if (ibuf_get_n32(body, &verbose) == -1)
		return -EBADMSG;
	if (!allowed(p, CTL_LOG, id))
		return 0;
	log_setverbose(verbose != 0);
	life_verbose(&p->life, verbose != 0);
	out = chan_body();
	if (ibuf_add_n32(out, verbose != 0) == -1)
		fatalx("log: out of memory");
	answer_send(p, CONTROL_VERBOSE, 0, out);
	return answer_ok(p, id, 0, "");
}

struct teller {
	struct parent *p;
	uint32_t client;
};

static void
tell_line(void *arg, const char *line)
{
	const struct teller *t = arg;
	struct ibuf *out = chan_body();

	if (ctl_put_str(out, line) != 0)
		fatalx("reload: out of memory");
	answer_send(t->p, CTL_LINE, t->client, out);
}

int
requests_reload(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;
	struct teller teller = { p, id };
	const struct changes tell = { tell_line, &teller };
	struct fail f;

	if (!allowed(p, CTL_RELOAD, id) || answer_busy(p, id))
		return 0;
	if (reload_again(p, &tell, &f) != 0)
		return answer_fail(p, id, &f);
	return answer_ok(p, id, 0, "");
}

int
requests_load(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;
	struct teller teller = { p, id };
	const struct changes tell = { tell_line, &teller };
	char path[VM_PATH_MAX + 1];
	struct fail f;

	if (ctl_get_str(body, path, sizeof(path)) != 0 || path[0] != '/' ||
	    !vmconf_path_ok(path))
		return -EBADMSG;
	if (!allowed(p, CTL_LOAD, id) || answer_busy(p, id))
		return 0;
	if (reload_more(p, path, &tell, &f) != 0)
		return answer_fail(p, id, &f);
	return answer_ok(p, id, 0, "");
}

/*
 * A VM that is not in the configuration, and is forgotten when it ended; in
 * all else like one that is.
 */
static int
start_file(struct parent *p, struct client *c, const char *path, struct fail *f)
{
	struct vmconf conf;
	struct vm *vm;
	int error;

	if ((error = reload_single(p, path, &conf, f)) != 0)
		return error;
	if ((error = vmreg_add(&p->reg, &conf, &vm)) == -EEXIST)
		return fail_set(
		    f, EEXIST, "vm \"%s\" exists already", conf.name);
	if (error != 0)
		return fail_set(f, -error, "%s", strerror(-error));
	vm->removed = true;
	if ((error = requests_start(p, c, vm, NULL, f)) != 0)
		vmreg_remove(&p->reg, vm);
	return error;
}

int
requests_start_file(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;
	char path[VM_PATH_MAX + 1];
	struct fail f;

	if (ctl_get_str(body, path, sizeof(path)) != 0 || path[0] != '/' ||
	    !vmconf_path_ok(path))
		return -EBADMSG;
	if (!allowed(p, CTL_START_FILE, id))
		return 0;
	if (start_file(p, clients_find(&p->clients, id), path, &f) == 0)
		return 0;
	log_warnx("%s: not started: %s", path, f.text);
	return answer_fail(p, id, &f);
}

/* For each VM that has to end; before the first one does. */
static int
wait_for_all(struct parent *p, uint32_t id)
{
	struct vm *vm;
	int error;

	TAILQ_FOREACH(vm, &p->reg.vms, entry)
	{
		if (!vm_active(vm))
			continue;
		if ((error = wait_add(p, id, vm, WAIT_RESET)) != 0)
			return error;
	}
	return 0;
}

/* Answered when the last VM is gone. */
int
requests_reset(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;
	uint32_t what;
	struct fail f;
	bool later;
	int error = 0;

	if (ibuf_get_n32(body, &what) == -1 || what == 0 ||
	    (what & ~(uint32_t)CTL_RESET_ALL) != 0)
		return -EBADMSG;
	if (!allowed(p, CTL_RESET, id))
		return 0;
	if (wait_has(p, id, WAIT_RESET)) {
		fail_set(&f, EALREADY, "a reset is under way");
		return answer_fail(p, id, &f);
	}
	if ((what & CTL_RESET_VMS) != 0)
		error = wait_for_all(p, id);
	later = wait_has(p, id, WAIT_RESET);
	if (error == 0)
		error = reload_reset(p, what);
	if (error != 0) {
		wait_drop(p, id, WAIT_RESET);
		fail_set(&f, -error, "%s", strerror(-error));
		return answer_fail(p, id, &f);
	}
	return later ? 0 : answer_ok(p, id, 0, "");
}
