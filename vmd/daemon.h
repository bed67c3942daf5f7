/* SPDX-License-Identifier: ISC */
#ifndef VMD_DAEMON_H
#define VMD_DAEMON_H

/* What a well-behaved root daemon does about itself. */

/* Capabilities that neither we nor a child will need are gone for good;
 * as many descriptors as allowed; a narrow umask; no SIGPIPE. */
void daemon_restrict(void);
/* Into the background, standard error to syslog. */
void daemon_background(void);
/* Is descriptor 2 the journal's stream (systemd.exec(5), $JOURNAL_STREAM)? */
int daemon_in_journal(void);

#endif
