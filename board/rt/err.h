/* err: what can go wrong in the world, and the trail of what was being done.
 *
 * Layer    rt.                                    Blocks   never.
 * Owner    the trail is one fixed ring a process; Memory   TRAIL_ENTRIES_MAX x TRAIL_TEXT_MAX, static.
 * Threads  any; each entry is written whole.      Errors   this is where they are listed, once. */
#ifndef HOLDFAST_ERR_H
#define HOLDFAST_ERR_H

#include "board/rt/base.h"

/* How a caller may treat it: NEVER  the same call will fail again;  LATER  it may pass after a back-off;
 * STOP  we are being asked to end;  NONE  not a failure. */
enum retry { RETRY_NONE, RETRY_NEVER, RETRY_LATER, RETRY_STOP };

/*        code           retry   text */
#define ERR_TABLE(X)                                                                                                             \
    X(OK, NONE, "ok")                                                                                                            \
    X(E_CANCELED, STOP, "canceled")                                                                                              \
    X(E_TIMEOUT, LATER, "deadline passed")                                                                                       \
    X(E_AGAIN, LATER, "not ready")                                                                                               \
    X(E_BUDGET, LATER, "memory budget spent")                                                                                    \
    X(E_FULL, LATER, "full")                                                                                                     \
    X(E_BUSY, LATER, "busy")                                                                                                     \
    X(E_LATE, LATER, "no progress within its limit")                                                                             \
    X(E_ABSENT, NEVER, "not there")                                                                                              \
    X(E_DENIED, NEVER, "refused: permission")                                                                                    \
    X(E_EXISTS, NEVER, "exists already")                                                                                         \
    X(E_INVALID, NEVER, "not valid")                                                                                             \
    X(E_RANGE, NEVER, "out of range or too large")                                                                               \
    X(E_UNSUPPORTED, NEVER, "not supported")                                                                                     \
    X(E_CORRUPT, NEVER, "damaged data")                                                                                          \
    X(E_NOSPACE, LATER, "no space left on the disk")                                                                             \
    X(E_READONLY, NEVER, "read-only file system")                                                                                \
    X(E_IO, LATER, "input/output error")                                                                                         \
    X(E_NAME, LATER, "name does not resolve")                                                                                    \
    X(E_REFUSED, LATER, "connection refused")                                                                                    \
    X(E_UNREACHABLE, LATER, "peer unreachable")                                                                                  \
    X(E_RESET, LATER, "connection reset")                                                                                        \
    X(E_CLOSED, LATER, "closed by the peer")                                                                                     \
    X(E_PROTOCOL, LATER, "peer broke the protocol")                                                                              \
    X(E_TLS, LATER, "TLS failure")                                                                                               \
    X(E_CERT_UNTRUSTED, NEVER, "peer's certificate is not signed by the CA")                                                     \
    X(E_CERT_NAME, NEVER, "peer's certificate is for another name")                                                              \
    X(E_CERT_TIME, LATER, "peer's certificate is expired or not yet valid")                                                      \
    X(E_CERT_WANTED, NEVER, "peer refused our certificate or wants one")                                                         \
    X(E_REMOTE, LATER, "peer answered with an error")                                                                            \
    X(E_USAGE, NEVER, "wrong usage")                                                                                             \
    X(E_CONFIG, NEVER, "wrong configuration")

typedef enum err {
#define X(code, retry, text) code,
    ERR_TABLE(X)
#undef X
        ERR_COUNT
} err;

const char *err_name(err e); /* "E_TIMEOUT"; static */
const char *err_text(err e); /* "deadline passed"; static */
enum retry err_retry(err e);

#define TRAIL_ENTRIES_MAX 32  /* older entries are overwritten */
#define TRAIL_TEXT_MAX    160 /* bytes an entry, cut with "..." */

/* Each hop adds what it was doing, innermost first, and passes the error on:  return trail(e, "opening %s", path);
 * Does nothing for OK and E_CANCELED. Never put a secret here. Entries belong to the fiber that added them. */
MUST_USE err trail(err e, const char *format, ...) PRINTF_LIKE(2, 3);
/* What led to `e`: the current fiber's newest entries, back to the first one with another code (which was of another failure),
 * outermost first, joined by ": ", ended by the error's text; cut to `cap` with the zero. Returns out. */
const char *trail_text(err e, char *out, size_t cap);
/* The same without the error's own text, for whoever tells the error elsewhere by trail(e, "%s", out); then forgets all. */
void trail_take(err e, char *out, size_t cap);
void trail_clear(void); /* forgets the current fiber's entries */
/* Around what may fail without being a failure (a name that is no address, a cleanup): forgets what it added. */
uint64_t trail_mark(void);
void trail_rewind(uint64_t mark);
void trail_dump(int fd); /* the whole ring, a line an entry; async-signal-safe */

/* For the few places where a failure is told elsewhere or changes nothing; the reason stands beside it. */
static inline void err_ignore(err e)
{
    (void)e;
}

#define TRY(expression)                                                                                                          \
    do {                                                                                                                         \
        err try_result_ = (expression);                                                                                          \
        if (try_result_ != OK)                                                                                                   \
            return try_result_;                                                                                                  \
    } while (0)

#endif
