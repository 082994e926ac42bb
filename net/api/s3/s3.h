/* s3: the part of S3's REST API that a keeper of backups needs, signed (SigV4), streamed, tried again.
 *
 * Layer    api.                                     Blocks   parks the fiber; hashing and TLS handshakes compute on the pool.
 * Owner    the caller owns the client and what it   Memory   the current task's heap: S3_CLIENT_BYTES_MAX a client, and while a
 *          opened; all of it before s3_close().              request runs one 16 KiB buffer; two connections at most, opened
 * Time     each call ends by its deadline, retries           when needed, kept, ended by s3_close() (with TLS as tls.h says;
 *          and all; S3_SILENCE_MS_MAX without a              measured: one at work 63 KB plain, 185 KB with TLS and its CA).
 *          byte ends one try of it.                          An upload: 17 bytes a part where ETags are 32 hex digits, at most
 *                                                            65. Keys, tokens and upload ids have the bounds below.
 * Errors   E_ABSENT no such key, upload or bucket (says which); E_DENIED refused, with S3's code and what to do; E_EXISTS a
 *          condition failed: the key is there; E_UNSUPPORTED the server does not do conditional requests; E_RANGE too large, or
 *          a range beyond the end; E_INVALID a wrong region (names the right one) or argument; E_CORRUPT what is stored is not
 *          what was sent; E_REMOTE any other answer, with its code; those of http_client.h. Trails name endpoint, bucket and
 *          key; no credential, no signature and no query is ever told.
 *
 * Tried again, S3_TRIES_MAX times in all, after a jittered pause or as Retry-After says, within the deadline: 429, 500, 502, 503,
 * 504, SlowDown, InternalError, RequestTimeout, resets, closed and silent connections. Once more: RequestTimeTooSkewed, after the
 * clock's skew was learned from the server; ExpiredToken, when the credentials have become others. Every fiber may use the client
 * at a time; beyond two requests they wait for each other. */
#ifndef HOLDFAST_S3_H
#define HOLDFAST_S3_H

#include "net/proto/http_client.h"

#define S3_KEY_MAX          1025 /* 1024 bytes and the zero: Amazon S3, object key naming */
#define S3_ETAG_MAX         65   /* as sent, with its quotes, and the zero; the usual has 34 */
#define S3_UPLOAD_ID_MAX    513  /* with the zero; servers give 32 to 350 */
#define S3_OBJECT_ID_MAX    33   /* 16 random bytes in hex, and the zero */
#define S3_BUCKET_MAX       64   /* 3 to 63 bytes: Amazon S3, bucket naming */
#define S3_REGION_MAX       64
#define S3_PARTS_MAX        10000 /* Amazon S3, multipart limits; all parts but the last are >= 5 MiB there */
#define S3_PART_BYTES_LEAST MIB(5)
#define S3_PART_BYTES_MAX   MIB(64) /* ours */
#define S3_PUT_BYTES_MAX    MIB(64) /* ours, of one PUT */
#define S3_CLIENT_BYTES_MAX KIB(48)
#define S3_TRIES_MAX        5
#define S3_UNDO_MS_MAX      SECONDS(4)  /* a hub that stops waits for it */
#define S3_SILENCE_MS_MAX   SECONDS(30) /* of a connection in a try; s3_upload_complete() and s3_get_read(): as they say */

enum s3_addressing { S3_PATH, S3_VIRTUAL }; /* https://host/bucket/key, or https://bucket.host/key */

struct s3_credentials {
    char access_key[128], secret_key[128];
    char session_token[2048]; /* "" none */
};

struct s3_options {
    const char *endpoint;          /* "https://host[:port]", http too; no path */
    const char *bucket, *region;   /* region "": "us-east-1" */
    enum s3_addressing addressing; /* S3_VIRTUAL needs a name as host, and with https a bucket without dots */
    struct tls_config *tls;        /* required for https; a reference is taken */
    struct dns *dns;               /* borrowed until s3_close() */
    /* Asked before each request, in the caller's fiber; it may wait. *out comes zeroed and is wiped after use. */
    err (*credentials)(void *arg, struct s3_credentials *out);
    void *arg;
};

struct s3;
MUST_USE err s3_open(const struct s3_options *o, struct s3 **out); /* copies the texts; connects to nobody yet */
void s3_close(struct s3 *c);                                       /* NULL is fine */
/* What is added to our clock for signing: 0 until a server refused it. Logged when it changes. */
int64_t s3_clock_skew_ms(const struct s3 *c);
/* How far the server's clock was ahead of ours by its last answer's Date, refused or not. False: none had one. */
bool s3_clock_seen(const struct s3 *c, int64_t *ahead_ms);

struct s3_object {
    uint64_t bytes;
    int64_t modified_s;     /* since 1970; 0 unknown */
    char etag[S3_ETAG_MAX]; /* "" unknown */
    bool confirmed;         /* asked back after writing; false: the credentials may write only, so nothing could be asked */
    bool in_doubt;          /* of a write that failed: it may lie there all the same, or come to lie there */
};
/* Of an object to be: stored with it, it tells what we wrote from what another one wrote under the same key. */
void s3_object_id(char out[S3_OBJECT_ID_MAX]);
/* One PUT. if_none_match: E_EXISTS when the key is there; when an earlier try of this very call wrote it, OK; E_UNSUPPORTED:
 * asked back it is another's, so the server looks before it writes and does not see who comes meanwhile. id NULL: a new one. body
 * and what it points to must stay until it returns. out may be NULL: of another one's place. Else, where it fails and may have
 * been written all the same, what is there is removed if it is this call's (shielded, S3_UNDO_MS_MAX); where that cannot be, the
 * error says that it may lie there. Asking back takes its time: all tries, a pause, and once more. */
MUST_USE err s3_put(struct s3 *c, const char *key, const char *id, struct bytes body, bool if_none_match, ms deadline,
                    struct s3_object *out);
MUST_USE err s3_head(struct s3 *c, const char *key, ms deadline, struct s3_object *out);
MUST_USE err s3_delete(struct s3 *c, const char *key, ms deadline); /* OK too when it is not there: S3 does not tell */
/* If what is there has this id. *removed: it had, and is gone. E_DENIED: the credentials cannot ask. */
MUST_USE err s3_delete_own(struct s3 *c, const char *key, const char *id, ms deadline, bool *removed);

/* --- reading --- */
struct s3_get;
/* From byte `from` to the end; E_RANGE when there is no such byte (an empty object from 0 is fine). Takes one of the two
 * connections until s3_get_end(). The deadline is that of the opening. */
MUST_USE err s3_get_open(struct s3 *c, const char *key, uint64_t from, ms deadline, struct s3_get **out);
const struct s3_object *s3_get_object(const struct s3_get *g); /* of the whole object */
/* *got 0: the end, and every byte was given. A connection that breaks is opened anew where it broke, S3_TRIES_MAX times in a row
 * without a byte; E_CORRUPT when the object has become another one. deadline: of this call, so an idle limit. */
MUST_USE err s3_get_read(struct s3_get *g, void *into, size_t cap, ms deadline, size_t *got);
void s3_get_end(struct s3_get *g); /* NULL is fine; in the middle it gives the connection up */

/* --- listing --- */
struct s3_item {
    const char *key; /* as it is; valid during the call */
    uint64_t bytes;
    int64_t modified_s;
    const char *etag; /* as sent, with its quotes */
};
/* Every key that begins with prefix and comes after start_after ("" all), page by page in fixed memory, each once; a page that
 * breaks is taken up behind the last key given. each() may call the client (one connection is free) and may wait, but not longer
 * than the server's patience; its error ends the listing and is returned. page_ms: the limit of one page, retries and each()
 * included. A key over S3_KEY_MAX is E_PROTOCOL. */
MUST_USE err s3_list(struct s3 *c, const char *prefix, const char *start_after, ms page_ms,
                     err (*each)(void *arg, const struct s3_item *item), void *arg);

/* --- uploads in parts: nobody sees the object before complete --- */
struct s3_upload;
/* id: the object's to be; NULL: a new one. */
MUST_USE err s3_upload_open(struct s3 *c, const char *key, const char *id, ms deadline, struct s3_upload **out);
const char *s3_upload_id(const struct s3_upload *u);
/* The next part, number 1 first and then one by one (E_INVALID otherwise), <= S3_PART_BYTES_MAX, not empty. Hashed on the pool,
 * sent where it lies; it must stay until the call returns. */
MUST_USE err s3_upload_part(struct s3_upload *u, unsigned number, struct bytes part, ms deadline);
/* Then asks back: E_CORRUPT when the object has another size than what was sent, and removes it if it is ours. The server may be
 * silent until the deadline. if_none_match as in s3_put(). out may be NULL. u stays until s3_upload_close(). */
MUST_USE err s3_upload_complete(struct s3_upload *u, bool if_none_match, ms deadline, struct s3_object *out);
/* Removes the parts; OK when it is not there any more. After a completion that failed, or was not heard of, the object goes too,
 * if it is ours. Use it shielded: it waits. */
MUST_USE err s3_upload_abort(struct s3_upload *u, ms deadline);
void s3_upload_close(struct s3_upload *u); /* frees; neither completes nor aborts. NULL is fine */

struct s3_pending {
    const char *key, *upload_id; /* valid during the call */
    int64_t initiated_s;
};
/* Uploads that were neither completed nor aborted, of keys that begin with prefix; each() as in s3_list(). */
MUST_USE err s3_list_uploads(struct s3 *c, const char *prefix, ms page_ms, err (*each)(void *arg, const struct s3_pending *item),
                             void *arg);
/* OK when it is not there; *there tells, NULL: nobody wants to know. */
MUST_USE err s3_abort(struct s3 *c, const char *key, const char *upload_id, ms deadline, bool *there);

#endif
