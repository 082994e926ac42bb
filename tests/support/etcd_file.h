/* etcd_file: makes a sound etcd database (bbolt), as a snapshot holds it, for peers that serve one and tests that read one.
 *
 * Layer    tests.              Blocks   never.     Memory   the caller's `out`, of whole pages.
 * Owner    the caller.         Errors   assertions: what does not fit is a bug of the test.
 * Bucket "key" has `keys` records, revisions 2, 3, …, of keys "/key/000000", …; then each tombstone of the first `deleted` of
 * them; buckets "alarm" (empty) and "meta" (finishedCompactRev 1) are inline. No freelist is stored, as etcd does it. */
#ifndef HOLDFAST_TEST_ETCD_FILE_H
#define HOLDFAST_TEST_ETCD_FILE_H

#include "board/rt/text.h"

#define ETCD_FILE_PAGE KIB(4)

struct etcd_file {
    unsigned keys, deleted;
    unsigned value_bytes;      /* of each record; beyond a page it overflows */
    unsigned last_value_bytes; /* of the last record instead, when not 0: sizes the file */
    /* out */
    size_t bytes;     /* whole pages; no trailer */
    int64_t revision; /* the last one */
};
/* Fills `out`. */
void etcd_file_make(struct etcd_file *f, uint8_t *out, size_t cap);

#endif
