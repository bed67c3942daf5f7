/* SPDX-License-Identifier: ISC */
/*
 * The netcfg process as seen from the parent: see netproc.h.
 */
#include <sys/wait.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <event2/event.h>

#include "ctl.h"
#include "fd.h"
#include "imsg.h"
#include "keep.h"
#include "localnet.h"
#include "log.h"
#include "msg.h"
#include "netmsg.h"
#include "netproc.h"
#include "start.h"
#ifdef VMD_CONFINE_TEST
#include "confine.h"
#endif

#define RESPAWN_MS  500
#define GROUPS_FILE "/etc/iproute2/group"
#define FORWARDING  "/proc/sys/net/ipv4/ip_forward"

static void
respawn(int fd, short what, void *arg)
{
	struct netproc *p = arg;

	if (netproc_start(p) != 0)
		log_warnx("network process not started");
}

static void
retry(struct netproc *p)
{
	struct timeval tv = { RESPAWN_MS / 1000, (RESPAWN_MS % 1000) * 1000 };

	if (p->ending)
		return;
	if (p->respawn == NULL)
		p->respawn = evtimer_new(p->base, respawn, p);
	if (p->respawn == NULL || evtimer_add(p->respawn, &tv) == -1)
		fatalx("no timer for the network process");
}

/* Which interface has this key? */
static struct vm *
find(struct netproc *p, uint32_t key, unsigned *nic)
{
	struct vm *vm;
	unsigned i;

	TAILQ_FOREACH(vm, &p->reg->vms, entry)
	{
		for (i = 0; i < vm->conf.nnics; i++) {
			if (key == 0 || vm->run.net[i].key != key)
				continue;
			*nic = i;
			return vm;
		}
	}
	return NULL;
}

/* All requests of starting VMs that nobody will answer. */
static void
fail_pending(struct netproc *p)
{
	struct fail why;
	struct vm *vm, *next;
	unsigned i;

	fail_set(&why, EIO, "the network process died");
	for (vm = TAILQ_FIRST(&p->reg->vms); vm != NULL; vm = next) {
		next = TAILQ_NEXT(vm, entry);
		if (vm->state != VM_STARTING)
			continue;
		for (i = 0; i < vm->conf.nnics; i++) {
			if (vm->run.net[i].key == 0 || vm->run.net[i].ready)
				continue;
			vm->run.net[i].key = 0;
			p->ops->failed(p->arg, vm, i, &why);
			break;
		}
	}
}

static void
on_closed(void *arg, const char *why)
{
	struct netproc *p = arg;

	log_warnx("netcfg: %s", why[0] != '\0' ? why : "channel closed");
	chan_free(p->chan);
	p->chan = NULL;
	fail_pending(p);
	if (p->pid != 0)
		kill(p->pid, SIGKILL);
	else
		retry(p);
}

static int
on_ready(void *arg, uint32_t id, int fd, struct ibuf *body)
{
#ifdef VMD_CONFINE_TEST
	confine_ask(((struct netproc *)arg)->chan, "netcfg");
#endif
	return 0;
}

static int
on_done(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct netproc *p = arg;
	struct net_result res;
	struct vm *vm;
	unsigned nic;

	if (netmsg_get_result(body, &res) != 0)
		return -EBADMSG;
	vm = find(p, id, &nic);
	/* The VM may have ended meanwhile. */
	if (vm == NULL || vm->run.net[nic].ready)
		return 0;
	memcpy(vm->run.net[nic].tap.ifname, res.ifname, IFNAMSIZ);
	p->ops->up(p->arg, vm, nic, &res);
	return 0;
}

static int
on_fail(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct netproc *p = arg;
	struct fail why;
	uint32_t code;
	struct vm *vm;
	unsigned nic;

	if (ibuf_get_n32(body, &code) == -1 ||
	    ctl_get_str(body, why.text, sizeof(why.text)) != 0)
		return -EBADMSG;
	why.code = code > 0 && code < 4096 ? (int)code : EIO;
	vm = find(p, id, &nic);
	if (vm == NULL || vm->run.net[nic].ready)
		return 0;
	vm->run.net[nic].key = 0;
	p->ops->failed(p->arg, vm, nic, &why);
	return 0;
}

static int
on_warn(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	char text[1024];

	if (ctl_get_str(body, text, sizeof(text)) != 0)
		return -EBADMSG;
	log_warnx("network: %s", text);
	return 0;
}

static const struct chan_row rows[] = {
	{ NETCFG_READY, "NETCFG_READY", CHAN_NOFD, on_ready },
	{ NETCFG_DONE, "NETCFG_DONE", CHAN_NOFD, on_done },
	{ NETCFG_FAIL, "NETCFG_FAIL", CHAN_NOFD, on_fail },
	{ NETCFG_WARN, "NETCFG_WARN", CHAN_NOFD, on_warn },
};

static const struct chan_ops ops = {
	rows,
	sizeof(rows) / sizeof(rows[0]),
	on_closed,
};

/* A body that could not be filled is refused by chan_send(). */
static void
tell(struct netproc *p, uint32_t type, uint32_t id, struct ibuf *body)
{
	if (chan_send(p->chan, type, id, -1, body) != 0)
		log_warnx("netcfg: message lost");
}

/* iproute2's names of interface groups.  0: there is no such group. */
static uint32_t
group_number(const char *name)
{
	char line[256], found[64];
	unsigned long n, result = 0;
	FILE *f = fopen(GROUPS_FILE, "re");

	if (f == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, " %lu %63s", &n, found) == 2 &&
		    strcmp(found, name) == 0 && n <= INT32_MAX)
			result = n;
	fclose(f);
	return (uint32_t)result;
}

static int
find_group(const char *name, uint32_t *group, struct fail *why)
{
	*group = 0;
	if (name[0] == '\0')
		return 0;
	*group = group_number(name);
	if (*group == 0)
		return fail_set(
		    why, ENOENT, "group %s: not in " GROUPS_FILE, name);
	return 0;
}

/* The first server that this host asks and that is not itself. */
static uint32_t
nameserver_in(const char *file)
{
	char line[512], text[64];
	struct in_addr a;
	uint32_t found = 0;
	FILE *f = fopen(file, "re");

	if (f == NULL)
		return 0;
	while (found == 0 && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, " nameserver %63s", text) == 1 &&
		    inet_pton(AF_INET, text, &a) == 1 &&
		    ntohl(a.s_addr) >> 24 != IN_LOOPBACKNET)
			found = ntohl(a.s_addr);
	fclose(f);
	return found;
}

static uint32_t
nameserver(void)
{
	uint32_t found = nameserver_in("/etc/resolv.conf");

	/* systemd-resolved puts itself there, and the real ones here. */
	if (found == 0)
		found = nameserver_in("/run/systemd/resolve/resolv.conf");
	return found;
}

static void
send_switch(struct netproc *p, const struct conf_switch *sw)
{
	struct net_switch s = {
		.create = sw->create,
		.down = (sw->nic.flags & VM_NIC_DOWN) != 0,
		.rdomain = sw->nic.rdomain,
	};
	struct ibuf *body;
	struct fail why;

	snprintf(s.name, sizeof(s.name), "%s", sw->name);
	snprintf(s.bridge, sizeof(s.bridge), "%s", sw->nic.ifname);
	if (find_group(sw->nic.group, &s.group, &why) != 0)
		log_warnx("switch \"%s\": %s", sw->name, why.text);
	body = chan_body();
	(void)netmsg_put_switch(body, &s);
	tell(p, NETCFG_SWITCH, 0, body);
}

/* The range of local addresses; a random one of IPv6 is for all its life. */
static struct conf_local
local_range(struct netproc *p)
{
	struct conf_local l = p->conf->local;

	if (!l.inet6 || l.prefix6_given)
		return l;
	if (!p->have_prefix6) {
		p->prefix6[0] = 0xfd; /* RFC 4193 */
		arc4random_buf(p->prefix6 + 1, 7);
		p->have_prefix6 = true;
	}
	memcpy(l.prefix6, p->prefix6, sizeof(l.prefix6));
	l.len6 = 64;
	return l;
}

static void
send_conf(struct netproc *p)
{
	struct conf_local l = local_range(p);
	struct nft_range r = {
		.prefix = l.prefix,
		.len = l.len,
		.inet6 = l.inet6,
		.len6 = l.len6,
		.dns = nameserver(),
	};
	const struct conf_switch *sw;
	struct ibuf *body = chan_body();

	memcpy(r.prefix6, l.prefix6, sizeof(r.prefix6));
	(void)netmsg_put_range(body, &r);
	tell(p, NETCFG_CONF, 0, body);
	TAILQ_FOREACH(sw, &p->conf->switches, entry)
	{
		send_switch(p, sw);
	}
	tell(p, NETCFG_APPLY, 0, NULL);
}

/* What an earlier process knew. */
static void
send_adopted(struct netproc *p)
{
	struct run_nic *n;
	struct ibuf *body;
	struct vm *vm;
	uint32_t i;

	TAILQ_FOREACH(vm, &p->reg->vms, entry)
	{
		for (i = 0; i < vm->conf.nnics; i++) {
			n = &vm->run.net[i];
			if (n->key == 0 || !n->ready)
				continue;
			body = chan_body();
			(void)netmsg_put_tap(body, &n->tap);
			tell(p, NETCFG_ADOPT, n->key, body);
		}
	}
}

int
netproc_start(struct netproc *p)
{
	struct child ch = { .pid = 0 };
	struct fail why;
	int error;

	error =
	    start_child(p->base, &ch, "netcfg", "netcfg", "netcfg", &ops, &why);
	if (error != 0)
		log_warnx("netcfg: %s", why.text);
	p->pid = ch.pid > 0 ? ch.pid : 0;
	if (ch.chan == NULL) {
		if (p->pid > 0)
			kill(p->pid, SIGKILL);
		else
			retry(p);
		return error;
	}
	p->chan = ch.chan;
	chan_set_arg(ch.chan, p);
	if (p->keep != NULL)
		keep_netcfg(p->keep);
	if (p->conf != NULL) {
		send_conf(p);
		send_adopted(p);
	}
	return error;
}

void
netproc_stop(struct netproc *p)
{
	p->ending = true;
	if (p->respawn != NULL)
		event_free(p->respawn);
	p->respawn = NULL;
	/* It sees the end of the channel and takes down what it made. */
	chan_end(p->chan);
	p->chan = NULL;
}

bool
netproc_reaped(struct netproc *p, pid_t pid, int status)
{
	if (p->pid == 0 || pid != p->pid)
		return false;
	p->pid = 0;
	if (!p->ending)
		log_warnx("netcfg: process ended (%s %d)",
		    WIFSIGNALED(status) ? "signal" : "status",
		    WIFSIGNALED(status) ? WTERMSIG(status)
					: WEXITSTATUS(status));
	if (p->chan == NULL)
		retry(p);
	return true;
}

void
netproc_configure(struct netproc *p, const struct conf *conf)
{
	p->conf = conf;
	if (p->chan != NULL)
		send_conf(p);
}

/* Without it guests reach the host and nothing behind it. */
static void
check_forwarding(struct netproc *p)
{
	char on = '1';
	int fd;

	if (p->forwarding_checked)
		return;
	p->forwarding_checked = true;
	fd = open(FORWARDING, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return;
	if (read(fd, &on, 1) == 1 && on == '0')
		log_warnx("local interfaces reach this host only: "
			  "net.ipv4.ip_forward is 0");
	close(fd);
}

/* What the interface shall be; its switch has a say. */
static int
describe(struct netproc *p, struct vm *vm, unsigned i, struct fail *why)
{
	const struct vm_nicconf *c = &vm->conf.nic[i];
	struct run_nic *n = &vm->run.net[i];
	const struct conf_switch *sw = NULL;
	struct conf_local local;
	const char *group = c->group;
	uint32_t flags = c->flags;

	memset(&n->tap, 0, sizeof(n->tap));
	if (c->sw[0] != '\0') {
		sw = p->conf == NULL ? NULL : conf_switch(p->conf, c->sw);
		if (sw == NULL)
			return fail_set(
			    why, ENOENT, "switch \"%s\" not found", c->sw);
		flags |= sw->nic.flags;
		if (group[0] == '\0')
			group = sw->nic.group;
		snprintf(
		    n->tap.bridge, sizeof(n->tap.bridge), "%s", sw->nic.ifname);
	}
	n->locked = (flags & VM_NIC_LOCKED) != 0;
	n->tap.down = (flags & VM_NIC_DOWN) != 0;
	n->tap.rdomain = c->rdomain;
	memcpy(n->tap.ifname, c->ifname, sizeof(n->tap.ifname));
	snprintf(n->tap.alias, sizeof(n->tap.alias), "vm%u-if%u-%s", vm->id, i,
	    vm->conf.name);
	localnet_host_lladdr(c->lladdr, n->tap.lladdr);
	if ((flags & VM_NIC_LOCAL) != 0) {
		local = local_range(p);
		n->tap.local = true;
		if (localnet_addresses(&local, vm->id, i, &n->tap.addr) != 0)
			return fail_set(why, ERANGE,
			    "local prefix has no addresses for vm %u", vm->id);
		memcpy(n->tap.addr.host_mac, n->tap.lladdr, ETH_ALEN);
		check_forwarding(p);
	}
	return find_group(group, &n->tap.group, why);
}

int
netproc_request(struct netproc *p, struct vm *vm, unsigned i, struct fail *why)
{
	struct run_nic *n = &vm->run.net[i];
	struct ibuf *body;
	unsigned k;
	int fd, error;

	if (describe(p, vm, i, why) != 0)
		return -why->code;
	if (p->chan == NULL)
		return fail_set(why, EAGAIN, "no network process");
	for (k = 0; k < VIONET_PAIRS_MAX && n->queue[k] != -1; k++) {
		fd = fcntl(n->queue[k], F_DUPFD_CLOEXEC, 0);
		error = fd == -1
		    ? -errno
		    : chan_send(p->chan, NETCFG_QUEUE, 0, fd, NULL);
		if (error != 0)
			return fail_set(
			    why, -error, "netcfg: %s", strerror(-error));
	}
	n->key = ++p->last_key;
	body = chan_body();
	(void)netmsg_put_tap(body, &n->tap);
	tell(p, NETCFG_TAP, n->key, body);
	return 0;
}

void
netproc_forget(struct netproc *p, struct vm *vm, unsigned i)
{
	struct run_nic *n = &vm->run.net[i];
	unsigned k;

	for (k = 0; k < VIONET_PAIRS_MAX; k++)
		fd_close(&n->queue[k]);
	if (n->key != 0 && p != NULL && p->chan != NULL)
		tell(p, NETCFG_FORGET, n->key, NULL);
	n->key = 0;
	n->ready = false;
}
