/* mirror_model: what a platform knows of the cluster of cluster_model from the snapshots and events that it took. That it never
 * hears an older state of an object after a newer one, and nothing of an object after its delete, is seen to at each.
 *
 * Layer    tests.   Owner   mirror lies in memory that all lives share: main() takes it.   Blocks   never.   Memory   none.
 * Errors   a failed SIM_CHECK() or sim_fail(). */
#ifndef HOLDFAST_SIM_MIRROR_MODEL_H
#define HOLDFAST_SIM_MIRROR_MODEL_H

#include "tests/sim/cluster_model.h"
#include "tests/support/platform_peer.h"

struct told {
    bool there, dead; /* dead: its delete was told */
    uint32_t value;
};
struct mirror {
    struct told told[KINDS][NAMES][LIVES];
    unsigned snapshots, events; /* that were taken */
    unsigned unknown;           /* of these, changes of what was not there */
};
extern struct mirror *mirror;

void mirror_takes(enum platform_op op, const char *body); /* struct platform_peer's `taken` */
/* Between it and the cluster: what differs first, in words that the next call overwrites; NULL: nothing. */
const char *mirror_difference(void);

#endif
