/* SPDX-License-Identifier: ISC */
/*
 * vmctl status: the list of VMs, as a table for people or as JSON.
 *
 * The table's columns and the names in the JSON are an interface (vmctl(8),
 * "OUTPUT"): columns and names may be added at the end, none changes.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "client.h"
#include "cmd.h"
#include "jsonout.h"
#include "log.h"
#include "status.h"
#include "text.h"

#define ROW_FORMAT "%5s %5s %5s %7s %7s %7s %12s %8s %s\n"

const char *
status_state(uint32_t state)
{
	switch ((enum ctl_state)state) {
	case CTL_ST_PAUSED:
		return "paused";
	case CTL_ST_WAITING:
		return "waiting";
	case CTL_ST_STOPPING:
		return "stopping";
	case CTL_ST_RUNNING:
		return "running";
	case CTL_ST_STOPPED:
		return "stopped";
	}
	return "unknown";
}

bool
status_running(const struct ctl_vm *vm)
{
	return vm->pid != 0;
}

bool
status_match(const struct ctl_vm *vm, const struct target *target)
{
	if (target->id != 0)
		return vm->id == target->id;
	return strcmp(vm->name, target->name) == 0;
}

void
status_owner(const struct ctl_vm *vm, const char *user, const char *group,
    char out[STATUS_OWNER_MAX + 1])
{
	char uid[16], gid[16];

	if (user == NULL) {
		snprintf(uid, sizeof(uid), "%" PRIu32, vm->uid);
		user = uid;
	}
	if (group == NULL) {
		snprintf(gid, sizeof(gid), "%" PRIu32, vm->gid);
		group = gid;
	}
	/* root may always: a group says more than that. */
	*out = '\0';
	if (vm->uid != 0 || vm->gid == VM_NOGID)
		strlcat(out, user, STATUS_OWNER_MAX + 1);
	if (vm->gid != VM_NOGID) {
		strlcat(out, ":", STATUS_OWNER_MAX + 1);
		strlcat(out, group, STATUS_OWNER_MAX + 1);
	}
}

void
status_header(FILE *fp)
{
	fprintf(fp, ROW_FORMAT, "ID", "PID", "VCPUS", "MAXMEM", "CURMEM", "TTY",
	    "OWNER", "STATE", "NAME");
}

void
status_row(FILE *fp, const struct ctl_vm *vm, const char *owner)
{
	char id[12], pid[12], cpus[12], maxmem[TEXT_SCALED];
	char curmem[TEXT_SCALED];
	const char *tty = vm->tty;

	snprintf(id, sizeof(id), "%" PRIu32, vm->id);
	snprintf(pid, sizeof(pid), "%" PRIu32, vm->pid);
	snprintf(cpus, sizeof(cpus), "%" PRIu32, vm->cpus);
	text_scaled(vm->maxmem, maxmem);
	text_scaled(vm->curmem, curmem);
	if (strncmp(tty, "/dev/", 5) == 0)
		tty += 5;
	if (!status_running(vm))
		fprintf(fp, ROW_FORMAT, id, "-", cpus, maxmem, "-", "-", owner,
		    status_state(vm->state), vm->name);
	else
		fprintf(fp, ROW_FORMAT, id, pid, cpus, maxmem, curmem,
		    *tty == '\0' ? "-" : tty, owner, status_state(vm->state),
		    vm->name);
}

/* "": none. */
static void
nic_texts(const struct ctl_nic *n, char lladdr[18], char addr[INET_ADDRSTRLEN],
    char addr6[INET6_ADDRSTRLEN])
{
	const struct in_addr a = { htonl(n->addr) };
	struct in6_addr a6;

	memcpy(&a6, n->addr6, sizeof(a6));
	snprintf(lladdr, 18, "%02x:%02x:%02x:%02x:%02x:%02x", n->lladdr[0],
	    n->lladdr[1], n->lladdr[2], n->lladdr[3], n->lladdr[4],
	    n->lladdr[5]);
	*addr = *addr6 = '\0';
	if (n->addr != 0)
		inet_ntop(AF_INET, &a, addr, INET_ADDRSTRLEN);
	if (!IN6_IS_ADDR_UNSPECIFIED(&a6))
		inet_ntop(AF_INET6, &a6, addr6, INET6_ADDRSTRLEN);
}

static void
print_nic(FILE *fp, const struct ctl_nic *n)
{
	char lladdr[18], addr[INET_ADDRSTRLEN], addr6[INET6_ADDRSTRLEN];

	nic_texts(n, lladdr, addr, addr6);
	fprintf(
	    fp, "%-16s %9s %s link %s", "", "", lladdr, n->up ? "up" : "down");
	if (n->ifname[0] != '\0')
		fprintf(fp, " interface %s", n->ifname);
	if (addr[0] != '\0')
		fprintf(fp, " address %s", addr);
	if (addr6[0] != '\0')
		fprintf(fp, " address %s", addr6);
	fputc('\n', fp);
}

/* Of a guest that was asked for memory, or gives some up by itself. */
static void
print_balloon(FILE *fp, const struct ctl_vm *vm)
{
	char kept[TEXT_SCALED], asked[TEXT_SCALED], all[TEXT_SCALED];

	if (!status_running(vm) || (vm->asked >= vm->maxmem && vm->given == 0))
		return;
	text_scaled(vm->given < vm->maxmem ? vm->maxmem - vm->given : 0, kept);
	text_scaled(vm->asked, asked);
	text_scaled(vm->maxmem, all);
	fprintf(fp, "%-16s %9s keeps %s of %s, asked to keep %s\n", vm->name,
	    "memory", kept, all, asked);
}

void
status_devices(FILE *fp, const struct ctl_vm *vm)
{
	const struct ctl_dev *d;
	uint32_t i;

	print_balloon(fp, vm);
	if (vm->ndevs == 0)
		return;
	fprintf(fp, "%-16s %9s", vm->name, "device");
#define X(field, name) fprintf(fp, " %12s", name);
	CTL_COUNTERS(X)
#undef X
	fputc('\n', fp);
	for (i = 0; i < vm->ndevs; i++) {
		d = &vm->dev[i];
		fprintf(fp, "%-16s %9s", "", d->name);
#define X(field, name) fprintf(fp, " %12" PRIu64, d->n.field);
		CTL_COUNTERS(X)
#undef X
		fputc('\n', fp);
		if (d->is_nic)
			print_nic(fp, &d->nic);
	}
}

/* 0, or -1 when there is no memory. */
static int
json_nic(json_t *o, const struct ctl_nic *n)
{
	char lladdr[18], addr[INET_ADDRSTRLEN], addr6[INET6_ADDRSTRLEN];

	nic_texts(n, lladdr, addr, addr6);
	return json_object_set_new(o, "lladdr", json_string(lladdr)) |
	    json_object_set_new(o, "link", json_string(n->up ? "up" : "down")) |
	    json_object_set_new(o, "interface", jsonout_text(n->ifname)) |
	    json_object_set_new(o, "address", jsonout_text(addr)) |
	    json_object_set_new(o, "address6", jsonout_text(addr6));
}

/* NULL when there is no memory. */
static json_t *
json_devices(const struct ctl_vm *vm)
{
	json_t *array = json_array(), *o;
	const struct ctl_dev *d;
	bool failed = array == NULL;
	uint32_t i;

	for (i = 0; i < vm->ndevs && !failed; i++) {
		d = &vm->dev[i];
		o = json_object();
		failed |=
		    json_object_set_new(o, "name", json_string(d->name)) != 0;
#define X(field, key) \
	failed |= json_object_set_new(o, key, jsonout_u64(d->n.field)) != 0;
		CTL_COUNTERS(X)
#undef X
		failed |= d->is_nic && json_nic(o, &d->nic) != 0;
		failed |= json_array_append_new(array, o) != 0;
	}
	if (!failed)
		return array;
	json_decref(array);
	return NULL;
}

static json_t *
json_vm(const struct ctl_vm *vm)
{
	bool up = status_running(vm), grouped = vm->gid != VM_NOGID;
	const struct jsonout_member members[] = {
		{ "id", jsonout_u64(vm->id) },
		{ "name", json_string(vm->name) },
		{ "state", json_string(status_state(vm->state)) },
		{ "pid", up ? jsonout_u64(vm->pid) : json_null() },
		{ "cpus", jsonout_u64(vm->cpus) },
		{ "memory", jsonout_u64(vm->maxmem) },
		{ "memory_resident",
		    up ? jsonout_u64(vm->curmem) : json_null() },
		{ "tty", jsonout_text(up ? vm->tty : NULL) },
		{ "owner", jsonout_text(user_from_uid(vm->uid, 1)) },
		{ "uid", jsonout_u64(vm->uid) },
		{ "group",
		    jsonout_text(grouped ? group_from_gid(vm->gid, 1) : NULL) },
		{ "gid", grouped ? jsonout_u64(vm->gid) : json_null() },
		{ "problem", jsonout_text(vm->problem) },
		{ "devices", json_devices(vm) },
		{ "cpu_seconds",
		    up ? json_real((double)vm->cpu_us / 1e6) : json_null() },
		{ "restarts", jsonout_u64(vm->restarts) },
		{ "memory_asked", up ? jsonout_u64(vm->asked) : json_null() },
		{ "memory_given", up ? jsonout_u64(vm->given) : json_null() },
		{ "tty_serial2", jsonout_text(up ? vm->more[0] : NULL) },
		{ "tty_virtio", jsonout_text(up ? vm->more[1] : NULL) },
	};

	return jsonout_object(members, sizeof(members) / sizeof(members[0]));
}

int
status_json(FILE *fp, const struct ctl_vm *vms, size_t n)
{
	json_t *array = json_array();
	size_t i;

	for (i = 0; i < n; i++) {
		if (json_array_append_new(array, json_vm(&vms[i])) != 0) {
			json_decref(array);
			return -ENOMEM;
		}
	}
	return jsonout_print(fp, array);
}

static void
print_table(const struct ctl_vm *vms, size_t n, bool devices)
{
	char owner[STATUS_OWNER_MAX + 1];
	bool grouped;
	size_t i;

	status_header(stdout);
	for (i = 0; i < n; i++) {
		grouped = vms[i].gid != VM_NOGID;
		/* These remember: there may be hundreds of one user. */
		status_owner(&vms[i], user_from_uid(vms[i].uid, 1),
		    grouped ? group_from_gid(vms[i].gid, 1) : NULL, owner);
		status_row(stdout, &vms[i], owner);
	}
	for (i = 0; i < n && devices; i++)
		status_devices(stdout, &vms[i]);
	if (fflush(stdout) == EOF)
		return;
	for (i = 0; i < n; i++) {
		if (vms[i].problem[0] != '\0')
			log_warnx("%s: %s", vms[i].name, vms[i].problem);
	}
}

/* Keep what was asked for, in order; the number kept. */
static size_t
select_vms(
    struct ctl_vm *vms, size_t n, const struct target *target, bool running)
{
	size_t i, kept = 0;

	for (i = 0; i < n; i++) {
		if (running && !status_running(&vms[i]))
			continue;
		if (target != NULL && !status_match(&vms[i], target))
			continue;
		vms[kept++] = vms[i];
	}
	return kept;
}

struct show {
	bool json, running, devices;
};

static enum cmd_result
show(const struct cmd_env *env, const struct target *target,
    const struct show *how)
{
	enum cmd_result result = CMD_FAILED;
	char name[VM_NAME_MAX + 1];
	struct ctl_vm *vms;
	size_t n;
	int error = 0;

	if (client_list(env, &vms, &n) != 0)
		return CMD_FAILED;
	n = select_vms(vms, n, target, how->running);
	if (how->json)
		error = status_json(stdout, vms, n);
	else
		print_table(vms, n, how->devices);
	if (error == -ENOMEM) {
		errno = ENOMEM;
		log_warn("status");
	} else if (target != NULL && n == 0) {
		log_warnx("vm not found: %s", args_target_text(target, name));
		cmd_why(env, CMD_EXIT_ABSENT);
	} else
		result = CMD_OK; /* errors of stdout are seen by cmd.c */
	free(vms);
	return result;
}

enum cmd_result
status_run(int argc, char **argv, const struct cmd_env *env)
{
	struct show how = { false, false, false };
	struct target target;
	int ch;

	while ((ch = cmd_getopt(argc, argv, "jrv")) != -1) {
		switch (ch) {
		case 'j':
			how.json = true;
			break;
		case 'r':
			how.running = true;
			break;
		case 'v':
			how.devices = true;
			break;
		default:
			return CMD_USAGE;
		}
	}
	argc -= optind;
	argv += optind;
	if (argc > 1)
		return CMD_USAGE;
	if (argc == 1 && args_target(argv[0], &target) != 0)
		return CMD_FAILED;
	return show(env, argc == 1 ? &target : NULL, &how);
}
