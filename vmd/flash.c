/* SPDX-License-Identifier: ISC */
/*
 * Commands after "Common Flash Interface (CFI) and Command Sets" (Intel
 * application note 646), "Intel Basic Command Set" and "Intel Extended Command
 * Set", the query by JEDEC's JESD68.01, "Common Flash Memory Interface (CFI)".
 *
 * Invariants
 *  1. The processors read the array without us exactly while view is
 *     FLASH_ARRAY, unless the hypervisor refused; then reads come here and
 *     get the same.
 *  2. A program takes bits from 1 to 0 only; an erase makes a block all ones.
 *  3. Offsets are inside of the array: the bus clamps them.  The buffer's are
 *     checked when they come, before anything is stored.
 *
 * Everything is done at once, so suspend and resume have nothing to do, and
 * blocks have no locks.  OVMF knows a chip by a status that is 0 once it was
 * cleared, which says "busy" in the data sheets: the bit for "ready" is set by
 * what was done, and cleared with the others.
 */
#include <errno.h>
#include <string.h>
#include "flash.h"
#include "log.h"

#define READ_ARRAY   0xff
#define READ_ID	     0x90
#define READ_QUERY   0x98
#define READ_STATUS  0x70
#define CLEAR_STATUS 0x50
#define PROGRAM	     0x40
#define PROGRAM_ALT  0x10
#define ERASE	     0x20
#define BUFFERED     0xe8
#define LOCK_SETUP   0x60
#define LOCK	     0x01
#define LOCK_DOWN    0x2f
#define CONFIRM	     0xd0

#define READY	 0x80
#define SEQUENCE 0x30 /* both errors at once: of erase and of program */

#define MAKER  0x89
#define DEVICE 0x18

/* ---- what is read ---- */

static uint32_t
log2_up(uint32_t n)
{
	uint32_t bits = 0;

	while ((1ULL << bits) < n)
		bits++;
	return bits;
}

/* "CFI Query Identification String" and what follows; words are
 * little-endian. */
static uint8_t
query(const struct flash *f, uint32_t off)
{
	static const uint8_t fixed[] = {
		[0x00] = MAKER,
		[0x01] = DEVICE,
		[0x10] = 'Q',
		[0x11] = 'R',
		[0x12] = 'Y',
		[0x13] = 0x01, /* command set: Intel Extended */
		[0x15] = 0x31, /* its table */
		[0x1b] = 0x27, /* 2.7 to 3.6 V, in BCD */
		[0x1c] = 0x36,
		[0x1f] = 0x07, /* times, as powers of two: all are short */
		[0x20] = 0x07,
		[0x21] = 0x0a,
		[0x23] = 0x04, /* ... and the longest, times these */
		[0x24] = 0x04,
		[0x25] = 0x04,
		[0x2a] = 8, /* FLASH_BUFFER */
		[0x2c] = 1, /* regions of equal blocks */
		[0x2f] = FLASH_BLOCK / 256 & 0xff,
		[0x30] = FLASH_BLOCK / 256 >> 8,
		[0x31] = 'P',
		[0x32] = 'R',
		[0x33] = 'I',
		[0x34] = '1',
		[0x35] = '0',
	};
	uint32_t last = f->len / FLASH_BLOCK - 1;

	switch (off) {
	case 0x27:
		return (uint8_t)log2_up(f->len);
	case 0x2d:
		return (uint8_t)last;
	case 0x2e:
		return (uint8_t)(last >> 8);
	}
	return off < sizeof(fixed) ? fixed[off] : 0;
}

static uint64_t
flash_read(void *arg, uint64_t off, unsigned size)
{
	const struct flash *f = arg;

	switch (f->view) {
	case FLASH_ARRAY:
		return f->array[off];
	case FLASH_STATUS:
		return f->status;
	case FLASH_ID:
		off %= FLASH_BLOCK;
		return off == 0 ? MAKER : off == 1 ? DEVICE : 0;
	case FLASH_QUERY:
		return query(f, (uint32_t)off);
	}
	return 0;
}

static void
look(struct flash *f, enum flash_view view)
{
	static struct log_rate rate = LOG_RATE(3, 60);
	bool array = view == FLASH_ARRAY;
	int r;

	f->view = view;
	if (array != f->shown) {
		if ((r = f->ops->show(f->arg, array)) < 0)
			log_limited(&rate, "flash: %s", strerrordesc_np(-r));
		else
			f->shown = array;
	}
	if (array && f->from != f->to)
		f->ops->changed(f->arg);
}

/* ---- what is written ---- */

static void
changed(struct flash *f, uint32_t off, uint32_t n)
{
	if (f->from == f->to) {
		f->from = off;
		f->to = off + n;
		return;
	}
	if (off < f->from)
		f->from = off;
	if (off + n > f->to)
		f->to = off + n;
}

static void
done(struct flash *f, uint8_t error)
{
	f->status |= READY | error;
	f->cycle = FLASH_COMMAND;
}

static void
erase(struct flash *f, uint32_t off)
{
	off -= off % FLASH_BLOCK;
	memset(f->array + off, 0xff, FLASH_BLOCK);
	changed(f, off, FLASH_BLOCK);
	done(f, 0);
}

static void
program(struct flash *f, uint32_t off, const uint8_t *bytes, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		f->array[off + i] &= bytes[i];
	changed(f, off, n);
	done(f, 0);
}

/* The first one says where the buffer begins; it lies in one block. */
static void
fill(struct flash *f, uint32_t off, uint8_t val)
{
	if (f->got == 0) {
		if (f->want > FLASH_BLOCK - off % FLASH_BLOCK) {
			done(f, SEQUENCE);
			return;
		}
		f->start = off;
		memset(f->buffer, 0xff, sizeof(f->buffer));
	}
	if (off < f->start || off - f->start >= f->want) {
		done(f, SEQUENCE);
		return;
	}
	f->buffer[off - f->start] = val;
	if (++f->got == f->want)
		f->cycle = FLASH_CONFIRM;
}

static void
command(struct flash *f, uint8_t val)
{
	enum flash_cycle next = FLASH_COMMAND;

	switch (val) {
	case READ_ARRAY:
		look(f, FLASH_ARRAY);
		return;
	case READ_ID:
		look(f, FLASH_ID);
		return;
	case READ_QUERY:
		look(f, FLASH_QUERY);
		return;
	case READ_STATUS:
		break;
	case CLEAR_STATUS:
		f->status = 0;
		look(f, FLASH_ARRAY);
		return;
	case PROGRAM:
	case PROGRAM_ALT:
		next = FLASH_BYTE;
		break;
	case ERASE:
		next = FLASH_ERASE;
		break;
	case BUFFERED: /* the status says that there is a buffer */
		f->status |= READY;
		next = FLASH_COUNT;
		break;
	case LOCK_SETUP:
		next = FLASH_LOCK;
		break;
	default:
		return;
	}
	f->cycle = next;
	look(f, FLASH_STATUS);
}

static void
flash_write(void *arg, uint64_t where, unsigned size, uint64_t bits)
{
	struct flash *f = arg;
	uint32_t off = (uint32_t)where;
	uint8_t val = (uint8_t)bits;

	switch (f->cycle) {
	case FLASH_COMMAND:
		command(f, val);
		break;
	case FLASH_BYTE:
		program(f, off, &val, 1);
		break;
	case FLASH_ERASE:
		if (val == CONFIRM)
			erase(f, off);
		else
			done(f, SEQUENCE);
		break;
	case FLASH_COUNT:
		f->want = val + 1U;
		f->got = 0;
		f->cycle = FLASH_FILL;
		break;
	case FLASH_FILL:
		fill(f, off, val);
		break;
	case FLASH_CONFIRM:
		if (val == CONFIRM)
			program(f, f->start, f->buffer, f->want);
		else
			done(f, SEQUENCE);
		break;
	case FLASH_LOCK:
		done(f,
		    val == LOCK || val == CONFIRM || val == LOCK_DOWN
			? 0
			: SEQUENCE);
		break;
	}
}

/* By bytes, as the chip is. */
const struct bus_ops flash_bus_ops = {
	.sizes = 1, .read = flash_read, .write = flash_write
};

int
flash_init(struct flash *f, uint8_t *array, uint32_t len,
    const struct flash_ops *ops, void *arg)
{
	memset(f, 0, sizeof(*f));
	if (len == 0 || len % FLASH_BLOCK != 0 || len > FLASH_MAX)
		return -EINVAL;
	f->array = array;
	f->len = len;
	f->ops = ops;
	f->arg = arg;
	f->shown = true;
	return ops->show(arg, true);
}

uint32_t
flash_take(struct flash *f, uint32_t *off)
{
	uint32_t n = f->to - f->from;

	*off = f->from;
	f->from = f->to = 0;
	return n;
}

void
flash_restored(struct flash *f)
{
	if (f->start > f->len || f->want > f->len - f->start ||
	    f->want > FLASH_BUFFER || f->got > f->want)
		done(f, SEQUENCE); /* invariant 3 */
	f->from = 0;
	f->to = f->len;
	look(f, f->view);
}
