/* SPDX-License-Identifier: ISC */
/*
 * What real guests did to the machine, played again: every answer is the one
 * that they got.  The traces are in regress/trace/data; what a line means, and
 * how they are made, is in regress/trace/trace_machine.c.
 */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>
#include <zlib.h>

/* Its time is the trace's. */
#define clock_gettime trace_clock
static int trace_clock(int, struct timespec *);
#include "../../vmd/machine.c"
#include "../../vmd/machine_ports.c"
#include "../novmm.h"
#undef clock_gettime

#define TRACES	"regress/trace/data"
#define TICK	1024
#define LINE	2048
#define ROM_MAX (16U << 20)

struct function {
	struct pci_dev dev;
	uint8_t cfg[256], wmask[256], w1c[256];
};

static struct {
	struct machine *m;
	struct gmem mem;
	struct event_base *base;
	uint8_t *rom;
	struct function fn[PCI_SLOTS];
	uint64_t ns, wall;
	unsigned line;
	enum vm_bootdev boot;
	bool began;
	struct screen screen;
	unsigned long
	    compared[MACHINE_WINDOWS + 4]; /* answers: of windows[], ... */
} r;
enum { SCREEN_PORTS = MACHINE_WINDOWS, OTHER_PORTS, MEMORY, ACKS };

static int
trace_clock(int id, struct timespec *ts)
{
	uint64_t ns = r.ns + (id == CLOCK_REALTIME ? r.wall : 0);

	ts->tv_sec = (time_t)(ns / NS);
	ts->tv_nsec = (long)(ns % NS);
	return 0;
}

/* What the machine calls */

static void
on_ended(void *arg, enum vm_end how, const char *detail)
{
}

static void
on_nothing(void *arg)
{
}

static void
on_bool(void *arg, bool on)
{
}

static const struct machine_ops calls = {
	.ended = on_ended,
	.button_read = on_nothing,
	.kick = on_nothing,
	.hold = on_bool,
	.panicked = on_bool,
	.flash_changed = on_nothing,
};

/* A function's BARs: nothing of the trace goes there. */
static uint64_t
bar_read(void *arg, uint64_t off, unsigned size)
{
	return 0;
}

static void
bar_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
}

static const struct bus_ops bar_ops = { 1 | 2 | 4 | 8, bar_read, bar_write };
static const struct pci_dev_ops no_ops;

/* The head */

static void
make(const char *s)
{
	unsigned long long memory, wall;
	unsigned cpus, rom, screen;
	struct machine_conf c = {
		.mem = &r.mem,
		.name = "one",
		.console = { -1, -1, -1 },
		.ops = &calls,
	};

	assert_int_equal(sscanf(s, "M %llx %x %x %llx %x", &memory, &cpus, &rom,
			     &wall, &screen),
	    5);
	assert_true(rom <= ROM_MAX);
	assert_int_equal(gmem_create(&r.mem, memory), 0);
	r.base = event_base_new();
	r.rom = rom != 0 ? calloc(1, rom) : NULL;
	r.wall = wall;
	c.base = r.base;
	c.cpus = cpus;
	c.rom = r.rom;
	c.rom_len = rom;
	c.screen = screen != 0 ? &r.screen : NULL;
	assert_int_equal(machine_new(&r.m, &c), 0);
}

static void
get_bytes(const char **s, uint8_t *p, size_t n)
{
	unsigned b;

	while (**s == ' ')
		++*s;
	for (; n > 0; n--, *s += 2) {
		assert_int_equal(sscanf(*s, "%2x", &b), 1);
		*p++ = (uint8_t)b;
	}
}

static void
add_function(const char *s)
{
	char *end;
	unsigned slot = (unsigned)strtoul(s + 2, &end, 16);
	struct function *f = &r.fn[slot % PCI_SLOTS];
	const char *p = end;

	get_bytes(&p, f->cfg, sizeof(f->cfg));
	get_bytes(&p, f->wmask, sizeof(f->wmask));
	get_bytes(&p, f->w1c, sizeof(f->w1c));
	assert_int_equal(pci_add(&r.m->pci, &f->dev, "function", 0, 0, 0, 0, 0,
			     0, &no_ops, f),
	    0);
	assert_int_equal(f->dev.slot, slot);
	memcpy(f->dev.wmask, f->wmask, sizeof(f->wmask));
	memcpy(f->dev.w1c, f->w1c, sizeof(f->w1c));
	memcpy(f->dev.cfg, f->cfg, sizeof(f->cfg));
}

static void
add_bar(const char *s)
{
	unsigned slot, bar, kind, len;
	struct function *f;

	assert_int_equal(
	    sscanf(s, "B %x %x %x %x", &slot, &bar, &kind, &len), 4);
	f = &r.fn[slot % PCI_SLOTS];
	assert_int_equal(pci_add_bar(&f->dev, bar, kind, len, &bar_ops), 0);
	memcpy(f->dev.cfg, f->cfg, sizeof(f->cfg));
	memcpy(f->dev.wmask, f->wmask, sizeof(f->wmask));
}

/* Events */

static unsigned
which(char what, uint64_t addr)
{
	unsigned i;

	if (what == 'r')
		return MEMORY;
	for (i = 0; i < MACHINE_WINDOWS; i++)
		if (addr - windows[i].base < windows[i].len)
			return i;
	if (r.m->vga != NULL && addr - MACHINE_VGA_PORT < MACHINE_VGA_PORTS)
		return SCREEN_PORTS;
	return OTHER_PORTS;
}

static void
access_bus(
    char what, unsigned long long addr, unsigned size, unsigned long long val)
{
	uint8_t data[8] = { 0 };
	bool port = what == 'i' || what == 'o',
	     write = what == 'o' || what == 'w';
	uint64_t got = 0;

	if (write)
		memcpy(data, &val, sizeof(data));
	if (port)
		machine_pio(r.m, (uint16_t)addr, size, 1, write, data);
	else
		machine_mmio(r.m, addr, size, write, data);
	if (write)
		return;
	assert_in_range(size, 1, sizeof(got));
	memcpy(&got, data, sizeof(got));
	got &= UINT64_MAX >> (64 - 8 * size);
	if (got != val)
		fail_msg("line %u: %s %#llx, %u bytes: %#llx, and was %#llx",
		    r.line, port ? "port" : "address", addr, size,
		    (unsigned long long)got, val);
	r.compared[which(what, addr)]++;
}

static void
look(const char *s)
{
	unsigned long long addr;
	int n;
	const char *p;

	assert_int_equal(sscanf(s, " %llx%n", &addr, &n), 1);
	p = s + n;
	get_bytes(&p, gmem_range(&r.mem, (struct gpa){ addr }, 16), 16);
}

static void
interrupt(const char *s)
{
	unsigned slot, level;

	assert_int_equal(sscanf(s, " %x %x", &slot, &level), 2);
	machine_lock(r.m);
	pci_intx(&r.fn[slot % PCI_SLOTS].dev, level != 0);
	machine_unlock(r.m);
}

static void
event(const char *s)
{
	unsigned long long ticks, addr, val;
	unsigned size;
	char what;
	int n;

	assert_int_equal(sscanf(s, "%llx %c%n", &ticks, &what, &n), 2);
	r.ns += ticks * TICK;
	s += n;
	switch (what) {
	case 'i':
	case 'o':
	case 'r':
	case 'w':
		assert_int_equal(
		    sscanf(s, " %llx %x %llx", &addr, &size, &val), 3);
		access_bus(what, addr, size, val);
		break;
	case 't':
		machine_run(r.m);
		break;
	case 'a':
		val = (unsigned long long)machine_extint_ack(r.m);
		if (val != strtoull(s, NULL, 16))
			fail_msg(
			    "line %u: vector %#llx, not%s", r.line, val, s);
		r.compared[ACKS]++;
		break;
	case 'e':
		machine_eoi(r.m, (uint8_t)strtoul(s, NULL, 16));
		break;
	case 'x':
		interrupt(s);
		break;
	case 'f':
		look(s);
		break;
	default:
		fail_msg("line %u: %s", r.line, s);
	}
}

static void
line(const char *s)
{
	r.line++;
	switch (s[0]) {
	case 'O':
		r.boot = (enum vm_bootdev)strtoul(s + 1, NULL, 16);
		break;
	case 'M':
		make(s);
		break;
	case 'D':
		add_function(s);
		break;
	case 'B':
		add_bar(s);
		break;
	default:
		if (!r.began && r.rom != NULL)
			assert_int_equal(machine_boot_order(r.m, r.boot), 0);
		r.began = true;
		event(s);
	}
}

static void
unmake(void)
{
	machine_free(r.m);
	event_base_free(r.base);
	gmem_destroy(&r.mem);
	free(r.rom);
}

static void
play(const char *path)
{
	char s[LINE];
	unsigned i;
	gzFile f;

	memset(&r, 0, sizeof(r));
	if ((f = gzopen(path, "r")) == NULL)
		fail_msg("%s", path);
	while (gzgets(f, s, sizeof(s)) != NULL)
		line(s);
	gzclose(f);
	unmake();
	print_message("%s: %u lines, answers compared:", path, r.line);
	for (i = 0; i < MACHINE_WINDOWS; i++)
		if (r.compared[i] != 0)
			print_message(
			    " %s %lu", windows[i].name, r.compared[i]);
	print_message(" screen %lu other ports %lu memory %lu vectors %lu\n",
	    r.compared[SCREEN_PORTS], r.compared[OTHER_PORTS],
	    r.compared[MEMORY], r.compared[ACKS]);
	assert_true(r.line > 1000);
}

static void
test_all(void **state)
{
	glob_t g;
	size_t i;

	assert_int_equal(glob(TRACES "/*.gz", 0, NULL, &g), 0);
	for (i = 0; i < g.gl_pathc; i++)
		play(g.gl_pathv[i]);
	globfree(&g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_all) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
