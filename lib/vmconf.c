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

#include "ctl.h"
#include "imsg.h"
#include "vmconf.h"

#define CONF_WIRE_MAX                                            \
	(2 + VM_NAME_MAX + 6 * 4 + 8 + 3 * 2 + 2 * VM_PATH_MAX + \
	    VM_CMDLINE_MAX + VM_DISKS_MAX * (2 + VM_PATH_MAX + 8))
static_assert(CONF_WIRE_MAX + 64 <= 16384, "must fit MAX_IMSGSIZE");

void
vmconf_init(struct vmconf *c)
{
	memset(c, 0, sizeof(*c));
	c->memory = VM_MEMORY_DFLT;
	c->cpus = 1;
	c->gid = VM_NOGID;
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
	    ibuf_add_n32(buf, c->uid) == -1 || ibuf_add_n32(buf, c->gid) == -1)
		return -errno;
	if ((error = ctl_put_str(buf, c->kernel)) != 0 ||
	    (error = ctl_put_str(buf, c->initrd)) != 0 ||
	    (error = ctl_put_str(buf, c->cmdline)) != 0)
		return error;
	if (ibuf_add_n32(buf, c->ndisks) == -1)
		return -errno;
	for (i = 0; i < c->ndisks; i++) {
		if ((error = ctl_put_str(buf, c->disk[i].path)) != 0)
			return error;
		if (ibuf_add_n32(buf, c->disk[i].format) == -1 ||
		    ibuf_add_n32(buf, c->disk[i].readonly) == -1)
			return -errno;
	}
	return 0;
}

static int
get_disk(struct ibuf *buf, struct vm_diskconf *d)
{
	uint32_t format, readonly;

	if (ctl_get_str(buf, d->path, sizeof(d->path)) != 0 ||
	    ibuf_get_n32(buf, &format) == -1 ||
	    ibuf_get_n32(buf, &readonly) == -1)
		return -EBADMSG;
	if (d->path[0] != '/' || !vmconf_path_ok(d->path) ||
	    format > VM_DISK_ANY || readonly > 1)
		return -EBADMSG;
	d->format = format;
	d->readonly = readonly;
	return 0;
}

static bool
limits_ok(const struct vmconf *c)
{
	return vmconf_name_ok(c->name) &&
	    (c->flags & ~(uint32_t)(VM_F_DISABLED | VM_F_ADHOC)) == 0 &&
	    c->memory >= VM_MEMORY_MIN && c->memory <= VM_MEMORY_MAX &&
	    c->memory % (1 << 20) == 0 && c->cpus >= 1 &&
	    c->cpus <= VM_CPUS_MAX && vmconf_path_ok(c->kernel) &&
	    vmconf_path_ok(c->initrd) && c->ndisks <= VM_DISKS_MAX;
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
	    ibuf_get_n32(buf, &c.uid) == -1 ||
	    ibuf_get_n32(buf, &c.gid) == -1 ||
	    ctl_get_str(buf, c.kernel, sizeof(c.kernel)) != 0 ||
	    ctl_get_str(buf, c.initrd, sizeof(c.initrd)) != 0 ||
	    ctl_get_str(buf, c.cmdline, sizeof(c.cmdline)) != 0 ||
	    ibuf_get_n32(buf, &c.ndisks) == -1)
		return -EBADMSG;
	if (!limits_ok(&c))
		return -EBADMSG;
	for (i = 0; i < c.ndisks; i++) {
		if (get_disk(buf, &c.disk[i]) != 0)
			return -EBADMSG;
	}
	*out = c;
	return 0;
}
