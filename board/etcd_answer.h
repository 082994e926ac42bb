/* etcd_answer: what `etcd status` and `etcd defrag` print and a running hub answers: items of a JSON array, as backup_answer.h
 * has it.
 *
 * Layer    board.                      Blocks   parks the fiber, as the agent does.
 * Owner    the caller of everything.   Memory   one I/O buffer for the item in work; a view on the heap.
 * Errors   are items too. */
#ifndef HOLDFAST_ETCD_ANSWER_H
#define HOLDFAST_ETCD_ANSWER_H

#include "agents/guardian/guardian.h"
#include "board/backup_answer.h"

struct etcd_wish {
    bool dry_run, all, nospace, without_backup;
};
struct etcd_wish etcd_wish_of(const struct command_line *line);
/* One look: a row a member. 0 all is well, 1 something is bad (*why says what), 3 nobody could be asked. */
enum exit_code answer_etcd_status(struct guardian *g, struct text *why, const struct answer *to);
/* A step an item: {step, member, why, done, took_ms, stall_ms, won_bytes, error}; the last is `rest`, or what it stopped at.
 * 0 all is done that was to be, 4 some of it, 1 nothing, 75 another hub guards. */
enum exit_code answer_etcd_defrag(struct guardian *g, const struct config *c, const struct etcd_wish *wish,
                                  const struct backup_watcher *w, const struct answer *to);

void print_etcd_member(const struct json *item); /* a row of `etcd status` */
void print_etcd_step(const struct json *item);

/* This host's name, for the guardian's key. Returns out. */
const char *etcd_host_name(char *out, size_t cap);

#endif
