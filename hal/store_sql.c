/* Statements: kept prepared by the address of their text, values in and out, and what the library's codes mean. */
#include "hal/store_inside.h"

#include <sqlite3.h>
#include <string.h>

/* --- codes --- */

static const struct {
    int code; /* with its extension, or without: then for all of its extensions that have no row */
    err error;
} codes[] = {
    {SQLITE_NOMEM, E_BUDGET},
    {SQLITE_IOERR_NOMEM, E_BUDGET},
    {SQLITE_FULL, E_NOSPACE},
    {SQLITE_IOERR_DATA, E_CORRUPT},
    {SQLITE_IOERR_CORRUPTFS, E_CORRUPT},
    {SQLITE_CORRUPT, E_CORRUPT},
    {SQLITE_NOTADB, E_CORRUPT},
    {SQLITE_BUSY, E_BUSY},
    {SQLITE_LOCKED, E_BUSY},
    {SQLITE_PROTOCOL, E_BUSY},
    {SQLITE_READONLY, E_READONLY},
    {SQLITE_CONSTRAINT_UNIQUE, E_EXISTS},
    {SQLITE_CONSTRAINT_PRIMARYKEY, E_EXISTS},
    {SQLITE_CONSTRAINT_ROWID, E_EXISTS},
    {SQLITE_TOOBIG, E_RANGE},
    {SQLITE_RANGE, E_RANGE},
    {SQLITE_IOERR, E_IO},
    {SQLITE_CANTOPEN, E_IO},
};

static err code_to_err(int code)
{
    for (size_t i = 0; i < COUNT_OF(codes); i++)
        if (codes[i].code == code)
            return codes[i].error;
    return code > 0xff ? code_to_err(code & 0xff) : E_INVALID; /* the rest is wrong SQL, or a constraint */
}

/* The disk knows better than the library what went wrong with it. */
err store_sql_failed(struct store_tx *tx, int code, const char *doing)
{
    err e, disk = store_link_error(tx->link);
    if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE)
        return OK; /* the library could do without what failed */
    e = code_to_err(code);
    if (disk != OK && e != E_BUDGET)
        return trail(disk, "%s", doing);
    const char *text = tx->db != NULL ? sqlite3_errmsg(tx->db) : sqlite3_errstr(code);
    return trail(e, "%s: %s", doing, text);
}

/* --- statements --- */

void store_sql_forget(struct store_tx *tx)
{
    for (size_t i = 0; i < COUNT_OF(tx->kept); i++) {
        sqlite3_finalize(tx->kept[i].statement);
        tx->kept[i].statement = NULL;
    }
}

static bool is_free(const struct store_tx *tx, size_t i)
{
    return tx->kept[i].statement == NULL || !sqlite3_stmt_busy(tx->kept[i].statement);
}

/* A place for a new one, its last holder finalized; COUNT_OF(kept): a work function has that many open at a time. */
static size_t place_find(struct store_tx *tx)
{
    for (size_t n = 0; n < COUNT_OF(tx->kept); n++) {
        size_t i = tx->next_kept++ % COUNT_OF(tx->kept);
        if (!is_free(tx, i))
            continue;
        sqlite3_finalize(tx->kept[i].statement);
        tx->kept[i].statement = NULL;
        return i;
    }
    return COUNT_OF(tx->kept);
}

static err statement_prepare(struct store_tx *tx, const char *sql, sqlite3_stmt **out)
{
    for (size_t i = 0; i < COUNT_OF(tx->kept); i++)
        if (tx->kept[i].sql == sql && tx->kept[i].statement != NULL && is_free(tx, i)) {
            *out = tx->kept[i].statement;
            return OK;
        }
    size_t i = place_find(tx);
    if (i == COUNT_OF(tx->kept))
        return trail(E_FULL, "%s: too many statements at a time", sql);
    int code = sqlite3_prepare_v3(tx->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
    tx->kept[i].sql = sql;
    tx->kept[i].statement = *out;
    return store_sql_failed(tx, code, sql);
}

static int value_bind(sqlite3_stmt *s, int at, const struct store_value *v)
{
    int len = (int)v->bytes.len;
    const void *bytes = v->bytes.at != NULL ? (const void *)v->bytes.at : "";
    switch (v->kind) {
    case STORE_NULL:
        return sqlite3_bind_null(s, at);
    case STORE_INTEGER:
        return sqlite3_bind_int64(s, at, v->integer);
    case STORE_REAL:
        return sqlite3_bind_double(s, at, v->real);
    case STORE_TEXT:
        return sqlite3_bind_text(s, at, bytes, len, SQLITE_STATIC);
    case STORE_BLOB:
        return sqlite3_bind_blob(s, at, bytes, len, SQLITE_STATIC);
    }
    return SQLITE_MISUSE;
}

static err values_bind(struct store_tx *tx, sqlite3_stmt *s, const char *sql, const struct store_value *values, size_t count)
{
    int code = count <= STORE_VALUES_MAX && (int)count == sqlite3_bind_parameter_count(s) ? SQLITE_OK : SQLITE_RANGE;
    for (size_t i = 0; i < count && code == SQLITE_OK; i++) {
        bool bytes = values[i].kind == STORE_TEXT || values[i].kind == STORE_BLOB;
        code = bytes && values[i].bytes.len > STORE_VALUE_BYTES_MAX ? SQLITE_TOOBIG : value_bind(s, (int)i + 1, &values[i]);
    }
    if (code == SQLITE_RANGE || code == SQLITE_TOOBIG) /* not the library's words: it was not asked */
        return trail(E_RANGE, "%s: %s", sql, code == SQLITE_RANGE ? "wrong number of values" : "a value is too large");
    return store_sql_failed(tx, code, sql);
}

static struct store_value column_value(sqlite3_stmt *s, int i)
{
    struct store_value v = {.kind = STORE_NULL};
    switch (sqlite3_column_type(s, i)) {
    case SQLITE_INTEGER:
        v.kind = STORE_INTEGER;
        v.integer = sqlite3_column_int64(s, i);
        break;
    case SQLITE_FLOAT:
        v.kind = STORE_REAL;
        v.real = sqlite3_column_double(s, i);
        break;
    case SQLITE_TEXT:
        v.kind = STORE_TEXT;
        v.bytes.at = sqlite3_column_text(s, i);
        break;
    case SQLITE_BLOB:
        v.kind = STORE_BLOB;
        v.bytes.at = sqlite3_column_blob(s, i);
        break;
    default:
        break;
    }
    if (v.kind == STORE_TEXT || v.kind == STORE_BLOB)
        v.bytes.len = (size_t)sqlite3_column_bytes(s, i);
    return v;
}

static err row_give(sqlite3_stmt *s, const char *sql, err (*row)(void *arg, const struct store_value *columns, size_t count),
                    void *arg)
{
    struct store_value columns[STORE_VALUES_MAX];
    size_t count = (size_t)sqlite3_column_count(s);
    if (count > STORE_VALUES_MAX)
        return trail(E_RANGE, "%s: more than %d columns", sql, STORE_VALUES_MAX);
    for (size_t i = 0; i < count; i++)
        columns[i] = column_value(s, (int)i);
    return row(arg, columns, count);
}

static err no_row(void *arg, const struct store_value *columns, size_t count)
{
    (void)arg;
    (void)columns;
    (void)count;
    return OK;
}

err store_query(struct store_tx *tx, const char *sql, const struct store_value *values, size_t count,
                err (*row)(void *arg, const struct store_value *columns, size_t count), void *arg)
{
    sqlite3_stmt *s = NULL;
    int code = SQLITE_ROW;
    TRY(statement_prepare(tx, sql, &s));
    err e = values_bind(tx, s, sql, values, count);
    while (e == OK && (code = sqlite3_step(s)) == SQLITE_ROW)
        e = row_give(s, sql, row, arg);
    if (e == OK)
        e = store_sql_failed(tx, code, sql);
    sqlite3_reset(s); /* tells the step's error once more */
    sqlite3_clear_bindings(s);
    return e;
}

err store_exec(struct store_tx *tx, const char *sql, const struct store_value *values, size_t count)
{
    return store_query(tx, sql, values, count, no_row, NULL);
}

/* --- values --- */

struct store_value store_integer(int64_t value)
{
    return (struct store_value){.kind = STORE_INTEGER, .integer = value};
}

struct store_value store_text(const char *value)
{
    if (value == NULL)
        return (struct store_value){.kind = STORE_NULL};
    return (struct store_value){.kind = STORE_TEXT, .bytes = {(const uint8_t *)value, strlen(value)}};
}

struct store_value store_blob(struct bytes value)
{
    return (struct store_value){.kind = STORE_BLOB, .bytes = value};
}
