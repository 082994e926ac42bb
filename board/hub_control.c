/* hub_control: what commands ask of a running hub, and GET /backups. The agent's work is done in a fiber of the agent, so that
 * its memory pays and a reload ends it; who asked waits, tells of progress, and may go: what was begun goes on to its end. */
#include "board/backup_answer.h"
#include "board/hub.h"

#include "board/rt/mem.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_MS     200
#define ITEMS_BYTES (CONTROL_REPLY_MAX - KIB(1))

struct request {
    struct hold hold; /* who asked, and the fiber at work */
    struct hub *hub;
    enum exit_code (*run)(struct request *r, const struct answer *to);
    unsigned level;
    bool dry_run, all;
    char destination[CONTROL_PARAMETER_MAX];
    struct waitq ended_wait;
    bool ended, moved;
    enum exit_code code;
    const char *what; /* of the progress */
    uint64_t done_bytes, total_bytes;
    char *items; /* of the array, so far; of TASK_BACKUP's heap */
    size_t len, cap;
    unsigned left_out; /* items that had no room */
};

static void request_drop(struct hold *hold)
{
    struct request *r = CONTAINER_OF(hold, struct request, hold);
    free(r->items);
    free(r);
}

/* --- the fiber at work --- */

static bool items_grow(struct request *r, size_t more)
{
    size_t cap = r->cap ? r->cap : KIB(8);
    while (cap < r->len + more)
        cap *= 2;
    if (r->len + more > ITEMS_BYTES)
        return false;
    char *at = cap == r->cap ? r->items : realloc(r->items, cap);
    if (!at)
        return false;
    r->items = at;
    r->cap = cap;
    return true;
}

/* What finds no room is counted and told at the end: the work itself goes on. */
static err take_item(void *arg, struct bytes json)
{
    struct request *r = arg;
    if (!items_grow(r, json.len + 2)) {
        r->left_out++;
        return OK;
    }
    r->items[r->len] = r->len ? ',' : '[';
    r->len++;
    memcpy(r->items + r->len, json.at, json.len);
    r->len += json.len;
    r->items[r->len] = 0;
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

static err work(void *arg)
{
    struct request *r = arg;
    r->code = fiber_canceled() ? EXIT_BAD : r->run(r, &(struct answer){take_item, r});
    r->ended = true;
    waitq_wake_all(&r->ended_wait);
    hold_release(&r->hold);
    return OK;
}

/* --- who asked --- */

static err tell_end(const struct request *r, struct http_exchange *x)
{
    char words[128];
    struct text t = text_over(words, sizeof words);
    if (r->left_out == 0)
        return control_result(x, r->len ? r->items : "[]", NULL, r->code);
    text_addf(&t, "done, but %u more items than the answer has room for; see the hub's log", r->left_out);
    return control_result(x, NULL, words, r->code == EXIT_GOOD ? EXIT_PARTLY : r->code);
}

static err attend(struct request *r, struct http_exchange *x)
{
    while (!r->ended) {
        err e = waitq_wait(&r->ended_wait, loop_now() + LOOK_MS);
        if (e != OK && e != E_TIMEOUT)
            return e;
        if (r->moved && !r->ended)
            TRY(control_progress(x, r->what, r->done_bytes, r->total_bytes));
        r->moved = false;
    }
    if (r->len) /* take_item() left room for it */
        memcpy(r->items + r->len, "]", 2);
    return tell_end(r, x);
}

static err begin(struct hub *h, struct request *r)
{
    hold_take(&r->hold);
    err e = group_spawn(&h->epoch.agents, "asked by a command", work, r);
    if (e != OK)
        hold_release(&r->hold);
    return e;
}

static err ask(struct hub *h, struct request wanted, struct http_exchange *x)
{
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

err hub_control_start(struct hub *h, const char *data, struct control **out)
{
    const struct control_route routes[] = {{"POST", "/backup/now", ask_now, h}, {"POST", "/backup/prune", ask_prune, h}};
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
