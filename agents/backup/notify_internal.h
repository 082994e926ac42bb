/* notify_internal: what notify*.c share.   Layer   agents/backup, private.   The rest: as notify.h says. */
#ifndef HOLDFAST_NOTIFY_INTERNAL_H
#define HOLDFAST_NOTIFY_INTERNAL_H

#include "agents/backup/notify.h"
#include "board/rt/file.h"
#include "board/rt/metric.h"
#include "board/rt/sync.h"
#include "net/format/url.h"

/* the name in metrics; but for PING, "backup-" + it is the event */
#define NOTIFY_KIND_TABLE(X)                                                                                                     \
    X(FAILED, "failed")                                                                                                          \
    X(STALE, "stale")                                                                                                            \
    X(RECOVERED, "recovered")                                                                                                    \
    X(PING, "ping")

enum notify_kind {
#define X(id, name) NOTIFY_##id,
    NOTIFY_KIND_TABLE(X)
#undef X
        NOTIFY_KIND_COUNT
};
const char *notify_kind_name(enum notify_kind k);

#define NOTIFY_WORDS_MAX    200
#define NOTIFY_SENTENCE_MAX 480
#define NOTIFY_JSON_MAX     KIB(4)

struct tries { /* of one notice, or of the ping */
    unsigned attempts;
    ms first_at, due_at; /* first_at: of the first attempt */
};

struct notice {
    enum notify_kind kind;
    uint64_t id;
    struct tries tries;
    char destination[CONFIG_NAME_MAX];
    char reason[32];              /* "": none */
    char words[NOTIFY_WORDS_MAX]; /* "": none */
    int64_t at_s, last_success_s; /* last_success_s 0: not known */
    uint64_t cluster_id;          /* 0: not known */
};

/* What is known of a destination. said_at: when it was last put in the queue. */
struct watched {
    const char *name;
    bool failing, stale;
    ms failed_said_at, stale_said_at;
    char reason[32], words[NOTIFY_WORDS_MAX];
    int64_t last_success_s;
};

struct notify {
    const struct config *config;
    struct dns *dns;
    const char *version;
    struct lane files; /* the CA */
    char host[64];
    uint64_t cluster_id, next_id;
    struct watched watched[CONFIG_DESTINATIONS_MAX];
    struct notice queue[NOTIFY_QUEUE_MAX]; /* the first is next */
    unsigned count;
    bool good_since; /* a good run since the last ping was wanted, or a round that was not all well */
    bool ping_wanted;
    struct tries ping;
    struct waitq changed;
    char trouble[160]; /* of the last attempt; "": none */
    struct series *sent[NOTIFY_KIND_COUNT], *failures[NOTIFY_KIND_COUNT];
};

/* notify.c: the queue, and what lasts. */
struct notice *notify_queue_find(struct notify *n, enum notify_kind kind, const char *destination); /* NULL: it does not wait */
void notify_queue_remove(struct notify *n, unsigned i);
ms notify_repeat(struct notify *n); /* what is due to be said again is put in; when the next one is, FOREVER: none */

/* notify_message.c: one line for people, and the document. */
void notify_sentence(const struct notify *n, const struct notice *e, char out[NOTIFY_SENTENCE_MAX]);
/* E_RANGE: it did not fit, which it always does. */
MUST_USE err notify_json(const struct notify *n, const struct notice *e, struct text *out);

/* notify_send.c: one attempt, of a POST with `json` or, where that is empty, a GET. */
MUST_USE err notify_send(struct notify *n, const char *url, struct bytes json, ms deadline);
/* "https://hooks.example:8443": what of a URL may be told. */
#define NOTIFY_SHOWN_MAX (URL_AUTHORITY_MAX + 8)
void notify_shown(const char *url, char out[NOTIFY_SHOWN_MAX]);

#endif
