/* The store's jobs, on the pool: one transaction for all that was gathered, reads, and the WAL written back. */
#include "hal/store_inside.h"

#include <stdio.h>
#include <string.h>

void store_job_begins(struct end *end)
{
    atomic_store(&end->owner, JOB);
}

bool store_job_ends(struct end *end)
{
    int expected = JOB;
    return atomic_compare_exchange_strong(&end->owner, &expected, LOOP);
}

static void job_ended(struct end *end)
{
    if (!store_job_ends(end))
        store_disconnect(&end->tx);
}

static const char sql_begin[] = "BEGIN IMMEDIATE", sql_begin_read[] = "BEGIN", sql_commit[] = "COMMIT",
                  sql_rollback[] = "ROLLBACK", sql_savepoint[] = "SAVEPOINT request", sql_release[] = "RELEASE request",
                  sql_rollback_to[] = "ROLLBACK TO request";

static void *argument(struct request *r)
{
    memcpy(store_argument(r), r->bytes, r->arg_bytes);
    return store_argument(r);
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

err store_run_batch(void *job)
{
    struct batch *b = *(struct batch **)job;
    struct end *end = &b->store->writer;
    store_job_begins(end);
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

err store_run_checkpoint(void *job)
{
    struct end *end = &((struct store_job *)job)->store->writer;
    store_job_begins(end);
    err e = store_checkpoint(&end->tx);
    job_ended(end);
    return e;
}

err store_run_read(void *job)
{
    struct request *r = *(struct request **)job;
    struct end *end = &r->store->reader;
    store_job_begins(end);
    err e = store_exec(&end->tx, sql_begin_read, NULL, 0);
    if (e == OK)
        e = r->work(&end->tx, argument(r));
    outcome(r, e);
    rollback(&end->tx);
    trail_clear();
    job_ended(end);
    return OK;
}
