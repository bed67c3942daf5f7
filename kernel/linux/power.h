/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef LINUX_POWER_H
#define LINUX_POWER_H

int power_init(void);
void power_exit(void);
int power_on(unsigned cpu);
int power_off(unsigned cpu);

#endif
