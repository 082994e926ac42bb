/* ingest_internal: what the files of the agent share. For agents/ingest/ only.
 *
 * Layer    agents/ingest.   Blocks   as said at each.   Owner   struct ingest owns all of it.
 * Memory   TASK_INGEST; the rows of ingest_limits say how much of what.   Errors   those of the parts.
 *
 * Fibers: one reads the cluster (cluster.c, round.c, change.c), one a platform sends (send.c), one looks after the ObsykAgents
 * (agents.c). `desk` is held by who goes over the outlets or changes them. */
#ifndef HOLDFAST_INGEST_INTERNAL_H
#define HOLDFAST_INGEST_INTERNAL_H

#include "agents/ingest/agent_resource.h"
#include "agents/ingest/deliver.h"
#include "agents/ingest/index.h"
#include "agents/ingest/ingest.h"
#include "agents/ingest/rate.h"
#include "agents/ingest/snapshot_file.h"
#include "board/rt/metric.h"
#include "board/rt/sync.h"
#include "hal/lock_file.h"
#include "hal/spool.h"
#include "net/api/kube/kube_watch.h"
#include "net/api/kube/lease.h"

#define INGEST_AGENTS_MAX  4 /* of the largest board */
#define INGEST_ASIDE_MAX   32
#define INGEST_NAME_MAX    (2 * KUBE_NAME_MAX)
#define INGEST_AGENT_TAG   100 /* of the watch of ObsykAgents; kinds have their own numbers */
#define INGEST_LIST_MS_MAX MINUTES(30)
#define INGEST_ASK_MS_MAX  SECONDS(30)
#define INGEST_LOCK_NAME   "ingest.lock" /* in the spool's folder: whose it is */

struct ingest_limits {   /* how TASK_INGEST's slice is divided on a board */
    size_t heap_least;   /* the row is for slices of at least this */
    unsigned agents;     /* ObsykAgents at once */
    unsigned objects;    /* of the index */
    size_t arena_bytes;  /* of one object's wanted fields */
    size_t body_bytes;   /* of one event; an object that is larger is told as oversized */
    unsigned records;    /* of a spool */
    size_t flight_bytes; /* bodies on their way to one platform; > body_bytes + ENVELOPE_RENAMED_MORE */
    unsigned in_flight;
    size_t watch_bytes; /* how much of one kind's changes the API server sends before it hears of us; held while we are behind */
};
const struct ingest_limits *ingest_limits(void); /* of this board */

/* --- an outlet: one platform, by one ObsykAgent or the configuration --- */

enum outlet_state {
    OUTLET_EMPTY,    /* no snapshot of it was ever made, or all was lost: changes are not kept */
    OUTLET_LISTING,  /* the round writes one now: what is listed goes into the file; see live_before */
    OUTLET_GIVEN_UP, /* it could not be written; LIVE when the round ends */
    OUTLET_LIVE      /* changes go into the spool */
};

struct outlet_settings {
    char platform_url[OBSYK_URL_MAX], cluster_name[OBSYK_CLUSTER_NAME_MAX];
    ms sync_interval_ms;
    int64_t events_per_second, burst_size;
};

struct aside { /* an event the platform refused */
    int64_t at_s;
    unsigned status;
    enum ingest_change change;
    char kind[CONFIG_KIND_BYTES], uid[64], name_space[64], name[96]; /* cut */
};

struct flight { /* an event on its way */
    uint64_t place;
    size_t at, bytes; /* of its body */
    bool used;
};

/*    field        type     name                                help */
#define OUTLET_FAMILIES(X)                                                                                                       \
    X(delivered, COUNTER, "holdfast_ingest_events_delivered_total", "Events the platform has taken.")                            \
    X(later, COUNTER, "holdfast_ingest_events_delayed_total", "Times an event could not be sent now and stayed in the spool.")   \
    X(rejected, COUNTER, "holdfast_ingest_events_set_aside_total",                                                               \
      "Events the platform refused for good; each makes a fresh snapshot wanted.")                                               \
    X(snapshots, COUNTER, "holdfast_ingest_snapshots_total", "Snapshots the platform has taken.")                                \
    X(snapshot_failures, COUNTER, "holdfast_ingest_snapshot_failures_total",                                                     \
      "Snapshots it did not take, or that could not be made.")                                                                   \
    X(snapshot_bytes, GAUGE, "holdfast_ingest_snapshot_bytes", "Length of the last snapshot.")                                   \
    X(too_large, GAUGE, "holdfast_ingest_snapshot_too_large",                                                                    \
      "1: the snapshot is larger than ingest.snapshot_bytes_max, and is not sent.")                                              \
    X(heartbeats, COUNTER, "holdfast_ingest_heartbeats_total", "Heartbeats the platform has taken.")                             \
    X(heartbeat_failures, COUNTER, "holdfast_ingest_heartbeat_failures_total", "Heartbeats it did not take.")                    \
    X(healthy, GAUGE, "holdfast_ingest_platform_up", "1: the last call to the platform was good.")                               \
    X(depth, GAUGE, "holdfast_ingest_spool_events", "Events that wait or are on their way.")                                     \
    X(bytes, GAUGE, "holdfast_ingest_spool_bytes", "Bytes of the spool's files.")                                                \
    X(oldest, GAUGE, "holdfast_ingest_spool_oldest_seconds", "Age of the event that waits longest.")                             \
    X(coalesced, COUNTER, "holdfast_ingest_events_coalesced_total", "Events that a newer one of the same object stands in for.") \
    X(repeated, COUNTER, "holdfast_ingest_events_repeated_total", "Events sent again that may have been delivered before.")      \
    X(overflows, COUNTER, "holdfast_ingest_spool_overflows_total",                                                               \
      "Times the spool was full: a fresh snapshot took the place of what waited.")                                               \
    X(written, COUNTER, "holdfast_ingest_spool_written_bytes_total", "Bytes written to the disk by the spool.")                  \
    X(token, GAUGE, "holdfast_ingest_token_expiry_timestamp_seconds", "When the access token ends, Unix time; 0: there is none.")

struct outlet_series {
#define X(field, type, name, help) struct series *field;
    OUTLET_FAMILIES(X)
#undef X
};

struct outlet {
    struct ingest *in;
    char name[INGEST_NAME_MAX]; /* "config", or namespace/name */
    struct outlet_settings set;
    enum outlet_state state;
    bool
        live_before; /* LISTING, GIVEN_UP: what differs from the index goes into the spool, too, as it came before the snapshot */
    struct oauth2 *oauth2;
    struct deliver *deliver;
    struct spool *spool;
    struct snapshot_file *file;
    struct lane lane; /* of the spool and the snapshot's file */
    struct group sender;
    struct rate rate;
    char folder[OS_PATH_MAX];
    bool has_credentials;
    struct bell changed; /* there are credentials: its sender looks again */
    ms stop_at;          /* 0: not stopping */
    bool gone;           /* its ObsykAgent was deleted: nothing of it stays, on the disk or in the metrics */
    /* the snapshot */
    bool snapshot_waits;     /* a finished one has its mark in the spool, */
    uint64_t snapshot_place; /* there */
    bool snapshot_leaves;    /* its file is read: no other may be begun */
    bool too_large;
    bool lost;    /* the spool overflowed: a snapshot is wanted once the platform answers again */
    ms wanted_at; /* a snapshot is to be made, not before; 0: none. Who refuses again and again gets none each time */
    ms wanted_last;
    unsigned wanted_times;
    unsigned refusals; /* of snapshots, in a row */
    /* sending */
    struct flight flights[DELIVER_IN_FLIGHT_MAX];
    uint8_t *bodies; /* flight_bytes, filled from the start until nothing is on its way */
    size_t bodies_used;
    ms paused_until, heartbeat_at;
    unsigned failures; /* in a row */
    /* told */
    int64_t last_sync_s, last_snapshot_s;
    bool snapshot_failed, heartbeat_failed;
    char why[200]; /* of the last failure; fixed words and a status, nothing a platform said */
    struct aside aside[INGEST_ASIDE_MAX];
    unsigned aside_count; /* ever */
    struct outlet_series series;
    struct spool_stats seen; /* counters told so far */
};

/* --- outlet.c --- */
/* The desk is held. On an error there is none. */
MUST_USE err outlet_open(struct ingest *in, const char *name, const struct outlet_settings *set, ms deadline,
                         struct outlet **out);
void outlet_stop(struct outlet *o, ms deadline);  /* its sender ends by then, and sends until it does; returns at once */
void outlet_close(struct outlet *o, ms deadline); /* waits for it; what was not sent is in the spool. NULL is fine, for both */
/* Other settings, of the same platform; another cluster name makes a snapshot wanted. */
void outlet_change(struct outlet *o, const struct outlet_settings *set);
bool outlet_is_told(const struct outlet *o); /* of changes, by events; NULL: no */
/* Each that is told has a queue: a change waits there for longer than it takes to read many of them at once. */
bool outlets_are_behind(const struct ingest *in);
/* One change of one object, for who is told. body: the event. What cannot be kept loses all: see outlet_lose(). */
MUST_USE err outlet_append(struct outlet *o, enum ingest_change change, const uint8_t key[INDEX_KEY_BYTES], struct bytes body);
/* In a round: the file is begun (state LISTING); is whole, and has its mark (state LIVE); could not be made. Park. */
MUST_USE err outlet_begin_snapshot(struct outlet *o);
MUST_USE err outlet_finish_snapshot(struct outlet *o);
/* o->why says what was wrong: the next one is made after a while, longer each time, which is added to it. */
void outlet_snapshot_refused(struct outlet *o);
void outlet_give_up_snapshot(struct outlet *o, err why);
/* A snapshot is to take the place of all that was told: now, or, when one was wanted lately, after a while. */
void outlet_want_snapshot(struct outlet *o);
/* The spool is emptied. A snapshot is wanted as soon as the platform answers. Parks. */
void outlet_lose(struct outlet *o, const char *why);
void outlet_envelope(const struct outlet *o, struct envelope *out);
/* The result of a call: *flag and o->why; E_CANCELED is none. True: it was good. */
bool outlet_told(struct outlet *o, bool *flag, const char *what, const struct deliver_result *r);

/* --- send.c: the fiber of an outlet --- */
err outlet_run(void *outlet);

/* --- aside.c --- */
void outlet_set_aside(struct outlet *o, struct bytes body, unsigned status);

/* --- the whole --- */

enum kind_state { KIND_OFF, KIND_STARTING, KIND_WATCHED, KIND_FORBIDDEN, KIND_ABSENT, KIND_FAILING };
static inline bool kind_is_left_out(enum kind_state s) /* the others are streamed without it, and it is tried again */
{
    return s == KIND_FORBIDDEN || s == KIND_ABSENT || s == KIND_FAILING;
}

struct kind {
    enum kind_state state;
    char version[KUBE_OPAQUE_MAX]; /* of the last list */
    ms changed_at;                 /* the last event; 0 none */
    ms retry_at;                   /* of one that could not be listed */
    unsigned refusals, failures;   /* in a row; failures: answers of 500 */
    unsigned oversized;            /* objects that were too large to be told, since the last list */
    bool stale;                    /* must be listed again */
    bool left_out;                 /* of a snapshot, while the index knew objects of it */
    struct series *objects, *up;
};

/*    field        name                                help */
#define INGEST_FAMILIES(X)                                                                                                       \
    X(changes, COUNTER, "holdfast_ingest_changes_total", "Objects that came, changed or went, as the API server told.")          \
    X(suppressed, COUNTER, "holdfast_ingest_changes_suppressed_total", "Changes of which nothing would have been sent.")         \
    X(oversized, COUNTER, "holdfast_ingest_objects_oversized_total",                                                             \
      "Objects too large for this board's buffers; they are not sent.")                                                          \
    X(relists, COUNTER, "holdfast_ingest_lists_total", "Lists of one kind that were read.")                                      \
    X(rounds, COUNTER, "holdfast_ingest_rounds_total", "Lists of all kinds for fresh snapshots.")                                \
    X(missed, COUNTER, "holdfast_ingest_deletes_found_total", "Deletes that only a list told of.")

struct ingest {
    const struct config *config;
    struct dns *dns;
    const char *version;
    char host[128];
    const struct ingest_limits *limits;
    struct lane lane; /* certificates, settings, the index */
    struct kube *kube;
    struct lease *lease;    /* source: crd */
    uint64_t term;          /* of it, in which this session leads: what was won anew is the next session's */
    struct tls_config *tls; /* of the platforms */
    struct kube_watches *watches;
    struct index *index;
    void *arena, *list_arena; /* of the watches; of what is listed meanwhile */
    char *info, *body;        /* body_bytes each */
    char cluster_uid[CONFIG_UID_MAX];
    char kubernetes_version[64], platform[32], region[64]; /* environment: auto */
    char folder[OS_PATH_MAX];
    os_fd lock; /* of the folder, while a session runs; -1: none */
    struct kind kinds[INGEST_KIND_COUNT];
    struct sem desk;
    struct outlet *outlets[INGEST_AGENTS_MAX];
    struct bell agents_bell; /* for agents.c: something to tell, or changed */
    struct agents *agents;   /* agents.c's; source: crd */
    bool leftovers_seen;     /* of earlier hubs, in the spool's folder */
    bool live;               /* watches run */
    ms told_at;              /* metrics */
    char why[320];           /* why nothing is streamed; "" it is */
#define X(field, type, name, help) struct series *field;
    INGEST_FAMILIES(X)
#undef X
};

/* --- cluster.c: what is needed before the first list --- */
MUST_USE err cluster_connect(struct ingest *in);  /* client, platform's TLS settings */
MUST_USE err cluster_identify(struct ingest *in); /* its UID; with environment: auto also version, cloud and region */
void cluster_disconnect(struct ingest *in);

/* --- round.c --- */
/* LIST of all, the snapshots that are wanted, then watches until a snapshot is wanted again (OK), or the lease is lost (E_BUSY).
 * Errors of the cluster are waited out inside. */
MUST_USE err round_run(struct ingest *in);
/* One kind listed anew: what differs from the index becomes events, or, for who is LISTING, all of it is in the file. */
MUST_USE err round_list(struct ingest *in, enum ingest_kind kind);

/* --- change.c: one object → its Info → index → outlets. The desk is held. --- */
MUST_USE err change_seen(struct ingest *in, enum ingest_kind kind, const struct kube_item *item);    /* in a list */
MUST_USE err change_event(struct ingest *in, enum ingest_kind kind, const struct kube_event *event); /* of a watch */
MUST_USE err change_gone(struct ingest *in, enum ingest_kind kind); /* after a list: those that were not in it */

/* --- ingest.c: without a Lease always; once lost, never again in this session: another may have spoken meanwhile --- */
bool ingest_leads(const struct ingest *in);

/* --- agents.c: ObsykAgents --- */
MUST_USE err agents_open(struct ingest *in, struct agents **out);
MUST_USE err agents_list(struct agents *a); /* all of them, and the watch begins; before each round */
MUST_USE err agents_take(struct agents *a, const struct kube_event *event);
bool agents_want_list(const struct agents *a); /* NULL: false */
err agents_run(void *agents);                  /* a fiber: settings, credentials, status */
void agents_close(struct agents *a);
/* The same for `source: config`: the outlet of the configuration and its credentials' files. */
MUST_USE err settled_open(struct ingest *in);
err settled_run(void *ingest); /* a fiber: reads the credentials anew */

/* --- metrics.c --- */
MUST_USE err ingest_metrics_open(struct ingest *in);
void ingest_metrics_close(struct ingest *in);
MUST_USE err outlet_metrics_open(struct outlet *o);
void outlet_metrics_close(struct outlet *o);
void ingest_metrics_tell(
    struct ingest *in); /* gauges and the parts' counters; each second or so; in a session, without the desk */
void ingest_metrics_rest(struct ingest *in); /* no session: nothing is watched */

#endif
