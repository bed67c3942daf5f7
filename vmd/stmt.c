/* SPDX-License-Identifier: ISC */
/*
 * Statements of vm.conf(5).  The wording of errors follows OpenBSD's.
 *
 * Invariants
 *  1. A VM gets into the configuration only when its whole statement was
 *     free of errors, and only once per name.
 *  2. Every path stored is absolute and passes vmconf_path_ok().
 */
#include <sys/stat.h>
#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stmt.h"

static void __attribute__((format(printf, 4, 0))) say(struct parse *p,
    bool warning, struct lex_loc loc, const char *fmt, va_list ap)
{
	const struct conf_opts *o = p->opts;
	char *text, *c;

	if (vasprintf(&text, fmt, ap) == -1)
		return;
	/* What the file says must not act on the terminal. */
	for (c = text; *c != '\0'; c++) {
		if (iscntrl((unsigned char)*c))
			*c = '?';
	}
	if (warning && o->warn != NULL)
		o->warn(o->arg, loc.file, loc.line, text);
	else
		o->report(o->arg, loc.file, loc.line, text);
	free(text);
}

void
stmt_error(struct parse *p, struct lex_loc loc, const char *fmt, ...)
{
	va_list ap;

	if (p->errors == STMT_ERRORS_MAX)
		fmt = "too many errors";
	else if (p->errors > STMT_ERRORS_MAX)
		return;
	p->errors++;
	va_start(ap, fmt);
	say(p, false, loc, fmt, ap);
	va_end(ap);
}

void
stmt_warn(struct parse *p, struct lex_loc loc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(p, true, loc, fmt, ap);
	va_end(ap);
}

bool
stmt_only_once(
    struct parse *p, struct lex_loc loc, enum stmt_once which, const char *what)
{
	if (p->once & which) {
		stmt_error(p, loc, "%s specified more than once", what);
		return false;
	}
	p->once |= which;
	return true;
}

bool
stmt_path(struct parse *p, struct lex_loc loc, const char *what, const char *s,
    char *out)
{
	struct stat st;
	char *full;
	bool ok = false;

	if (*s == '\0') {
		stmt_error(p, loc, "empty %s path", what);
		return false;
	}
	if ((full = lex_path(p->lex, s)) == NULL) {
		stmt_error(p, loc, "%s", strerror(errno));
		return false;
	}
	if (strlen(full) > VM_PATH_MAX)
		stmt_error(p, loc, "%s path too long", what);
	else if (!vmconf_path_ok(full))
		stmt_error(p, loc, "control character in %s path", what);
	else if (p->opts->check_paths && stat(full, &st) == -1)
		stmt_error(p, loc, "%s path not found: %s: %s", what, s,
		    strerror(errno));
	else {
		memcpy(out, full, strlen(full) + 1);
		ok = true;
	}
	free(full);
	return ok;
}

/* The directory has to be there; the file is made at the VM's start. */
static bool
stmt_new_path(struct parse *p, struct lex_loc loc, const char *what,
    const char *s, char *out)
{
	char dir[VM_PATH_MAX + 1];
	struct conf_opts opts = *p->opts;
	const struct conf_opts *whole = p->opts;
	struct stat st;
	bool ok;

	opts.check_paths = false;
	p->opts = &opts;
	ok = stmt_path(p, loc, what, s, out);
	p->opts = whole;
	if (!ok || !whole->check_paths || stat(out, &st) == 0)
		return ok;
	memcpy(dir, out, sizeof(dir));
	strrchr(dir, '/')[1] = '\0';
	if (stat(dir, &st) == 0)
		return true;
	stmt_error(
	    p, loc, "%s path not found: %s: %s", what, s, strerror(errno));
	out[0] = '\0';
	return false;
}

static bool
all_digits(const char *s)
{
	return *s != '\0' && strspn(s, "0123456789") == strlen(s);
}

/* The two largest values mean "no id" to chown(2) and to us. */
static bool
number_id(const char *s, uint32_t *id)
{
	unsigned long long n;

	errno = 0;
	n = strtoull(s, NULL, 10);
	if (errno != 0 || n >= UINT32_MAX - 1)
		return false;
	*id = (uint32_t)n;
	return true;
}

static bool
user_id(const char *s, uid_t *uid)
{
	struct passwd *pw;

	if (all_digits(s))
		return number_id(s, uid);
	if ((pw = getpwnam(s)) == NULL)
		return false;
	*uid = pw->pw_uid;
	return true;
}

static bool
group_id(const char *s, gid_t *gid)
{
	struct group *gr;

	if (all_digits(s))
		return number_id(s, gid);
	if ((gr = getgrnam(s)) == NULL)
		return false;
	*gid = gr->gr_gid;
	return true;
}

/* user[:group] | :group | uid.  What is not given stays as it is. */
bool
stmt_ids(
    struct parse *p, struct lex_loc loc, const char *s, uid_t *uid, gid_t *gid)
{
	char user[256];
	const char *colon = strchr(s, ':');
	size_t n = colon != NULL ? (size_t)(colon - s) : strlen(s);

	if (n >= sizeof(user) || *s == '\0' || strcmp(s, ":") == 0) {
		stmt_error(p, loc, "failed to get user/group: %.64s", s);
		return false;
	}
	memcpy(user, s, n);
	user[n] = '\0';
	if (n > 0 && !user_id(user, uid)) {
		stmt_error(p, loc, "failed to get user/group: %.64s", s);
		return false;
	}
	if (colon != NULL && !group_id(colon + 1, gid)) {
		stmt_error(p, loc, "invalid group name: %.64s", colon + 1);
		return false;
	}
	return true;
}

const char *
stmt_file_error(int error)
{
	/* The lexer's own; open(2) for reading has no such error here. */
	if (error == -EPERM)
		return "not a regular file of root's that nobody else may "
		       "write";
	return strerror(-error);
}

void
stmt_include(struct parse *p, struct lex_loc loc, const char *file)
{
	int error = lex_include(p->lex, file);

	if (error == -E2BIG)
		stmt_error(p, loc, "too many included files: %s", file);
	else if (error != 0)
		stmt_error(p, loc, "failed to include file %s: %s", file,
		    stmt_file_error(error));
}

void
stmt_define(
    struct parse *p, struct lex_loc loc, const char *name, const char *value)
{
	int error;

	if (strpbrk(name, " \t") != NULL) {
		stmt_error(p, loc, "macro name cannot contain whitespace");
		return;
	}
	if (!macro_name_ok(name)) {
		stmt_error(p, loc, "invalid macro name: %.64s", name);
		return;
	}
	error = macro_set(&p->macros, name, value, false, loc.file, loc.line);
	if (error != 0)
		stmt_error(p, loc, "%s", strerror(-error));
}

void
stmt_socket(struct parse *p, struct lex_loc loc, const char *s)
{
	uid_t uid = 0;
	gid_t gid = 0;

	if (stmt_ids(p, loc, s, &uid, &gid)) {
		p->conf->sock_uid = uid;
		p->conf->sock_gid = gid;
	}
}

void
stmt_staggered(
    struct parse *p, struct lex_loc loc, int64_t parallel, int64_t delay)
{
	if (parallel < 1 || parallel > CONF_VMS_MAX)
		stmt_error(p, loc, "invalid parallel value: %lld",
		    (long long)parallel);
	else if (delay < 0 || delay > 86400)
		stmt_error(
		    p, loc, "invalid delay value: %lld", (long long)delay);
	else {
		p->conf->parallel = (unsigned)parallel;
		p->conf->delay = (unsigned)delay;
	}
}

void
stmt_hypervisor(struct parse *p, struct lex_loc loc, const char *s)
{
	if (p->hypervisor) {
		stmt_error(p, loc, "hypervisor specified more than once");
		return;
	}
	p->hypervisor = stmt_path(p, loc, "hypervisor", s, p->conf->hypervisor);
}

void
stmt_vm_begin(
    struct parse *p, struct lex_loc loc, const char *name, const char *parent)
{
	vmconf_init(&p->vm->conf);
	p->vm->file = loc.file;
	p->vm->line = loc.line;
	p->vm_loc = loc;
	p->vm_errors = p->errors;
	p->once = 0;
	p->nstmts = 0;
	p->interfaces = 0;
	if (strlen(name) > VM_NAME_MAX)
		stmt_error(p, loc, "vm name too long");
	else if (!vmconf_name_ok(name))
		stmt_error(p, loc, "invalid vm name: %s", name);
	else
		memcpy(p->vm->conf.name, name, strlen(name) + 1);
	if (parent == NULL)
		return;
	if (!vmconf_name_ok(parent))
		stmt_error(p, loc, "invalid vm name: %.64s", parent);
	else
		memcpy(p->vm->conf.parent, parent, strlen(parent) + 1);
}

/* An instance may have it from its parent. */
static void
check_boot_device(struct parse *p, struct lex_loc loc)
{
	const struct vmconf *c = &p->vm->conf;
	const char *lacks = vmconf_bootdev_lacks(c);

	if (lacks != NULL && c->parent[0] == '\0')
		stmt_error(
		    p, loc, "boot device %s: the vm has no %s", lacks, lacks);
	else if (c->bootdev == VM_BOOT_NET && c->kernel[0] == '\0' &&
	    c->parent[0] == '\0')
		stmt_error(p, loc, "boot device net: no kernel given");
}

void
stmt_vm_end(struct parse *p, struct lex_loc loc)
{
	struct conf_vm *next;

	if (p->nstmts == 0 && p->errors == p->vm_errors)
		stmt_error(p, loc, "syntax error");
	check_boot_device(p, loc);
	if (p->errors != p->vm_errors)
		return;
	stmt_nics_fill(p);
	if (conf_find(p->conf, p->vm->conf.name) != NULL) {
		/* As in OpenBSD: the first one counts. */
		stmt_warn(p, p->vm_loc, "vm \"%s\" defined before, skipped",
		    p->vm->conf.name);
		return;
	}
	if (p->conf->nvms == CONF_VMS_MAX) {
		stmt_error(p, p->vm_loc, "too many vms");
		return;
	}
	if ((next = calloc(1, sizeof(*next))) == NULL) {
		stmt_error(p, loc, "out of memory");
		return;
	}
	TAILQ_INSERT_TAIL(&p->conf->vms, p->vm, entry);
	p->conf->nvms++;
	p->vm = next;
}

void
stmt_memory(struct parse *p, struct lex_loc loc, const char *size)
{
	uint64_t bytes;
	int error;

	p->nstmts++;
	if (!stmt_only_once(p, loc, STMT_MEMORY, "memory"))
		return;
	error = vmconf_size(size, &bytes);
	if (error == -ERANGE || (error == 0 && bytes > VM_MEMORY_MAX)) {
		stmt_error(p, loc, "memory size too large (limit is %lluT)",
		    VM_MEMORY_MAX >> 40);
		return;
	}
	if (error != 0) {
		stmt_error(p, loc, "failed to parse size: %.64s", size);
		return;
	}
	if (bytes < VM_MEMORY_MIN) {
		stmt_error(p, loc, "memory size must be at least %lluMB",
		    VM_MEMORY_MIN >> 20);
		return;
	}
	if (bytes % (1 << 20) != 0) {
		bytes -= bytes % (1 << 20);
		stmt_warn(p, loc, "memory size rounded to %lluM",
		    (unsigned long long)bytes >> 20);
	}
	p->vm->conf.memory = bytes;
	p->vm->conf.given |= VM_I_MEMORY;
}

void
stmt_cpus(struct parse *p, struct lex_loc loc, int64_t n)
{
	p->nstmts++;
	if (!stmt_only_once(p, loc, STMT_CPUS, "cpus"))
		return;
	if (n < 1)
		stmt_error(
		    p, loc, "invalid number of cpus: %lld", (long long)n);
	else if (n > VM_CPUS_MAX)
		stmt_error(p, loc, "too many cpus: %lld (limit is %d)",
		    (long long)n, VM_CPUS_MAX);
	else
		p->vm->conf.cpus = (uint32_t)n;
	p->vm->conf.given |= VM_I_CPUS;
}

void
stmt_cpu(struct parse *p, struct lex_loc loc, const char *name)
{
	p->nstmts++;
	if (!stmt_only_once(p, loc, STMT_CPU, "cpu"))
		return;
	if (!vmconf_cpu(name, &p->vm->conf.cpu))
		stmt_error(p, loc,
		    "unknown cpu: %.64s (host, x86-64-v1, x86-64-v2 or "
		    "x86-64-v3)",
		    name);
	p->vm->conf.given |= VM_I_CPU;
}

void
stmt_boot(struct parse *p, struct lex_loc loc, const char *s)
{
	p->nstmts++;
	p->vm->conf.given |= VM_I_BOOT;
	if (stmt_only_once(p, loc, STMT_BOOT, "kernel"))
		stmt_path(p, loc, "kernel", s, p->vm->conf.kernel);
}

void
stmt_boot_device(struct parse *p, struct lex_loc loc, const char *s)
{
	p->nstmts++;
	p->vm->conf.given |= VM_I_BOOT;
	if (stmt_only_once(p, loc, STMT_BOOT_DEVICE, "boot device") &&
	    !vmconf_bootdev(s, &p->vm->conf.bootdev))
		stmt_error(p, loc,
		    "unknown boot device %.64s: neither cdrom, disk nor net",
		    s);
}

void
stmt_initrd(struct parse *p, struct lex_loc loc, const char *s)
{
	p->nstmts++;
	p->vm->conf.given |= VM_I_BOOT;
	if (stmt_only_once(p, loc, STMT_INITRD, "initrd"))
		stmt_path(p, loc, "initrd", s, p->vm->conf.initrd);
}

void
stmt_cmdline(struct parse *p, struct lex_loc loc, const char *s)
{
	p->nstmts++;
	p->vm->conf.given |= VM_I_BOOT;
	if (!stmt_only_once(p, loc, STMT_CMDLINE, "cmdline"))
		return;
	if (strlen(s) > VM_CMDLINE_MAX)
		stmt_error(p, loc, "cmdline too long");
	else
		memcpy(p->vm->conf.cmdline, s, strlen(s) + 1);
}

void
stmt_floppy(struct parse *p, struct lex_loc loc, const char *s)
{
	p->nstmts++;
	p->vm->conf.given |= VM_I_BOOT;
	if (stmt_only_once(p, loc, STMT_FLOPPY, "floppy"))
		stmt_path(p, loc, "floppy", s, p->vm->conf.floppy);
}

void
stmt_efivars(struct parse *p, struct lex_loc loc, const char *s)
{
	p->nstmts++;
	p->vm->conf.given |= VM_I_DISK;
	if (stmt_only_once(p, loc, STMT_EFIVARS, "efivars"))
		stmt_new_path(p, loc, "efivars", s, p->vm->conf.efivars);
}

void
stmt_disk_free(struct stmt_disk *o)
{
	free(o->format);
	free(o->serial);
	free(o->base);
	free(o->bandwidth);
	free(o->bandwidth_burst);
}

/* Without a burst, that of one second. */
static bool
iops(struct parse *p, struct lex_loc loc, const struct stmt_disk *o,
    struct vm_limit *l)
{
	if (!o->has_iops)
		return true;
	if (o->iops < 1 || (o->has_iops_burst && o->iops_burst < 1)) {
		stmt_error(p, loc, "iops must be at least 1");
		return false;
	}
	l->rate = (uint64_t)o->iops;
	l->burst = o->has_iops_burst ? (uint64_t)o->iops_burst : l->rate;
	return true;
}

bool
stmt_bandwidth(struct parse *p, struct lex_loc loc, const char *rate,
    const char *burst, struct vm_limit *l)
{
	if (rate == NULL)
		return true;
	if (vmconf_size(rate, &l->rate) != 0 ||
	    (burst != NULL && vmconf_size(burst, &l->burst) != 0)) {
		stmt_error(p, loc, "failed to parse bandwidth");
		return false;
	}
	if (burst == NULL)
		l->burst = l->rate;
	if (l->rate >= VM_BANDWIDTH_MIN && l->burst >= VM_BANDWIDTH_MIN)
		return true;
	stmt_error(
	    p, loc, "bandwidth must be at least %uK", VM_BANDWIDTH_MIN / 1024);
	return false;
}

void
stmt_disk(struct parse *p, struct lex_loc loc, const char *s,
    const struct stmt_disk *o)
{
	struct vmconf *c = &p->vm->conf;
	struct vm_diskconf d = { .readonly = o->readonly };

	p->nstmts++;
	if (!vmconf_format(o->format, &d.format)) {
		stmt_error(p, loc, "unrecognized disk format %.64s", o->format);
		return;
	}
	if (o->serial != NULL && !vmconf_serial_ok(o->serial)) {
		stmt_error(p, loc,
		    "invalid serial: not 1 to %d printable characters",
		    VM_SERIAL_MAX);
		return;
	}
	if (o->serial != NULL)
		memcpy(d.serial, o->serial, strlen(o->serial) + 1);
	if (!iops(p, loc, o, &d.iops) ||
	    !stmt_bandwidth(
		p, loc, o->bandwidth, o->bandwidth_burst, &d.bandwidth))
		return;
	if (o->base != NULL && !stmt_path(p, loc, "base", o->base, d.base))
		return;
	if (c->ndisks == VM_DISKS_MAX) {
		stmt_error(p, loc, "too many disks");
		return;
	}
	if (stmt_path(p, loc, "disk", s, d.path))
		c->disk[c->ndisks++] = d;
	c->given |= VM_I_DISK;
}

void
stmt_cdrom(struct parse *p, struct lex_loc loc, const char *s)
{
	p->nstmts++;
	if (stmt_only_once(p, loc, STMT_CDROM, "cdrom")) {
		stmt_path(p, loc, "cdrom", s, p->vm->conf.cdrom);
		p->vm->conf.given |= VM_I_CDROM;
	}
}

void
stmt_enable(struct parse *p, bool on)
{
	p->nstmts++;
	if (on)
		p->vm->conf.flags &= ~(uint32_t)VM_F_DISABLED;
	else
		p->vm->conf.flags |= VM_F_DISABLED;
}

void
stmt_owner(struct parse *p, struct lex_loc loc, const char *s)
{
	struct vmconf *c = &p->vm->conf;
	uid_t uid = 0;
	gid_t gid = VM_NOGID;

	p->nstmts++;
	if (stmt_only_once(p, loc, STMT_OWNER, "owner") &&
	    stmt_ids(p, loc, s, &uid, &gid)) {
		c->given |= VM_I_OWNER;
		c->uid = uid;
		c->gid = gid;
	}
}

void
stmt_sev(struct parse *p, bool es)
{
	p->nstmts++;
	p->vm->conf.flags |= VM_F_SEV | (es ? VM_F_SEVES : 0);
}

void
stmt_screen(struct parse *p)
{
	p->nstmts++;
	p->vm->conf.flags |= VM_F_SCREEN;
}

/* The first is always there. */
void
stmt_console(struct parse *p, struct lex_loc at, const char *name)
{
	unsigned i;

	p->nstmts++;
	for (i = VM_TTY_SERIAL2; i < VM_TTYS; i++)
		if (strcmp(name, vm_tty_names[i]) == 0) {
			p->vm->conf.flags |= (uint32_t)VM_F_SERIAL2 << (i - 1);
			return;
		}
	stmt_error(p, at, "console %s: not serial2 or virtio", name);
}

void
stmt_on(struct parse *p, struct lex_loc at, const char *event,
    struct lex_loc then, const char *action)
{
	p->nstmts++;
	if (strcmp(event, "shutdown") != 0)
		stmt_error(p, at, "on %s: not shutdown", event);
	else if (strcmp(action, "save") == 0)
		p->vm->conf.flags |= VM_F_SAVE;
	else if (strcmp(action, "stop") == 0)
		p->vm->conf.flags &= ~(uint32_t)VM_F_SAVE;
	else
		stmt_error(p, then, "on shutdown %s: not save or stop", action);
}
