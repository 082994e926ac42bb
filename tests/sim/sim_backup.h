/* sim_backup: what the simulations of the backup agent and its store begin with.
 *
 * Layer    tests.   Owner   the caller.   Blocks   never.   Memory   none.   Errors   none: a check fails the run. */
#ifndef HOLDFAST_SIM_BACKUP_H
#define HOLDFAST_SIM_BACKUP_H

#include "config/config.h"

/* For sim_boot(): the registry's own memory is taken before the allocations of a case are counted. */
void sim_metrics_boot(void);
/* One etcd at http://10.0.0.1:2379, one destination "local"; every 6 h, stale after 26 h, 30 s of silence and 2 h in all. No
 * retention. */
void sim_backup_config(struct config *out, const char *folder);
/* A small database, and its digest behind it, as they come from etcd; returns their bytes. */
size_t sim_snapshot_make(uint8_t *out, size_t cap);

#endif
