/* etcd_shape: an etcd database in memory, of a shape that a test names, and what must be told of it, counted the naive way.
 *
 * Layer    tests.   Blocks   never.   Memory   static, of the one file that exists at a time.   Errors   none: asserted. */
#ifndef HOLDFAST_TESTS_ETCD_SHAPE_H
#define HOLDFAST_TESTS_ETCD_SHAPE_H

#include "tests/support/bolt_file.h"

#define ETCD_SHAPE_RECORDS_MAX 24000
#define ETCD_SHAPE_BYTES_MAX   MIB(4)

struct etcd_shape {
    uint32_t page_bytes;
    unsigned records;         /* revisions 2, 3, …; from the 2000th on two records a revision */
    unsigned keys;            /* distinct ones, in a scattered order */
    unsigned tombstone_every; /* 0: none */
    size_t value_bytes;
    size_t big_value_bytes; /* of record 5 */
    size_t big_key_bytes;   /* of record 6 */
    unsigned branch_max;    /* 0: 8 */
    bool stored;            /* the freelist */
    unsigned free_pages;
    bool count_first; /* the freelist's count is its first id */
    bool nested;      /* buckets within a bucket, one inline and one not */
    int64_t compacted;
    const char *version;
    bool no_key_bucket;
    unsigned chain; /* a bucket "chain" below so many branches with one child each */
};

struct etcd_shaped {
    struct bolt_file f;
    size_t bytes;
    uint64_t root, key_root, freelist, free_first;
    uint32_t hash;
    uint64_t pairs, keys;
    int64_t revision;
};

const struct etcd_shaped *etcd_shape_make(const struct etcd_shape *s);
uint8_t *etcd_shape_page(uint64_t page); /* of the last one made */
/* HashKV of the last one made, for a member compacted there. */
uint32_t etcd_shape_hash_kv(int64_t compacted);

#endif
