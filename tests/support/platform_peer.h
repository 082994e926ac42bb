/* platform_peer: the platform of ingest.md 4 and 5 with faults on request, in the program under test's own world: HTTP/1.1 over
 * plain TCP, or HTTP/2 over TLS. It is strict about method, path, headers and token; signatures are for real peers to check.
 *
 * Layer    tests.   Owner   the test; it outlives platform_peer_close().   Blocks   never; its fibers (TASK_BACKUP) do.
 * Memory   struct platform_peer, static; some KiB of TASK_BACKUP a connection.   Errors   those of listening. */
#ifndef HOLDFAST_TEST_PLATFORM_PEER_H
#define HOLDFAST_TEST_PLATFORM_PEER_H

#include "net/proto/http_server.h"
#include "tests/support/grpc_server.h"

enum platform_op { PLATFORM_TOKEN, PLATFORM_SNAPSHOT, PLATFORM_EVENT, PLATFORM_HEARTBEAT, PLATFORM_OPS };
enum platform_how {
    PLATFORM_ANSWER,
    PLATFORM_CUT /* closes without an answer */,
    PLATFORM_LOST /* takes it, and closes without an answer; h1 only */,
    PLATFORM_SILENT /* for `wait_ms`, then closes */
};

struct platform_fault {
    enum platform_op op;
    unsigned from, to; /* the from-th to the to-th of it, from 1; to 0: the last is none */
    enum platform_how how;
    unsigned status;    /* 0: as it would without the fault */
    const char *header; /* "Retry-After: 7"; h1 only */
    const char *body;
    unsigned wait_ms; /* before it does anything */
};

#define PLATFORM_ARRIVALS_MAX 4096
#define PLATFORM_STEPS_MAX    512
#define PLATFORM_BODY_MAX     MIB(1)

struct platform_peer {
    /* the test's */
    struct addr at;         /* then the bound one */
    struct tls_config *tls; /* HTTP/2 over TLS; NULL: HTTP/1.1 */
    const struct platform_fault *faults;
    unsigned fault_count;
    const char *token_answer; /* instead of tokens tok-1, tok-2 … */
    unsigned life_s;          /* of a token; 0: expires_in is not told */
    unsigned refused_below;   /* tokens of lower numbers are answered 401 */
    /* Told of what was taken, instead of {"n":7…}; whole in PLATFORM_BODY_MAX bytes of one snapshot at a time, its beginning of
     * events. h1 only. */
    void (*taken)(enum platform_op op, const char *body);
    /* seen */
    unsigned count[PLATFORM_OPS], good[PLATFORM_OPS];
    unsigned tokens, wrong;
    char why[160];                                /* of the first that was wrong */
    ms arrived[PLATFORM_OPS][PLATFORM_STEPS_MAX]; /* by number, the first of them */
    uint64_t body_bytes[PLATFORM_OPS];
    uint32_t body_sum;                      /* of the last snapshot's bytes */
    char last_token_body[KIB(2)];           /* h1: the form */
    uint32_t events[PLATFORM_ARRIVALS_MAX]; /* the number in each event's body that was good: {"n":7…} */
    unsigned event_count;
    unsigned in_work, in_work_peak;
    char snapshot[PLATFORM_BODY_MAX]; /* for taken() */
    /* its own */
    struct http_server *h1;
    struct server h2;
    struct group group;
    struct server_step steps[PLATFORM_STEPS_MAX][5];
    char answers[PLATFORM_STEPS_MAX][160];
    unsigned steps_used;
};
MUST_USE err platform_peer_open(struct platform_peer *p);
void platform_peer_close(struct platform_peer *p);
void platform_peer_forget(struct platform_peer *p); /* what was seen */

#endif
