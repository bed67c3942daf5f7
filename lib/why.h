/* SPDX-License-Identifier: ISC */
#ifndef LIB_WHY_H
#define LIB_WHY_H

/* One clear line on why something was refused. */
struct why {
	char text[256];
};

/* Fills it when it is not NULL and gives error back. */
int why_set(struct why *, int error, const char *, ...)
    __attribute__((format(printf, 3, 4)));

#endif
