/* bench_store: what the durable store does on the disk of a folder: single durable puts and puts by many fibers at a time, each a
 * second, then point reads by key inside one read. Prints one line.
 *
 *   bench_store FOLDER
 * Layer    tests.   Blocks   about three seconds.   Memory   the profile's.   Errors   exit code 1. */
#include "board/rt/buf.h"
#include "board/rt/fiber.h"
#include "board/rt/mem.h"
#include "hal/store.h"

#include <stdio.h>
#include <stdlib.h>

#define RUN_MS      SECONDS(1)
#define READS       20000
#define VALUE_BYTES 100
#define FIBERS_MAX  15 /* of the task, in hub64 */

static const struct store_schema schema = {
    (const char *const[]){"CREATE TABLE IF NOT EXISTS item(id INTEGER PRIMARY KEY, value BLOB)", NULL}};
static int64_t last_id;

static err put_one(struct store_tx *tx, int64_t id)
{
    static const uint8_t content[VALUE_BYTES] = {7};
    const struct store_value values[] = {store_integer(id), store_blob((struct bytes){content, sizeof content})};
    return store_exec(tx, "INSERT INTO item VALUES(?1, ?2)", values, COUNT_OF(values));
}

static err put_work(struct store_tx *tx, void *arg)
{
    return put_one(tx, *(int64_t *)arg);
}

#define GROUP 64

static err group_work(struct store_tx *tx, void *arg)
{
    for (int64_t i = 0; i < GROUP; i++)
        TRY(put_one(tx, *(int64_t *)arg + i));
    return OK;
}

static err no_row(void *arg, const struct store_value *columns, size_t count)
{
    (void)columns;
    (void)count;
    ++*(int64_t *)arg;
    return OK;
}

static err read_work(struct store_tx *tx, void *arg)
{
    int64_t found = 0, began_ns = os_mono_ns();
    for (int64_t i = 0; i < READS; i++) {
        const struct store_value key = store_integer(1 + (i * 7919) % last_id);
        TRY(store_query(tx, "SELECT value FROM item WHERE id = ?1", &key, 1, no_row, &found));
    }
    *(int64_t *)arg = os_mono_ns() - began_ns;
    return found == READS ? OK : E_ABSENT;
}

static err put_for(struct store *s, store_work *work, int64_t each, int64_t *count)
{
    for (ms until = loop_now() + RUN_MS; loop_now() < until; *count += each) {
        int64_t id = last_id + 1;
        last_id += each;
        TRY(store_write(s, work, &id, sizeof id, loop_now() + SECONDS(20)));
    }
    return OK;
}

struct many {
    struct store *store;
    int64_t count;
};

static err many_fiber(void *arg)
{
    struct many *m = arg;
    return put_for(m->store, put_work, 1, &m->count);
}

static err put_by_many(struct store *s, int64_t *count)
{
    struct many many[FIBERS_MAX];
    struct group g;
    err e = OK;
    group_open(&g, TASK_BACKUP);
    for (size_t i = 0; e == OK && i < FIBERS_MAX; i++) {
        many[i] = (struct many){s, 0};
        e = group_spawn(&g, "many", many_fiber, &many[i]);
    }
    if (e == OK)
        e = group_join(&g, loop_now() + SECONDS(30));
    group_close(&g);
    for (size_t i = 0; e == OK && i < FIBERS_MAX; i++)
        *count += many[i].count;
    return e;
}

static err measure(struct store *s)
{
    int64_t single = 0, grouped = 0, shared = 0, read_ns = 0;
    TRY(put_for(s, put_work, 1, &single));
    TRY(put_for(s, group_work, GROUP, &grouped));
    uint64_t commits = store_stats(s).commits;
    TRY(put_by_many(s, &shared));
    commits = store_stats(s).commits - commits;
    TRY(store_read(s, read_work, &read_ns, sizeof read_ns, loop_now() + SECONDS(30)));
    struct store_stats st = store_stats(s);
    (void)printf(
        "single %lld/s, groups of %d %lld/s, %d fibers %lld/s in %llu commits, point read %.2f us, %.0f bytes written a put, "
        "heap peak %zu KiB\n",
        (long long)single, GROUP, (long long)grouped, FIBERS_MAX, (long long)shared, (unsigned long long)commits,
        (double)read_ns / 1000.0 / READS, (double)st.bytes_written / (double)last_id, mem_use(TASK_STORE).peak_bytes / 1024);
    return OK;
}

static err bench(void *arg)
{
    struct store *s = NULL;
    char text[512];
    err e = store_open(arg, &schema, loop_now() + SECONDS(20), &s);
    if (e == OK)
        e = measure(s);
    if (e != OK)
        (void)fprintf(stderr, "bench_store: %s\n", trail_text(e, text, sizeof text));
    store_close(s, loop_now() + SECONDS(20));
    return e;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: bench_store FOLDER\n");
        return 2;
    }
    if (mem_boot(profile_find("hub64"), MEM_LAZY) != OK || buf_boot() != OK)
        return 1;
    return loop_run(bench, argv[1]) == OK ? 0 : 1;
}
