/* lease: one of several replicas acts, elected by a Lease (coordination.k8s.io/v1), as client-go's leader election does it.
 *
 * Layer    api.                                     Blocks   its own fiber does the work; calls with a deadline park the caller.
 * Owner    the caller owns the client and stops     Memory   the current task's heap: 6 KiB, and a fiber of the current task.
 *          the lease before it.
 * Time     monotonic: how old a holder is is counted from when its last change was seen, never by its clock.
 * Errors   of the API are logged, kept for lease_why(), and tried again each retry_ms.
 *
 * Held is told until renew_ms after the sending of the last renewal that was answered; others take it lease_ms after they saw
 * that renewal. So a holder that is cut off, stopped or slow ceases lease_ms - renew_ms before another can begin. Whoever acts
 * asks lease_held() right before, and gives its action lease_until() as deadline. */
#ifndef HOLDFAST_LEASE_H
#define HOLDFAST_LEASE_H

#include "net/api/kube/kube.h"

struct lease_options {
    struct kube *kube;
    const char *name_space, *name; /* copied, as is identity */
    const char *identity;          /* "HOST_UUID": differs for each start */
    ms lease_ms;                   /* 0: 15 s */
    ms renew_ms;                   /* 0: 10 s; less than lease_ms */
    ms retry_ms;                   /* 0: 2 s; less than renew_ms */
};
struct lease;
MUST_USE err lease_start(const struct lease_options *o, struct lease **out);
/* Gives it up where it is held (so that another may begin at once), ends the fiber, frees. NULL is fine. */
void lease_stop(struct lease *l, ms deadline);

bool lease_held(const struct lease *l);                           /* by the clock, now */
ms lease_until(const struct lease *l);                            /* it is held until then, if not renewed; 0: not held */
MUST_USE err lease_wait(struct lease *l, bool held, ms deadline); /* until it is held (or no longer) */
const char *lease_holder(const struct lease *l);                  /* as last seen; "" nobody */
const char *lease_why(const struct lease *l);                     /* why it is not held or renewed: the last error; "" */
int64_t lease_transitions(const struct lease *l);                 /* how often it went to another start, all replicas together */
uint64_t lease_terms(const struct lease *l);                      /* how many times it was won */

#endif
