/* SPDX-License-Identifier: ISC */
#ifndef VMD_VM_IMPL_H
#define VMD_VM_IMPL_H

/* Shared by vm.c and vm_save.c: the vm process. */
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
	bool has_conf, go;
	int hypervisor, kernel, initrd, floppy, console, screen, vgabios;
	int state; /* to go on from; -1: a start */
	struct vm_dev disk[VM_BLKS_MAX], nic[VM_NICS_MAX], cdrom;

	struct event_base *base;
	struct event *end_event;
	struct gmem mem;
	struct vmm *vmm;
	struct machine *machine;
	struct viornd *rnd;
	struct viobal *bal;
	struct vmmci *ci;
	struct vcpus *vcpus;
	bool paused;
	/* While its state is saved: where to, -1: it is not. */
	int save;
	bool save_go_on, save_was_paused, save_lost;
	unsigned draining; /* devices */
	struct gpa rsdp;
	uint8_t *rom; /* of firmware, or NULL */
	uint32_t rom_len, floppy_len;

	pthread_mutex_t end_lock; /* (e) */
	bool ended; /* (e) */
	enum vm_end end;
	char detail[WHY_MAX];
};

void vm_report(struct vm *, uint32_t type, uint32_t number, const char *text);
/* Start failed: one line to the parent.  The exit status. */
int __attribute__((format(printf, 3, 4)))
vm_fail(struct vm *, int error, const char *fmt, ...);
void vm_set_end(void *vm, enum vm_end, const char *detail);
void vm_set_paused(struct vm *, bool on);

/* vm_save.c */
int vm_on_save(void *vm, uint32_t id, int fd, struct ibuf *);
/* A device process has ended what it had begun, or is gone. */
void vm_drained(void *dev, bool ok);
/* Those that are drained go on. */
void vm_resume_devices(struct vm *);
/* From a saved state, as a VM that is paused.  The exit status. */
int vm_go_on(struct vm *);

#endif
