/* metrics: what the hub tells of itself: /metrics, /healthz, /readyz on the `listen` address.
 *
 * Layer    agents.                                         Blocks   parks the fiber; answers are written in pieces.
 * Owner    the caller owns it until metrics_stop();        Memory   TASK_METRICS: one server, one buffer an answer.
 *          the options' lines and routes outlive it.
 * Errors   those of http_server_start(): E_BUSY or E_DENIED the address is taken or not ours to use. */
#ifndef HOLDFAST_METRICS_H
#define HOLDFAST_METRICS_H

#include "board/rt/addr.h"
#include "board/rt/text.h"

struct ready_line { /* a line of /readyz?verbose */
    const char *name;
    bool (*is_well)(void *arg, struct text *why);
    void *arg;
};

struct http_exchange;
struct metrics_route {                                 /* a path that another agent answers, in a fiber of TASK_METRICS */
    const char *path;                                  /* "/backups"; also on the page of links */
    err (*answer)(void *arg, struct http_exchange *x); /* of GET and HEAD */
    void *arg;
};
#define METRICS_ROUTES_MAX   8
#define METRICS_ROUTE_MS_MAX SECONDS(10) /* for such an answer in all; then its connection is cut. Of too many at once: 503 */

struct metrics_options {
    struct addr at;
    const struct ready_line *lines;
    size_t line_count;
    const struct metrics_route *routes; /* read at each request: an arg may be filled in later */
    size_t route_count;                 /* at most METRICS_ROUTES_MAX */
    /* Why /readyz is 503, or NULL: it is 200; the text lives until the next wait. NULL: always 200. */
    const char *(*not_ready)(void *arg);
    void *not_ready_arg;
    const char *version, *target; /* of holdfast_build_info; static */
};

struct metrics;
MUST_USE err metrics_start(const struct metrics_options *o, struct metrics **out);
/* Other lines from now on: after it nobody asks the old ones. */
void metrics_set_lines(struct metrics *m, const struct ready_line *lines, size_t count);
/* Other routes from now on. Answers of the old ones in work are canceled and their connections cut; none is left when it
 * returns, so that what the old ones' args point to may go. */
void metrics_set_routes(struct metrics *m, const struct metrics_route *routes, size_t count);
const struct addr *metrics_address(const struct metrics *m);
void metrics_stop(struct metrics *m, ms deadline); /* NULL is fine */

/* The registry's series for tasks, pool, loop, buffers and process; a collector keeps them current. Once a process. */
MUST_USE err metrics_register(const char *version, const char *target);

#endif
