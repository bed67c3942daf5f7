/* SPDX-License-Identifier: ISC */
#ifndef VMD_MSG_H
#define VMD_MSG_H

/*
 * Messages between vmd's own processes, one table per channel.  Fields in
 * wire order: uNN = ibuf_add_nNN (network order), str = ctl_put_str(),
 * conf = vmconf_put().  "(fd)" = carries one descriptor.
 *
 * Set-up of a VM (all before anybody is sealed):
 *   parent  spawns vm/NAME, one NAME/vioblkN per disk and one NAME/vionetN
 *           per interface
 *   parent -> vm       VM_CONF, VM_FD ..., VM_GO
 *   parent -> vioblk   DEV_STATS, BLK_CONF, BLK_FD (image), one for each that it is based
 *                      on, BLK_FD (device channel)
 *   parent -> seed     SEED_CONF, SEED_FILE ..., SEED_GO; when it is done,
 *                      BLK_FD (image) to the last vioblk
 *   parent -> vioscsi  DEV_STATS, CD_MEDIUM or CD_EJECT, CD_CHANNEL
 *   parent -> netcfg   NETCFG_QUEUE ..., NETCFG_TAP; when it is done,
 *   parent -> vionet   NET_CONF, NET_FD (queues), NET_FD (device channel)
 *   vioblk -> vm       DEV_HELLO    (over the device channel)
 *   vm -> vioblk       DEV_CONFIG, DEV_MEM, DEV_LAZY when memory is to come out
 *                      of a file, DEV_QUEUEFD x 2 per queue, DEV_SEAL
 *   vioblk -> vm       DEV_FAULTS   (the answer to DEV_LAZY)
 *   vioblk -> vm       DEV_SEALED   (its sandbox_seal() is done)
 *   vm -> parent       VM_READY     (sealed; vCPUs run)
 */

/*
 * Of all messages here and of what the keeper keeps (record.h): to be raised
 * with every change of what a process that is there already says or hears.
 */
#define MSG_VERSION 8

/* parent -> vm */
#define VM_REQUESTS(X)                                               \
	X(VM_CONF, 0, "u32 vm id, conf")                             \
	X(VM_FD, 1, "u32 enum vm_fdkind, u32 index (fd)")            \
	X(VM_GO, 0, "")                                              \
	X(VM_SHUTDOWN, 0, "press the power button")                  \
	X(VM_PAUSE, 0, "u32 1: pause, 0: go on")                     \
	X(VM_ASK, 0, "id = a number; VM_STATE answers")              \
	X(VM_MEMORY, 0, "u64 bytes that the guest shall keep")       \
	X(VM_KEYS, 0, "keys: lib/screen.h")                          \
	X(VM_SAVE, 1, "u32 CTL_SAVE_... (fd: the file)")             \
	X(VM_SNAPSHOT, 1,                                            \
	    "fields of VM_SNAPCHANGE (fd: the file for the state): " \
	    "SNAP_CREATE")                                           \
	X(VM_SNAPCHANGE, 0,                                          \
	    "u32 enum snap_what, str tag, u64 s and u32 ns since "   \
	    "1970; VM_SAVED answers; SNAP_REVERT before VM_GO")      \
	X(VM_SEND, 1,                                                \
	    "u32 ms that it may stand still, u64 bytes per second "  \
	    "or 0, u32 percent by which it may be slowed down, "     \
	    "u32 1: its disks as well (fd: a socket); VM_SAVED "     \
	    "answers")                                               \
	X(VM_CANCEL, 0, "do not send it after all")                  \
	X(VM_LOCKED, 0, "u32 errno: the answer to VM_LOCK")          \
	X(VM_VERBOSE, 0, "u32 verbose")
/* vm -> parent */
#define VM_REPORTS(X)                                                        \
	X(VM_READY, "")                                                      \
	X(VM_ERROR, "u32 errno, str one clear line: start failed")           \
	X(VM_ENDED, "u32 enum vm_end, str detail: follows by exit")          \
	X(VM_DEVSTATE,                                                       \
	    "u32 disk index, VM_DEV_NIC + index, or VM_DEV_CDROM; "          \
	    "str problem: device needs reset")                               \
	X(VM_PAUSED, "u32 1: paused, 0: runs")                               \
	X(VM_STATE, "id of VM_ASK; u32 1: paused, 0: runs; u64 as VM_GIVEN") \
	X(VM_SAVED,                                                          \
	    "u32 errno, str one clear line; without an error, and not to "   \
	    "go on, VM_ENDED follows")                                       \
	X(VM_LOCK, "u32 1: lock the images of its disks, 0: let go of them") \
	X(VM_PROGRESS, "str line: how far it is sent")                       \
	X(VM_PANICKED, "u32 1: a kernel of the guest's own handles it")      \
	X(VM_GIVEN, "u64 bytes of its memory that the guest gave up")        \
	X(VM_SHUTDOWN_ACK, "the guest read the power button event")

/* What becomes of a snapshot, of a VM and of each of its disks. */
enum snap_what {
	SNAP_CREATE,
	SNAP_DELETE,
	SNAP_REVERT,
	SNAP_CHECK, /* of a VM: could it be reverted to? */
};
#define SNAP_TAG_MAX 64 /* bytes, with its NUL */

/* What can fail is done first, on all disks: lib/qcow2_snap.h. */
enum snap_step { SNAP_PREPARE, SNAP_COMMIT, SNAP_ABORT };

enum vm_fdkind {
	VM_FD_HYPERVISOR, /* /dev/vmm or /dev/kvm, open read-write */
	VM_FD_KERNEL,
	VM_FD_INITRD,
	VM_FD_CONSOLE, /* pty master; index: enum vm_tty */
	VM_FD_DISK, /* device channel to vioblk[index] */
	VM_FD_NIC, /* device channel to vionet[index] */
	VM_FD_CDROM, /* device channel to vioscsi; index 0 */
	VM_FD_FLOPPY,
	VM_FD_EFIVARS, /* locked; read and written */
	VM_FD_SCREEN, /* a page for struct screen (lib/screen.h) */
	VM_FD_VGABIOS, /* for firmware, when there is a screen */
	VM_FD_NETROM, /* the same, to boot over the network */
	VM_FD_STATE, /* to go on from, instead of a start */
	VM_FD_STREAM, /* the same, from another host: send.h */
	VM_FD_FAULTS, /* /dev/userfaultfd, with VM_FD_STATE: pager.h */
};

/* In VM_DEVSTATE. */
#define VM_DEV_NIC   0x100
#define VM_DEV_CDROM 0x200

enum vm_end {
	VM_END_POWEROFF, /* ACPI S5 */
	VM_END_RESET, /* 0xCF9, i8042, reset register: start again */
	VM_END_TRIPLE, /* triple fault: like a reset */
	VM_END_ERROR, /* hypervisor error, detail says what */
};

/* parent -> vioblk */
#define BLK_REQUESTS(X)                                            \
	X(BLK_CONF, 0,                                             \
	    "u32 index, u32 readonly, u32 1: another vmd uses it " \
	    "until the first start, u32 vcpus, str serial, "       \
	    "u64 iops, u64 burst, u64 bytes a second, u64 burst, " \
	    "u32 nimages, nimages x u32 format")                   \
	X(BLK_FD, 1, "u32 enum blk_fdkind (fd)")
/* vioblk -> parent */
#define BLK_REPORTS(X)   \
	X(BLK_READY, "") \
	X(BLK_ERROR, "u32 errno, str one clear line")

enum blk_fdkind { BLK_FD_IMAGE, BLK_FD_CHANNEL };

/*
 * parent -> seed, a process that makes the image of a seed disk and ends.  What
 * it makes the parent then passes to the last vioblk.
 */
#define SEED_REQUESTS(X)                                                      \
	X(SEED_CONF, 1,                                                       \
	    "str name, str host name (fd: the image, empty, to be "           \
	    "written)")                                                       \
	X(SEED_FILE, 1, "u32 enum seed_file, u64 bytes (fd: it, to be read)") \
	X(SEED_GO, 0, "")
/* seed -> parent */
#define SEED_REPORTS(X)                      \
	X(SEED_DONE, "the image is written") \
	X(SEED_ERROR, "u32 errno, str one clear line")

enum seed_file { SEED_USER_DATA, SEED_NETWORK_CONFIG, SEED_SSH_KEY };
#define SEED_FILES    3
#define SEED_FILE_MAX (1U << 20) /* bytes */

/*
 * parent -> vioscsi.  The medium can be changed at any time; id is a number
 * for the answer, 0: none is wanted.
 */
#define CD_REQUESTS(X)                                                     \
	X(CD_MEDIUM, 1, "u32 force, u64 bytes (fd: it, open for reading)") \
	X(CD_EJECT, 0, "u32 force")                                        \
	X(CD_CHANNEL, 1, "(fd: device channel) after the first medium")
/* vioscsi -> parent */
#define CD_REPORTS(X)                                \
	X(CD_READY, "")                              \
	X(CD_ERROR, "u32 errno, str one clear line") \
	X(CD_DONE,                                   \
	    "id of the request; u32 errno: EBUSY when the guest keeps it")

/* parent -> each device process, first of all */
#define STAT_REQUESTS(X) X(DEV_STATS, 1, "(fd: a page, see devstat.h)")

/*
 * parent -> vionet.  local: the fields of struct local_conf, all zero when
 * the interface is not a local one.
 */
#define NET_REQUESTS(X)                                                     \
	X(NET_CONF, 0,                                                      \
	    "u32 index, lladdr (6 bytes), u32 locked, u32 mtu (0: not "     \
	    "told), u32 offload (TUN_F_*), u32 queues, u32 local, host's "  \
	    "lladdr, u32 host, u32 guest (IPv4), u32 inet6, host6, guest6 " \
	    "(16 bytes each), str name (of a guest booted from the net, "   \
	    "or \"\"), u32 stream (1: a socket, not a tap), "               \
	    "u64 bytes a second, u64 burst")                                \
	X(NET_LINK, 0, "u32 up: what the guest sees")                       \
	X(NET_FD, 1, "u32 enum net_fdkind (fd)")
/* vionet -> parent */
#define NET_REPORTS(X)   \
	X(NET_READY, "") \
	X(NET_ERROR, "u32 errno, str one clear line")

enum net_fdkind {
	NET_FD_QUEUE, /* of the tap; one after the other */
	NET_FD_CHANNEL,
};

/* parent -> passt; when all is well the channel just ends */
#define PASST_REQUESTS(X) X(PASST_GO, 1, "u32 uid (fd: stream socket)")
#define PASST_REPORTS(X)  X(PASST_ERROR, "u32 errno, str one clear line")

/*
 * parent -> netcfg.  NETCFG_CONF, one NETCFG_SWITCH for each and NETCFG_APPLY
 * say how the host's side shall be; what netcfg made for an earlier
 * configuration goes.  A tap lives as long as its queues are open.
 */
#define NETCFG_REQUESTS(X)                                                 \
	X(NETCFG_CONF, 0,                                                  \
	    "local range: u32 prefix, u32 length, u32 inet6, prefix6 (16 " \
	    "bytes), u32 length6; u32 DNS server or 0")                    \
	X(NETCFG_SWITCH, 0,                                                \
	    "str name, str bridge, u32 create, u32 down, u32 group, "      \
	    "u32 rdomain")                                                 \
	X(NETCFG_APPLY, 0, "")                                             \
	X(NETCFG_QUEUE, 1, "(fd: /dev/net/tun) for the tap that follows")  \
	X(NETCFG_TAP, 0,                                                   \
	    "id = a number of its own; str ifname or empty, str alias, "   \
	    "str bridge or empty, u32 down, u32 group, u32 rdomain, "      \
	    "lladdr of the host's end (6 bytes), u32 local, u32 host, "    \
	    "u32 guest (IPv4), u32 inet6, host6, guest6 (16 bytes each)")  \
	X(NETCFG_ADOPT, 0,                                                 \
	    "as NETCFG_TAP, for a tap that is there: after a new start")   \
	X(NETCFG_FORGET, 0, "id of a tap that is not used any more")
/* netcfg -> parent */
#define NETCFG_REPORTS(X)                                                  \
	X(NETCFG_READY, 0, "sealed")                                       \
	X(NETCFG_DONE, 0,                                                  \
	    "id of the tap; str ifname, u32 queues, u32 offload, u32 mtu") \
	X(NETCFG_FAIL, 0, "id of the tap; u32 errno, str one clear line")  \
	X(NETCFG_WARN, 0, "str one clear line")

/*
 * vm <-> device process.  The vm process owns the virtio-pci transport; the
 * device process owns the queues.  Each queue has two eventfds, fixed for
 * the life of the process: kick (driver -> device, an ioeventfd) and call
 * (device -> driver; the vm process binds it as irqfd, or watches it itself
 * for INTx and masked vectors).
 */
#define DEV_REQUESTS(X)                                                                                    \
	X(DEV_MEM, 1, "u64 size (fd: the guest memfd)")                                                    \
	X(DEV_QUEUEFD, 1, "u32 queue, u32 0 = kick, 1 = call (fd)")                                        \
	X(DEV_SEAL, 0, "no more descriptors")                                                              \
	X(DEV_START, 0,                                                                                    \
	    "u64 features, u32 nqueues, nqueues x { u32 size (0 = off), u64 desc, u64 avail, u64 used }, " \
	    "u32 1: the rings were in use, go on behind what was given back; u32 length, bytes of "        \
	    "DEV_DRAINED")                                                                                 \
	X(DEV_CONFIG, 1,                                                                                   \
	    "(fd: a page, the configuration as the driver wrote it)")                                      \
	X(DEV_RESET, 0, "finish or cancel everything, then DEV_RESET_DONE")                                \
	X(DEV_DRAIN, 0, "finish what was begun, stop, then DEV_DRAINED")                                   \
	X(DEV_SNAPSHOT, 0,                                                                                 \
	    "to a disk that is drained, or was not started: u32 enum snap_step, u32 enum snap_what, "      \
	    "str tag, u64 s and u32 ns since 1970; DEV_SNAPPED answers")                                   \
	X(DEV_MIRROR, 0, "to a disk: mirror.h; DEV_MIRRORED answers")
#define DEV_KEPT_MAX 2048
#define DEV_REPORTS(X)                                                                        \
	X(DEV_HELLO,                                                                          \
	    "u64 features, u32 nqueues, u32 queue size max, u32 config length, config bytes") \
	X(DEV_SEALED, "")                                                                     \
	X(DEV_RESET_DONE, "")                                                                 \
	X(DEV_DRAINED,                                                                        \
	    "u32 errno, bytes: what the device itself has to remember, at most DEV_KEPT_MAX") \
	X(DEV_SNAPPED, "u32 errno, str one clear line")                                       \
	X(DEV_CONFIGURED, "configuration bytes: all of them, now")                            \
	X(DEV_BROKEN, "str reason: set DEVICE_NEEDS_RESET")                                   \
	X(DEV_MIRRORED, "of a disk: mirror.h")

/*
 * The same channel: DEV_LAZY before DEV_SEAL, DEV_FAULTS before DEV_SEALED.
 * Last in the enum below, so that all others keep their numbers.
 */
#define LAZY_REQUESTS(X) \
	X(DEV_LAZY, 1,   \
	    "(fd: /dev/userfaultfd) pages of the memory come as they are touched")
#define LAZY_REPORTS(X) \
	X(DEV_FAULTS,   \
	    "u64 address of the memory (fd: a userfaultfd, to bring them by)")

/*
 * control <-> parent.  The requests of lib/ctl.h go through with the client's
 * number as message id, and so do the answers.  The parent reads a client's
 * credentials from the client's own socket: control cannot invent them.
 * Numbers are never used twice.
 */
/* parent -> control */
#define CONTROL_REQUESTS(X)                                                   \
	X(CONTROL_LISTEN, 1, "u32 verbose (fd: the listening socket); first") \
	X(CONTROL_DROP, 0, "id = a client that the parent does not accept")   \
	X(CONTROL_VERBOSE, 0, "u32 verbose")
/* control -> parent */
#define CONTROL_REPORTS(X)                                                  \
	X(CONTROL_CONNECT, 1, "id = new client (fd: its connected socket)") \
	X(CONTROL_GONE, 0, "id = a client that left")

/*
 * parent -> keeper.  What is kept has a key: the VM's id (message id; 0: the
 * daemon's), what it is, an index.  A new item takes the place of the old one.
 */
#define KEEP_REQUESTS(X)                                                 \
	X(KEEP_LISTEN, 1, "(fd: where later parents connect) first")     \
	X(KEEP_FD, 1, "u32 enum keep_what, u32 index (fd)")              \
	X(KEEP_NOTE, 0, "u32 enum keep_what, u32 index, bytes")          \
	X(KEEP_CLEAR, 0, "u32 enum keep_what, u32 index: not any more")  \
	X(KEEP_DROP, 0, "all of this VM, but KEEP_ID")                   \
	X(KEEP_FORGET, 0, "all KEEP_ID")                                 \
	X(KEEP_NEXT, 0, "an item as KEEP_FD or KEEP_NOTE, or KEEP_DONE") \
	X(KEEP_END, 0, "no parent will follow")
/* keeper -> parent, for each KEEP_NEXT one; KEEP_FD and KEEP_NOTE as well */
#define KEEP_REPORTS(X) X(KEEP_DONE, 0, "there is no more")

enum keep_what {
	/* notes: record.h */
	KEEP_DAEMON,
	KEEP_ID, /* of a VM that was there, even if it does not run */
	KEEP_VM, /* once it ran; without it the rest is nothing */
	/* descriptors */
	KEEP_TTY, /* 2 * enum vm_tty; 1 more: slave */
	KEEP_MEDIUM,
	KEEP_IMAGE, /* disk * DISK_LAYERS_MAX + layer */
	KEEP_CHAN, /* index of run_child(); for VM 0: netcfg */
	KEEP_PID, /* pidfd, likewise */
	KEEP_STATS,
	KEEP_WHATS,
};

/* parent -> probe, then probe -> parent, once */
#define PROBE_REQUESTS(X) \
	X(PROBE_FD, 1, "str path of the device (fd: it, open read-write)")
#define PROBE_REPORTS(X) \
	X(PROBE_REPORT, 0, "u32 fit (1) or not (0), str lines of the report")

/*
 * parent -> remote.  LISTEN and FILE describe a listener each, GO says that
 * these are all and take the place of those before.
 */
#define REMOTE_REQUESTS(X)                                                \
	X(REMOTE_LISTEN, 1, "id = its number (fd: the listening socket)") \
	X(REMOTE_FILE, 1, "id = a listener, u32 enum conf_tls (fd: it)")  \
	X(REMOTE_GO, 0, "u32 verbose")                                    \
	X(REMOTE_OPENED, 1, "id = a client (fd: what it wanted)")         \
	X(REMOTE_REFUSED, 0, "id = a client, str one clear line")
/* remote -> parent */
#define REMOTE_REPORTS(X)                                               \
	X(REMOTE_READY, 0, "sealed")                                    \
	X(REMOTE_WANTS, 0,                                              \
	    "id = a client, str subject of its certificate, u32 enum "  \
	    "remote_what, str name of a VM, a ticket of CTL_RECEIVE's " \
	    "or empty; REMOTE_OPENED or "                               \
	    "REMOTE_REFUSED answers")

enum remote_what {
	REMOTE_CONTROL,
	REMOTE_CONSOLE,
	REMOTE_STREAM,
	/* Other consoles, in the order of enum vm_tty. */
	REMOTE_SERIAL2,
	REMOTE_VIRTIO,
};

/*
 * parent -> login, a process that becomes a user, opens what this may open,
 * and ends.
 */
#define LOGIN_REQUESTS(X) \
	X(LOGIN_OPEN, 0, "u32 uid, u32 enum remote_what, str path")
#define LOGIN_REPORTS(X)           \
	X(LOGIN_OPENED, 1, "(fd)") \
	X(LOGIN_REFUSED, 0, "u32 errno")

/*
 * parent -> snap, a process that deletes a snapshot of a VM that is stopped,
 * and ends.  In the enum below behind all others, as those before.
 */
#define SNAP_REQUESTS(X)                             \
	X(SNAP_CONF, 0, "str tag, u32 disks: first") \
	X(SNAP_DISK, 1, "str path (fd: its image, locked, to be written)")
/* snap -> parent */
#define SNAP_REPORTS(X)                                           \
	X(SNAP_DONE,                                              \
	    "u32 errno, str one clear line; ENOENT: no disk has " \
	    "such a snapshot")

enum vmd_msg {
	VMD_MSG_BASE = 1000,
#define X(n, ...) n,
	VM_REQUESTS(X) VM_REPORTS(X) BLK_REQUESTS(X) BLK_REPORTS(X) CD_REQUESTS(
	    X) CD_REPORTS(X) STAT_REQUESTS(X) DEV_REQUESTS(X) DEV_REPORTS(X)
	    CONTROL_REQUESTS(X) CONTROL_REPORTS(X) PROBE_REQUESTS(X)
		PROBE_REPORTS(X) NET_REQUESTS(X) NET_REPORTS(X) SEED_REQUESTS(
		    X) SEED_REPORTS(X) NETCFG_REQUESTS(X) NETCFG_REPORTS(X)
		    PASST_REQUESTS(X) PASST_REPORTS(X) KEEP_REQUESTS(X)
			KEEP_REPORTS(X) REMOTE_REQUESTS(X) REMOTE_REPORTS(X)
			    LOGIN_REQUESTS(X) LOGIN_REPORTS(X) LAZY_REQUESTS(X)
				LAZY_REPORTS(X) SNAP_REQUESTS(X) SNAP_REPORTS(X)
#undef X
};

#endif
