/* SPDX-License-Identifier: ISC */
/*
 * The SCSI host with a driver in front of it: requests, task management,
 * events, media that change, and drivers that misbehave.
 */
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vioscsi_impl.h"

#include "../vdriver.h"

#define MEM	 (32ULL << 20)
#define REQ	 0x100000ULL /* request headers and control requests */
#define RESP	 0x140000ULL
#define EVENTS	 0x180000ULL
#define INDIRECT 0x1c0000ULL
#define DATA	 0x200000ULL
#define BLOCKS	 64
#define REQ_LEN	 (sizeof(struct virtio_scsi_cmd_req))
#define RESP_LEN (sizeof(struct virtio_scsi_cmd_resp))

struct rig {
	struct gmem mem;
	struct vioscsi *dev;
	int image;
	struct vdrv q[VIOSCSI_QUEUES];
	int kick[VIOSCSI_QUEUES], call[VIOSCSI_QUEUES];
	uint8_t *page; /* configuration */
};

static void *
ptr(struct rig *r, uint64_t gpa, size_t len)
{
	void *p = gmem_range(&r->mem, (struct gpa){ gpa }, len);

	assert_non_null(p);
	return p;
}

static int
medium(unsigned blocks, uint8_t first)
{
	int fd = memfd_create("iso", MFD_CLOEXEC);
	uint8_t b[CDROM_BLOCK];
	unsigned i;

	assert_true(fd >= 0);
	for (i = 0; i < blocks; i++) {
		memset(b, (int)(first + i), sizeof(b));
		assert_int_equal(write(fd, b, sizeof(b)), sizeof(b));
	}
	return fd;
}

static void
insert(struct rig *r, int fd, unsigned blocks, bool force, int want)
{
	assert_int_equal(
	    vioscsi_medium(r->dev, fd, (uint64_t)blocks * CDROM_BLOCK, force),
	    want);
}

static void
start(struct rig *r)
{
	struct virtio_ring ring[VIOSCSI_QUEUES];
	unsigned i;

	for (i = 0; i < VIOSCSI_QUEUES; i++) {
		vdrv_init(&r->q[i], &r->mem, i * 0x10000ull, VIOSCSI_QUEUE_SIZE,
		    true);
		ring[i] = (struct virtio_ring){ VIOSCSI_QUEUE_SIZE,
			r->q[i].desc_gpa, r->q[i].avail_gpa, r->q[i].used_gpa };
	}
	assert_int_equal(vioscsi_start(r->dev, vioscsi_vdev(r->dev)->offered,
			     ring, VIOSCSI_QUEUES),
	    0);
}

static int
up(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct vdev *v;
	void *page;
	unsigned i;
	int fd;

	assert_non_null(r);
	assert_int_equal(gmem_create(&r->mem, MEM), 0);
	assert_int_equal(vioscsi_new(&r->dev), 0);
	v = vioscsi_vdev(r->dev);
	assert_int_equal(page_create(&fd, true, &page), 0);
	r->page = page;
	memcpy(page, &r->dev->config, sizeof(r->dev->config));
	assert_int_equal(vdev_set_config(v, fd), 0);
	r->image = medium(BLOCKS, 0);
	insert(r, dup(r->image), BLOCKS, true, 0);
	assert_int_equal(vdev_set_memory(v, dup(r->mem.fd), MEM), 0);
	for (i = 0; i < VIOSCSI_QUEUES; i++) {
		r->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		r->call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_int_equal(vdev_set_fd(v, i, false, dup(r->kick[i])), 0);
		assert_int_equal(vdev_set_fd(v, i, true, dup(r->call[i])), 0);
	}
	assert_int_equal(vioscsi_thread(r->dev), 0);
	start(r);
	*state = r;
	return 0;
}

static int
down(void **state)
{
	struct rig *r = *state;
	unsigned i;

	vioscsi_free(r->dev);
	for (i = 0; i < VIOSCSI_QUEUES; i++) {
		close(r->kick[i]);
		close(r->call[i]);
	}
	page_detach(r->page);
	gmem_destroy(&r->mem);
	close(r->image);
	free(r);
	return 0;
}

static void
kick(struct rig *r, unsigned q)
{
	const uint64_t one = 1;

	if (vdrv_publish(&r->q[q]))
		assert_int_equal(write(r->kick[q], &one, 8), 8);
}

static unsigned
report(struct rig *r, const char **why, int ms)
{
	struct pollfd p = { vioscsi_vdev(r->dev)->report, POLLIN, 0 };
	unsigned mask = 0;
	int i;

	for (i = 0; i < ms / 10 && mask == 0; i++)
		if (poll(&p, 1, 10) == 1)
			mask = vdev_report(vioscsi_vdev(r->dev), why);
	return mask;
}

static uint32_t
used(struct rig *r, unsigned q, uint32_t *len)
{
	struct pollfd p = { r->call[q], POLLIN, 0 };
	uint32_t id;
	uint64_t n;

	while (!vdrv_take(&r->q[q], &id, len)) {
		if (vdrv_want_used(&r->q[q]))
			continue;
		assert_int_equal(poll(&p, 1, 5000), 1);
		assert_int_equal(read(r->call[q], &n, 8), 8);
	}
	return id;
}

static const uint8_t lun0[8] = { 1, 0, 0x40, 0 };

static struct virtio_scsi_cmd_req *
set_request(struct rig *r, const uint8_t lun[8], const uint8_t *cdb, size_t n)
{
	struct virtio_scsi_cmd_req *req = ptr(r, REQ, REQ_LEN);

	memset(req, 0, REQ_LEN);
	memcpy(req->lun, lun, 8);
	memcpy(req->cdb, cdb, n);
	memset(ptr(r, RESP, 4096), 0xee, 4096);
	return req;
}

/* A command for this unit with room for so much data; its response. */
static struct virtio_scsi_cmd_resp *
command(struct rig *r, const uint8_t lun[8], const uint8_t *cdb, size_t n,
    uint32_t room)
{
	struct vbuf b[3] = { { REQ, REQ_LEN, false }, { RESP, RESP_LEN, true },
		{ DATA, room, true } };
	struct virtio_scsi_cmd_resp *resp = ptr(r, RESP, RESP_LEN);
	uint32_t len;
	int head;

	set_request(r, lun, cdb, n);
	head = vdrv_add(&r->q[VIOSCSI_REQUEST], b, room == 0 ? 2 : 3, INDIRECT);
	assert_true(head >= 0);
	kick(r, VIOSCSI_REQUEST);
	assert_int_equal(used(r, VIOSCSI_REQUEST, &len), head);
	assert_int_equal(len, RESP_LEN + (room - resp->resid));
	return resp;
}

#define COMMAND(r, room, ...)                              \
	command(r, lun0, (const uint8_t[]){ __VA_ARGS__ }, \
	    sizeof((const uint8_t[]){ __VA_ARGS__ }), room)

static void
ready(struct rig *r)
{
	struct virtio_scsi_cmd_resp *resp = COMMAND(r, 0, 0x00);

	assert_int_equal(resp->response, VIRTIO_SCSI_S_OK);
	assert_int_equal(resp->status, CDROM_CHECK);
	assert_int_equal(resp->sense_len, CDROM_SENSE);
	assert_int_equal(resp->sense[2], 6);
	resp = COMMAND(r, 0, 0x00);
	assert_int_equal(resp->status, CDROM_GOOD);
	assert_int_equal(resp->sense_len, 0);
}

/* Whoever sends the guest has to know what was written: so many pages of data,
 * from the first on, and that of the response.  0: nothing is asked. */
static void
marks(struct rig *r, unsigned pages)
{
	uint64_t data = gmem_take(&r->mem, DATA / 4096 / 64);
	uint64_t resp = gmem_take(&r->mem, RESP / 4096 / 64);

	if (pages == 0)
		return;
	assert_int_equal(
	    data >> DATA / 4096 % 64 & UINT16_MAX, (1U << pages) - 1);
	assert_int_equal(resp >> RESP / 4096 % 64 & 1, 1);
}

static void
test_read(void **state)
{
	struct rig *r = *state;
	struct virtio_scsi_cmd_resp *resp;
	uint8_t *data = ptr(r, DATA, 65536);
	unsigned i;

	ready(r);
	memset(data, 0xee, 65536);
	marks(r, 0);
	resp = COMMAND(r, 65536, 0x28, 0, 0, 0, 0, 3, 0, 0, 5);
	assert_int_equal(resp->response, VIRTIO_SCSI_S_OK);
	assert_int_equal(resp->status, CDROM_GOOD);
	assert_int_equal(resp->resid, 65536 - 5 * CDROM_BLOCK);
	marks(r, 3); /* pages that five blocks are on */
	for (i = 0; i < 5 * CDROM_BLOCK; i++)
		assert_int_equal(data[i], 3 + i / CDROM_BLOCK);
	assert_int_equal(data[i], 0xee);
	resp = COMMAND(r, 8, 0x25);
	assert_int_equal(resp->resid, 0);
	assert_int_equal(data[3], BLOCKS - 1);
	marks(r, 1);
	/* Beyond the end, and no such command. */
	resp = COMMAND(r, 4096, 0x28, 0, 0, 0, 0, BLOCKS, 0, 0, 1);
	assert_int_equal(resp->status, CDROM_CHECK);
	assert_int_equal(resp->resid, 4096);
	resp = COMMAND(r, 4096, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1);
	assert_int_equal(resp->sense[12], 0x20);
	/* More than there is room for. */
	resp = COMMAND(r, 2047, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
	assert_int_equal(resp->response, VIRTIO_SCSI_S_OVERRUN);
	assert_int_equal(resp->resid, 2047);
}

/* The response, the sense data and the data split anywhere. */
static void
test_split(void **state)
{
	struct rig *r = *state;
	const uint8_t cdb[] = { 0x28, 0, 0, 0, 0, 1, 0, 0, 2 };
	struct virtio_scsi_cmd_resp resp;
	struct vbuf b[126];
	uint32_t len, at, n;
	unsigned k, step;

	ready(r);
	for (step = 41; step < 400; step += 13) {
		set_request(r, lun0, cdb, sizeof(cdb));
		b[0] = (struct vbuf){ REQ, 7, false };
		b[1] = (struct vbuf){ REQ + 7, REQ_LEN - 7, false };
		for (k = 2, at = 0; at < RESP_LEN + 4096; at += n) {
			n = (uint32_t)(RESP_LEN + 4096 - at);
			n = n > step && k < 125 ? step : n;
			b[k++] = (struct vbuf){ RESP + at, n, true };
		}
		assert_true(
		    vdrv_add(&r->q[VIOSCSI_REQUEST], b, k, INDIRECT) >= 0);
		kick(r, VIOSCSI_REQUEST);
		used(r, VIOSCSI_REQUEST, &len);
		assert_int_equal(len, RESP_LEN + 4096);
		memcpy(&resp, ptr(r, RESP, RESP_LEN), RESP_LEN);
		assert_int_equal(resp.response + resp.status, 0);
		assert_int_equal(*(uint8_t *)ptr(r, RESP + RESP_LEN, 1), 1);
		assert_int_equal(
		    *(uint8_t *)ptr(r, RESP + RESP_LEN + 4095, 1), 2);
	}
}

/* "sense_size" and "cdb_size" are the driver's to choose. */
static void
test_sizes(void **state)
{
	struct rig *r = *state;
	static const struct {
		uint32_t sense, cdb;
	} rows[] = { { 96, 32 }, { 18, 6 }, { 0, 16 }, { 300, 260 } };
	struct virtio_scsi_config *c = (void *)r->page;
	uint8_t *resp = ptr(r, RESP, 4096);
	size_t i;
	uint32_t len;

	ready(r);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vbuf b[2] = { { REQ, 19 + rows[i].cdb, false },
			{ RESP, 12 + rows[i].sense + 100, true } };

		c->sense_size = rows[i].sense;
		c->cdb_size = rows[i].cdb;
		memset(ptr(r, REQ, 4096), 0, 4096);
		set_request(r, lun0, (const uint8_t[]){ 0x12, 0, 0, 0, 36 }, 5);
		vdrv_add(&r->q[VIOSCSI_REQUEST], b, 2, 0);
		kick(r, VIOSCSI_REQUEST);
		used(r, VIOSCSI_REQUEST, &len);
		assert_int_equal(len, 12 + rows[i].sense + 36);
		assert_memory_equal(resp + 12 + rows[i].sense + 8, "VMM ", 4);
		/* Sense data is cut to its room. */
		set_request(r, lun0, (const uint8_t[]){ 0xff }, 1);
		vdrv_add(&r->q[VIOSCSI_REQUEST], b, 2, 0);
		kick(r, VIOSCSI_REQUEST);
		used(r, VIOSCSI_REQUEST, &len);
		assert_int_equal(resp[10], CDROM_CHECK);
		assert_int_equal(
		    resp[0], rows[i].sense < 18 ? rows[i].sense : 18);
	}
}

static void
test_units(void **state)
{
	static const struct {
		uint8_t lun[8];
		uint8_t response;
		int inquiry; /* first byte, -1: none */
	} rows[] = {
		{ { 1, 0, 0x40, 0 }, VIRTIO_SCSI_S_OK, 0x05 },
		{ { 1, 0, 0, 0 }, VIRTIO_SCSI_S_OK, 0x05 },
		{ { 1, 0, 0x40, 1 }, VIRTIO_SCSI_S_OK, 0x7f },
		{ { 1, 0, 0x7f, 0xff }, VIRTIO_SCSI_S_OK, 0x7f },
		{ { 1, 0, 0x80, 0 }, VIRTIO_SCSI_S_OK, 0x7f },
		{ { 1, 0, 0, 0, 0, 0, 0, 1 }, VIRTIO_SCSI_S_OK, 0x7f },
		{ { 0xc1, 1 }, VIRTIO_SCSI_S_OK, 0x1e },
		{ { 1, 1, 0x40, 0 }, VIRTIO_SCSI_S_BAD_TARGET, -1 },
		{ { 1, 255, 0, 0 }, VIRTIO_SCSI_S_BAD_TARGET, -1 },
		{ { 0 }, VIRTIO_SCSI_S_BAD_TARGET, -1 },
		{ { 2, 0, 0x40, 0 }, VIRTIO_SCSI_S_BAD_TARGET, -1 },
		{ { 0xc1, 1, 0, 1 }, VIRTIO_SCSI_S_BAD_TARGET, -1 },
	};
	const uint8_t inquiry[] = { 0x12, 0, 0, 0, 36 };
	struct rig *r = *state;
	struct virtio_scsi_cmd_resp *resp;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		resp = command(r, rows[i].lun, inquiry, sizeof(inquiry), 64);
		assert_int_equal(resp->response, rows[i].response);
		if (rows[i].inquiry != -1)
			assert_int_equal(
			    *(uint8_t *)ptr(r, DATA, 1), rows[i].inquiry);
		else
			assert_int_equal(resp->resid, 64);
	}
}

static uint8_t
control(struct rig *r, const void *req, uint32_t n, uint32_t room)
{
	struct vbuf b[2] = { { REQ, n, false }, { RESP, room, true } };
	uint32_t len;

	memcpy(ptr(r, REQ, n), req, n);
	memset(ptr(r, RESP, 16), 0xee, 16);
	vdrv_add(&r->q[VIOSCSI_CONTROL], b, 2, 0);
	kick(r, VIOSCSI_CONTROL);
	used(r, VIOSCSI_CONTROL, &len);
	assert_int_equal(len, room);
	return *(uint8_t *)ptr(r, RESP + room - 1, 1);
}

static void
test_task_management(void **state)
{
	static const struct {
		uint32_t subtype;
		uint8_t lun[4];
		uint8_t want;
	} rows[] = {
		{ 0, { 1, 0, 0x40, 0 }, VIRTIO_SCSI_S_OK },
		{ 1, { 1, 0, 0x40, 0 }, VIRTIO_SCSI_S_OK },
		{ 2, { 1, 0, 0x40, 0 }, VIRTIO_SCSI_S_FUNCTION_REJECTED },
		{ 3, { 1, 0, 0x40, 0 }, VIRTIO_SCSI_S_OK },
		{ 4, { 1, 0, 0x40, 0 }, VIRTIO_SCSI_S_OK },
		{ 5, { 1, 0, 0x40, 0 }, VIRTIO_SCSI_S_OK },
		{ 6, { 1, 0, 0x40, 0 }, VIRTIO_SCSI_S_OK },
		{ 7, { 1, 0, 0x40, 0 }, VIRTIO_SCSI_S_OK },
		{ 8, { 1, 0, 0x40, 0 }, VIRTIO_SCSI_S_FUNCTION_REJECTED },
		{ ~0u, { 1, 0, 0x40, 0 }, VIRTIO_SCSI_S_FUNCTION_REJECTED },
		{ 5, { 1, 0, 0x40, 1 }, VIRTIO_SCSI_S_INCORRECT_LUN },
		{ 5, { 1, 1, 0x40, 0 }, VIRTIO_SCSI_S_BAD_TARGET },
	};
	struct rig *r = *state;
	struct virtio_scsi_ctrl_tmf_req req;
	const uint32_t unknown = 77;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(&req, 0, sizeof(req));
		req.subtype = rows[i].subtype;
		memcpy(req.lun, rows[i].lun, 4);
		assert_int_equal(
		    control(r, &req, sizeof(req), 1), rows[i].want);
	}
	ready(r); /* a reset is an attention */
	assert_int_equal(control(r, &unknown, 4, 1), VIRTIO_SCSI_S_FAILURE);
}

/* What was available before a function is answered before it is: CVE-2023-5088
 * and GHSA-f47p-p25q-83rh are about what is not. */
static void
test_function_comes_last(void **state)
{
	const uint8_t cdb[] = { 0x28, 0, 0, 0, 0, 0, 0, 0, BLOCKS };
	struct rig *r = *state;
	struct virtio_scsi_ctrl_tmf_req req = {
		.subtype = VIRTIO_SCSI_T_TMF_ABORT_TASK
	};
	struct vbuf b[3] = { { REQ + 4096, REQ_LEN, false },
		{ RESP + 4096, RESP_LEN, true },
		{ DATA, BLOCKS * CDROM_BLOCK, true } };
	struct virtio_scsi_cmd_req *cmd = ptr(r, REQ + 4096, REQ_LEN);
	unsigned i, round;

	ready(r);
	memcpy(cmd->lun, lun0, 8);
	memcpy(cmd->cdb, cdb, sizeof(cdb));
	memcpy(req.lun, lun0, 8);
	for (round = 0; round < 50; round++) {
		for (i = 0; i < 40; i++)
			assert_true(vdrv_add(&r->q[VIOSCSI_REQUEST], b, 3,
					INDIRECT + i * 64) >= 0);
		vdrv_publish(&r->q[VIOSCSI_REQUEST]);
		assert_int_equal(control(r, &req, sizeof(req), 1), 0);
		for (i = 0; i < 40; i++) {
			uint32_t id, len;

			assert_true(
			    vdrv_take(&r->q[VIOSCSI_REQUEST], &id, &len));
		}
	}
}

static void
event_buffer(struct rig *r, unsigned n)
{
	struct vbuf b = { EVENTS + n * 16ull, sizeof(struct virtio_scsi_event),
		true };

	vdrv_add(&r->q[VIOSCSI_EVENT], &b, 1, 0);
	kick(r, VIOSCSI_EVENT);
}

static void
event(struct rig *r, unsigned n, uint32_t want, uint32_t reason)
{
	struct virtio_scsi_event e;
	uint32_t len;

	used(r, VIOSCSI_EVENT, &len);
	assert_int_equal(len, sizeof(e));
	memcpy(&e, ptr(r, EVENTS + n * 16ull, sizeof(e)), sizeof(e));
	assert_int_equal(e.event, want);
	assert_int_equal(e.reason, reason);
	if ((want & 0xff) != 0)
		assert_memory_equal(e.lun, lun0, 8);
}

static void
test_notifications(void **state)
{
	struct rig *r = *state;
	struct virtio_scsi_ctrl_an_req req = { .type = VIRTIO_SCSI_T_AN_QUERY,
		.event_requested = ~0u };
	uint32_t id, len;

	memcpy(req.lun, lun0, 8);
	assert_int_equal(control(r, &req, sizeof(req), 5), 0);
	assert_int_equal(*(uint32_t *)ptr(r, RESP, 4), VIOSCSI_AN_MEDIA);
	event_buffer(r, 0);
	/* Not subscribed. */
	insert(r, medium(3, 9), 3, false, 0);
	usleep(50000);
	assert_false(vdrv_take(&r->q[VIOSCSI_EVENT], &id, &len));
	req.type = VIRTIO_SCSI_T_AN_SUBSCRIBE;
	assert_int_equal(control(r, &req, sizeof(req), 5), 0);
	insert(r, -1, 0, false, 0);
	event(r, 0, VIRTIO_SCSI_T_ASYNC_NOTIFY, VIOSCSI_AN_MEDIA);
	/* No buffer: the next one tells that something was missed. */
	insert(r, medium(3, 9), 3, false, 0);
	usleep(50000);
	event_buffer(r, 1);
	event(r, 1, VIRTIO_SCSI_T_EVENTS_MISSED, 0);
	req.lun[1] = 9;
	assert_int_equal(
	    control(r, &req, sizeof(req), 5), VIRTIO_SCSI_S_BAD_TARGET);
}

static void
test_medium_change(void **state)
{
	struct rig *r = *state;
	struct virtio_scsi_cmd_resp *resp;

	ready(r);
	insert(r, medium(3, 9), 3, false, 0);
	resp = COMMAND(r, 4096, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
	assert_int_equal(resp->sense[12], 0x28);
	resp = COMMAND(r, 4096, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
	assert_int_equal(resp->status, CDROM_GOOD);
	assert_int_equal(*(uint8_t *)ptr(r, DATA, 1), 9);
	COMMAND(r, 0, 0x1e, 0, 0, 0, 1);
	insert(r, medium(3, 1), 3, false, -EBUSY);
	insert(r, -1, 0, true, 0);
	resp = COMMAND(r, 4096, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
	assert_int_equal(resp->sense[12], 0x3a);
}

/* While the guest reads: nothing is read from a medium that is closed. */
static void
test_medium_changes_while_read(void **state)
{
	struct rig *r = *state;
	struct virtio_scsi_cmd_resp *resp;
	unsigned i;

	for (i = 0; i < 300; i++) {
		insert(r, medium(BLOCKS, (uint8_t)i), BLOCKS, true, 0);
		resp = COMMAND(
		    r, BLOCKS * CDROM_BLOCK, 0x28, 0, 0, 0, 0, 0, 0, 0, BLOCKS);
		assert_int_equal(resp->response, VIRTIO_SCSI_S_OK);
		resp = COMMAND(r, 2048, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
		if (resp->status == CDROM_GOOD)
			assert_int_equal(
			    *(uint8_t *)ptr(r, DATA, 1), (uint8_t)i);
	}
}

/* An image that became shorter: an error of the medium, and nothing else. */
static void
test_truncated_image(void **state)
{
	struct rig *r = *state;
	struct virtio_scsi_cmd_resp *resp;

	ready(r);
	assert_int_equal(ftruncate(r->image, 3 * CDROM_BLOCK), 0);
	resp = COMMAND(r, 4096, 0x28, 0, 0, 0, 0, 2, 0, 0, 2);
	assert_int_equal(resp->response, VIRTIO_SCSI_S_OK);
	assert_int_equal(resp->status, CDROM_CHECK);
	assert_int_equal(resp->sense[2] << 8 | resp->sense[12], 0x311);
	resp = COMMAND(r, 4096, 0x28, 0, 0, 0, 0, 1, 0, 0, 2);
	assert_int_equal(resp->status, CDROM_GOOD);
}

static void
test_reset(void **state)
{
	struct rig *r = *state;
	const char *why;

	ready(r);
	COMMAND(r, 0, 0x1e, 0, 0, 0, 1);
	assert_int_equal(vdev_reset(vioscsi_vdev(r->dev)), 0);
	assert_int_equal(report(r, &why, 5000), VDEV_RESET_DONE);
	/* Nothing is prevented any more, whether a driver comes or not. */
	insert(r, medium(3, 9), 3, false, 0);
	start(r);
	ready(r);
}

static void
test_counters(void **state)
{
	struct rig *r = *state;
	struct ctl_counters n;

	ready(r);
	COMMAND(r, 4096, 0x28, 0, 0, 0, 0, 0, 0, 0, 2);
	vioscsi_stop(r->dev);
	vioscsi_stats(r->dev, &n);
	assert_int_equal(n.requests, 3);
	assert_int_equal(n.errors, 1);
	assert_int_equal(n.in, 4096);
	assert_in_range(n.kicks, 1, 3);
}

/* ATTACKS.md, part A: chains that are no requests break the device alone. */
static const struct hostile {
	const char *name;
	unsigned queue, n;
	struct vbuf b[3];
} hostile[] = {
	{ "nothing to write", VIOSCSI_REQUEST, 1, { { REQ, 51, false } } },
	{ "nothing to read", VIOSCSI_REQUEST, 1, { { RESP, 108, true } } },
	{ "short request", VIOSCSI_REQUEST, 2,
	    { { REQ, 50, false }, { RESP, 108, true } } },
	{ "short response", VIOSCSI_REQUEST, 2,
	    { { REQ, 51, false }, { RESP, 107, true } } },
	{ "outside of memory", VIOSCSI_REQUEST, 2,
	    { { REQ, 51, false }, { MEM, 108, true } } },
	{ "across the end", VIOSCSI_REQUEST, 2,
	    { { REQ, 51, false }, { MEM - 100, 108, true } } },
	{ "wraps", VIOSCSI_REQUEST, 2,
	    { { REQ, 51, false }, { ~0ull - 10, 108, true } } },
	{ "in the MMIO hole", VIOSCSI_REQUEST, 2,
	    { { REQ, 51, false }, { 0xfebf0000, 108, true } } },
	{ "lengths add up", VIOSCSI_REQUEST, 3,
	    { { REQ, 51, false }, { 0, 0xffffffff, true },
		{ 0, 0xffffffff, true } } },
	{ "wrong order", VIOSCSI_REQUEST, 2,
	    { { RESP, 108, true }, { REQ, 51, false } } },
	{ "empty", VIOSCSI_REQUEST, 1, { { REQ, 0, false } } },
	{ "control, no type", VIOSCSI_CONTROL, 2,
	    { { REQ, 3, false }, { RESP, 1, true } } },
	{ "control, short", VIOSCSI_CONTROL, 2,
	    { { REQ, 23, false }, { RESP, 1, true } } },
	{ "control, no response", VIOSCSI_CONTROL, 1, { { REQ, 24, false } } },
};

static void
test_hostile_chains(void **state)
{
	struct rig *r = *state;
	const struct hostile *h;
	const char *why = NULL;
	size_t i;

	for (i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		h = &hostile[i];
		print_message("%s\n", h->name);
		memset(ptr(r, REQ, 4096), 0, 4096);
		vdrv_add(&r->q[h->queue], h->b, h->n, 0);
		kick(r, h->queue);
		assert_int_equal(report(r, &why, 5000), VDEV_BROKEN);
		assert_int_equal(vdev_reset(vioscsi_vdev(r->dev)), 0);
		assert_int_equal(report(r, &why, 5000), VDEV_RESET_DONE);
		start(r);
		ready(r);
	}
}

static void
test_event_buffer_too_small(void **state)
{
	struct rig *r = *state;
	struct virtio_scsi_ctrl_an_req req = {
		.type = VIRTIO_SCSI_T_AN_SUBSCRIBE, .event_requested = ~0u
	};
	struct vbuf b = { EVENTS, 15, true };
	const char *why;

	memcpy(req.lun, lun0, 8);
	control(r, &req, sizeof(req), 5);
	vdrv_add(&r->q[VIOSCSI_EVENT], &b, 1, 0);
	kick(r, VIOSCSI_EVENT);
	insert(r, -1, 0, false, 0);
	assert_int_equal(report(r, &why, 5000), VDEV_BROKEN);
	assert_string_equal(why, "event buffer too small");
}

/* Loops, and more heads than the ring has. */
static void
test_hostile_rings(void **state)
{
	struct rig *r = *state;
	const char *why;
	struct vdrv *q = &r->q[VIOSCSI_REQUEST];
	unsigned how;

	for (how = 0; how < 3; how++) {
		q->desc[0] = (struct vring_desc){ REQ, 51, VRING_DESC_F_NEXT,
			how == 0 ? 0 : 1 };
		q->desc[1] = (struct vring_desc){ RESP, 108,
			VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 0 };
		q->avail->ring[0] = how == 2 ? VIOSCSI_QUEUE_SIZE : 0;
		q->avail_idx = how == 1 ? VIOSCSI_QUEUE_SIZE + 1 : 1;
		kick(r, VIOSCSI_REQUEST);
		assert_int_equal(report(r, &why, 5000), VDEV_BROKEN);
		assert_int_equal(vdev_reset(vioscsi_vdev(r->dev)), 0);
		assert_int_equal(report(r, &why, 5000), VDEV_RESET_DONE);
		start(r);
		ready(r);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_read),
		T(test_split),
		T(test_sizes),
		T(test_units),
		T(test_task_management),
		T(test_function_comes_last),
		T(test_notifications),
		T(test_medium_change),
		T(test_medium_changes_while_read),
		T(test_truncated_image),
		T(test_reset),
		T(test_counters),
		T(test_hostile_chains),
		T(test_event_buffer_too_small),
		T(test_hostile_rings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
