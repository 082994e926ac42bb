/* Opening and closing: two connections, each with a lane, and the fiber that commits. */
#include "hal/store_inside.h"

#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/metric.h"

#include <stdio.h>
#include <stdlib.h>

#define CLOSE_MS    SECONDS(1)
#define CACHE_PARTS 4 /* each connection's page cache is a fourth of the slice */

static struct family written_bytes = {
    .name = "holdfast_store_written_bytes_total", .help = "Bytes written to the database and its WAL.", .type = METRIC_COUNTER};
static struct family commits = {
    .name = "holdfast_store_commits_total", .help = "Transactions made durable in the database.", .type = METRIC_COUNTER};
static struct family requests = {.name = "holdfast_store_requests_total",
                                 .help = "Reads and writes asked of the database.",
                                 .type = METRIC_COUNTER,
                                 .labels = {"kind"}};

/* --- on the pool: connections --- */

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
    store_job_begins(&s->writer);
    err e = connect_both(s);
    if (!store_job_ends(&s->writer))
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

/* --- in the loop --- */

void *store_calloc(size_t bytes)
{
    enum task before = mem_task();
    mem_set_task(TASK_STORE);
    void *at = calloc(1, bytes);
    mem_set_task(before);
    return at;
}

static void store_drop(struct hold *h)
{
    struct store *s = CONTAINER_OF(h, struct store, hold);
    free(s);
}

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
        e = group_spawn(&s->group, "store", store_writer_main, s);
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
