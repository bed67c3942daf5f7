/* SPDX-License-Identifier: ISC */
/*
 * Commands of a CD-ROM drive: see cdrom.h.  Section titles are those of SPC-4
 * ("INQUIRY command" and so on), SBC-3 for reads and capacity, MMC-6 for the
 * rest.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "cdrom.h"

#define KEY_NONE      0x0
#define KEY_NOT_READY 0x2
#define KEY_MEDIUM    0x3
#define KEY_ILLEGAL   0x5
#define KEY_ATTENTION 0x6

#define CODE_READ_ERROR	   0x1100
#define CODE_OPCODE	   0x2000
#define CODE_RANGE	   0x2100
#define CODE_FIELD	   0x2400
#define CODE_LUN	   0x2500
#define CODE_MEDIUM_CHANGE 0x2800
#define CODE_RESET	   0x2900
#define CODE_SAVED	   0x3900
#define CODE_NO_MEDIUM	   0x3a01 /* tray closed */
#define CODE_TRAY_OPEN	   0x3a02
#define CODE_PREVENTED	   0x5302

#define TRACK_DATA  0x14 /* data track, no copying; Q sub-channel: position */
#define TRACK_OUT   0xaa /* the lead-out */
#define PROFILE_CD  0x0008
#define CLASS_MEDIA 4 /* of events */

static uint16_t
be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t
be32(const uint8_t *p)
{
	return (uint32_t)be16(p) << 16 | be16(p + 2);
}

static uint64_t
be64(const uint8_t *p)
{
	return (uint64_t)be32(p) << 32 | be32(p + 4);
}

static void
put(struct cdrom_reply *r, uint64_t v, unsigned bytes)
{
	assert(bytes <= sizeof(r->data) - r->len);
	while (bytes-- > 0)
		r->data[r->len++] = (uint8_t)(v >> (8 * bytes));
}

/* Text, filled up with spaces. */
static void
put_text(struct cdrom_reply *r, const char *s, size_t width)
{
	size_t n = strlen(s);

	assert(n <= width && width <= sizeof(r->data) - r->len);
	memset(r->data + r->len, ' ', width);
	memcpy(r->data + r->len, s, n);
	r->len += width;
}

static void
cut(struct cdrom_reply *r, uint64_t allocation)
{
	if (r->len > allocation)
		r->len = allocation;
}

static void
check(struct cdrom_reply *r, uint8_t key, uint16_t code)
{
	r->status = CDROM_CHECK;
	r->key = key;
	r->code = code;
	r->len = 0;
	r->count = 0;
}

static void
bad_field(struct cdrom_reply *r)
{
	check(r, KEY_ILLEGAL, CODE_FIELD);
}

static bool
present(const struct cdrom *c)
{
	return c->blocks != 0 && !c->open;
}

static uint16_t
absence(const struct cdrom *c)
{
	return c->open ? CODE_TRAY_OPEN : CODE_NO_MEDIUM;
}

/* ---- primary commands ---- */

static void
test_unit_ready(struct cdrom *c, const uint8_t *cdb, struct cdrom_reply *r)
{
	/* Whether there is a medium was judged by its flag. */
}

static void
sense_data(uint8_t *p, uint8_t key, uint16_t code)
{
	memset(p, 0, CDROM_SENSE);
	p[0] = 0x70; /* current, fixed format */
	p[2] = key;
	p[7] = CDROM_SENSE - 8;
	p[12] = (uint8_t)(code >> 8);
	p[13] = (uint8_t)code;
}

static void
request_sense(struct cdrom *c, const uint8_t *cdb, struct cdrom_reply *r)
{
	if ((cdb[1] & 1) != 0) { /* descriptor format */
		bad_field(r);
		return;
	}
	if (c->attention != 0)
		sense_data(r->data, KEY_ATTENTION, c->attention);
	else if (!present(c))
		sense_data(r->data, KEY_NOT_READY, absence(c));
	else
		sense_data(r->data, KEY_NONE, 0);
	c->attention = 0;
	r->len = CDROM_SENSE;
	cut(r, cdb[4]);
}

static const char vendor[] = "VMM", product[] = "CD-ROM", serial[] = "vioscsi0";

static void
standard_inquiry(struct cdrom_reply *r, uint8_t type)
{
	put(r, type, 1);
	put(r, 0x80, 1); /* removable */
	put(r, 0x05, 1); /* SPC-3 */
	put(r, 0x12, 1); /* hierarchical; response data format 2 */
	put(r, 36 - 5, 1);
	put(r, 0x000002, 3); /* command queuing */
	put_text(r, vendor, 8);
	put_text(r, product, 16);
	put_text(r, "1", 4);
}

/* "Vital product data parameters": pages 00h, 80h, 83h. */
static bool
product_data(struct cdrom_reply *r, uint8_t type, uint8_t page)
{
	put(r, type, 1);
	put(r, page, 1);
	switch (page) {
	case 0x00:
		put(r, 3, 2);
		put(r, 0x008083, 3);
		return true;
	case 0x80:
		put(r, sizeof(serial) - 1, 2);
		put_text(r, serial, sizeof(serial) - 1);
		return true;
	case 0x83:
		put(r, 4 + 8 + 16 + sizeof(serial) - 1, 2);
		put(r, 0x0201, 2); /* ASCII; T10 vendor identification */
		put(r, 8 + 16 + sizeof(serial) - 1, 2);
		put_text(r, vendor, 8);
		put_text(r, product, 16);
		put_text(r, serial, sizeof(serial) - 1);
		return true;
	}
	return false;
}

static void
inquire(uint8_t type, const uint8_t *cdb, struct cdrom_reply *r)
{
	bool vpd = (cdb[1] & 1) != 0;

	if (!vpd && cdb[2] == 0)
		standard_inquiry(r, type);
	else if (!vpd || !product_data(r, type, cdb[2])) {
		bad_field(r);
		return;
	}
	cut(r, be16(cdb + 3));
}

static void
inquiry(struct cdrom *c, const uint8_t *cdb, struct cdrom_reply *r)
{
	inquire(0x05, cdb, r); /* CD/DVD device */
}

static void
report_luns(struct cdrom *c, const uint8_t *cdb, struct cdrom_reply *r)
{
	uint8_t which = cdb[2];

	if (be32(cdb + 6) < 16 || which > 2) {
		bad_field(r);
		return;
	}
	/* 1: well-known units only; that of this command is not listed. */
	put(r, which == 1 ? 0 : 8, 4);
	put(r, 0, 4);
	if (which != 1)
		put(r, 0, 8);
	cut(r, be32(cdb + 6));
}

/* ---- mode pages ---- */

static void
recovery_page(struct cdrom_reply *r, const struct cdrom *c, bool values)
{
	put(r, 0x010a, 2);
	put(r, 0, 2);
	put(r, 0, 8);
}

/* "CD/DVD Capabilities and Mechanical Status page". */
static void
capabilities_page(struct cdrom_reply *r, const struct cdrom *c, bool values)
{
	put(r, 0x2a12, 2);
	if (!values) {
		put(r, 0, 8);
		put(r, 0, 8);
		put(r, 0, 2);
		return;
	}
	put(r, 0x0300, 2); /* reads CD-R and CD-RW; writes nothing */
	put(r, 0x7000, 2); /* multi-session, mode 2 forms 1 and 2 */
	/* Tray, ejects, locks. */
	put(r, c->locked ? 0x2b : 0x29, 1);
	put(r, 0, 1);
	put(r, 706 * 4, 2); /* kB/s */
	put(r, 0, 2);
	put(r, 512, 2); /* buffer, kB */
	put(r, 706 * 4, 2);
	put(r, 0, 4);
}

static const struct mode_page {
	uint8_t code;
	void (*put)(struct cdrom_reply *, const struct cdrom *, bool values);
} mode_pages[] = {
	{ 0x01, recovery_page },
	{ 0x2a, capabilities_page },
};

/* header: bytes of it; the first quarter of them is the length. */
static void
mode_sense(struct cdrom *c, const uint8_t *cdb, unsigned header,
    uint64_t allocation, struct cdrom_reply *r)
{
	uint8_t page = cdb[2] & 0x3f, control = cdb[2] >> 6;
	bool found = false;
	size_t i;

	if (control == 3) {
		check(r, KEY_ILLEGAL, CODE_SAVED);
		return;
	}
	put(r, 0, header);
	for (i = 0; i < sizeof(mode_pages) / sizeof(mode_pages[0]); i++) {
		if (page != 0x3f && page != mode_pages[i].code)
			continue;
		found = true;
		/* 1: what can be changed, which is nothing. */
		mode_pages[i].put(r, c, control != 1);
	}
	if (!found || (cdb[3] != 0 && (page != 0x3f || cdb[3] != 0xff))) {
		bad_field(r);
		return;
	}
	/* Less than 256 bytes: the length's last byte says it all. */
	r->data[header / 4 - 1] = (uint8_t)(r->len - header / 4);
	cut(r, allocation);
}

static void
mode_sense6(struct cdrom *c, const uint8_t *cdb, struct cdrom_reply *r)
{
	mode_sense(c, cdb, 4, cdb[4], r);
}

static void
mode_sense10(struct cdrom *c, const uint8_t *cdb, struct cdrom_reply *r)
{
	mode_sense(c, cdb, 8, be16(cdb + 7), r);
}

/* ---- reading ---- */

static void
read_blocks(struct cdrom *c, uint64_t block, uint32_t n, struct cdrom_reply *r)
{
	if (block > c->blocks || n > c->blocks - block) {
		check(r, KEY_ILLEGAL, CODE_RANGE);
		return;
	}
	r->block = block;
	r->count = n;
}

static void
read6(struct cdrom *c, const uint8_t *cdb, struct cdrom_reply *r)
{
	read_blocks(c, be32(cdb) & 0x1fffff, cdb[4] == 0 ? 256 : cdb[4], r);
}

static void
read10(struct cdrom *c, const uint8_t *cdb, struct cdrom_reply *r)
{
	read_blocks(c, be32(cdb + 2), be16(cdb + 7), r);
}

static void
read12(struct cdrom *c, const uint8_t *cdb, struct cdrom_reply *r)
{
	read_blocks(c, be32(cdb + 2), be32(cdb + 6), r);
}

static void
read16(struct cdrom *c, const uint8_t *cdb, struct cdrom_reply *r)
{
	read_blocks(c, be64(cdb + 2), be32(cdb + 10), r);
}

static void
seek10(struct cdrom *c, const uint8_t *cdb, struct cdrom_reply *r)
{
	if (be32(cdb + 2) >= c->blocks)
		check(r, KEY_ILLEGAL, CODE_RANGE);
}

static void
capacity10(struct cdrom *c, const uint8_t *cdb, struct cdrom_reply *r)
{
	uint64_t last = c->blocks - 1;

	put(r, last > UINT32_MAX ? UINT32_MAX : last, 4);
	put(r, CDROM_BLOCK, 4);
}

/* "SERVICE ACTION IN (16)": one action of them. */
static void
capacity16(struct cdrom *c, const uint8_t *cdb, struct cdrom_reply *r)
{
	if ((cdb[1] & 0x1f) != 0x10) {
		bad_field(r);
		return;
	}
	put(r, c->blocks - 1, 8);
	put(r, CDROM_BLOCK, 4);
	put(r, 0, 8);
	put(r, 0, 8);
	put(r, 0, 4);
	cut(r, be32(cdb + 10));
}

/* ---- the disc ---- */

/* An address, by minute, second and frame when msf. */
static void
put_address(struct cdrom_reply *r, uint64_t block, bool msf)
{
	uint64_t at = block + 150; /* the pre-gap of two seconds */

	if (!msf) {
		put(r, block > UINT32_MAX ? UINT32_MAX : block, 4);
		return;
	}
	put(r, 0, 1);
	put(r, at / 75 / 60 > 255 ? 255 : at / 75 / 60, 1);
	put(r, at / 75 % 60, 1);
	put(r, at % 75, 1);
}

static void
put_track(struct cdrom_reply *r, uint8_t number, uint64_t block, bool msf)
{
	put(r, 0, 1);
	put(r, TRACK_DATA, 1);
	put(r, number, 1);
	put(r, 0, 1);
	put_address(r, block, msf);
}

static void
read_toc(struct cdrom *c, const uint8_t *cdb, struct cdrom_reply *r)
{
	bool msf = (cdb[1] & 2) != 0;
	uint8_t format = cdb[2] & 0xf, track = cdb[6];

	/* Before MMC the format was elsewhere. */
	if (format == 0)
		format = cdb[9] >> 6;
	if (format > 1 || (format == 0 && track > 1 && track != TRACK_OUT)) {
		bad_field(r);
		return;
	}
	put(r, 0, 2);
	put(r, 0x0101, 2); /* first and last: track, or session */
	if (format == 1 || track <= 1)
		put_track(r, 1, 0, msf);
	if (format == 0)
		put_track(r, TRACK_OUT, c->blocks, msf);
	r->data[1] = (uint8_t)(r->len - 2);
	cut(r, be16(cdb + 7));
}

/* Features: number, version 0 with "persistent" and "current", length. */
static void
put_feature(struct cdrom_reply *r, const struct cdrom *c, uint16_t number)
{
	put(r, number, 2);
	put(r, number == 0x0010 ? present(c) : 0x03, 1);
	switch (number) {
	case 0x0000: /* profiles */
		put(r, 4, 1);
		put(r, PROFILE_CD, 2);
		put(r, present(c), 1);
		put(r, 0, 1);
		break;
	case 0x0001: /* core: SCSI */
		put(r, 4, 1);
		put(r, 1, 4);
		break;
	case 0x0002: /* morphing: by polling */
		put(r, 4, 1);
		put(r, 0, 4);
		break;
	case 0x0003: /* removable: tray, ejects, locks */
		put(r, 4, 1);
		put(r, 0x29000000, 4);
		break;
	case 0x0010: /* random readable */
		put(r, 8, 1);
		put(r, CDROM_BLOCK, 4);
		put(r, 1, 2);
		put(r, 0, 2);
		break;
	}
}

static void
get_configuration(struct cdrom *c, const uint8_t *cdb, struct cdrom_reply *r)
{
	static const uint16_t feature[] = { 0x0000, 0x0001, 0x0002, 0x0003,
		0x0010 };
	uint8_t type = cdb[1] & 3;
	uint16_t from = be16(cdb + 2);
	size_t i;

	if (type == 3) {
		bad_field(r);
		return;
	}
	put(r, 0, 6);
	put(r, present(c) ? PROFILE_CD : 0, 2);
	for (i = 0; i < sizeof(feature) / sizeof(feature[0]); i++) {
		if (type == 2 ? feature[i] != from : feature[i] < from)
			continue;
		if (type == 1 && feature[i] == 0x0010 && !present(c))
			continue;
		put_feature(r, c, feature[i]);
	}
	r->data[3] = (uint8_t)(r->len - 4);
	cut(r, be16(cdb + 7));
}

static void
get_event_status(struct cdrom *c, const uint8_t *cdb, struct cdrom_reply *r)
{
	if ((cdb[1] & 1) == 0) { /* only when asked */
		bad_field(r);
		return;
	}
	if ((cdb[4] & 1 << CLASS_MEDIA) == 0) {
		put(r, 2, 2);
		put(r, 0x80, 1); /* no event available */
		put(r, 1 << CLASS_MEDIA, 1);
	} else {
		put(r, 6, 2);
		put(r, CLASS_MEDIA, 1);
		put(r, 1 << CLASS_MEDIA, 1);
		put(r, c->event, 1);
		put(r, (present(c) ? 2 : 0) | (c->open ? 1 : 0), 1);
		put(r, 0, 2);
	}
	cut(r, be16(cdb + 7));
	/* Told, unless the event itself was cut off. */
	if (r->len > 4)
		c->event = CDROM_EV_NONE;
}

static void
mechanism_status(struct cdrom *c, const uint8_t *cdb, struct cdrom_reply *r)
{
	put(r, 0, 1);
	put(r, c->open ? 0x10 : 0, 1);
	put(r, 0, 6);
	cut(r, be16(cdb + 8));
}

static void
start_stop(struct cdrom *c, const uint8_t *cdb, struct cdrom_reply *r)
{
	bool start = (cdb[4] & 1) != 0, load = (cdb[4] & 2) != 0;

	/* A power condition, or a spindle that there is not. */
	if ((cdb[4] & 0xf0) != 0 || !load)
		return;
	if (!start && c->locked) {
		check(r, KEY_ILLEGAL, CODE_PREVENTED);
		return;
	}
	if (c->open == !start)
		return;
	c->open = !start;
	if (c->blocks == 0)
		return;
	c->event = start ? CDROM_EV_NEW_MEDIA : CDROM_EV_REMOVAL;
	if (start)
		c->attention = CODE_MEDIUM_CHANGE;
}

static void
prevent_removal(struct cdrom *c, const uint8_t *cdb, struct cdrom_reply *r)
{
	c->locked = (cdb[4] & 1) != 0;
}

/* ---- dispatch ---- */

enum {
	NEEDS_MEDIUM = 1, /* NOT READY without one */
	ANYTIME = 2, /* whatever attention there is */
};

static const struct command {
	uint8_t opcode;
	uint8_t flags;
	void (*run)(struct cdrom *, const uint8_t *, struct cdrom_reply *);
} commands[] = {
	{ 0x00, NEEDS_MEDIUM, test_unit_ready },
	{ 0x03, ANYTIME, request_sense },
	{ 0x08, NEEDS_MEDIUM, read6 },
	{ 0x12, ANYTIME, inquiry },
	{ 0x1a, 0, mode_sense6 },
	{ 0x1b, 0, start_stop },
	{ 0x1e, 0, prevent_removal },
	{ 0x25, NEEDS_MEDIUM, capacity10 },
	{ 0x28, NEEDS_MEDIUM, read10 },
	{ 0x2b, NEEDS_MEDIUM, seek10 },
	{ 0x43, NEEDS_MEDIUM, read_toc },
	{ 0x46, ANYTIME, get_configuration },
	{ 0x4a, ANYTIME, get_event_status },
	{ 0x5a, 0, mode_sense10 },
	{ 0x88, NEEDS_MEDIUM, read16 },
	{ 0x9e, NEEDS_MEDIUM, capacity16 },
	{ 0xa0, ANYTIME, report_luns },
	{ 0xa8, NEEDS_MEDIUM, read12 },
	{ 0xbd, 0, mechanism_status },
};

static void
drive_command(struct cdrom *c, const uint8_t *cdb, struct cdrom_reply *r)
{
	const struct command *cmd = NULL;
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (commands[i].opcode == cdb[0])
			cmd = &commands[i];
	if (cmd == NULL)
		check(r, KEY_ILLEGAL, CODE_OPCODE);
	else if (c->attention != 0 && (cmd->flags & ANYTIME) == 0) {
		check(r, KEY_ATTENTION, c->attention);
		c->attention = 0;
	} else if (!present(c) && (cmd->flags & NEEDS_MEDIUM) != 0)
		check(r, KEY_NOT_READY, absence(c));
	else
		cmd->run(c, cdb, r);
}

/*
 * "Incorrect logical unit selection", and what a well-known unit has to
 * answer: INQUIRY, REPORT LUNS, REQUEST SENSE, TEST UNIT READY.
 */
static void
other_command(enum cdrom_lun lun, const uint8_t *cdb, struct cdrom_reply *r)
{
	bool known = lun == CDROM_LUN_REPORT;

	switch (cdb[0]) {
	case 0x12:
		/* No device there, and cannot be; or a well-known unit. */
		inquire(known ? 0x1e : 0x7f, cdb, r);
		return;
	case 0xa0:
		report_luns(NULL, cdb, r);
		return;
	case 0x03:
		sense_data(r->data, known ? KEY_NONE : KEY_ILLEGAL,
		    known ? 0 : CODE_LUN);
		r->len = CDROM_SENSE;
		cut(r, cdb[4]);
		return;
	case 0x00:
		if (known)
			return;
		break;
	}
	check(r, KEY_ILLEGAL, known ? CODE_OPCODE : CODE_LUN);
}

void
cdrom_command(struct cdrom *c, enum cdrom_lun lun,
    const uint8_t cdb[CDROM_CDB_MAX], struct cdrom_reply *r)
{
	memset(r, 0, sizeof(*r));
	r->status = CDROM_GOOD;
	if (lun == CDROM_LUN_DRIVE)
		drive_command(c, cdb, r);
	else
		other_command(lun, cdb, r);
}

void
cdrom_failed(struct cdrom_reply *r)
{
	check(r, KEY_MEDIUM, CODE_READ_ERROR);
}

void
cdrom_sense(const struct cdrom_reply *r, uint8_t out[CDROM_SENSE])
{
	sense_data(out, r->key, r->code);
}

void
cdrom_init(struct cdrom *c, uint64_t blocks)
{
	memset(c, 0, sizeof(*c));
	c->blocks = blocks;
	c->attention = CODE_RESET;
}

void
cdrom_reset(struct cdrom *c)
{
	c->locked = false;
	c->attention = CODE_RESET;
}

int
cdrom_change(struct cdrom *c, uint64_t blocks, bool force)
{
	if (c->locked && c->blocks != 0 && !force) {
		c->event = CDROM_EV_EJECT_REQUEST;
		return -EBUSY;
	}
	/* Whoever changes it closes the tray. */
	c->open = c->locked = false;
	c->event = blocks != 0 ? CDROM_EV_NEW_MEDIA
	    : c->blocks != 0   ? CDROM_EV_REMOVAL
			       : c->event;
	c->blocks = blocks;
	if (blocks != 0)
		c->attention = CODE_MEDIUM_CHANGE;
	return 0;
}

void
cdrom_restore(struct cdrom *c, const struct cdrom *was)
{
	const uint64_t blocks = c->blocks;

	*c = *was;
	if (blocks != was->blocks)
		(void)cdrom_change(c, blocks, true);
}
