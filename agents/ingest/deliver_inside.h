/* deliver_inside: what the files of deliver share. A trial is one call with all its tries, a line a connection with what is open
 * on it. Not for others.
 *
 * Layer    agents/ingest.   Owner, Memory, Errors   as in deliver.h.   Blocks   parks the fiber where it says so. */
#ifndef HOLDFAST_INGEST_DELIVER_INSIDE_H
#define HOLDFAST_INGEST_DELIVER_INSIDE_H

#include "agents/ingest/deliver.h"
#include "board/rt/sync.h"
#include "net/proto/web.h"

#define DELIVER_ANSWER_MAX  KIB(16)     /* of an answer that is read on; more is not waited for */
#define DELIVER_GRACE_MS    SECONDS(1)  /* for the rest of an answer whose status is known */
#define DELIVER_IDLE_MS     SECONDS(20) /* a line that heard nothing for longer is looked at before it is used */
#define DELIVER_PING_MS     SECONDS(3)
#define DELIVER_GATE_MS_MAX SECONDS(16) /* between two tries to connect; what waits has pauses of its own */
#define DELIVER_GATHER_MS   5           /* an event waits so long for others at most, and only behind many */
#define DELIVER_BOUNCES_MAX 3           /* tries of one trial that do not count: the connection had ended before */

/*        id         path, appended to the platform's URL */
#define DELIVER_CALL_TABLE(X)                                                                                                    \
    X(SNAPSHOT, "/api/v1/agent/snapshot")                                                                                        \
    X(EVENT, "/api/v1/agent/events")                                                                                             \
    X(HEARTBEAT, "/api/v1/agent/heartbeat")
enum deliver_call {
#define X(id, path) DELIVER_CALL_##id,
    DELIVER_CALL_TABLE(X)
#undef X
        DELIVER_CALL_COUNT
};

/* --- what an end of a try means (deliver_judge.c); pure but for the drawn part of a pause --- */
enum verdict {
    VERDICT_END,    /* result is final */
    VERDICT_AGAIN,  /* at next_at */
    VERDICT_REAUTH, /* at once, with another token */
};
struct judged { /* of one call, over its tries */
    struct deliver_result result;
    ms next_at;
    bool reauthed;
    unsigned bounces;
};
enum verdict deliver_judge_status(struct judged *j, unsigned status, ms retry_after, ms now);
enum verdict deliver_judge_error(struct judged *j, err e, enum deliver_reason reason, ms now);
void deliver_judge_stop(struct judged *j); /* it will not be tried any more */
/* Retry-After (RFC 9110, 10.2.3), seconds or a date, as a span up to DELIVER_RETRY_AFTER_MAX; 0: none, or none that can be read.
 */
ms deliver_retry_after(const char *field, int64_t now_s);
enum deliver_reason deliver_reason_of(err e); /* of a connection or an exchange */
/* The answer as it may be shown: control characters are blanks; none of it when `secret` is in it. */
void deliver_answer_clean(char *answer, size_t len, const char *secret);

/* --- connection and token (deliver_line.c) --- */
struct line {
    struct web *web;
    struct line *next; /* of those that take no more, while something is open on them */
    unsigned open;
    bool heard; /* an answer came over it */
    ms heard_at;
};

struct trial {
    struct judged judged;
    struct line *line;
    struct web_exchange *exchange;
    struct oauth2_token *token;
    ms until;       /* of the answer */
    size_t got;     /* of its body */
    int status;     /* 0: not there yet */
    uint64_t bytes; /* of the request's body */
};

enum slot_state { SLOT_FREE, SLOT_DUE, SLOT_FLYING, SLOT_DONE };
struct slot {
    enum slot_state state;
    struct trial trial;
    struct bytes body;
    uint64_t tag, order;
};

struct deliver {
    struct url url;
    char path[DELIVER_CALL_COUNT][URL_PATH_MAX];
    struct dns *dns;
    struct tls_config *tls;
    struct oauth2 *oauth2;
    struct lane *files;
    ms (*until)(const void *arg);
    const void *until_arg;
    enum task task;
    struct bell bell;   /* the collector's */
    struct waitq ready; /* others wait here, for a connection or room on it */
    struct line *line, *left;
    /* a fiber that connects and fetches tokens */
    struct group group;
    bool preparing;
    uint64_t prepares; /* that ended */
    err prepare_error;
    enum deliver_reason prepare_reason;
    unsigned prepare_failures; /* in a row */
    ms gate_at;                /* nothing is begun before */
    /* events */
    struct slot *slots;
    unsigned slot_count, taken;
    uint64_t order, prepares_seen;
    ms sent_at; /* when events left last */
    bool collecting, stopped;
    struct deliver_health health;
    char answer[DELIVER_ANSWER_KEPT + 1]; /* of the trial below, so far */
    size_t answer_len;
    const struct trial *answer_of;
};

/* Nothing may leave, and no bell tells when it may again: look after DELIVER_SHUT_MS. */
#define DELIVER_SHUT_MS SECONDS(1)
bool deliver_line_shut(const struct deliver *d);
/* A token is there, a connection too, and nothing forbids to begin; what is missing is being got. */
bool deliver_line_ready(struct deliver *d);
/* Opens an exchange; body NULL: body_bytes come by web_send(). OK: trial->exchange is open. */
MUST_USE err deliver_line_open(struct deliver *d, struct trial *t, enum deliver_call call, const struct bytes *body,
                               uint64_t body_bytes, ms deadline);
void deliver_line_retire(struct deliver *d, struct line *l); /* no new exchange on it */
void deliver_line_close_all(struct deliver *d);

/* --- the end of a try (deliver_trial.c) --- */
/* Reads on without waiting. True: the try is over, *v says how. */
bool deliver_trial_poll(struct deliver *d, struct trial *t, enum verdict *v);
/* The status came: waits a moment for the rest of the answer, and judges. */
enum verdict deliver_trial_answered(struct deliver *d, struct trial *t, int status);
/* A try that failed before an answer; the exchange is ended. */
enum verdict deliver_trial_failed(struct deliver *d, struct trial *t, err e);
void deliver_trial_end(struct deliver *d, struct trial *t);          /* the exchange and the token are given back */
void deliver_trial_settle(struct deliver *d, const struct trial *t); /* the result is final: health */

#endif
