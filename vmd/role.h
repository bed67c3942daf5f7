/* SPDX-License-Identifier: ISC */
#ifndef VMD_ROLE_H
#define VMD_ROLE_H

/*
 * The processes of vmd.  main.c looks the role up by the name the spawner
 * passed and calls it; each finds its parent's channel at SPAWN_FD, sets
 * itself up, seals itself and loops.  The return value is the exit status.
 */
int control_main(void);
int vm_main(void);
int vioblk_main(void);
int vionet_main(void);
int vioscsi_main(void);
int netcfg_main(void);
int passt_main(void);
int keeper_main(void);
int scope_main(void);
int probe_main(void);
int seed_main(void);
int snap_main(void);
int remote_main(void);
int login_main(void);

#endif
