/* SPDX-License-Identifier: ISC */

/*
 * 16550A UART as a PC wires it.
 * After: National Semiconductor "PC16550D Universal Asynchronous
 * Receiver/Transmitter with FIFOs" data sheet, sections "Registers" and
 * "FIFO Operation".
 *
 * Bytes take no time on the wire; only the character timeout is measured.
 *
 * Invariants
 *  1. A byte in the transmit FIFO stays there until the outside takes it;
 *     meanwhile THRE and TEMT are clear.  A guest that waits for THRE loses
 *     nothing, one that does not wait loses what does not fit, as on the
 *     chip; neither can make this code wait.
 *  2. Input is taken only while there is room: the outside never causes an
 *     overrun.
 *  3. The line follows "an enabled source is pending" gated by OUT2, which
 *     the loop back mode disconnects.  Acknowledging a source lowers the line
 *     even when the next one is due at once, so that an edge-triggered
 *     controller sees it.
 */
#include <string.h>
#include "ns16550.h"

#define CLOCK 115200 /* baud at divisor 1 */
#define NS    1000000000ULL

#define REG_DATA 0
#define REG_IER	 1
#define REG_IIR	 2 /* read; FCR when written */
#define REG_LCR	 3
#define REG_MCR	 4
#define REG_LSR	 5
#define REG_MSR	 6
#define REG_SCR	 7

#define IER_RDA	 0x01
#define IER_THRE 0x02
#define IER_RLS	 0x04
#define IER_MS	 0x08

#define IIR_NONE 0x01
#define IIR_RLS	 0x06
#define IIR_RDA	 0x04
#define IIR_CTI	 0x0c
#define IIR_THRE 0x02
#define IIR_MS	 0x00
#define IIR_FIFO 0xc0

#define FCR_ON	 0x01
#define FCR_RX	 0x02
#define FCR_TX	 0x04
#define FCR_KEEP 0xc9

#define LCR_WLS	  0x03
#define LCR_STB	  0x04
#define LCR_PEN	  0x08
#define LCR_BREAK 0x40
#define LCR_DLAB  0x80

#define MCR_LOOP 0x10
#define MCR_OUT2 0x08
#define MCR_KEEP 0x1f

#define LSR_DR	 0x01
#define LSR_OE	 0x02
#define LSR_PE	 0x04
#define LSR_FE	 0x08
#define LSR_BI	 0x10
#define LSR_ERR	 0x1e
#define LSR_TOP	 (LSR_PE | LSR_FE | LSR_BI) /* belong to one byte */
#define LSR_THRE 0x20
#define LSR_TEMT 0x40
#define LSR_FIFO 0x80

#define MSR_DELTA 0x0f
#define MSR_CTS	  0x10
#define MSR_DSR	  0x20
#define MSR_RI	  0x40
#define MSR_DCD	  0x80

static bool
fifo_mode(const struct ns16550 *u)
{
	return (u->fcr & FCR_ON) != 0;
}

static unsigned
fifo_size(const struct ns16550 *u)
{
	return fifo_mode(u) ? NS16550_FIFO : 1;
}

static void
fifo_put(struct ns16550_fifo *f, uint8_t b, uint8_t err)
{
	unsigned i = (f->head + f->n) % NS16550_FIFO;

	f->b[i] = b;
	f->err[i] = err;
	f->n++;
}

static void
fifo_drop(struct ns16550_fifo *f, unsigned n)
{
	f->head = (uint8_t)((f->head + n) % NS16550_FIFO);
	f->n -= (uint8_t)n;
}

static void
fifo_clear(struct ns16550_fifo *f)
{
	f->head = f->n = 0;
}

static unsigned
rx_trigger(const struct ns16550 *u)
{
	static const uint8_t level[4] = { 1, 4, 8, 14 };

	return fifo_mode(u) ? level[u->fcr >> 6] : 1;
}

/* Four characters as the line is programmed: start, data, parity, stop. */
static uint64_t
four_characters(const struct ns16550 *u)
{
	uint64_t halves = 2 * (1 + 5 + (u->lcr & LCR_WLS) + 1);
	uint64_t divisor = (uint64_t)u->dlm << 8 | u->dll;

	if (u->lcr & LCR_PEN)
		halves += 2;
	if (u->lcr & LCR_STB)
		halves += (u->lcr & LCR_WLS) == 0 ? 1 : 2;
	if (divisor == 0)
		divisor = 1;
	return 4 * halves * divisor * NS / (2 * CLOCK);
}

static void
rx_check_timeout(struct ns16550 *u)
{
	if (u->rx_timeout == DEV_NEVER ||
	    u->env.now(u->env.arg) < u->rx_timeout)
		return;
	u->rx_timeout = DEV_NEVER;
	u->rx_cti = true;
}

/* "Interrupt Identification Register": the source of highest priority. */
static uint8_t
source(const struct ns16550 *u)
{
	if ((u->ier & IER_RLS) && (u->lsr & LSR_ERR))
		return IIR_RLS;
	if ((u->ier & IER_RDA) && u->rx.n >= rx_trigger(u))
		return IIR_RDA;
	if ((u->ier & IER_RDA) && u->rx_cti)
		return IIR_CTI;
	if ((u->ier & IER_THRE) && u->thre_pending)
		return IIR_THRE;
	if ((u->ier & IER_MS) && (u->msr & MSR_DELTA))
		return IIR_MS;
	return IIR_NONE;
}

static void
irq_update(struct ns16550 *u)
{
	bool level;

	rx_check_timeout(u);
	level = source(u) != IIR_NONE &&
	    (u->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;
	if (level == u->level)
		return;
	u->level = level;
	line_set(&u->irq, level);
}

/* The byte on top of the FIFO changed: its errors are shown now. */
static void
rx_top(struct ns16550 *u)
{
	if (u->rx.n > 0) {
		u->lsr |= LSR_DR | u->rx.err[u->rx.head];
		u->rx.err[u->rx.head] = 0;
	} else
		u->lsr &= (uint8_t)~LSR_DR;
}

/* Restart the character timeout after input or a read. */
static void
rx_timer(struct ns16550 *u)
{
	bool armed = u->rx_timeout != DEV_NEVER;

	u->rx_cti = false;
	u->rx_timeout = DEV_NEVER;
	if (!fifo_mode(u) || u->rx.n == 0)
		return;
	u->rx_timeout = u->env.now(u->env.arg) + four_characters(u);
	/* A later deadline than before is found when the old one passes. */
	if (!armed && (u->ier & IER_RDA))
		u->env.rearm(u->env.arg);
}

static void
rx_put(struct ns16550 *u, uint8_t b, uint8_t err)
{
	if (u->rx.n >= fifo_size(u)) {
		/* The FIFO keeps its bytes; the single register of the
		 * character mode is overwritten. */
		u->lsr |= LSR_OE;
		if (fifo_mode(u))
			return;
		fifo_clear(&u->rx);
	}
	fifo_put(&u->rx, b, err);
	if (u->rx.n == 1)
		rx_top(u);
}

static uint8_t
rx_get(struct ns16550 *u)
{
	uint8_t b = u->rx.b[u->rx.head];
	bool full = u->rx.n >= fifo_size(u);

	if (u->rx.n == 0)
		return 0;
	fifo_drop(&u->rx, 1);
	rx_top(u);
	rx_timer(u);
	if (full)
		u->env.rearm(u->env.arg);
	return b;
}

static uint8_t
word_mask(const struct ns16550 *u)
{
	return (uint8_t)(0xff >> (3 - (u->lcr & LCR_WLS)));
}

static size_t
tx_out(struct ns16550 *u)
{
	struct ns16550_fifo *f = &u->tx;
	size_t run = NS16550_FIFO - f->head, i, n;

	if (run > f->n)
		run = f->n;
	if (!(u->mcr & MCR_LOOP)) {
		n = u->out(u->out_arg, f->b + f->head, run);
		return n < run ? n : run;
	}
	for (i = 0; i < run; i++)
		rx_put(u, f->b[f->head + i] & word_mask(u), 0);
	rx_timer(u);
	return run;
}

/* Sends what the outside takes; THRE and TEMT when that was all. */
static void
tx_flush(struct ns16550 *u)
{
	size_t n;

	while (u->tx.n > 0) {
		n = tx_out(u);
		if (n == 0)
			return;
		fifo_drop(&u->tx, (unsigned)n);
	}
	if (!(u->lsr & LSR_THRE))
		u->thre_pending = true;
	u->lsr |= LSR_THRE | LSR_TEMT;
}

static void
write_thr(struct ns16550 *u, uint8_t val)
{
	u->thre_pending = false;
	u->lsr &= (uint8_t) ~(LSR_THRE | LSR_TEMT);
	irq_update(u);
	if (u->tx.n < fifo_size(u))
		fifo_put(&u->tx, val, 0);
	tx_flush(u);
}

static void
write_fcr(struct ns16550 *u, uint8_t val)
{
	bool toggled = (val ^ u->fcr) & FCR_ON;

	/* "FIFO Control Register": without bit 0 the others do nothing, and
	 * changing it clears both FIFOs. */
	if (!(val & FCR_ON))
		val = 0;
	u->fcr = val & FCR_KEEP;
	u->env.rearm(u->env.arg); /* the trigger level may have changed */
	if (toggled || (val & FCR_RX)) {
		fifo_clear(&u->rx);
		u->lsr &= (uint8_t)~LSR_TOP;
		rx_top(u);
		rx_timer(u);
	}
	if (toggled || (val & FCR_TX)) {
		fifo_clear(&u->tx);
		tx_flush(u);
	}
}

static void
write_ier(struct ns16550 *u, uint8_t val)
{
	uint8_t on = val & (uint8_t)~u->ier;

	u->ier = val & 0x0f;
	/* Enabling the interrupt with the register empty raises it. */
	if ((on & IER_THRE) && (u->lsr & LSR_THRE))
		u->thre_pending = true;
	if (on & IER_RDA)
		u->env.rearm(u->env.arg);
}

/* The modem inputs: a good line outside, the modem outputs in loop back. */
static void
modem_update(struct ns16550 *u)
{
	uint8_t now = MSR_CTS | MSR_DSR | MSR_DCD, diff;

	if (u->mcr & MCR_LOOP)
		now = (uint8_t)((u->mcr & 0x02) << 3 | (u->mcr & 0x01) << 5 |
		    (u->mcr & 0x0c) << 4);
	diff = (u->msr ^ now) & 0xf0;
	/* "Trailing Edge of Ring Indicator": only RI's end counts. */
	if (now & MSR_RI)
		diff &= (uint8_t)~MSR_RI;
	u->msr = (uint8_t)(now | (u->msr & MSR_DELTA) | diff >> 4);
}

static void
write_lcr(struct ns16550 *u, uint8_t val)
{
	bool brk = (val & LCR_BREAK) && !(u->lcr & LCR_BREAK);

	u->lcr = val;
	if (brk && (u->mcr & MCR_LOOP))
		rx_put(u, 0, LSR_BI);
}

static void
write_mcr(struct ns16550 *u, uint8_t val)
{
	bool loop = u->mcr & MCR_LOOP;

	u->mcr = val & MCR_KEEP;
	modem_update(u);
	if (loop && !(val & MCR_LOOP))
		u->env.rearm(u->env.arg); /* input flows again */
}

void
ns16550_init(struct ns16550 *u, struct line irq, struct devenv env,
    size_t (*out)(void *, const uint8_t *, size_t), void *out_arg)
{
	memset(u, 0, sizeof(*u));
	u->irq = irq;
	u->env = env;
	u->out = out;
	u->out_arg = out_arg;
	/* "Master Reset", but with the line set up as firmware leaves it:
	 * 115200 baud, 8 data bits. */
	u->lsr = LSR_THRE | LSR_TEMT;
	u->msr = MSR_CTS | MSR_DSR | MSR_DCD;
	u->dll = 1;
	u->lcr = 3;
	u->rx_timeout = DEV_NEVER;
}

static uint8_t
read_iir(struct ns16550 *u)
{
	uint8_t iir;

	rx_check_timeout(u);
	iir = source(u);
	if (iir == IIR_THRE)
		u->thre_pending = false;
	return iir | (fifo_mode(u) ? IIR_FIFO : 0);
}

static uint8_t
read_lsr(struct ns16550 *u)
{
	uint8_t val = u->lsr;
	unsigned i;

	u->lsr &= (uint8_t)~LSR_ERR;
	if (!fifo_mode(u))
		return val;
	if (val & LSR_TOP)
		val |= LSR_FIFO;
	for (i = 0; i < u->rx.n; i++)
		if (u->rx.err[(u->rx.head + i) % NS16550_FIFO])
			val |= LSR_FIFO;
	return val;
}

uint8_t
ns16550_read(struct ns16550 *u, unsigned reg)
{
	uint8_t val = 0xff;

	switch (reg) {
	case REG_DATA:
		val = (u->lcr & LCR_DLAB) ? u->dll : rx_get(u);
		break;
	case REG_IER:
		val = (u->lcr & LCR_DLAB) ? u->dlm : u->ier;
		break;
	case REG_IIR:
		val = read_iir(u);
		break;
	case REG_LCR:
		val = u->lcr;
		break;
	case REG_MCR:
		val = u->mcr;
		break;
	case REG_LSR:
		val = read_lsr(u);
		break;
	case REG_MSR:
		val = u->msr;
		u->msr &= (uint8_t)~MSR_DELTA;
		break;
	case REG_SCR:
		val = u->scr;
		break;
	}
	irq_update(u);
	return val;
}

void
ns16550_write(struct ns16550 *u, unsigned reg, uint8_t val)
{
	switch (reg) {
	case REG_DATA:
		if (u->lcr & LCR_DLAB)
			u->dll = val;
		else
			write_thr(u, val);
		break;
	case REG_IER:
		if (u->lcr & LCR_DLAB)
			u->dlm = val;
		else
			write_ier(u, val);
		break;
	case REG_IIR:
		write_fcr(u, val);
		break;
	case REG_LCR:
		write_lcr(u, val);
		break;
	case REG_MCR:
		write_mcr(u, val);
		break;
	case REG_SCR:
		u->scr = val;
		break;
	}
	irq_update(u); /* LSR and MSR are for factory tests only */
}

size_t
ns16550_room(const struct ns16550 *u)
{
	/* "Loop": the receiver is disconnected from SIN. */
	if (u->mcr & MCR_LOOP)
		return 0;
	return fifo_size(u) > u->rx.n ? fifo_size(u) - u->rx.n : 0;
}

size_t
ns16550_input(struct ns16550 *u, const uint8_t *buf, size_t len)
{
	size_t i, room = ns16550_room(u);

	if (len > room)
		len = room;
	for (i = 0; i < len; i++)
		rx_put(u, buf[i], 0);
	if (len > 0)
		rx_timer(u);
	irq_update(u);
	return len;
}

void
ns16550_break(struct ns16550 *u)
{
	if (u->mcr & MCR_LOOP)
		return;
	rx_put(u, 0, LSR_BI);
	rx_timer(u);
	irq_update(u);
}

void
ns16550_tx_ready(struct ns16550 *u)
{
	if (u->tx.n == 0)
		return;
	tx_flush(u);
	irq_update(u);
}

void
ns16550_run(struct ns16550 *u)
{
	irq_update(u);
}

uint64_t
ns16550_deadline(const struct ns16550 *u)
{
	/* Nothing to do when nobody wants the interrupt or it is there. */
	if (!(u->ier & IER_RDA) || u->rx.n >= rx_trigger(u))
		return DEV_NEVER;
	return u->rx_timeout;
}
