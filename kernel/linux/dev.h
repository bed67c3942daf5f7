/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef LINUX_DEV_H
#define LINUX_DEV_H

struct hv_ops;
extern const struct hv_ops *hv;

/* SVM or VMX on all CPUs, while there is a VM; 0 or -EBUSY. */
int dev_enable(void);
void dev_disable(void);

int dev_check_extension(unsigned long cap);

#endif
