/* SPDX-License-Identifier: ISC */
/*
 * The vm process: one guest.  Set up by messages from the parent (msg.h),
 * confined, sealed, then an event loop beside the vCPU threads.
 *
 * Invariants
 *  1. Descriptors come from the parent and from nowhere else; those it sent
 *     and nobody took are closed at the end of set-up.
 *  2. The kernel image, the initrd and everything of the guest's are read
 *     after the seal only, but for the few bytes of the image that tell a
 *     kernel from firmware, and are compared and forgotten.
 *  3. The first end counts: `end' is written once, under end_lock, and read
 *     by the main thread after the end event.
 */
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "chan.h"
#include "ctl.h"
#include "fd.h"
#include "genid.h"
#include "imsg.h"
#include "load.h"
#include "log.h"
#include "machine.h"
#include "page.h"
#include "pager.h"
#include "role.h"
#include "sandbox.h"
#include "screen.h"
#include "spawn.h"
#include "vcpu.h"
#include "vga.h"
#include "viobal.h"
#include "viocon.h"
#include "viornd.h"
#include "virtio_chan.h"
#include "vm_impl.h"
#include "vm_mirror.h"
#include "vmm.h"
#include "vmmci.h"
#ifdef VMD_CONFINE_TEST
#include "confine.h"
#endif

#define SETUP_MS   30000 /* the parent sends all of it at once */
#define FLUSH_MS   1000
#define SEAL_MAX   48
#define MIB	   (1ULL << 20)
#define NOFILE	   1024 /* vCPUs from 128 on, two per queue of each disk */
#define CLASS_SCSI 0x010000 /* mass storage, as virtio-blk functions say */
#define CLASS_NET  0x020000 /* network, Ethernet */
#define TYPE_NET   1 /* virtio 1.2, "Device Types" */
#define TYPE_BLOCK 2
#define TYPE_SCSI  8

/* Reports */

void
vm_report(struct vm *vm, uint32_t type, uint32_t number, const char *text)
{
	struct ibuf *body = chan_body();

	if (ibuf_add_n32(body, number) == -1 || ctl_put_str(body, text) < 0) {
		ibuf_free(body);
		return;
	}
	chan_send(vm->parent, type, vm->id, -1, body);
}

void
vm_report_paused(struct vm *vm)
{
	struct ibuf *body = chan_body();

	if (ibuf_add_n32(body, vm->paused) == -1) {
		ibuf_free(body);
		return;
	}
	chan_send(vm->parent, VM_PAUSED, vm->id, -1, body);
}

static void
report_given(void *arg, uint64_t bytes)
{
	struct vm *vm = arg;
	struct ibuf *body = chan_body();

	if (ibuf_add_n64(body, bytes) == -1) {
		ibuf_free(body);
		return;
	}
	chan_send(vm->parent, VM_GIVEN, vm->id, -1, body);
}

int
vm_fail(struct vm *vm, int error, const char *fmt, ...)
{
	char line[WHY_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	log_debug("start failed: %s", line);
	vm_report(vm, VM_ERROR, (uint32_t)-error, line);
	chan_flush(vm->parent, FLUSH_MS);
	return 1;
}

/* The guest's end; any thread. */
void
vm_set_end(void *arg, enum vm_end how, const char *detail)
{
	struct vm *vm = arg;

	pthread_mutex_lock(&vm->end_lock);
	if (!vm->ended) {
		vm->ended = true;
		vm->end = how;
		snprintf(vm->detail, sizeof(vm->detail), "%s", detail);
		vcpu_quit(vm->vcpus);
		event_active(vm->end_event, 0, 0);
	}
	pthread_mutex_unlock(&vm->end_lock);
}

static void
on_end(evutil_socket_t fd, short what, void *arg)
{
	struct vm *vm = arg;

	event_base_loopbreak(vm->base);
}

static void
on_button_read(void *arg)
{
	struct vm *vm = arg;

	chan_send(vm->parent, VM_SHUTDOWN_ACK, vm->id, -1, NULL);
}

static void
on_kick(void *arg)
{
	struct vm *vm = arg;

	vcpu_kick(vm->vcpus, 0);
}

static void
on_hold(void *arg, bool on)
{
	struct vm *vm = arg;

	if (vm->vcpus != NULL)
		vcpu_hold(vm->vcpus, on);
}

static void
on_panicked(void *arg, bool handled)
{
	struct vm *vm = arg;
	struct ibuf *body = chan_body();

	if (ibuf_add_n32(body, handled) == -1) {
		ibuf_free(body);
		return;
	}
	chan_send(vm->parent, VM_PANICKED, vm->id, -1, body);
}

static const struct machine_ops machine_callbacks = {
	.ended = vm_set_end,
	.button_read = on_button_read,
	.kick = on_kick,
	.hold = on_hold,
	.panicked = on_panicked,
	.flash_changed = vm_flash_changed,
};

static const struct vcpu_ops vcpu_callbacks = {
	.ended = vm_set_end,
};

static void
on_broken(void *arg, const char *why)
{
	struct vm_dev *d = arg;

	vm_report(d->vm, VM_DEVSTATE, d->index, why);
}

/* The parent's messages */

static int
on_conf(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct vm *vm = arg;

	if (vm->has_conf || ibuf_get_n32(body, &vm->id) == -1 ||
	    vmconf_get(body, &vm->conf) < 0)
		return -EBADMSG;
	vm->has_conf = true;
	return 0;
}

static int
on_fd(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct vm *vm = arg;
	uint32_t kind, index;
	int *slot = NULL;

	if (ibuf_get_n32(body, &kind) == -1 ||
	    ibuf_get_n32(body, &index) == -1 || vm->go)
		goto bad;
	switch (kind) {
	case VM_FD_HYPERVISOR:
		slot = &vm->hypervisor;
		break;
	case VM_FD_KERNEL:
		slot = &vm->kernel;
		break;
	case VM_FD_INITRD:
		slot = &vm->initrd;
		break;
	case VM_FD_FLOPPY:
		slot = &vm->floppy;
		break;
	case VM_FD_EFIVARS:
		slot = &vm->efivars;
		break;
	case VM_FD_CONSOLE:
		if (index < VM_TTYS)
			slot = &vm->console[index];
		break;
	case VM_FD_SCREEN:
		slot = &vm->screen;
		break;
	case VM_FD_VGABIOS:
		slot = &vm->vgabios;
		break;
	case VM_FD_NETROM:
		slot = &vm->netrom;
		break;
	case VM_FD_STREAM:
		vm->stream = true;
		slot = &vm->state;
		break;
	case VM_FD_STATE:
		slot = &vm->state;
		break;
	case VM_FD_FAULTS:
		slot = &vm->faults;
		break;
	case VM_FD_DISK:
		if (index < VM_BLKS_MAX)
			slot = &vm->disk[index].fd;
		break;
	case VM_FD_NIC:
		if (index < VM_NICS_MAX)
			slot = &vm->nic[index].fd;
		break;
	case VM_FD_CDROM:
		if (index == 0)
			slot = &vm->cdrom.fd;
		break;
	}
	if (slot == NULL || *slot != -1)
		goto bad;
	*slot = fd;
	return 0;

bad:
	close(fd);
	return -EBADMSG;
}

static int
on_go(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct vm *vm = arg;

	if (vm->go || !vm->has_conf)
		return -EBADMSG;
	vm->go = true;
	return 0;
}

/* A guest whose clocks cannot be set back sees the time that has passed. */
void
vm_set_paused(struct vm *vm, bool on)
{
	int e;

	if (on) {
		vcpu_park(vm->vcpus);
		e = vmm_clock_stop(vm->vmm);
		machine_pause(vm->machine);
	} else {
		vm_resume_devices(vm);
		machine_resume(vm->machine);
		e = vmm_clock_go(vm->vmm);
		vmmci_sync(vm->ci);
		vcpu_go(vm->vcpus);
	}
	if (e < 0)
		log_warnx("pause: clocks: %s", strerrordesc_np(-e));
	vm->paused = on;
}

static int
on_pause(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct vm *vm = arg;
	uint32_t on;

	if (ibuf_get_n32(body, &on) == -1 || on > 1 || vm->vcpus == NULL)
		return -EBADMSG;
	if (vm_frozen(vm))
		vm->save_was_paused = on == 1; /* once it is saved */
	else if (vm->paused != (on == 1)) {
		vm->handed = false; /* says a person, and the parent's locks */
		vm_set_paused(vm, on == 1);
	}
	vm_report_paused(vm);
	return 0;
}

static int
on_keys(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct vm *vm = arg;
	uint32_t key[SCREEN_KEYS_MAX], n;

	if (screen_get_keys(body, key, &n) != 0 || vm->vcpus == NULL)
		return -EBADMSG;
	machine_keys(vm->machine, key, n);
	return 0;
}

static int
on_ask(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct vm *vm = arg;
	struct ibuf *answer;

	if (vm->vcpus == NULL)
		return -EBADMSG;
	answer = chan_body();
	if (ibuf_add_n32(answer,
		vm_frozen(vm) ? vm->save_was_paused : vm->paused) == -1 ||
	    ibuf_add_n64(answer, viobal_given(vm->bal)) == -1) {
		ibuf_free(answer);
		return 0;
	}
	chan_send(vm->parent, VM_STATE, id, -1, answer);
	return 0;
}

static int
on_memory(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct vm *vm = arg;
	uint64_t bytes;

	if (ibuf_get_n64(body, &bytes) == -1 || vm->vcpus == NULL)
		return -EBADMSG;
	viobal_keep(vm->bal, bytes);
	return 0;
}

static int
on_shutdown(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct vm *vm = arg;

	if (vm->vcpus == NULL)
		return -EBADMSG;
	if (vm->handed)
		return 0;
	/* Only a guest that runs can see it. */
	if (vm_frozen(vm)) {
		vm->save_was_paused = false;
	} else if (vm->paused) {
		vm_set_paused(vm, false);
		vm_report_paused(vm);
	}
	if (!vmmci_shutdown(vm->ci))
		machine_power_button(vm->machine);
	return 0;
}

static int
on_verbose(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	uint32_t verbose;

	if (ibuf_get_n32(body, &verbose) == -1)
		return -EBADMSG;
	log_setverbose(verbose != 0);
	return 0;
}

/* One row per message of VM_REQUESTS. */
static const struct chan_row rows[] = {
	{ VM_CONF, "VM_CONF", CHAN_NOFD, on_conf },
	{ VM_FD, "VM_FD", CHAN_FD, on_fd },
	{ VM_GO, "VM_GO", CHAN_NOFD, on_go },
	{ VM_SHUTDOWN, "VM_SHUTDOWN", CHAN_NOFD, on_shutdown },
	{ VM_PAUSE, "VM_PAUSE", CHAN_NOFD, on_pause },
	{ VM_SAVE, "VM_SAVE", CHAN_FD, vm_on_save },
	{ VM_SNAPSHOT, "VM_SNAPSHOT", CHAN_FD, vm_on_snapshot },
	{ VM_SNAPCHANGE, "VM_SNAPCHANGE", CHAN_NOFD, vm_on_snapchange },
	{ VM_SEND, "VM_SEND", CHAN_FD, vm_on_send },
	{ VM_CANCEL, "VM_CANCEL", CHAN_NOFD, vm_on_cancel },
	{ VM_LOCKED, "VM_LOCKED", CHAN_NOFD, vm_on_locked },
	{ VM_KEYS, "VM_KEYS", CHAN_NOFD, on_keys },
	{ VM_ASK, "VM_ASK", CHAN_NOFD, on_ask },
	{ VM_MEMORY, "VM_MEMORY", CHAN_NOFD, on_memory },
	{ VM_VERBOSE, "VM_VERBOSE", CHAN_NOFD, on_verbose },
#ifdef VMD_CONFINE_TEST
	CONFINE_ROW,
#endif
};

/* A guest does not outlive the last who has the other end: parent, keeper. */
static void
on_closed(void *arg, const char *why)
{
	struct vm *vm = arg;

	if (*why != '\0')
		log_warnx("parent: %s", why);
	event_base_loopbreak(vm->base);
}

static const struct chan_ops parent_ops = {
	.rows = rows,
	.nrows = sizeof(rows) / sizeof(rows[0]),
	.closed = on_closed,
};

/* Set-up */

static unsigned
has_drive(const struct vm *vm)
{
	return vm->conf.cdrom[0] != '\0';
}

static bool
has_screen(const struct vm *vm)
{
	return (vm->conf.flags & VM_F_SCREEN) != 0;
}

static int
check_conf(struct vm *vm)
{
	struct sysinfo si;
	unsigned i;

	if (vm->hypervisor == -1)
		return vm_fail(vm, -EINVAL, "incomplete set-up");
	for (i = 0; i < VM_TTYS; i++)
		if (vmconf_has_tty(&vm->conf, i) != (vm->console[i] != -1))
			return vm_fail(vm, -EINVAL, "console %s: not as said",
			    vm_tty_names[i]);
	if (has_screen(vm) && vm->screen == -1)
		return vm_fail(vm, -EINVAL, "screen: no page");
	if (vm->kernel == -1)
		return vm_fail(vm, -EINVAL, "no kernel to boot");
	for (i = 0; i < vmconf_nblks(&vm->conf); i++) {
		if (vm->disk[i].fd == -1)
			return vm_fail(vm, -EINVAL, "disk %u: no device", i);
	}
	for (i = 0; i < vm->conf.nnics; i++) {
		if (vm->nic[i].fd == -1)
			return vm_fail(
			    vm, -EINVAL, "interface %u: no device", i);
	}
	if (has_drive(vm) && vm->cdrom.fd == -1)
		return vm_fail(vm, -EINVAL, "cdrom: no device");
	if (sysinfo(&si) == 0 && vm->conf.memory / si.mem_unit > si.totalram)
		return vm_fail(vm, -ENOMEM,
		    "memory: %llu MiB is more than the host's %llu MiB",
		    (unsigned long long)(vm->conf.memory / MIB),
		    (unsigned long long)si.totalram * si.mem_unit / MIB);
	return 0;
}

static int
receive(struct vm *vm)
{
	int r;

	while (!vm->go) {
		if ((r = chan_recv(vm->parent, SETUP_MS)) < 0) {
			log_warnx("set-up: %s", strerrordesc_np(-r));
			return 1;
		}
	}
	return check_conf(vm);
}

static void
confine(void)
{
	static const struct sandbox box = {
		.user = "_vmd",
		.nofile = NOFILE,
	};

	sandbox_confine(&box);
}

/* Without firmware, and without what the screen's memory is instead of. */
static int
map_memory(struct vm *vm)
{
	const struct gmem_region *low = &vm->mem.region[0];
	const struct gmem_region *high = &vm->mem.region[1];
	int e;

	if (!has_screen(vm))
		return vmm_set_memory(vm->vmm, &vm->mem);
	if (low->gpa != 0 || low->len <= VGA_MEM_END)
		return -EINVAL;
	e = vmm_set_slot(
	    vm->vmm, 0, (struct gpa){ 0 }, VGA_MEM_BASE, low->host, false);
	if (e == 0)
		e = vmm_set_slot(vm->vmm, 1, (struct gpa){ VGA_MEM_END },
		    low->len - VGA_MEM_END, low->host + VGA_MEM_END, false);
	if (e == 0 && vm->mem.nregions > 1)
		e = vmm_set_slot(vm->vmm, 2, (struct gpa){ high->gpa },
		    high->len, high->host, false);
	return e;
}

/* RAM: not in dumps, not inherited, in huge pages where the host likes. */
static int
make_memory(struct vm *vm)
{
	struct gmem_region *r;
	unsigned i;
	int e;

	if ((e = gmem_create(&vm->mem, vm->conf.memory)) < 0)
		return vm_fail(vm, e, "memory: %s", strerrordesc_np(-e));
	for (i = 0; i < vm->mem.nregions; i++) {
		r = &vm->mem.region[i];
		if ((e = sandbox_hide(r->host, r->len)) < 0)
			return vm_fail(
			    vm, e, "memory: %s", strerrordesc_np(-e));
		(void)madvise(r->host, r->len, MADV_HUGEPAGE);
	}
	if (vm->rom == NULL && (e = map_memory(vm)) < 0)
		return vm_fail(vm, e, "memory: refused by the hypervisor: %s",
		    strerrordesc_np(-e));
	return 0;
}

/* Only firmware can do something with it. */
static int
check_floppy(struct vm *vm)
{
	if (vm->floppy == -1)
		return 0;
	if (vm->rom_len == 0)
		return vm_fail(vm, -EINVAL,
		    "floppy %s: what is booted is no firmware",
		    vm->conf.floppy);
	if ((vm->floppy_len = load_floppy_size(vm->floppy)) == 0)
		return vm_fail(vm, -EINVAL,
		    "floppy %s: not as long as a floppy disk", vm->conf.floppy);
	return 0;
}

/* Firmware: there is a ROM, which is filled after the seal. */
static int
make_rom(struct vm *vm)
{
	int status;
	void *p;

	vm->rom_len = load_is_firmware(vm->kernel);
	if ((status = check_floppy(vm)) != 0 ||
	    (status = vm_flash_make(vm)) != 0 || vm->rom_len == 0)
		return status;
	if (vm->initrd != -1 || vm->conf.cmdline[0] != '\0')
		return vm_fail(
		    vm, -EINVAL, "firmware takes no initrd or cmdline");
	p = mmap(NULL, vm->rom_len, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return vm_fail(
		    vm, -errno, "firmware: %s", strerrordesc_np(errno));
	vm->rom = p;
	return 0;
}

static int
make_vmm(struct vm *vm)
{
	const char *why, *missing;
	int e;

	e = vmm_create(&vm->vmm, fd_take(&vm->hypervisor), vm->conf.cpus, &why);
	if (e < 0)
		return vm_fail(vm, e, "%s: %s", why, strerrordesc_np(-e));
	e = vcpu_set_up(vm->vmm, vm->conf.cpu, &missing);
	if (e < 0 && missing != NULL)
		return vm_fail(vm, e, "cpu %s: this host has no %s",
		    vmconf_cpu_name(vm->conf.cpu), missing);
	if (e < 0)
		return vm_fail(vm, e, "vCPUs refused by the hypervisor: %s",
		    strerrordesc_np(-e));
	if ((e = make_memory(vm)) == 0)
		vm_make_pager(vm);
	return e;
}

static int
make_machine(struct vm *vm)
{
	struct machine_conf mc = {
		.vmm = vm->vmm,
		.mem = &vm->mem,
		.name = vm->conf.name,
		.base = vm->base,
		.cpus = vm->conf.cpus,
		.rom = vm->rom,
		.rom_len = vm->rom_len,
		.flash = vm->flash,
		.flash_len = vm->flash_len,
		.ops = &machine_callbacks,
		.arg = vm,
	};
	void *page = NULL;
	unsigned i;
	int e;

	if ((e = genid_new(&mc.genid, vm->vmm, vm->conf.name)) < 0)
		return vm_fail(vm, e, "generation id: %s", strerrordesc_np(-e));
	if (has_screen(vm) &&
	    (e = page_attach(fd_take(&vm->screen), true, &page)) < 0)
		return vm_fail(vm, e, "screen: %s", strerrordesc_np(-e));
	mc.screen = page;
	for (i = 0; i < VM_TTYS; i++)
		mc.console[i] = fd_take(&vm->console[i]);
	if ((e = machine_new(&vm->machine, &mc)) < 0)
		return vm_fail(vm, e, "machine: %s", strerrordesc_np(-e));
	vm->rnd = viornd_new(machine_pci(vm->machine),
	    machine_virtio(vm->machine), &vm->mem, "viornd");
	if (vm->rnd == NULL)
		return vm_fail(
		    vm, -errno, "viornd: %s", strerrordesc_np(errno));
	return 0;
}

static int
make_devices(struct vm *vm, struct vm_dev *dev, unsigned n, uint16_t type,
    uint32_t class)
{
	char why[WHY_MAX];
	struct vm_dev *d;
	unsigned i;
	int e;

	for (i = 0; i < n; i++) {
		struct virtio_chan_conf c;

		d = &dev[i];
		c = (struct virtio_chan_conf){
			.pci = machine_pci(vm->machine),
			.host = machine_virtio(vm->machine),
			.mem = &vm->mem,
			.pager = vm->pager,
			.name = d->name,
			.type = type,
			.class = class,
			.broken = on_broken,
			.dead = on_broken,
			.drained = vm_drained,
			.snapped = vm_snapped,
			.mirrored = type == TYPE_BLOCK ? vm_mirrored : NULL,
			.arg = d,
		};
		e = virtio_chan_new(
		    &d->front, fd_take(&d->fd), &c, why, sizeof(why));
		if (e < 0)
			return vm_fail(vm, e, "%s: %s", d->name, why);
	}
	return 0;
}

/* Behind all others on the bus, whose places have names in guests. */
static int
make_balloon(struct vm *vm)
{
	const struct viobal_conf c = {
		.pci = machine_pci(vm->machine),
		.host = machine_virtio(vm->machine),
		.mem = &vm->mem,
		.name = "viobal",
		.discard = vm_discard,
		.told = report_given,
		.arg = vm,
	};

	if ((vm->bal = viobal_new(&c)) == NULL)
		return vm_fail(
		    vm, -errno, "viobal: %s", strerrordesc_np(errno));
	return 0;
}

static int
host_time(struct timeval *tv)
{
	return gettimeofday(tv, NULL);
}

static int
make_control(struct vm *vm)
{
	const struct vmmci_conf c = {
		.pci = machine_pci(vm->machine),
		.host = machine_virtio(vm->machine),
		.name = "vmmci",
		.acked = on_button_read,
		.now = host_time,
		.arg = vm,
	};

	if ((vm->ci = vmmci_new(&c)) == NULL)
		return vm_fail(vm, -errno, "vmmci: %s", strerrordesc_np(errno));
	return 0;
}

static int
make_virtio_console(struct vm *vm)
{
	if (!vmconf_has_tty(&vm->conf, VM_TTY_VIRTIO))
		return 0;
	vm->con = viocon_new(machine_pci(vm->machine),
	    machine_virtio(vm->machine), &vm->mem,
	    machine_console(vm->machine, VM_TTY_VIRTIO), "viocon");
	return vm->con == NULL
	    ? vm_fail(vm, -errno, "viocon: %s", strerrordesc_np(errno))
	    : 0;
}

static int
make_threads(struct vm *vm)
{
	int e;

	vm->end_event = event_new(vm->base, -1, EV_PERSIST, on_end, vm);
	if (vm->end_event == NULL)
		return vm_fail(
		    vm, -ENOMEM, "event: %s", strerrordesc_np(ENOMEM));
	e = vcpu_create(&vm->vcpus, vm->vmm, vm->machine, &vcpu_callbacks, vm);
	if (e < 0)
		return vm_fail(vm, e, "vCPU threads: %s", strerrordesc_np(-e));
	return 0;
}

static int
seal(struct vm *vm)
{
	struct sandbox_ioctl list[SEAL_MAX];
	size_t n;
	int e;

	if ((e = chan_attach(vm->parent, vm->base)) < 0)
		return vm_fail(vm, e, "channel: %s", strerrordesc_np(-e));
	if ((e = chan_only_receive_fds(vm->parent)) != 0)
		return vm_fail(vm, e, "channel: %s", strerrordesc_np(-e));
	n = vmm_seal_list(vm->vmm, list, SEAL_MAX);
	if (vm->pager != NULL)
		n += pager_seal(vm->pager, list + n, SEAL_MAX - n);
	sandbox_seal("stdio " /* channels, console, eventfds, timer, random */
		     "recvfd " /* a file to save the state to */
		     "disk " /* pread of the kernel and the initrd; efivars */
		     "vmm", /* run the vCPUs, interrupts, ioeventfds; memory
			       that comes out of a saved state's file */
	    list, n);
	return 0;
}

/* What the guest gets is a copy that it may write to. */
static int
give_floppy(struct vm *vm)
{
	char why[LOAD_WHY_MAX];
	uint8_t *image;
	int e, status = 0;

	if (vm->floppy == -1)
		return 0;
	if ((image = malloc(vm->floppy_len)) == NULL)
		return vm_fail(
		    vm, -errno, "floppy: %s", strerrordesc_np(errno));
	if ((e = load_file(vm->floppy, "floppy", image, vm->floppy_len, why)) <
	    0)
		status = vm_fail(vm, e, "%s", why);
	else if ((e = machine_floppy(vm->machine, image, vm->floppy_len)) < 0)
		status = vm_fail(vm, e, "floppy: %s", strerrordesc_np(-e));
	free(image);
	close(fd_take(&vm->floppy));
	return status;
}

/* The boot processor is as its reset left it: at the ROM's last 16 bytes. */
static int
boot_firmware(struct vm *vm)
{
	char why[LOAD_WHY_MAX];
	int e;

	if ((e = load_file(vm->kernel, "firmware", vm->rom, vm->rom_len, why)) <
	    0)
		return vm_fail(vm, e, "%s", why);
	close(fd_take(&vm->kernel));
	if ((e = vm_flash_fill(vm)) != 0)
		return e;
	if ((has_screen(vm) && (e = vm_video_bios(vm)) != 0) ||
	    (e = vm_net_rom(vm)) != 0)
		return e;
	if ((e = give_floppy(vm)) != 0)
		return e;
	if ((e = machine_boot_order(vm->machine, vm->conf.bootdev)) < 0)
		return vm_fail(vm, e, "boot order: %s", strerrordesc_np(-e));
	return 0;
}

static int
boot(struct vm *vm)
{
	struct load_in in = {
		.mem = &vm->mem,
		.kernel = vm->kernel,
		.initrd = vm->initrd,
		.cmdline = vm->conf.cmdline,
		.screen = has_screen(vm),
	};
	struct load_out out;
	char why[LOAD_WHY_MAX];
	int e;

	if ((e = machine_tables(vm->machine, &in.rsdp)) < 0)
		return vm_fail(vm, e, "machine: %s", strerrordesc_np(-e));
	if ((e = load_kernel(&in, &out, why)) < 0)
		return vm_fail(vm, e, "%s", why);
	close(fd_take(&vm->kernel));
	fd_close(&vm->vgabios);
	fd_close(&vm->netrom);
	if (vm->initrd != -1)
		close(fd_take(&vm->initrd));
	if ((e = vcpu_boot(vm->vmm, &vm->mem, &out)) < 0)
		return vm_fail(
		    vm, e, "boot processor: %s", strerrordesc_np(-e));
	return 0;
}

static int
build(struct vm *vm)
{
	int status;

	evthread_use_pthreads();
	if ((vm->base = event_base_new()) == NULL)
		return vm_fail(
		    vm, -ENOMEM, "event loop: %s", strerrordesc_np(ENOMEM));
	if ((status = make_rom(vm)) != 0 || (status = make_vmm(vm)) != 0 ||
	    (status = make_machine(vm)) != 0 ||
	    (status = make_devices(
		 vm, vm->nic, vm->conf.nnics, TYPE_NET, CLASS_NET)) != 0 ||
	    (status = make_devices(vm, vm->disk, vmconf_nblks(&vm->conf),
		 TYPE_BLOCK, CLASS_SCSI)) != 0 ||
	    (status = make_devices(
		 vm, &vm->cdrom, has_drive(vm), TYPE_SCSI, CLASS_SCSI)) != 0 ||
	    (status = make_balloon(vm)) != 0 ||
	    (status = make_control(vm)) != 0 ||
	    (status = make_virtio_console(vm)) != 0 ||
	    (status = make_threads(vm)) != 0 || (status = seal(vm)) != 0)
		return status;
	if (vm->rom != NULL && (status = boot_firmware(vm)) != 0)
		return status;
	if (vm->state != -1)
		return vm_go_on(vm);
	return vm->rom == NULL ? boot(vm) : 0;
}

static void
init_dev(struct vm *vm, struct vm_dev *d, const char *type, unsigned n,
    unsigned index)
{
	d->vm = vm;
	d->index = index;
	d->fd = -1;
	snprintf(d->name, sizeof(d->name), "%s%u", type, n);
}

static void
init(struct vm *vm)
{
	unsigned i;

	memset(vm, 0, sizeof(*vm));
	vm->hypervisor = vm->kernel = vm->initrd = vm->floppy = -1;
	vm->screen = vm->vgabios = vm->netrom = vm->efivars = -1;
	for (i = 0; i < VM_TTYS; i++)
		vm->console[i] = -1;
	vm->state = vm->save = vm->faults = -1;
	vm->mem.fd = -1;
	pthread_mutex_init(&vm->end_lock, NULL);
	for (i = 0; i < VM_BLKS_MAX; i++)
		init_dev(vm, &vm->disk[i], "vioblk", i, i);
	for (i = 0; i < VM_NICS_MAX; i++)
		init_dev(vm, &vm->nic[i], "vionet", i, VM_DEV_NIC + i);
	init_dev(vm, &vm->cdrom, "vioscsi", 0, VM_DEV_CDROM);
}

/* The vCPUs stop first, so that the last output is out before the report. */
static void
finish(struct vm *vm)
{
	vcpu_stop(vm->vcpus);
	machine_flush(vm->machine);
	vm_flash_finish(vm);
	if (vm->ended)
		vm_report(vm, VM_ENDED, vm->end, vm->detail);
	chan_flush(vm->parent, FLUSH_MS);
}

/*
 * The first process of a pid namespace is ended by a signal only when it
 * handles it.  There is no state worth an orderly end: the disks have their
 * own processes.
 */
static void
on_term(int sig)
{
	_exit(0);
}

int
vm_main(void)
{
	struct vm vm;
	int status;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, on_term);
	init(&vm);
	if ((vm.parent = chan_new(NULL, SPAWN_FD, &parent_ops, &vm)) == NULL) {
		log_warn("channel");
		return 1;
	}
	if ((status = receive(&vm)) != 0)
		return status;
	confine();
	if ((status = build(&vm)) != 0)
		return status;
	chan_send(vm.parent, VM_READY, vm.id, -1, NULL);
	if (vm.paused)
		vm_set_paused(&vm, false);
	else
		vcpu_go(vm.vcpus);
	if (vm.pager != NULL)
		pager_hurry(vm.pager);
	event_base_dispatch(vm.base);
	finish(&vm);
	return 0;
}
