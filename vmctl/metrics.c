/* SPDX-License-Identifier: ISC */
/*
 * vmctl metrics: the list of VMs for a collector, once.
 *
 * The form is that of OpenMetrics, "Text Format", cut to what the older text
 * format of Prometheus has too, which collectors of text files read: gauges
 * and counters only.  All samples of a family are together.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "client.h"
#include "cmd.h"
#include "metrics.h"
#include "status.h"

enum kind { GAUGE, COUNTER };

struct family {
	enum kind kind;
	const char *name, *help;
	/* One VM's samples. */
	void (*samples)(FILE *, const struct family *, const struct ctl_vm *);
	size_t offset; /* of a device's counter */
};

/* OpenMetrics, "Text Format", "ABNF": escaped-string. */
static void
put_label(FILE *fp, const char *name, const char *value)
{
	fprintf(fp, "%s=\"", name);
	for (; *value != '\0'; value++) {
		switch (*value) {
		case '\n':
			fputs("\\n", fp);
			break;
		case '"':
		case '\\':
			fputc('\\', fp);
			/* FALLTHROUGH */
		default:
			fputc(*value, fp);
		}
	}
	fputc('"', fp);
}

/* Up to its value; the second label is left out when it is NULL. */
static void
begin(FILE *fp, const struct family *f, const struct ctl_vm *vm,
    const char *label, const char *value)
{
	fprintf(fp, "vmd_%s%s{", f->name, f->kind == COUNTER ? "_total" : "");
	put_label(fp, "vm", vm->name);
	if (label != NULL) {
		fputc(',', fp);
		put_label(fp, label, value);
	}
	fputs("} ", fp);
}

static void
sample(FILE *fp, const struct family *f, const struct ctl_vm *vm, uint64_t v)
{
	begin(fp, f, vm, NULL, NULL);
	fprintf(fp, "%" PRIu64 "\n", v);
}

static void
state(FILE *fp, const struct family *f, const struct ctl_vm *vm)
{
	uint32_t i;

	for (i = CTL_ST_STOPPED; i <= CTL_ST_PAUSED; i++) {
		begin(fp, f, vm, "state", status_state(i));
		fprintf(fp, "%d\n", vm->state == i);
	}
}

static void
problem(FILE *fp, const struct family *f, const struct ctl_vm *vm)
{
	sample(fp, f, vm, vm->problem[0] != '\0');
}

static void
cpus(FILE *fp, const struct family *f, const struct ctl_vm *vm)
{
	sample(fp, f, vm, vm->cpus);
}

static void
memory(FILE *fp, const struct family *f, const struct ctl_vm *vm)
{
	sample(fp, f, vm, vm->maxmem);
}

static void
resident(FILE *fp, const struct family *f, const struct ctl_vm *vm)
{
	if (status_running(vm))
		sample(fp, f, vm, vm->curmem);
}

static void
asked(FILE *fp, const struct family *f, const struct ctl_vm *vm)
{
	if (status_running(vm))
		sample(fp, f, vm, vm->asked);
}

static void
given(FILE *fp, const struct family *f, const struct ctl_vm *vm)
{
	if (status_running(vm))
		sample(fp, f, vm, vm->given);
}

static void
cpu_time(FILE *fp, const struct family *f, const struct ctl_vm *vm)
{
	if (!status_running(vm))
		return;
	begin(fp, f, vm, NULL, NULL);
	fprintf(fp, "%" PRIu64 ".%06" PRIu64 "\n", vm->cpu_us / 1000000,
	    vm->cpu_us % 1000000);
}

static void
restarts(FILE *fp, const struct family *f, const struct ctl_vm *vm)
{
	sample(fp, f, vm, vm->restarts);
}

static void
devices(FILE *fp, const struct family *f, const struct ctl_vm *vm)
{
	const struct ctl_dev *d;
	uint32_t i;

	for (i = 0; i < vm->ndevs; i++) {
		d = &vm->dev[i];
		begin(fp, f, vm, "device", d->name);
		fprintf(fp, "%" PRIu64 "\n",
		    *(const uint64_t *)((const char *)&d->n + f->offset));
	}
}

#define DEVICE(field, name, help)                        \
	{                                                \
		COUNTER, "device_" name, help, devices,  \
		    offsetof(struct ctl_counters, field) \
	}

static const struct family families[] = {
	{ GAUGE, "vm_state", "1 for the state that the VM is in.", state, 0 },
	{ GAUGE, "vm_problem", "1 when something is wrong with the VM.",
	    problem, 0 },
	{ GAUGE, "vm_cpus", "Virtual CPUs.", cpus, 0 },
	{ GAUGE, "vm_memory_bytes", "Size of the memory.", memory, 0 },
	{ GAUGE, "vm_resident_bytes", "Memory that is resident.", resident, 0 },
	{ GAUGE, "vm_asked_bytes", "Memory that the guest shall keep.", asked,
	    0 },
	{ GAUGE, "vm_given_bytes", "Memory that the guest gave up.", given, 0 },
	{ COUNTER, "vm_cpu_seconds", "CPU time of the VM's processes.",
	    cpu_time, 0 },
	{ COUNTER, "vm_restarts", "Resets by the guest since the VM started.",
	    restarts, 0 },
	DEVICE(requests, "requests",
	    "Requests answered; of a network interface, frames."),
	DEVICE(in, "bytes_in", "Bytes to the guest."),
	DEVICE(out, "bytes_out", "Bytes from the guest."),
	DEVICE(errors, "errors", "Requests that failed; frames dropped."),
	DEVICE(kicks, "kicks", "Times that the guest woke the device."),
	DEVICE(
	    interrupts, "interrupts", "Times that the device woke the guest."),
};

#define X(field, name) +1
static_assert(
    sizeof(struct ctl_counters) == (0 CTL_COUNTERS(X)) * sizeof(uint64_t),
    "numbers of one kind");
static_assert(sizeof(families) / sizeof(families[0]) == 9 + (0 CTL_COUNTERS(X)),
    "each counter has a family");
#undef X

void
metrics_print(FILE *fp, const struct ctl_vm *vms, size_t n)
{
	const struct family *f;
	size_t i, k;

	for (i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		f = &families[i];
		fprintf(fp, "# TYPE vmd_%s %s\n", f->name,
		    f->kind == COUNTER ? "counter" : "gauge");
		fprintf(fp, "# HELP vmd_%s %s\n", f->name, f->help);
		for (k = 0; k < n; k++)
			f->samples(fp, f, &vms[k]);
	}
	fputs("# EOF\n", fp);
}

enum cmd_result
metrics_run(int argc, char **argv, const struct cmd_env *env)
{
	struct ctl_vm *vms;
	size_t n;

	if (cmd_getopt(argc, argv, "") != -1 || argc != optind)
		return CMD_USAGE;
	if (client_list(env, &vms, &n) != 0)
		return CMD_FAILED;
	metrics_print(stdout, vms, n);
	free(vms);
	return CMD_OK;
}
