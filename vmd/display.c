/* SPDX-License-Identifier: ISC */
/*
 * A VM's screen is a page (lib/page.h) that its vm process writes and the
 * parent reads when a client asks, as it does counters: no message, no wait.
 * The vm process is not trusted: what is read is copied, then checked.
 */
#include <sys/mman.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "chan.h"
#include "display.h"
#include "fd.h"
#include "imsg.h"
#include "msg.h"
#include "page.h"
#include "screen.h"

static_assert(sizeof(struct screen) <= PAGE_BYTES, "one page");

int
display_make(struct child *ch)
{
	struct ibuf *body;
	int fd, error = page_create(&ch->stats_fd, false, &ch->stats);

	if (error != 0)
		return error;
	if ((fd = fcntl(ch->stats_fd, F_DUPFD_CLOEXEC, 0)) == -1)
		return -errno;
	body = chan_body();
	if (ibuf_add_n32(body, VM_FD_SCREEN) == -1 ||
	    ibuf_add_n32(body, 0) == -1) {
		ibuf_free(body);
		fd_close(&fd);
		return -ENOMEM;
	}
	return chan_send(ch->chan, VM_FD, 0, fd, body);
}

/* It has one, and the guest runs. */
static int
check(const struct vm *vm, struct fail *why)
{
	if ((vm->conf.flags & VM_F_SCREEN) == 0)
		return fail_set(why, ENODEV,
		    "vm \"%s\" has no screen (screen in vm.conf)",
		    vm->conf.name);
	if (!vm->run.ready || vm->run.vm.chan == NULL ||
	    vm->run.vm.stats == NULL)
		return fail_set(why, CTL_E_NOTRUNNING,
		    "vm \"%s\" is not running", vm->conf.name);
	return 0;
}

int
display_read(const struct vm *vm, struct ibuf *out, struct fail *why)
{
	struct screen s;
	int error;

	if ((error = check(vm, why)) != 0)
		return error;
	memcpy(&s, vm->run.vm.stats, sizeof(s));
	/* Read while it changed: what it was is gone, what it is comes soon. */
	if (!screen_ok(&s)) {
		s.mode = SCREEN_OFF;
		s.cols = s.rows = 0;
		s.cursor = SCREEN_NOCURSOR;
	}
	if ((error = screen_put(out, &s)) != 0)
		return fail_set(why, -error, "%s", strerror(-error));
	return 0;
}

int
display_keys(
    const struct vm *vm, const uint32_t *key, uint32_t n, struct fail *why)
{
	struct ibuf *body;
	int error;

	if ((error = check(vm, why)) != 0)
		return error;
	body = chan_body();
	if ((error = screen_put_keys(body, key, n)) != 0)
		ibuf_free(body);
	else
		error = chan_send(vm->run.vm.chan, VM_KEYS, 0, -1, body);
	return error == 0 ? 0
			  : fail_set(why, -error, "cannot reach vm \"%s\": %s",
				vm->conf.name, strerror(-error));
}
