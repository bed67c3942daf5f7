/* SPDX-License-Identifier: ISC */
#ifndef LIB_VMCONF_H
#define LIB_VMCONF_H

/*
 * What a VM is: the product of the vm.conf parser and of vmctl's flags, the
 * content of a start request, the configuration of a vm process.  It crosses
 * channels by vmconf_put()/vmconf_get() only, field by field.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ibuf;

#define VM_NAME_MAX	 63 /* bytes without the NUL */
#define VM_DISKS_MAX	 4
#define VM_NICS_MAX	 4
#define VM_IFNAME_MAX	 15 /* bytes without the NUL, as the kernel's */
#define VM_RDOMAIN_MAX	 255
#define VM_CPUS_MAX	 64
#define VM_BANDWIDTH_MIN 4096U
#define VM_SERIAL_MAX	 20 /* virtio 1.2, "Block Device" */
#define VM_CMDLINE_MAX	 2047
#define VM_HOSTNAME_MAX	 253 /* RFC 1123, "Host Names and Numbers" */
#define VM_MEMORY_MIN	 (16ULL << 20)
#define VM_MEMORY_DFLT	 (512ULL << 20)
#define VM_MEMORY_MAX	 (4ULL << 40)
#define VM_NOGID	 ((gid_t)-1)
/* Shorter than PATH_MAX so that a whole configuration fits one message;
 * OpenBSD's PATH_MAX. */
#define VM_PATH_MAX 1023 /* bytes without the NUL */

enum vm_diskfmt {
	VM_DISK_RAW = 0,
	VM_DISK_QCOW2 = 1,
	VM_DISK_ANY = 2, /* not said: the file's name decides */
};

/* So many a second; burst more at once after a pause. */
struct vm_limit {
	uint64_t rate, burst; /* rate 0: no limit */
};

struct vm_diskconf {
	char path[VM_PATH_MAX + 1];
	char base[VM_PATH_MAX + 1]; /* what it may be based on; "" = any */
	enum vm_diskfmt format;
	bool readonly;
	char serial[VM_SERIAL_MAX + 1]; /* "": made from the VM's name */
	struct vm_limit iops, bandwidth; /* requests, bytes */
};

enum vm_nicflag {
	VM_NIC_LOCAL = 1 << 0, /* answered for by vmd, routed by the host */
	VM_NIC_USER = 1 << 1, /* through an unprivileged process */
	VM_NIC_LOCKED = 1 << 2, /* no other address than lladdr */
	VM_NIC_DOWN = 1 << 3,
	VM_NIC_LLADDR = 1 << 4, /* lladdr was given */
};

/* A network interface of a VM. */
struct vm_nicconf {
	uint32_t flags; /* enum vm_nicflag */
	char ifname[VM_IFNAME_MAX + 1]; /* the host's end; "" = any */
	char sw[VM_NAME_MAX + 1]; /* name of the switch, "" = none */
	char group[VM_IFNAME_MAX + 1]; /* "" = none */
	uint32_t rdomain; /* 0 = the usual one */
	uint8_t lladdr[6]; /* all zero = to be chosen */
	struct vm_limit bandwidth; /* bytes, each way */
};

/* What all processes of a VM may use together. */
enum vm_quota {
	VM_Q_CPU, /* percent of a processor */
	VM_Q_CPU_WEIGHT, /* its share when processors are busy; usual: 100 */
	VM_Q_MEMORY, /* bytes */
	VM_Q_IO_READ, /* bytes a second, of each block device */
	VM_Q_IO_WRITE,
};
#define VM_QUOTAS (VM_Q_IO_WRITE + 1)

enum vm_quota_form { VM_Q_PERCENT, VM_Q_NUMBER, VM_Q_SIZE };
struct vm_quota_row {
	const char *words; /* in vm.conf */
	enum vm_quota_form form;
	uint64_t min, max;
};
extern const struct vm_quota_row vm_quota_rows[VM_QUOTAS];

/* What a guest sees of the host's processor; each baseline has the one before
 * it. */
enum vm_cpu { VM_CPU_HOST, VM_CPU_V1, VM_CPU_V2, VM_CPU_V3 };

enum vm_flag {
	VM_F_DISABLED = 1 << 0, /* not started with the daemon */
	VM_F_ADHOC = 1 << 1, /* made by vmctl start; forgotten at its end */
	VM_F_SEV = 1 << 2, /* memory encryption, as OpenBSD's sev */
	VM_F_SEVES = 1 << 3, /* ... and registers */
	/* Of an ad-hoc VM, not its owner's choice but its template's: */
	VM_F_CONF_BOOT = 1 << 4, /* kernel and initrd */
	VM_F_CONF_CDROM = 1 << 5,
	VM_F_SEED = 1 << 6, /* there is a seed disk for cloud-init */
	VM_F_SCREEN = 1 << 7, /* a VGA that shows text, and its keyboard */
	VM_F_SAVE = 1 << 8, /* saved, not stopped, when vmd ends */
	/* Consoles beside the first serial port's, in the order of VM_TTY_*: */
	VM_F_SERIAL2 = 1 << 9, /* the second serial port's */
	VM_F_VIOCON = 1 << 10, /* a virtio console */
};

/* A VM's consoles. */
enum vm_tty { VM_TTY_SERIAL, VM_TTY_SERIAL2, VM_TTY_VIRTIO, VM_TTYS };
extern const char *const vm_tty_names[VM_TTYS]; /* "serial2" */

/* What a VM is made to boot; its guest's reset is its end then. */
enum vm_bootdev {
	VM_BOOT_ANY, /* nothing was said */
	VM_BOOT_DISK,
	VM_BOOT_CDROM,
	VM_BOOT_NET, /* a kernel that is to think so */
	VM_BOOTDEVS
};
extern const char *const vm_bootdev_names[VM_BOOTDEVS]; /* "disk" */

/* What is said of a VM itself, and what instances of a VM may say. */
enum vm_item {
	/* kernel, initrd, command line, floppy, boot device */
	VM_I_BOOT = 1 << 0,
	VM_I_CDROM = 1 << 1,
	VM_I_CPUS = 1 << 2,
	VM_I_DISK = 1 << 3, /* efivars too */
	VM_I_INSTANCE = 1 << 4, /* to hand these permissions on */
	VM_I_INTERFACE = 1 << 5,
	VM_I_MEMORY = 1 << 6,
	VM_I_OWNER = 1 << 7,
	VM_I_LIMIT = 1 << 8,
	VM_I_SEED = 1 << 9, /* cloud-init */
	VM_I_CPU = 1 << 10,
};
#define VM_I_ALL 0x7ffU

/* Instances of a VM: what they may differ in, and whose they are. */
struct vm_allow {
	uint32_t items; /* enum vm_item; VM_I_OWNER: uid and gid count */
	uid_t uid;
	gid_t gid; /* or VM_NOGID */
};

/* What cloud-init is told, with VM_F_SEED; "" = nothing. */
struct vm_seedconf {
	/* Paths. */
	char user_data[VM_PATH_MAX + 1];
	char network_config[VM_PATH_MAX + 1];
	char ssh_key[VM_PATH_MAX + 1];
	char hostname[VM_HOSTNAME_MAX + 1]; /* "" = the VM's name */
};

struct vmconf {
	char name[VM_NAME_MAX + 1];
	uint32_t flags; /* enum vm_flag */
	uint64_t memory; /* bytes, a whole number of MiB */
	uint32_t cpus; /* 1..VM_CPUS_MAX */
	uint32_t cpu; /* enum vm_cpu */
	uid_t uid; /* owner */
	gid_t gid; /* owner group or VM_NOGID */
	char kernel[VM_PATH_MAX + 1]; /* "" = none */
	char initrd[VM_PATH_MAX + 1];
	char cmdline[VM_CMDLINE_MAX + 1];
	char floppy[VM_PATH_MAX + 1]; /* "" = none */
	char efivars[VM_PATH_MAX + 1]; /* "" = none */
	char cdrom[VM_PATH_MAX + 1]; /* "" = no drive */
	uint32_t bootdev; /* enum vm_bootdev */
	uint32_t ndisks;
	struct vm_diskconf disk[VM_DISKS_MAX];
	uint32_t nnics;
	struct vm_nicconf nic[VM_NICS_MAX];
	uint64_t quota[VM_QUOTAS]; /* enum vm_quota; 0: no limit */
	struct vm_seedconf seed;
	char parent[VM_NAME_MAX + 1]; /* it is an instance of; "" = none */
	uint32_t given; /* enum vm_item: not inherited from the parent */
	struct vm_allow allow;
};

void vmconf_init(struct vmconf *);
/* Letters, digits, '.', '-', '_'; not beginning with '.', '-' or '_'. */
bool vmconf_name_ok(const char *);
/* No control characters; nothing else is said about existence or form. */
bool vmconf_path_ok(const char *);
/* "disk", "cdrom", "net". */
bool vmconf_bootdev(const char *, uint32_t *);
/* What is missing for its boot device, or NULL. */
const char *vmconf_bootdev_lacks(const struct vmconf *);
/* "raw", "qcow2", or NULL for VM_DISK_ANY. */
bool vmconf_format(const char *, enum vm_diskfmt *);
/* "x86-64-v2"; false: there is none of that name. */
bool vmconf_cpu(const char *, uint32_t *cpu);
const char *vmconf_cpu_name(uint32_t cpu); /* NULL: no enum vm_cpu */
/* A name of an interface, as the kernel takes it. */
bool vmconf_ifname_ok(const char *);
/* A group of interfaces: an interface's name that does not end in a digit. */
bool vmconf_group_ok(const char *);
/* "fe:e1:ba:d0:00:01", unicast and not zero; 0 or -EINVAL. */
int vmconf_lladdr(const char *, uint8_t lladdr[6]);
/* Labels of letters, digits and '-', separated by dots: RFC 1123. */
bool vmconf_hostname_ok(const char *);
/* What cloud-init calls the guest; NULL: it has to be said, as the VM's name
 * cannot be a host's. */
const char *vmconf_hostname(const struct vmconf *);
/* Block devices: its disks, and behind them that for cloud-init. */
#define VM_BLKS_MAX (VM_DISKS_MAX + 1)
uint32_t vmconf_nblks(const struct vmconf *);
/* Does it have this console, enum vm_tty? */
bool vmconf_has_tty(const struct vmconf *, unsigned);
/* Printable ASCII, not empty, of the right length. */
bool vmconf_serial_ok(const char *);
/* scan_scaled(3) syntax to bytes; 0, -EINVAL, -ERANGE. */
int vmconf_size(const char *, uint64_t *bytes);
/* Is there any quota? */
bool vmconf_limited(const struct vmconf *);

int vmconf_put(struct ibuf *, const struct vmconf *);
/* Checks every field's own limits; 0 or -EBADMSG. */
int vmconf_get(struct ibuf *, struct vmconf *);

#endif
