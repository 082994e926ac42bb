/* guardian_internal: what the files of this agent share.   Layer   agents/guardian, private.   The rest: as guardian.h says. */
#ifndef HOLDFAST_GUARDIAN_INTERNAL_H
#define HOLDFAST_GUARDIAN_INTERNAL_H

#include "agents/guardian/guardian.h"
#include "board/rt/lane.h"
#include "board/rt/metric.h"
#include "board/rt/sync.h"
#include "net/api/etcd/etcd_kv.h"

#define GUARDIAN_CONNECT_MS_MAX SECONDS(5)
#define GUARDIAN_CALL_MS_MAX    SECONDS(10)

#define GUARDIAN_FAMILIES(X)                                                                                                     \
    X(up, GAUGE, "holdfast_etcd_member_up", "1: the member answered the last look.")                                             \
    X(db_size, GAUGE, "holdfast_etcd_member_db_size_bytes", "Size of the member's database file.")                               \
    X(db_in_use, GAUGE, "holdfast_etcd_member_db_in_use_bytes", "Of that, what is in use.")                                      \
    X(quota, GAUGE, "holdfast_etcd_member_quota_bytes", "quota-backend-bytes, by Status or backup.etcd.quota; NaN: unknown.")    \
    X(revision, GAUGE, "holdfast_etcd_member_revision", "Newest revision the member has.")                                       \
    X(revision_lag, GAUGE, "holdfast_etcd_member_revision_lag", "Revisions behind the newest that was seen.")                    \
    X(is_leader, GAUGE, "holdfast_etcd_member_is_leader", "1: it leads.")                                                        \
    X(is_learner, GAUGE, "holdfast_etcd_member_is_learner", "1: it is a learner.")                                               \
    X(raft_index, GAUGE, "holdfast_etcd_member_raft_index", "Newest entry of its log.")                                          \
    X(raft_term, GAUGE, "holdfast_etcd_member_raft_term", "Its term.")                                                           \
    X(defrag_stall, GAUGE, "holdfast_etcd_defrag_last_stall_seconds",                                                            \
      "Longest a read had to wait during the last defragmentation by this hub; NaN: none yet.")                                  \
    X(defrag_at, GAUGE, "holdfast_etcd_defrag_last_timestamp_seconds", "When that ended, Unix time; NaN: none yet.")             \
    X(defrags, COUNTER, "holdfast_etcd_defrag_total", "Defragmentations by this hub that ended well.")                           \
    X(defrag_failures, COUNTER, "holdfast_etcd_defrag_failures_total", "Those that did not.")                                    \
    X(defrag_won, COUNTER, "holdfast_etcd_defrag_reclaimed_bytes_total", "What the member's file shrank by.")

struct guardian_series { /* of one member, by its label */
    char label[ETCD_URL_MAX];
    bool seen; /* by the last look */
#define X(field, type, name, help) struct series *field;
    GUARDIAN_FAMILIES(X)
#undef X
    struct series *alarms[2]; /* NOSPACE, CORRUPT */
    struct series *server_expires;
};

struct guardian_key {
    char mine[GUARDIAN_NAME_MAX]; /* what we write into it */
    char theirs[ETCD_VALUE_MAX];  /* who holds it, as it was last read; "" nobody */
    unsigned endpoint;            /* that answered last: it is asked first */
    int64_t lease;                /* 0: none */
    ms valid_until;               /* as etcd said when it was asked; we hold it until then */
    bool kept;                    /* a fiber renews it */
};

struct guardian {
    const struct config *config;
    struct guardian_options options;
    struct lane files;
    struct sem calls;  /* one connection at work at a time, but for a defragmentation's */
    struct sem acting; /* one campaign at a time */
    struct sem looks;  /* one look at a time: `next` is one */
    struct guardian_key key;
    struct guardian_view view; /* of the last look */
    struct guardian_view next; /* the one in the making */
    /* who answers where, since the start: a member that is down keeps its name */
    struct {
        uint64_t id;
        char name[ETCD_TEXT_MAX];
    } known[CONFIG_ENDPOINTS_MAX];
    char doubt[GUARDIAN_WHY_MAX]; /* why the last campaign ended, or did not begin; "" */
    bool holding;                 /* a step is decided on or at work */
    ms again_at;                  /* no campaign before */
    struct guardian_series series[GUARDIAN_MEMBERS_MAX];
    struct series *guarding, *client_expires;
};

/* survey.c */
MUST_USE err guardian_source(struct guardian *g, ms deadline, struct etcd **out, int64_t *expires_s);
MUST_USE err guardian_survey(struct guardian *g); /* into g->view; E_CANCELED only */

/* key.c */
bool key_is_held(const struct guardian *g);
/* Once: takes the key when it is free, renews it when it is ours. OK: it is held now; E_BUSY: another hub's. */
MUST_USE err key_take(struct guardian *g);
/* Asks etcd itself whether it is ours still; E_BUSY when not. */
MUST_USE err key_confirm(struct guardian *g);
void key_give(struct guardian *g); /* idempotent */

/* act.c */
struct guardian_done { /* what came of a step */
    ms took_ms, stall_ms;
    int64_t won_bytes;
};
MUST_USE err act_step(struct guardian *g, const struct guardian_view *v, const struct guardian_decision *d,
                      struct guardian_done *out);

/* metrics.c */
MUST_USE err guardian_metrics_open(struct guardian *g);
void guardian_metrics_close(struct guardian *g);
void guardian_metrics_tell(struct guardian *g);                                                  /* of g->view */
struct guardian_series *guardian_series_of(struct guardian *g, const struct guardian_member *m); /* NULL: none left */

#endif
