/* hub_control: what commands ask of a running hub, and GET /backups. The agent's work is done in a fiber of the agent, so that
 * its memory pays and a reload ends it; who asked waits, tells of progress, and may go: what was begun goes on to its end. */
#include "board/backup_answer.h"
#include "board/backup_items.h"
#include "board/etcd_answer.h"
#include "board/hub.h"

#include "board/rt/mem.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_MS     200
#define TELL_MS     SECONDS(5) /* a command hears from us at least so often: CONTROL_SILENCE_MS_MAX */
#define ITEMS_BYTES (CONTROL_REPLY_MAX - KIB(1))

#define BETWEEN "the hub starts, ends, or changes its configuration; try again"

struct request {
    struct hold hold; /* who asked, and the fiber at work */
    struct hub *hub;
    enum exit_code (*run)(struct request *r, const struct answer *to);
    unsigned level;
    bool dry_run, all;
    bool is_etcd; /* the guardian's */
    struct etcd_wish wish;
    char destination[CONTROL_PARAMETER_MAX];
    struct waitq ended_wait;
    bool ended, moved, canceled;
    enum exit_code code;
    const char *what; /* of the progress */
    uint64_t done_bytes, total_bytes;
    struct backup_items items; /* of TASK_BACKUP's heap */
};

static void request_drop(struct hold *hold)
{
    struct request *r = CONTAINER_OF(hold, struct request, hold);
    backup_items_close(&r->items);
    free(r);
}

/* --- the fiber at work --- */

/* What finds no room is counted and told at the end: the work itself goes on. */
static err take_item(void *arg, struct bytes json)
{
    struct request *r = arg;
    backup_items_add(&r->items, json);
    return OK;
}

static void take_progress(void *arg, const char *what, uint64_t done_bytes, uint64_t total_bytes)
{
    struct request *r = arg;
    r->what = what;
    r->done_bytes = done_bytes;
    r->total_bytes = total_bytes;
    r->moved = true;
}

static const char *destination_of(const struct request *r)
{
    return r->all ? NULL : r->destination;
}

static enum exit_code run_now(struct request *r, const struct answer *to)
{
    const struct hub_epoch *e = &r->hub->epoch;
    return answer_now(e->backup, e->config, destination_of(r), r->level, &(struct backup_watcher){take_progress, r}, to);
}

static enum exit_code run_prune(struct request *r, const struct answer *to)
{
    const struct hub_epoch *e = &r->hub->epoch;
    return answer_prune(e->backup, e->config, destination_of(r), r->dry_run, to);
}

static enum exit_code run_defrag(struct request *r, const struct answer *to)
{
    const struct hub_epoch *e = &r->hub->epoch;
    return answer_etcd_defrag(e->guardian, e->config, &r->wish, &(struct backup_watcher){take_progress, r}, to);
}

static enum exit_code run_rehearse(struct request *r, const struct answer *to)
{
    const struct hub_epoch *e = &r->hub->epoch;
    return answer_rehearse(e->backup, e->config, destination_of(r), &(struct backup_watcher){take_progress, r}, to);
}

static err work(void *arg)
{
    struct request *r = arg;
    r->code = fiber_canceled() ? EXIT_BAD : r->run(r, &(struct answer){take_item, r});
    r->canceled = fiber_canceled();
    r->ended = true;
    waitq_wake_all(&r->ended_wait);
    hold_release(&r->hold);
    return OK;
}

/* --- who asked --- */

static err tell_end(struct request *r, struct http_exchange *x)
{
    char words[128];
    struct text t = text_over(words, sizeof words);
    if (r->canceled && r->items.len == 0)
        return control_result(x, NULL, "canceled: the hub ends, or has a new configuration; nothing half-made is left", r->code);
    if (r->items.left_out == 0)
        return control_result(x, backup_items_array(&r->items), NULL, r->code);
    text_addf(&t, "done, but %u more items than the answer has room for; see the hub's log", r->items.left_out);
    return control_result(x, NULL, words, r->code == EXIT_GOOD ? EXIT_PARTLY : r->code);
}

/* Tells how far it is, and that we live; a command that left is noticed by it. */
static err attend(struct request *r, struct http_exchange *x)
{
    ms told_at = loop_now();
    while (!r->ended) {
        err e = waitq_wait(&r->ended_wait, loop_now() + LOOK_MS);
        if (e != OK && e != E_TIMEOUT)
            return e;
        if (r->ended || (!r->moved && loop_now() < told_at + TELL_MS))
            continue;
        TRY(control_progress(x, r->what ? r->what : "waiting", r->done_bytes, r->total_bytes));
        told_at = loop_now();
        r->moved = false;
    }
    return tell_end(r, x);
}

static err begin(struct hub *h, struct request *r)
{
    hold_take(&r->hold);
    struct hub_epoch *epoch = &h->epoch;
    err e = group_spawn(r->is_etcd ? &epoch->guards : &epoch->agents, "asked by a command", work, r);
    if (e != OK)
        hold_release(&r->hold);
    if (e == E_BUDGET)
        return trail(E_BUSY, "the hub has no room for more at once; try again");
    return e == E_CANCELED ? trail(E_BUSY, BETWEEN) : e;
}

/* A command reads the file anew; what it shows must be what is done. */
static bool is_ours(const struct hub *h, const struct http_exchange *x, struct text *why)
{
    char theirs[CONTROL_PARAMETER_MAX], ours[ANSWER_DIGEST_MAX];
    if (!control_parameter(x, "config", theirs, sizeof theirs) || strcmp(theirs, answer_digest(h->epoch.config, ours)) == 0)
        return true;
    text_addf(why, "the running hub (process %lld) uses another configuration; reload it with SIGHUP, or stop it",
              (long long)getpid());
    return false;
}

static err ask(struct hub *h, struct request wanted, struct http_exchange *x)
{
    char words[160];
    struct text why = text_over(words, sizeof words);
    if (!h->epoch.config || h->epoch.agents.canceled)
        return control_result(x, NULL, BETWEEN, EXIT_BUSY);
    if (!is_ours(h, x, &why))
        return control_result(x, NULL, words, EXIT_WRONG_USE);
    if (!h->epoch.backup)
        return control_result(x, NULL, "the hub's configuration has nothing to back up", EXIT_WRONG_USE);
    wanted.all = !control_parameter(x, "destination", wanted.destination, sizeof wanted.destination);
    if (!answer_knows(h->epoch.config, destination_of(&wanted)))
        return control_result(x, NULL, "the running hub has no such destination", EXIT_WRONG_USE);
    struct request *r = malloc(sizeof *r);
    if (!r)
        return E_BUDGET;
    *r = wanted;
    r->hub = h;
    r->items.bytes_max = ITEMS_BYTES;
    hold_init(&r->hold, request_drop);
    err e = begin(h, r);
    if (e == OK)
        e = attend(r, x);
    hold_release(&r->hold);
    return e;
}

static err ask_now(void *hub, struct http_exchange *x)
{
    char level[CONTROL_PARAMETER_MAX];
    bool two = control_parameter(x, "level", level, sizeof level) && strcmp(level, "2") == 0;
    return ask(hub, (struct request){.run = run_now, .level = two ? 2 : 4}, x);
}

static err ask_prune(void *hub, struct http_exchange *x)
{
    char dry[CONTROL_PARAMETER_MAX];
    bool dry_run = !control_parameter(x, "dry_run", dry, sizeof dry) || strcmp(dry, "0") != 0;
    return ask(hub, (struct request){.run = run_prune, .dry_run = dry_run}, x);
}

static bool is_set(struct http_exchange *x, const char *name)
{
    char value[CONTROL_PARAMETER_MAX];
    return control_parameter(x, name, value, sizeof value) && strcmp(value, "1") == 0;
}

static err ask_defrag(void *hub, struct http_exchange *x)
{
    char dry[CONTROL_PARAMETER_MAX];
    struct etcd_wish wish = {
        .all = is_set(x, "all"), .nospace = is_set(x, "nospace"), .without_backup = is_set(x, "without_backup")};
    wish.dry_run = !control_parameter(x, "dry_run", dry, sizeof dry) || strcmp(dry, "0") != 0;
    return ask(hub, (struct request){.run = run_defrag, .is_etcd = true, .wish = wish}, x);
}

static err ask_rehearse(void *hub, struct http_exchange *x)
{
    return ask(hub, (struct request){.run = run_rehearse}, x);
}

err hub_control_start(struct hub *h, const char *data, struct control **out)
{
    const struct control_route routes[] = {{"POST", "/backup/now", ask_now, h},
                                           {"POST", "/backup/prune", ask_prune, h},
                                           {"POST", "/backup/rehearse", ask_rehearse, h},
                                           {"POST", "/etcd/defrag", ask_defrag, h},
                                           {"GET", "/ingest/status", hub_ingest_status, h}};
    return control_start(data, routes, COUNT_OF(routes), out);
}

/* --- GET /backups --- */

struct listing {
    struct http_exchange *x;
    bool any;
};

static err list_item(void *arg, struct bytes json)
{
    struct listing *l = arg;
    TRY(http_write(l->x, l->any ? "," : "[", 1));
    l->any = true;
    return http_write(l->x, json.at, json.len);
}

err hub_backups(void *hub, struct http_exchange *x)
{
    const struct hub_epoch *e = &((const struct hub *)hub)->epoch;
    struct listing l = {.x = x};
    TRY(http_start(x, 200, "application/json", -1));
    (void)answer_list(e->backup, e->config, NULL, &(struct answer){list_item, &l}); /* what fails is an item of it */
    TRY(http_write(x, l.any ? "]\n" : "[]\n", l.any ? 2 : 3));
    return http_finish(x);
}
