/* s3_peer: a small S3 with faults on request, in the program under test's own world: for unit tests and the simulated one.
 *
 * Layer    tests.   Owner   the test; it outlives s3_peer_close().   Blocks   never; its fibers (TASK_METRICS) do.
 * Memory   struct s3_peer, static; some KiB of TASK_METRICS a connection.   Errors   those of listening.
 *
 * It does what the client asks for: PUT, HEAD, GET with a range, DELETE, ListObjectsV2, uploads in parts and their list. It
 * checks the access key's name, the token, the date and the body's SHA-256, not the signature: that is for real servers. */
#ifndef HOLDFAST_TEST_S3_PEER_H
#define HOLDFAST_TEST_S3_PEER_H

#include "board/rt/sync.h"
#include "net/proto/stream.h"
#include "tests/support/acceptor.h"

#define S3_PEER_OBJECTS_MAX 64
#define S3_PEER_UPLOADS_MAX 8
#define S3_PEER_PARTS_MAX   16
#define S3_PEER_BYTES_MAX   MIB(4) /* all bodies that ever came */
#define S3_PEER_TOLD_MAX    2048

enum s3_peer_how {
    S3_PEER_ANSWER, /* status and code, before a body is wanted */
    S3_PEER_RESET,  /* in the middle of the body */
    S3_PEER_CLOSE,  /* without an answer */
    S3_PEER_SILENT, /* for ever */
    S3_PEER_LOST,   /* carried out, but the answer is lost */
    S3_PEER_CUT,    /* the connection ends in the middle of the answer */
    S3_PEER_ETAG,   /* a wrong one */
    S3_PEER_LATE,   /* 200, and status and code in the body */
    S3_PEER_LEAVES, /* ends the connection behind the answer, without having said so */
    S3_PEER_SHORT   /* keeps half of what came */
};
struct s3_peer_fault {
    const char *op; /* "PutObject"; NULL ends a list */
    unsigned n;     /* the n-th of it, from 1; 0: all */
    enum s3_peer_how how;
    unsigned status;
    const char *code, *header; /* header: one more line without its end, or NULL */
};

struct s3_peer_object {
    char key[128], etag[64], id[40];
    size_t at, bytes;
    bool there;
};
struct s3_peer_upload {
    char key[128], id[40];
    size_t at, bytes; /* of its parts, gathered */
    unsigned number, parts;
    size_t part_at[S3_PEER_PARTS_MAX], part_bytes[S3_PEER_PARTS_MAX];
    bool there;
};

struct s3_peer {
    /* the test's */
    struct addr at;
    const char *access_key, *token; /* NULL: any */
    int64_t clock_ms;               /* what its clock is ahead of ours */
    unsigned page;                  /* keys a page; 0: 1000 */
    bool refuses_conditions, ignores_expect, refuses_expect, write_only;
    bool no_tokens;                     /* a truncated list has no continuation token */
    const struct s3_peer_fault *faults; /* NULL: none */
    struct tls_config *tls;             /* NULL: plain */
    /* what was seen: "PutObject HeadObject", and how many of each fault's kind came */
    char told[S3_PEER_TOLD_MAX];
    unsigned connections, uploads_begun;
    unsigned met[16];
    /* its own */
    struct group group;
    struct sock listener;
    struct acceptor acceptor;
    struct s3_peer_object objects[S3_PEER_OBJECTS_MAX];
    struct s3_peer_upload uploads[S3_PEER_UPLOADS_MAX];
    size_t content_len;
    uint8_t content[S3_PEER_BYTES_MAX];
};
MUST_USE err s3_peer_open(struct s3_peer *p); /* listens at p->at; port 0: it is filled in */
void s3_peer_close(struct s3_peer *p);        /* idempotent */
/* NULL: there is none. */
const struct s3_peer_object *s3_peer_find(const struct s3_peer *p, const char *key);
/* False: no room. */
bool s3_peer_put(struct s3_peer *p, const char *key, struct bytes body);
unsigned s3_peer_pending(const struct s3_peer *p); /* uploads neither completed nor aborted */

#endif
