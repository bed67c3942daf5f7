/* SPDX-License-Identifier: ISC */
/* The tables of state_chips.h. */
#include <errno.h>

#include "acpi.h"
#include "flash.h"
#include "fwcfg.h"
#include "i8042.h"
#include "i8254.h"
#include "i8259.h"
#include "ioapic.h"
#include "mc146818.h"
#include "ns16550.h"
#include "piix4.h"
#include "pvpanic.h"
#include "state_chips.h"
#include "vga.h"

#define BYTE	UINT8_MAX
#define WORD	UINT16_MAX
#define LONG	UINT32_MAX
#define ANY	UINT64_MAX
#define NS_LAST 999999999

#define S struct i8259
static const struct state_field i8259_saved[] = {
	STATE_SUB(S, chip, irr, BYTE),
	STATE_SUB(S, chip, imr, BYTE),
	STATE_SUB(S, chip, isr, BYTE),
	STATE_SUB(S, chip, lines, BYTE),
	STATE_SUB(S, chip, elcr, BYTE),
	STATE_SUB(S, chip, base, BYTE),
	STATE_SUB(S, chip, icw3, BYTE),
	STATE_SUB(S, chip, icw_step, 4),
	STATE_SUB(S, chip, prio, 7),
	STATE_SUB(S, chip, read_isr, 1),
	STATE_SUB(S, chip, poll, 1),
	STATE_SUB(S, chip, special_mask, 1),
	STATE_SUB(S, chip, auto_eoi, 1),
	STATE_SUB(S, chip, rotate_aeoi, 1),
	STATE_SUB(S, chip, sfnm, 1),
	STATE_SUB(S, chip, single, 1),
	STATE_SUB(S, chip, want_icw4, 1),
	STATE_NUM(S, out, 1),
};
static const struct state_field i8259_derived[] = {
	STATE_SUB(S, chip, elcr_mask, BYTE),
	STATE_SUB(S, chip, keep, BYTE),
	STATE_NUM(S, ended, WORD),
	STATE_NUM(S, intr, 0),
};
#undef S

#define S struct i8254
static const struct state_field i8254_saved[] = {
	STATE_SUB(S, ch, control, BYTE),
	STATE_SUB(S, ch, mode, 5),
	STATE_SUB(S, ch, cr, 0x10000),
	STATE_SUB(S, ch, cur, 0x10000),
	STATE_SUB(S, ch, ce, 0x10000),
	STATE_SUB(S, ch, tick, ANY),
	STATE_SUB(S, ch, gate, 1),
	STATE_SUB(S, ch, out, 1),
	STATE_SUB(S, ch, written, 1),
	STATE_SUB(S, ch, load, 1),
	STATE_SUB(S, ch, counting, 1),
	STATE_SUB(S, ch, stopped, 1),
	STATE_SUB(S, ch, armed, 1),
	STATE_SUB(S, ch, low, 1),
	STATE_SUB(S, ch, null_count, 1),
	STATE_SUB(S, ch, write_high, 1),
	STATE_SUB(S, ch, read_high, 1),
	STATE_SUB(S, ch, has_status, 1),
	STATE_SUB(S, ch, write_low, BYTE),
	STATE_SUB(S, ch, latched_status, BYTE),
	STATE_SUB(S, ch, nlatched, 2),
	STATE_SUB(S, ch, latched, WORD),
	STATE_NUM(S, port61, 0xf),
	STATE_NUM(S, level, 1),
	STATE_NUM(S, owed, I8254_OWED),
	STATE_NUM(S, pay_at, ANY),
	STATE_NUM(S, quiet_until, ANY),
};
static const struct state_field i8254_derived[] = {
	STATE_NUM(S, irq, 0),
	STATE_NUM(S, env, 0),
};
#undef S

#define S struct ioapic
static const struct state_field ioapic_saved[] = {
	STATE_NUM(S, id, LONG),
	STATE_NUM(S, arb, LONG),
	STATE_NUM(S, select, LONG),
	STATE_ARR(S, redir, ANY),
	STATE_NUM(S, lines, (1U << IOAPIC_PINS) - 1),
	STATE_NUM(S, held, (1U << IOAPIC_PINS) - 1),
	STATE_ARR(S, again, WORD),
	STATE_NUM(S, release_at, ANY),
};
static const struct state_field ioapic_derived[] = {
	STATE_NUM(S, ops, 0),
	STATE_NUM(S, arg, 0),
	STATE_NUM(S, env, 0),
};
#undef S

#define S struct mc146818
static const struct state_field rtc_saved[] = {
	STATE_ARR(S, ram, BYTE),
	STATE_NUM(S, index, 0x7f),
	STATE_NUM(S, dirty, 1),
	STATE_NUM(S, dow_shift, 6),
	STATE_NUM(S, offset, ANY),
	STATE_NUM(S, offset_ns, NS_LAST),
	STATE_NUM(S, second, ANY),
	STATE_NUM(S, cycle, ANY),
	STATE_NUM(S, divider, ANY),
	STATE_NUM(S, next, ANY),
	STATE_NUM(S, level, 1),
};
static const struct state_field rtc_derived[] = {
	STATE_NUM(S, wall, 0),
	STATE_NUM(S, wall_arg, 0),
	STATE_NUM(S, irq, 0),
	STATE_NUM(S, env, 0),
};
#undef S

#define S struct ns16550
static const struct state_field uart_saved[] = {
	STATE_NUM(S, ier, BYTE),
	STATE_NUM(S, fcr, BYTE),
	STATE_NUM(S, lcr, BYTE),
	STATE_NUM(S, mcr, BYTE),
	STATE_NUM(S, lsr, BYTE),
	STATE_NUM(S, msr, BYTE),
	STATE_NUM(S, scr, BYTE),
	STATE_NUM(S, dll, BYTE),
	STATE_NUM(S, dlm, BYTE),
	STATE_ARR(S, rx.b, BYTE),
	STATE_ARR(S, rx.err, BYTE),
	STATE_NUM(S, rx.head, NS16550_FIFO - 1),
	STATE_NUM(S, rx.n, NS16550_FIFO),
	STATE_ARR(S, tx.b, BYTE),
	STATE_ARR(S, tx.err, BYTE),
	STATE_NUM(S, tx.head, NS16550_FIFO - 1),
	STATE_NUM(S, tx.n, NS16550_FIFO),
	STATE_NUM(S, thre_pending, 1),
	STATE_NUM(S, level, 1),
	STATE_NUM(S, rx_cti, 1),
	STATE_NUM(S, rx_timeout, ANY),
};
static const struct state_field uart_derived[] = {
	STATE_NUM(S, out, 0),
	STATE_NUM(S, out_arg, 0),
	STATE_NUM(S, irq, 0),
	STATE_NUM(S, env, 0),
};
#undef S

#define S struct i8042
static const struct state_field i8042_saved[] = {
	STATE_NUM(S, status, BYTE),
	STATE_NUM(S, command, BYTE),
	STATE_ARR(S, ram, BYTE),
	STATE_NUM(S, out, BYTE),
	STATE_NUM(S, outport, BYTE),
	STATE_NUM(S, cf9, BYTE),
	STATE_NUM(S, out_full, 1),
	STATE_NUM(S, level, 1),
	STATE_NUM(S, aux_level, 1),
	STATE_ARR(S, kbd.queue, BYTE),
	STATE_NUM(S, kbd.n, I8042_QUEUE),
	STATE_NUM(S, kbd.command, BYTE),
	STATE_NUM(S, kbd.last, BYTE),
	STATE_NUM(S, kbd.set, 3),
	STATE_NUM(S, kbd.off, 1),
	STATE_ARR(S, kbd.key, WORD),
	STATE_NUM(S, kbd.nkeys, I8042_KEYS),
	STATE_ARR(S, aux.queue, BYTE),
	STATE_NUM(S, aux.n, PS2MOUSE_QUEUE),
	STATE_NUM(S, aux.command, BYTE),
	STATE_NUM(S, aux.last, BYTE),
	STATE_NUM(S, aux.rate, BYTE),
	STATE_NUM(S, aux.resolution, BYTE),
	STATE_NUM(S, aux.enabled, 1),
	STATE_NUM(S, aux.remote, 1),
	STATE_NUM(S, aux.wrap, 1),
	STATE_NUM(S, aux.twice, 1),
};
static const struct state_field i8042_derived[] = {
	STATE_NUM(S, irq, 0),
	STATE_NUM(S, aux_irq, 0),
	STATE_NUM(S, reset, 0),
	STATE_NUM(S, arg, 0),
};
#undef S

#define S struct pvpanic
static const struct state_field pvpanic_saved[] = {
	STATE_NUM(S, told, 1),
};
static const struct state_field pvpanic_derived[] = {
	STATE_NUM(S, panicked, 0),
	STATE_NUM(S, arg, 0),
};
#undef S

#define S struct acpi_pm
static const struct state_field pm_saved[] = {
	STATE_NUM(S, pm1_status, WORD),
	STATE_NUM(S, pm1_enable, WORD),
	STATE_NUM(S, pm1_control, WORD),
	STATE_NUM(S, gpe_status, WORD),
	STATE_NUM(S, gpe_enable, WORD),
	STATE_NUM(S, carries, ANY),
	STATE_NUM(S, level, 1),
};
static const struct state_field pm_derived[] = {
	STATE_NUM(S, sci, 0),
	STATE_NUM(S, poweroff, 0),
	STATE_NUM(S, button_read, 0),
	STATE_NUM(S, arg, 0),
	STATE_NUM(S, env, 0),
};
#undef S

#define S struct vga
static const struct state_field vga_saved[] = {
	STATE_NUM(S, misc, BYTE),
	STATE_NUM(S, status, BYTE),
	STATE_NUM(S, seq_index, BYTE),
	STATE_NUM(S, crtc_index, BYTE),
	STATE_NUM(S, gr_index, BYTE),
	STATE_NUM(S, attr_index, 0x3f),
	STATE_NUM(S, attr_data, 1),
	STATE_ARR(S, seq, BYTE),
	STATE_ARR(S, crtc, BYTE),
	STATE_ARR(S, gr, BYTE),
	STATE_ARR(S, attr, BYTE),
	STATE_ARR(S, dac, 0x3f),
	STATE_NUM(S, dac_mask, BYTE),
	STATE_NUM(S, dac_read, sizeof(((S *)0)->dac) - 1),
	STATE_NUM(S, dac_write, sizeof(((S *)0)->dac) - 1),
	STATE_NUM(S, dac_reading, 1),
	STATE_ARR(S, latch, BYTE),
	{ offsetof(S, mem), 1, sizeof(((S *)0)->mem), 1, BYTE },
};
static const struct state_field vga_derived[] = {
	STATE_NUM(S, out, 0),
};
#undef S

/* The function's registers are pci_dev_state()'s, and say where it is. */
#define S struct piix4
static const struct state_field piix4_saved[] = {
	STATE_NUM(S, apmc, BYTE),
	STATE_NUM(S, apms, BYTE),
};
static const struct state_field piix4_derived[] = {
	STATE_NUM(S, pci, 0),
	STATE_NUM(S, pio, 0),
	STATE_NUM(S, pm, 0),
	STATE_NUM(S, block, 0),
	STATE_NUM(S, block_arg, 0),
	STATE_NUM(S, ops, 0),
	STATE_NUM(S, arg, 0),
	{ offsetof(S, dev), sizeof(((S *)0)->dev), 1, 0, 0 },
	STATE_NUM(S, mapped, 0),
	STATE_NUM(S, base, 0),
};
#undef S

/* The items are made anew. */
#define S struct fwcfg
static const struct state_field fwcfg_saved[] = {
	STATE_NUM(S, selected, WORD),
	STATE_NUM(S, offset, LONG),
	STATE_NUM(S, dma_high, LONG),
};
static const struct state_field fwcfg_derived[] = {
	STATE_NUM(S, mem, 0),
	STATE_NUM(S, n, 0),
	{ offsetof(S, item), sizeof(((S *)0)->item), 1, 0, 0 },
	STATE_NUM(S, nfiles, 0),
};
#undef S

/* What is in the array is saved beside it. */
#define S struct flash
static const struct state_field flash_saved[] = {
	STATE_NUM(S, view, FLASH_QUERY),
	STATE_NUM(S, cycle, FLASH_LOCK),
	STATE_NUM(S, status, BYTE),
	STATE_NUM(S, start, FLASH_MAX),
	STATE_NUM(S, want, FLASH_BUFFER),
	STATE_NUM(S, got, FLASH_BUFFER),
	STATE_ARR(S, buffer, BYTE),
};
static const struct state_field flash_derived[] = {
	STATE_NUM(S, array, 0),
	STATE_NUM(S, len, 0),
	STATE_NUM(S, ops, 0),
	STATE_NUM(S, arg, 0),
	STATE_NUM(S, shown, 0),
	STATE_NUM(S, from, 0),
	STATE_NUM(S, to, 0),
};
#undef S

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define CHIP(name, type, t)                                               \
	{                                                                 \
		name, sizeof(type), t##_saved, t##_derived, N(t##_saved), \
		    N(t##_derived)                                        \
	}

const struct state_chip state_chips[STATE_CHIPS] = {
	[STATE_I8259] = CHIP("8259", struct i8259, i8259),
	[STATE_I8254] = CHIP("8254", struct i8254, i8254),
	[STATE_IOAPIC] = CHIP("ioapic", struct ioapic, ioapic),
	[STATE_RTC] = CHIP("rtc", struct mc146818, rtc),
	[STATE_UART] = CHIP("uart", struct ns16550, uart),
	[STATE_UART2] = CHIP("uart2", struct ns16550, uart),
	[STATE_I8042] = CHIP("i8042", struct i8042, i8042),
	[STATE_PVPANIC] = CHIP("pvpanic", struct pvpanic, pvpanic),
	[STATE_PM] = CHIP("acpi-pm", struct acpi_pm, pm),
	[STATE_VGA] = CHIP("vga", struct vga, vga),
	[STATE_PIIX4] = CHIP("piix4", struct piix4, piix4),
	[STATE_FWCFG] = CHIP("fwcfg", struct fwcfg, fwcfg),
	[STATE_FLASH] = CHIP("flash", struct flash, flash),
};

void
state_chip(struct state *s, enum state_chip_kind kind, void *chip)
{
	const struct state_chip *c = &state_chips[kind];

	if (state_begin(s, c->name, 1) != 0)
		return;
	state_fields(s, chip, c->saved, c->nsaved);
	(void)state_end(s);
}
