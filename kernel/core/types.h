/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CORE_TYPES_H
#define CORE_TYPES_H

/*
 * Basic types of core/, which includes nothing of the host: the same files
 * are built into the module and into user-space tests.  The names and
 * underlying types are those of the kernel, so both may meet in linux/.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;

#ifndef __KERNEL__
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#else
#include <linux/build_bug.h>
#include <linux/errno.h>
#include <linux/stddef.h>
#include <linux/string.h>
#include <linux/types.h>
#endif

/* Address spaces are types: a guest virtual (linear) address, a guest
 * physical one, and a host physical one cannot be mixed unnoticed. */
struct gva {
	u64 v;
};
struct gpa {
	u64 v;
};
struct hpa {
	u64 v;
};

#define CORE_BIT(n) (1ULL << (n))

#endif
