/* SPDX-License-Identifier: ISC */
/*
 * Statements of vm.conf(5) about networks: switches, interfaces, the range
 * of local addresses.  The wording of errors follows OpenBSD's.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "stmt.h"

#define PREFIX_MIN  1
#define PREFIX_MAX  16
#define PREFIX6_MAX 64

/* Addresses of hosts begin so. */
static bool
host_range(const uint8_t *a, int family)
{
	if (family == AF_INET)
		return a[0] != 0 && a[0] != 127 && a[0] < 224;
	return a[0] != 0xff && (a[0] != 0xfe || (a[1] & 0xc0) != 0x80);
}

/* "ADDRESS[/LENGTH]"; the bits behind the length must be clear. */
static bool
prefix(struct parse *p, struct lex_loc loc, const char *s, int family,
    uint8_t *addr, unsigned dflt, unsigned *len)
{
	unsigned bits, i, size = family == AF_INET ? 4 : 16;
	char text[INET6_ADDRSTRLEN];
	const char *slash = strchr(s, '/');
	size_t n = slash != NULL ? (size_t)(slash - s) : strlen(s);

	if (n < sizeof(text)) {
		memcpy(text, s, n);
		text[n] = '\0';
	}
	if (n >= sizeof(text) || inet_pton(family, text, addr) != 1) {
		stmt_error(p, loc, "invalid address: %.64s", s);
		return false;
	}
	bits = dflt;
	if (slash != NULL) {
		n = strspn(slash + 1, "0123456789");
		bits = (unsigned)strtoul(slash + 1, NULL, 10);
		if (n == 0 || n > 3 || slash[1 + n] != '\0' || bits > dflt) {
			stmt_error(p, loc, "bad mask: %.64s", s);
			return false;
		}
	}
	for (i = bits; i < size * 8; i++) {
		if ((addr[i / 8] & 0x80 >> i % 8) != 0) {
			stmt_error(p, loc, "bad mask: %.64s", s);
			return false;
		}
	}
	if (!host_range(addr, family)) {
		stmt_error(p, loc, "not a range for hosts: %.64s", s);
		return false;
	}
	*len = bits;
	return true;
}

void
stmt_local_prefix(struct parse *p, struct lex_loc loc, const char *s)
{
	struct conf_local *local = &p->conf->local;
	uint8_t a[4];
	unsigned len;

	if (!prefix(p, loc, s, AF_INET, a, PREFIX_MAX, &len))
		return;
	if (len < PREFIX_MIN) {
		stmt_error(p, loc, "bad mask: %.64s", s);
		return;
	}
	local->prefix = (uint32_t)a[0] << 24 | (uint32_t)a[1] << 16 |
	    (uint32_t)a[2] << 8 | a[3];
	local->len = len;
}

void
stmt_local_inet6(struct parse *p, struct lex_loc loc, const char *s)
{
	struct conf_local *local = &p->conf->local;
	uint8_t a[16];
	unsigned len;

	local->inet6 = true;
	if (s == NULL || !prefix(p, loc, s, AF_INET6, a, PREFIX6_MAX, &len))
		return;
	memcpy(local->prefix6, a, sizeof(a));
	local->len6 = len;
	local->prefix6_given = true;
}

void
stmt_switch_begin(struct parse *p, struct lex_loc loc, const char *name)
{
	memset(&p->sw, 0, sizeof(p->sw));
	memset(&p->nic, 0, sizeof(p->nic));
	p->sw_disabled = false;
	p->nic_errors = p->errors;
	if (strlen(name) > VM_NAME_MAX)
		stmt_error(p, loc, "switch name too long");
	else if (*name == '\0' || !vmconf_path_ok(name))
		stmt_error(p, loc, "invalid switch name: %.64s", name);
	else
		memcpy(p->sw.name, name, strlen(name) + 1);
}

void
stmt_switch_end(struct parse *p, struct lex_loc loc)
{
	struct conf_switch *sw;

	if (p->errors != p->nic_errors)
		return;
	if (p->nic.ifname[0] == '\0') {
		stmt_error(p, loc, "switch \"%s\" is missing interface name",
		    p->sw.name);
		return;
	}
	if (p->sw_disabled)
		return;
	if (conf_switch(p->conf, p->sw.name) != NULL) {
		stmt_warn(p, loc, "switch \"%s\" defined before, skipped",
		    p->sw.name);
		return;
	}
	if ((sw = calloc(1, sizeof(*sw))) == NULL) {
		stmt_error(p, loc, "out of memory");
		return;
	}
	*sw = p->sw;
	sw->nic = p->nic;
	TAILQ_INSERT_TAIL(&p->conf->switches, sw, entry);
}

void
stmt_switch_interface(struct parse *p, struct lex_loc loc, const char *s)
{
	if (p->nic.ifname[0] != '\0')
		stmt_error(p, loc, "interface specified more than once");
	else if (!vmconf_ifname_ok(s))
		stmt_error(p, loc, "invalid switch interface: %.64s", s);
	else
		memcpy(p->nic.ifname, s, strlen(s) + 1);
}

void
stmt_switch_create(struct parse *p)
{
	p->sw.create = true;
}

void
stmt_switch_enable(struct parse *p, bool on)
{
	p->sw_disabled = !on;
}

/* "tap", "tapN", "user" or nothing. */
void
stmt_nic_begin(struct parse *p, struct lex_loc loc, bool local, const char *s)
{
	struct vm_nicconf *n = &p->nic;

	p->nstmts++;
	p->nic_errors = p->errors;
	memset(n, 0, sizeof(*n));
	if (local)
		n->flags |= VM_NIC_LOCAL;
	if (s == NULL || strcmp(s, "tap") == 0)
		return;
	if (strcmp(s, "user") == 0) {
		n->flags |= VM_NIC_USER;
		if (local)
			stmt_error(p, loc, "interface user cannot be local");
	} else if (strlen(s) > VM_IFNAME_MAX)
		stmt_error(p, loc, "interface name too long");
	else if (strncmp(s, "tap", 3) != 0 ||
	    strspn(s + 3, "0123456789") != strlen(s + 3))
		stmt_error(p, loc, "invalid interface: %.64s", s);
	else
		memcpy(n->ifname, s, strlen(s) + 1);
}

/* The VM has an interface with the same tap or address already. */
static bool
used(struct parse *p, struct lex_loc loc, const struct vm_nicconf *n)
{
	const struct vm_nicconf *of = p->vm->conf.nic;
	uint32_t i;

	for (i = 0; i < p->vm->conf.nnics; i++, of++) {
		if (n->ifname[0] != '\0' && strcmp(n->ifname, of->ifname) == 0)
			stmt_error(
			    p, loc, "interface %s is used twice", n->ifname);
		else if ((n->flags & of->flags & VM_NIC_LLADDR) != 0 &&
		    memcmp(n->lladdr, of->lladdr, sizeof(n->lladdr)) == 0)
			stmt_error(p, loc, "lladdr is used twice");
		else
			continue;
		return true;
	}
	return false;
}

void
stmt_nic_end(struct parse *p, struct lex_loc loc)
{
	struct vmconf *c = &p->vm->conf;
	const struct vm_nicconf *n = &p->nic;

	if (p->errors != p->nic_errors)
		return;
	if (c->nnics == VM_NICS_MAX) {
		stmt_error(p, loc, "too many interfaces: %d", VM_NICS_MAX + 1);
		return;
	}
	if (n->sw[0] != '\0' && (n->flags & (VM_NIC_LOCAL | VM_NIC_USER)) != 0)
		stmt_error(p, loc, "a %s interface cannot be on a switch",
		    (n->flags & VM_NIC_LOCAL) != 0 ? "local" : "user");
	else if (n->sw[0] != '\0' && n->rdomain != 0)
		stmt_error(p, loc,
		    "rdomain of an interface on a switch is the switch's");
	else if ((n->flags & VM_NIC_USER) != 0 &&
	    (n->rdomain != 0 || n->group[0] != '\0'))
		stmt_error(p, loc, "a user interface has no rdomain or group");
	else if (!used(p, loc, n))
		c->nic[c->nnics++] = *n;
	c->given |= VM_I_INTERFACE;
}

void
stmt_interfaces(struct parse *p, struct lex_loc loc, int64_t n)
{
	p->nstmts++;
	if (!stmt_only_once(p, loc, STMT_INTERFACES, "interfaces"))
		return;
	if (n < 0 || n > VM_NICS_MAX)
		stmt_error(p, loc, "too many interfaces: %lld", (long long)n);
	else
		p->interfaces = (unsigned)n;
	p->vm->conf.given |= VM_I_INTERFACE;
}

void
stmt_nics_fill(struct parse *p)
{
	struct vmconf *c = &p->vm->conf;

	while (c->nnics < p->interfaces)
		memset(&c->nic[c->nnics++], 0, sizeof(c->nic[0]));
}

void
stmt_group(struct parse *p, struct lex_loc loc, const char *s)
{
	if (!vmconf_group_ok(s))
		stmt_error(p, loc, "invalid group name: %.64s", s);
	else
		memcpy(p->nic.group, s, strlen(s) + 1);
}

void
stmt_lladdr(struct parse *p, struct lex_loc loc, bool locked, const char *s)
{
	if (locked)
		p->nic.flags |= VM_NIC_LOCKED;
	if (s == NULL)
		return;
	if (vmconf_lladdr(s, p->nic.lladdr) != 0)
		stmt_error(p, loc, "invalid address: %.64s", s);
	else
		p->nic.flags |= VM_NIC_LLADDR;
}

void
stmt_rdomain(struct parse *p, struct lex_loc loc, int64_t n)
{
	if (n < 0 || n > VM_RDOMAIN_MAX)
		stmt_error(p, loc, "invalid rdomain: %lld", (long long)n);
	else
		p->nic.rdomain = (uint32_t)n;
}

void
stmt_nic_switch(struct parse *p, struct lex_loc loc, const char *s)
{
	if (strlen(s) > VM_NAME_MAX)
		stmt_error(p, loc, "switch name too long");
	else if (*s == '\0' || !vmconf_path_ok(s))
		stmt_error(p, loc, "invalid switch name: %.64s", s);
	else
		memcpy(p->nic.sw, s, strlen(s) + 1);
}

void
stmt_up(struct parse *p, bool up)
{
	if (up)
		p->nic.flags &= ~(uint32_t)VM_NIC_DOWN;
	else
		p->nic.flags |= VM_NIC_DOWN;
}

void
stmt_nic_bandwidth(
    struct parse *p, struct lex_loc loc, const char *rate, const char *burst)
{
	(void)stmt_bandwidth(p, loc, rate, burst, &p->nic.bandwidth);
}
