/* A connection: opened with our settings, its schema brought up to date, its WAL written back. */
#include "hal/store_inside.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define PAGE_IN_CACHE_BYTES (STORE_PAGE_BYTES + 512) /* what the library keeps beside it, rounded up */
#define RECORD_BYTES_MAX    (4 * (int)STORE_VALUE_BYTES_MAX)

static err run(struct store_tx *tx, const char *sql)
{
    return store_sql_failed(tx, sqlite3_exec(tx->db, sql, NULL, NULL, NULL), sql);
}

static err option(struct store_tx *tx, int which, int on)
{
    return store_sql_failed(tx, sqlite3_db_config(tx->db, which, on, NULL), "setting an option");
}

static err numbered(struct store_tx *tx, const char *format, long number)
{
    char sql[64];
    snprintf(sql, sizeof sql, format, number);
    return run(tx, sql);
}

static err bounds_set(struct store_tx *tx, size_t cache_bytes)
{
    sqlite3_limit(tx->db, SQLITE_LIMIT_LENGTH, RECORD_BYTES_MAX);
    sqlite3_limit(tx->db, SQLITE_LIMIT_ATTACHED, 0);
    TRY(numbered(tx, "PRAGMA cache_size=%ld", (long)(cache_bytes / PAGE_IN_CACHE_BYTES)));
    return numbered(tx, "PRAGMA journal_size_limit=%ld", (long)STORE_WAL_PAGES * STORE_FRAME_BYTES);
}

static err safety_set(struct store_tx *tx)
{
    TRY(option(tx, SQLITE_DBCONFIG_DEFENSIVE, 1));
    TRY(option(tx, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0));
    TRY(option(tx, SQLITE_DBCONFIG_ENABLE_FKEY, 1));
    return run(tx, "PRAGMA synchronous=FULL; PRAGMA cell_size_check=ON");
}

static int wal_grew(void *arg, sqlite3 *db, const char *name, int pages)
{
    struct store_tx *tx = arg;
    (void)db;
    (void)name;
    tx->wal_pages = (unsigned)pages;
    return SQLITE_OK;
}

static err is_text_wal(void *arg, const struct store_value *columns, size_t count)
{
    (void)arg;
    bool same =
        count == 1 && columns[0].kind == STORE_TEXT && columns[0].bytes.len == 3 && memcmp(columns[0].bytes.at, "wal", 3) == 0;
    return same ? OK : trail(E_UNSUPPORTED, "the journal is no WAL");
}

/* A new file gets its reserved bytes before its first page. */
static err writer_set(struct store_tx *tx)
{
    int reserve = STORE_SUM_BYTES;
    TRY(store_sql_failed(tx, sqlite3_file_control(tx->db, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserve), "reserving bytes"));
    sqlite3_wal_hook(tx->db, wal_grew, tx);
    return store_query(tx, "PRAGMA journal_mode=WAL", NULL, 0, is_text_wal, NULL);
}

static err connection_open(struct store_disk *d, struct store_tx *tx)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    return store_sql_failed(tx, sqlite3_open_v2(d->path, &tx->db, flags, store_link_name(tx->link)), "connecting");
}

err store_connect(struct store_disk *d, bool writes, size_t cache_bytes, struct store_tx *tx)
{
    *tx = (struct store_tx){.db = NULL};
    TRY(store_lib_start());
    err e = store_link_open(d, &tx->link);
    if (e == OK)
        e = connection_open(d, tx);
    if (e == OK)
        e = bounds_set(tx, cache_bytes);
    if (e == OK)
        e = safety_set(tx);
    if (e == OK)
        e = writes ? writer_set(tx) : run(tx, "PRAGMA query_only=ON");
    if (e == OK)
        return OK;
    store_disconnect(tx);
    return trail(e, "opening %s", d->path);
}

void store_disconnect(struct store_tx *tx)
{
    store_sql_forget(tx);
    sqlite3_close_v2(tx->db);
    tx->db = NULL;
    store_link_close(tx->link);
    tx->link = NULL;
}

/* --- schema --- */

static err version_row(void *arg, const struct store_value *columns, size_t count)
{
    *(int64_t *)arg = count > 0 ? columns[0].integer : 0;
    return OK;
}

static err step_apply(struct store_tx *tx, const char *sql, int64_t version)
{
    TRY(run(tx, "BEGIN IMMEDIATE"));
    err e = run(tx, sql);
    if (e == OK)
        e = numbered(tx, "PRAGMA user_version=%ld", (long)version);
    if (e == OK)
        e = run(tx, "COMMIT");
    if (e != OK && store_is_in_transaction(tx))
        (void)sqlite3_exec(tx->db, "ROLLBACK", NULL, NULL, NULL); /* what can fail here has failed above */
    return e;
}

err store_schema_apply(struct store_tx *tx, const char *path, const struct store_schema *schema)
{
    int64_t done = 0, known = 0;
    while (schema->steps[known] != NULL)
        known++;
    err e = store_query(tx, "PRAGMA user_version", NULL, 0, version_row, &done);
    if (e == OK && (done < 0 || done > known))
        return trail(E_UNSUPPORTED, "%s has schema version %lld, this program knows %lld: it was written by a newer one", path,
                     (long long)done, (long long)known);
    for (int64_t i = done; e == OK && i < known; i++)
        e = step_apply(tx, schema->steps[i], i + 1);
    return trail(e, "bringing the schema of %s up to date", path);
}

/* --- the state of it --- */

bool store_is_in_transaction(const struct store_tx *tx)
{
    return sqlite3_get_autocommit(tx->db) == 0;
}

/* Copies the WAL's pages back as far as readers allow; the next commit after a full one writes the WAL from its start. */
err store_checkpoint(struct store_tx *tx)
{
    int mode = tx->wal_pages >= STORE_WAL_PAGES_LONG ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE;
    tx->wal_pages = 0;
    int code = sqlite3_wal_checkpoint_v2(tx->db, NULL, mode, NULL, NULL);
    if (code == SQLITE_BUSY) /* a reader is at it; the next commit tries again */
        return OK;
    return store_sql_failed(tx, code, "writing the WAL back");
}
