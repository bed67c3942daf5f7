/* SPDX-License-Identifier: ISC */

/*
 * Keyboard controller with a keyboard, whose keys clients press, and a mouse at
 * its auxiliary port, and the other ways in which a PC is reset: port 0x92 and
 * 0xcf9.
 * After: IBM "Personal System/2 Hardware Interface Technical Reference",
 * "Keyboard and Auxiliary Device Controller" and "Keyboard Commands"; ports
 * 0x92 and 0xcf9 after the PIIX3 data sheet, "Port 92 Register" and "Reset
 * Control Register".
 *
 * Invariants
 *  1. Every command is complete when its write is: IBF always reads 0.
 *  2. A reply of the controller replaces an unread byte, as on the chip with
 *     its single output buffer; the devices' bytes wait for room.
 *  3. The lines are "output buffer full", from one side or the other, gated by
 *     the command byte.
 */
#include <string.h>
#include "i8042.h"
#include "scancode.h"

#define ST_OBF	   0x01
#define ST_SYS	   0x04
#define ST_COMMAND 0x08 /* the last write was a command */
#define ST_NOLOCK  0x10
#define ST_AUX	   0x20

#define CB_KBD_INT 0x01
#define CB_AUX_INT 0x02
#define CB_SYS	   0x04
#define CB_KBD_OFF 0x10
#define CB_AUX_OFF 0x20
#define CB_XLATE   0x40

#define OUT_RUN 0x01 /* low resets the processor */
#define OUT_A20 0x02
#define OUT_KBD 0x10 /* output buffer full */
#define OUT_AUX 0x20

#define P92_RESET 0x01
#define P92_A20	  0x02

#define CF9_RESET 0x04
#define CF9_KEEP  0x0a

#define KBD_ACK	   0xfa
#define KBD_PASSED 0xaa
#define KBD_RESEND 0xfe

static void
line_update(struct line *line, bool *level, bool now)
{
	if (now == *level)
		return;
	*level = now;
	line_set(line, now);
}

static void
irq_update(struct i8042 *k)
{
	bool aux = (k->status & ST_AUX) != 0;

	line_update(&k->irq, &k->level,
	    k->out_full && !aux && (k->ram[0] & CB_KBD_INT));
	line_update(&k->aux_irq, &k->aux_level,
	    k->out_full && aux && (k->ram[0] & CB_AUX_INT));
}

/* A byte for the host, from whom the flags say. */
static void
reply(struct i8042 *k, uint8_t val, uint8_t flags)
{
	/* A new byte is a new edge. */
	k->out_full = false;
	irq_update(k);
	k->status &= (uint8_t)~ST_AUX;
	k->status |= flags;
	k->out = val;
	k->out_full = true;
	irq_update(k);
}

/* The controller translates what the keyboard sends in set 2. */
static bool
translated(const struct i8042 *k)
{
	return (k->ram[0] & CB_XLATE) != 0;
}

/* The next key's bytes, when answers to commands are out. */
static void
next_key(struct i8042 *k)
{
	struct i8042_kbd *b = &k->kbd;

	while (b->n == 0 && b->nkeys > 0) {
		b->n = (uint8_t)scancode_bytes(
		    b->key[0], b->set == 2 && !translated(k), b->queue);
		b->nkeys--;
		memmove(b->key, b->key + 1, b->nkeys * sizeof(b->key[0]));
	}
}

/* The keyboard sends when it may and there is room. */
static void
kbd_pump(struct i8042 *k)
{
	struct i8042_kbd *b = &k->kbd;

	if (k->out_full || (k->ram[0] & CB_KBD_OFF))
		return;
	next_key(k);
	if (b->n == 0)
		return;
	b->last = b->queue[0];
	b->n--;
	memmove(b->queue, b->queue + 1, b->n);
	reply(k, b->last, 0);
}

/* So does the mouse. */
static void
aux_pump(struct i8042 *k)
{
	uint8_t val;

	if (!k->out_full && !(k->ram[0] & CB_AUX_OFF) &&
	    ps2mouse_next(&k->aux, &val))
		reply(k, val, ST_AUX);
}

static void
pump(struct i8042 *k)
{
	kbd_pump(k);
	aux_pump(k);
}

static void
kbd_send(struct i8042 *k, uint8_t val)
{
	if (k->kbd.n < I8042_QUEUE)
		k->kbd.queue[k->kbd.n++] = val;
}

static void
kbd_argument(struct i8042 *k, uint8_t val)
{
	static const uint8_t xlated[4] = { 0, 0x43, 0x41, 0x3f };
	uint8_t command = k->kbd.command;

	k->kbd.command = 0;
	kbd_send(k, KBD_ACK);
	if (command != 0xf0 || val > 3)
		return;
	if (val != 0)
		k->kbd.set = val;
	else
		kbd_send(k, translated(k) ? xlated[k->kbd.set] : k->kbd.set);
}

static void
kbd_command(struct i8042 *k, uint8_t val)
{
	switch (val) {
	case 0xed: /* set LEDs */
	case 0xf0: /* scan code set */
	case 0xf3: /* typematic rate */
		k->kbd.command = val;
		kbd_send(k, KBD_ACK);
		break;
	case 0xee:
		kbd_send(k, 0xee);
		break;
	case 0xf2: /* identify: an MF2 keyboard */
		kbd_send(k, KBD_ACK);
		kbd_send(k, 0xab);
		kbd_send(k, translated(k) ? 0x41 : 0x83);
		break;
	case 0xf4: /* enable */
	case 0xf5: /* disable and set defaults */
		k->kbd.off = val == 0xf5;
		k->kbd.nkeys = 0;
		if (k->kbd.off)
			k->kbd.set = 2;
		kbd_send(k, KBD_ACK);
		break;
	case 0xf6: /* set defaults */
		k->kbd.set = 2;
		kbd_send(k, KBD_ACK);
		break;
	case 0xf7: /* key types of set 3 */
	case 0xf8:
	case 0xf9:
	case 0xfa:
	case 0xfb:
	case 0xfc:
	case 0xfd:
		kbd_send(k, KBD_ACK);
		break;
	case 0xfe:
		kbd_send(k, k->kbd.last);
		break;
	case 0xff:
		k->kbd.set = 2;
		k->kbd.off = false;
		k->kbd.nkeys = 0;
		kbd_send(k, KBD_ACK);
		kbd_send(k, KBD_PASSED);
		break;
	default:
		kbd_send(k, KBD_RESEND);
		break;
	}
}

static void
kbd_write(struct i8042 *k, uint8_t val)
{
	/* A byte to the keyboard enables its interface and ends what it was
	 * sending; a command in place of an argument is a command. */
	k->ram[0] &= (uint8_t)~CB_KBD_OFF;
	k->kbd.n = 0;
	if (k->kbd.command != 0 && val < 0xed)
		kbd_argument(k, val);
	else {
		k->kbd.command = 0;
		kbd_command(k, val);
	}
	pump(k);
}

/* As for the keyboard: a byte to it enables its interface. */
static void
aux_write(struct i8042 *k, uint8_t val)
{
	k->ram[0] &= (uint8_t)~CB_AUX_OFF;
	ps2mouse_write(&k->aux, val);
	pump(k);
}

static void
set_outport(struct i8042 *k, uint8_t val)
{
	k->outport = val & (OUT_RUN | OUT_A20);
	if (!(val & OUT_RUN)) {
		k->outport |= OUT_RUN;
		k->reset(k->arg);
	}
}

static void
data_write(struct i8042 *k, uint8_t val)
{
	uint8_t command = k->command;

	k->command = 0;
	k->status &= (uint8_t)~ST_COMMAND;
	if (command >= 0x60 && command <= 0x7f) {
		k->ram[command - 0x60] = val;
		irq_update(k);
		pump(k);
		return;
	}
	switch (command) {
	case 0xd1:
		set_outport(k, val);
		break;
	case 0xd2: /* as if the keyboard had sent it */
		reply(k, val, 0);
		break;
	case 0xd3: /* as if the mouse had */
		reply(k, val, ST_AUX);
		break;
	case 0xd4:
		aux_write(k, val);
		break;
	default:
		kbd_write(k, val);
		break;
	}
}

static uint8_t
outport_read(const struct i8042 *k)
{
	uint8_t val = k->outport;

	if (k->out_full)
		val |= k->status & ST_AUX ? OUT_AUX : OUT_KBD;
	return val;
}

static void
simple_command(struct i8042 *k, uint8_t val)
{
	switch (val) {
	case 0xa7:
		k->ram[0] |= CB_AUX_OFF;
		break;
	case 0xa8:
		k->ram[0] &= (uint8_t)~CB_AUX_OFF;
		pump(k);
		break;
	case 0xa9: /* auxiliary interface: no error */
		reply(k, 0x00, 0);
		break;
	case 0xaa:
		k->ram[0] |= CB_SYS;
		reply(k, 0x55, 0);
		break;
	case 0xab: /* keyboard interface: no error */
		reply(k, 0x00, 0);
		break;
	case 0xad:
		k->ram[0] |= CB_KBD_OFF;
		break;
	case 0xae:
		k->ram[0] &= (uint8_t)~CB_KBD_OFF;
		pump(k);
		break;
	case 0xc0: /* input port: keyboard not locked */
		reply(k, 0x80, 0);
		break;
	case 0xd0:
		reply(k, outport_read(k), 0);
		break;
	case 0xdd:
		k->outport &= (uint8_t)~OUT_A20;
		break;
	case 0xdf:
		k->outport |= OUT_A20;
		break;
	case 0xe0: /* test inputs */
		reply(k, 0x00, 0);
		break;
	}
}

static void
command_write(struct i8042 *k, uint8_t val)
{
	k->command = 0;
	k->status |= ST_COMMAND;
	if (val >= 0x20 && val <= 0x3f)
		reply(k, k->ram[val - 0x20], 0);
	else if ((val >= 0x60 && val <= 0x7f) || (val >= 0xd1 && val <= 0xd4))
		k->command = val;
	else if (val >= 0xf0) {
		/* Pulse the output lines whose bits are 0; bit 0 resets. */
		if (!(val & OUT_RUN))
			k->reset(k->arg);
	} else
		simple_command(k, val);
}

void
i8042_init(struct i8042 *k, struct line irq, struct line aux_irq,
    void (*reset)(void *), void *arg)
{
	memset(k, 0, sizeof(*k));
	k->irq = irq;
	k->aux_irq = aux_irq;
	ps2mouse_init(&k->aux);
	k->reset = reset;
	k->arg = arg;
	/* As a BIOS leaves it: tested, translating, interrupt on. */
	k->ram[0] = CB_KBD_INT | CB_SYS | CB_XLATE | CB_AUX_OFF;
	k->status = ST_NOLOCK;
	k->outport = OUT_RUN | OUT_A20;
	k->kbd.set = 2;
}

void
i8042_key(struct i8042 *k, uint32_t key)
{
	struct i8042_kbd *b = &k->kbd;

	/* There is no table of set 3, which nobody asks for. */
	if (b->off || b->set == 3 || b->nkeys == I8042_KEYS)
		return;
	b->key[b->nkeys++] = key;
	pump(k);
}

static uint8_t
data_read(struct i8042 *k)
{
	uint8_t val = k->out;

	k->out_full = false;
	irq_update(k);
	k->status &= (uint8_t)~ST_AUX;
	pump(k);
	return val;
}

uint8_t
i8042_read(struct i8042 *k, uint16_t port)
{
	switch (port) {
	case 0x60:
		return data_read(k);
	case 0x64:
		return (uint8_t)(k->status | (k->out_full ? ST_OBF : 0) |
		    (k->ram[0] & CB_SYS ? ST_SYS : 0));
	case 0x92:
		return k->outport & P92_A20;
	case 0xcf9:
		return k->cf9;
	}
	return 0xff;
}

void
i8042_write(struct i8042 *k, uint16_t port, uint8_t val)
{
	switch (port) {
	case 0x60:
		data_write(k, val);
		break;
	case 0x64:
		command_write(k, val);
		break;
	case 0x92:
		/* The A20 gate is one, whoever moves it.  The reset bit reads
		 * 0 afterwards, so every 1 is a rising edge. */
		k->outport =
		    (uint8_t)((k->outport & ~OUT_A20) | (val & P92_A20));
		if (val & P92_RESET)
			k->reset(k->arg);
		break;
	case 0xcf9:
		/* The bit that resets is never kept, so a 1 always rises. */
		k->cf9 = val & CF9_KEEP;
		if (val & CF9_RESET)
			k->reset(k->arg);
		break;
	}
}
