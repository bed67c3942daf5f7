/* SPDX-License-Identifier: ISC */
#ifndef VMD_STMT_H
#define VMD_STMT_H

/*
 * What the statements of vm.conf mean: called by the grammar (parse.y) with
 * the values it found.  Each function reports its own errors; parsing goes
 * on, so that all errors of a file are seen in one run.
 */
#include <stdint.h>
#include "conf.h"
#include "lex.h"

#define STMT_ERRORS_MAX 100 /* then the rest of the file is not read */

enum stmt_once {
	STMT_MEMORY = 1 << 0,
	STMT_CPUS = 1 << 1,
	STMT_BOOT = 1 << 2,
	STMT_INITRD = 1 << 3,
	STMT_CMDLINE = 1 << 4,
	STMT_OWNER = 1 << 5,
	STMT_INTERFACES = 1 << 6,
	STMT_CDROM = 1 << 7,
	STMT_ALLOW = 1 << 8,
	STMT_LIMIT = 1 << 9,
	STMT_SEED = 1 << 10,
	STMT_CPU = 1 << 11,
	STMT_BOOT_DEVICE = 1 << 12,
	STMT_FLOPPY = 1 << 13,
	STMT_EFIVARS = 1 << 14,
	STMT_SEED_ITEM = 1 << 15, /* and those that follow, one for each */
};

struct parse {
	const struct conf_opts *opts;
	struct conf *conf;
	struct macros macros;
	struct lex *lex;
	unsigned errors;
	/* the vm statement being read */
	struct conf_vm *vm; /* never NULL inside of one */
	struct lex_loc vm_loc;
	unsigned vm_errors; /* p->errors when it began */
	unsigned once; /* enum stmt_once seen in it */
	unsigned nstmts;
	/* the interface or switch statement being read */
	struct vm_nicconf nic;
	struct conf_switch sw;
	unsigned nic_errors; /* p->errors when it began */
	bool sw_disabled;
	unsigned interfaces; /* interfaces N, 0: not given */
	bool hypervisor; /* seen */
	/* the listen statement being read */
	struct conf_listen listen;
	unsigned listen_errors; /* p->errors when it began */
	/* token stream, see yylex() */
	struct lex_token tok;
	int depth; /* braces open */
	int pending[2], npending; /* tokens to deliver first */
	bool reported; /* the lexer explained the current bad token */
};

void stmt_error(struct parse *, struct lex_loc, const char *, ...)
    __attribute__((format(printf, 3, 4)));
void stmt_warn(struct parse *, struct lex_loc, const char *, ...)
    __attribute__((format(printf, 3, 4)));
/* False, and an error, the second time in a vm block. */
bool stmt_only_once(
    struct parse *, struct lex_loc, enum stmt_once, const char *what);

/* Absolute and checked into out[VM_PATH_MAX + 1]; what is for messages. */
bool stmt_path(struct parse *, struct lex_loc, const char *what,
    const char *path, char *out);
/* Why a file cannot be read. */
const char *stmt_file_error(int error);
void stmt_include(struct parse *, struct lex_loc, const char *path);
void stmt_define(
    struct parse *, struct lex_loc, const char *name, const char *value);
void stmt_socket(struct parse *, struct lex_loc, const char *owner);
void
stmt_staggered(struct parse *, struct lex_loc, int64_t parallel, int64_t delay);
void stmt_hypervisor(struct parse *, struct lex_loc, const char *path);

/* parent NULL: not an instance. */
void stmt_vm_begin(
    struct parse *, struct lex_loc, const char *name, const char *parent);
void stmt_vm_end(struct parse *, struct lex_loc);
void stmt_memory(struct parse *, struct lex_loc, const char *size);
void stmt_cpus(struct parse *, struct lex_loc, int64_t);
void stmt_cpu(struct parse *, struct lex_loc, const char *name);
void stmt_boot(struct parse *, struct lex_loc, const char *path);
void stmt_boot_device(struct parse *, struct lex_loc, const char *);
void stmt_initrd(struct parse *, struct lex_loc, const char *path);
void stmt_cmdline(struct parse *, struct lex_loc, const char *);
void stmt_floppy(struct parse *, struct lex_loc, const char *path);
void stmt_efivars(struct parse *, struct lex_loc, const char *path);
/* NULL, 0, or nothing: not given. */
struct stmt_disk {
	char *format, *serial, *base;
	bool readonly;
	bool has_iops, has_iops_burst;
	int64_t iops, iops_burst;
	char *bandwidth, *bandwidth_burst; /* sizes */
};
void stmt_disk(
    struct parse *, struct lex_loc, const char *path, const struct stmt_disk *);
/* rate NULL: no limit; burst NULL: that of one second.  False: an error. */
bool stmt_bandwidth(struct parse *, struct lex_loc, const char *rate,
    const char *burst, struct vm_limit *);
void stmt_cdrom(struct parse *, struct lex_loc, const char *path);
void stmt_disk_free(struct stmt_disk *);
void stmt_enable(struct parse *, bool);
void stmt_owner(struct parse *, struct lex_loc, const char *owner);
void stmt_sev(struct parse *, bool es);
void stmt_screen(struct parse *);
void stmt_console(struct parse *, struct lex_loc, const char *);
void stmt_on(struct parse *, struct lex_loc, const char *event, struct lex_loc,
    const char *action);
/* "user[:group]"; what is not given stays as it is. */
bool
stmt_ids(struct parse *, struct lex_loc, const char *, uid_t *uid, gid_t *gid);

/* stmt_remote.c: control from other hosts. */
void stmt_listen_begin(struct parse *, struct lex_loc, const char *on,
    const char *addr, const char *port, int64_t);
void stmt_listen_item(
    struct parse *, struct lex_loc, const char *item, const char *path);
void stmt_listen_end(struct parse *, struct lex_loc);
void stmt_allow_client(struct parse *, struct lex_loc, const char *subject,
    const char *as, const char *user);

/* stmt_seed.c: cloud-init. */
void stmt_seed_begin(struct parse *, struct lex_loc);
void
stmt_seed(struct parse *, struct lex_loc, const char *item, const char *value);
/* At the end of the file. */
void stmt_seed_check(struct parse *, const struct conf_vm *);

/* stmt_inst.c: instances. */
void stmt_allow_begin(struct parse *, struct lex_loc);
void stmt_allow(struct parse *, enum vm_item);
void stmt_allow_owner(struct parse *, struct lex_loc, const char *owner);
/* At the end of the file: every instance inherits from its parent. */
void stmt_instances(struct parse *);

/* stmt_limit.c: what all processes of a VM may use. */
void stmt_limit_begin(struct parse *, struct lex_loc);
/* which NULL: one word says it. */
void stmt_limit(struct parse *, struct lex_loc, const char *what,
    const char *which, const char *value);

/* stmt_net.c: networks. */
void stmt_local_prefix(struct parse *, struct lex_loc, const char *);
/* prefix NULL: a random one. */
void stmt_local_inet6(struct parse *, struct lex_loc, const char *prefix);
void stmt_switch_begin(struct parse *, struct lex_loc, const char *name);
void stmt_switch_end(struct parse *, struct lex_loc);
void stmt_switch_interface(struct parse *, struct lex_loc, const char *);
void stmt_switch_create(struct parse *);
void stmt_switch_enable(struct parse *, bool);
/* ifname NULL: none given. */
void
stmt_nic_begin(struct parse *, struct lex_loc, bool local, const char *ifname);
void stmt_nic_end(struct parse *, struct lex_loc);
void stmt_interfaces(struct parse *, struct lex_loc, int64_t);
/* At the end of a vm block. */
void stmt_nics_fill(struct parse *);
/* Options of both interfaces and switches. */
void stmt_group(struct parse *, struct lex_loc, const char *);
/* lladdr NULL: none given. */
void
stmt_lladdr(struct parse *, struct lex_loc, bool locked, const char *lladdr);
void stmt_rdomain(struct parse *, struct lex_loc, int64_t);
void stmt_nic_switch(struct parse *, struct lex_loc, const char *);
void stmt_up(struct parse *, bool);
void stmt_nic_bandwidth(
    struct parse *, struct lex_loc, const char *rate, const char *burst);

#endif
