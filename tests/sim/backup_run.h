/* backup_run: a run of the backup agent beside an etcd that is a script, and what is in a destination's folder afterwards.
 *
 * Layer    tests.   Owner   the caller.   Blocks   backup_run() parks the fiber.   Memory   static: a record that is looked into.
 * Errors   backup_run()'s; else a check fails the run. */
#ifndef HOLDFAST_SIM_BACKUP_RUN_H
#define HOLDFAST_SIM_BACKUP_RUN_H

#include "agents/backup/backup_internal.h"
#include "tests/support/etcd_peer.h"

struct backup_run {
    struct etcd_peer *peer; /* made; it listens meanwhile, at 10.0.0.1:2379 */
    const struct config *config;
    struct backup_events events;
    err (*body)(struct backup *b, void *arg); /* in a fiber of TASK_BACKUP */
    void *arg;
    bool nobody;  /* no etcd listens */
    ms pull_at;   /* the cable goes then; 0: never */
    ms cancel_at; /* the agent is stopped then, and has stopped soon; 0: never */
    err result;   /* its own */
};
/* Opens the agent, runs the body, closes all; the body's error, or one on the way. */
MUST_USE err backup_run(struct backup_run *r);

struct backup_seen {
    unsigned good, bad, records, leftovers;
};
/* What is in the folder: nothing but backups, their records and what is left of some. Each is given to see(), NULL: to nobody. */
struct backup_seen backup_look(const char *folder,
                               void (*see)(const char *path, enum backup_name_kind kind, const struct backup_entry *entry));
void backup_see_record(const char *path); /* it parses, and is that of its name */

#endif
