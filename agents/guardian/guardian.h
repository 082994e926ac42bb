/* guardian: keeps etcd well: watches each member, and makes databases small again where it is allowed to.
 *
 * Layer    agents.                                    Blocks   parks the fiber.
 * Owner    the caller; what the options name          Memory   TASK_GUARDIAN: two connections at most, of which one rests (the
 *          outlives guardian_close().                          lease's, while a member is being defragmented).
 * Time     monotonic; the lease is trusted as long as etcd said when it was asked for, and no longer.
 * Errors   those of etcd.h; E_BUSY another hub guards; E_DENIED a doubt: nothing more was done, the trail says why.
 *
 * Looking is every hub's: its metrics tell what it sees. Acting is for one at a time: the one whose name is under GUARDIAN_KEY,
 * by a lease of GUARDIAN_LEASE_S that it keeps alive. What it does is decided by plan.h, step by step, each on a new look. */
#ifndef HOLDFAST_GUARDIAN_H
#define HOLDFAST_GUARDIAN_H

#include "agents/guardian/plan.h"
#include "config/config.h"
#include "net/format/json_write.h"

#define GUARDIAN_KEY      "/holdfast/guardian"
#define GUARDIAN_LEASE_S  60
#define GUARDIAN_LOOK_MS  SECONDS(30) /* from one look to the next, and up to a tenth more or less */
#define GUARDIAN_NAME_MAX 96

struct guardian_options {
    const struct config *config;
    struct dns *dns;
    const char *name; /* of this host, for the key */
    /* Of the agent that takes snapshots; each may be NULL: no backup is ever fresh, nothing is in the way. */
    bool (*fresh)(void *arg);        /* there is a verified backup, not older than backup.max_age */
    bool (*snapshotting)(void *arg); /* one is being taken */
    void *arg;
};

struct guardian;
MUST_USE err guardian_open(const struct guardian_options *o, struct guardian **out);
void guardian_close(struct guardian *g); /* after its fibers have ended; NULL is fine */

/* Two fibers of TASK_GUARDIAN that end with E_CANCELED only. The second holds the key, and gives it back when canceled. */
err guardian_run(void *guardian);
err guardian_keep_key(void *guardian);

/* From the decision on a step to its end: a snapshot that is due is to wait. */
bool guardian_is_holding(const struct guardian *g);

/* For /readyz?verbose: false and why when a member is not well, or what should be done must not be. */
bool guardian_is_well(void *guardian, struct text *why);

/* --- for commands --- */
/* One look at all members, in the calling fiber. OK also when none answers: the view says so. */
MUST_USE err guardian_look(struct guardian *g, struct guardian_view *out);
/* Told of each decision before it is carried out (or would be), and of what came of it. */
struct guardian_watcher {
    void (*decided)(void *arg, const struct guardian_decision *d, const struct guardian_view *v);
    void (*done)(void *arg, const struct guardian_decision *d, const struct guardian_view *v, ms took_ms, ms stall_ms,
                 int64_t won_bytes, err result);
    void *arg;
};
struct guardian_order {
    struct guardian_rules rules;
    bool dry_run;
    bool by_hand; /* somebody is there: goes on without the key when nobody holds it and etcd, out of space, takes none */
};
struct guardian_rules guardian_rules_of(const struct config *c);
/* Step by step until nothing is to be done. Takes the key when guardian_keep_key() does not hold it for this guardian, and gives
 * it back. OK: all that was to be done is, or nothing was. *steps: how many were carried out. */
MUST_USE err guardian_act(struct guardian *g, const struct guardian_order *o, const struct guardian_watcher *w, unsigned *steps);
/* {member, id, endpoint, …}: a row of `etcd status`. */
void guardian_member_json(struct json_writer *w, const struct guardian_view *v, unsigned member);

#endif
