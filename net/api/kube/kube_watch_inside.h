/* kube_watch_inside: the set of watches, between what opens and mends them (kube_watch.c) and what makes events of bytes
 * (kube_watch_read.c).
 *
 * Layer    api.   Owner, Memory, Errors   as in kube_watch.h.   Blocks   what opens parks the fiber. */
#ifndef HOLDFAST_KUBE_WATCH_INSIDE_H
#define HOLDFAST_KUBE_WATCH_INSIDE_H

#include "net/api/kube/kube_internal.h"
#include "net/api/kube/kube_watch.h"

#define WATCH_ASKED_MS  SECONDS(30) /* for the head of an answer */
#define KUBE_HEAD_BYTES 64          /* of an event, kept until its type is known */

/* FREE -> DUE (kube_watch_add) -> ASKED (sent) -> OPEN (200) -> DUE again; DUE, ASKED or OPEN -> GONE -> DUE (restart) */
enum watch_is { WATCH_FREE, WATCH_DUE, WATCH_ASKED, WATCH_OPEN, WATCH_GONE };

struct watch {
    enum watch_is is;
    unsigned tag;
    char *path;
    const struct pick_field *fields;
    struct kube_visit visit;
    ms due, since; /* to be opened; asked or open since */
    unsigned failures;
    bool name_only; /* the next object does not fit */
    bool heard;     /* something came since it was opened */
    bool renewed;   /* the credentials, since it was last open */
    struct kube_watch_state state;
};

struct kube_watches {
    struct kube *kube;
    struct bell bell;
    struct json_pick pick;
    struct pick_field fields[3]; /* of an event, for the watch that is read */
    struct buf *piece;           /* what was read of `current`, piece->len of it, and used up to `at` */
    size_t at;
    struct watch *current; /* its bytes lie in piece, or an object of it has begun */
    uint8_t head[KUBE_HEAD_BYTES];
    size_t head_len;
    unsigned quotes;    /* in head */
    bool is_error;      /* the document is an ERROR event */
    ms object_ms;       /* how long this object has taken, while we were here */
    ms woken_at;        /* by the bell, last */
    bool relaxed;       /* see kube_watch_relax() */
    struct watch *told; /* its event is with the caller */
    char version[KUBE_OPAQUE_MAX];
    struct kube_status status;
    unsigned turn;
    bool troubled; /* it was said that watches are interrupted */
    struct watch watches[KUBE_WATCHES_MAX];
};

/* --- kube_watch.c --- */
void watch_end(struct kube_watches *s, struct watch *w); /* its stream */

/* --- kube_watch_open.c --- */
void watch_open(struct kube_watches *s, struct watch *w, ms deadline);
/* Whether the answer to it has come, and well; true: *out is to be told. */
MUST_USE bool watch_answered(struct kube_watches *s, struct watch *w, struct kube_event *out);
/* Ends its stream and has it opened again: at once, or after a back-off. */
void watch_again(struct kube_watches *s, struct watch *w, bool at_once);
/* It failed; it is opened again after a back-off. The trail is told and forgotten. */
void watch_failed(struct kube_watches *s, struct watch *w, err e);
/* What a refusal makes of it; true: *out is to be told. */
bool watch_refused(struct kube_watches *s, struct watch *w, struct kube_event *out);

/* --- kube_watch_read.c --- */
/* Goes on with `current`, until an event is there (*have), or nothing of it is left (current NULL), or E_AGAIN: more is to come.
 */
MUST_USE err watch_read(struct kube_watches *s, struct kube_event *out, bool *have);
/* One step with what lies in piece; false: all of it is used, or the stream was ended. */
bool watch_step(struct kube_watches *s, struct kube_event *out, bool *have);
void watch_forget(struct kube_watches *s); /* drops what was read of `current` */

#endif
