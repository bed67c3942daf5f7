/* SPDX-License-Identifier: ISC */
#ifndef LIB_SDNOTIFY_H
#define LIB_SDNOTIFY_H

/* sd_notify(3) protocol, when $NOTIFY_SOCKET asks for it: "READY=1". */
void sdnotify(const char *state);

#endif
