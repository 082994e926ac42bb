/* etcd_db_inside: the parts of etcd_db. etcd_db.c has the phases and the first walk's visitor, etcd_db_record.c one record of
 * bucket "key", etcd_db_keys.c the table of distinct keys, etcd_db_hash.c the walk for HashKV.
 *
 * Layer    format.   Blocks   as the source does.   Memory   the one block of etcd_db_open().   Errors   those of the source. */
#ifndef HOLDFAST_ETCD_DB_INSIDE_H
#define HOLDFAST_ETCD_DB_INSIDE_H

#include "net/format/bbolt_walk.h"

/* --- one record of bucket "key" --- */

struct revision {
    int64_t main, sub;
    bool tombstone;
};
/* 8 bytes main, '_', 8 bytes sub, big-endian, 't' behind a tombstone's: etcd server/storage/mvcc/revision.go. */
MUST_USE bool revision_parse(struct bytes key, struct revision *out);

/* A protobuf read in pieces of any size, as far as an mvccpb.KeyValue needs it (etcd api/mvccpb/kv.proto): key = 1 comes first
 * and once, as etcd writes it; 2, 3, 4, 6 are numbers, 5 are bytes; others are passed over. */
struct record_reader {
    uint64_t total;        /* of the message, and */
    uint64_t at;           /* how much was read */
    uint64_t varint, skip; /* being read; bytes to pass over */
    unsigned shift;
    enum { RECORD_TAG, RECORD_NUMBER, RECORD_LENGTH, RECORD_SKIP, RECORD_BAD } state;
    uint32_t field;
    uint64_t fingerprint, word; /* of the key; the 8 bytes at hand */
    uint64_t key_bytes, seed;
    bool key_done;
};
void record_start(struct record_reader *r, uint64_t total, uint64_t seed);
void record_read(struct record_reader *r, struct bytes piece);
MUST_USE bool record_good(const struct record_reader *r); /* all of it was read, and it is one */

/* --- distinct keys: a table in passes over ranges of fingerprints --- */

struct key_table {
    uint64_t *fingerprints; /* 0: free */
    uint32_t *ordinals;     /* of the key's last record; the top bit: a tombstone */
    uint32_t cap, used, used_max;
    uint64_t from, below; /* fingerprints of this pass; below 0: up to the end */
    uint64_t *keep;       /* bit = ordinal: a key's last record and no tombstone */
    uint64_t keep_bits;
    bool keeps;          /* all of them found room */
    uint64_t live, seen; /* keys of the passes that ended: alive, and with the deleted ones */
};
void key_table_give(struct key_table *t, void *at, size_t bytes, uint64_t keep_bytes);
void key_table_note(struct key_table *t, uint64_t fingerprint, uint64_t ordinal, bool tombstone);
/* Ends a pass: counts, keeps, and begins the next one. True: it was the last. */
MUST_USE bool key_table_pass_end(struct key_table *t);

/* --- the whole --- */

enum etcd_db_phase { ETCD_DB_METAS, ETCD_DB_FREE, ETCD_DB_WALK, ETCD_DB_KEYS, ETCD_DB_END, ETCD_DB_HASHING, ETCD_DB_HASHED };

struct etcd_db {
    struct etcd_db_source source;
    struct etcd_db_status status;
    struct bbolt b;
    struct key_table table;
    uint8_t *memory; /* the rest of the block */
    size_t memory_bytes;
    enum etcd_db_phase phase;
    err error; /* of the source; sticks */

    enum etcd_db_bucket { ETCD_DB_OTHER, ETCD_DB_KEY, ETCD_DB_META_BUCKET } bucket; /* the one being walked */
    bool key_seen;
    struct bytes run; /* bytes to hash that lie side by side */
    uint32_t crc;
    uint64_t ordinal; /* of the next record of bucket "key", from 0 */
    uint64_t records; /* of bucket "key", as the first walk counted */
    struct revision revision;
    struct record_reader record;
    bool reads, hashes; /* the value at hand: as a record, into the hash */

    int64_t hash_revision, hash_compacted;
};

void etcd_db_hash_bytes(struct etcd_db *d, struct bytes bytes); /* joins what lies side by side */
void etcd_db_hash_flush(struct etcd_db *d);
extern const struct bbolt_visitor etcd_db_visit_first, etcd_db_visit_keys, etcd_db_visit_hash;

#endif
