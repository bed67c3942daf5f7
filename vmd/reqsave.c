/* SPDX-License-Identifier: ISC */
/*
 * What clients ask of the state of a VM: save it, go on from it.  The client
 * has opened the file with its own rights; the vm process writes or reads it,
 * and nobody else looks into it.
 */
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
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

static int
check_file(int fd, int mode, struct fail *why)
{
	struct stat st;
	int flags;

	if (fstat(fd, &st) == -1 || (flags = fcntl(fd, F_GETFL)) == -1)
		return fail_set(why, errno, "file: %s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail_set(why, EINVAL, "file: not a regular file");
	if ((flags & O_ACCMODE) != mode)
		return fail_set(why, EBADF, "file: %s", strerror(EBADF));
	return 0;
}

int
requests_save(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;
	struct ctl_target t;
	uint32_t flags;
	struct vm *vm;
	struct fail f;

	if (ctl_target_get(body, &t) != 0 || ibuf_get_n32(body, &flags) == -1 ||
	    (flags & ~(uint32_t)CTL_SAVE_FLAGS) != 0) {
		fd_close(&fd);
		return -EBADMSG;
	}
	if ((vm = requests_allowed(p, CTL_SAVE, id, &t)) == NULL) {
		fd_close(&fd);
		return 0;
	}
	if (check_file(fd, O_WRONLY, &f) != 0) {
		fd_close(&fd);
		return answer_fail(p, id, &f);
	}
	if (suspend_ask(vm, flags, fd, &f) != 0)
		return answer_fail(p, id, &f);
	if (wait_add(p, id, vm, WAIT_SAVE) == 0)
		return 0;
	fail_set(&f, ENOMEM, "out of memory");
	return answer_fail(p, id, &f);
}

int
requests_restore(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;
	struct start_fds given;
	struct ctl_target t;
	struct client *c;
	struct vm *vm;
	struct fail f;

	if (ctl_target_get(body, &t) != 0) {
		fd_close(&fd);
		return -EBADMSG;
	}
	if ((vm = requests_allowed(p, CTL_RESTORE, id, &t)) == NULL) {
		fd_close(&fd);
		return 0;
	}
	if (check_file(fd, O_RDONLY, &f) != 0) {
		fd_close(&fd);
		return answer_fail(p, id, &f);
	}
	c = clients_find(&p->clients, id);
	start_fds_init(&given);
	given.state = fd;
	if (requests_start(p, c, vm, &given, &f) == 0)
		return 0;
	return answer_fail(p, id, &f);
}
