/* s3_internal: what the files of s3 share. A call is what is asked, an answer what one try of it brought, a slot a connection and
 * the memory of the request on it. Not for others.
 *
 * Layer    api.   Owner, Memory, Errors   as in s3.h.   Blocks   parks the fiber. */
#ifndef HOLDFAST_S3_INTERNAL_H
#define HOLDFAST_S3_INTERNAL_H

#include "board/rt/pool.h"
#include "board/rt/sync.h"
#include "net/api/s3/s3.h"
#include "net/format/sigv4.h"

#define S3_SLOTS       2
#define S3_TARGET_MAX  KIB(10)      /* path and query as sent: a key and a token, each byte as %XX, and what is around them */
#define S3_TOKEN_MAX   KIB(2)       /* a continuation token, with its zero */
#define S3_VALUE_MAX   S3_TOKEN_MAX /* the longest text of an answer's element: a token, or a key */
#define S3_CODE_MAX    48
#define S3_MESSAGE_MAX 128
#define S3_RANGE_MAX   48
#define S3_ID_FIELD    "x-amz-meta-holdfast-id" /* tells an object of ours from another's of the same name */

/* --- answers: what S3 said, and what it means (s3_error.c) --- */
enum s3_again {
    S3_GIVE_UP,
    S3_AGAIN,            /* after a pause */
    S3_AGAIN_SKEWED,     /* once, when the server's clock is another */
    S3_AGAIN_CREDENTIALS /* once, when they have become others */
};
struct s3_answer {
    unsigned status; /* 0: there was none */
    char code[S3_CODE_MAX], message[S3_MESSAGE_MAX], region[S3_REGION_MAX];
    int64_t date_s;        /* 0 unknown */
    int64_t retry_after_s; /* -1 none */
};

struct s3_call;
/* The error of an answer that is none of success, its words in the trail. */
MUST_USE err s3_answer_error(const struct s3_call *call, enum s3_again *again);
void s3_answer_head(struct s3_answer *a, const struct http1_head *h); /* status, Date, Retry-After, region */
/* A field of an <Error> document; others are let be. */
void s3_answer_field(struct s3_answer *a, const char *name, const char *text);

/* --- one request at a time on one connection (s3_request.c) --- */
struct s3_slot {
    struct s3 *client;
    struct http_connection *connection; /* NULL: none yet */
    bool busy, fresh;                   /* fresh: no answer has come over it */
    size_t path_len;
    char target[S3_TARGET_MAX]; /* path, zero, query; then path?query */
    char authorization[SIGV4_AUTHORIZATION_MAX];
    struct s3_credentials credentials; /* during a try */
};

struct s3 {
    struct url url;
    char authority[URL_AUTHORITY_MAX], bucket[S3_BUCKET_MAX], region[S3_REGION_MAX];
    enum s3_addressing addressing;
    struct tls_config *tls;
    struct dns *dns;
    err (*credentials)(void *arg, struct s3_credentials *out);
    void *arg;
    struct lane lane; /* hashing */
    struct sem free_slots;
    struct s3_slot slots[S3_SLOTS];
    int64_t skew_ms;
    int64_t date_ahead_ms; /* by the last Date */
    bool date_seen;
    bool never_continues; /* the server does not answer Expect: 100-continue */
};

struct s3_call {
    /* asked */
    const char *method, *key; /* key NULL: of the bucket */
    void (*query)(const void *arg, struct text *out);
    const void *query_arg;
    struct bytes body;
    /* or a body in pieces: the index-th into `into` (cap >= S3_PIECE_MAX), its length; 0: the end */
    size_t (*piece)(const void *arg, unsigned index, char *into);
    const void *piece_arg;
    const char *range, *if_match, *id; /* NULL: none */
    bool if_none_match;
    bool patient; /* the server may be silent until the deadline */
    bool keep;    /* when it succeeds the slot stays taken, in `slot` */
    ms deadline;
    /* A 2xx, of which it reads the body or leaves it. Its error is tried again like any other, unless it sets `final`. */
    err (*take)(struct s3_call *call, struct s3_slot *s, const struct http1_head *h);
    void *take_arg;
    /* found */
    struct s3_slot *slot;
    struct s3_answer answer; /* of the last try */
    bool final;
    bool doubtful;       /* an earlier try failed when it may have been carried out */
    bool skew_learned;   /* in this call */
    bool renewed;        /* credentials, in this call */
    uint64_t body_bytes; /* of body or pieces */
    char hash[SIGV4_HASH_TEXT_MAX];
};
#define S3_PIECE_MAX 512

/* With retries. Trail: method, endpoint, bucket, key. */
MUST_USE err s3_ask(struct s3 *c, struct s3_call *call);
/* One try: connects, signs, sends, receives, takes. call->answer says what came. */
MUST_USE err s3_try(struct s3_slot *s, struct s3_call *call, enum s3_again *again);
MUST_USE err s3_slot_take(struct s3 *c, ms deadline, struct s3_slot **out);
void s3_slot_give(struct s3_slot *s);      /* NULL is fine */
ms s3_silence(const struct s3_call *call); /* the deadline of the next wait */

/* --- documents (s3_document.c) --- */
struct s3_element {
    const char *root, *parent, *name; /* parent "" for a child of the root */
    const char *text;                 /* as it stands */
};
struct s3_document {
    /* Called at the end of each element without children that is a child or a grandchild of the root; and, with text NULL, at the
     * end of each child of the root that has children. An error ends the reading and is returned. */
    err (*element)(void *arg, const struct s3_element *e);
    void *arg;
    uint64_t bytes_max;
};
MUST_USE err s3_document_read(const struct s3_document *d, struct s3_slot *s, const struct s3_call *call);
void s3_drain(struct s3_slot *s, ms deadline); /* the rest of a small answer, so that the connection can be used again */

/* --- dates and copies (s3_text.c) --- */
int64_t s3_iso_date(const char *text);                  /* "2009-10-12T17:50:30.000Z"; 0: not one */
bool s3_copy(char *out, size_t cap, struct bytes text); /* false: it does not fit, or has a zero in it; out is "" then */

void s3_object_read(const struct http1_head *h, struct s3_object *out); /* size, time, ETag */
err s3_key_check(const char *key);
/* Of what is removed: that it is not there is what was wanted, a missing bucket is told. */
err s3_absent_is_fine(const struct s3_call *call, uint64_t mark, err e);
/* Asks what is there after a write, which was `call`: its key, its deadline, whether it was to be refused where something is.
 * E_CORRUPT: another size; it is removed if it has our id. E_UNSUPPORTED: it has another's id, although the server was to refuse
 * one of the two; where nothing was to be refused that is fine, and so is that we may not ask. */
MUST_USE err s3_confirm(struct s3 *c, const struct s3_call *call, uint64_t bytes, const char *id, struct s3_object *out);
/* After a try whose end is not known: is what is there ours? */
MUST_USE err s3_is_ours(struct s3 *c, const char *key, const char *id, ms deadline, bool *ours);
bool s3_may_be_there(const struct s3_call *call, bool written, err e);            /* by a call that ended so */
MUST_USE err s3_undo(struct s3 *c, const char *key, const char *id, ms deadline); /* removes it if it is */

#endif
