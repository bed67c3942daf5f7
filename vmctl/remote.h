/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_REMOTE_H
#define VMCTL_REMOTE_H

/*
 * vmd on another host, by TLS.
 *
 * The protocol, inside of TLS 1.2 or later with certificates on both sides:
 * the client says one line, "vmd 1 control", "vmd 1 console NAME", "vmd 1
 * serial2 NAME", "vmd 1 virtio NAME" or "vmd 1 stream TICKET"; the server answers "ok", or "no" with a reason, and a newline.  After "ok" the bytes are
 * those of the control socket (lib/ctl.h), without descriptors, of the VM's
 * line, or of a VM that is sent (vmd/send.h).
 */
struct cmd_env;

#define REMOTE_PORT	"7817"
#define REMOTE_ROLE	"remote"
#define REMOTE_LINE_MAX 640 /* an answer with its newline */

/*
 * A stream socket that leads there, by a process of its own that speaks TLS
 * and ends with it; or -errno after saying why not.  vm: whose console, which
 * is an enum vm_tty; NULL: control.
 */
int remote_open(const struct cmd_env *, const char *vm, unsigned console);
/* The same, to a VM that is received there: lib/ctl.h, RECEIVE. */
int remote_stream(const struct cmd_env *, const char *ticket);
/* That process: its exit status. */
int remote_relay(void);

/* Messages to it, and from it. */
#define REMOTE_REQUESTS(X) \
	X(RELAY_OPEN,      \
	    "str host, str port, str want, str directory (fd: for vmctl)")
#define REMOTE_ANSWERS(X)  \
	X(RELAY_READY, "") \
	X(RELAY_FAILED, "str one clear line")

enum remote_msg {
	REMOTE_MSG_NONE = 200,
#define X(n, fields) n,
	REMOTE_REQUESTS(X) REMOTE_ANSWERS(X)
#undef X
};

#endif
