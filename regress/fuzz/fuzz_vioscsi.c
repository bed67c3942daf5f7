/* SPDX-License-Identifier: ISC */
/*
 * Fuzzer: the SCSI host over hostile rings.  The input is what is in guest
 * memory, rings included; its first bytes are the negotiated and configured
 * sizes.  The medium is never written, nothing is written outside of guest
 * memory (the sanitizers see that), and the device survives.
 */
#include <sys/mman.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vioscsi_impl.h"

#define MEM    (1ULL << 20)
#define SHOWN  4096 /* bytes of it that the input fills */
#define SIZE   8 /* of each ring */
#define BLOCKS 16
#define HEAD   8 /* bytes of the input before memory */

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct rig {
	struct gmem mem;
	struct vioscsi *dev;
	struct virtio_scsi_config *page;
	int medium;
} r;

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static void
set_up(void)
{
	struct vdev *v;
	void *page;
	int fd;

	check(gmem_create(&r.mem, MEM) == 0);
	check(vioscsi_new(&r.dev) == 0);
	v = vioscsi_vdev(r.dev);
	check(vdev_set_memory(v, dup(r.mem.fd), MEM) == 0);
	check(page_create(&fd, true, &page) == 0);
	check(vdev_set_config(v, fd) == 0);
	r.page = page;
	r.medium = memfd_create("iso", MFD_CLOEXEC);
	check(ftruncate(r.medium, BLOCKS * CDROM_BLOCK) == 0);
}

/* Rings next to each other, so that a short input describes them all. */
static void
start(bool event_idx)
{
	struct virtio_ring ring[VIOSCSI_QUEUES];
	uint64_t at = 0;
	unsigned i;

	for (i = 0; i < VIOSCSI_QUEUES; i++, at += 256)
		ring[i] = (struct virtio_ring){ SIZE, { at }, { at + 128 },
			{ at + 160 } };
	vioscsi_vdev(r.dev)->started = false;
	check(vdev_start(vioscsi_vdev(r.dev), event_idx ? ~0ULL : 0, ring,
		  VIOSCSI_QUEUES) == 0);
	check(vdev_ok(vioscsi_vdev(r.dev)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t *mem;
	unsigned i;

	if (len < HEAD)
		return 0;
	if (r.dev == NULL)
		set_up();
	mem = gmem_range(&r.mem, (struct gpa){ 0 }, MEM);
	memset(mem, 0, SHOWN);
	memcpy(mem, data + HEAD, len - HEAD < SHOWN ? len - HEAD : SHOWN);
	r.page->sense_size = (uint32_t)data[0] << (data[1] & 31);
	r.page->cdb_size = (uint32_t)data[2] << (data[3] & 31);
	start((data[4] & 1) != 0);
	r.dev->subscribed = data[5];
	check(vioscsi_medium(r.dev, dup(r.medium),
		  (uint64_t)(data[6] % (2 * BLOCKS)) * CDROM_BLOCK, true) == 0);
	r.dev->drive.attention = data[7];
	for (i = 0; i < 2; i++) {
		vioscsi_control(r.dev);
		vioscsi_requests(r.dev);
		vioscsi_events(r.dev);
	}
	check(lseek(r.medium, 0, SEEK_END) == BLOCKS * CDROM_BLOCK);
	return 0;
}
