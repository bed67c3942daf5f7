/* SPDX-License-Identifier: ISC */
/*
 * Wires chips, buses, PCI and the console together; the address map is
 * windows[] in machine_ports.c.
 *
 * Invariants
 *  1. Every member marked (m) is touched with the lock held.
 *  2. armed is the instant the timer is set to: never later than the nearest
 *     deadline of any chip.  It may be earlier; then the timer runs nothing
 *     and is set again.
 *  3. While the machine is paused its time stands still, and the timer is not
 *     set.  The RTC's date is the host's and goes on.
 *  4. An IOAPIC pin has an entry in the driver's GSI table exactly while it
 *     is unmasked and level-triggered: that is what EOI reports need.
 */
#include <sys/param.h>
#include <sys/timerfd.h>
#include <event2/event.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "console.h"
#include "fd.h"
#include "genid.h"
#include "log.h"
#include "machine_chips.h"
#include "smbios.h"
#include "state_chips.h"
#include "vga.h"
#include "vmm.h"

#define PORTS	    0x10000ULL
#define MMIO_LIMIT  (1ULL << 52)
#define IRQ_TIMER   0
#define IRQ_KBD	    1
#define IRQ_CASCADE 2
#define IRQ_COM2    3
#define IRQ_COM1    4
#define IRQ_RTC	    8
#define IRQ_AUX	    12
#define ISA_IRQS    16
#define PIN_TIMER   2 /* MADT: ISA IRQ 0 is pin 2 */
#define MSI_LEVEL   (1U << 15) /* trigger mode of an MSI's data */
#define NS	    1000000000ULL

void
machine_lock(void *machine)
{
	struct machine *m = machine;

	pthread_mutex_lock(&m->lock);
}

void
machine_unlock(void *machine)
{
	struct machine *m = machine;

	pthread_mutex_unlock(&m->lock);
}

/* Time */

static uint64_t
clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec;
}

static uint64_t
machine_now(void *arg)
{
	struct machine *m = arg;

	return (m->paused != 0 ? m->paused : clock_ns()) - m->start;
}

static int64_t
wall_clock(void *arg, uint32_t *ns)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	*ns = (uint32_t)ts.tv_nsec;
	return ts.tv_sec;
}

/* Whoever changed a deadline sets the timer: no thread wakes for it. */
static void
machine_rearm(void *arg)
{
	struct machine *m = arg;
	struct itimerspec its = { 0 };
	uint64_t at;
	unsigned i;

	at = i8254_deadline(&m->pit);
	at = MIN(at, mc146818_deadline(&m->rtc));
	for (i = 0; i < MACHINE_COMS; i++)
		at = MIN(at, ns16550_deadline(&m->com[i].uart));
	at = MIN(at, ioapic_deadline(&m->ioapic));
	at = MIN(at, acpi_pm_deadline(&m->pm));
	for (i = 0; i < VM_TTYS; i++)
		if (m->console[i] != NULL)
			at = MIN(at, console_deadline(m->console[i]));
	if (at >= m->armed || m->paused != 0)
		return;
	m->armed = at;
	if (at >= DEV_NEVER - m->start)
		return;
	at += m->start;
	its.it_value.tv_sec = (time_t)(at / NS);
	its.it_value.tv_nsec = (long)(at % NS);
	timerfd_settime(m->timerfd, TFD_TIMER_ABSTIME, &its, NULL);
}

/* What is due. */
static void
machine_run(struct machine *m)
{
	unsigned i;

	machine_lock(m);
	m->armed = DEV_NEVER;
	i8254_run(&m->pit);
	mc146818_run(&m->rtc);
	for (i = 0; i < MACHINE_COMS; i++)
		ns16550_run(&m->com[i].uart);
	ioapic_run(&m->ioapic);
	acpi_pm_run(&m->pm);
	for (i = 0; i < VM_TTYS; i++)
		if (m->console[i] != NULL)
			console_run(m->console[i]);
	machine_rearm(m);
	machine_unlock(m);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	uint64_t expired;

	if (read(fd, &expired, sizeof(expired)) == sizeof(expired))
		machine_run(arg);
	/* Else it was set anew meanwhile: it will fire. */
}

/* Interrupts */

void
machine_set_gsi(void *machine, unsigned gsi, bool level)
{
	struct machine *m = machine;

	if (gsi < ISA_IRQS)
		i8259_set(&m->pic, gsi, level);
	if (gsi == IRQ_TIMER)
		ioapic_set(&m->ioapic, PIN_TIMER, level);
	else if (gsi != IRQ_CASCADE && gsi < IOAPIC_PINS)
		ioapic_set(&m->ioapic, gsi, level);
}

/* The RTC's output, which ACPI's PM1 block sees too. */
static void
set_rtc(void *arg, unsigned gsi, bool level)
{
	struct machine *m = arg;

	machine_set_gsi(m, gsi, level);
	if (level)
		acpi_pm_rtc(&m->pm);
}

/* INTR of the 8259 pair. */
static void
set_intr(void *arg, unsigned n, bool level)
{
	struct machine *m = arg;

	if (atomic_exchange(&m->extint, level) != level && level)
		m->conf.ops->kick(m->conf.arg);
}

static bool
ioapic_msi(void *arg, uint64_t addr, uint32_t data)
{
	struct machine *m = arg;
	static struct log_rate rate = LOG_RATE(3, 60);
	int r;

	if ((r = vmm_signal_msi(m->conf.vmm, addr, data)) < 0)
		log_limited(&rate, "ioapic: interrupt %#x not delivered: %s",
		    data, strerrordesc_np(-r));
	return true;
}

static void
ioapic_route(void *arg, unsigned pin, uint64_t addr, uint32_t data, bool masked)
{
	struct machine *m = arg;
	static struct log_rate rate = LOG_RATE(3, 60);
	int r;

	if (masked || (data & MSI_LEVEL) == 0) /* invariant 4 */
		vmm_route_clear(m->conf.vmm, pin);
	else
		vmm_route_set(m->conf.vmm, pin, addr, data);
	if ((r = vmm_route_commit(m->conf.vmm)) < 0)
		log_limited(&rate, "ioapic: route of pin %u refused: %s", pin,
		    strerrordesc_np(-r));
}

bool
machine_extint(const struct machine *m)
{
	return atomic_load(&m->extint);
}

int
machine_extint_ack(struct machine *m)
{
	int vector = -EAGAIN;

	machine_lock(m);
	if (i8259_pending(&m->pic))
		vector = i8259_ack(&m->pic);
	machine_unlock(m);
	return vector;
}

void
machine_eoi(struct machine *m, uint8_t vector)
{
	machine_lock(m);
	ioapic_eoi(&m->ioapic, vector);
	machine_unlock(m);
}

static size_t
uart_out(void *arg, const uint8_t *b, size_t n)
{
	const struct com *com = arg;

	return *com->console != NULL ? console_out(*com->console, b, n) : n;
}

/* The guest's ends */

static void
on_reset(void *arg)
{
	struct machine *m = arg;

	m->conf.ops->ended(m->conf.arg, VM_END_RESET, "");
}

static void
on_poweroff(void *arg)
{
	struct machine *m = arg;

	m->conf.ops->ended(m->conf.arg, VM_END_POWEROFF, "");
}

static void
on_button_read(void *arg)
{
	struct machine *m = arg;

	m->conf.ops->button_read(m->conf.arg);
}

static void
on_panicked(void *arg, bool handled)
{
	struct machine *m = arg;

	m->conf.ops->panicked(m->conf.arg, handled);
}

void
machine_power_button(struct machine *m)
{
	machine_lock(m);
	acpi_pm_power_button(&m->pm);
	machine_unlock(m);
}

void
machine_new_generation(struct machine *m)
{
	machine_lock(m);
	genid_renew(m->conf.genid);
	acpi_pm_gpe(&m->pm, GENID_GPE);
	machine_unlock(m);
}

void
machine_keys(struct machine *m, const uint32_t *key, uint32_t n)
{
	uint32_t i;

	machine_lock(m);
	for (i = 0; i < n; i++)
		i8042_key(&m->kbd, key[i]);
	machine_unlock(m);
}

static void
pause_consoles(struct machine *m, bool on)
{
	unsigned i;

	for (i = 0; i < VM_TTYS; i++)
		if (m->console[i] != NULL)
			console_pause(m->console[i], on);
}

void
machine_pause(struct machine *m)
{
	static const struct itimerspec never;

	machine_flush(m);
	machine_lock(m);
	pause_consoles(m, true);
	m->paused = clock_ns();
	m->armed = DEV_NEVER;
	timerfd_settime(m->timerfd, TFD_TIMER_ABSTIME, &never, NULL);
	machine_unlock(m);
}

void
machine_resume(struct machine *m)
{
	machine_lock(m);
	m->start += clock_ns() - m->paused;
	m->paused = 0;
	pause_consoles(m, false);
	machine_rearm(m);
	machine_unlock(m);
}

void
machine_flush(struct machine *m)
{
	unsigned i;

	machine_lock(m);
	for (i = 0; i < VM_TTYS; i++)
		if (m->console[i] != NULL)
			console_flush(m->console[i]);
	machine_unlock(m);
}

struct pci *
machine_pci(struct machine *m)
{
	return &m->pci;
}

struct console *
machine_console(struct machine *m, enum vm_tty tty)
{
	return m->console[tty];
}

struct virtio_host *
machine_virtio(struct machine *m)
{
	return &m->virtio;
}

/* The state, while it is paused.  Time goes on where it stood. */
static void
state_time(struct machine *m, struct state *s)
{
	uint64_t now = machine_now(m);

	if (state_begin(s, "machine", 1) != 0)
		return;
	state_number(s, &now, INT64_MAX);
	pci_state(&m->pci, s);
	if (state_end(s) == 0 && !s->writing)
		m->start = m->paused - now;
}

void
machine_state(struct machine *m, struct state *s)
{
	unsigned i;

	machine_lock(m);
	state_time(m, s);
	state_chip(s, STATE_I8259, &m->pic);
	state_chip(s, STATE_I8254, &m->pit);
	state_chip(s, STATE_IOAPIC, &m->ioapic);
	state_chip(s, STATE_RTC, &m->rtc);
	state_chip(s, STATE_UART, &m->com[0].uart);
	state_chip(s, STATE_UART2, &m->com[1].uart);
	state_chip(s, STATE_I8042, &m->kbd);
	state_chip(s, STATE_PVPANIC, &m->panic);
	state_chip(s, STATE_PM, &m->pm);
	genid_state(m->conf.genid, s);
	if (m->vga != NULL)
		state_chip(s, STATE_VGA, m->vga);
	if (m->conf.rom != NULL)
		chipset_state(&m->chipset, s);
	if (s->error == 0 && !s->writing) {
		for (i = 0; i < 3; i++) {
			/* As a count of zero is for the chip. */
			if (m->pit.ch[i].cr == 0)
				m->pit.ch[i].cr = 0x10000;
			if (m->pit.ch[i].cur == 0)
				m->pit.ch[i].cur = 0x10000;
		}
		ioapic_restored(&m->ioapic);
		if (m->vga != NULL)
			vga_draw(m->vga);
		atomic_store(&m->extint, m->pic.out);
	}
	machine_unlock(m);
}

/* Set-up */

static struct line
gsi_line(struct machine *m, unsigned gsi)
{
	return (struct line){ machine_set_gsi, m, gsi };
}

static const struct ioapic_ops ioapic_callbacks = {
	.msi = ioapic_msi,
	.route = ioapic_route,
};

static void
make_com(struct machine *m, enum vm_tty tty, unsigned irq, struct devenv env)
{
	struct com *com = &m->com[tty];

	com->console = &m->console[tty];
	ns16550_init(&com->uart, gsi_line(m, irq), env, uart_out, com);
}

static void
make_chips(struct machine *m, struct devenv env)
{
	i8259_init(&m->pic, (struct line){ set_intr, m, 0 });
	ioapic_init(&m->ioapic, ACPI_IOAPIC_ID, &ioapic_callbacks, m);
	ioapic_set_env(&m->ioapic, env);
	i8254_init(&m->pit, gsi_line(m, IRQ_TIMER), env);
	mc146818_init(&m->rtc, (struct line){ set_rtc, m, IRQ_RTC }, env,
	    wall_clock, NULL, m->conf.mem->size, m->conf.cpus);
	make_com(m, VM_TTY_SERIAL, IRQ_COM1, env);
	make_com(m, VM_TTY_SERIAL2, IRQ_COM2, env);
	i8042_init(
	    &m->kbd, gsi_line(m, IRQ_KBD), gsi_line(m, IRQ_AUX), on_reset, m);
	pvpanic_init(&m->panic, on_panicked, m);
	acpi_pm_init(
	    &m->pm, gsi_line(m, ACPI_SCI), env, on_poweroff, on_button_read, m);
}

static int
make_timer(struct machine *m)
{
	m->armed = DEV_NEVER;
	m->timerfd =
	    timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (m->timerfd == -1)
		return -errno;
	m->timer = event_new(
	    m->conf.base, m->timerfd, EV_READ | EV_PERSIST, on_timer, m);
	if (m->timer == NULL || event_add(m->timer, NULL) == -1)
		return -ENOMEM;
	return 0;
}

static int
make_consoles(struct machine *m, struct devenv env)
{
	struct console_conf c = {
		.base = m->conf.base,
		.lock = machine_lock,
		.unlock = machine_unlock,
		.arg = m,
		.env = env,
	};
	unsigned i;
	int r = 0;

	for (i = 0; i < VM_TTYS && r == 0; i++) {
		if (m->conf.console[i] == -1)
			continue;
		c.fd = fd_take(&m->conf.console[i]);
		c.sink = i < MACHINE_COMS ? &console_uart : NULL;
		c.sink_arg = i < MACHINE_COMS ? &m->com[i].uart : NULL;
		r = console_new(&m->console[i], &c);
	}
	return r;
}

int
machine_tables(struct machine *m, struct gpa *rsdp)
{
	struct acpi_conf acpi = {
		.cpus = m->conf.cpus,
		.pm_base = ACPI_PM_BASE,
		.pci_mmio_base = PCI_MMIO_BASE,
		.pci_mmio_len = PCI_MMIO_LEN,
		.pci_io_base = PCI_IO_BASE,
		.pci_io_len = PCI_IO_LEN,
		.vga = m->vga != NULL,
	};
	int r;

	r = acpi_tables(m->conf.mem, &acpi, rsdp);
	return r < 0 ? r
		     : smbios_memory(m->conf.mem, m->conf.name, m->conf.cpus);
}

static int
make_screen(struct machine *m)
{
	int r;

	if (m->conf.screen == NULL)
		return 0;
	if ((m->vga = malloc(sizeof(*m->vga))) == NULL)
		return -ENOMEM;
	vga_init(m->vga, m->conf.screen);
	r = bus_add(&m->pio, MACHINE_VGA_PORT, MACHINE_VGA_PORTS,
	    &machine_vga_ops, m, "vga");
	/* With firmware the memory is behind SMRAM: chipset.c. */
	if (r < 0 || m->conf.rom != NULL)
		return r;
	return bus_add(&m->mmio, VGA_MEM_BASE, VGA_MEM_LEN, &vga_mem_ops,
	    m->vga, "vga memory");
}

static void
on_flash_changed(void *arg)
{
	struct machine *m = arg;

	m->conf.ops->flash_changed(m->conf.arg);
}

uint32_t
machine_flash_take(struct machine *m, uint8_t *p, uint32_t *off)
{
	uint32_t n;

	machine_lock(m);
	n = flash_take(&m->chipset.flash, off);
	if (n != 0)
		memcpy(p + *off, m->conf.flash + *off, n);
	machine_unlock(m);
	return n;
}

static int
make_chipset(struct machine *m)
{
	struct chipset_conf c = {
		.pci = &m->pci,
		.pio = &m->pio,
		.mmio = &m->mmio,
		.mem = m->conf.mem,
		.vmm = m->conf.vmm,
		.pm = &m->pm,
		.pm_block = &machine_pm_ops,
		.pm_arg = m,
		.rom = m->conf.rom,
		.rom_len = m->conf.rom_len,
		.flash = m->conf.flash,
		.flash_len = m->conf.flash_len,
		.flash_changed = on_flash_changed,
		.flash_arg = m,
		.name = m->conf.name,
		.cpus = m->conf.cpus,
		.vga = m->vga,
	};

	return chipset_init(&m->chipset, &c);
}

int
machine_floppy(struct machine *m, const uint8_t *image, uint32_t len)
{
	return chipset_floppy(&m->chipset, image, len);
}

int
machine_boot_order(struct machine *m, enum vm_bootdev dev)
{
	return chipset_boot_order(&m->chipset, dev);
}

int
machine_video_bios(struct machine *m, const void *rom, uint32_t len)
{
	return chipset_video_bios(&m->chipset, rom, len);
}

int
machine_net_rom(struct machine *m, uint8_t *rom, uint32_t len)
{
	return chipset_net_rom(&m->chipset, rom, len);
}

static void
hold(void *machine, bool on)
{
	struct machine *m = machine;

	m->conf.ops->hold(m->conf.arg, on);
}

static int
make_all(struct machine *m)
{
	static const struct virtio_host_calls virtio_calls = { machine_lock,
		machine_unlock, hold };
	struct devenv env = { machine_now, machine_rearm, m };
	int r;

	if ((r = make_timer(m)) < 0)
		return r;
	make_chips(m, env);
	if ((r = make_consoles(m, env)) < 0 || (r = machine_windows(m)) < 0 ||
	    (r = make_screen(m)) < 0)
		return r;
	pci_init(&m->pci, &m->pio, &m->mmio, machine_set_gsi, m);
	virtio_host_init(
	    &m->virtio, m->conf.vmm, m->conf.base, &virtio_calls, m);
	if (m->conf.rom != NULL)
		return make_chipset(m);
	/* Where firmware would have left it. */
	return bus_add(
	    &m->pio, ACPI_PM_BASE, ACPI_PM_LEN, &machine_pm_ops, m, "acpi pm");
}

static void
close_consoles(const int fd[VM_TTYS])
{
	unsigned i;

	for (i = 0; i < VM_TTYS; i++)
		if (fd[i] != -1)
			close(fd[i]);
}

int
machine_new(struct machine **machine, const struct machine_conf *conf)
{
	struct machine *m;
	int r;

	if ((m = calloc(1, sizeof(*m))) == NULL) {
		close_consoles(conf->console);
		return -ENOMEM;
	}
	m->conf = *conf;
	m->start = clock_ns();
	m->timerfd = -1;
	pthread_mutex_init(&m->lock, NULL);
	bus_init(&m->pio, PORTS);
	bus_init(&m->mmio, MMIO_LIMIT);
	if ((r = make_all(m)) < 0) {
		machine_free(m);
		return r;
	}
	*machine = m;
	return 0;
}

void
machine_free(struct machine *m)
{
	unsigned i;

	if (m == NULL)
		return;
	for (i = 0; i < VM_TTYS; i++)
		console_free(m->console[i]);
	chipset_free(&m->chipset);
	close_consoles(m->conf.console);
	if (m->timer != NULL)
		event_free(m->timer);
	if (m->timerfd != -1)
		close(m->timerfd);
	free(m->vga);
	pthread_mutex_destroy(&m->lock);
	free(m);
}
