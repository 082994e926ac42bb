/* agents_internal: what the files of the ObsykAgents share. For agents/ingest/agents*.c only.
 *
 * Layer    agents/ingest.   Blocks   as said at each.   Owner   struct agents, the session's.   Errors   those of kube.h.
 * Memory   a slot two resources of 14 KiB each, one arena. */
#ifndef HOLDFAST_INGEST_AGENTS_INTERNAL_H
#define HOLDFAST_INGEST_AGENTS_INTERNAL_H

#include "agents/ingest/ingest_internal.h"

#define AGENTS_ARENA KIB(40)

struct agent { /* one ObsykAgent that is followed */
    bool used, changed, listed, deleted, followed;
    struct obsyk_agent incoming; /* as the cluster told it last: the reading fiber's */
    struct obsyk_agent is;       /* the one that is acted upon */
    char wrong[CUSTOM_ERRORS_BYTES];
    struct outlet *outlet;
    char secret_name[CUSTOM_NAME_MAX]; /* in force; `is` may be a spec that is not */
    bool has_problem;                  /* told in its status, instead of health */
    enum obsyk_condition problem;
    char why[CUSTOM_MESSAGE_MAX / 2];
    bool credentials_failed;
    ms credentials_at, status_at, again_at; /* when to look next */
};

struct agent_name {
    char name_space[CUSTOM_NAME_MAX], name[CUSTOM_NAME_MAX];
};

struct agents {
    struct ingest *in;
    void *arena;
    bool refused; /* some are more than there are slots, and are to be told so */
    bool again;   /* list them, not before again_at */
    ms again_at;
    unsigned slot_count;
    struct agent slots[];
};

extern const struct kube_resource agents_resource;

/* Who is followed, or will be; NULL: nobody of that name. */
struct agent *agents_find(struct agents *a, const struct custom_meta *meta);

/* --- agents_tell.c --- */
MUST_USE err agents_read_credentials(struct agents *a, struct agent *s); /* the Secret; what is wrong is a condition */
MUST_USE err agents_tell_status(struct agents *a, struct agent *s);      /* when it is due, and more than a time has changed */
/* Patches it. is: as the API server has it; becomes what it answers. */
MUST_USE err agents_write_status(struct agents *a, struct obsyk_agent *is, const struct obsyk_agent *next);

/* --- agents_leftovers.c --- */
/* After the first good list: removes spools whose ObsykAgent is no more. E_CANCELED only. */
MUST_USE err agents_remove_leftovers(struct agents *a);

/* --- agents_refused.c --- */
MUST_USE err agents_tell_refused(struct agents *a); /* those beyond what this board can follow, all of them; E_CANCELED only */

#endif
