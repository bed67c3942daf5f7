/* SPDX-License-Identifier: ISC */
#ifndef REGRESS_FAKE_H
#define REGRESS_FAKE_H

/*
 * Stand-ins for the roles vm, vioblk and probe, so that the parent can be
 * tested without a hypervisor.  A test program's main() starts with
 * fake_role(): the spawner executes the test program itself.
 *
 * What a fake vm does is said by its command line, words in this order:
 *   error: VM_ERROR          silent: never ready      die: exits before ready
 *   quit: ready, then off    reset: ready, then reset triple: the same
 *   broken: ready, then a message that nobody sends
 *   crash: ready, then SIGKILL to itself
 *   deaf: ready, ignores the power button             stubborn: and SIGTERM
 *   boots: answers the button, but ends only when it is pressed again
 *   ack: answers the button, but does not end
 *   anything else: ready, ends when asked to
 *
 * The role "snap" is the real one, but never comes to it of a VM "stuck".
 */
#include <stdbool.h>

/* In a spawned child: does not return. */
void fake_role(int argc, char **argv);

#endif
