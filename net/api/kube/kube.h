/* kube: a client of the Kubernetes API server: requests, lists; watches are in kube_watch.h, leader election in lease.h.
 *
 * Layer    api.                                    Blocks   parks the fiber; files and TLS handshakes are the pool's.
 * Owner    the caller owns the client and ends     Memory   the current task's heap: the client 10 KiB, settings and keys; h2:
 * one all requests, sets and leases                    connection for everybody (web.h), its windows: KUBE_WINDOW_BYTES a before
 * kube_close().                             watch, KUBE_LIST_WINDOW a list. h1: a connection an exchange. A request 2 KiB and one
 * 16 KiB buffer of the pool while its answer is read; Time     each call ends by its deadline, tries            answers lie in
 * the caller's arena. and waits and all; KUBE_SILENCE_MS without a byte ends one try of it. Errors   E_ABSENT no such object or
 * resource (says which); E_DENIED 401 or 403: says which role is missing; E_EXISTS; E_AGAIN it has changed (409) or is too old
 * (410): read it, or begin the list, again; E_INVALID refused as invalid; E_BUSY 429 to the last; E_REMOTE any other answer, in
 * the server's words; E_CONFIG settings; E_CORRUPT no JSON; E_BUDGET the wanted fields do not fit the arena, or no connection is
 * left; those of web.h. Trails name server and path, never a credential.
 *
 * Tried again, KUBE_TRIES_MAX times in all, after a jittered pause or as Retry-After says (KUBE_RETRY_AFTER_S at most), within
 * the deadline: 429, 500, 502, 503, 504, and what befalls the connection; a create only where the server says that it did nothing
 * (429, 503 with Retry-After, E_BUSY of web.h). A 401 has the token read anew and is tried once more. Any number of fibers may
 * use the client at a time. Connections are made again with back-off (KUBE_BACKOFF_MS_MAX, jitter), with settings and
 * certificates read anew; token files are looked at each KUBE_TOKEN_MS. Nothing of an answer is kept: pieces are wiped once they
 * were read. */
#ifndef HOLDFAST_KUBE_H
#define HOLDFAST_KUBE_H

#include "board/rt/pool.h"
#include "net/format/json_pick.h"
#include "net/proto/dns.h"

#define KUBE_NAME_MAX       254  /* 253 bytes (RFC 1123 subdomain) and the zero */
#define KUBE_OPAQUE_MAX     129  /* of a uid or resourceVersion: 128 bytes and the zero; nothing else is known of them */
#define KUBE_PATH_MAX       1024 /* of a request, with its query, without a continue token */
#define KUBE_CONTINUE_MAX   1536
#define KUBE_WINDOW_BYTES   KIB(16)
#define KUBE_LIST_WINDOW    KIB(128)
#define KUBE_TRIES_MAX      5
#define KUBE_SILENCE_MS     SECONDS(30)
#define KUBE_BACKOFF_MS_MAX SECONDS(30)
#define KUBE_RETRY_AFTER_S  300 /* what is told beyond it is cut */
#define KUBE_TOKEN_MS       SECONDS(10)
#define KUBE_CONNECTIONS    24 /* at most, of one client; HTTP/1.1 only */

struct kube_options {
    const char *kubeconfig; /* a path; NULL or "": in-cluster (KUBERNETES_SERVICE_HOST and the service account's folder) */
    const char *context;    /* of the kubeconfig; NULL or "": its current-context */
    struct lane *lane;      /* files and parsing; borrowed, as is dns */
    struct dns *dns;
    const char *user_agent;     /* static; NULL: "holdfast" */
    unsigned connections_max;   /* HTTP/1.1 servers; 0: KUBE_CONNECTIONS */
    size_t watch_window_bytes;  /* of HTTP/2, a watch; 0: KUBE_WINDOW_BYTES. A round trip to the server brings so much of each */
    const char *service_host;   /* NULL: the environment's KUBERNETES_SERVICE_HOST */
    const char *service_port;   /* NULL: the environment's KUBERNETES_SERVICE_PORT */
    const char *account_folder; /* NULL: KUBE_ACCOUNT_FOLDER */
};
#define KUBE_ACCOUNT_FOLDER "/var/run/secrets/kubernetes.io/serviceaccount"

struct kube;
/* Reads the settings; connects to nobody yet. The texts are copied. */
MUST_USE err kube_open(const struct kube_options *o, ms deadline, struct kube **out);
void kube_close(struct kube *k); /* NULL is fine */

const char *kube_server(const struct kube *k);    /* "https://10.0.0.2:6443" */
const char *kube_namespace(const struct kube *k); /* the context's or the pod's; "" not told */
bool kube_in_cluster(const struct kube *k);
int64_t kube_expires_s(const struct kube *k); /* our client certificate's end; 0: none */
struct kube_stats {
    uint64_t requests, retries, connects, connect_failures, received_bytes;
    unsigned connections; /* open now */
    bool h2;
    ms heard_at; /* the last byte of the server; 0: never */
};
struct kube_stats kube_stats(const struct kube *k);

/* --- paths: /api/v1/… for group "", /apis/GROUP/VERSION/… else --- */
struct kube_resource {
    const char *group, *version, *plural; /* "", "v1", "pods" */
    bool namespaced;
};
/* name_space NULL: of all namespaces, or none; name NULL: the collection; part NULL, or "status". False: it does not fit, or a
 * name is no name (so no text of a peer gets into a path). */
bool kube_path(const struct kube_resource *r, const char *name_space, const char *name, const char *part,
               char out[KUBE_PATH_MAX]);

/* --- requests --- */

/* APPLY (server-side, application/apply-patch+yaml with fieldManager) will be a row here and in kube_request.c's table. */
#define KUBE_VERBS(X)                                                                                                            \
    X(GET, "get", "GET", NULL)                                                                                                   \
    X(LIST, "list", "GET", NULL)                                                                                                 \
    X(WATCH, "watch", "GET", NULL)                                                                                               \
    X(CREATE, "create", "POST", "application/json")                                                                              \
    X(UPDATE, "update", "PUT", "application/json")                                                                               \
    X(PATCH, "patch", "PATCH", "application/merge-patch+json")                                                                   \
    X(DELETE, "delete", "DELETE", "application/json")
enum kube_verb {
#define X(id, name, method, content_type) KUBE_##id,
    KUBE_VERBS(X)
#undef X
};

/* metav1.Status of a refused request, and what was the matter. */
struct kube_status {
    int code;          /* of HTTP; 0: there was no answer */
    char reason[48];   /* "Forbidden", "AlreadyExists", "Expired" */
    char message[256]; /* the server's, cut, printable */
    int retry_after_s; /* -1: not told */
    char missing[384]; /* of a 403: "list on pods in all namespaces: give ClusterRole …"; else "" */
};
/* Where an answer goes; the fields of its object that are wanted. NULL for `into`: the answer is not wanted. */
struct kube_into {
    const struct pick_field *fields;
    void *arena; /* aligned for uint64_t; the caller wipes it when it took secrets */
    size_t arena_bytes;
    const struct pick_node *object; /* out; views into the arena. NULL after an error */
    struct kube_status status;      /* out, after an error */
};
/* GET, CREATE (path of the collection), UPDATE, PATCH (merge patch; with metadata.resourceVersion in it the server refuses a
 * changed object: E_AGAIN). Status subresources by their path. body: JSON, empty for GET. */
MUST_USE err kube_ask(struct kube *k, enum kube_verb verb, const char *path, struct bytes body, struct kube_into *into,
                      ms deadline);
/* uid, resource_version: preconditions; NULL: none. E_ABSENT: it was gone already; E_AGAIN: it is another one by now. */
MUST_USE err kube_delete(struct kube *k, const char *path, const char *uid, const char *resource_version, ms deadline);

/* --- lists ---
 * One page: `limit` items of a collection, each given to item() as soon as it is whole. A page that is cut is asked for again
 * where it was (the same version), items that were given are not given again. Items may lack kind and apiVersion; `items: null`
 * is empty. A first page is a consistent read (no resourceVersion). sendInitialEvents (streaming lists) is not used: a paged LIST
 * is what bounds memory here. */
struct kube_item {
    const struct pick_node *object; /* `fields` of it. Gone when the function returns */
    bool oversized; /* its wanted fields did not fit the arena: object is metadata.{name,namespace,uid,resourceVersion} only */
};
struct kube_list {
    const char *path;                /* "/api/v1/pods", with a query of its own if any (fieldSelector) */
    const struct pick_field *fields; /* of an item */
    unsigned limit;                  /* of a page; 0: 500 */
    void *arena;                     /* one item, and 4 KiB */
    size_t arena_bytes;
    err (*item)(void *arg, const struct kube_item *i); /* an error ends the list with it */
    void *arg;
    struct kube_status status; /* out, after an error */
};
struct kube_page {
    char resource_version[KUBE_OPAQUE_MAX]; /* of the list: the same on all pages */
    char next[KUBE_CONTINUE_MAX];           /* "": that was the last. Pass the struct on as it is; zeroed for the first page */
    int64_t remaining;                      /* -1: not told */
    uint64_t items;                         /* given so far, all pages together */
};
/* page: zeroed: the first; else the next. E_AGAIN: the continue token has expired: begin again with a zeroed one, and forget what
 * came before. */
MUST_USE err kube_list_page(struct kube *k, struct kube_list *list, struct kube_page *page, ms deadline);
/* All pages. On E_AGAIN the caller begins again. */
MUST_USE err kube_list_all(struct kube *k, struct kube_list *list, struct kube_page *page, ms deadline);

#endif
