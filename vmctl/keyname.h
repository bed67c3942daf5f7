/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_KEYNAME_H
#define VMCTL_KEYNAME_H

/*
 * Keys by name, as events of lib/screen.h: what is held goes down first and
 * up last.  0, or -EINVAL when there is no such key.
 */
#include <stdint.h>
#include "screen.h"

/* "a", "f1", "ctrl-alt-delete" */
int keyname_parse(const char *, uint32_t key[SCREEN_KEYS_MAX], uint32_t *n);
/* What types a character on a keyboard with the US layout. */
int keyname_char(char, uint32_t key[SCREEN_KEYS_MAX], uint32_t *n);

#endif
