/* SPDX-License-Identifier: ISC */
#ifndef VMD_SAVE_H
#define VMD_SAVE_H

/*
 * The whole of a VM to a file and back (state.h): while no vCPU runs, the
 * machine's time stands still and all devices are drained.  Main thread of the
 * vm process, sealed.
 */
#include "gmem.h"
#include "vmconf.h"

struct machine;
struct mirror_to;
struct pager;
struct state;
struct viobal;
struct viocon;
struct viornd;
struct virtio_chan;
struct vmm;
struct vmmci;

#define SAVE_DEVS    (VM_BLKS_MAX + VM_NICS_MAX + 1)
#define SAVE_WHY_MAX 256

struct save {
	const struct vmconf *conf;
	struct vmm *vmm;
	struct machine *machine;
	const struct gmem *mem;
	struct pager *pager; /* that it is to come from, or NULL */
	uint32_t rom_len; /* of its firmware */
	uint32_t flash_len; /* of that one's variables */
	struct viornd *rnd;
	struct viobal *bal;
	struct vmmci *ci;
	struct viocon *con; /* or NULL */
	bool zstd; /* compress what is written of memory */
	struct mirror_to *disks; /* of a stream; NULL: they do not come */
	unsigned ndevs;
	struct {
		const char *name;
		struct virtio_chan *front;
	} dev[SAVE_DEVS];
};

/* Why a VM of that kind cannot be saved, or NULL. */
const char *save_cannot(const struct vmconf *);
/* 0, or -errno with a line in why.  fd stays the caller's. */
int save_write(const struct save *, int fd, char why[SAVE_WHY_MAX]);
/* stream: no file, nothing behind it is read. */
int save_read(const struct save *, int fd, bool stream, char why[SAVE_WHY_MAX]);
/* For who writes the memory in between, send.h. */
void save_begin(const struct save *, struct state *);
void save_end(const struct save *, struct state *);

#endif
