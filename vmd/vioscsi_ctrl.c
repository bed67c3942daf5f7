/* SPDX-License-Identifier: ISC */
/*
 * Control and event queues of the SCSI host: virtio 1.2, "Device Operation:
 * controlq" and "Device Operation: eventq".
 *
 * A task management function is about requests made available before it, so
 * those are done first: then there is no task left to be aborted or queried.
 */
#include <string.h>

#include "iov.h"
#include "vioscsi_impl.h"

static void
reset_drive(struct vioscsi *v)
{
	pthread_mutex_lock(&v->lock);
	cdrom_reset(&v->drive);
	pthread_mutex_unlock(&v->lock);
}

static uint8_t
manage(struct vioscsi *v, const struct virtio_scsi_ctrl_tmf_req *req)
{
	enum cdrom_lun unit;

	if (!vioscsi_unit(req->lun, &unit))
		return VIRTIO_SCSI_S_BAD_TARGET;
	if (unit == CDROM_LUN_NONE &&
	    req->subtype != VIRTIO_SCSI_T_TMF_I_T_NEXUS_RESET)
		return VIRTIO_SCSI_S_INCORRECT_LUN;
	switch (req->subtype) {
	case VIRTIO_SCSI_T_TMF_ABORT_TASK:
	case VIRTIO_SCSI_T_TMF_ABORT_TASK_SET:
	case VIRTIO_SCSI_T_TMF_CLEAR_TASK_SET:
	case VIRTIO_SCSI_T_TMF_QUERY_TASK:
	case VIRTIO_SCSI_T_TMF_QUERY_TASK_SET:
		/* "Function complete": there is no such task (any more). */
		return VIRTIO_SCSI_S_OK;
	case VIRTIO_SCSI_T_TMF_I_T_NEXUS_RESET:
	case VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET:
		reset_drive(v);
		return VIRTIO_SCSI_S_OK;
	}
	/* CLEAR ACA: the drive says in INQUIRY that it has none. */
	return VIRTIO_SCSI_S_FUNCTION_REJECTED;
}

static uint8_t
notifications(struct vioscsi *v, const struct virtio_scsi_ctrl_an_req *req,
    uint32_t *actual)
{
	enum cdrom_lun unit;

	*actual = 0;
	if (!vioscsi_unit(req->lun, &unit))
		return VIRTIO_SCSI_S_BAD_TARGET;
	if (unit != CDROM_LUN_DRIVE)
		return VIRTIO_SCSI_S_INCORRECT_LUN;
	*actual = req->event_requested & VIOSCSI_AN_MEDIA;
	if (req->type == VIRTIO_SCSI_T_AN_SUBSCRIBE)
		v->subscribed = *actual;
	return VIRTIO_SCSI_S_OK;
}

/* Copies what the request's type needs; its answer's length, 0: none. */
static size_t
control(struct vioscsi *v, const struct virtq_chain *c, uint8_t *out)
{
	struct iovec *iov = c->iov;
	unsigned n = c->nread;
	union {
		uint32_t type;
		struct virtio_scsi_ctrl_tmf_req tmf;
		struct virtio_scsi_ctrl_an_req an;
	} req;
	uint32_t actual;
	uint8_t *rest = (uint8_t *)&req + sizeof(req.type);

	if (!iov_take(&iov, &n, &req.type, sizeof(req.type)))
		return 0;
	switch (req.type) {
	case VIRTIO_SCSI_T_TMF:
		if (!iov_take(
			&iov, &n, rest, sizeof(req.tmf) - sizeof(req.type)))
			return 0;
		vioscsi_requests(v);
		out[0] = manage(v, &req.tmf);
		return sizeof(struct virtio_scsi_ctrl_tmf_resp);
	case VIRTIO_SCSI_T_AN_QUERY:
	case VIRTIO_SCSI_T_AN_SUBSCRIBE:
		if (!iov_take(
			&iov, &n, rest, sizeof(req.an) - sizeof(req.type)))
			return 0;
		out[4] = notifications(v, &req.an, &actual);
		memcpy(out, &actual, sizeof(actual));
		return sizeof(struct virtio_scsi_ctrl_an_resp);
	}
	/* What else there may be begins with its response, too. */
	out[0] = VIRTIO_SCSI_S_FAILURE;
	return 1;
}

void
vioscsi_control(struct vioscsi *v)
{
	uint8_t out[sizeof(struct virtio_scsi_ctrl_an_resp)] = { 0 };
	struct vdev_queue *q = &v->queue[VIOSCSI_CONTROL];
	struct iovec in[VIOSCSI_CHAIN_MAX], *to = in;
	struct virtq_chain c;
	unsigned i, n;
	size_t len;

	for (i = 0; i < VIOSCSI_QUEUE_SIZE; i++) {
		if (!vioscsi_pop(v, VIOSCSI_CONTROL, &c))
			return;
		/* The requests that go first use the same vector. */
		n = c.nwrite;
		to = in;
		memcpy(in, c.iov + c.nread, n * sizeof(in[0]));
		len = control(v, &c, out);
		if (len == 0 || !vioscsi_give(v, &to, &n, out, len)) {
			vdev_break(q, "control request of the wrong size");
			return;
		}
		virtq_push(&q->vq, c.head, (uint32_t)len);
	}
}

static bool
post(struct vioscsi *v, uint32_t event, uint32_t reason)
{
	struct virtio_scsi_event e = {
		.event = event | (v->missed ? VIRTIO_SCSI_T_EVENTS_MISSED : 0),
		.reason = reason,
	};
	struct vdev_queue *q = &v->queue[VIOSCSI_EVENT];
	struct virtq_chain c;
	struct iovec *to;
	unsigned n;

	if (!vioscsi_pop(v, VIOSCSI_EVENT, &c))
		return false;
	if (event != VIRTIO_SCSI_T_NO_EVENT) {
		e.lun[0] = 1;
		e.lun[2] = 0x40; /* flat space, unit 0 */
	}
	to = c.iov + c.nread;
	n = c.nwrite;
	if (!vioscsi_give(v, &to, &n, &e, sizeof(e))) {
		vdev_break(q, "event buffer too small");
		return false;
	}
	v->missed = false;
	virtq_push(&q->vq, c.head, sizeof(e));
	return true;
}

void
vioscsi_events(struct vioscsi *v)
{
	bool news;

	pthread_mutex_lock(&v->lock);
	news = v->news;
	v->news = false;
	pthread_mutex_unlock(&v->lock);
	if (news && (v->subscribed & VIOSCSI_AN_MEDIA) != 0) {
		if (!post(v, VIRTIO_SCSI_T_ASYNC_NOTIFY, VIOSCSI_AN_MEDIA))
			v->missed = true;
	} else if (v->missed)
		(void)post(v, VIRTIO_SCSI_T_NO_EVENT, 0);
}
