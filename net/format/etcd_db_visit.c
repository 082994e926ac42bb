/* What the first walk and the later ones for distinct keys make of each bucket and entry. */
#include "net/format/crc32c.h"
#include "net/format/etcd_db_inside.h"

#include <string.h>

static uint64_t page_of(const struct etcd_db *d)
{
    return d->b.frames[d->b.depth - 1].page;
}

/* --- the first walk: everything is hashed, "key" and "meta" are read --- */

static bool first_bucket(void *arg, struct bytes name)
{
    struct etcd_db *d = arg;
    etcd_db_hash_flush(d);
    d->crc = crc32c(d->crc, name);
    d->bucket = bytes_equal_text(name, "key")    ? ETCD_DB_KEY
                : bytes_equal_text(name, "meta") ? ETCD_DB_META_BUCKET
                                                 : ETCD_DB_OTHER;
    d->key_seen |= d->bucket == ETCD_DB_KEY;
    return true;
}

static void read_version(struct etcd_db *d, struct bytes value)
{
    struct text t = text_over(d->status.storage_version, sizeof d->status.storage_version);
    for (size_t i = 0; i < value.len; i++)
        if (value.at[i] < 0x20 || value.at[i] > 0x7e)
            return;
    text_add_bytes(&t, value);
}

static void read_compacted(struct etcd_db *d, struct bytes value)
{
    struct revision r;
    if (revision_parse(value, &r))
        d->status.compact_revision = r.main;
    else
        bbolt_found(&d->b, ETCD_DB_REVISION, page_of(d), "finishedCompactRev of bucket \"meta\" is no revision");
}

static void meta_entry(struct etcd_db *d, const struct bbolt_record *r)
{
    if (r->value.at == NULL || r->is_bucket)
        return;
    if (bytes_equal_text(r->key, "storageVersion"))
        read_version(d, r->value);
    else if (bytes_equal_text(r->key, "finishedCompactRev"))
        read_compacted(d, r->value);
}

static void record_end(struct etcd_db *d)
{
    if (record_good(&d->record))
        key_table_note(&d->table, d->record.fingerprint, d->ordinal, d->revision.tombstone);
    else
        bbolt_found(&d->b, ETCD_DB_RECORD, page_of(d), "revision %lld_%lld has no mvccpb.KeyValue", (long long)d->revision.main,
                    (long long)d->revision.sub);
    d->ordinal++;
}

static void key_entry(struct etcd_db *d, const struct bbolt_record *r)
{
    d->reads = revision_parse(r->key, &d->revision) && !r->is_bucket;
    if (!d->reads) {
        bbolt_found(&d->b, ETCD_DB_REVISION, page_of(d), "a %s of %zu bytes in bucket \"key\" is no revision",
                    r->is_bucket ? "bucket's name" : "key", r->key.len);
        return;
    }
    d->status.revision = d->revision.main;
    record_start(&d->record, r->value_bytes, d->source.seed);
    if (r->value.at == NULL)
        return;
    record_read(&d->record, r->value);
    record_end(d);
}

static void first_record(void *arg, const struct bbolt_record *r)
{
    struct etcd_db *d = arg;
    d->status.pairs++;
    etcd_db_hash_bytes(d, r->key);
    if (r->value.at != NULL)
        etcd_db_hash_bytes(d, r->value);
    d->reads = false;
    if (d->bucket == ETCD_DB_KEY)
        key_entry(d, r);
    else if (d->bucket == ETCD_DB_META_BUCKET)
        meta_entry(d, r);
}

static bool first_value(void *arg, struct bytes piece, bool last)
{
    struct etcd_db *d = arg;
    etcd_db_hash_bytes(d, piece);
    if (!d->reads)
        return true;
    record_read(&d->record, piece);
    if (last)
        record_end(d);
    return true;
}

static void first_leave(void *arg)
{
    etcd_db_hash_flush(arg);
}

const struct bbolt_visitor etcd_db_visit_first = {first_bucket, first_record, first_value, first_leave};

/* --- a later walk: bucket "key" only, and of each value no more than the key --- */

static bool keys_bucket(void *arg, struct bytes name)
{
    (void)arg;
    return bytes_equal_text(name, "key");
}

static void note_again(struct etcd_db *d)
{
    if (d->record.key_done)
        key_table_note(&d->table, d->record.fingerprint, d->ordinal - 1, d->revision.tombstone);
}

static void keys_record(void *arg, const struct bbolt_record *r)
{
    struct etcd_db *d = arg;
    d->ordinal++;
    if (!revision_parse(r->key, &d->revision) || r->is_bucket)
        d->b.changed = true;
    record_start(&d->record, r->value_bytes, d->source.seed);
    if (r->value.at == NULL)
        return;
    record_read(&d->record, r->value);
    note_again(d);
}

static bool keys_value(void *arg, struct bytes piece, bool last)
{
    struct etcd_db *d = arg;
    (void)last;
    record_read(&d->record, piece);
    note_again(d);
    return !d->record.key_done;
}

static void keys_leave(void *arg)
{
    (void)arg;
}

const struct bbolt_visitor etcd_db_visit_keys = {keys_bucket, keys_record, keys_value, keys_leave};
