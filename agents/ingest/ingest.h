/* ingest: streams what is in the cluster to platforms: a snapshot, then every change, and heartbeats; never a Secret's value.
 *
 * Layer    agents.                                      Blocks   parks the fiber.
 * Owner    the caller; what the options name            Memory   TASK_INGEST's slice; ingest_limits() says how it is divided.
 *          outlives ingest_close().                              Nothing grows with the cluster.
 * Errors   ingest_run() ends with E_CANCELED only; what is wrong is told in /readyz?verbose, metrics, conditions and the log.
 *
 * Order. LIST of all kinds → a snapshot for each platform that wants one → watches from the lists' versions. A snapshot is wanted
 * at each start, after a loss (overflow of the spool, an event the platform refuses, damage), and when the cluster's name or the
 * platform changes. What the platform has not taken waits in its spool (hal/spool.h), across restarts; a snapshot is a mark in
 * it. */
#ifndef HOLDFAST_INGEST_H
#define HOLDFAST_INGEST_H

#include "config/config.h"
#include "net/format/json_write.h"
#include "net/proto/dns.h"

struct ingest_options {
    const struct config *config;
    struct dns *dns;
    const char *version; /* for agent_version; static */
    const char *host;    /* of this replica, for the Lease; copied */
};
struct ingest;
MUST_USE err ingest_open(const struct ingest_options *o, struct ingest **out);
void ingest_close(struct ingest *in); /* after its fiber has ended; NULL is fine */

/* A fiber of TASK_INGEST. When canceled it sends for at most INGEST_STOP_MS what waits, and ends. */
#define INGEST_STOP_MS SECONDS(5)
err ingest_run(void *ingest);

bool ingest_is_well(void *ingest, struct text *why); /* for /readyz?verbose */
/* What `ingest status -o json` prints. */
void ingest_status_json(const struct ingest *in, struct json_writer *w);

#endif
