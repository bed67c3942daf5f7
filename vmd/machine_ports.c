/* SPDX-License-Identifier: ISC */
/*
 * A processor's accesses to ports and device memory: byte-wide chips on the ports
 * by one table, the others with bus_ops of their own.
 */
#include <string.h>
#include "console.h"
#include "machine_chips.h"
#include "vga.h"

#define COM1_BASE 0x3f8
#define COM2_BASE 0x2f8

struct machine_window {
	uint16_t base, len;
	const char *name;
	uint8_t (*read)(struct machine *, uint16_t port);
	void (*write)(struct machine *, uint16_t port, uint8_t val);
};

static uint8_t
pic_read(struct machine *m, uint16_t port)
{
	return i8259_read(&m->pic, port);
}

static void
pic_write(struct machine *m, uint16_t port, uint8_t val)
{
	i8259_write(&m->pic, port, val);
}

static uint8_t
pit_read(struct machine *m, uint16_t port)
{
	return i8254_read(&m->pit, port);
}

static void
pit_write(struct machine *m, uint16_t port, uint8_t val)
{
	i8254_write(&m->pit, port, val);
}

static uint8_t
kbd_read(struct machine *m, uint16_t port)
{
	return i8042_read(&m->kbd, port);
}

static void
kbd_write(struct machine *m, uint16_t port, uint8_t val)
{
	i8042_write(&m->kbd, port, val);
}

static uint8_t
rtc_read(struct machine *m, uint16_t port)
{
	return mc146818_read(&m->rtc, port);
}

static void
rtc_write(struct machine *m, uint16_t port, uint8_t val)
{
	mc146818_write(&m->rtc, port, val);
}

static struct com *
com_at(struct machine *m, uint16_t port)
{
	return &m->com[port < COM1_BASE];
}

static uint8_t
uart_read(struct machine *m, uint16_t port)
{
	struct com *com = com_at(m, port);
	uint8_t val;

	val = ns16550_read(&com->uart, port & 7);
	if (*com->console != NULL)
		console_room(*com->console);
	return val;
}

static void
uart_write(struct machine *m, uint16_t port, uint8_t val)
{
	struct com *com = com_at(m, port);

	ns16550_write(&com->uart, port & 7, val);
	if (*com->console != NULL) /* a FIFO reset makes room too */
		console_room(*com->console);
}

static uint8_t
panic_read(struct machine *m, uint16_t port)
{
	return pvpanic_read(&m->panic);
}

static void
panic_write(struct machine *m, uint16_t port, uint8_t val)
{
	pvpanic_write(&m->panic, val);
}

static const struct machine_window windows[] = {
	{ 0x20, 2, "8259 master", pic_read, pic_write },
	{ 0x40, 4, "8254", pit_read, pit_write },
	{ 0x60, 1, "8042 data", kbd_read, kbd_write },
	{ 0x61, 1, "speaker", pit_read, pit_write },
	{ 0x64, 1, "8042 command", kbd_read, kbd_write },
	{ 0x70, 2, "rtc", rtc_read, rtc_write },
	{ 0x92, 1, "port 92", kbd_read, kbd_write },
	{ 0xa0, 2, "8259 slave", pic_read, pic_write },
	{ COM2_BASE, 8, "com2", uart_read, uart_write },
	{ COM1_BASE, 8, "com1", uart_read, uart_write },
	{ 0x4d0, 2, "elcr", pic_read, pic_write },
	{ PVPANIC_PORT, 1, "pvpanic", panic_read, panic_write },
	{ 0xcf9, 1, "reset control", kbd_read, kbd_write },
};
_Static_assert(
    sizeof(windows) / sizeof(windows[0]) == MACHINE_WINDOWS, "a slot for each");

static uint64_t
window_read(void *arg, uint64_t off, unsigned size)
{
	const struct machine_slot *s = arg;

	return s->w->read(s->m, (uint16_t)(s->w->base + off));
}

static void
window_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
	const struct machine_slot *s = arg;

	s->w->write(s->m, (uint16_t)(s->w->base + off), (uint8_t)val);
}

static uint64_t
vga_port_read(void *arg, uint64_t off, unsigned size)
{
	struct machine *m = arg;

	return vga_read(m->vga, (uint16_t)(MACHINE_VGA_PORT + off));
}

static void
vga_port_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
	struct machine *m = arg;

	vga_write(m->vga, (uint16_t)(MACHINE_VGA_PORT + off), (uint8_t)val);
}

static uint64_t
pm_read(void *arg, uint64_t off, unsigned size)
{
	struct machine *m = arg;

	return acpi_pm_read(&m->pm, off, size);
}

static void
pm_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
	struct machine *m = arg;

	acpi_pm_write(&m->pm, off, size, val);
}

static uint64_t
io_read(void *arg, uint64_t off, unsigned size)
{
	struct machine *m = arg;

	return ioapic_read(&m->ioapic, off, size);
}

static void
io_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
	struct machine *m = arg;

	ioapic_write(&m->ioapic, off, size, val);
}

static const struct bus_ops window_ops = { 1, window_read, window_write };
const struct bus_ops machine_pm_ops = { 1 | 2 | 4, pm_read, pm_write };
const struct bus_ops machine_vga_ops = { 1, vga_port_read, vga_port_write };
static const struct bus_ops io_ops = { 4, io_read, io_write };

int
machine_windows(struct machine *m)
{
	unsigned i;
	int r;

	for (i = 0; i < MACHINE_WINDOWS; i++) {
		m->slot[i] = (struct machine_slot){ m, &windows[i] };
		r = bus_add(&m->pio, windows[i].base, windows[i].len,
		    &window_ops, &m->slot[i], windows[i].name);
		if (r < 0)
			return r;
	}
	return bus_add(&m->mmio, IOAPIC_BASE, IOAPIC_LEN, &io_ops, m, "ioapic");
}

void
machine_pio(struct machine *m, uint16_t port, unsigned size, uint32_t count,
    bool write, void *data)
{
	uint8_t *p = data;
	uint64_t val;
	uint32_t i;

	if (size > sizeof(val))
		return;
	machine_lock(m);
	for (i = 0; i < count; i++, p += size) {
		if (write) {
			val = 0;
			memcpy(&val, p, size);
			bus_write(&m->pio, port, size, val);
		} else {
			val = bus_read(&m->pio, port, size);
			memcpy(p, &val, size);
		}
	}
	machine_unlock(m);
}

void
machine_mmio(struct machine *m, uint64_t addr, unsigned size, bool write,
    uint8_t data[8])
{
	uint64_t val = 0;

	if (size > sizeof(val))
		return;
	machine_lock(m);
	if (write) {
		memcpy(&val, data, size);
		bus_write(&m->mmio, addr, size, val);
	} else {
		val = bus_read(&m->mmio, addr, size);
		memcpy(data, &val, size);
	}
	machine_unlock(m);
}
