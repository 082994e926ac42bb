/* notify: tells the outside of backups: a webhook of failed and stale ones and of recoveries, a ping URL of good ones.
 *
 * Layer    agents/backup.                                 Blocks   notify_run() parks its fiber; the rest never waits.
 * Owner    the caller owns it until notify_close();       Memory   TASK_BACKUP: NOTIFY_QUEUE_MAX notices; while one is on its
 *          the options' config and dns outlive it.                 way one connection, one buffer, and TLS with its CA.
 * Time     monotonic for back-off and repeats; the        Errors   none to the teller: what cannot be delivered is tried again,
 *          wall clock is only told.                                then logged and counted in holdfast_notify_failures_total.
 *
 * The rules:
 * - A destination's failed runs in a row are one streak: told once at its start, and again every 24 h while it lasts. So is a
 * stale one.
 * - A good run after that tells "recovered", once for both. It takes the place of what has not been delivered of the destination.
 * - Notices go out in order, one at a time. Each has NOTIFY_ATTEMPTS_MAX attempts within an hour of its first, 5 s, 10 s … 5 min
 * apart and up to a quarter more; then it is given up. A later one of the same destination and kind replaces one that waits.
 * - The ping is sent after a good run of any destination, when no run is under way or due any more (notify_round()), while none
 * is failing or stale; it never waits behind a notice that is to be tried again.
 * - What is known is of this process: after a restart a streak begins anew, and nothing is told of its end if it ended before.
 * - Of the URLs only scheme and host are ever logged. */
#ifndef HOLDFAST_NOTIFY_H
#define HOLDFAST_NOTIFY_H

#include "agents/backup/backup.h"

#define NOTIFY_QUEUE_MAX    16
#define NOTIFY_ATTEMPTS_MAX 10

struct notify_options {
    const struct config *config; /* notify, and the destinations' names */
    struct dns *dns;
    const char *version; /* told in each message; static */
};
struct notify;
MUST_USE err notify_open(const struct notify_options *o, struct notify **out);
void notify_close(struct notify *n); /* after its fiber has ended; what waits is dropped. NULL is fine */
/* The fiber, of TASK_BACKUP; ends with E_CANCELED only. Without URLs it sleeps. */
err notify_run(void *notify);

/* For struct backup_events; in any fiber. A destination that is not configured is let be. */
void notify_done(void *notify, const struct backup_record *r);
void notify_failed(void *notify, const char *destination, const char *reason, const char *words);
void notify_stale(void *notify, const char *destination, bool stale, int64_t newest_s); /* newest_s 0: there is none */

void notify_round(void *notify);

/* For /readyz?verbose: false and why while the last attempt failed. */
bool notify_is_well(void *notify, struct text *why);

#endif
