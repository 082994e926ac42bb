/* The hash that HashKV gives: CRC-32C over "key" and those records that a member compacted at hash_compacted counts. */
#include "net/format/crc32c.h"
#include "net/format/etcd_db_inside.h"

void etcd_db_hash_flush(struct etcd_db *d)
{
    d->crc = crc32c(d->crc, d->run);
    d->run = (struct bytes){0};
}

void etcd_db_hash_bytes(struct etcd_db *d, struct bytes bytes)
{
    if (d->run.len > 0 && d->run.at + d->run.len == bytes.at) {
        d->run.len += bytes.len;
        return;
    }
    etcd_db_hash_flush(d);
    d->run = bytes;
}

static bool visit_bucket(void *arg, struct bytes name)
{
    (void)arg;
    return bytes_equal_text(name, "key");
}

/* kvHasher.WriteKeyValue of etcd server/storage/mvcc/hash.go. There the set of kept ones is empty when no key lives: then all
 * count. A tombstone at the compacted revision itself is left out: members before 3.5.16 have deleted it, later ones have not. */
static bool counts(const struct etcd_db *d, uint64_t ordinal)
{
    if (d->revision.main > d->hash_revision || (d->revision.main == d->hash_compacted && d->revision.tombstone))
        return false;
    return d->revision.main > d->hash_compacted || d->table.live == 0 ||
           (ordinal < d->table.keep_bits && bbolt_bit(d->table.keep, ordinal));
}

static void visit_record(void *arg, const struct bbolt_record *r)
{
    struct etcd_db *d = arg;
    uint64_t ordinal = d->ordinal++;
    if (!revision_parse(r->key, &d->revision) || ordinal >= d->records) {
        d->b.changed = true;
        return;
    }
    d->hashes = counts(d, ordinal);
    if (!d->hashes)
        return;
    etcd_db_hash_bytes(d, r->key);
    if (r->value.at != NULL)
        etcd_db_hash_bytes(d, r->value);
}

static bool visit_value(void *arg, struct bytes piece, bool last)
{
    struct etcd_db *d = arg;
    (void)last;
    if (d->hashes)
        etcd_db_hash_bytes(d, piece);
    return d->hashes;
}

static void visit_leave(void *arg)
{
    etcd_db_hash_flush(arg);
}

const struct bbolt_visitor etcd_db_visit_hash = {visit_bucket, visit_record, visit_value, visit_leave};

/* A member that was restarted since its newest record was compacted away counts on from the compacted revision. */
static bool is_own_revision(const struct etcd_db_status *s, int64_t revision)
{
    return revision == s->revision || (revision > s->revision && revision == s->compact_revision);
}

err etcd_db_hash_kv_start(struct etcd_db *d, int64_t revision, int64_t compact_revision)
{
    if ((d->phase != ETCD_DB_END && d->phase != ETCD_DB_HASHED) || !d->status.logic_good)
        return trail(E_INVALID, "HashKV of a database that is not verified or not good");
    bool is_older = d->status.compact_revision > 0 && compact_revision < d->status.compact_revision;
    if (!is_own_revision(&d->status, revision) || is_older)
        return trail(E_INVALID, "HashKV at revision %lld, compacted at %lld, of a database at %lld, compacted at %lld",
                     (long long)revision, (long long)compact_revision, (long long)d->status.revision,
                     (long long)d->status.compact_revision);
    if (!d->table.keeps && compact_revision >= 0)
        return trail(E_RANGE, "HashKV of %llu records: no memory to mark them", (unsigned long long)d->records);
    d->hash_revision = revision;
    d->hash_compacted = compact_revision;
    d->ordinal = 0;
    d->crc = crc32c(0, bytes_of("key"));
    d->phase = ETCD_DB_HASHING;
    d->error = bbolt_walk_start(&d->b, &etcd_db_visit_hash, d, false);
    return d->error;
}

uint32_t etcd_db_hash_kv(const struct etcd_db *d)
{
    ASSERT(d->phase == ETCD_DB_HASHED);
    return d->crc;
}
