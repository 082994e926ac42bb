/* control: the socket by which commands ask a running hub, and the lock that says one runs.
 *
 * Layer    board.                                    Blocks   parks the fiber.
 * Owner    the caller; the options' handlers and     Memory   TASK_CONTROL: one HTTP server; a handler's fiber is charged to
 *          arguments outlive control_stop().                  it, what it asks of an agent to the agent.
 * Errors   E_BUSY another process holds <data>/holdfast.lock (its id is in the trail); those of file.h and http_server.h.
 *
 * HTTP/1.1 on <data>/holdfast.sock, mode 0600: only root or the hub's user may ask. What is answered in time is one JSON
 * document; what takes long is a stream of JSON lines (application/x-ndjson):
 * {"progress":{"received_bytes":…,"total_bytes":…,"what":…}} any number of times, and at the end {"result":…,"exit":N} or
 * {"error":"…","exit":N}.
 *
 *   POST /backup/now?level=2|4&destination=NAME    POST /backup/prune?dry_run=0|1&destination=NAME
 *   POST /etcd/defrag?dry_run=0|1&all=1&nospace=1&without_backup=1
 *   POST /backup/rehearse?destination=NAME         GET /ingest/status
 * What only reads (list, retention, verify, restore) reads the files itself. */
#ifndef HOLDFAST_CONTROL_H
#define HOLDFAST_CONTROL_H

#include "board/command.h"
#include "net/proto/http_server.h"

#define CONTROL_SOCKET_NAME "holdfast.sock"
#define CONTROL_LOCK_NAME   "holdfast.lock"

/* --- the lock: flock(2) on <data>/holdfast.lock, held until control_unlock() or the process ends; the folder is made --- */
struct control_lock {
    struct lane lane;
    os_fd fd; /* -1: not held */
};
MUST_USE err control_lock_take(struct control_lock *l, const char *data, ms deadline);
void control_lock_give(struct control_lock *l); /* idempotent; legal on a zeroed one with fd -1 */

/* --- the hub's side --- */
struct control_route {
    const char *method, *path;
    /* Answers; a long one by control_progress() and control_result(). */
    err (*answer)(void *arg, struct http_exchange *x);
    void *arg;
};
struct control;
#define CONTROL_ROUTES_MAX    16
#define CONTROL_PARAMETER_MAX 64  /* of a value, decoded, with its zero; a longer one is refused with 400 before any handler */
#define CONTROL_ERROR_MAX     512 /* of an error's words; more is cut */
#define CONTROL_REPLY_MAX     KIB(255)
MUST_USE err control_start(const char *data, const struct control_route *routes, size_t count, struct control **out);
void control_stop(struct control *c, ms deadline); /* removes the socket; NULL is fine */
/* The value of a query parameter of the request into out, decoded; cap >= CONTROL_PARAMETER_MAX. False: not there. */
bool control_parameter(const struct http_exchange *x, const char *name, char *out, size_t cap);
MUST_USE err control_progress(struct http_exchange *x, const char *what, uint64_t received_bytes, uint64_t total_bytes);
/* Ends a stream: `json` is a whole JSON value; or, NULL, `error` a text of what was wrong. A handler that returns an error before
 * needs none: its trail is told, with exit_code_of() it. */
MUST_USE err control_result(struct http_exchange *x, const char *json, const char *error, enum exit_code code);

/* --- the command's side --- */
struct control_reply {
    struct buf *json; /* the result as it came, len bytes and a zero; NULL: there was an error. The caller releases it */
    char error[CONTROL_ERROR_MAX];
    enum exit_code code;
    bool asked; /* there was a hub, and it may have begun: after an error nobody knows whether it is done */
};
/* How long a hub may say nothing; one at work tells of progress at least every 5 s. */
#define CONTROL_SILENCE_MS_MAX SECONDS(30)
/* Asks the hub that holds the lock of `data`. E_ABSENT: none runs (no socket, or nobody listens on it): work yourself, under the
 * lock. E_TIMEOUT: it said nothing for CONTROL_SILENCE_MS_MAX, or the deadline passed. E_BUSY: as many ask it as may. progress
 * may be NULL. The result must fit 255 KiB: E_RANGE. */
MUST_USE err control_ask(const char *data, const char *method, const char *target,
                         void (*progress)(void *arg, const char *what, uint64_t received_bytes, uint64_t total_bytes), void *arg,
                         ms deadline, struct control_reply *out);

#endif
