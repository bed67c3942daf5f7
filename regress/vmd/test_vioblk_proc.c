/* SPDX-License-Identifier: ISC */
/*
 * The vioblk process as its peers see it: set-up by both channels, then real
 * requests through rings while it is confined and sealed, reset, a broken
 * ring, the end.  Its two peers are this test.
 *
 * Confinement needs root and a mount namespace; without them there is nothing
 * to test here.
 */
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <linux/prctl.h>

#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>

#include "vioblk_rig.h"

#include "chan.h"
#include "ctl.h"
#include "imsg.h"
#include "log.h"
#include "msg.h"
#include "pager.h"
#include "qcow2_create.h"
#include "role.h"
#include "spawn.h"
#include "uffd.h"

#define IMAGE (1ull << 20)
#define MS    10000

/* There is no _vmd where tests run. */
struct passwd *
getpwnam(const char *name)
{
	static struct passwd pw = { .pw_uid = 65534, .pw_gid = 65534 };

	assert_string_equal(name, "_vmd");
	return &pw;
}

struct peer {
	pid_t pid;
	struct chan *blk, *dev; /* as the parent, as the vm process */
	struct rig r; /* memory, rings and eventfds; no device */
	uint64_t features;
	unsigned hello, sealed, ready, reset, broken;
	char text[128]; /* of DEV_BROKEN or BLK_ERROR */
	unsigned errors;
	unsigned drained, snapped;
	uint32_t snap_error;
	struct pager *pager; /* of its memory; NULL: all is there */
	unsigned faults;
};

static int
on_hello(void *arg, uint32_t id, int fd, struct ibuf *b)
{
	struct peer *p = arg;
	uint32_t nq, size, len;
	struct virtio_blk_config c = { 0 };

	p->hello++;
	if (ibuf_get_n64(b, &p->features) != 0 || ibuf_get_n32(b, &nq) != 0 ||
	    ibuf_get_n32(b, &size) != 0 || ibuf_get_n32(b, &len) != 0 ||
	    len > sizeof(c) || ibuf_get(b, &c, len) != 0)
		return -EBADMSG;
	p->r.nq = nq;
	assert_int_equal(size, VIOBLK_QUEUE_SIZE);
	assert_int_equal(c.capacity, IMAGE / 512);
	assert_int_equal(c.num_queues, nq);
	return 0;
}

static int
on_sealed(void *arg, uint32_t id, int fd, struct ibuf *b)
{
	((struct peer *)arg)->sealed++;
	return 0;
}

static int
on_reset_done(void *arg, uint32_t id, int fd, struct ibuf *b)
{
	((struct peer *)arg)->reset++;
	return 0;
}

static int
on_broken(void *arg, uint32_t id, int fd, struct ibuf *b)
{
	struct peer *p = arg;

	p->broken++;
	return ctl_get_str(b, p->text, sizeof(p->text));
}

static int
on_drained(void *arg, uint32_t id, int fd, struct ibuf *b)
{
	struct peer *p = arg;
	uint32_t error;

	p->drained++;
	return ibuf_get_n32(b, &error) == 0 && error == 0 ? 0 : -EBADMSG;
}

static int
on_snapped(void *arg, uint32_t id, int fd, struct ibuf *b)
{
	struct peer *p = arg;

	p->snapped++;
	if (ibuf_get_n32(b, &p->snap_error) != 0)
		return -EBADMSG;
	return ctl_get_str(b, p->text, sizeof(p->text));
}

static int
on_faults(void *arg, uint32_t id, int fd, struct ibuf *b)
{
	struct peer *p = arg;
	uint64_t at;

	p->faults++;
	assert_int_equal(ibuf_get_n64(b, &at), 0);
	assert_int_equal(pager_add(p->pager, fd, at), 0);
	return 0;
}

static int
on_ready(void *arg, uint32_t id, int fd, struct ibuf *b)
{
	((struct peer *)arg)->ready++;
	return 0;
}

static int
on_error(void *arg, uint32_t id, int fd, struct ibuf *b)
{
	struct peer *p = arg;
	uint32_t error;

	p->errors++;
	if (ibuf_get_n32(b, &error) != 0)
		return -EBADMSG;
	return ctl_get_str(b, p->text, sizeof(p->text));
}

static void
on_closed(void *arg, const char *why)
{
}

static const struct chan_row dev_rows[] = {
	{ DEV_HELLO, "DEV_HELLO", CHAN_NOFD, on_hello },
	{ DEV_SEALED, "DEV_SEALED", CHAN_NOFD, on_sealed },
	{ DEV_RESET_DONE, "DEV_RESET_DONE", CHAN_NOFD, on_reset_done },
	{ DEV_BROKEN, "DEV_BROKEN", CHAN_NOFD, on_broken },
	{ DEV_DRAINED, "DEV_DRAINED", CHAN_NOFD, on_drained },
	{ DEV_SNAPPED, "DEV_SNAPPED", CHAN_NOFD, on_snapped },
	{ DEV_FAULTS, "DEV_FAULTS", CHAN_FD, on_faults },
};

static const struct chan_row blk_rows[] = {
	{ BLK_READY, "BLK_READY", CHAN_NOFD, on_ready },
	{ BLK_ERROR, "BLK_ERROR", CHAN_NOFD, on_error },
};

static const struct chan_ops dev_ops = { dev_rows, 7, on_closed };
static const struct chan_ops blk_ops = { blk_rows, 2, on_closed };

/* As a kernel or a container does that forbids io_uring. */
static void
forbid_uring(void)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);

	if (f == NULL ||
	    seccomp_rule_add(
		f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(io_uring_setup), 0) != 0 ||
	    seccomp_load(f) != 0)
		_exit(99);
	seccomp_release(f);
}

static void
spawn(struct peer *p, bool uring)
{
	int sv[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (p->pid == 0) {
		if (dup2(sv[1], SPAWN_FD) == -1)
			_exit(98);
		closefrom(SPAWN_FD + 1);
		if (!uring)
			forbid_uring();
		_exit(vioblk_main());
	}
	close(sv[1]);
	p->blk = chan_new(NULL, sv[0], &blk_ops, p);
	assert_non_null(p->blk);
}

static void
send_fd(struct chan *c, uint32_t type, uint32_t a, uint32_t b, int fd)
{
	struct ibuf *body = chan_body();

	assert_int_equal(ibuf_add_n32(body, a), 0);
	if (type == DEV_QUEUEFD)
		assert_int_equal(ibuf_add_n32(body, b), 0);
	assert_int_equal(chan_send(c, type, 0, fd, body), 0);
	assert_int_equal(chan_flush(c, MS), 0);
}

static void
send_conf(struct peer *p, unsigned vcpus, int image, enum vm_diskfmt format)
{
	struct ibuf *b = chan_body();
	int sv[2], i;

	assert_int_equal(ibuf_add_n32(b, 0), 0);
	assert_int_equal(ibuf_add_n32(b, 0), 0);
	assert_int_equal(ibuf_add_n32(b, 0), 0);
	assert_int_equal(ibuf_add_n32(b, vcpus), 0);
	assert_int_equal(ctl_put_str(b, "a serial number that is too long"), 0);
	for (i = 0; i < 4; i++)
		assert_int_equal(ibuf_add_n64(b, 0), 0);
	assert_int_equal(ibuf_add_n32(b, 1), 0);
	assert_int_equal(ibuf_add_n32(b, format), 0);
	assert_int_equal(chan_send(p->blk, BLK_CONF, 0, -1, b), 0);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	p->dev = chan_new(NULL, sv[0], &dev_ops, p);
	assert_non_null(p->dev);
	send_fd(p->blk, BLK_FD, BLK_FD_IMAGE, 0, image);
	send_fd(p->blk, BLK_FD, BLK_FD_CHANNEL, 0, sv[1]);
}

static void
send_memory(struct peer *p)
{
	struct ibuf *b = chan_body();
	unsigned i;

	assert_int_equal(gmem_create(&p->r.mem, RIG_MEM), 0);
	assert_int_equal(ibuf_add_n64(b, RIG_MEM), 0);
	assert_int_equal(chan_send(p->dev, DEV_MEM, 0, dup(p->r.mem.fd), b), 0);
	for (i = 0; i < p->r.nq; i++) {
		p->r.kick[i] = eventfd(0, EFD_CLOEXEC);
		p->r.call[i] = eventfd(0, EFD_CLOEXEC);
		send_fd(p->dev, DEV_QUEUEFD, i, 0, dup(p->r.kick[i]));
		send_fd(p->dev, DEV_QUEUEFD, i, 1, dup(p->r.call[i]));
	}
}

static void
send_start(struct peer *p)
{
	struct ibuf *b = chan_body();
	unsigned i;

	rig_rings(&p->r, p->features, VIOBLK_QUEUE_SIZE);
	assert_int_equal(ibuf_add_n64(b, p->features), 0);
	assert_int_equal(ibuf_add_n32(b, p->r.nq), 0);
	for (i = 0; i < p->r.nq; i++) {
		assert_int_equal(ibuf_add_n32(b, VIOBLK_QUEUE_SIZE), 0);
		assert_int_equal(ibuf_add_n64(b, p->r.q[i].desc_gpa.v), 0);
		assert_int_equal(ibuf_add_n64(b, p->r.q[i].avail_gpa.v), 0);
		assert_int_equal(ibuf_add_n64(b, p->r.q[i].used_gpa.v), 0);
	}
	assert_int_equal(ibuf_add_n32(b, 0), 0);
	assert_int_equal(ibuf_add_n32(b, 0), 0);
	assert_int_equal(chan_send(p->dev, DEV_START, 0, -1, b), 0);
	assert_int_equal(chan_flush(p->dev, MS), 0);
}

static void
send_empty(struct peer *p, uint32_t type)
{
	assert_int_equal(chan_send(p->dev, type, 0, -1, NULL), 0);
	assert_int_equal(chan_flush(p->dev, MS), 0);
}

static int
ended(struct peer *p)
{
	int status;

	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	return WIFEXITED(status) ? WEXITSTATUS(status)
				 : 1000 + WTERMSIG(status);
}

static void
forget(struct peer *p)
{
	unsigned i;

	chan_free(p->blk);
	if (p->dev != NULL)
		chan_free(p->dev);
	for (i = 0; i < p->r.nq; i++) {
		close(p->r.kick[i]);
		close(p->r.call[i]);
	}
	if (p->r.mem.size != 0)
		gmem_destroy(&p->r.mem);
}

/* Up to the seal. */
static void
set_up(struct peer *p, bool uring, unsigned vcpus, int image,
    enum vm_diskfmt format)
{
	memset(p, 0, sizeof(*p));
	spawn(p, uring);
	send_conf(p, vcpus, image, format);
	assert_int_equal(chan_recv(p->dev, MS), 0);
	assert_int_equal(p->hello, 1);
	assert_int_equal(p->r.nq, vcpus);
	send_memory(p);
	send_empty(p, DEV_SEAL);
	assert_int_equal(chan_recv(p->dev, MS), 0);
	assert_int_equal(p->sealed, 1);
	assert_int_equal(chan_recv(p->blk, MS), 0);
	assert_int_equal(p->ready, 1);
}

/* Kibibytes of PSS without guest memory. */
static unsigned
pss(pid_t pid)
{
	char path[64], line[256];
	unsigned kb, sum = 0;
	bool guest = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strchr(line, '-') != NULL && strchr(line, ':') != NULL &&
		    line[0] != 'V')
			guest = strstr(line, "guest-ram") != NULL;
		if (!guest && sscanf(line, "Pss: %u", &kb) == 1)
			sum += kb;
	}
	fclose(f);
	return sum;
}

static void
use_disk(struct peer *p)
{
	uint8_t *data = rig_ptr(&p->r, RIG_DATA, 4096);
	unsigned i;

	for (i = 0; i < 200; i++) {
		memset(data, (int)i, 4096);
		assert_int_equal(rig_io(&p->r, VIRTIO_BLK_T_OUT, i * 8,
				     RIG_DATA, 4096, NULL),
		    0);
		memset(data, 0xff, 4096);
		assert_int_equal(
		    rig_io(&p->r, VIRTIO_BLK_T_IN, i * 8, RIG_DATA, 4096, NULL),
		    0);
		assert_int_equal(data[4095], i);
	}
	assert_int_equal(rig_io(&p->r, VIRTIO_BLK_T_FLUSH, 0, 0, 0, NULL), 0);
	assert_int_equal(
	    rig_io(&p->r, VIRTIO_BLK_T_GET_ID, 0, RIG_DATA, 20, NULL), 0);
	assert_memory_equal(data, "a serial number that", 20);
	/* Errors are logged from a sealed process. */
	assert_int_equal(
	    rig_io(&p->r, VIRTIO_BLK_T_IN, 1 << 20, RIG_DATA, 512, NULL), 1);
	((struct virtio_blk_discard_write_zeroes *)data)->sector = 0;
	((struct virtio_blk_discard_write_zeroes *)data)->num_sectors = 8;
	((struct virtio_blk_discard_write_zeroes *)data)->flags = 0;
	assert_int_equal(
	    rig_io(&p->r, VIRTIO_BLK_T_DISCARD, 0, RIG_DATA, 16, NULL), 0);
	assert_int_equal(
	    rig_io(&p->r, VIRTIO_BLK_T_WRITE_ZEROES, 0, RIG_DATA, 16, NULL), 0);
}

static bool
can_confine(void)
{
	pid_t pid;
	int status;

	if (geteuid() != 0)
		return false;
	pid = fork();
	if (pid == 0)
		_exit(unshare(CLONE_NEWNS) == 0 ? 0 : 1);
	return waitpid(pid, &status, 0) == pid && status == 0;
}

static void
life(bool uring)
{
	const uint64_t one = 1;
	struct peer p;

	if (!can_confine())
		skip();
	set_up(&p, uring, 2, rig_image(true, IMAGE), VM_DISK_RAW);
	send_start(&p);
	use_disk(&p);
	print_message(
	    "%s: %u KiB\n", uring ? "io_uring" : "threads", pss(p.pid));
	send_empty(&p, DEV_RESET);
	assert_int_equal(chan_recv(p.dev, MS), 0);
	assert_int_equal(p.reset, 1);
	send_start(&p);
	use_disk(&p);
	/* A bad ring is reported, and a reset heals it. */
	p.r.q[0].avail->ring[p.r.q[0].avail_idx++ & 255] = 999;
	vdrv_publish(&p.r.q[0]);
	assert_int_equal(write(p.r.kick[0], &one, 8), 8);
	assert_int_equal(chan_recv(p.dev, MS), 0);
	assert_int_equal(p.broken, 1);
	assert_string_equal(p.text, "invalid virtqueue");
	send_empty(&p, DEV_RESET);
	assert_int_equal(chan_recv(p.dev, MS), 0);
	send_start(&p);
	use_disk(&p);
	/* The vm process ends: so does this one. */
	chan_free(p.dev);
	p.dev = NULL;
	assert_int_equal(ended(&p), 0);
	forget(&p);
}

static void
never_lost(void *arg, const char *why)
{
	fail_msg("%s", why);
}

/* Up to the seal, with a pager that has nothing yet; image: another one. */
static void
set_up_lazy(struct peer *p, bool uring, int dev, int *image)
{
	memset(p, 0, sizeof(*p));
	spawn(p, uring);
	*image = rig_image(true, IMAGE);
	send_conf(p, 1, dup(*image), VM_DISK_RAW);
	assert_int_equal(chan_recv(p->dev, MS), 0);
	send_memory(p);
	assert_int_equal(
	    pager_new(&p->pager, dev, &p->r.mem, never_lost, NULL), 0);
	assert_int_equal(
	    chan_send(p->dev, DEV_LAZY, 0, dup(pager_device(p->pager)), NULL),
	    0);
	send_empty(p, DEV_SEAL);
	assert_int_equal(chan_recv(p->dev, MS), 0);
	assert_int_equal(p->faults, 1);
	assert_int_equal(p->sealed, 0);
	assert_int_equal(chan_recv(p->dev, MS), 0);
	assert_int_equal(p->sealed, 1);
	assert_int_equal(chan_recv(p->blk, MS), 0);
}

/* The memory goes into a file and is to come out of it. */
static void
into_file(struct peer *p)
{
	int fd = memfd_create("state", MFD_CLOEXEC);
	char name[STATE_NAME_MAX + 1];
	struct pages pages;
	struct state s;

	assert_int_equal(state_write_head(&s, fd, "web"), 0);
	pages_write(&s, &p->r.mem, false);
	assert_int_equal(s.error, 0);
	state_free(&s);
	assert_int_equal(state_read_head(&s, fd, name), 0);
	pages_read(&s, &pages, &p->r.mem);
	assert_int_equal(s.error, 0);
	state_free(&s);
	assert_int_equal(
	    gmem_discard(&p->r.mem, p->r.mem.region[0].host, p->r.mem.size), 0);
	assert_int_equal(pager_go(p->pager, &pages, fd), 0);
}

/* Requests to pages that only the file has, and to such as nobody has. */
static void
lazy(bool uring)
{
	int dev = open(UFFD_DEVICE, O_RDWR | O_CLOEXEC), image;
	const size_t len = 512 << 10;
	uint8_t *data, *copy;
	struct peer p;
	size_t i;

	if (dev == -1 || !can_confine())
		skip();
	set_up_lazy(&p, uring, dev, &image);
	data = rig_ptr(&p.r, RIG_DATA, len);
	copy = malloc(len);
	assert_non_null(copy);
	for (i = 0; i < len; i++)
		data[i] = copy[i] = (uint8_t)(i / 4096 * 7 + i + 1);
	into_file(&p);
	send_start(&p);
	assert_int_equal(
	    rig_io(&p.r, VIRTIO_BLK_T_OUT, 0, RIG_DATA, (uint32_t)len, NULL),
	    0);
	memset(copy, 0, len);
	assert_int_equal(pread(image, copy, len, 0), (ssize_t)len);
	assert_memory_equal(copy, data, len);
	assert_int_equal(rig_io(&p.r, VIRTIO_BLK_T_IN, 0, RIG_DATA + 2 * len,
			     (uint32_t)len, NULL),
	    0);
	assert_memory_equal(rig_ptr(&p.r, RIG_DATA + 2 * len, len), data, len);
	assert_int_equal(pager_wait(p.pager), 0);
	assert_memory_equal(rig_ptr(&p.r, RIG_DATA + 2 * len, len), data, len);
	use_disk(&p);
	chan_free(p.dev);
	p.dev = NULL;
	assert_int_equal(ended(&p), 0);
	forget(&p);
	close(image);
	free(copy);
}

static void
test_lazy_uring(void **state)
{
	lazy(true);
}

static void
test_lazy_threads(void **state)
{
	lazy(false);
}

static void
test_uring(void **state)
{
	life(true);
}

static void
test_threads(void **state)
{
	life(false);
}

static void
put(struct peer *p, uint8_t value)
{
	memset(rig_ptr(&p->r, RIG_DATA, 512), value, 512);
	assert_int_equal(
	    rig_io(&p->r, VIRTIO_BLK_T_OUT, 0, RIG_DATA, 512, NULL), 0);
}

static void
drain(struct peer *p)
{
	p->drained = 0;
	send_empty(p, DEV_DRAIN);
	assert_int_equal(chan_recv(p->dev, MS), 0);
	assert_int_equal(p->drained, 1);
}

static void
snap(struct peer *p, enum snap_step step, enum snap_what what, uint32_t error)
{
	struct ibuf *b = chan_body();

	assert_int_equal(ibuf_add_n32(b, step), 0);
	assert_int_equal(ibuf_add_n32(b, what), 0);
	assert_int_equal(ctl_put_str(b, "tag"), 0);
	assert_int_equal(ibuf_add_n64(b, 7), 0);
	assert_int_equal(ibuf_add_n32(b, 9), 0);
	assert_int_equal(chan_send(p->dev, DEV_SNAPSHOT, 0, -1, b), 0);
	p->snapped = 0;
	assert_int_equal(chan_recv(p->dev, MS), 0);
	assert_int_equal(p->snapped, 1);
	assert_int_equal(p->snap_error, error);
}

/* By a process that is confined and sealed. */
static void
test_snapshots(void **state)
{
	const struct qcow2_new conf = { .size = IMAGE };
	int image = memfd_create("image", MFD_CLOEXEC);
	struct why why;
	struct peer p;

	if (!can_confine())
		skip();
	assert_int_equal(qcow2_create(image, &conf, &why), 0);
	set_up(&p, true, 1, image, VM_DISK_QCOW2);
	send_start(&p);
	put(&p, 1);
	snap(&p, SNAP_PREPARE, SNAP_CREATE, EBUSY);
	drain(&p);
	snap(&p, SNAP_PREPARE, SNAP_REVERT, ENOENT);
	assert_string_equal(p.text, "has no snapshot \"tag\"");
	snap(&p, SNAP_COMMIT, SNAP_CREATE, EINVAL);
	snap(&p, SNAP_PREPARE, SNAP_CREATE, 0);
	snap(&p, SNAP_ABORT, SNAP_CREATE, 0);
	snap(&p, SNAP_PREPARE, SNAP_CREATE, 0);
	snap(&p, SNAP_COMMIT, SNAP_CREATE, 0);
	send_start(&p);
	put(&p, 2);
	drain(&p);
	snap(&p, SNAP_PREPARE, SNAP_REVERT, 0);
	snap(&p, SNAP_COMMIT, SNAP_REVERT, 0);
	send_start(&p);
	assert_int_equal(
	    rig_io(&p.r, VIRTIO_BLK_T_IN, 0, RIG_DATA, 512, NULL), 0);
	assert_int_equal(*(uint8_t *)rig_ptr(&p.r, RIG_DATA, 1), 1);
	drain(&p);
	snap(&p, SNAP_PREPARE, SNAP_DELETE, 0);
	snap(&p, SNAP_COMMIT, SNAP_DELETE, 0);
	chan_free(p.dev);
	p.dev = NULL;
	assert_int_equal(ended(&p), 0);
	forget(&p);
}

static void
test_empty_image(void **state)
{
	struct peer p = { 0 };

	spawn(&p, true);
	send_conf(&p, 1, rig_image(true, 0), VM_DISK_RAW);
	assert_int_equal(chan_recv(p.blk, MS), 0);
	assert_int_equal(p.errors, 1);
	assert_non_null(strstr(p.text, "empty"));
	assert_int_equal(ended(&p), 1);
	forget(&p);
}

/* Messages that come too early end the process. */
static void
test_order(void **state)
{
	struct peer p = { 0 };

	spawn(&p, true);
	send_conf(&p, 1, rig_image(true, IMAGE), VM_DISK_RAW);
	assert_int_equal(chan_recv(p.dev, MS), 0);
	p.r.nq = 0;
	send_empty(&p, DEV_RESET);
	assert_int_equal(chan_recv(p.blk, MS), 0);
	assert_int_equal(p.errors, 1);
	assert_int_equal(ended(&p), 1);
	forget(&p);

	p = (struct peer){ 0 };
	spawn(&p, true);
	/* An image before the configuration. */
	send_fd(p.blk, BLK_FD, BLK_FD_IMAGE, 0, rig_image(true, IMAGE));
	/* Nothing can be said on a channel whose rules the peer broke. */
	assert_int_equal(chan_recv(p.blk, MS), -EPIPE);
	assert_int_equal(ended(&p), 1);
	forget(&p);
}

static void
test_late(void **state)
{
	struct peer p;

	if (!can_confine())
		skip();
	set_up(&p, true, 1, rig_image(true, IMAGE), VM_DISK_RAW);
	send_empty(&p, DEV_SEAL);
	assert_int_equal(ended(&p), 0);
	forget(&p);
}

/* The parent goes away during set-up. */
static void
test_orphan(void **state)
{
	struct peer p = { 0 };

	spawn(&p, true);
	chan_free(p.blk);
	assert_int_equal(ended(&p), 1);
	p.blk = NULL;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uring),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_snapshots),
		cmocka_unit_test(test_lazy_uring),
		cmocka_unit_test(test_lazy_threads),
		cmocka_unit_test(test_empty_image),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_orphan),
	};

	signal(SIGPIPE, SIG_IGN);
	log_init(LOG_TO_STDERR, "test");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
