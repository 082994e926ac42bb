/* Requests: what waiting fibers share with the jobs, and the fiber that gathers what is to be written while a commit runs and
 * hands it to the next one. All of it on the loop. */
#include "hal/store_inside.h"

#include "board/rt/log.h"
#include "board/rt/metric.h"

#include <stdlib.h>
#include <string.h>

#define COMMIT_MS_MAX SECONDS(30) /* a commit that takes longer is one of a dead disk: the lane is written off */

/* --- requests --- */

static void request_drop(struct hold *h)
{
    struct request *r = CONTAINER_OF(h, struct request, hold);
    hold_release(&r->store->hold);
    if (r->held != NULL)
        hold_release(r->held);
    free(r);
}

static err request_new(struct store *s, store_work *work, const void *arg, size_t arg_bytes, struct hold *held,
                       struct request **out)
{
    ASSERT(arg_bytes <= STORE_ARG_BYTES_MAX);
    if (s->closing)
        return E_CLOSED;
    if (s->stats.waiting >= STORE_REQUESTS_MAX)
        return E_FULL;
    struct request *r = *out = store_calloc(sizeof *r + 2 * size_round_up(arg_bytes, alignof(max_align_t)));
    if (r == NULL)
        return E_BUDGET;
    hold_init(&r->hold, request_drop);
    hold_take(&s->hold);
    if (held != NULL)
        hold_take(held);
    r->store = s;
    r->held = held;
    r->work = work;
    r->arg_bytes = arg_bytes;
    if (arg_bytes > 0)
        memcpy(r->bytes, arg, arg_bytes);
    if (++s->stats.waiting > s->stats.waiting_peak)
        s->stats.waiting_peak = s->stats.waiting;
    return OK;
}

/* Its answer to the caller, with what the job was doing. */
static err request_told(struct request *r, void *arg)
{
    if (r->result == OK && r->arg_bytes > 0)
        memcpy(arg, store_argument(r), r->arg_bytes);
    return r->result == OK || r->why[0] == 0 ? r->result : trail(r->result, "%s", r->why);
}

static void queue_put(struct store *s, struct request *r)
{
    hold_take(&r->hold);
    if (s->last != NULL)
        s->last->next = r;
    else
        s->first = r;
    s->last = r;
    waitq_wake_one(&s->wanted);
}

static struct request *queue_take(struct store *s)
{
    struct request *r = s->first;
    if (r == NULL)
        return NULL;
    s->first = r->next;
    if (s->first == NULL)
        s->last = NULL;
    r->next = NULL;
    return r;
}

static void queue_unlink(struct store *s, struct request *r)
{
    struct request *before = NULL;
    for (struct request *at = s->first; at != r; at = at->next)
        before = at;
    if (before != NULL)
        before->next = r->next;
    else
        s->first = r->next;
    if (s->last == r)
        s->last = before;
    hold_release(&r->hold);
}

static void request_answer(struct request *r, err e)
{
    r->answered = true;
    r->answer = e;
    if (r->waiter != NULL)
        fiber_wake(r->waiter);
}

/* While it is queued it can be taken back; once it is in a batch only its deadline ends the wait. */
static err request_await(struct store *s, struct request *r, ms deadline)
{
    bool shielded = false;
    err e = OK;
    while (!r->answered && e == OK) {
        if (r->taken && !shielded) {
            fiber_shield();
            shielded = true;
        }
        e = fiber_park(deadline);
        if (e == E_CANCELED && r->taken) /* it was taken in this very turn */
            e = OK;
    }
    if (shielded)
        fiber_unshield();
    r->waiter = NULL;
    if (r->answered)
        return r->answer;
    if (!r->taken)
        queue_unlink(s, r);
    return e;
}

err store_write_held(struct store *s, store_work *work, void *arg, size_t arg_bytes, struct hold *held, ms deadline)
{
    struct request *r = NULL;
    err e = request_new(s, work, arg, arg_bytes, held, &r);
    if (e != OK)
        return trail(e, "writing to %s", s->path);
    s->stats.writes++;
    series_add(s->writes_series, 1);
    r->waiter = fiber_self();
    queue_put(s, r);
    e = request_await(s, r, deadline);
    if (e == OK)
        e = request_told(r, arg);
    s->stats.waiting--;
    e = trail(e, "writing to %s", s->path);
    hold_release(&r->hold);
    return e;
}

err store_read_held(struct store *s, store_work *work, void *arg, size_t arg_bytes, struct hold *held, ms deadline)
{
    struct request *r = NULL;
    err e = request_new(s, work, arg, arg_bytes, held, &r);
    if (e != OK)
        return trail(e, "reading from %s", s->path);
    s->stats.reads++;
    series_add(s->reads_series, 1);
    e = lane_call(&s->reader.lane, store_run_read, &r, sizeof r, &r->hold, deadline);
    if (e == OK)
        e = request_told(r, arg);
    s->stats.waiting--;
    e = trail(e, "reading from %s", s->path);
    hold_release(&r->hold);
    return e;
}

err store_write(struct store *s, store_work *work, void *arg, size_t arg_bytes, ms deadline)
{
    return store_write_held(s, work, arg, arg_bytes, NULL, deadline);
}

err store_read(struct store *s, store_work *work, void *arg, size_t arg_bytes, ms deadline)
{
    return store_read_held(s, work, arg, arg_bytes, NULL, deadline);
}

/* --- the writer --- */

static void batch_drop(struct hold *h)
{
    struct batch *b = CONTAINER_OF(h, struct batch, hold);
    for (size_t i = 0; i < b->count; i++)
        hold_release(&b->request[i]->hold);
    free(b);
}

static void queue_refuse(struct store *s, err why)
{
    for (struct request *r; (r = queue_take(s)) != NULL;) {
        r->taken = true;
        request_answer(r, why);
        hold_release(&r->hold);
    }
}

static void batch_fill(struct store *s, struct batch *b)
{
    struct request *r;
    hold_init(&b->hold, batch_drop);
    b->store = s;
    while (b->count < STORE_REQUESTS_MAX && (r = queue_take(s)) != NULL) {
        r->taken = true;
        b->request[b->count++] = r;
    }
}

static void figures_update(struct store *s)
{
    uint64_t written = atomic_load_explicit(&s->disk->written_bytes, memory_order_relaxed);
    series_add(s->written_series, (double)(written - s->stats.bytes_written));
    s->stats.bytes_written = written;
}

static void write_back(struct store *s)
{
    struct store_job job = {s};
    err e = lane_call(&s->writer.lane, store_run_checkpoint, &job, sizeof job, &s->hold, loop_now() + COMMIT_MS_MAX);
    if (e != OK && e != E_CANCELED)
        log_warn("the database's WAL could not be written back; the next commit tries again", F("file", s->path), F_ERR(e));
    trail_clear();
}

/* Everything that waits, in one commit. */
static void batch_commit(struct store *s, struct batch *b)
{
    batch_fill(s, b);
    err e = lane_call(&s->writer.lane, store_run_batch, &b, sizeof(struct batch *), &b->hold, loop_now() + COMMIT_MS_MAX);
    for (size_t i = 0; i < b->count; i++)
        request_answer(b->request[i], e);
    bool checkpoint = e == OK && b->checkpoint;
    if (e == OK) {
        s->stats.commits += b->commits;
        series_add(s->commits_series, b->commits);
        figures_update(s);
    }
    hold_release(&b->hold);
    trail_clear();
    if (!checkpoint)
        return;
    write_back(s);
    figures_update(s);
}

err store_writer_main(void *arg)
{
    struct store *s = arg;
    err e = OK;
    while (e == OK && (s->first != NULL || !s->closing)) {
        struct batch *b = NULL;
        if (s->first == NULL)
            e = waitq_wait(&s->wanted, FOREVER);
        else if ((b = calloc(1, sizeof *b)) == NULL)
            queue_refuse(s, E_BUDGET);
        else
            batch_commit(s, b);
    }
    queue_refuse(s, E_CLOSED);
    return OK;
}
