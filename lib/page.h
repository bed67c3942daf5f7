/* SPDX-License-Identifier: ISC */
#ifndef LIB_PAGE_H
#define LIB_PAGE_H

/*
 * A page of memory that two processes share, one of which writes.  Its size
 * is sealed: neither can make the other's access fail.  What is read from it
 * is whatever the other one wrote, at any time.
 */
#include <stdbool.h>
#include <stddef.h>

#define PAGE_BYTES 4096

/* A new one, all zeroes, mapped to be written or to be read.  0 or -errno. */
int page_create(int *fd, bool write, void **page);
/* One received: checked, mapped.  Takes fd.  0 or -errno. */
int page_attach(int fd, bool write, void **page);
/* NULL is fine. */
void page_detach(void *page);

#endif
