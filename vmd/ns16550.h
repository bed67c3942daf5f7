/* SPDX-License-Identifier: ISC */
#ifndef VMD_NS16550_H
#define VMD_NS16550_H

/* 16550A UART with FIFOs, eight ports. */
#include <stddef.h>
#include "devenv.h"

#define NS16550_FIFO 16

struct ns16550 {
	uint8_t ier, fcr, lcr, mcr, lsr, msr, scr, dll, dlm;
	struct ns16550_fifo {
		uint8_t b[NS16550_FIFO], err[NS16550_FIFO], head, n;
	} rx, tx;
	bool thre_pending; /* THRE interrupt not yet acknowledged */
	bool level; /* of the interrupt line */
	bool rx_cti; /* the character timeout has passed ... */
	uint64_t rx_timeout; /* ... or will at this now(), or DEV_NEVER */
	/* Takes bytes for the outside, returns how many; less than n means
	 * call ns16550_tx_ready() when there is room again. */
	size_t (*out)(void *arg, const uint8_t *, size_t n);
	void *out_arg;
	struct line irq;
	struct devenv env;
};

void ns16550_init(struct ns16550 *, struct line irq, struct devenv,
    size_t (*out)(void *, const uint8_t *, size_t), void *out_arg);
uint8_t ns16550_read(struct ns16550 *, unsigned reg);
void ns16550_write(struct ns16550 *, unsigned reg, uint8_t val);
/* Room for input; feeding more than this returns the number taken.
 * env.rearm() is also called when room appears where there was none. */
size_t ns16550_room(const struct ns16550 *);
size_t ns16550_input(struct ns16550 *, const uint8_t *, size_t);
void ns16550_break(struct ns16550 *);
void ns16550_tx_ready(struct ns16550 *);
void ns16550_run(struct ns16550 *);
uint64_t ns16550_deadline(const struct ns16550 *);

#endif
