/* SPDX-License-Identifier: ISC */
/*
 * The machine (vmd/machine.c) as ever, and a trace of all that comes to it:
 * linked into vmtrace, which is vmrun with this in its place.  regress/vmd/
 * test_trace.c plays it to the machine again and compares the answers.
 *
 * The machine's time is that of the taking of its lock, in units of 1024 ns,
 * so that a trace says which one each access saw.
 *
 * A line for each event, on standard error between others, begins with "@":
 *   M MEMORY CPUS ROM WALL SCREEN	bytes, number, bytes, ns since 1970 at time
 *				0, is there one
 *   D SLOT CONFIG MASK W1C	a function of PCI: 3 x 256 bytes in hexadecimal,
 *   B SLOT BAR KIND LENGTH	its BARs
 *   O DEVICE			what is booted: enum vm_bootdev
 * and then, T being the time since the event before, in those units:
 *   T i|r ADDRESS SIZE ANSWER	a port or an address is read,
 *   T o|w ADDRESS SIZE VALUE	written
 *   T t			timers are run
 *   T a ANSWER			the 8259s' interrupt is acknowledged
 *   T e VECTOR			the end of an interrupt
 *   T x SLOT LEVEL		INTx of a function
 *   T f ADDRESS BYTES		what is in memory where fw_cfg is about to look
 * Numbers are hexadecimal.  Accesses to the BARs of functions are left out:
 * those devices are not there when it is played.
 */
#include <endian.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static int trace_clock(clockid_t, struct timespec *);
static int trace_lock(pthread_mutex_t *);
#define clock_gettime	   trace_clock
#define pthread_mutex_lock trace_lock
#include "../../vmd/machine.c"
#undef clock_gettime
#undef pthread_mutex_lock

#define TICK	 1024
#define BUFFER	 (1 << 13)
#define FLUSH	 (1 << 12)
#define EVENTS	 400000
#define FWCFG_HI 0x514
#define FWCFG_LO 0x518

static struct {
	uint64_t now, last; /* ticks */
	struct machine *m;
	unsigned events;
	size_t len;
	char buf[BUFFER];
} trace;

void __real_pci_intx(struct pci_dev *, bool);
void __wrap_pci_intx(struct pci_dev *, bool);
uint64_t __real_bus_read(struct bus *, uint64_t, unsigned);
uint64_t __wrap_bus_read(struct bus *, uint64_t, unsigned);
void __real_bus_write(struct bus *, uint64_t, unsigned, uint64_t);
void __wrap_bus_write(struct bus *, uint64_t, unsigned, uint64_t);
void __real_i8254_run(struct i8254 *);
void __wrap_i8254_run(struct i8254 *);
uint8_t __real_i8259_ack(struct i8259 *);
uint8_t __wrap_i8259_ack(struct i8259 *);
void __real_ioapic_eoi(struct ioapic *, uint8_t);
void __wrap_ioapic_eoi(struct ioapic *, uint8_t);
int __real_chipset_boot_order(struct chipset *, enum vm_bootdev);
int __wrap_chipset_boot_order(struct chipset *, enum vm_bootdev);

static void
flush(void)
{
	size_t off = 0;
	ssize_t n;

	while (off < trace.len &&
	    (n = write(2, trace.buf + off, trace.len - off)) > 0)
		off += (size_t)n;
	trace.len = 0;
}

static void __attribute__((format(printf, 1, 2))) put(const char *fmt, ...)
{
	va_list ap;

	if (fmt[0] == '@' && trace.len > FLUSH)
		flush();
	va_start(ap, fmt);
	trace.len += (size_t)vsnprintf(
	    trace.buf + trace.len, BUFFER - trace.len, fmt, ap);
	va_end(ap);
}

static void
put_bytes(const void *p, size_t n)
{
	const uint8_t *b = p;

	while (n-- > 0)
		put("%02x", *b++);
}

static uint64_t
real_ticks(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ((uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec) / TICK;
}

static int
trace_clock(clockid_t id, struct timespec *ts)
{
	static uint64_t wall;
	uint64_t ns;

	if (trace.now == 0)
		trace.now = real_ticks(CLOCK_MONOTONIC);
	if (wall == 0)
		wall = real_ticks(CLOCK_REALTIME) - trace.now;
	ns = (trace.now + (id == CLOCK_REALTIME ? wall : 0)) * TICK;
	ts->tv_sec = (time_t)(ns / 1000000000);
	ts->tv_nsec = (long)(ns % 1000000000);
	return 0;
}

static int
trace_lock(pthread_mutex_t *lock)
{
	int r = pthread_mutex_lock(lock);

	trace.now = real_ticks(CLOCK_MONOTONIC);
	return r;
}

/* Once all functions are there. */
static void
head(void)
{
	struct machine *m = trace.m;
	struct timespec wall;
	unsigned slot, i;
	struct pci_dev *d;

	trace_clock(CLOCK_REALTIME, &wall);
	put("@M %llx %x %x %llx %x\n", (unsigned long long)m->conf.mem->size,
	    m->conf.cpus, m->conf.rom != NULL ? m->conf.rom_len : 0,
	    (unsigned long long)wall.tv_sec * 1000000000 +
		(unsigned long long)wall.tv_nsec - machine_now(m),
	    m->conf.screen != NULL);
	for (slot = 2; slot < PCI_SLOTS; slot++) {
		if ((d = m->pci.dev[slot]) == NULL)
			continue;
		put("@D %x ", slot);
		put_bytes(d->cfg, sizeof(d->cfg));
		put(" ");
		put_bytes(d->wmask, sizeof(d->wmask));
		put(" ");
		put_bytes(d->w1c, sizeof(d->w1c));
		put("\n");
		for (i = 0; i < PCI_BARS; i++)
			if (d->bar[i].kind != PCI_BAR_NONE)
				put("@B %x %x %x %x\n", slot, i, d->bar[i].kind,
				    d->bar[i].len);
	}
	trace.last = m->start / TICK;
}

/* The beginning of an event's line; is it wanted? */
static bool
event(char what)
{
	if (trace.m == NULL || trace.events >= EVENTS)
		return false;
	if (trace.events++ == 0)
		head();
	put("@%llx %c", (unsigned long long)(trace.now - trace.last), what);
	trace.last = trace.now;
	return true;
}

static bool
in_function(const struct bus *b, uint64_t addr)
{
	const struct pci_bar *bar;
	unsigned slot, i;

	for (slot = 2; slot < PCI_SLOTS; slot++)
		for (i = 0; trace.m->pci.dev[slot] != NULL && i < PCI_BARS;
		     i++) {
			bar = &trace.m->pci.dev[slot]->bar[i];
			if (bar->mapped &&
			    (bar->kind == PCI_BAR_IO) == (b == &trace.m->pio) &&
			    addr - bar->base < bar->len)
				return true;
		}
	return false;
}

static struct machine *
machine_of(struct bus *b, bool pio)
{
	return (struct machine *)((char *)b -
	    (pio ? offsetof(struct machine, pio)
		 : offsetof(struct machine, mmio)));
}

static bool
is_pio(const struct bus *b)
{
	return b->limit == PORTS;
}

uint64_t
__wrap_bus_read(struct bus *b, uint64_t addr, unsigned size)
{
	uint64_t val;

	trace.m = machine_of(b, is_pio(b));
	val = __real_bus_read(b, addr, size);
	if (!in_function(b, addr) && event(is_pio(b) ? 'i' : 'r'))
		put(" %llx %x %llx\n", (unsigned long long)addr, size,
		    (unsigned long long)val);
	return val;
}

static void
fwcfg_dma(uint64_t addr, uint64_t val)
{
	static uint32_t high;
	const void *p;

	if (addr == FWCFG_HI)
		high = be32toh((uint32_t)val);
	if (addr != FWCFG_LO)
		return;
	addr = (uint64_t)high << 32 | be32toh((uint32_t)val);
	if ((p = gmem_range(trace.m->conf.mem, (struct gpa){ addr }, 16)) ==
		NULL ||
	    !event('f'))
		return;
	put(" %llx ", (unsigned long long)addr);
	put_bytes(p, 16);
	put("\n");
}

void
__wrap_bus_write(struct bus *b, uint64_t addr, unsigned size, uint64_t val)
{
	trace.m = machine_of(b, is_pio(b));
	if (!in_function(b, addr)) {
		if (is_pio(b))
			fwcfg_dma(addr, val);
		if (event(is_pio(b) ? 'o' : 'w'))
			put(" %llx %x %llx\n", (unsigned long long)addr, size,
			    (unsigned long long)val);
	}
	__real_bus_write(b, addr, size, val);
}

void
__wrap_i8254_run(struct i8254 *pit)
{
	if (event('t'))
		put("\n");
	flush(); /* who ends this process does not ask */
	__real_i8254_run(pit);
}

uint8_t
__wrap_i8259_ack(struct i8259 *pic)
{
	uint8_t vector = __real_i8259_ack(pic);

	if (event('a'))
		put(" %x\n", vector);
	return vector;
}

void
__wrap_ioapic_eoi(struct ioapic *io, uint8_t vector)
{
	if (event('e'))
		put(" %x\n", vector);
	__real_ioapic_eoi(io, vector);
}

int
__wrap_chipset_boot_order(struct chipset *c, enum vm_bootdev dev)
{
	put("@O %x\n", dev);
	return __real_chipset_boot_order(c, dev);
}

void
__wrap_pci_intx(struct pci_dev *d, bool level)
{
	if (event('x'))
		put(" %x %x\n", d->slot, level);
	__real_pci_intx(d, level);
}
