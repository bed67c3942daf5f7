/* SPDX-License-Identifier: ISC */
/*
 * Opening disk images, and the worker's other end: see image.h.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "chan.h"
#include "ctl.h"
#include "fd.h"
#include "image.h"
#include "imglock.h"
#include "imsg.h"
#include "log.h"
#include "spawn.h"
#include "text.h"

/* How long an interrupt may have to wait. */
#define LOOK_MS 200
/* How long a worker may take to end that has said all it had to say. */
#define END_MS 60000

void
image_close(struct image *im)
{
	while (im->n > 0)
		fd_close(&im->layer[--im->n].fd);
}

static bool
open_file(const char *path, int flags, int *fd)
{
	struct stat st;
	int error;

	*fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (*fd == -1 || fstat(*fd, &st) == -1) {
		log_warn("%s", path);
		return false;
	}
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
		log_warnx("%s: neither a file nor a block device", path);
		return false;
	}
	error = imglock(*fd, (flags & O_ACCMODE) == O_RDONLY);
	if (error == -EAGAIN || error == -EACCES)
		log_warnx("%s: locked by another process", path);
	else if (error != 0)
		log_warnx("%s: cannot be locked", path);
	return error == 0;
}

static bool
choose_format(const char *path, int fd, enum vm_diskfmt *fmt)
{
	size_t len = strlen(path);

	if (*fmt != VM_DISK_ANY)
		return true;
	*fmt = VM_DISK_RAW;
	if (len > 6 && strcmp(path + len - 6, ".qcow2") == 0)
		*fmt = VM_DISK_QCOW2;
	else if (qcow2_probe(fd) == 1) {
		log_warnx("%s: looks like a qcow2 image: write raw: or qcow2: "
			  "before it",
		    path);
		return false;
	}
	return true;
}

static bool
join(const char *image, const char *name, char *out, size_t len)
{
	const char *slash = strrchr(image, '/'), *colon = strchr(name, ':');
	int n;

	if (colon != NULL &&
	    memchr(name, '/', (size_t)(colon - name)) == NULL) {
		log_warnx("%s: backing file %s is not a path", image, name);
		return false;
	}
	n = snprintf(out, len, "%.*s%s",
	    name[0] == '/' || slash == NULL ? 0 : (int)(slash - image) + 1,
	    image, name);
	if (n < 0 || (size_t)n >= len) {
		log_warnx("%s: backing file's path is too long", image);
		return false;
	}
	return true;
}

/* A loop ends at the greatest length. */
static bool
open_chain(struct image *im)
{
	char path[VM_PATH_MAX + 1], next[VM_PATH_MAX + 1];
	struct qcow2_header h = im->h;
	enum vm_diskfmt fmt = im->format;
	struct why why;

	snprintf(path, sizeof(path), "%s", im->name);
	while (fmt == VM_DISK_QCOW2 && h.backing[0] != '\0') {
		if (im->n == DISK_LAYERS_MAX) {
			log_warnx("%s: more than %u images in a chain",
			    im->name, DISK_LAYERS_MAX);
			return false;
		}
		if (qcow2_backing_format(&h, &fmt, &why) != 0) {
			log_warnx("%s: %s", path, why.text);
			return false;
		}
		im->layer[im->n].format = fmt;
		if (!join(path, h.backing, next, sizeof(next)) ||
		    !open_file(next, O_RDONLY, &im->layer[im->n].fd))
			return false;
		if (fmt == VM_DISK_QCOW2 &&
		    qcow2_header_read(im->layer[im->n].fd, &h, &why) != 0) {
			log_warnx("%s: %s", next, why.text);
			return false;
		}
		im->n++;
		memcpy(path, next, sizeof(path));
	}
	return true;
}

static bool
raw_size(struct image *im)
{
	off_t end = lseek(im->layer[0].fd, 0, SEEK_END);

	if (end < DISK_SECTOR) {
		log_warnx("%s: image is empty", im->name);
		return false;
	}
	im->file_size = (uint64_t)end;
	im->size = im->file_size - im->file_size % DISK_SECTOR;
	return true;
}

bool
image_open(struct image *im, const char *word, int flags, bool chain)
{
	struct why why;

	*im = (struct image){ 0 };
	im->name = word + args_format(word, &im->format);
	if (!open_file(im->name, flags, &im->layer[0].fd))
		return false;
	im->n = 1;
	if (!choose_format(im->name, im->layer[0].fd, &im->format))
		return false;
	im->layer[0].format = im->format;
	if (im->format == VM_DISK_RAW)
		return raw_size(im);
	if (qcow2_header_read(im->layer[0].fd, &im->h, &why) != 0) {
		log_warnx("%s: %s", im->name, why.text);
		return false;
	}
	im->size = im->h.size - im->h.size % DISK_SECTOR;
	im->file_size = im->h.file_size;
	return !chain || open_chain(im);
}

/* The worker. */

static int
on_line(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct image_check *check = arg;
	char line[512];

	if (check == NULL || ctl_get_str(body, line, sizeof(line)) != 0)
		return -EBADMSG;
	text_clean(line);
	return check->line(check->arg, line) ? 0 : -EBADMSG;
}

static int
on_counts(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct image_check *check = arg;
	struct qcow2_report r = { 0 };

	if (check == NULL || check->done ||
	    ibuf_get_n64(body, &r.corruptions) == -1 ||
	    ibuf_get_n64(body, &r.leaks) == -1 ||
	    ibuf_get_n64(body, &r.clusters) == -1 ||
	    ibuf_get_n64(body, &r.allocated) == -1 ||
	    ibuf_get_n64(body, &r.compressed) == -1)
		return -EBADMSG;
	check->report = r;
	check->done = true;
	return 0;
}

static int
on_snapshot(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct image_check *check = arg;
	struct qcow2_snap_info i;

	if (check == NULL || check->snapshot == NULL ||
	    ctl_get_str(body, i.id, sizeof(i.id)) != 0 ||
	    ctl_get_str(body, i.name, sizeof(i.name)) != 0 ||
	    ibuf_get_n32(body, &i.sec) == -1 ||
	    ibuf_get_n32(body, &i.nsec) == -1 ||
	    ibuf_get_n64(body, &i.state_size) == -1 ||
	    ibuf_get_n64(body, &i.disk_size) == -1)
		return -EBADMSG;
	text_clean(i.id);
	text_clean(i.name);
	return check->snapshot(check->arg, &i) ? 0 : -EBADMSG;
}

static void
on_closed(void *arg, const char *why)
{
}

static const struct chan_row rows[] = {
	{ IMAGE_LINE, "IMAGE_LINE", CHAN_NOFD, on_line },
	{ IMAGE_COUNTS, "IMAGE_COUNTS", CHAN_NOFD, on_counts },
	{ IMAGE_SNAPSHOT, "IMAGE_SNAPSHOT", CHAN_NOFD, on_snapshot },
};
static const struct chan_ops ops = {
	rows,
	sizeof(rows) / sizeof(rows[0]),
	on_closed,
};

static int
send_fd(struct chan *c, uint32_t type, enum vm_diskfmt fmt, int fd)
{
	struct ibuf *body = chan_body();

	if (fd == -1 || ibuf_add_n32(body, fmt) == -1) {
		ibuf_free(body);
		fd_close(&fd);
		return -EBADF;
	}
	return chan_send(c, type, 0, fd, body);
}

static int
send_all(struct chan *c, struct image *im, enum image_job job, int out,
    enum vm_diskfmt outfmt, const char *tag)
{
	struct ibuf *body = chan_body();
	int error = 0;
	unsigned i;

	for (i = 0; i < im->n && error == 0; i++)
		error = send_fd(c, IMAGE_LAYER, im->layer[i].format,
		    fcntl(im->layer[i].fd, F_DUPFD_CLOEXEC, 0));
	if (error == 0 && out != -1)
		error = send_fd(
		    c, IMAGE_OUT, outfmt, fcntl(out, F_DUPFD_CLOEXEC, 0));
	if (error != 0 || ibuf_add_n32(body, job) == -1 ||
	    ibuf_add_n32(body, isatty(STDERR_FILENO) == 1) == -1 ||
	    ctl_put_str(body, tag) != 0) {
		ibuf_free(body);
		return error != 0 ? error : -ENOMEM;
	}
	return chan_send(c, IMAGE_DO, 0, -1, body);
}

/*
 * Until the worker closes its end; false when it is to be ended instead: it
 * broke a rule, which is said, or we are to end.
 */
static bool
listen_to(struct chan *c, const char *name, const sigset_t *signals)
{
	const struct timespec now = { 0, 0 };
	const char *why;
	int error;

	do {
		error = chan_recv(c, LOOK_MS);
		if (sigtimedwait(signals, NULL, &now) > 0)
			return false;
	} while (error == 0 || error == -ETIMEDOUT);
	why = chan_why(c);
	if (why == NULL || why[0] == '\0')
		return true;
	log_warnx("%s: worker: %s", name, why);
	return false;
}

/* One that closed its end exits; false when it is to be ended instead. */
static bool
await(pid_t pid, const char *name, const sigset_t *signals, int *status)
{
	const struct timespec look = { 0, LOOK_MS * 1000000L };
	long long limit = fd_now_ms() + END_MS;
	sigset_t any = *signals;
	pid_t n;
	int sig;

	sigaddset(&any, SIGCHLD);
	while ((n = waitpid(pid, status, WNOHANG)) == 0) {
		sig = sigtimedwait(&any, NULL, &look);
		if (sig > 0 && sig != SIGCHLD)
			return false;
		if (fd_now_ms() > limit) {
			log_warnx("%s: worker does not end", name);
			return false;
		}
	}
	return n == pid;
}

bool
image_work(struct image *im, enum image_job job, int out,
    enum vm_diskfmt outfmt, struct image_check *check)
{
	static const struct spawn s = { IMAGE_ROLE, "image", "vmctl", 0, -1 };
	sigset_t signals, child;
	struct chan *c;
	bool ended;
	int fd = -1, status = -1, error;
	pid_t pid;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	if ((pid = spawn_child(&s, &fd)) < 0) {
		log_warnx("cannot start a process: %s", strerror((int)-pid));
		return false;
	}
	if ((c = chan_new(NULL, fd, &ops, check)) == NULL)
		fatal("channel");
	error = send_all(c, im, job, out, outfmt,
	    check != NULL && check->tag != NULL ? check->tag : "");
	if (error != 0)
		log_warnx("cannot pass the image on: %s", strerror(-error));
	ended = error == 0 && listen_to(c, im->name, &signals) &&
	    await(pid, im->name, &signals, &status);
	if (!ended) {
		kill(pid, SIGKILL);
		while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
			;
	}
	chan_free(c);
	image_close(im);
	if (ended && WIFSIGNALED(status))
		log_warnx("%s: worker killed by signal %d", im->name,
		    WTERMSIG(status));
	return ended && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
