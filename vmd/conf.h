/* SPDX-License-Identifier: ISC */
#ifndef VMD_CONF_H
#define VMD_CONF_H

/* vm.conf(5) as a whole: what parse.y makes of a file. */
#include <sys/queue.h>
#include <stdbool.h>
#include "macro.h"
#include "vmconf.h"

#define CONF_FILE    "/etc/vm.conf"
#define CONF_VMS_MAX 1024
#define CONF_DELAY   30 /* seconds, staggered start */

struct conf_vm {
	TAILQ_ENTRY(conf_vm) entry;
	struct vmconf conf;
	bool merged; /* with its parent's, for an instance */
	/* Where it is declared; while the file is being read. */
	const char *file;
	unsigned line;
};

/* A switch: a bridge of the host and what its interfaces inherit. */
struct conf_switch {
	TAILQ_ENTRY(conf_switch) entry;
	char name[VM_NAME_MAX + 1];
	/* ifname: the bridge; flags: VM_NIC_LOCKED, VM_NIC_DOWN */
	struct vm_nicconf nic;
	bool create; /* make the bridge, and remove it in the end */
};

/* Where local interfaces get their addresses from. */
struct conf_local {
	uint32_t prefix; /* IPv4, host byte order */
	unsigned len; /* of the prefix in bits */
	bool inet6;
	bool prefix6_given;
	uint8_t prefix6[16];
	unsigned len6;
};

#define CONF_LOCAL_PREFIX 0x64400000 /* 100.64.0.0/10, RFC 6598 */
#define CONF_LOCAL_LEN	  10

/* Control from other hosts, by TLS. */
#define CONF_LISTENS_MAX 8
#define CONF_REMOTES_MAX 64
#define CONF_PORT	 7817
#define CONF_SUBJECT_MAX 255

enum conf_tls {
	CONF_TLS_CA, /* who signs clients' certificates */
	CONF_TLS_CERT,
	CONF_TLS_KEY,
	CONF_TLS_CRL, /* optional */
	CONF_TLS_FILES
};

struct conf_listen {
	char addr[46]; /* INET6_ADDRSTRLEN */
	uint16_t port;
	char file[CONF_TLS_FILES][VM_PATH_MAX + 1];
};

/* Who shows a certificate of this subject has the rights of that user. */
struct conf_remote {
	char subject[CONF_SUBJECT_MAX + 1];
	uid_t uid;
};

struct conf {
	uid_t sock_uid; /* of the control socket */
	gid_t sock_gid;
	char hypervisor[VM_PATH_MAX + 1]; /* "" = the usual devices */
	unsigned parallel; /* 0 = one per CPU of the host */
	unsigned delay;
	struct conf_local local;
	unsigned nlistens, nremotes;
	struct conf_listen listen[CONF_LISTENS_MAX];
	struct conf_remote remote[CONF_REMOTES_MAX];
	TAILQ_HEAD(conf_switches, conf_switch) switches;
	unsigned nvms;
	TAILQ_HEAD(conf_vms, conf_vm) vms;
};

struct conf_opts {
	const char *file;
	bool optional; /* no such file is like an empty one */
	bool check_paths; /* -n: kernels, initrds and disks must exist */
	/*
	 * Not a configuration by itself: what is not in this one yet is added
	 * to a copy of it.  Its files have to be root's alone, see
	 * lex_trust_root().
	 * NULL: from nothing.
	 */
	const struct conf *onto;
	const struct macros *macros; /* from -D */
	/* Errors and warnings, one line each. */
	void (*report)(
	    void *arg, const char *file, unsigned line, const char *text);
	/* Warnings only, when they are to be told apart; may be NULL. */
	void (*warn)(
	    void *arg, const char *file, unsigned line, const char *text);
	void *arg;
};

/* NULL when there was an error; all of them have been reported then. */
struct conf *conf_load(const struct conf_opts *);
struct conf *conf_new(void);
/* NULL without memory. */
struct conf *conf_copy(const struct conf *);
void conf_drop_vms(struct conf *);
void conf_drop_switches(struct conf *);
void conf_free(struct conf *);
const struct conf_switch *conf_switch(const struct conf *, const char *name);
const struct vmconf *conf_find(const struct conf *, const char *name);
/* The user that the subject of a certificate stands for; NULL: nobody. */
const struct conf_remote *conf_remote(const struct conf *, const char *subject);
/* "ca", "certificate", ... */
const char *conf_tls_name(enum conf_tls);

#endif
