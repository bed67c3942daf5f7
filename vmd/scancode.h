/* SPDX-License-Identifier: ISC */
#ifndef VMD_SCANCODE_H
#define VMD_SCANCODE_H

#include <stdbool.h>
#include <stdint.h>

#define SCANCODE_MAX 3 /* bytes of a key's event */

/* What a keyboard sends for an event (SCREEN_KEY_*) in set 2, or in set 1 as
 * the controller translates it; 0: there is no such key. */
unsigned scancode_bytes(uint32_t key, bool set2, uint8_t out[SCANCODE_MAX]);

#endif
