/* plan: what is to be done next with a cluster, and why; or why not. A pure function of what was seen: plan.c does nothing.
 *
 * Layer    agents/guardian, private.   Blocks   never.   Memory   the caller's.   Errors   none: a doubt is a decision.
 *
 * Nothing is done on a doubt: a member that is not seen, or is ill, a learner, no leader, or two, a CORRUPT alarm, no fresh
 * verified backup, a snapshot on its way. Order: NOSPACE first (compact, defragment all, disarm, where it is allowed), then what
 * the rules find worth it. Followers one by one, in the list's order; then leadership moves to one that has been done, and the
 * old leader is the last. */
#ifndef HOLDFAST_GUARDIAN_PLAN_H
#define HOLDFAST_GUARDIAN_PLAN_H

#include "board/rt/text.h"
#include "net/api/etcd/etcd.h"

#define GUARDIAN_MEMBERS_MAX ETCD_MEMBERS_MAX
#define GUARDIAN_WHY_MAX     192
#define GUARDIAN_MOVES_MAX   2 /* of leadership in one campaign; an election may take it back once */

struct guardian_member {
    uint64_t id;                 /* 0: an endpoint that has never told */
    char name[ETCD_TEXT_MAX];    /* of MemberList; "" before that was had */
    const char *endpoint;        /* the configured one by which it was asked; "": there is none */
    unsigned index;              /* of that endpoint */
    bool listed;                 /* in MemberList */
    bool up;                     /* it answered */
    bool is_learner, leads, ill; /* ill: it reports something wrong that is no alarm */
    bool nospace, corrupt;       /* alarms */
    char version[ETCD_TEXT_MAX];
    uint64_t cluster_id, leader_id, raft_term, raft_index, applied;
    int64_t db_bytes, in_use_bytes, quota_bytes; /* quota 0: unknown */
    int64_t revision;
    int64_t certificate_expires_s; /* of its server certificate; 0: unknown, or plaintext */
    char words[96];                /* what it says is wrong, or why it did not answer; "" */
    bool done;                     /* defragmented in this campaign */
};

struct guardian_view {
    struct guardian_member members[GUARDIAN_MEMBERS_MAX];
    unsigned count;
    bool listed; /* MemberList and Alarm answered: what follows from them is known */
    int64_t client_expires_s;
    ms at; /* when it was seen; 0: never */
};

struct guardian_rules {
    bool defrag;         /* by rule */
    bool all;            /* each member, whatever there is to win */
    bool nospace;        /* the chain is allowed */
    bool without_backup; /* said in so many letters */
    int64_t fragmentation /* percent */, floor_bytes, quota_percent;
};

/* Of this campaign, and of the moment. */
struct guardian_facts {
    bool fresh_backup, snapshotting;
    bool compacted;  /* the NOSPACE chain has */
    bool is_nospace; /* the campaign began as that chain: it goes on to its end */
    unsigned moves;
};

enum guardian_step {
    GUARDIAN_REST,  /* nothing is to be done */
    GUARDIAN_DOUBT, /* something would be, but it must not be now */
    GUARDIAN_COMPACT,
    GUARDIAN_DEFRAG,
    GUARDIAN_MOVE_LEADER,
    GUARDIAN_DISARM,
};
const char *guardian_step_name(enum guardian_step s); /* "defrag"; static */

struct guardian_decision {
    enum guardian_step step;
    unsigned member;  /* of the view: whom; of MOVE_LEADER: from whom */
    unsigned to;      /* MOVE_LEADER */
    int64_t revision; /* COMPACT */
    bool is_nospace;
    char why[GUARDIAN_WHY_MAX];
};

void guardian_plan(const struct guardian_view *v, const struct guardian_rules *r, const struct guardian_facts *f,
                   struct guardian_decision *out);
/* The view as it should look after the step: what a dry run goes on with. */
void guardian_suppose(struct guardian_view *v, struct guardian_facts *f, const struct guardian_decision *d);

/* --- what follows from a view --- */
uint64_t guardian_newest_applied(const struct guardian_view *v);
int64_t guardian_newest_revision(const struct guardian_view *v);
unsigned guardian_fragmentation(const struct guardian_member *m); /* percent */
const char *guardian_label(const struct guardian_member *m);      /* its name, else its endpoint, else "unknown" */
/* Everything that a good cluster has; false: *why says the first thing that is wrong. */
bool guardian_view_is_well(const struct guardian_view *v, struct text *why);

#endif
