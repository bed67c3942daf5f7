/* SPDX-License-Identifier: ISC */
/*
 * What a VM may be, independent of where the description came from: limits,
 * the name rule, sizes, and the wire form.
 *
 * Invariants
 *  1. A struct vmconf that vmconf_get() returned obeys every limit below;
 *     no string in it is unterminated or holds a control character, except
 *     cmdline, which is the guest's own business.
 *  2. The largest struct vmconf fits one message.
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "chan.h"
#include "ctl.h"
#include "imsg.h"
#include "vmconf.h"

#define CONF_WIRE_MAX                                                     \
	(2 + VM_NAME_MAX + 7 * 4 + 8 + 3 * 2 + 2 + 5 * VM_PATH_MAX +      \
	    VM_CMDLINE_MAX +                                              \
	    VM_DISKS_MAX *                                                \
		(4 + 2 * VM_PATH_MAX + 8 + 2 + VM_SERIAL_MAX + 4 * 8) +   \
	    4 +                                                           \
	    VM_NICS_MAX *                                                 \
		(8 + 6 + 16 + 3 * 2 + 2 * VM_IFNAME_MAX + VM_NAME_MAX) +  \
	    4 * 2 + 3 * VM_PATH_MAX + VM_HOSTNAME_MAX + 2 + VM_NAME_MAX + \
	    4 * 4 + VM_QUOTAS * 8)
static_assert(CONF_WIRE_MAX + 64 <= CHAN_MSG_MAX, "must fit a message");

const struct vm_quota_row vm_quota_rows[VM_QUOTAS] = {
	[VM_Q_CPU] = { "cpu", VM_Q_PERCENT, 1, 100000 },
	[VM_Q_CPU_WEIGHT] = { "cpu weight", VM_Q_NUMBER, 1, 10000 },
	[VM_Q_MEMORY] = { "memory", VM_Q_SIZE, VM_MEMORY_MIN, INT64_MAX },
	[VM_Q_IO_READ] = { "io read", VM_Q_SIZE, VM_BANDWIDTH_MIN, INT64_MAX },
	[VM_Q_IO_WRITE] = { "io write", VM_Q_SIZE, VM_BANDWIDTH_MIN,
	    INT64_MAX },
};

void
vmconf_init(struct vmconf *c)
{
	memset(c, 0, sizeof(*c));
	c->memory = VM_MEMORY_DFLT;
	c->cpus = 1;
	c->gid = c->allow.gid = VM_NOGID;
}

bool
vmconf_name_ok(const char *name)
{
	const char *p;

	if (!isascii((unsigned char)*name) || !isalnum((unsigned char)*name))
		return false;
	for (p = name; *p != '\0'; p++) {
		if (!isascii((unsigned char)*p) ||
		    (!isalnum((unsigned char)*p) && strchr(".-_", *p) == NULL))
			return false;
	}
	return (size_t)(p - name) <= VM_NAME_MAX;
}

bool
vmconf_path_ok(const char *path)
{
	const char *p;

	for (p = path; *p != '\0'; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return false;
	}
	return (size_t)(p - path) <= VM_PATH_MAX;
}

bool
vmconf_hostname_ok(const char *name)
{
	size_t len = strlen(name), label = 0, i;

	if (len > VM_HOSTNAME_MAX)
		return false;
	for (i = 0; i <= len; i++) {
		if (name[i] == '.' || name[i] == '\0') {
			if (label == 0 || label > 63 || name[i - 1] == '-')
				return false;
			label = 0;
		} else if (isascii((unsigned char)name[i]) &&
		    (isalnum((unsigned char)name[i]) ||
			(name[i] == '-' && label > 0)))
			label++;
		else
			return false;
	}
	return true;
}

const char *
vmconf_hostname(const struct vmconf *c)
{
	if (c->seed.hostname[0] != '\0')
		return c->seed.hostname;
	return vmconf_hostname_ok(c->name) ? c->name : NULL;
}

uint32_t
vmconf_nblks(const struct vmconf *c)
{
	return c->ndisks + ((c->flags & VM_F_SEED) != 0);
}

bool
vmconf_serial_ok(const char *s)
{
	size_t i;

	for (i = 0; s[i] != '\0'; i++)
		if (s[i] <= ' ' || s[i] > '~')
			return false;
	return i >= 1 && i <= VM_SERIAL_MAX;
}

const char *const vm_tty_names[VM_TTYS] = {
	[VM_TTY_SERIAL] = "serial",
	[VM_TTY_SERIAL2] = "serial2",
	[VM_TTY_VIRTIO] = "virtio",
};

bool
vmconf_has_tty(const struct vmconf *c, unsigned i)
{
	return i == VM_TTY_SERIAL ||
	    (c->flags & (uint32_t)VM_F_SERIAL2 << (i - 1)) != 0;
}

const char *const vm_bootdev_names[VM_BOOTDEVS] = {
	[VM_BOOT_ANY] = "",
	[VM_BOOT_DISK] = "disk",
	[VM_BOOT_CDROM] = "cdrom",
	[VM_BOOT_NET] = "net",
};

bool
vmconf_bootdev(const char *s, uint32_t *dev)
{
	for (uint32_t i = VM_BOOT_ANY + 1; i < VM_BOOTDEVS; i++)
		if (strcmp(s, vm_bootdev_names[i]) == 0) {
			*dev = i;
			return true;
		}
	return false;
}

const char *
vmconf_bootdev_lacks(const struct vmconf *c)
{
	switch (c->bootdev) {
	case VM_BOOT_DISK:
		return c->ndisks == 0 ? "disk" : NULL;
	case VM_BOOT_CDROM:
		return c->cdrom[0] == '\0' ? "cdrom" : NULL;
	}
	return NULL;
}

bool
vmconf_format(const char *name, enum vm_diskfmt *fmt)
{
	if (name == NULL)
		*fmt = VM_DISK_ANY;
	else if (strcmp(name, "raw") == 0)
		*fmt = VM_DISK_RAW;
	else if (strcmp(name, "qcow2") == 0)
		*fmt = VM_DISK_QCOW2;
	else
		return false;
	return true;
}

static const char *const cpu_names[] = {
	[VM_CPU_HOST] = "host",
	[VM_CPU_V1] = "x86-64-v1",
	[VM_CPU_V2] = "x86-64-v2",
	[VM_CPU_V3] = "x86-64-v3",
};

const char *
vmconf_cpu_name(uint32_t cpu)
{
	return cpu < sizeof(cpu_names) / sizeof(cpu_names[0]) ? cpu_names[cpu]
							      : NULL;
}

bool
vmconf_cpu(const char *name, uint32_t *cpu)
{
	const char *s;
	uint32_t i;

	for (i = 0; (s = vmconf_cpu_name(i)) != NULL; i++) {
		if (strcmp(name, s) == 0) {
			*cpu = i;
			return true;
		}
	}
	return false;
}

/* Bits to shift by for a scan_scaled(3) suffix, or -1. */
static int
suffix_shift(const char *s)
{
	static const char suffixes[] = "BKMGTPE";
	const char *p;

	if (*s == '\0')
		return 0;
	p = strchr(suffixes, toupper((unsigned char)*s));
	if (p == NULL || s[1] != '\0')
		return -1;
	return 10 * (int)(p - suffixes);
}

int
vmconf_size(const char *s, uint64_t *bytes)
{
	unsigned __int128 whole = 0, frac = 0, unit = 1;
	bool digits = false;
	int shift;

	for (; isdigit((unsigned char)*s); s++, digits = true) {
		whole = whole * 10 + (unsigned)(*s - '0');
		if (whole > UINT64_MAX)
			return -ERANGE;
	}
	if (*s == '.') {
		/* Digits beyond the 18th are less than a byte of an E. */
		for (s++; isdigit((unsigned char)*s); s++, digits = true) {
			if (unit < 1000000000000000000ULL) {
				frac = frac * 10 + (unsigned)(*s - '0');
				unit *= 10;
			}
		}
	}
	if (!digits || (shift = suffix_shift(s)) == -1)
		return -EINVAL;
	whole = (whole << shift) + ((frac << shift) / unit);
	if (whole > INT64_MAX)
		return -ERANGE;
	*bytes = (uint64_t)whole;
	return 0;
}

static bool
printable_ascii(const char *p)
{
	for (; *p != '\0'; p++)
		if (*p <= ' ' || *p >= 0x7f)
			return false;
	return true;
}

bool
vmconf_ifname_ok(const char *name)
{
	/* '%' makes the kernel choose a number. */
	return name[0] != '\0' && strlen(name) <= VM_IFNAME_MAX &&
	    strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
	    strpbrk(name, "/:%") == NULL && printable_ascii(name);
}

bool
vmconf_group_ok(const char *name)
{
	return vmconf_ifname_ok(name) &&
	    !isdigit((unsigned char)name[strlen(name) - 1]);
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool
lladdr_ok(const uint8_t a[6])
{
	static const uint8_t zero[6];

	return (a[0] & 1) == 0 && memcmp(a, zero, sizeof(zero)) != 0;
}

int
vmconf_lladdr(const char *s, uint8_t lladdr[6])
{
	uint8_t a[6];
	unsigned i;

	if (strlen(s) != 17)
		return -EINVAL;
	for (i = 0; i < 6; i++, s += 3) {
		if (hex(s[0]) == -1 || hex(s[1]) == -1 ||
		    s[2] != (i < 5 ? ':' : '\0'))
			return -EINVAL;
		a[i] = (uint8_t)(hex(s[0]) << 4 | hex(s[1]));
	}
	if (!lladdr_ok(a))
		return -EINVAL;
	memcpy(lladdr, a, sizeof(a));
	return 0;
}

static int
put_nics(struct ibuf *buf, const struct vmconf *c)
{
	const struct vm_nicconf *n;
	uint32_t i;
	int error;

	if (c->nnics > VM_NICS_MAX)
		return -EINVAL;
	if (ibuf_add_n32(buf, c->nnics) == -1)
		return -errno;
	for (i = 0; i < c->nnics; i++) {
		n = &c->nic[i];
		if (ibuf_add_n32(buf, n->flags) == -1 ||
		    ibuf_add_n32(buf, n->rdomain) == -1 ||
		    ibuf_add(buf, n->lladdr, sizeof(n->lladdr)) == -1 ||
		    ibuf_add_n64(buf, n->bandwidth.rate) == -1 ||
		    ibuf_add_n64(buf, n->bandwidth.burst) == -1)
			return -errno;
		if ((error = ctl_put_str(buf, n->ifname)) != 0 ||
		    (error = ctl_put_str(buf, n->sw)) != 0 ||
		    (error = ctl_put_str(buf, n->group)) != 0)
			return error;
	}
	return 0;
}

bool
vmconf_limited(const struct vmconf *c)
{
	unsigned i;

	for (i = 0; i < VM_QUOTAS; i++) {
		if (c->quota[i] != 0)
			return true;
	}
	return false;
}

static int
put_quotas(struct ibuf *buf, const struct vmconf *c)
{
	unsigned i;

	for (i = 0; i < VM_QUOTAS; i++) {
		if (ibuf_add_n64(buf, c->quota[i]) == -1)
			return -errno;
	}
	return 0;
}

static int
put_seed(struct ibuf *buf, const struct vm_seedconf *s)
{
	int error;

	if ((error = ctl_put_str(buf, s->user_data)) != 0 ||
	    (error = ctl_put_str(buf, s->network_config)) != 0 ||
	    (error = ctl_put_str(buf, s->ssh_key)) != 0)
		return error;
	return ctl_put_str(buf, s->hostname);
}

static int
put_instance(struct ibuf *buf, const struct vmconf *c)
{
	int error;

	if ((error = ctl_put_str(buf, c->parent)) != 0)
		return error;
	if (ibuf_add_n32(buf, c->given) == -1 ||
	    ibuf_add_n32(buf, c->allow.items) == -1 ||
	    ibuf_add_n32(buf, c->allow.uid) == -1 ||
	    ibuf_add_n32(buf, c->allow.gid) == -1)
		return -errno;
	return 0;
}

int
vmconf_put(struct ibuf *buf, const struct vmconf *c)
{
	uint32_t i;
	int error;

	if (c->ndisks > VM_DISKS_MAX)
		return -EINVAL;
	if ((error = ctl_put_str(buf, c->name)) != 0)
		return error;
	if (ibuf_add_n32(buf, c->flags) == -1 ||
	    ibuf_add_n64(buf, c->memory) == -1 ||
	    ibuf_add_n32(buf, c->cpus) == -1 ||
	    ibuf_add_n32(buf, c->cpu) == -1 ||
	    ibuf_add_n32(buf, c->uid) == -1 || ibuf_add_n32(buf, c->gid) == -1)
		return -errno;
	if ((error = ctl_put_str(buf, c->kernel)) != 0 ||
	    (error = ctl_put_str(buf, c->initrd)) != 0 ||
	    (error = ctl_put_str(buf, c->cmdline)) != 0 ||
	    (error = ctl_put_str(buf, c->floppy)) != 0 ||
	    (error = ctl_put_str(buf, c->efivars)) != 0 ||
	    (error = ctl_put_str(buf, c->cdrom)) != 0)
		return error;
	if (ibuf_add_n32(buf, c->bootdev) == -1 ||
	    ibuf_add_n32(buf, c->ndisks) == -1)
		return -errno;
	for (i = 0; i < c->ndisks; i++) {
		if ((error = ctl_put_str(buf, c->disk[i].path)) != 0 ||
		    (error = ctl_put_str(buf, c->disk[i].base)) != 0)
			return error;
		if (ibuf_add_n32(buf, c->disk[i].format) == -1 ||
		    ibuf_add_n32(buf, c->disk[i].readonly) == -1 ||
		    ibuf_add_n64(buf, c->disk[i].iops.rate) == -1 ||
		    ibuf_add_n64(buf, c->disk[i].iops.burst) == -1 ||
		    ibuf_add_n64(buf, c->disk[i].bandwidth.rate) == -1 ||
		    ibuf_add_n64(buf, c->disk[i].bandwidth.burst) == -1)
			return -errno;
		if ((error = ctl_put_str(buf, c->disk[i].serial)) != 0)
			return error;
	}
	if ((error = put_nics(buf, c)) != 0 ||
	    (error = put_quotas(buf, c)) != 0 ||
	    (error = put_seed(buf, &c->seed)) != 0)
		return error;
	return put_instance(buf, c);
}

/* A rate of nothing would be a device that never answers. */
static bool
limit_ok(const struct vm_limit *l)
{
	return l->rate == 0
	    ? l->burst == 0
	    : l->rate <= INT64_MAX && l->burst >= 1 && l->burst <= INT64_MAX;
}

#define FLAGS                                                            \
	((uint32_t)(VM_F_DISABLED | VM_F_ADHOC | VM_F_SEV | VM_F_SEVES | \
	    VM_F_CONF_BOOT | VM_F_CONF_CDROM | VM_F_SEED | VM_F_SCREEN | \
	    VM_F_SAVE | VM_F_SERIAL2 | VM_F_VIOCON))
#define NIC_FLAGS                                                              \
	((uint32_t)(VM_NIC_LOCAL | VM_NIC_USER | VM_NIC_LOCKED | VM_NIC_DOWN | \
	    VM_NIC_LLADDR))

static int
get_nic(struct ibuf *buf, struct vm_nicconf *n)
{
	static const uint8_t zero[6];

	if (ibuf_get_n32(buf, &n->flags) == -1 ||
	    ibuf_get_n32(buf, &n->rdomain) == -1 ||
	    ibuf_get(buf, n->lladdr, sizeof(n->lladdr)) == -1 ||
	    ibuf_get_n64(buf, &n->bandwidth.rate) == -1 ||
	    ibuf_get_n64(buf, &n->bandwidth.burst) == -1 ||
	    ctl_get_str(buf, n->ifname, sizeof(n->ifname)) != 0 ||
	    ctl_get_str(buf, n->sw, sizeof(n->sw)) != 0 ||
	    ctl_get_str(buf, n->group, sizeof(n->group)) != 0)
		return -EBADMSG;
	if (!limit_ok(&n->bandwidth) || (n->flags & ~NIC_FLAGS) != 0 ||
	    n->rdomain > VM_RDOMAIN_MAX ||
	    (n->ifname[0] != '\0' && !vmconf_ifname_ok(n->ifname)) ||
	    !vmconf_path_ok(n->sw) ||
	    (n->group[0] != '\0' && !vmconf_group_ok(n->group)) ||
	    (memcmp(n->lladdr, zero, 6) != 0 && !lladdr_ok(n->lladdr)))
		return -EBADMSG;
	return 0;
}

static int
get_nics(struct ibuf *buf, struct vmconf *c)
{
	uint32_t i;

	if (ibuf_get_n32(buf, &c->nnics) == -1 || c->nnics > VM_NICS_MAX)
		return -EBADMSG;
	for (i = 0; i < c->nnics; i++)
		if (get_nic(buf, &c->nic[i]) != 0)
			return -EBADMSG;
	return 0;
}

static bool
opt_path_ok(const char *path)
{
	return path[0] == '\0' || (path[0] == '/' && vmconf_path_ok(path));
}

static int
get_disk(struct ibuf *buf, struct vm_diskconf *d)
{
	uint32_t format, readonly;

	if (ctl_get_str(buf, d->path, sizeof(d->path)) != 0 ||
	    ctl_get_str(buf, d->base, sizeof(d->base)) != 0 ||
	    ibuf_get_n32(buf, &format) == -1 ||
	    ibuf_get_n32(buf, &readonly) == -1 ||
	    ibuf_get_n64(buf, &d->iops.rate) == -1 ||
	    ibuf_get_n64(buf, &d->iops.burst) == -1 ||
	    ibuf_get_n64(buf, &d->bandwidth.rate) == -1 ||
	    ibuf_get_n64(buf, &d->bandwidth.burst) == -1 ||
	    ctl_get_str(buf, d->serial, sizeof(d->serial)) != 0)
		return -EBADMSG;
	if (!limit_ok(&d->iops) || !limit_ok(&d->bandwidth) ||
	    (d->serial[0] != '\0' && !vmconf_serial_ok(d->serial)))
		return -EBADMSG;
	if (d->path[0] != '/' || !vmconf_path_ok(d->path) ||
	    !opt_path_ok(d->base) || format > VM_DISK_ANY || readonly > 1)
		return -EBADMSG;
	d->format = format;
	d->readonly = readonly;
	return 0;
}

static bool
limits_ok(const struct vmconf *c)
{
	return vmconf_name_ok(c->name) && (c->flags & ~FLAGS) == 0 &&
	    c->memory >= VM_MEMORY_MIN && c->memory <= VM_MEMORY_MAX &&
	    c->memory % (1 << 20) == 0 && c->cpus >= 1 &&
	    c->cpus <= VM_CPUS_MAX && vmconf_cpu_name(c->cpu) != NULL &&
	    vmconf_path_ok(c->kernel) && vmconf_path_ok(c->initrd) &&
	    opt_path_ok(c->floppy) && opt_path_ok(c->efivars) &&
	    opt_path_ok(c->cdrom) && c->bootdev < VM_BOOTDEVS &&
	    c->ndisks <= VM_DISKS_MAX;
}

static int
get_quotas(struct ibuf *buf, struct vmconf *c)
{
	const struct vm_quota_row *row;
	unsigned i;

	for (i = 0; i < VM_QUOTAS; i++) {
		row = &vm_quota_rows[i];
		if (ibuf_get_n64(buf, &c->quota[i]) == -1 ||
		    (c->quota[i] != 0 &&
			(c->quota[i] < row->min || c->quota[i] > row->max)))
			return -EBADMSG;
	}
	return 0;
}

static int
get_seed(struct ibuf *buf, struct vm_seedconf *s)
{
	if (ctl_get_str(buf, s->user_data, sizeof(s->user_data)) != 0 ||
	    ctl_get_str(buf, s->network_config, sizeof(s->network_config)) !=
		0 ||
	    ctl_get_str(buf, s->ssh_key, sizeof(s->ssh_key)) != 0 ||
	    ctl_get_str(buf, s->hostname, sizeof(s->hostname)) != 0)
		return -EBADMSG;
	if (!opt_path_ok(s->user_data) || !opt_path_ok(s->network_config) ||
	    !opt_path_ok(s->ssh_key) ||
	    (s->hostname[0] != '\0' && !vmconf_hostname_ok(s->hostname)))
		return -EBADMSG;
	return 0;
}

static int
get_instance(struct ibuf *buf, struct vmconf *c)
{
	if (ctl_get_str(buf, c->parent, sizeof(c->parent)) != 0 ||
	    ibuf_get_n32(buf, &c->given) == -1 ||
	    ibuf_get_n32(buf, &c->allow.items) == -1 ||
	    ibuf_get_n32(buf, &c->allow.uid) == -1 ||
	    ibuf_get_n32(buf, &c->allow.gid) == -1)
		return -EBADMSG;
	if ((c->parent[0] != '\0' && !vmconf_name_ok(c->parent)) ||
	    ((c->given | c->allow.items) & ~VM_I_ALL) != 0)
		return -EBADMSG;
	return 0;
}

int
vmconf_get(struct ibuf *buf, struct vmconf *out)
{
	struct vmconf c;
	uint32_t i;

	vmconf_init(&c);
	if (ctl_get_str(buf, c.name, sizeof(c.name)) != 0 ||
	    ibuf_get_n32(buf, &c.flags) == -1 ||
	    ibuf_get_n64(buf, &c.memory) == -1 ||
	    ibuf_get_n32(buf, &c.cpus) == -1 ||
	    ibuf_get_n32(buf, &c.cpu) == -1 ||
	    ibuf_get_n32(buf, &c.uid) == -1 ||
	    ibuf_get_n32(buf, &c.gid) == -1 ||
	    ctl_get_str(buf, c.kernel, sizeof(c.kernel)) != 0 ||
	    ctl_get_str(buf, c.initrd, sizeof(c.initrd)) != 0 ||
	    ctl_get_str(buf, c.cmdline, sizeof(c.cmdline)) != 0 ||
	    ctl_get_str(buf, c.floppy, sizeof(c.floppy)) != 0 ||
	    ctl_get_str(buf, c.efivars, sizeof(c.efivars)) != 0 ||
	    ctl_get_str(buf, c.cdrom, sizeof(c.cdrom)) != 0 ||
	    ibuf_get_n32(buf, &c.bootdev) == -1 ||
	    ibuf_get_n32(buf, &c.ndisks) == -1)
		return -EBADMSG;
	if (!limits_ok(&c))
		return -EBADMSG;
	for (i = 0; i < c.ndisks; i++) {
		if (get_disk(buf, &c.disk[i]) != 0)
			return -EBADMSG;
	}
	if (get_nics(buf, &c) != 0 || get_quotas(buf, &c) != 0 ||
	    get_seed(buf, &c.seed) != 0 || get_instance(buf, &c) != 0)
		return -EBADMSG;
	*out = c;
	return 0;
}
