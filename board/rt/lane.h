/* lane: what pool.c and writer.c share beyond pool.h. Not for agents.
 *
 * Layer    rt.   Owner, Memory, Errors   as in pool.h.   Blocks   pool_wait_progress() parks the fiber. */
#ifndef HOLDFAST_LANE_H
#define HOLDFAST_LANE_H

#include "board/rt/pool.h"

/* As lane_submit(), but an earlier job's error neither refuses it nor is its own told by the lane: who queues it asks elsewhere.
 */
MUST_USE err lane_put(struct lane *l, err (*run)(void *job), const void *job, size_t size, struct hold *hold, ms deadline);
/* Until any job has ended. */
MUST_USE err pool_wait_progress(ms deadline);
/* The deadline of something that waits for this lane's submitted jobs has passed: a running one is written off. */
void lane_is_late(struct lane *l);

#endif
