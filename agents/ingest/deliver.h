/* deliver: what leaves for one platform: snapshots, events, heartbeats, each a POST (ingest.md 4); and what its answers mean.
 *
 * Layer    agents/ingest.                           Blocks   parks the fiber. Any number of fibers; see each call.
 * Owner    the caller; what the options point to    Memory   one connection, in_flight_max slots, each with its exchange; a
 *          outlives deliver_close(). Bodies are              buffer of DELIVER_CHUNK while a snapshot is sent. A fiber
 *          borrowed until the result is collected.           while it connects or fetches a token; HTTP/2's reader.
 * Time     monotonic.                               Errors   E_CANCELED, E_TIMEOUT the caller's own deadline; all else
 *                                                            is told in the result.
 *
 * The path is appended to platform_url, whose slash at the end is cut (the original then sends "//"). Redirects are not followed.
 * Each call is tried up to DELIVER_ATTEMPTS times, after 2, 4, 8 and 16 s, a tenth more or less, or as long as Retry-After says,
 * up to DELIVER_RETRY_AFTER_MAX; then it is DELIVER_LATER: keep it, and hand it in again after deliver_pause(). */
#ifndef HOLDFAST_INGEST_DELIVER_H
#define HOLDFAST_INGEST_DELIVER_H

#include "board/rt/pool.h"
#include "net/api/oauth2.h"

#define DELIVER_ATTEMPTS        5
#define DELIVER_REQUEST_MS_MAX  SECONDS(30) /* from opening an exchange to the end of its answer; of a snapshot each silence */
#define DELIVER_SNAPSHOT_MS_MAX MINUTES(5)  /* silence after the last byte of one: the platform stores it */
#define DELIVER_RETRY_AFTER_MAX SECONDS(300)
#define DELIVER_PAUSE_MAX       SECONDS(60)
#define DELIVER_IN_FLIGHT_MAX   32
#define DELIVER_CHUNK           KIB(16) /* one TLS record, one buffer of the middle class */
#define DELIVER_ANSWER_KEPT     1024    /* of an answer that is no success */

/*        id            what it means */
#define DELIVER_OUTCOME_TABLE(X)                                                                                                 \
    X(GOOD, "delivered")                                                                                                         \
    X(REJECTED, "rejected")                                                                                                      \
    X(LATER, "later")

/* Fixed words for conditions and metrics; what a platform says is never among them (it may repeat what it was sent). */
#define DELIVER_REASON_TABLE(X)                                                                                                  \
    X(NONE, "ok")                                                                                                                \
    X(NETWORK, "the platform cannot be reached")                                                                                 \
    X(TOKEN, "no access token can be had")                                                                                       \
    X(CREDENTIALS, "the platform refuses the credentials")                                                                       \
    X(UNAUTHORIZED, "the platform refuses a fresh access token")                                                                 \
    X(REJECTED, "the platform refuses what was sent")                                                                            \
    X(THROTTLED, "the platform asks for patience")                                                                               \
    X(SERVER, "the platform failed")                                                                                             \
    X(REDIRECT, "the platform answers with a redirect: its final URL must be configured")                                        \
    X(TOO_SLOW, "the platform did not answer in time")                                                                           \
    X(FILE, "the snapshot's file cannot be read")                                                                                \
    X(STOPPED, "stopped before it was sent")

enum deliver_outcome {
#define X(id, name) DELIVER_##id,
    DELIVER_OUTCOME_TABLE(X)
#undef X
        DELIVER_OUTCOME_COUNT
};
enum deliver_reason {
#define X(id, text) DELIVER_REASON_##id,
    DELIVER_REASON_TABLE(X)
#undef X
        DELIVER_REASON_COUNT
};
const char *deliver_outcome_name(enum deliver_outcome o);
const char *deliver_reason_text(enum deliver_reason r);

struct deliver_result {
    enum deliver_outcome outcome;
    enum deliver_reason reason;
    unsigned status;   /* of the last answer; 0: there was none */
    unsigned attempts; /* requests, or tries to make one */
    err error;         /* of the last try without an answer; OK else */
};

struct deliver_options {
    const char *platform_url; /* copied */
    struct dns *dns;
    struct tls_config *tls; /* of https; shared while open */
    bool allow_plaintext;   /* http to others than loopback */
    struct oauth2 *oauth2;
    struct lane *files;           /* where snapshots lie; may be NULL: none are sent */
    unsigned in_flight_max;       /* events over one HTTP/2 connection, 1..DELIVER_IN_FLIGHT_MAX; over HTTP/1.1 it is one */
    ms (*until)(const void *arg); /* nothing of it leaves after that (fence.h); NULL: for ever */
    const void *until_arg;
};

struct deliver;
/* E_INVALID as oauth2_open() has it. Connects to nobody yet. */
MUST_USE err deliver_open(const struct deliver_options *o, struct deliver **out);
/* No fiber may be inside. What is in flight is dropped: it was perhaps delivered. NULL is fine. */
void deliver_close(struct deliver *d);

/* --- events: up to in_flight_max at once, sent and received by the one fiber that collects (asserted: one at a time). Results
 * come in the order of the answers, not of submission: an object's next event is not submitted before the result of its last one.
 * --- Never waits: the collector sends it, and is woken. The body is borrowed until the tag was collected. E_FULL: collect first;
 * E_CLOSED: after deliver_stop(). */
MUST_USE err deliver_submit(struct deliver *d, struct bytes body, uint64_t tag);
/* Sends what is due and waits for the next result, or, with nothing under way, for a submission. One fiber may do both, or one
 * submit and another collect. E_TIMEOUT, E_CANCELED: nothing is lost, collect again. */
MUST_USE err deliver_collect(struct deliver *d, ms deadline, uint64_t *tag, struct deliver_result *out);
unsigned deliver_in_flight(const struct deliver *d); /* submitted and not collected */
unsigned deliver_room(const struct deliver *d);      /* submissions that are not E_FULL */
/* From now on no new try is begun: what waits for one becomes DELIVER_LATER, STOPPED, at once; what is under way goes on. */
void deliver_stop(struct deliver *d);

/* --- one at a time, with all its tries; the calling fiber waits. OK: *out tells. --- */
MUST_USE err deliver_heartbeat(struct deliver *d, struct bytes body, ms deadline, struct deliver_result *out);
/* The file's first `bytes` bytes. It must not change meanwhile. */
MUST_USE err deliver_snapshot(struct deliver *d, const char *path, uint64_t bytes, ms deadline, struct deliver_result *out);

/* How long to keep what was DELIVER_LATER for the `times`-th time in a row (1: the first): 2, 4, 8 … s, up to DELIVER_PAUSE_MAX,
 * a tenth more or less. */
ms deliver_pause(unsigned times);

struct deliver_health {                   /* ingest.md 4.9, of all calls together */
    bool healthy;                         /* the last call that came to an end was good; false before the first */
    int64_t last_success_s;               /* wall clock; 0 never */
    unsigned errors;                      /* calls that failed since */
    struct deliver_result last_error;     /* cleared by a success */
    char answer[DELIVER_ANSWER_KEPT + 1]; /* of the last one, for logs and `ingest status`: control characters are blanks */
    uint64_t good, rejected, later, tries_again; /* since deliver_open() */
    uint64_t sent_bytes;                         /* of bodies */
    bool connected, http2;
};
const struct deliver_health *deliver_health(const struct deliver *d);

#endif
