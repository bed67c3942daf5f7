/* SPDX-License-Identifier: ISC */
/*
 * Fuzzer: the machine as its vCPUs see it.  Ports and memory of every chip and
 * of the devices in the vm process itself (entropy, balloon, vmmci, console), the
 * 8259's acknowledge, the IOAPIC's end of interrupt, with firmware or without,
 * with a screen or without, while time passes and the host does what it can.
 * The machine may be saved and go on from that, with a bit or more of it changed
 * and checksums that are right.
 * Whatever the guest does, the machine stays inside of guest memory.
 *
 * The input is a byte that says which machine, then steps (struct step).
 */
#include <sys/mman.h>
#include <sys/socket.h>

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* Its time is ours, and its timers run when we say. */
#define clock_gettime machine_clock
static int machine_clock(int, struct timespec *);
#include "../../vmd/machine.c"
#include "../novmm.h"
#undef clock_gettime

#include "screen.h"
#include "viobal.h"
#include "viocon.h"
#include "viornd.h"
#include "vmm.h"
#include "vmmci.h"

#define MEM	    (16ULL << 20)
#define ROM	    (64U << 10)
#define FLASH	    (8U << 10) /* before it */
#define STEPS	    400
#define SAVES	    2 /* a state is long, compared with a step */
#define SECTION	    32 /* a section's head; its length and checksum in there */
#define SECTION_LEN 24
#define SECTION_CRC 20

enum { WITH_ROM = 1, WITH_SCREEN = 2, WITH_VIRTIO = 4 };

struct step {
	uint8_t what, size;
	uint8_t at[4]; /* little-endian, as val */
	uint8_t val[4];
};

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static uint64_t fake_ns;
static unsigned held;

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static int
machine_clock(int id, struct timespec *ts)
{
	ts->tv_sec = (time_t)(fake_ns / NS);
	ts->tv_nsec = (long)(fake_ns % NS);
	return 0;
}

/* The vm process */

static void
on_ended(void *arg, enum vm_end how, const char *detail)
{
}

static void
on_nothing(void *arg)
{
}

static void
on_hold(void *arg, bool on)
{
	check(on || held > 0);
	held += on ? 1 : -1;
}

static void
on_handled(void *arg, bool handled)
{
}

static void
on_told(void *arg, uint64_t bytes)
{
}

static int
host_time(struct timeval *tv)
{
	*tv = (struct timeval){ .tv_sec = (time_t)(fake_ns / NS) };
	return 0;
}

static const struct machine_ops machine_calls = {
	.ended = on_ended,
	.button_read = on_nothing,
	.kick = on_nothing,
	.hold = on_hold,
	.panicked = on_handled,
	.flash_changed = on_nothing,
};

static struct rig {
	struct event_base *base;
	struct gmem mem;
	struct screen screen;
	uint8_t rom[ROM], flash[FLASH], copy[FLASH], genid[GENID_LEN];
	int line[VM_TTYS]; /* the consoles' other ends */
	int file, saves;
	bool over; /* a state was refused, which is a VM's end */
	struct machine *m;
	struct viornd *rnd;
	struct viobal *bal;
	struct vmmci *ci;
	struct viocon *con;
} r;

static void
make(uint8_t how)
{
	unsigned i;
	int line[2];
	struct machine_conf c = {
		.mem = &r.mem,
		.name = "one",
		.base = r.base,
		.cpus = 2,
		.rom = (how & WITH_ROM) ? r.rom : NULL,
		.rom_len = ROM,
		.flash = (how & WITH_ROM) ? r.flash : NULL,
		.flash_len = FLASH,
		.screen = (how & WITH_SCREEN) ? &r.screen : NULL,
		.genid = r.genid,
		.ops = &machine_calls,
	};
	struct viobal_conf bal = {
		.mem = &r.mem, .name = "viobal", .told = on_told
	};
	struct vmmci_conf ci = {
		.name = "vmmci", .acked = on_nothing, .now = host_time
	};

	for (i = 0; i < VM_TTYS; i++) {
		check(socketpair(
			  AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, line) == 0);
		c.console[i] = line[0];
		r.line[i] = line[1];
	}
	check(machine_new(&r.m, &c) == 0);
	r.rnd = NULL;
	r.bal = NULL;
	r.ci = NULL;
	r.con = NULL;
	if (!(how & WITH_VIRTIO))
		return;
	bal.pci = ci.pci = machine_pci(r.m);
	bal.host = ci.host = machine_virtio(r.m);
	r.rnd = viornd_new(bal.pci, bal.host, &r.mem, "viornd");
	r.bal = viobal_new(&bal);
	r.ci = vmmci_new(&ci);
	r.con = viocon_new(bal.pci, bal.host, &r.mem,
	    machine_console(r.m, VM_TTY_VIRTIO), "viocon");
	check(r.rnd != NULL && r.bal != NULL && r.ci != NULL && r.con != NULL);
}

static void
unmake(void)
{
	unsigned i;

	viornd_free(r.rnd);
	viobal_free(r.bal);
	vmmci_free(r.ci);
	viocon_free(r.con);
	machine_free(r.m);
	for (i = 0; i < VM_TTYS; i++)
		close(r.line[i]);
	held = 0;
}

/* Steps */

static uint32_t
le32(const uint8_t b[4])
{
	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
	    (uint32_t)b[3] << 24;
}

/* Most ports have nothing behind them. */
static uint16_t
port(uint32_t at)
{
	static const uint16_t ports[] = { 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1,
		0x40, 0x41, 0x42, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x72,
		0x73, 0x92, 0xb2, 0xb3, 0xcf8, 0xcf9, 0xcfa, 0xcfb, 0xcfc,
		0xcfd, 0xcfe, 0xcff, 0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd,
		0x3fe, 0x3ff, 0x2f8, 0x2f9, 0x2fa, 0x2fc, 0x402, 0x505, 0x510,
		0x511, 0x514, 0x518, 0x600, 0x602, 0x604, 0x608, 0x3b4, 0x3b5,
		0x3c0, 0x3c1, 0x3c4, 0x3c5, 0x3ce, 0x3cf, 0x3d4, 0x3d5, 0x3da,
		PCI_IO_BASE, PCI_IO_BASE + 0x40, PCI_IO_BASE + 0x80 };

	if (at & 0x80000000)
		return (uint16_t)(at +
		    ports[(at >> 24 & 0x7f) %
			(sizeof(ports) / sizeof(ports[0]))]);
	return (uint16_t)at;
}

static uint64_t
address(uint32_t at)
{
	static const uint64_t bases[] = { IOAPIC_BASE, PCI_MMIO_BASE,
		PCI_MMIO_BASE + 0x1000, PCI_MMIO_BASE + 0x4000, VGA_MEM_BASE,
		(1ULL << 32) - ROM - FLASH, 0xc0000, 0xe0000 };

	return bases[at >> 29] + (at & 0x1fff);
}

/* As the event loop would. */
static void
pass(uint32_t val)
{
	uint32_t off, n;

	/* From nothing to some hours, mostly little. */
	fake_ns += (uint64_t)(val & 0xffffff) << (val >> 24) % 24;
	machine_run(r.m);
	n = machine_flash_take(r.m, r.copy, &off);
	check(n <= FLASH - off && memcmp(r.copy + off, r.flash + off, n) == 0);
	event_base_loop(r.base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
}

static void
memory(uint32_t at, uint32_t val)
{
	memcpy((uint8_t *)gmem_range(&r.mem, (struct gpa){ 0 }, MEM) +
		at % (MEM - 4),
	    &val, 4);
}

static void
host(uint32_t at, uint32_t val)
{
	switch (at % 7) {
	case 0:
		machine_power_button(r.m);
		break;
	case 1:
		/* What a message may say, which lib/screen.c checks. */
		val &= SCREEN_KEY_CODE | SCREEN_KEY_EXT | SCREEN_KEY_UP;
		machine_keys(r.m, &val, 1);
		break;
	case 2:
		machine_pause(r.m);
		fake_ns += val;
		machine_resume(r.m);
		break;
	case 3:
		if (r.bal != NULL)
			viobal_keep(r.bal, (uint64_t)val << 8);
		break;
	case 4:
		if (r.ci != NULL)
			vmmci_shutdown(r.ci);
		break;
	case 5:
		if (r.ci != NULL)
			vmmci_sync(r.ci);
		break;
	case 6: /* typing */
		(void)!write(r.line[at >> 8 & 1 ? 1 : 2], &val, sizeof(val));
		break;
	}
}

/* Puts the checksums right behind a byte that was changed. */
static void
sign(uint8_t *p, size_t len)
{
	size_t off = STATE_HEAD;
	uint32_t n;

	while (len - off >= SECTION) {
		n = le32(p + off + SECTION_LEN);
		if (n > len - off - SECTION)
			return;
		n = htole32((uint32_t)crc32(0, p + off + SECTION, n));
		memcpy(p + off + SECTION_CRC, &n, sizeof(n));
		off += SECTION + le32(p + off + SECTION_LEN);
	}
}

static void
change(uint32_t at, uint32_t val)
{
	off_t end = lseek(r.file, 0, SEEK_END);
	size_t len = (size_t)end, i;
	uint8_t *p;

	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, r.file, 0);
	check(p != MAP_FAILED);
	/* Most of a state is a ROM, or memory of a screen. */
	at = STATE_HEAD +
	    at % (uint32_t)(len - STATE_HEAD) % (at >> 31 != 0 ? 4096 : len);
	for (i = 0; i < sizeof(val) && at + i < len; i++)
		p[at + i] ^= (uint8_t)(val >> 8 * i);
	sign(p, len);
	munmap(p, len);
}

/* vmctl save, an enemy, vmctl restore. */
static void
save(uint32_t at, uint32_t val)
{
	char name[STATE_NAME_MAX + 1];
	struct state s;

	if (r.saves == SAVES)
		return;
	r.saves++;
	machine_pause(r.m);
	check(ftruncate(r.file, 0) == 0 && lseek(r.file, 0, SEEK_SET) == 0);
	check(state_write_head(&s, r.file, "one") == 0);
	machine_state(r.m, &s);
	check(s.error == 0);
	state_free(&s);
	change(at, val);
	check(lseek(r.file, 0, SEEK_SET) == 0);
	check(state_read_head(&s, r.file, name) == 0);
	machine_state(r.m, &s);
	r.over = s.error != 0;
	check(val != 0 || !r.over);
	state_free(&s);
	machine_resume(r.m);
}

static void
step(const struct step *s)
{
	static uint8_t strings[4096];
	uint32_t at = le32(s->at), val = le32(s->val);
	unsigned size = 1U << s->size % 3;
	uint8_t data[8] = { 0 };

	memcpy(data, s->val, 4);
	switch (s->what % 11) {
	case 0:
	case 1:
		machine_pio(r.m, port(at), size, 1, s->what % 2 == 0, data);
		break;
	case 2:
	case 3:
		machine_mmio(r.m, address(at), 1U << s->size % 4,
		    s->what % 2 == 0, data);
		break;
	case 4:
		pass(val);
		break;
	case 5: /* REP INS and OUTS */
		memset(strings, s->val[1], sizeof(strings));
		machine_pio(r.m, port(at), size, s->val[0] + 1U,
		    (s->size & 0x80) != 0, strings);
		break;
	case 6:
		machine_eoi(r.m, s->val[0]);
		break;
	case 7:
		if (machine_extint(r.m))
			machine_extint_ack(r.m);
		break;
	case 8:
		memory(at, val);
		break;
	case 9:
		host(at, val);
		break;
	case 10:
		save(at, val);
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	unsigned n;

	if (len < 1)
		return 0;
	if (r.base == NULL) {
		check((r.base = event_base_new()) != NULL);
		check(gmem_create(&r.mem, MEM) == 0);
		log_init(LOG_TO_STDERR, "fuzz");
		log_setverbose(-1);
		check((r.file = memfd_create("state", 0)) != -1);
	}
	r.saves = 0;
	r.over = false;
	fake_ns = NS;
	make(data[0]);
	data++;
	len--;
	for (n = 0; n < STEPS && len >= sizeof(struct step) && !r.over; n++) {
		step((const struct step *)data);
		data += sizeof(struct step);
		len -= sizeof(struct step);
	}
	unmake();
	return 0;
}
