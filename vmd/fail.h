/* SPDX-License-Identifier: ISC */
#ifndef VMD_FAIL_H
#define VMD_FAIL_H

/* Why something that a user asked for did not work: one clear line. */
struct fail {
	int code; /* errno or CTL_E_* */
	int cause; /* errno of the system call behind it, where there is one */
	char text[1024];
};

/* Fills it; the result is -code for the caller to return. */
int fail_set(struct fail *, int code, const char *, ...)
    __attribute__((format(printf, 3, 4)));

#endif
