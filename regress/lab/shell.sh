#!/bin/bash
# SPDX-License-Identifier: ISC
#
# `make lab-shell': what the user of the lab's terminal gets.
cat <<E
This is the lab: a Debian host with AMD-V in software.  vmd and vmctl are
installed, guest images are in /guest (root's password is "vmm"), test scripts
in suite/.  \`exit' ends it; everything written is thrown away.
E
exec bash -l
