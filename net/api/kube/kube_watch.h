/* kube_watch: up to KUBE_WATCHES_MAX watches of a client, read by one fiber, through one arena.
 *
 * Layer    api.                                     Blocks   kube_watch_next() parks the fiber.
 * Owner    the caller owns the set, ends it         Memory   the current task's heap: 30 KiB a set (KUBE_WATCHES_MAX slots and
 *          before the client. One set a client.              texts); one 16 KiB buffer of the pool while it lives; the caller's
 *                                                            arena. Windows: as kube.h says.
 * Errors   of kube_watch_next(): E_TIMEOUT nothing by the deadline; E_CANCELED; E_BUDGET no buffer. What befalls a watch or
 *          the connection is no error: it is mended, or told as an event.
 *
 * Events that come no more than a rest apart are waited for together: a rest is KUBE_REST_MS_MAX, or less with small windows, so
 * that a rest after another lets pass 16 MB/s of each watch.
 * Order is the server's per watch. An object that has begun on one stream is read to its end before another stream is
 * (KUBE_OBJECT_MS at most, else that watch is begun again), since there is one arena.
 * A watch that ends (timeoutSeconds, 300..600, spread), is cut, or whose connection dies is opened again from its version, with
 * back-off up to KUBE_BACKOFF_MS_MAX; a connection that says nothing for KUBE_QUIET_MS is asked (h2 PING), so a half-open one is
 * noticed within 30 s (HTTP/1.1: after KUBE_H1_QUIET_MS, by opening the watches again). 429 and 503 wait as Retry-After says,
 * KUBE_RETRY_AFTER_S at most.
 * A watch's version moves on to an event's when the event was taken: at the next kube_watch_next(). */
#ifndef HOLDFAST_KUBE_WATCH_H
#define HOLDFAST_KUBE_WATCH_H

#include "net/api/kube/kube.h"

#define KUBE_WATCHES_MAX   32
#define KUBE_OBJECT_MS     SECONDS(10)
#define KUBE_QUIET_MS      SECONDS(15)
#define KUBE_REST_MS_MAX   8
#define KUBE_REST_WINDOW   KIB(16) /* of a watch, for a ms of rest */
#define KUBE_REST_RELAXED  4
#define KUBE_PING_MS       SECONDS(10)
#define KUBE_H1_QUIET_MS   MINUTES(2) /* bookmarks come each minute */
#define KUBE_FORBIDDEN_MS  MINUTES(5)
#define KUBE_WATCH_LEAST_S 300 /* timeoutSeconds is drawn from here */
#define KUBE_WATCH_MOST_S  600 /* to here */

#define KUBE_EVENTS(X)                                                                                                           \
    X(ADDED, "ADDED")                                                                                                            \
    X(MODIFIED, "MODIFIED")                                                                                                      \
    X(DELETED, "DELETED")                                                                                                        \
    X(BOOKMARK, "BOOKMARK") /* resource_version only */                                                                          \
    X(GONE, "GONE")         /* its version is too old, or never was: list again, then kube_watch_restart(). Silent until then */ \
    X(FORBIDDEN, "FORBIDDEN") /* 401, 403; status.missing says what. Tried again soon, then each KUBE_FORBIDDEN_MS */            \
    X(ABSENT, "ABSENT")       /* 404, 405: no such resource here. Tried again likewise */                                        \
    X(OVERSIZED, "OVERSIZED") /* an event (which: `of`) whose fields do not fit the arena: metadata only */
enum kube_event_type {
#define X(id, text) KUBE_EVENT_##id,
    KUBE_EVENTS(X)
#undef X
};
const char *kube_event_name(enum kube_event_type t); /* "ADDED"; static */

struct kube_event { /* valid until the next call on the set */
    unsigned tag;
    enum kube_event_type type;
    enum kube_event_type of;          /* OVERSIZED: ADDED, MODIFIED or DELETED; else the same as type */
    const struct pick_node *object;   /* of ADDED, MODIFIED, DELETED: its `fields`; OVERSIZED: its metadata; else NULL */
    const char *resource_version;     /* of the object or bookmark; "" */
    const struct kube_status *status; /* of GONE, FORBIDDEN, ABSENT; else NULL */
};

struct kube_watches;
/* arena: aligned for uint64_t, borrowed until kube_watches_close(). E_BUSY: the client has a set. */
MUST_USE err kube_watches_open(struct kube *k, void *arena, size_t arena_bytes, struct kube_watches **out);
void kube_watches_close(struct kube_watches *s); /* NULL is fine */

/* path: of a collection ("/api/v1/pods", with a fieldSelector if any), copied; fields: static, of an object: metadata with
 * resourceVersion in it (asserted), and at most PICK_FIELDS_MAX - 1. tag: the caller's, not yet in the set (asserted). Opened by
 * kube_watch_next(). E_FULL; E_RANGE path or version. */
MUST_USE err kube_watch_add(struct kube_watches *s, const char *path, const char *resource_version,
                            const struct pick_field *fields, unsigned tag);
/* From another version: after GONE and a list. Ends the stream that is there. */
MUST_USE err kube_watch_restart(struct kube_watches *s, unsigned tag, const char *resource_version);
void kube_watch_remove(struct kube_watches *s, unsigned tag); /* idempotent */

/* What comes is in no hurry, for it will wait elsewhere: rests are KUBE_REST_RELAXED times as long, and let pass 4 MB/s. */
void kube_watch_relax(struct kube_watches *s, bool relaxed);
/* The next event of any of them. */
MUST_USE err kube_watch_next(struct kube_watches *s, ms deadline, struct kube_event *out);

struct kube_watch_state {
    bool there, open; /* open: the server has answered 200 */
    ms heard_at;      /* the last event or bookmark; 0: none */
    ms waits_until;   /* the server asked for it (Retry-After), and the watch is not asked for before; 0: it does not wait */
    err error;        /* what it was last reset for; OK since it is open */
    uint64_t events, opens, resets, oversized;
    char resource_version[KUBE_OPAQUE_MAX];
};
struct kube_watch_state kube_watch_look(const struct kube_watches *s, unsigned tag);

#endif
