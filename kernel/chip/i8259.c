// SPDX-License-Identifier: (ISC OR GPL-2.0)

/*
 * Two 8259A interrupt controllers, the slave's INT on the master's IR2, with
 * the edge/level control registers (ELCR) that PC chip sets added.
 * After: Intel "8259A Programmable Interrupt Controller" data sheet, sections
 * "Interrupt Sequence", "Initialization Command Words" and "Operation Command
 * Words"; ELCR after the PIIX3 data sheet, "Interrupt Controller Registers".
 *
 * Invariants
 *  1. An IRR bit is set only while its IR input is high: an input that falls
 *     before INTA takes its request with it ("Edge and Level Triggered
 *     Modes"), and a level input requests again as long as it is high.  Where
 *     `keep' says so an edge is latched: for lines that are only pulsed.
 *  2. INTR is high exactly while the master has a request above everything
 *     in service; the master's IR2 is the slave's INT.
 *  3. A chip in the middle of its ICWs requests nothing.
 */
#include "i8259.h"

#define CASCADE	 2 /* the master's IR that the slave is wired to */
#define SPURIOUS 7

#define ICW1_INIT 0x10
#define ICW1_SNGL 0x02
#define ICW1_IC4  0x01
#define ICW4_SFNM 0x10
#define ICW4_AEOI 0x02
#define OCW3_SEL  0x08
#define OCW3_ESMM 0x40
#define OCW3_SMM  0x20
#define OCW3_POLL 0x04
#define OCW3_RR	  0x02
#define OCW3_RIS  0x01
#define POLL_IRQ  0x80

/* The bit of highest priority in mask, or -1; prio names the lowest IR. */
static int
chip_highest(const struct i8259_chip *c, uint8_t mask)
{
	unsigned i, ir;

	for (i = 1; i <= 8; i++) {
		ir = (c->prio + i) & 7;
		if (mask & (1u << ir))
			return (int)ir;
	}
	return -1;
}

static unsigned
chip_rank(const struct i8259_chip *c, int ir)
{
	return ir < 0 ? 8 : ((unsigned)ir - c->prio - 1) & 7;
}

/* The IR to serve now, or -1. */
static int
chip_request(const struct i8259_chip *c)
{
	uint8_t service = c->isr;
	int req, top;

	if (c->icw_step != 0)
		return -1;
	req = chip_highest(c, c->irr & (uint8_t)~c->imr);
	if (req < 0)
		return -1;
	/* "Special Mask Mode": a masked level in service inhibits nobody. */
	if (c->special_mask)
		service &= (uint8_t)~c->imr;
	top = chip_highest(c, service);
	/* "The Special Fully Nested Mode": a slave in service is not locked
	 * out from further requests. */
	if (c->sfnm && req == top && (c->icw3 & (1u << req)))
		return req;
	if (chip_rank(c, req) >= chip_rank(c, top))
		return -1;
	return req;
}

static void
chip_line(struct i8259_chip *c, unsigned ir, bool level)
{
	uint8_t bit = (uint8_t)(1u << ir);

	if (!level) {
		c->lines &= (uint8_t)~bit;
		if ((c->elcr & bit) || !(c->keep & bit))
			c->irr &= (uint8_t)~bit;
		return;
	}
	if ((c->elcr & bit) || !(c->lines & bit))
		c->irr |= bit;
	c->lines |= bit;
}

static void
pair_ended(struct i8259 *p, unsigned n, uint8_t irs)
{
	p->ended |= (uint16_t)(irs << (n * 8));
}

/* First INTA pulse: the request becomes in service. */
static void
chip_accept(struct i8259 *p, unsigned n, unsigned ir)
{
	struct i8259_chip *c = &p->chip[n];
	uint8_t bit = (uint8_t)(1u << ir);

	if (!(c->elcr & bit))
		c->irr &= (uint8_t)~bit;
	if (!c->auto_eoi) {
		c->isr |= bit;
		return;
	}
	pair_ended(p, n, bit);
	if (c->rotate_aeoi)
		c->prio = (uint8_t)ir;
}

/* INT of the slave drops during its INTA, so that a further request makes
 * a new edge on the master. */
static void
slave_accept(struct i8259 *p, unsigned ir)
{
	chip_accept(p, 1, ir);
	chip_line(&p->chip[0], CASCADE, false);
}

static void
pair_update(struct i8259 *p)
{
	bool out;

	chip_line(&p->chip[0], CASCADE, chip_request(&p->chip[1]) >= 0);
	out = chip_request(&p->chip[0]) >= 0;
	if (out != p->out) {
		p->out = out;
		line_set(&p->intr, out);
	}
}

void
i8259_init(struct i8259 *p, struct line intr)
{
	memset(p, 0, sizeof(*p));
	p->intr = intr;
	/* The power-on state is undefined; all masked disturbs nobody. */
	p->chip[0].imr = p->chip[1].imr = 0xff;
	p->chip[0].prio = p->chip[1].prio = 7;
	p->chip[0].icw3 = 1u << CASCADE;
	p->chip[1].icw3 = CASCADE;
	/* IRQ 0, 1, 2, 8 and 13 are edge-triggered on every PC. */
	p->chip[0].elcr_mask = 0xf8;
	p->chip[1].elcr_mask = 0xde;
}

void
i8259_keep_edges(struct i8259 *p)
{
	/* The slave's INT is no pulse. */
	p->chip[0].keep = (uint8_t) ~(1u << CASCADE);
	p->chip[1].keep = 0xff;
}

void
i8259_restored(struct i8259 *p)
{
	pair_update(p);
}

void
i8259_set(struct i8259 *p, unsigned irq, bool level)
{
	if (irq > 15 || irq == CASCADE)
		return;
	chip_line(&p->chip[irq >> 3], irq & 7, level);
	pair_update(p);
}

bool
i8259_pending(const struct i8259 *p)
{
	return p->out;
}

static bool
has_slave(const struct i8259_chip *master, int ir)
{
	return ir == CASCADE && !master->single &&
	    (master->icw3 & (1u << CASCADE)) != 0;
}

uint8_t
i8259_ack(struct i8259 *p)
{
	struct i8259_chip *m = &p->chip[0], *s = &p->chip[1];
	int ir = chip_request(m), sir;
	uint8_t vec;

	/* INT drops during INTA; what is left raises it again. */
	if (p->out) {
		p->out = false;
		line_set(&p->intr, false);
	}
	if (ir < 0)
		return (m->base | SPURIOUS);
	chip_accept(p, 0, (unsigned)ir);
	vec = (uint8_t)(m->base | ir);
	if (has_slave(m, ir)) {
		/* A slave whose number is not that of its IR keeps silent,
		 * and the bus floats. */
		vec = 0xff;
		if (s->icw3 == CASCADE && !s->single) {
			sir = chip_request(s);
			if (sir >= 0)
				slave_accept(p, (unsigned)sir);
			vec = (uint8_t)(s->base | (sir < 0 ? SPURIOUS : sir));
		}
	}
	pair_update(p);
	return vec;
}

static void
chip_icw1(struct i8259_chip *c, bool slave, uint8_t val)
{
	/* "Initialization Command Words 1 and 2": edge sense circuit reset,
	 * IMR cleared, IR7 lowest, slave number 7, special mask mode off,
	 * status read is IRR, without ICW4 all its functions off.  LTIM is
	 * replaced by ELCR in chip sets that have one. */
	c->irr = c->lines & c->elcr;
	c->imr = c->isr = 0;
	c->prio = 7;
	c->icw3 = slave ? 7 : 0;
	c->special_mask = c->read_isr = c->poll = false;
	c->auto_eoi = c->sfnm = c->rotate_aeoi = false;
	c->single = (val & ICW1_SNGL) != 0;
	c->want_icw4 = (val & ICW1_IC4) != 0;
	c->icw_step = 2;
}

static void
chip_icw(struct i8259_chip *c, bool slave, uint8_t val)
{
	switch (c->icw_step) {
	case 2:
		c->base = val & 0xf8;
		c->icw_step = !c->single ? 3 : c->want_icw4 ? 4 : 0;
		break;
	case 3:
		c->icw3 = slave ? val & 7 : val;
		c->icw_step = c->want_icw4 ? 4 : 0;
		break;
	case 4:
		c->auto_eoi = (val & ICW4_AEOI) != 0;
		c->sfnm = (val & ICW4_SFNM) != 0 && !slave;
		c->icw_step = 0;
		break;
	}
}

/* OCW2: R, SL, EOI and a level.  Returns what went out of service. */
static uint8_t
chip_ocw2(struct i8259_chip *c, uint8_t val)
{
	bool rotate = val & 0x80, specific = val & 0x40, eoi = val & 0x20;
	uint8_t mask = c->isr;
	int ir = val & 7;

	if (!eoi) {
		if (!specific)
			c->rotate_aeoi = rotate;
		else if (rotate)
			c->prio = (uint8_t)ir;
		return 0;
	}
	if (!specific) {
		/* "End of Interrupt": in special mask mode a non-specific
		 * EOI passes over masked levels. */
		if (c->special_mask)
			mask &= (uint8_t)~c->imr;
		ir = chip_highest(c, mask);
		if (ir < 0)
			return 0;
	}
	mask = c->isr & (uint8_t)(1u << ir);
	c->isr ^= mask;
	if (rotate)
		c->prio = (uint8_t)ir;
	return mask;
}

static void
chip_ocw3(struct i8259_chip *c, uint8_t val)
{
	if (val & OCW3_ESMM)
		c->special_mask = (val & OCW3_SMM) != 0;
	if (val & OCW3_POLL)
		c->poll = true;
	if (val & OCW3_RR)
		c->read_isr = (val & OCW3_RIS) != 0;
}

/* "Poll Command": the read is an acknowledge that returns the level. */
static uint8_t
chip_poll(struct i8259 *p, unsigned n)
{
	struct i8259_chip *c = &p->chip[n];
	int ir = chip_request(c);

	c->poll = false;
	if (ir < 0)
		return 0;
	if (n == 1)
		slave_accept(p, (unsigned)ir);
	else
		chip_accept(p, n, (unsigned)ir);
	pair_update(p);
	return (uint8_t)(POLL_IRQ | ir);
}

uint8_t
i8259_read(struct i8259 *p, uint16_t port)
{
	unsigned n = port == 0xa0 || port == 0xa1 || port == 0x4d1;
	struct i8259_chip *c = &p->chip[n];

	switch (port) {
	case 0x20:
	case 0xa0:
		if (c->poll)
			return chip_poll(p, n);
		return c->read_isr ? c->isr : c->irr;
	case 0x21:
	case 0xa1:
		if (c->poll)
			return chip_poll(p, n);
		return c->imr;
	case 0x4d0:
	case 0x4d1:
		return c->elcr;
	}
	return 0xff;
}

void
i8259_write(struct i8259 *p, uint16_t port, uint8_t val)
{
	unsigned n = port == 0xa0 || port == 0xa1 || port == 0x4d1;
	struct i8259_chip *c = &p->chip[n];

	switch (port) {
	case 0x20:
	case 0xa0:
		if (val & ICW1_INIT)
			chip_icw1(c, n == 1, val);
		else if (val & OCW3_SEL)
			chip_ocw3(c, val);
		else
			pair_ended(p, n, chip_ocw2(c, val));
		break;
	case 0x21:
	case 0xa1:
		if (c->icw_step != 0)
			chip_icw(c, n == 1, val);
		else
			c->imr = val;
		break;
	case 0x4d0:
	case 0x4d1:
		/* What was latched as an edge does not outlive the change. */
		c->irr &= (uint8_t) ~(c->elcr ^ (val & c->elcr_mask));
		c->elcr = val & c->elcr_mask;
		c->irr |= c->lines & c->elcr;
		break;
	default:
		return;
	}
	pair_update(p);
}
