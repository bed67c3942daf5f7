/* SPDX-License-Identifier: ISC */
/*
 * A configuration in the language that it was read from.
 *
 * Invariants
 *  1. conf_load() of what confprint() wrote gives the same configuration,
 *     without an error or a warning.
 *  2. All that the user chose freely is quoted, so that no string is a
 *     statement.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "confprint.h"
#include "instance.h"
#include "lex.h"

/* Options one after the other: what is before the first and the others. */
struct list {
	FILE *f;
	const char *first, *next;
	unsigned n;
};

static void
item(struct list *l)
{
	fputs(l->n++ == 0 ? l->first : l->next, l->f);
}

/*
 * So many bytes of s are written in quotes.  There a backslash makes the
 * quote and blanks part of the string but not itself, so none can be the last
 * byte.  A string that ends in one was a word at its end, and is again.
 */
static size_t
quotable(const char *s)
{
	size_t len = strlen(s), n = len, i;

	if (len == 0 || s[len - 1] != '\\')
		return len;
	for (i = len; i-- > 0 && lex_word_char((unsigned char)s[i]);) {
		if (lex_word_start((unsigned char)s[i]) &&
		    (i == 0 || s[i - 1] != '\\'))
			n = i;
	}
	return n;
}

static void
string(FILE *f, const char *s)
{
	size_t n = quotable(s), i;
	bool escape;

	if (n > 0 || *s == '\0')
		putc('"', f);
	for (i = 0; i < n; i++) {
		escape =
		    i > 0 && s[i - 1] == '\\' && (s[i] == ' ' || s[i] == '\t');
		if (escape || s[i] == '"')
			putc('\\', f);
		putc(s[i], f);
	}
	if (n > 0 || *s == '\0')
		putc('"', f);
	/* A backslash before the end of the line would continue it. */
	if (s[n] != '\0')
		fprintf(f, "%s%s ", n > 0 ? " " : "", s + n);
}

static void
size(FILE *f, uint64_t n)
{
	static const char suffixes[] = "KMGTPE";
	const char *p = suffixes;

	for (; n != 0 && n % 1024 == 0; n /= 1024)
		p++;
	fprintf(f, "%llu", (unsigned long long)n);
	if (p != suffixes)
		putc(p[-1], f);
}

static void
number(FILE *f, uint64_t n)
{
	fprintf(f, "%llu", (unsigned long long)n);
}

static void
limit(struct list *l, const char *what, const struct vm_limit *v,
    void (*print)(FILE *, uint64_t))
{
	if (v->rate == 0)
		return;
	item(l);
	fprintf(l->f, "%s ", what);
	print(l->f, v->rate);
	if (v->burst != v->rate) {
		fputs(" burst ", l->f);
		print(l->f, v->burst);
	}
}

static void
owner(FILE *f, uid_t uid, gid_t gid)
{
	fprintf(f, "owner %u", uid);
	if (gid != VM_NOGID)
		fprintf(f, ":%u", gid);
}

static void
local(FILE *f, const struct conf_local *l)
{
	struct in_addr a = { .s_addr = htonl(l->prefix) };
	char text[INET6_ADDRSTRLEN];

	inet_ntop(AF_INET, &a, text, sizeof(text));
	fprintf(f, "local prefix %s/%u\n", text, l->len);
	if (!l->inet6)
		return;
	fputs("local inet6", f);
	if (l->prefix6_given) {
		inet_ntop(AF_INET6, l->prefix6, text, sizeof(text));
		fprintf(f, " prefix %s/%u", text, l->len6);
	}
	putc('\n', f);
}

static void
remote(FILE *f, const struct conf *c)
{
	const struct conf_listen *l;
	unsigned i, k;

	for (i = 0; i < c->nlistens; i++) {
		l = &c->listen[i];
		fputs("listen on ", f);
		string(f, l->addr);
		fprintf(f, " port %u tls {\n", l->port);
		for (k = 0; k < CONF_TLS_FILES; k++) {
			if (l->file[k][0] == '\0')
				continue;
			fprintf(f, "\t%s ", conf_tls_name((enum conf_tls)k));
			string(f, l->file[k]);
			putc('\n', f);
		}
		fputs("}\n", f);
	}
	for (i = 0; i < c->nremotes; i++) {
		fputs("allow client ", f);
		string(f, c->remote[i].subject);
		fputs(" as ", f);
		number(f, c->remote[i].uid);
		putc('\n', f);
	}
}

static void
global(FILE *f, const struct conf *c)
{
	fputs("socket ", f);
	owner(f, c->sock_uid, c->sock_gid);
	putc('\n', f);
	if (c->hypervisor[0] != '\0') {
		fputs("hypervisor ", f);
		string(f, c->hypervisor);
		putc('\n', f);
	}
	if (c->parallel != 0)
		fprintf(f, "staggered start parallel %u delay %u\n",
		    c->parallel, c->delay);
	local(f, &c->local);
	remote(f, c);
}

/* What interfaces and switches may both have. */
static void
net_options(struct list *l, const struct vm_nicconf *n)
{
	const uint8_t *a = n->lladdr;

	if (n->group[0] != '\0') {
		item(l);
		fputs("group ", l->f);
		string(l->f, n->group);
	}
	if ((n->flags & (VM_NIC_LOCKED | VM_NIC_LLADDR)) != 0) {
		item(l);
		fprintf(l->f, "%slladdr",
		    (n->flags & VM_NIC_LOCKED) != 0 ? "locked " : "");
		if ((n->flags & VM_NIC_LLADDR) != 0)
			fprintf(l->f, " %02x:%02x:%02x:%02x:%02x:%02x", a[0],
			    a[1], a[2], a[3], a[4], a[5]);
	}
	if (n->rdomain != 0) {
		item(l);
		fprintf(l->f, "rdomain %u", n->rdomain);
	}
	if ((n->flags & VM_NIC_DOWN) != 0) {
		item(l);
		fputs("down", l->f);
	}
}

static void
net_switch(FILE *f, const struct conf_switch *sw)
{
	struct list l = { f, "\t", "\n\t", 0 };

	fputs("switch ", f);
	string(f, sw->name);
	fputs(" {\n", f);
	item(&l);
	fputs("interface ", f);
	string(f, sw->nic.ifname);
	if (sw->create) {
		item(&l);
		fputs("create", f);
	}
	net_options(&l, &sw->nic);
	fputs("\n}\n", f);
}

/* The beginning of a line about something that an instance may inherit. */
static void
begin(FILE *f, const struct vmconf *c, enum vm_item what)
{
	bool own = c->parent[0] == '\0' || (c->given & what) != 0;

	fputs(own ? "\t" : "\t#", f);
}

static void
line(FILE *f, const struct vmconf *c, enum vm_item what, const char *keyword,
    const char *s)
{
	begin(f, c, what);
	fprintf(f, "%s ", keyword);
	string(f, s);
	putc('\n', f);
}

static void
boot(FILE *f, const struct vmconf *c)
{
	if (c->kernel[0] != '\0')
		line(f, c, VM_I_BOOT, "boot", c->kernel);
	if (c->bootdev != VM_BOOT_ANY) {
		begin(f, c, VM_I_BOOT);
		fprintf(f, "boot device %s\n", vm_bootdev_names[c->bootdev]);
	}
	if (c->initrd[0] != '\0')
		line(f, c, VM_I_BOOT, "initrd", c->initrd);
	if (c->floppy[0] != '\0')
		line(f, c, VM_I_BOOT, "floppy", c->floppy);
	if (c->efivars[0] != '\0')
		line(f, c, VM_I_DISK, "efivars", c->efivars);
	/* An instance may have said so to have none of these. */
	if (c->cmdline[0] != '\0' ||
	    ((c->given & VM_I_BOOT) != 0 && c->kernel[0] == '\0' &&
		c->initrd[0] == '\0' && c->floppy[0] == '\0'))
		line(f, c, VM_I_BOOT, "cmdline", c->cmdline);
}

static void
disk(FILE *f, const struct vm_diskconf *d)
{
	struct list l = { f, " ", " ", 0 };

	fputs("\tdisk ", f);
	string(f, d->path);
	if (d->format != VM_DISK_ANY)
		fprintf(f, " format %s",
		    d->format == VM_DISK_RAW ? "raw" : "qcow2");
	if (d->base[0] != '\0') {
		fputs(" base ", f);
		string(f, d->base);
	}
	if (d->readonly)
		fputs(" readonly", f);
	if (d->serial[0] != '\0') {
		fputs(" serial ", f);
		string(f, d->serial);
	}
	limit(&l, "iops", &d->iops, number);
	limit(&l, "bandwidth", &d->bandwidth, size);
	putc('\n', f);
}

static void
nic(FILE *f, const struct vmconf *c, const struct vm_nicconf *n)
{
	struct list l = { f, " { ", ", ", 0 };

	begin(f, c, VM_I_INTERFACE);
	fprintf(
	    f, "%sinterface ", (n->flags & VM_NIC_LOCAL) != 0 ? "local " : "");
	if ((n->flags & VM_NIC_USER) != 0)
		fputs("user", f);
	else
		fputs(n->ifname[0] != '\0' ? n->ifname : "tap", f);
	if (n->sw[0] != '\0') {
		item(&l);
		fputs("switch ", f);
		string(f, n->sw);
	}
	net_options(&l, n);
	limit(&l, "bandwidth", &n->bandwidth, size);
	fputs(l.n > 0 ? " }\n" : "\n", f);
}

static void
quotas(FILE *f, const struct vmconf *c)
{
	struct list l = { f, " ", ", ", 0 };
	const struct vm_quota_row *row;
	unsigned i;

	if (!vmconf_limited(c) && (c->given & VM_I_LIMIT) == 0)
		return;
	begin(f, c, VM_I_LIMIT);
	fputs("limit {", f);
	for (i = 0; i < VM_QUOTAS; i++) {
		if (c->quota[i] == 0)
			continue;
		row = &vm_quota_rows[i];
		item(&l);
		fprintf(f, "%s ", row->words);
		(row->form == VM_Q_SIZE ? size : number)(f, c->quota[i]);
		if (row->form == VM_Q_PERCENT)
			putc('%', f);
	}
	fputs(" }\n", f);
}

static void
allow(FILE *f, const struct vmconf *c)
{
	struct list l = { f, " ", ", ", 0 };
	const char *name;
	uint32_t what;
	size_t i;

	if (c->allow.items == 0 && (c->given & VM_I_INSTANCE) == 0)
		return;
	begin(f, c, VM_I_INSTANCE);
	fputs("allow instance {", f);
	for (i = 0; (name = instance_item(i, &what)) != NULL; i++) {
		if ((c->allow.items & what) != 0) {
			item(&l);
			fputs(name, f);
		}
	}
	if ((c->allow.items & VM_I_OWNER) != 0) {
		item(&l);
		owner(f, c->allow.uid, c->allow.gid);
	}
	fputs(" }\n", f);
}

static void
seed_item(struct list *l, const char *name, const char *s)
{
	if (s[0] == '\0')
		return;
	item(l);
	fprintf(l->f, "%s ", name);
	string(l->f, s);
}

static void
seed(FILE *f, const struct vmconf *c)
{
	struct list l = { f, " ", ", ", 0 };

	if ((c->flags & VM_F_SEED) == 0)
		return;
	begin(f, c, VM_I_SEED);
	fputs("cloud-init {", f);
	seed_item(&l, "user-data", c->seed.user_data);
	seed_item(&l, "network-config", c->seed.network_config);
	seed_item(&l, "ssh-key", c->seed.ssh_key);
	seed_item(&l, "hostname", c->seed.hostname);
	fputs(" }\n", f);
}

static void
vm_devices(FILE *f, const struct vmconf *c)
{
	uint32_t i;

	for (i = 0; i < c->ndisks; i++)
		disk(f, &c->disk[i]);
	if (c->cdrom[0] != '\0')
		line(f, c, VM_I_CDROM, "cdrom", c->cdrom);
	for (i = 0; i < c->nnics; i++)
		nic(f, c, &c->nic[i]);
	if (c->nnics == 0 && (c->given & VM_I_INTERFACE) != 0)
		fputs("\tinterfaces 0\n", f);
}

static void
vm(FILE *f, const struct vmconf *c)
{
	unsigned i;

	fputs("vm ", f);
	if (c->parent[0] != '\0') {
		string(f, c->parent);
		fputs(" instance ", f);
	}
	string(f, c->name);
	fputs(" {\n", f);
	fprintf(f, "\t%s\n",
	    (c->flags & VM_F_DISABLED) != 0 ? "disable" : "enable");
	begin(f, c, VM_I_MEMORY);
	fputs("memory ", f);
	size(f, c->memory);
	putc('\n', f);
	begin(f, c, VM_I_CPUS);
	fprintf(f, "cpus %u\n", c->cpus);
	if (c->cpu != VM_CPU_HOST || (c->given & VM_I_CPU) != 0) {
		begin(f, c, VM_I_CPU);
		fprintf(f, "cpu %s\n", vmconf_cpu_name(c->cpu));
	}
	boot(f, c);
	vm_devices(f, c);
	seed(f, c);
	if ((c->flags & VM_F_SCREEN) != 0)
		fputs("\tscreen\n", f);
	for (i = VM_TTY_SERIAL2; i < VM_TTYS; i++)
		if (vmconf_has_tty(c, i))
			fprintf(f, "\tconsole %s\n", vm_tty_names[i]);
	if ((c->flags & VM_F_SAVE) != 0)
		fputs("\ton shutdown save\n", f);
	if ((c->flags & VM_F_SEV) != 0)
		fprintf(
		    f, "\tsev%s\n", (c->flags & VM_F_SEVES) != 0 ? "es" : "");
	quotas(f, c);
	begin(f, c, VM_I_OWNER);
	owner(f, c->uid, c->gid);
	putc('\n', f);
	allow(f, c);
	fputs("}\n", f);
}

int
confprint(FILE *f, const struct conf *c)
{
	const struct conf_switch *sw;
	const struct conf_vm *cv;

	global(f, c);
	TAILQ_FOREACH(sw, &c->switches, entry)
	net_switch(f, sw);
	TAILQ_FOREACH(cv, &c->vms, entry)
	vm(f, &cv->conf);
	errno = 0;
	if (fflush(f) == 0 && !ferror(f))
		return 0;
	return errno != 0 ? -errno : -EIO;
}
