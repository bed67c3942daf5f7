/* SPDX-License-Identifier: ISC */
/*
 * Resources and processes of a VM.
 *
 * Invariants
 *  1. Everything a VM uses is opened here, with root's rights, after the
 *     client's right to the VM was checked; children open nothing.  What a
 *     user describes who is not root is opened with that user's rights; what
 *     cloud-init is told only vm.conf describes.
 *  2. A disk's descriptor is used by its vioblk alone.  The parent's
 *     duplicates are there to unlock the image, whoever lets go of it last.
 */
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "asuser.h"
#include "display.h"
#include "efivars.h"
#include "fd.h"
#include "image.h"
#include "imsg.h"
#include "link.h"
#include "log.h"
#include "msg.h"
#include "netproc.h"
#include "page.h"
#include "pci.h"
#include "seed.h"
#include "spawn.h"
#include "start.h"
#include "uffd.h"
#include "vga.h"

#define TUN "/dev/net/tun"

static const char *const usual_devices[] = { "/dev/vmm", "/dev/kvm" };

void
start_fds_init(struct start_fds *f)
{
	unsigned i;

	f->hypervisor = f->kernel = f->initrd = -1;
	f->floppy = f->efivars = f->vgabios = f->netrom = -1;
	f->state = f->faults = -1;
	f->stream = false;
	f->revert[0] = '\0';
	for (i = 0; i < VM_DISKS_MAX; i++)
		f->disk[i].n = 0;
	for (i = 0; i < SEED_FILES; i++)
		f->seed[i] = -1;
}

void
start_fds_close(struct start_fds *f)
{
	unsigned i;

	fd_close(&f->hypervisor);
	fd_close(&f->kernel);
	fd_close(&f->initrd);
	fd_close(&f->floppy);
	fd_close(&f->efivars);
	fd_close(&f->vgabios);
	fd_close(&f->netrom);
	fd_close(&f->state);
	fd_close(&f->faults);
	for (i = 0; i < VM_DISKS_MAX; i++)
		chain_close(&f->disk[i]);
	for (i = 0; i < SEED_FILES; i++)
		fd_close(&f->seed[i]);
}

int
start_hypervisor(const char *path, int *fd, const char **name, struct fail *why)
{
	size_t i;

	if (path[0] != '\0') {
		*name = path;
		*fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
		if (*fd == -1)
			return fail_set(why, errno, "hypervisor %s: %s", path,
			    strerror(errno));
		return 0;
	}
	for (i = 0; i < sizeof(usual_devices) / sizeof(usual_devices[0]); i++) {
		*name = usual_devices[i];
		*fd = open(*name, O_RDWR | O_CLOEXEC | O_NOCTTY);
		if (*fd != -1)
			return 0;
		if (errno != ENOENT)
			return fail_set(why, errno, "hypervisor %s: %s", *name,
			    strerror(errno));
	}
	return fail_set(why, ENOENT,
	    "no hypervisor device: neither /dev/vmm nor /dev/kvm exists");
}

static int
check_memory(const struct vmconf *c, struct fail *why)
{
	struct sysinfo si;
	uint64_t total;

	if (sysinfo(&si) == -1)
		return fail_set(why, errno, "sysinfo: %s", strerror(errno));
	total = (uint64_t)si.totalram * si.mem_unit;
	if (c->memory <= total)
		return 0;
	return fail_set(why, ENOMEM, "memory of %lluM: the host has only %lluM",
	    (unsigned long long)c->memory >> 20,
	    (unsigned long long)total >> 20);
}

bool
start_boots(const struct vmconf *c)
{
	return c->ndisks > 0 || c->cdrom[0] != '\0' || c->floppy[0] != '\0';
}

/* Said once more than by the parser: of instances, and by clients. */
static int
check_boot_device(
    const struct start_fds *f, const struct vmconf *c, struct fail *why)
{
	const char *lacks = vmconf_bootdev_lacks(c);

	if (lacks != NULL)
		return fail_set(why, EINVAL, "boot device %s: the vm has no %s",
		    lacks, lacks);
	if (c->bootdev == VM_BOOT_NET && f->kernel == -1 &&
	    c->kernel[0] == '\0')
		return fail_set(
		    why, EINVAL, "boot device net: no kernel given");
	return 0;
}

/* Where no kernel is given, the firmware boots one of these. */
static int
open_firmware(struct start_fds *f, const struct vmconf *c, struct fail *why)
{
	const char *path =
	    c->efivars[0] != '\0' ? EFIVARS_FIRMWARE : START_FIRMWARE;

	if (!start_boots(c))
		return fail_set(why, CTL_E_FIRMWARE,
		    "no kernel given, and no disk to boot from");
	f->kernel = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (f->kernel == -1)
		return fail_set(why, CTL_E_FIRMWARE,
		    "no kernel given, and firmware %s: %s", path,
		    strerror(errno));
	return image_check_fd(f->kernel, "firmware", why);
}

static int
open_boot(struct start_fds *f, const struct vmconf *c, struct fail *why)
{
	int error = check_boot_device(f, c, why);

	if (error != 0)
		return error;
	if (f->kernel != -1)
		error = image_check_fd(f->kernel, "kernel", why);
	else if (c->kernel[0] != '\0')
		error = image_open_file(c->kernel, "kernel", &f->kernel, why);
	else
		error = open_firmware(f, c, why);
	if (error == 0 && c->floppy[0] != '\0')
		error = image_open_file(c->floppy, "floppy", &f->floppy, why);
	if (error != 0)
		return error;
	if (f->initrd != -1)
		return image_check_fd(f->initrd, "initrd", why);
	if (c->initrd[0] != '\0')
		return image_open_file(c->initrd, "initrd", &f->initrd, why);
	return 0;
}

/* With root's rights: only vm.conf names it. */
static int
open_efivars(struct start_fds *f, const struct vmconf *c, struct fail *why)
{
	if (c->efivars[0] == '\0')
		return 0;
	return efivars_open(c->efivars,
	    c->kernel[0] != '\0' ? c->kernel : EFIVARS_FIRMWARE, &f->efivars,
	    why);
}

/* Only firmware misses it, and what that is the vm process finds out. */
static int
open_vgabios(struct start_fds *f, const struct vmconf *c, struct fail *why)
{
	if ((c->flags & VM_F_SCREEN) == 0)
		return 0;
	f->vgabios = open(VGA_BIOS, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (f->vgabios == -1)
		return 0;
	return image_check_fd(f->vgabios, "video BIOS", why);
}

/* The same: a kernel that is to think so does without. */
static int
open_netrom(struct start_fds *f, const struct vmconf *c, struct fail *why)
{
	if (c->bootdev != VM_BOOT_NET)
		return 0;
	f->netrom = open(NET_ROM, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (f->netrom == -1)
		return 0;
	return image_check_fd(f->netrom, "network ROM", why);
}

/* Without, the memory is read at once. */
static void
open_faults(struct start_fds *f, const struct vmconf *c)
{
	if (f->state == -1 || f->stream)
		return;
	f->faults = open(UFFD_DEVICE, O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (f->faults == -1)
		log_debug("%s: memory is read at once: " UFFD_DEVICE ": %s",
		    c->name, strerror(errno));
}

int
start_as_owner(
    struct asuser *as, const struct vmconf *c, uint32_t conf, struct fail *why)
{
	int error;

	as->on = false;
	if ((c->flags & VM_F_ADHOC) == 0 || c->uid == 0 ||
	    (c->flags & conf) != 0)
		return 0;
	if ((error = asuser_begin(as, c->uid)) != 0)
		return fail_set(why, -error, "%s", strerror(-error));
	return 0;
}

static int
open_files(struct start_fds *f, const struct vmconf *c, struct fail *why)
{
	struct asuser as;
	uint32_t i;
	int error;

	if ((error = start_as_owner(&as, c, VM_F_CONF_BOOT, why)) != 0)
		return error;
	error = open_boot(f, c, why);
	asuser_end(&as);
	if (error != 0 || (error = seed_open(f->seed, c, why)) != 0 ||
	    (error = start_as_owner(&as, c, 0, why)) != 0)
		return error;
	for (i = 0; i < c->ndisks && error == 0; i++)
		error = f->stream
		    ? chain_open_free(&f->disk[i], &c->disk[i], why)
		    : chain_open(&f->disk[i], &c->disk[i], why);
	asuser_end(&as);
	return error;
}

int
start_open(struct start_fds *f, const struct vmconf *c, const char *hypervisor,
    struct fail *why)
{
	const char *name;
	int error;

	if ((c->flags & VM_F_SEV) != 0)
		return fail_set(why, EOPNOTSUPP, "%s: not available here",
		    (c->flags & VM_F_SEVES) != 0 ? "seves" : "sev");
	if ((error = check_memory(c, why)) != 0)
		return error;
	if ((error = open_files(f, c, why)) != 0 ||
	    (error = open_efivars(f, c, why)) != 0 ||
	    (error = open_vgabios(f, c, why)) != 0 ||
	    (error = open_netrom(f, c, why)) != 0)
		return error;
	open_faults(f, c);
	return start_hypervisor(hypervisor, &f->hypervisor, &name, why);
}

/*
 * Namespaces need root; without it (unit tests) the children have none, and
 * sandbox_confine() in a real role then refuses to go on.
 */
static int
namespaces(const char *role)
{
	int ns = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;

	if (geteuid() != 0)
		return 0;
	/* passt makes its own; it needs the host's network and files. */
	if (strcmp(role, "passt") == 0)
		return 0;
	/* The host's interfaces are what netcfg is for. */
	return strcmp(role, "netcfg") == 0 ? ns : ns | CLONE_NEWNET;
}

int
start_child(struct event_base *base, struct child *ch, const char *role,
    const char *title, const char *tag, const struct chan_ops *ops,
    struct fail *why)
{
	struct spawn s = { role, title, tag, namespaces(role),
		ch->vm != NULL ? ch->vm->run.group : -1 };
	int fd = -1;
	pid_t pid;

	if ((pid = spawn_child(&s, &fd)) < 0)
		return fail_set(
		    why, -pid, "cannot start a process: %s", strerror(-pid));
	ch->pid = pid;
	ch->status = 0;
	if ((ch->chan = chan_new(base, fd, ops, ch)) == NULL)
		return fail_set(why, errno, "channel: %s", strerror(errno));
	return 0;
}

static int
send_fd(struct chan *chan, uint32_t type, uint32_t kind, const uint32_t *index,
    int fd)
{
	struct ibuf *body = chan_body();

	if (ibuf_add_n32(body, kind) == -1 ||
	    (index != NULL && ibuf_add_n32(body, *index) == -1)) {
		ibuf_free(body);
		fd_close(&fd);
		return -ENOMEM;
	}
	return chan_send(chan, type, 0, fd, body);
}

static int
send_vm_fd(struct chan *chan, enum vm_fdkind kind, uint32_t index, int fd)
{
	return send_fd(chan, VM_FD, kind, &index, fd);
}

static int
send_vm_conf(struct vm *vm)
{
	struct ibuf *body = chan_body();

	if (ibuf_add_n32(body, vm->id) == -1 ||
	    vmconf_put(body, &vm->conf) != 0) {
		ibuf_free(body);
		return -ENOMEM;
	}
	return chan_send(vm->run.vm.chan, VM_CONF, vm->id, -1, body);
}

static int
send_revert(struct vm *vm, const char *tag)
{
	struct ibuf *body = chan_body();

	if (ibuf_add_n32(body, SNAP_REVERT) == -1 ||
	    ctl_put_str(body, tag) != 0 || ibuf_add_n64(body, 0) == -1 ||
	    ibuf_add_n32(body, 0) == -1) {
		ibuf_free(body);
		return -ENOMEM;
	}
	return chan_send(vm->run.vm.chan, VM_SNAPCHANGE, 0, -1, body);
}

static int
send_consoles(struct vm *vm)
{
	unsigned i;
	int error = 0, tty;

	for (i = 0; i < VM_TTYS && error == 0; i++) {
		if (!vmconf_has_tty(&vm->conf, i))
			continue;
		if ((tty = fcntl(vm->tty[i].master, F_DUPFD_CLOEXEC, 0)) == -1)
			return -errno;
		error = send_vm_fd(vm->run.vm.chan, VM_FD_CONSOLE, i, tty);
	}
	return error;
}

static int
send_vm_files(struct vm *vm, struct start_fds *f)
{
	struct chan *chan = vm->run.vm.chan;
	int error;

	error = send_vm_fd(chan, VM_FD_HYPERVISOR, 0, fd_take(&f->hypervisor));
	if (error == 0)
		error = send_vm_fd(chan, VM_FD_KERNEL, 0, fd_take(&f->kernel));
	if (error == 0 && f->initrd != -1)
		error = send_vm_fd(chan, VM_FD_INITRD, 0, fd_take(&f->initrd));
	if (error == 0 && f->floppy != -1)
		error = send_vm_fd(chan, VM_FD_FLOPPY, 0, fd_take(&f->floppy));
	if (error == 0 && f->efivars != -1)
		error =
		    send_vm_fd(chan, VM_FD_EFIVARS, 0, fd_take(&f->efivars));
	if (error != 0)
		return error;
	if (f->vgabios != -1 &&
	    (error = send_vm_fd(
		 chan, VM_FD_VGABIOS, 0, fd_take(&f->vgabios))) != 0)
		return error;
	if (f->netrom != -1 &&
	    (error = send_vm_fd(chan, VM_FD_NETROM, 0, fd_take(&f->netrom))) !=
		0)
		return error;
	if (f->state != -1 &&
	    (error = send_vm_fd(chan, f->stream ? VM_FD_STREAM : VM_FD_STATE, 0,
		 fd_take(&f->state))) != 0)
		return error;
	if (f->faults != -1 &&
	    (error = send_vm_fd(chan, VM_FD_FAULTS, 0, fd_take(&f->faults))) !=
		0)
		return error;
	if ((vm->conf.flags & VM_F_SCREEN) != 0 &&
	    (error = display_make(&vm->run.vm)) != 0)
		return error;
	return send_consoles(vm);
}

static_assert(VM_DISKS_MAX <= 10, "one digit in a serial number");

static int
send_disk_conf(struct vm *vm, uint32_t i, const struct vm_diskconf *d,
    const struct chain *c)
{
	struct ibuf *body = chan_body();
	char serial[VM_SERIAL_MAX + 1];
	bool full;
	unsigned k;

	if (d->serial[0] != '\0')
		snprintf(serial, sizeof(serial), "%s", d->serial);
	else
		snprintf(serial, sizeof(serial), "%.13s-disk%c", vm->conf.name,
		    (char)('0' + i));
	full = ibuf_add_n32(body, i) == -1 ||
	    ibuf_add_n32(body, d->readonly) == -1 ||
	    ibuf_add_n32(body, vm->run.receiving || vm->run.reverting) == -1 ||
	    ibuf_add_n32(body, vm->conf.cpus) == -1 ||
	    ctl_put_str(body, serial) != 0 ||
	    ibuf_add_n64(body, d->iops.rate) == -1 ||
	    ibuf_add_n64(body, d->iops.burst) == -1 ||
	    ibuf_add_n64(body, d->bandwidth.rate) == -1 ||
	    ibuf_add_n64(body, d->bandwidth.burst) == -1 ||
	    ibuf_add_n32(body, c->n) == -1;
	for (k = 0; k < c->n && !full; k++)
		full = ibuf_add_n32(body, c->layer[k].format) == -1;
	if (full) {
		ibuf_free(body);
		return -ENOMEM;
	}
	return chan_send(vm->run.disk[i].chan, BLK_CONF, i, -1, body);
}

static int
send_disk_channel(struct vm *vm, uint32_t i)
{
	struct chan *chan = vm->run.disk[i].chan;
	int pair[2], error;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1)
		return -errno;
	error = send_fd(chan, BLK_FD, BLK_FD_CHANNEL, NULL, fd_take(&pair[0]));
	if (error == 0)
		error = send_vm_fd(
		    vm->run.vm.chan, VM_FD_DISK, i, fd_take(&pair[1]));
	fd_close(&pair[1]);
	return error;
}

static int
send_disk(struct vm *vm, uint32_t i, struct start_fds *f)
{
	struct chan *chan = vm->run.disk[i].chan;
	struct chain *c = &f->disk[i];
	unsigned k;
	int error;

	if ((error = send_disk_conf(vm, i, &vm->conf.disk[i], c)) != 0 ||
	    (error = chain_dup(&vm->run.image[i], c)) != 0)
		return error;
	for (k = 0; k < c->n && error == 0; k++)
		error = send_fd(
		    chan, BLK_FD, BLK_FD_IMAGE, NULL, fd_take(&c->layer[k].fd));
	return error == 0 ? send_disk_channel(vm, i) : error;
}

/* All but its image, which is made meanwhile. */
static int
send_seed_disk(struct vm *vm)
{
	static const struct vm_diskconf conf = {
		.readonly = true,
		.serial = "cloud-init",
	};
	const struct chain one = { 1, { { .format = VM_DISK_RAW } } };
	uint32_t i = vm->conf.ndisks;
	int error = send_disk_conf(vm, i, &conf, &one);

	return error == 0 ? send_disk_channel(vm, i) : error;
}

static int
cannot(int error, struct fail *why)
{
	return fail_set(
	    why, -error, "cannot configure a process: %s", strerror(-error));
}

static int
send_cdrom(struct vm *vm)
{
	int pair[2], error = medium_send(vm);

	if (error != 0)
		return error;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1)
		return -errno;
	error = chan_send(
	    vm->run.cdrom.chan, CD_CHANNEL, 0, fd_take(&pair[0]), NULL);
	if (error == 0)
		error = send_vm_fd(
		    vm->run.vm.chan, VM_FD_CDROM, 0, fd_take(&pair[1]));
	fd_close(&pair[1]);
	return error;
}

/* A page for its counters, which a later parent shall find again. */
static int
give_stats(struct child *ch)
{
	int fd, error = page_create(&ch->stats_fd, false, &ch->stats);

	if (error != 0)
		return error;
	if ((fd = fcntl(ch->stats_fd, F_DUPFD_CLOEXEC, 0)) == -1)
		return -errno;
	return chan_send(ch->chan, DEV_STATS, 0, fd, NULL);
}

static int
spawn_devices(struct event_base *base, struct vm *vm, struct child *ch,
    uint32_t n, const char *role, const struct chan_ops *ops, struct fail *why)
{
	char title[96], tag[96];
	uint32_t i;
	int error = 0;

	for (i = 0; error == 0 && i < n; i++) {
		snprintf(
		    title, sizeof(title), "%s/%s%u", vm->conf.name, role, i);
		snprintf(tag, sizeof(tag), "%s: %s%u", vm->conf.name, role, i);
		error = start_child(base, &ch[i], role, title, tag, ops, why);
		if (error == 0 && (error = give_stats(&ch[i])) != 0)
			error = cannot(error, why);
	}
	return error;
}

static int
spawn_all(struct event_base *base, struct vm *vm, const struct start_ops *ops,
    struct fail *why)
{
	char title[96];
	int error;

	snprintf(title, sizeof(title), "vm/%s", vm->conf.name);
	error = start_child(
	    base, &vm->run.vm, "vm", title, vm->conf.name, ops->vm, why);
	if (error == 0)
		error = spawn_devices(base, vm, vm->run.disk,
		    vmconf_nblks(&vm->conf), "vioblk", ops->disk, why);
	if (error == 0)
		error = spawn_devices(base, vm, vm->run.nic, vm->conf.nnics,
		    "vionet", ops->nic, why);
	if (error == 0)
		error = spawn_devices(base, vm, &vm->run.cdrom,
		    vm->conf.cdrom[0] != '\0', "vioscsi", ops->cdrom, why);
	return error;
}

/* One device of /dev/net/tun per queue; netcfg makes taps of them. */
static int
open_queues(struct vm *vm, uint32_t i, struct fail *why)
{
	struct run_nic *n = &vm->run.net[i];
	uint32_t k;

	for (k = 0; k < vm->conf.cpus && k < VIONET_PAIRS_MAX; k++) {
		n->queue[k] =
		    open(TUN, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (n->queue[k] == -1)
			return fail_set(
			    why, errno, TUN ": %s", strerror(errno));
	}
	return 0;
}

/* The device channel goes to both at once; the rest when netcfg is done. */
static int
send_nic(struct vm *vm, uint32_t i)
{
	int pair[2], error;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1)
		return -errno;
	error = send_fd(vm->run.nic[i].chan, NET_FD, NET_FD_CHANNEL, NULL,
	    fd_take(&pair[0]));
	if (error == 0)
		error = send_vm_fd(
		    vm->run.vm.chan, VM_FD_NIC, i, fd_take(&pair[1]));
	fd_close(&pair[1]);
	return error;
}

/* A process that becomes passt, and our end of its socket. */
static int
start_passt(struct event_base *base, struct vm *vm, uint32_t i,
    const struct chan_ops *ops, struct fail *why)
{
	char title[96], tag[96];
	struct ibuf *body;
	int pair[2], error;

	snprintf(title, sizeof(title), "%s/passt%u", vm->conf.name, i);
	snprintf(tag, sizeof(tag), "%s: passt%u", vm->conf.name, i);
	error =
	    start_child(base, &vm->run.user[i], "passt", title, tag, ops, why);
	if (error != 0)
		return error;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1)
		return cannot(-errno, why);
	vm->run.net[i].queue[0] = pair[0];
	body = chan_body();
	error = fcntl(pair[0], F_SETFL, O_NONBLOCK) == -1 ? -errno : 0;
	if (error == 0 && ibuf_add_n32(body, vm->conf.uid) == -1)
		error = -ENOMEM;
	if (error != 0) {
		ibuf_free(body);
		fd_close(&pair[1]);
		return cannot(error, why);
	}
	error = chan_send(
	    vm->run.user[i].chan, PASST_GO, 0, fd_take(&pair[1]), body);
	return error == 0 ? 0 : cannot(error, why);
}

static int
request_nics(struct event_base *base, struct vm *vm,
    const struct start_ops *ops, struct fail *why)
{
	uint32_t i;
	int error;

	for (i = 0; i < vm->conf.nnics; i++) {
		if ((error = send_nic(vm, i)) != 0)
			return cannot(error, why);
		if ((vm->conf.nic[i].flags & VM_NIC_USER) != 0)
			error = start_passt(base, vm, i, ops->user, why);
		else if ((error = open_queues(vm, i, why)) == 0)
			error = netproc_request(ops->net, vm, i, why);
		if (error != 0)
			return error;
	}
	return 0;
}

static int
send_nic_conf(struct vm *vm, uint32_t i, const struct net_result *res)
{
	const struct run_nic *n = &vm->run.net[i];
	const struct local_conf *l = &n->tap.addr;
	struct ibuf *b = chan_body();

	if (ibuf_add_n32(b, i) == -1 ||
	    ibuf_add(b, vm->conf.nic[i].lladdr, ETH_ALEN) == -1 ||
	    ibuf_add_n32(b, n->locked) == -1 ||
	    ibuf_add_n32(b, res->mtu) == -1 ||
	    ibuf_add_n32(b, res->offload) == -1 ||
	    ibuf_add_n32(b, res->queues) == -1 ||
	    ibuf_add_n32(b, n->tap.local) == -1 ||
	    ibuf_add(b, l->host_mac, ETH_ALEN) == -1 ||
	    ibuf_add_n32(b, l->host) == -1 || ibuf_add_n32(b, l->guest) == -1 ||
	    ibuf_add_n32(b, l->inet6) == -1 ||
	    ibuf_add(b, l->host6, 16) == -1 ||
	    ibuf_add(b, l->guest6, 16) == -1 ||
	    ctl_put_str(
		b, vm->conf.bootdev == VM_BOOT_NET ? vm->conf.name : "") != 0 ||
	    ibuf_add_n32(b, (vm->conf.nic[i].flags & VM_NIC_USER) != 0) == -1 ||
	    ibuf_add_n64(b, vm->conf.nic[i].bandwidth.rate) == -1 ||
	    ibuf_add_n64(b, vm->conf.nic[i].bandwidth.burst) == -1) {
		ibuf_free(b);
		return -ENOMEM;
	}
	return chan_send(vm->run.nic[i].chan, NET_CONF, i, -1, b);
}

static bool
has_seed(const struct vm *vm)
{
	return (vm->conf.flags & VM_F_SEED) != 0;
}

static bool
all_ready(const struct vm *vm)
{
	uint32_t i;

	if (has_seed(vm) && !vm->run.seeded)
		return false;
	for (i = 0; i < vm->conf.nnics; i++)
		if (!vm->run.net[i].ready)
			return false;
	return true;
}

/* When nobody waits for anything any more. */
static int
go_when_ready(struct vm *vm)
{
	if (!all_ready(vm))
		return 0;
	return chan_send(vm->run.vm.chan, VM_GO, 0, -1, NULL);
}

int
start_nic(
    struct vm *vm, unsigned i, const struct net_result *res, struct fail *why)
{
	struct run_nic *n = &vm->run.net[i];
	struct chan *chan = vm->run.nic[i].chan;
	int error = chan == NULL ? -EPIPE : send_nic_conf(vm, i, res);
	unsigned k;

	if (error == 0)
		error = link_send(vm, i);
	for (k = 0; k < VIONET_PAIRS_MAX; k++) {
		if (error == 0 && k < res->queues)
			error = send_fd(chan, NET_FD, NET_FD_QUEUE, NULL,
			    fd_take(&n->queue[k]));
		fd_close(&n->queue[k]);
	}
	n->ready = true;
	if (error == 0)
		error = go_when_ready(vm);
	return error == 0 ? 0 : cannot(error, why);
}

int
start_user_nic(struct vm *vm, unsigned i, struct fail *why)
{
	const struct net_result res = { .queues = 1 };

	return start_nic(vm, i, &res, why);
}

int
start_spawn(struct event_base *base, struct vm *vm, struct start_fds *f,
    const struct start_ops *ops, struct fail *why)
{
	uint32_t i;
	int error;

	error = spawn_all(base, vm, ops, why);
	if (error != 0)
		return error;
	if ((error = send_vm_conf(vm)) == 0)
		error = send_vm_files(vm, f);
	if (error == 0 && f->revert[0] != '\0')
		error = send_revert(vm, f->revert);
	for (i = 0; error == 0 && i < vm->conf.ndisks; i++)
		error = send_disk(vm, i, f);
	if (error == 0 && vm->conf.cdrom[0] != '\0')
		error = send_cdrom(vm);
	if (error == 0 && has_seed(vm))
		error = send_seed_disk(vm);
	if (error != 0)
		return cannot(error, why);
	if (has_seed(vm) &&
	    (error = seed_begin(base, vm, f->seed, ops->seed, why)) != 0)
		return error;
	if (vm->conf.nnics > 0)
		return request_nics(base, vm, ops, why);
	error = go_when_ready(vm);
	return error == 0 ? 0 : cannot(error, why);
}

int
start_seed(struct vm *vm, struct fail *why)
{
	struct chan *chan = vm->run.disk[vm->conf.ndisks].chan;
	int fd = -1, error = seed_take(vm, &fd, why);

	if (error != 0)
		return error;
	if (chan == NULL) {
		fd_close(&fd);
		return cannot(-EPIPE, why);
	}
	error = send_fd(chan, BLK_FD, BLK_FD_IMAGE, NULL, fd);
	vm->run.seeded = true;
	if (error == 0)
		error = go_when_ready(vm);
	return error == 0 ? 0 : cannot(error, why);
}
