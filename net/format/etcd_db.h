/* etcd_db: is this file a sound etcd database, and what is in it. Levels 3 and 4 of a verification, in bounded memory, in steps.
 *
 * Level 3 is bbolt's structure, agreeing with `bbolt check`: both meta pages (magic, version, page size, FNV-64a checksum; one
 * good one is enough, the newest good txid counts), every page's id, flags, count and overflow, elements within their page,
 * branch keys not above the first key below, keys in order within a page and between pages, children in range and referenced
 * once, buckets (inline ones too) to BBOLT_DEPTH_MAX, the freelist stored or absent, free pages not in use, no page lost. Level 4
 * is what etcd sees: CRC-32C over every top-level bucket's name, keys and values in cursor order (etcdutl's `hash`), the last
 * revision of bucket "key", distinct live keys (etcdutl >= 3.6), pairs (as 3.4 and 3.5 count: all keys of all buckets), storage
 * version; every record of bucket "key" is an mvccpb.KeyValue under a 17- or 18-byte revision.
 *
 * Layer    format: no I/O of its own, the source reads.      Blocks   as the source does; a step is bounded.
 * Owner    the caller owns it, and what the source needs.    Memory   one heap block set made in open(): ETCD_DB_MEMORY_MIN up to
 *                                                                     memory_bytes_max; more memory means fewer passes.
 * Errors   what is wrong with the file is no error but a finding; E_BUDGET no memory (open); E_RANGE the file has more pages than
 *          the memory can mark; errors of source.read() are passed on and stick. */
#ifndef HOLDFAST_ETCD_DB_H
#define HOLDFAST_ETCD_DB_H

#include "board/rt/err.h"
#include "board/rt/text.h"

#define ETCD_DB_FINDINGS_MAX 16
#define ETCD_DB_MEMORY_MIN   KIB(192)
#define BBOLT_DEPTH_MAX      32

/*            id             code, as `backup verify -o json` shows it */
#define ETCD_DB_CODE_TABLE(X)                                                                                                    \
    X(META, "meta")                    /* neither meta page is good, or they disagree with the file's size */                    \
    X(PAGE_ID, "page-id")              /* a page says it is another one */                                                       \
    X(PAGE_FLAGS, "page-flags")        /* not of the kind its parent takes it for */                                             \
    X(PAGE_COUNT, "page-count")        /* more elements than fit, or none where there must be some */                            \
    X(OVERFLOW, "overflow")            /* reaches beyond the file */                                                             \
    X(CHILD_RANGE, "child-range")      /* a child beyond the high water mark, or a meta page */                                  \
    X(CHILD_TWICE, "child-twice")      /* a page with two parents */                                                             \
    X(KEY_ORDER, "key-order")          /* keys not ascending, or outside of what the parent says */                              \
    X(ELEMENT_RANGE, "element-range")  /* key or value outside of the page */                                                    \
    X(BUCKET, "bucket")                /* a bucket header or inline bucket that cannot be */                                     \
    X(DEPTH, "depth")                  /* deeper than BBOLT_DEPTH_MAX */                                                         \
    X(FREELIST, "freelist")            /* not a freelist, ids out of range or order */                                           \
    X(FREE_IN_USE, "free-in-use")      /* a page both free and reachable */                                                      \
    X(PAGE_LOST, "page-lost")          /* neither free nor reachable */                                                          \
    X(BUCKET_MISSING, "no-key-bucket") /* no bucket "key": no etcd database */                                                   \
    X(REVISION, "revision")            /* a key of bucket "key" that is no revision */                                           \
    X(RECORD, "record")                /* a value of bucket "key" that is no mvccpb.KeyValue */

enum etcd_db_code {
#define X(id, name) ETCD_DB_##id,
    ETCD_DB_CODE_TABLE(X)
#undef X
        ETCD_DB_CODE_COUNT
};
const char *etcd_db_code_name(enum etcd_db_code c); /* "child-twice"; static */

struct etcd_db_finding {
    enum etcd_db_code code;
    uint64_t page;
    char text[96]; /* what is there and what should be */
};

struct etcd_db_status {
    bool structure_good, logic_good; /* levels 3 and 4 hold; only when done */
    unsigned finding_count;          /* kept ones */
    uint64_t findings_total;
    struct etcd_db_finding findings[ETCD_DB_FINDINGS_MAX];
    uint32_t page_bytes;
    uint64_t pages, db_bytes; /* high water mark; db_bytes as etcdutl's totalSize: page_bytes x pages */
    uint64_t txid;
    uint32_t hash;
    int64_t revision;         /* 0: none */
    int64_t compact_revision; /* finished, from bucket "meta"; 0: none */
    uint64_t keys, pairs;
    char storage_version[16]; /* "3.6.0"; "" before 3.6 */
    unsigned passes;          /* walks over bucket "key" that the count took */
};

struct etcd_db_source {
    err (*read)(void *arg, uint64_t at, void *into, size_t len); /* all of it; asked only within `bytes` */
    void *arg;
    uint64_t bytes; /* of the database, without a trailer */
    uint64_t seed;  /* what nobody can guess: keys are told apart by a hash of it */
};

struct etcd_db;
MUST_USE err etcd_db_open(const struct etcd_db_source *source, size_t memory_bytes_max, struct etcd_db **out);
/* Reads at most about pages_max pages (an overflowing value is hashed in pieces and may span steps). *done: the status is final.
 */
MUST_USE err etcd_db_step(struct etcd_db *d, unsigned pages_max, bool *done);
const struct etcd_db_status *etcd_db_status(const struct etcd_db *d); /* valid until close */
/* 0..1000: how far all passes are, as well as can be told. */
unsigned etcd_db_permille(const struct etcd_db *d);
/* After a good end: begins the hash that HashKV of etcd gives for `revision` on a member compacted at compact_revision (records
 * up to compact_revision count only where they are their key's last and no tombstone; etcd server/storage/mvcc/hash.go). Step
 * until done, then ask. E_INVALID: the database is not good; revision is not its own (status->revision, or its compact_revision
 * where that is above); compact_revision is below its own (those records are gone: a member that answers so remembered the hash
 * from before). -1 is a member that was never compacted. E_RANGE: no memory to mark the records that count. */
MUST_USE err etcd_db_hash_kv_start(struct etcd_db *d, int64_t revision, int64_t compact_revision);
uint32_t etcd_db_hash_kv(const struct etcd_db *d);
void etcd_db_close(struct etcd_db *d); /* NULL is fine */

#endif
