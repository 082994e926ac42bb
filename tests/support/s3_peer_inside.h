/* s3_peer_inside: a connection of the pretended S3, between what receives and answers (s3_peer.c) and what is done
 * (s3_peer_ops.c).
 *
 * Layer    tests.   Owner, Memory   as in s3_peer.h.   Blocks   what sends parks the fiber.   Errors   E_CLOSED: end the
 * connection. */
#ifndef HOLDFAST_TEST_S3_PEER_INSIDE_H
#define HOLDFAST_TEST_S3_PEER_INSIDE_H

#include "net/format/http1.h"
#include "tests/support/s3_peer.h"

#define S3_PEER_HEAD_MAX   KIB(12)
#define S3_PEER_ANSWER_MAX KIB(24)

struct s3_peer_conn {
    struct s3_peer *peer;
    struct stream *stream;
    size_t len; /* of `buffer` */
    struct http1_head head;
    const struct s3_peer_fault *fault; /* of this request */
    char op[32], key[128], query[1024], etag[64];
    struct bytes body;
    bool bucket; /* no key */
    bool deaf;   /* what is answered goes nowhere */
    uint8_t buffer[S3_PEER_HEAD_MAX];
    char answer[S3_PEER_ANSWER_MAX];
};

MUST_USE err s3_peer_send(struct s3_peer_conn *c, const char *text, size_t len);
/* fields: header lines with their ends. body NULL: `length` bytes of it follow by s3_peer_send(). */
MUST_USE err s3_peer_reply(struct s3_peer_conn *c, unsigned status, const char *fields, const char *body, uint64_t length);
MUST_USE err s3_peer_refuse(struct s3_peer_conn *c, unsigned status, const char *code, const char *header);
bool s3_peer_field(const struct s3_peer_conn *c, const char *name, char *out,
                   size_t cap); /* of the request's head; "" and false */
bool s3_peer_param(const struct s3_peer_conn *c, const char *name, char *out, size_t cap); /* of its query, decoded */
MUST_USE err s3_peer_perform(struct s3_peer_conn *c);                                      /* c->op, and its answer */

#endif
