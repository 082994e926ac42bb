/* cache: the records of each destination as its last listing had them, rows of the store. The files are the truth: a row is only
 * asked when they cannot be, and a store that is lost or wrong is put right by the next listing. Records go in pieces: each is
 * made equal to its span of names by one write, which writes only the rows that differ and may run twice, or late. */
#include "agents/backup/place.h"

#include "board/rt/log.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES  KIB(32)
#define STORE_MS_MAX SECONDS(10) /* a store that sticks must not hold up the backups */
#define NAME_LAST    "~"         /* after every name */

const char *const backup_schema[] = {
    "CREATE TABLE backup_records(destination TEXT NOT NULL, name TEXT NOT NULL, taken_at INTEGER NOT NULL, verdict TEXT NOT NULL,"
    " json TEXT NOT NULL, PRIMARY KEY(destination, name)) WITHOUT ROWID",
    "ALTER TABLE backup_records ADD COLUMN tag INTEGER NOT NULL DEFAULT 0",
    "CREATE TABLE backup_uploads(destination TEXT NOT NULL, key TEXT NOT NULL, upload_id TEXT NOT NULL, began_at INTEGER NOT "
    "NULL,"
    " PRIMARY KEY(destination, key, upload_id)) WITHOUT ROWID",
    "ALTER TABLE backup_uploads ADD COLUMN object_id TEXT NOT NULL DEFAULT ''", NULL};

/* --- pieces: rows on their way. The pool may look at one after we gave up --- */

struct row {
    int64_t taken_at_s;
    const char *verdict;
    uint64_t tag; /* struct backup_entry */
    size_t json_bytes;
    char name[BACKUP_NAME_MAX];
    alignas(8) char json[]; /* padded to the next row */
};

struct piece {
    struct hold hold;
    size_t len;
    alignas(max_align_t) unsigned char bytes[PIECE_BYTES];
};

struct span { /* what a work function is given */
    struct piece *piece;
    char destination[CONFIG_NAME_MAX];
    char after[BACKUP_NAME_MAX]; /* its names come after this one */
    bool last;                   /* and no more do after them */
};

static void piece_drop(struct hold *h)
{
    free(CONTAINER_OF(h, struct piece, hold));
}

static err span_open(struct span *s, const struct backup_destination *to, const char *after)
{
    *s = (struct span){.piece = malloc(sizeof *s->piece)};
    if (!s->piece)
        return E_BUDGET;
    hold_init(&s->piece->hold, piece_drop);
    s->piece->len = 0;
    (void)snprintf(s->destination, sizeof s->destination, "%s", to->config->name);
    (void)snprintf(s->after, sizeof s->after, "%s", after);
    return OK;
}

static void span_close(struct span *s)
{
    if (s->piece)
        hold_release(&s->piece->hold);
    s->piece = NULL;
}

static struct row *row_at(struct piece *p, size_t at)
{
    return (struct row *)(void *)(p->bytes + at);
}

static size_t row_bytes(size_t json_bytes)
{
    return size_round_up(sizeof(struct row) + json_bytes, alignof(max_align_t));
}

/* --- in the store's threads --- */

static err forget_between(struct store_tx *tx, const struct span *s, const char *before, const char *after)
{
    const struct store_value values[] = {store_text(s->destination), store_text(before), store_text(after)};
    return store_exec(tx, "DELETE FROM backup_records WHERE destination = ?1 AND name > ?2 AND name < ?3", values,
                      COUNT_OF(values));
}

static err put_row(struct store_tx *tx, const struct span *s, const struct row *row)
{
    const struct store_value values[] = {store_text(s->destination),
                                         store_text(row->name),
                                         store_integer(row->taken_at_s),
                                         store_text(row->verdict),
                                         {.kind = STORE_TEXT, .bytes = {(const uint8_t *)row->json, row->json_bytes}},
                                         store_integer((int64_t)row->tag)};
    return store_exec(tx,
                      "INSERT INTO backup_records(destination, name, taken_at, verdict, json, tag)"
                      " VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT(destination, name) DO UPDATE SET"
                      " taken_at = excluded.taken_at, verdict = excluded.verdict, json = excluded.json, tag = excluded.tag"
                      " WHERE backup_records.json <> excluded.json OR backup_records.tag <> excluded.tag",
                      values, COUNT_OF(values));
}

static err put_work(struct store_tx *tx, void *arg)
{
    const struct span *s = arg;
    const char *before = s->after;
    for (size_t at = 0; at < s->piece->len;) {
        const struct row *row = row_at(s->piece, at);
        TRY(forget_between(tx, s, before, row->name));
        TRY(put_row(tx, s, row));
        before = row->name;
        at += row_bytes(row->json_bytes);
    }
    return s->last ? forget_between(tx, s, before, NAME_LAST) : OK;
}

static err got_row(void *arg, const struct store_value *columns, size_t count)
{
    struct span *s = arg;
    struct bytes name = columns[0].bytes, json = columns[1].bytes;
    ASSERT(count == 2);
    if (name.len >= BACKUP_NAME_MAX || json.len > BACKUP_RECORD_JSON_MAX) /* not ours */
        return OK;
    if (row_bytes(json.len) > PIECE_BYTES - s->piece->len) {
        s->last = false;
        return E_FULL;
    }
    struct row *row = row_at(s->piece, s->piece->len);
    *row = (struct row){.json_bytes = json.len};
    memcpy(row->name, name.at, name.len);
    memcpy(row->json, json.at, json.len);
    s->piece->len += row_bytes(json.len);
    return OK;
}

static err get_work(struct store_tx *tx, void *arg)
{
    struct span *s = arg;
    const struct store_value values[] = {store_text(s->destination), store_text(s->after)};
    s->piece->len = 0;
    s->last = true;
    err e = store_query(tx, "SELECT name, json FROM backup_records WHERE destination = ?1 AND name > ?2 ORDER BY name", values,
                        COUNT_OF(values), got_row, s);
    return e == E_FULL && !s->last ? OK : e;
}

/* --- on the loop --- */

/* Once a kind; a store that works again is as if it had never failed. */
static void ended(struct backup *b, const char *destination, err e, uint64_t mark)
{
    char words[256];
    if (e != OK && e != E_CANCELED && e != b->cache_failed)
        log_warn("the store does not know what lies in the destination now; the files do", F("destination", destination),
                 F("error", trail_text(e, words, sizeof words)));
    if (e != E_CANCELED)
        b->cache_failed = e;
    trail_rewind(mark);
}

struct keeping {
    struct backup *backup;
    struct span span;
    size_t last_row; /* where it is in the piece */
};

static err keep_piece(struct keeping *k, bool last)
{
    struct span *s = &k->span;
    s->last = last;
    TRY(store_write_held(k->backup->options.store, put_work, s, sizeof *s, &s->piece->hold, loop_now() + STORE_MS_MAX));
    if (s->piece->len)
        memcpy(s->after, row_at(s->piece, k->last_row)->name, sizeof s->after);
    s->piece->len = 0;
    return OK;
}

static err put_record(struct piece *p, const struct backup_record *r, uint64_t tag)
{
    struct row *row = row_at(p, p->len);
    struct text t = text_over(row->json, BACKUP_RECORD_JSON_MAX);
    struct json_writer w = json_write_to(&t);
    backup_record_json(&w, r);
    if (!json_done(&w))
        return trail(E_RANGE, "the record of %s is too large", r->path);
    row->taken_at_s = r->taken_at_s;
    row->verdict = backup_verdict_name(r->verification.verdict);
    row->tag = tag;
    row->json_bytes = t.len;
    memcpy(row->name, r->name, sizeof row->name);
    p->len += row_bytes(t.len);
    return OK;
}

static err keep_record(void *arg, const struct backup_entry *entry, const struct backup_record *r)
{
    struct keeping *k = arg;
    struct piece *p = k->span.piece;
    if (row_bytes(BACKUP_RECORD_JSON_MAX) > PIECE_BYTES - p->len)
        TRY(keep_piece(k, false));
    size_t at = p->len;
    TRY(put_record(p, r, entry->tag));
    k->last_row = at;
    return OK;
}

static void keep_all(struct backup *b, struct backup_destination *to, const struct catalogue *c)
{
    struct keeping k = {.backup = b};
    uint64_t mark = trail_mark();
    err e = span_open(&k.span, to, "");
    if (e == OK)
        e = catalogue_each(to, c, keep_record, &k);
    if (e == OK)
        e = keep_piece(&k, true);
    span_close(&k.span);
    ended(b, to->config->name, e, mark);
}

static void renew(struct backup *b, struct backup_destination *to)
{
    struct catalogue c;
    uint64_t mark = trail_mark();
    err e = catalogue_open(to, &c);
    if (e == OK)
        keep_all(b, to, &c);
    catalogue_close(&c);
    trail_rewind(mark); /* who lists it for another reason tells why it cannot be */
}

/* An older listing must not be kept after a newer one: who comes while one is at work has that one do it once more. */
void cache_renew(struct backup *b, struct backup_destination *to)
{
    if (!b->options.store)
        return;
    to->renew_again = true;
    if (to->renewing)
        return;
    to->renewing = true;
    while (to->renew_again && !fiber_canceled()) {
        to->renew_again = false;
        renew(b, to);
    }
    to->renewing = false;
}

static err forget_work(struct store_tx *tx, void *arg)
{
    char(*names)[CONFIG_NAME_MAX] = arg;
    _Static_assert(CONFIG_DESTINATIONS_MAX == 4, "as many as the statement has");
    const struct store_value values[] = {store_text(names[0]), store_text(names[1]), store_text(names[2]), store_text(names[3])};
    return store_exec(tx, "DELETE FROM backup_records WHERE destination NOT IN (?1, ?2, ?3, ?4)", values, COUNT_OF(values));
}

void cache_forget_others(struct backup *b)
{
    char names[CONFIG_DESTINATIONS_MAX][CONFIG_NAME_MAX] = {""};
    uint64_t mark = trail_mark();
    if (!b->options.store)
        return;
    for (unsigned i = 0; i < b->config->backup.destination_count; i++)
        memcpy(names[i], b->config->backup.destinations[i].name, sizeof names[i]);
    ended(b, "all", store_write(b->options.store, forget_work, names, sizeof names, loop_now() + STORE_MS_MAX), mark);
}

/* Of another folder that had this destination's name: nothing is known of this one. */
static bool speaks_of(const struct backup_destination *to, const struct backup_record *r)
{
    char base[OS_PATH_MAX];
    return strcmp(r->destination, to->config->name) == 0 && place_path(to->place, "", base) == OK &&
           strncmp(r->path, base, strlen(base)) == 0;
}

static err give_rows(const struct backup_destination *to, struct span *s, struct backup_record *r,
                     err (*each)(void *arg, struct backup_record *r), void *arg)
{
    for (size_t at = 0; at < s->piece->len;) {
        const struct row *row = row_at(s->piece, at);
        uint64_t mark = trail_mark();
        memcpy(s->after, row->name, sizeof s->after);
        at += row_bytes(row->json_bytes);
        if (backup_record_parse((struct bytes){(const uint8_t *)row->json, row->json_bytes}, r) != OK)
            trail_rewind(mark); /* it will be put right */
        else if (speaks_of(to, r))
            TRY(each(arg, r));
        fiber_breathe();
    }
    return OK;
}

void cache_recall(struct backup *b, struct backup_destination *to, const char *after,
                  err (*each)(void *arg, struct backup_record *r), void *arg)
{
    struct span s = {0};
    uint64_t mark = trail_mark();
    if (!b->options.store)
        return;
    struct backup_record *r = malloc(sizeof *r);
    err e = r ? span_open(&s, to, after) : E_BUDGET, given = OK;
    while (e == OK && given == OK && !s.last) {
        e = store_read_held(b->options.store, get_work, &s, sizeof s, &s.piece->hold, loop_now() + STORE_MS_MAX);
        if (e == OK)
            given = give_rows(to, &s, r, each, arg);
    }
    span_close(&s);
    free(r);
    ended(b, to->config->name, e, mark);
}

/* --- one record --- */

static err put_one_work(struct store_tx *tx, void *arg)
{
    const struct span *s = arg;
    return put_row(tx, s, row_at(s->piece, 0));
}

void cache_keep(struct backup *b, const struct backup_destination *to, const struct backup_record *r)
{
    struct span s = {0};
    uint64_t mark = trail_mark();
    if (!b->options.store)
        return;
    err e = span_open(&s, to, "");
    if (e == OK)
        e = put_record(s.piece, r, 0);
    if (e == OK)
        e = store_write_held(b->options.store, put_one_work, &s, sizeof s, &s.piece->hold, loop_now() + STORE_MS_MAX);
    span_close(&s);
    ended(b, to->config->name, e, mark);
}

struct wanted { /* what a work function is given */
    struct piece *piece;
    char destination[CONFIG_NAME_MAX], name[BACKUP_NAME_MAX];
    uint64_t tag;
};

static err got_one(void *arg, const struct store_value *columns, size_t count)
{
    struct wanted *w = arg;
    struct bytes json = columns[0].bytes;
    ASSERT(count == 1);
    if (json.len > BACKUP_RECORD_JSON_MAX) /* not ours */
        return OK;
    memcpy(w->piece->bytes, json.at, json.len);
    w->piece->len = json.len;
    return OK;
}

static err find_work(struct store_tx *tx, void *arg)
{
    struct wanted *w = arg;
    const struct store_value values[] = {store_text(w->destination), store_text(w->name), store_integer((int64_t)w->tag)};
    w->piece->len = 0;
    return store_query(tx, "SELECT json FROM backup_records WHERE destination = ?1 AND name = ?2 AND tag = ?3", values,
                       COUNT_OF(values), got_one, w);
}

bool cache_find(struct backup_destination *to, const struct backup_entry *entry, struct backup_record *out)
{
    struct backup *b = to->owner;
    struct span s = {0};
    uint64_t mark = trail_mark();
    if (!b->options.store || span_open(&s, to, "") != OK)
        return false;
    struct wanted w = {.piece = s.piece, .tag = entry->tag};
    memcpy(w.destination, s.destination, sizeof w.destination);
    backup_name(entry, NAME_SNAPSHOT, w.name);
    err e = store_read_held(b->options.store, find_work, &w, sizeof w, &s.piece->hold, loop_now() + STORE_MS_MAX);
    bool found = e == OK && s.piece->len > 0 && backup_record_parse((struct bytes){s.piece->bytes, s.piece->len}, out) == OK &&
                 speaks_of(to, out);
    span_close(&s);
    trail_rewind(mark); /* it is read then */
    return found;
}
