/* SPDX-License-Identifier: ISC */
#ifndef VMD_CDROM_H
#define VMD_CDROM_H

/*
 * A CD-ROM drive as its commands see it: MMC-6 over SPC-4.  A state machine
 * without I/O: a command is decoded into a reply, which holds either the data
 * or the blocks to be read.
 *
 * Invariants
 *  1. A read that a reply asks for lies within the medium.
 *  2. Every command ends with GOOD or with CHECK CONDITION and sense data;
 *     one that is not known with ILLEGAL REQUEST.
 *  3. The size of a reply's data never depends on what the guest says but by
 *     being cut to its allocation length.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CDROM_BLOCK    2048
#define CDROM_CDB_MAX  32 /* bytes of a command; the rest is zeroes */
#define CDROM_DATA_MAX 128
#define CDROM_SENSE    18 /* bytes of sense data, fixed format */

enum { CDROM_GOOD = 0x00, CDROM_CHECK = 0x02 };

/* Media events of GET EVENT STATUS NOTIFICATION. */
enum cdrom_event {
	CDROM_EV_NONE,
	CDROM_EV_EJECT_REQUEST,
	CDROM_EV_NEW_MEDIA,
	CDROM_EV_REMOVAL,
};

/* Which logical unit a command is for. */
enum cdrom_lun {
	CDROM_LUN_DRIVE, /* 0 */
	CDROM_LUN_REPORT, /* the well-known one of REPORT LUNS */
	CDROM_LUN_NONE, /* any other */
};

struct cdrom {
	uint64_t blocks; /* of the medium; 0: there is none */
	bool open; /* the tray, by the guest's will */
	bool locked; /* the guest prevents removal */
	uint16_t attention; /* unit attention: code, qualifier; 0: none */
	enum cdrom_event event; /* not yet told */
};

struct cdrom_reply {
	uint8_t status; /* CDROM_GOOD or CDROM_CHECK */
	uint8_t key;
	uint16_t code; /* additional sense code and qualifier */
	size_t len;
	uint8_t data[CDROM_DATA_MAX];
	uint64_t block; /* of the medium, when count is not 0 */
	uint32_t count;
};

/* As after power on, with this medium. */
void cdrom_init(struct cdrom *, uint64_t blocks);
/* A reset of the unit or of all there is. */
void cdrom_reset(struct cdrom *);
/*
 * The medium is changed from outside, 0 blocks: taken out.  -EBUSY when the
 * guest prevents it, which then is told that it is asked for; force: it
 * happens all the same.
 */
int cdrom_change(struct cdrom *, uint64_t blocks, bool force);
/* As it was elsewhere.  Another size of the medium is a change of it. */
void cdrom_restore(struct cdrom *, const struct cdrom *was);
void cdrom_command(struct cdrom *, enum cdrom_lun,
    const uint8_t cdb[CDROM_CDB_MAX], struct cdrom_reply *);
/* The blocks of a reply could not be read. */
void cdrom_failed(struct cdrom_reply *);
void cdrom_sense(const struct cdrom_reply *, uint8_t out[CDROM_SENSE]);

#endif
