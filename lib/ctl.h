/* SPDX-License-Identifier: ISC */
#ifndef LIB_CTL_H
#define LIB_CTL_H

/*
 * The control protocol: vmctl <-> control <-> parent, imsg on a UNIX stream
 * socket (default CTL_SOCKET).  One row per message; the enum, the names and
 * the rights come from these rows.  Fields are listed in wire order: integers in
 * network order (ibuf_add_nXX), str = u16 length (network order) + bytes
 * without NUL (ctl_put_str), conf = vmconf_put().
 *
 * Rights: ANY  whoever may connect       OWNER  root, the VM's owner (uid or
 *         ROOT uid 0 only                       group) or who started it
 *
 * A VM is named by id when that is not 0, else by name.  START_KERNEL and
 * START_INITRD have no answer of their own, START_ADHOC answers for them.
 * PAUSE, UNPAUSE, SAVE and SNAPSHOT answer when it is done, RESTORE and REVERT as START, RESET when the last VM is gone.
 * SEND answers as SAVE, with a LINE now and then before.  RECEIVE answers as
 * START, and before that with a LINE, a ticket: "vmd 1 stream TICKET" to the
 * same vmd from another host leads to the VM that waits for the SEND.
 * STOP answers OK as soon as the VM was asked to stop.  WAIT answers nothing
 * until the VM terminated, then ENDED and OK; a VM that does not run is FAIL
 * CTL_E_NOTRUNNING (so after a STOP that was OK it says: ended already, as
 * does ENOENT for an ad-hoc VM).  EVENTS is followed by an EVENT for whatever
 * happens to a VM of the client's own (root: to any), as long as it stays and
 * reads them; it ends with FAIL when some were lost.  A client may have
 * CTL_PENDING_MAX requests without an answer; answers come in any order.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ibuf;

#define CTL_SOCKET	"/run/vmd.sock"
#define CTL_VERSION	1
#define CTL_PENDING_MAX 16

enum ctl_right { CTL_ANY, CTL_OWNER, CTL_ROOT };

/* Flags of CTL_SAVE: the guest goes on; its memory is compressed. */
enum {
	CTL_SAVE_GO_ON = 1 << 0,
	CTL_SAVE_ZSTD = 1 << 1,
	CTL_SAVE_FLAGS = CTL_SAVE_GO_ON | CTL_SAVE_ZSTD,
};

/* Requests: X(name, right, carries a descriptor, fields) */
#define CTL_REQUESTS(X)                                                    \
	X(LIST, CTL_ANY, 0, "")                                            \
	X(START, CTL_OWNER, 0, "u32 id, str name")                         \
	X(START_KERNEL, CTL_ANY, 1, "(fd) opened by vmctl, before ADHOC")  \
	X(START_INITRD, CTL_ANY, 1, "(fd) opened by vmctl, before ADHOC")  \
	X(START_ADHOC, CTL_ANY, 0, "conf; see vmd/adhoc.h")                \
	X(START_FILE, CTL_ROOT, 0, "str path, absolute: its only vm")      \
	X(CDROM, CTL_OWNER, 1, "u32 id, str name, u32 force (fd: medium)") \
	X(EJECT, CTL_OWNER, 0, "u32 id, str name, u32 force")              \
	X(LINK, CTL_OWNER, 0, "u32 id, str name, u32 up, u32 interface")   \
	X(MEMORY, CTL_OWNER, 0, "u32 id, str name, u64 bytes")             \
	X(PAUSE, CTL_OWNER, 0, "u32 id, str name")                         \
	X(UNPAUSE, CTL_OWNER, 0, "u32 id, str name")                       \
	X(SAVE, CTL_OWNER, 1, "u32 id, str name, u32 CTL_SAVE_... (fd)")   \
	X(RESTORE, CTL_OWNER, 1, "u32 id, str name (fd: what was saved)")  \
	X(SEND, CTL_OWNER, 1,                                              \
	    "u32 id, str name, u32 ms that it may stand still, "           \
	    "u64 bytes per second or 0, u32 percent by which it may be "   \
	    "slowed down, u32 1: its disks as well (fd: where to)")        \
	X(RECEIVE, CTL_OWNER, 0, "u32 id, str name")                       \
	X(SNAPSHOT, CTL_OWNER, 0,                                          \
	    "u32 id, str name, u32 enum ctl_snapshot, str tag")            \
	X(SNAPSHOTS, CTL_OWNER, 0, "u32 id, str name: KEPT ..., then OK")  \
	X(REVERT, CTL_OWNER, 0, "u32 id, str name, str tag")               \
	X(SCREEN, CTL_OWNER, 0, "u32 id, str name: CELLS, then OK")        \
	X(KEY, CTL_OWNER, 0, "u32 id, str name, keys: lib/screen.h")       \
	X(STOP, CTL_OWNER, 0, "u32 id, str name, u32 force")               \
	X(WAIT, CTL_ANY, 0, "u32 id, str name")                            \
	X(LOG, CTL_ROOT, 0, "u32 verbose")                                 \
	X(RELOAD, CTL_ROOT, 0, "")                                         \
	X(LOAD, CTL_ROOT, 0, "str path, absolute")                         \
	X(RESET, CTL_ROOT, 0, "u32 what: CTL_RESET_*")                     \
	X(EVENTS, CTL_ANY, 0, "")

/* Answers.  A request ends with exactly one OK or FAIL. */
#define CTL_ANSWERS(X)                                                    \
	X(OK, "u32 vm id or 0, str text (tty of a started VM, or empty)") \
	X(FAIL, "u32 code (errno or CTL_E_*), str text: one clear line")  \
	X(VM, "one VM of a LIST, see ctl_vm_put()")                       \
	X(ENDED, "u32 id, str name: a WAIT or STOP target terminated")    \
	X(EVENT, "what happened to a VM, see ctl_event_put()")            \
	X(CELLS, "what a screen shows: lib/screen.h")                     \
	X(KEPT, "a snapshot of SNAPSHOTS, see ctl_kept_put()")            \
	X(LINE,                                                           \
	    "str: something that a RELOAD or LOAD changes, or not; of SEND, RECEIVE")

enum ctl_type {
	CTL_NONE = 100,
#define X(n, r, fd, fields) CTL_##n,
	CTL_REQUESTS(X)
#undef X
#define X(n, fields) CTL_##n,
	    CTL_ANSWERS(X)
#undef X
};

/* What becomes of a snapshot, while the VM runs; it is deleted at any time. */
enum ctl_snapshot {
	CTL_SNAP_CREATE,
	CTL_SNAP_DELETE,
	CTL_SNAP_CHECK, /* could the VM be reverted to it? */
	CTL_SNAP_END
};
#define CTL_TAG_MAX 64 /* bytes of a snapshot's name, with its NUL */

struct ctl_kept {
	char tag[CTL_TAG_MAX];
	uint64_t ms; /* when it was made, since 1970 */
	uint64_t bytes; /* of its state */
};

/* What a RESET forgets. */
enum { CTL_RESET_VMS = 1, CTL_RESET_SWITCHES = 2, CTL_RESET_ALL = 3 };

/* Codes beside errno that vmctl has texts for (OPENBSD.md A.3). */
enum {
	CTL_E_FIRMWARE = 1001,
	CTL_E_DISK = 1002,
	CTL_E_NOTRUNNING = 1004,
	CTL_E_CDROM = 1005, /* not there */
	CTL_E_NOTCDROM = 1006, /* no regular file, or no medium */
	CTL_E_PARENT = 1007, /* of an instance: not in vm.conf */
};

enum ctl_state {
	CTL_ST_STOPPED,
	CTL_ST_WAITING, /* delayed by the staggered start */
	CTL_ST_RUNNING,
	CTL_ST_STOPPING, /* graceful shutdown in progress */
	CTL_ST_PAUSED,
};

/* What a device counts: X(field, name for people and JSON) */
#define CTL_COUNTERS(X)         \
	X(requests, "requests") \
	X(in, "bytes_in")       \
	X(out, "bytes_out")     \
	X(errors, "errors")     \
	X(kicks, "kicks")       \
	X(interrupts, "interrupts")

struct ctl_counters {
	uint64_t requests; /* answered; of a network device, frames */
	uint64_t in, out; /* bytes to the guest, from the guest */
	uint64_t errors; /* requests not done; frames dropped */
	uint64_t kicks, interrupts;
};

#define CTL_DEVS_MAX 16

/* Of a network interface. */
struct ctl_nic {
	char ifname[16]; /* of the host's end; "" when there is no tap */
	uint8_t lladdr[6]; /* as configured */
	uint32_t up; /* the guest's link */
	uint32_t addr; /* handed out by a local interface; 0: none */
	uint8_t addr6[16]; /* likewise */
};

struct ctl_dev {
	char name[16]; /* "vioblk0" */
	struct ctl_counters n;
	uint32_t is_nic;
	struct ctl_nic nic;
};

#define CTL_MORE 2 /* consoles beside the first */

struct ctl_vm {
	uint32_t id;
	char name[64];
	uint32_t state; /* enum ctl_state */
	uint32_t pid; /* 0 = not running */
	uint32_t cpus;
	uint64_t maxmem; /* bytes */
	uint64_t curmem; /* bytes resident, 0 = not running */
	uint64_t asked; /* bytes that its guest was asked to keep */
	uint64_t given; /* bytes that its guest gave up */
	char tty[32]; /* "/dev/pts/3" or "" */
	char more[CTL_MORE][32]; /* the same, of enum vm_tty from 1 on */
	uint32_t uid, gid; /* owner, VM_NOGID when no group */
	uint64_t cpu_us; /* CPU time of its processes, 0 = not running */
	uint32_t restarts; /* by its guest, since it was started */
	char problem[128]; /* "vioblk0: needs reset: ..." or "" */
	uint32_t ndevs; /* 0 = not running */
	struct ctl_dev dev[CTL_DEVS_MAX];
};

/* What can happen to a VM: X(name, name for people and JSON) */
#define CTL_HAPPENINGS(X)                                            \
	X(WAITING, "waiting") /* for its turn to start */            \
	X(STARTING, "starting")                                      \
	X(RUNNING, "running")                                        \
	X(PAUSED, "paused")                                          \
	X(UNPAUSED, "unpaused")                                      \
	X(STOPPING, "stopping") /* asked to */                       \
	X(RESTARTING, "restarting") /* after a reset by its guest */ \
	X(STOPPED, "stopped")                                        \
	X(PROBLEM, "problem") /* a new one, or without text: none any more */

enum ctl_happening {
#define X(name, text) CTL_EV_##name,
	CTL_HAPPENINGS(X)
#undef X
	    CTL_EV_END
};

/* How a VM's run ended: X(NAME, name for JSON) */
#define CTL_OUTCOMES(X)                                            \
	X(NONE, "") /* it did not end */                           \
	X(OFF, "off") /* powered off by its guest, asked or not */ \
	X(STOPPED, "stopped") /* as asked */                       \
	X(FORCED, "forced")                                        \
	X(RESETS, "resets") /* by its guest, too many */           \
	X(ERROR, "error")                                          \
	X(UNSTARTED, "unstarted")

enum ctl_outcome {
#define X(name, text) CTL_OUT_##name,
	CTL_OUTCOMES(X)
#undef X
	    CTL_OUT_END
};

struct ctl_event {
	uint64_t ms; /* since 1970 */
	uint32_t what; /* enum ctl_happening */
	uint32_t outcome; /* enum ctl_outcome, with STOPPED */
	uint32_t id;
	char name[64];
	char text[256]; /* why or how, or "" */
};

/* "u32 id, str name" */
struct ctl_target {
	uint32_t id;
	char name[64];
};

int ctl_target_put(struct ibuf *, const struct ctl_target *);
int ctl_target_get(struct ibuf *, struct ctl_target *); /* 0 or -EBADMSG */
int ctl_vm_put(struct ibuf *, const struct ctl_vm *);
int ctl_vm_get(struct ibuf *, struct ctl_vm *); /* 0 or -EBADMSG */
int ctl_event_put(struct ibuf *, const struct ctl_event *);
int ctl_event_get(struct ibuf *, struct ctl_event *); /* 0 or -EBADMSG */
int ctl_kept_put(struct ibuf *, const struct ctl_kept *);
int ctl_kept_get(struct ibuf *, struct ctl_kept *); /* 0 or -EBADMSG */
/* "stopped" */
const char *ctl_event_name(uint32_t what);
/* "off" */
const char *ctl_outcome_name(uint32_t outcome);
/* str fields: at most len - 1 bytes, no NUL inside; 0 or -EBADMSG. */
int ctl_put_str(struct ibuf *, const char *);
int ctl_get_str(struct ibuf *, char *, size_t len);

#endif
