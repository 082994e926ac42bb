/* kube_internal: what the files of kube share. Settings say where and who, a link is a connection, a call one request with all
 * its tries, and a visit one of these tries on a link. Not for others.
 *
 * Layer    api.   Owner, Memory, Errors   as in kube.h.   Blocks   parks the fiber. */
#ifndef HOLDFAST_KUBE_INTERNAL_H
#define HOLDFAST_KUBE_INTERNAL_H

#include "board/rt/buf.h"
#include "board/rt/file.h"
#include "board/rt/secret.h"
#include "net/api/kube/kube.h"
#include "net/format/kubeconfig.h"
#include "net/proto/web.h"

#define KUBE_CONNECT_MS   SECONDS(10)
#define KUBE_PIECE        KIB(16) /* read at once; a buffer of the pool */
#define KUBE_TARGET_MAX   KIB(4)  /* path and query as sent */
#define KUBE_TOKEN_MAX    KIB(16)
#define KUBE_LINKS_SPARE  2 /* of HTTP/1.1 connections, kept from watches for requests */
#define KUBE_STATUS_ARENA KIB(8)

struct kube_link {
    struct web *web; /* NULL: free */
    unsigned users;
    bool dead; /* no new visits; closed with its last user */
    ms heard_at;
};

struct kube_settings { /* as last read */
    struct url url;
    char server[KUBECONFIG_URL_MAX];
    char prefix[URL_PATH_MAX]; /* of the url's path, "" for "/" */
    char authority[URL_AUTHORITY_MAX];
    char server_name[URL_HOST_MAX]; /* the certificate's */
    char name_space[KUBECONFIG_NAME_MAX];
    char token_path[OS_PATH_MAX]; /* "": the token does not change by itself */
    struct secret token;          /* at NULL: none */
    struct tls_config *tls;       /* NULL: plaintext */
    int64_t expires_s;
};

struct kube {
    char kubeconfig[OS_PATH_MAX]; /* "": in-cluster */
    char context[KUBECONFIG_NAME_MAX];
    char account[OS_PATH_MAX], host[URL_HOST_MAX], port[8];
    struct lane *lane;
    struct dns *dns;
    const char *user_agent;
    unsigned connections_max;
    size_t watch_window_bytes;
    struct kube_settings settings;
    bool stale;  /* the settings are to be read before the next connection, however new they are */
    ms read_at;  /* the settings */
    ms token_at; /* the token's file was looked at */
    uint64_t token_version;
    uint64_t token_bytes; /* the file's, when it was read */
    int64_t token_modified_ms;
    struct waitq token_waiting;
    bool token_busy; /* one fiber reads it */
    struct kube_link links[KUBE_CONNECTIONS];
    bool connecting;
    struct waitq waiting;
    unsigned failures; /* connects, in a row */
    ms not_before;     /* the next connect */
    err failed;        /* the last one's */
    char why[256];
    struct bell *bell; /* the watches', on each link */
    struct kube_stats stats;
};

/* --- kube_settings.c --- */
MUST_USE err kube_settings_read(struct kube *k, ms deadline, struct kube_settings *out);
void kube_settings_wipe(struct kube_settings *s);
/* Looks at the token's file when it is time to. One that cannot be read leaves the old token. */
void kube_token_refresh(struct kube *k, ms deadline);
/* After a 401 of a request that had token `version`: reads it now; without a token's file all settings are read anew, for another
 * connection. True: it is worth trying again. */
bool kube_credentials_renew(struct kube *k, uint64_t version, ms deadline);

/* --- kube_link.c --- */
/* For one visit; connects where needed, after the back-off. watch: leaves KUBE_LINKS_SPARE connections to others. */
MUST_USE err kube_link_take(struct kube *k, bool watch, ms deadline, struct kube_link **out);
void kube_link_give(struct kube *k, struct kube_link *l);
/* Nothing came for long: asks, and marks it dead when there is no answer. HTTP/1.1: dead. */
void kube_link_doubt(struct kube *k, struct kube_link *l, ms deadline);
void kube_links_retire(struct kube *k); /* none of them takes new visits */
void kube_links_close(struct kube *k);
ms kube_pause(unsigned failures, ms most); /* 200 ms doubled, jittered */

/* --- kube_visit.c: one try --- */
struct kube_visit {
    struct kube *kube;
    struct kube_link *link;
    struct web_exchange *exchange;
    enum kube_verb verb;
    const char *path;
    int code; /* 0: no answer yet */
    uint64_t token_version;
    bool sent;  /* the server may have seen it */
    bool unfit; /* what fails is the document: its fields do not fit the arena, or are others than wanted */
};
/* Sends; the answer's head is not waited for. E_BUSY: not taken. */
MUST_USE err kube_visit_open(struct kube *k, enum kube_verb verb, const char *target, struct bytes body, ms deadline,
                             struct kube_visit *out);
void kube_visit_end(struct kube_visit *v); /* idempotent; legal when zeroed */
/* Bytes of the body, as web_read(). */
MUST_USE err kube_visit_read(struct kube_visit *v, struct buf *into, ms deadline, size_t *got);
/* Feeds the whole body to p; OK: a document, whole. The buffer is wiped. */
MUST_USE err kube_visit_feed(struct kube_visit *v, struct json_pick *p, ms deadline);
/* Of an answer that is no success (v->code): reads its Status, and says which error that is. */
MUST_USE err kube_visit_refused(struct kube_visit *v, ms deadline, struct kube_status *out);

/* --- kube_status.c --- */
extern const struct pick_field kube_status_fields[];                            /* of metav1.Status */
void kube_status_read(const struct pick_node *status, struct kube_status *out); /* what is there; the rest stays */
err kube_status_err(const struct kube_status *s, enum kube_verb verb);
/* status->missing of a 401 or 403. */
void kube_status_missing(struct kube_status *s, enum kube_verb verb, const char *path);
const char *kube_verb_name(enum kube_verb v);
void kube_text_printable(struct bytes from, char *out, size_t cap); /* cut, other bytes as '?' */

/* --- kube_list.c --- */
extern const struct pick_field kube_name_only_fields[]; /* metadata.{name,namespace,uid,resourceVersion} of an object */

/* --- kube_request.c: all tries --- */
struct kube_call {
    enum kube_verb verb;
    const char *path;   /* for what is told */
    const char *target; /* path with query, as sent behind the prefix */
    struct bytes body;
    err (*take)(void *arg, struct kube_visit *v, ms deadline); /* of a success */
    void *arg;
    struct kube_status *status; /* never NULL */
    bool moved;                 /* take()'s: something was gained, so the tries are counted anew; target may have changed */
};
MUST_USE err kube_call(struct kube *k, struct kube_call *c, ms deadline);
/* "&" or "?" as needed, key, "=", and the value with what is not unreserved as %XX (RFC 3986 §2.1). */
struct text;
void kube_query_add(struct text *t, const char *key, struct bytes value);

#endif
