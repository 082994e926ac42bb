/* Requests and lanes. A fiber of the store gathers what is to be written while a commit runs, and hands it to the next one.
 *
 * A request's bytes live until its caller and the job have both let go of it, so a caller may give up at any moment. What is
 * decided on the pool (result, why) is read by the loop only when the job has come back; what the loop decides meanwhile
 * (a deadline) is kept apart. */
#include "hal/store_inside.h"

#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/metric.h"
#include "board/rt/pool.h"
#include "board/rt/sync.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMIT_MS_MAX SECONDS(30) /* a commit that takes longer is one of a dead disk: the lane is written off */
#define CLOSE_MS      SECONDS(1)
#define CACHE_PARTS   4 /* each connection's page cache is a fourth of the slice */

static struct family written_bytes = {
    .name = "holdfast_store_written_bytes_total", .help = "Bytes written to the database and its WAL.", .type = METRIC_COUNTER};
static struct family commits = {
    .name = "holdfast_store_commits_total", .help = "Transactions made durable in the database.", .type = METRIC_COUNTER};
static struct family requests = {.name = "holdfast_store_requests_total",
                                 .help = "Reads and writes asked of the database.",
                                 .type = METRIC_COUNTER,
                                 .labels = {"kind"}};

struct request {
    struct hold hold; /* the caller's, and that of the queue, the batch or the job */
    struct store *store;
    store_work *work;
    size_t arg_bytes;

    /* the loop's */
    struct request *next;
    struct fiber *waiter; /* NULL: gave up */
    bool taken, answered;
    err answer;

    /* the job's */
    err result;
    char why[TRAIL_TEXT_MAX];
    alignas(max_align_t) unsigned char bytes[]; /* the argument as given, then the copy that the work has */
};

struct batch {
    struct hold hold;
    struct store *store;
    size_t count;
    unsigned commits;
    bool checkpoint; /* is due */
    struct request *request[STORE_REQUESTS_MAX];
};

/* Whose the connection of a lane is. The last one to let go of it closes it, so that a thread that comes back late leaves nothing
 * open. */
enum owner { LOOP, JOB, ABANDONED };
struct end {
    struct lane lane;
    atomic_int owner; /* enum owner */
    struct store_tx tx;
};

struct store {
    struct hold hold;
    struct end writer, reader;
    struct store_disk *disk;
    char path[OS_PATH_MAX];
    const struct store_schema *schema;
    size_t cache_bytes;

    /* the loop's */
    struct group group;
    struct waitq wanted;
    struct request *first, *last;
    struct store_stats stats;
    bool closing;
    struct series *written_series, *commits_series, *writes_series, *reads_series;
};

/* --- on the pool: connections --- */

static void job_begins(struct end *end)
{
    atomic_store(&end->owner, JOB);
}

static void job_ended(struct end *end)
{
    int expected = JOB;
    if (!atomic_compare_exchange_strong(&end->owner, &expected, LOOP))
        store_disconnect(&end->tx);
}

struct store_job {
    struct store *store;
};

static err connect_both(struct store *s)
{
    TRY(store_disk_open(s->path, &s->disk));
    err e = store_connect(s->disk, true, s->cache_bytes, &s->writer.tx);
    if (e == OK)
        e = store_schema_apply(&s->writer.tx, s->path, s->schema);
    if (e == OK)
        e = store_connect(s->disk, false, s->cache_bytes, &s->reader.tx);
    store_disk_release(s->disk); /* the connections hold it */
    if (e != OK)
        store_disconnect(&s->writer.tx);
    return e;
}

static void disconnect_both(struct store *s)
{
    store_disconnect(&s->reader.tx);
    store_disconnect(&s->writer.tx);
}

static err run_open(void *job)
{
    struct store *s = ((struct store_job *)job)->store;
    int expected = JOB;
    job_begins(&s->writer);
    err e = connect_both(s);
    if (!atomic_compare_exchange_strong(&s->writer.owner, &expected, LOOP))
        disconnect_both(s);
    return e;
}

static err run_close_both(void *job)
{
    disconnect_both(((struct store_job *)job)->store);
    return OK;
}

static err run_close_reader(void *job)
{
    store_disconnect(&((struct store_job *)job)->store->reader.tx);
    return OK;
}

static err run_close_writer(void *job)
{
    store_disconnect(&((struct store_job *)job)->store->writer.tx);
    return OK;
}

/* --- on the pool: work --- */

static const char sql_begin[] = "BEGIN IMMEDIATE", sql_begin_read[] = "BEGIN", sql_commit[] = "COMMIT",
                  sql_rollback[] = "ROLLBACK", sql_savepoint[] = "SAVEPOINT request", sql_release[] = "RELEASE request",
                  sql_rollback_to[] = "ROLLBACK TO request";

static void *argument(struct request *r)
{
    unsigned char *copy = r->bytes + size_round_up(r->arg_bytes, alignof(max_align_t));
    memcpy(copy, r->bytes, r->arg_bytes);
    return copy;
}

static void outcome(struct request *r, err e)
{
    r->result = e;
    r->why[0] = 0;
    if (e != OK)
        trail_take(e, r->why, sizeof r->why);
}

static void rollback(struct store_tx *tx)
{
    if (store_is_in_transaction(tx))
        err_ignore(store_exec(tx, sql_rollback, NULL, 0)); /* it can only fail where there is nothing left to undo */
}

/* In its savepoint. What it did is undone when it fails, and all of the transaction where not even that can be done. */
static void request_run(struct store_tx *tx, struct request *r)
{
    err e = store_exec(tx, sql_savepoint, NULL, 0);
    if (e == OK)
        e = r->work(tx, argument(r));
    if (e == OK)
        e = store_is_in_transaction(tx) ? store_exec(tx, sql_release, NULL, 0) : E_INVALID; /* it went on after an error */
    outcome(r, e);
    if (e == OK || !store_is_in_transaction(tx))
        return;
    if (store_exec(tx, sql_rollback_to, NULL, 0) != OK || store_exec(tx, sql_release, NULL, 0) != OK)
        rollback(tx);
    trail_clear();
}

/* All of them failed as `one` did, but those that have an error of their own. */
static void all_failed(struct request **all, size_t count, err e, const char *why)
{
    for (size_t i = 0; i < count; i++)
        if (all[i]->result == OK) {
            all[i]->result = e;
            snprintf(all[i]->why, sizeof all[i]->why, "%s", why);
        }
}

static bool none_is_good(struct request *const *all, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (all[i]->result == OK)
            return false;
    return true;
}

/* One transaction. OK: what went well is durable, each request has its result. Else nothing of any of them is. */
static err transaction_run(struct batch *b, struct request **all, size_t count)
{
    struct store_tx *tx = &b->store->writer.tx;
    char why[TRAIL_TEXT_MAX] = "";
    err e = store_exec(tx, sql_begin, NULL, 0);
    for (size_t i = 0; e == OK && i < count; i++) {
        request_run(tx, all[i]);
        if (store_is_in_transaction(tx))
            continue;
        memcpy(why, all[i]->why, sizeof why);
        all_failed(all, count, all[i]->result, why);
        return all[i]->result;
    }
    if (e == OK && none_is_good(all, count)) {
        rollback(tx);
        return OK;
    }
    if (e == OK)
        e = store_exec(tx, sql_commit, NULL, 0);
    if (e == OK) {
        b->commits++;
        return OK;
    }
    trail_take(e, why, sizeof why);
    rollback(tx);
    trail_clear();
    all_failed(all, count, e, why);
    return e;
}

/* What does not fit together may fit one by one; a disk that fails is not asked so often. */
static bool is_worth_single(err e)
{
    return e != OK && e != E_IO && e != E_CORRUPT && e != E_READONLY;
}

static void results_reset(struct request **all, size_t count)
{
    for (size_t i = 0; i < count; i++)
        all[i]->result = OK;
}

static err run_batch(void *job)
{
    struct batch *b = *(struct batch **)job;
    struct end *end = &b->store->writer;
    job_begins(end);
    results_reset(b->request, b->count);
    err e = transaction_run(b, b->request, b->count);
    if (b->count > 1 && is_worth_single(e)) {
        results_reset(b->request, b->count);
        for (size_t i = 0; i < b->count; i++)
            err_ignore(transaction_run(b, &b->request[i], 1)); /* each has its result */
    }
    b->checkpoint = end->tx.wal_pages >= STORE_WAL_PAGES;
    job_ended(end);
    return OK;
}

static err run_checkpoint(void *job)
{
    struct end *end = &((struct store_job *)job)->store->writer;
    job_begins(end);
    err e = store_checkpoint(&end->tx);
    job_ended(end);
    return e;
}

static err run_read(void *job)
{
    struct request *r = *(struct request **)job;
    struct end *end = &r->store->reader;
    job_begins(end);
    err e = store_exec(&end->tx, sql_begin_read, NULL, 0);
    if (e == OK)
        e = r->work(&end->tx, argument(r));
    outcome(r, e);
    rollback(&end->tx);
    trail_clear();
    job_ended(end);
    return OK;
}

/* --- in the loop: requests --- */

static void store_drop(struct hold *h)
{
    struct store *s = CONTAINER_OF(h, struct store, hold);
    free(s);
}

static void request_drop(struct hold *h)
{
    struct request *r = CONTAINER_OF(h, struct request, hold);
    hold_release(&r->store->hold);
    free(r);
}

static void *store_calloc(size_t bytes)
{
    enum task before = mem_task();
    mem_set_task(TASK_STORE);
    void *at = calloc(1, bytes);
    mem_set_task(before);
    return at;
}

static err request_new(struct store *s, store_work *work, const void *arg, size_t arg_bytes, struct request **out)
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
    r->store = s;
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
        memcpy(arg, r->bytes + size_round_up(r->arg_bytes, alignof(max_align_t)), r->arg_bytes);
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

err store_write(struct store *s, store_work *work, void *arg, size_t arg_bytes, ms deadline)
{
    struct request *r = NULL;
    err e = request_new(s, work, arg, arg_bytes, &r);
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

err store_read(struct store *s, store_work *work, void *arg, size_t arg_bytes, ms deadline)
{
    struct request *r = NULL;
    err e = request_new(s, work, arg, arg_bytes, &r);
    if (e != OK)
        return trail(e, "reading from %s", s->path);
    s->stats.reads++;
    series_add(s->reads_series, 1);
    e = lane_call(&s->reader.lane, run_read, &r, sizeof r, &r->hold, deadline);
    if (e == OK)
        e = request_told(r, arg);
    s->stats.waiting--;
    e = trail(e, "reading from %s", s->path);
    hold_release(&r->hold);
    return e;
}

/* --- in the loop: the writer --- */

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
    err e = lane_call(&s->writer.lane, run_checkpoint, &job, sizeof job, &s->hold, loop_now() + COMMIT_MS_MAX);
    if (e != OK && e != E_CANCELED)
        log_warn("the database's WAL could not be written back; the next commit tries again", F("file", s->path), F_ERR(e));
    trail_clear();
}

/* Everything that waits, in one commit. */
static void batch_commit(struct store *s, struct batch *b)
{
    batch_fill(s, b);
    err e = lane_call(&s->writer.lane, run_batch, &b, sizeof(struct batch *), &b->hold, loop_now() + COMMIT_MS_MAX);
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

static err writer_main(void *arg)
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

/* --- open and close --- */

static void metrics_open(struct store *s)
{
    static const char *const writes[] = {"write"}, *const reads[] = {"read"};
    err_ignore(metric_series(&written_bytes, NULL, &s->written_series)); /* none left is counted by the registry */
    err_ignore(metric_series(&commits, NULL, &s->commits_series));
    err_ignore(metric_series(&requests, writes, &s->writes_series));
    err_ignore(metric_series(&requests, reads, &s->reads_series));
}

static err store_new(const char *folder, const struct store_schema *schema, struct store **out)
{
    struct store *s = *out = store_calloc(sizeof *s);
    if (s == NULL)
        return E_BUDGET;
    hold_init(&s->hold, store_drop);
    s->schema = schema;
    s->cache_bytes = mem_use(TASK_STORE).limit_bytes / CACHE_PARTS;
    lane_open(&s->writer.lane, "store writer", TASK_STORE, 1);
    lane_open(&s->reader.lane, "store reader", TASK_STORE, 1);
    group_open(&s->group, TASK_STORE);
    metrics_open(s);
    int len = snprintf(s->path, sizeof s->path, "%s/" STORE_FILE_NAME, folder);
    return len < (int)(sizeof s->path - sizeof "-journal") ? OK : E_RANGE;
}

/* By a job; when that cannot run, by the thread that has the connection, when it comes back. */
static void end_close(struct store *s, struct end *end, err (*run)(void *job), ms deadline)
{
    struct store_job job = {s};
    int owner = JOB;
    err e = lane_call(&end->lane, run, &job, sizeof job, &s->hold, deadline);
    if (e != OK && !atomic_compare_exchange_strong(&end->owner, &owner, ABANDONED)) {
        fiber_yield(); /* its thread came back in this instant, and the pool has yet to hear of it */
        e = lane_call(&end->lane, run, &job, sizeof job, &s->hold, loop_now() + CLOSE_MS);
    }
    if (e != OK && owner != JOB)
        log_warn("the database could not be closed", F("file", s->path), F_ERR(e));
    trail_clear();
    lane_close(&end->lane);
}

/* Both ends are the opening job's as long as it runs. Keeps the trail of why. */
static void opening_close(struct store *s)
{
    struct store_job job = {s};
    int owner = JOB;
    uint64_t mark = trail_mark();
    if (!atomic_compare_exchange_strong(&s->writer.owner, &owner, ABANDONED))
        err_ignore(lane_call(&s->writer.lane, run_close_both, &job, sizeof job, &s->hold, loop_now() + CLOSE_MS));
    trail_rewind(mark);
    lane_close(&s->writer.lane);
    lane_close(&s->reader.lane);
}

err store_open(const char *folder, const struct store_schema *schema, ms deadline, struct store **out)
{
    struct store *s = NULL;
    struct store_job job;
    *out = NULL;
    err e = store_new(folder, schema, &s);
    job.store = s;
    if (e == OK)
        e = lane_call(&s->writer.lane, run_open, &job, sizeof job, &s->hold, deadline);
    if (e == OK)
        e = group_spawn(&s->group, "store", writer_main, s);
    if (e == OK) {
        *out = s;
        return OK;
    }
    if (s != NULL) {
        fiber_shield();
        opening_close(s);
        fiber_unshield();
        hold_release(&s->hold);
    }
    return trail(e, "opening the database in %s", folder);
}

void store_close(struct store *s, ms deadline)
{
    if (s == NULL)
        return;
    fiber_shield();
    s->closing = true;
    waitq_wake_all(&s->wanted);
    if (group_join(&s->group, deadline) != OK)
        log_warn("the database is closed while a commit sticks", F("file", s->path));
    group_close(&s->group);
    end_close(s, &s->reader, run_close_reader, deadline);
    end_close(s, &s->writer, run_close_writer, deadline);
    fiber_unshield();
    hold_release(&s->hold);
}

struct store_stats store_stats(const struct store *s)
{
    return s->stats;
}
