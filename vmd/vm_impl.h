/* SPDX-License-Identifier: ISC */
#ifndef VMD_VM_IMPL_H
#define VMD_VM_IMPL_H

/* Shared by vm.c, vm_flash.c, vm_rom.c, vm_save.c, vm_send.c and vm_snap.c: the
 * vm process. */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include "gmem.h"
#include "msg.h"
#include "vmconf.h"

struct chan;
struct event;
struct event_base;
struct ibuf;
struct pager;

#define WHY_MAX 256

/* A device in a process of its own. */
struct vm_dev {
	struct vm *vm;
	unsigned index; /* as in VM_DEVSTATE */
	int fd; /* device channel until the front end takes it */
	char name[16];
	struct virtio_chan *front;
};

struct vm {
	struct chan *parent;
	uint32_t id;
	struct vmconf conf;
	bool has_conf, go, starting; /* the last: vm_snap_revert() */
	int hypervisor, kernel, initrd, floppy, screen, vgabios, netrom;
	int console[VM_TTYS];
	int efivars;
	int state; /* to go on from; -1: a start */
	int faults; /* UFFD_DEVICE, until there is a pager */
	struct vm_dev disk[VM_BLKS_MAX], nic[VM_NICS_MAX], cdrom;

	struct event_base *base;
	struct event *end_event;
	struct gmem mem;
	struct pager *pager; /* of memory that comes out of state, or NULL */
	struct vmm *vmm;
	struct machine *machine;
	struct viornd *rnd;
	struct viobal *bal;
	struct vmmci *ci;
	struct viocon *con; /* or NULL */
	struct vcpus *vcpus;
	bool paused;
	/* While its state is saved: where to, -1: it is not. */
	int save;
	bool save_go_on, save_zstd, save_was_paused, save_lost;
	unsigned draining; /* devices */
	bool stream; /* state is one: with a sender at its end */
	bool told; /* VM_LOCKED came, meanwhile */
	int locked; /* -errno */
	struct sending *sending; /* vm_send.c */
	struct snapping *snap; /* vm_snap.c */
	struct vm_mirror *mirror; /* vm_mirror.c: its disks are copied */
	struct vm_copy *copy; /* ... or come from elsewhere */
	uint32_t mirror_tag;
	bool handed; /* it may run elsewhere, and not here */
	uint8_t *rom; /* of firmware, or NULL */
	uint32_t rom_len, floppy_len;
	uint8_t *net_rom; /* of an interface, or NULL */
	uint8_t *flash, *flash_copy; /* UEFI's variables, or NULL */
	uint32_t flash_len;
	uint32_t unwritten, unwritten_end; /* of flash_copy; empty: equal */
	struct event *flash_event;

	pthread_mutex_t end_lock; /* (e) */
	bool ended; /* (e) */
	enum vm_end end;
	char detail[WHY_MAX];
};

struct save;
struct sending;
struct snapping;
struct vm_copy;
struct vm_mirror;

void vm_report(struct vm *, uint32_t type, uint32_t number, const char *text);
/* Start failed: one line to the parent.  The exit status. */
int __attribute__((format(printf, 3, 4)))
vm_fail(struct vm *, int error, const char *fmt, ...);
void vm_set_end(void *vm, enum vm_end, const char *detail);
void vm_set_paused(struct vm *, bool on);
void vm_report_paused(struct vm *);

/* vm_flash.c: UEFI's variables; the exit status.  Before the seal ... */
int vm_flash_make(struct vm *);
/* ... and after it. */
int vm_flash_fill(struct vm *);
void vm_flash_changed(void *vm); /* the machine's lock is held */
/* What the guest changed goes to the file; no vCPU runs any more. */
void vm_flash_finish(struct vm *);

/* vm_rom.c: what firmware shows text with, and boots over the network with;
 * the exit status.  After the seal, when the devices are there. */
int vm_video_bios(struct vm *);
int vm_net_rom(struct vm *);

/* vm_save.c */
int vm_on_save(void *vm, uint32_t id, int fd, struct ibuf *);
int vm_on_locked(void *vm, uint32_t id, int fd, struct ibuf *);
void vm_parts(struct vm *, struct save *);
/* Nothing of the guest's runs, then its devices end what they have begun:
 * vm_drained(), vm_send_drained(). */
void vm_stand_still(struct vm *);
/* A device process has ended what it had begun, or is gone. */
void vm_drained(void *dev, bool ok);
/* Those that are drained go on. */
void vm_resume_devices(struct vm *);
/* It is not saved now, nor sent, nor is a snapshot of it made. */
bool vm_idle(const struct vm *);
/* What came of a save or a snapshot: told, and the guest goes on or ends. */
void vm_saved(struct vm *, int error, const char *why);
/* The images of its disks are its own, once the sender's guest stands still or
 * has others.  0 or -errno. */
int vm_lock_images(struct vm *);
/* Its memory will come out of the state's file, if it can.  Before the seal. */
void vm_make_pager(struct vm *);
int vm_discard(void *vm, void *p, size_t len);
/* From a saved state, as a VM that is paused.  The exit status. */
int vm_go_on(struct vm *);

/* vm_snap.c */
int vm_on_snapshot(void *vm, uint32_t id, int fd, struct ibuf *);
int vm_on_snapchange(void *vm, uint32_t id, int fd, struct ibuf *);
/* Its devices are drained. */
void vm_snap_drained(struct vm *);
/* A disk's answer. */
void vm_snapped(void *dev, int error, const char *why);
/*
 * At a start, when that reverts disks, before its state is read: could they
 * be?  And after that: they become what they were then, unless there was an
 * error.  0, or -errno with why.
 */
int vm_snap_prepare(struct vm *, char *why, size_t len);
int vm_snap_revert(struct vm *, int error, char *why, size_t len);

/* vm_send.c */
int vm_on_send(void *vm, uint32_t id, int fd, struct ibuf *);
int vm_on_cancel(void *vm, uint32_t id, int fd, struct ibuf *);
void vm_send_drained(struct vm *);
void vm_send_locked(struct vm *, int error);
/* Why it cannot be sent or received, or NULL. */
const char *vm_send_cannot(const struct vm *);
/* It stands still for a while, whatever it was. */
bool vm_frozen(const struct vm *);

#endif
