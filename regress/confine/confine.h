/* SPDX-License-Identifier: ISC */
#ifndef REGRESS_CONFINE_H
#define REGRESS_CONFINE_H

/*
 * Forbidden acts, each tried from inside a confined process.  Compiled into
 * the unit test of the sandbox, and into a vmd built with VMD_CONFINE_TEST;
 * never into production.
 *
 * A role takes part with one row in each table of its channel to the parent:
 *
 *	#ifdef VMD_CONFINE_TEST
 *		CONFINE_ROW,
 *	#endif
 *
 * and the parent sends CONFINE_MSG with the act's name as the whole body.
 * The process must then die by SIGSYS; one that lives on logs what happened
 * and its channel ends.
 */
#include <stddef.h>
#include <stdint.h>

struct ibuf;

#define CONFINE_MSG 9000
#define CONFINE_ROW                                               \
	{                                                         \
		CONFINE_MSG, "CONFINE", CHAN_NOFD, confine_handle \
	}

/* The names, in order; NULL past the last. */
const char *confine_name(size_t);
/* Should be dead.  0: the act succeeded; -errno: it was refused otherwise;
 * -ENOTSUP: no such act. */
int confine_probe(const char *what);
int confine_handle(void *, uint32_t id, int fd, struct ibuf *body);

#endif
