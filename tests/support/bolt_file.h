/* bolt_file: writes bbolt files in memory, as small and as odd as a test wants them: any page size, branches, overflow, inline
 * buckets, a stored freelist. Written from the format's facts, apart from net/format/bbolt_page.c.
 *
 * Layer    tests.   Blocks   never.   Memory   the caller's storage.   Errors   none: what does not fit is asserted. */
#ifndef HOLDFAST_TESTS_BOLT_FILE_H
#define HOLDFAST_TESTS_BOLT_FILE_H

#include "board/rt/base.h"

struct bolt_file {
    uint8_t *at; /* zeroed by bolt_start() */
    size_t cap;
    uint32_t page_bytes;
    unsigned branch_max; /* children of a branch; 0: 8 */
    uint64_t pages;      /* so far; the first is 2 */
};

struct bolt_entry {
    struct bytes key, value;
    bool bucket; /* value is from bolt_bucket() or bolt_inline() */
};

void bolt_start(struct bolt_file *f, void *storage, size_t cap, uint32_t page_bytes);
uint8_t *bolt_page(struct bolt_file *f, uint64_t page);
uint64_t bolt_take(struct bolt_file *f, uint64_t count); /* pages with a header and nothing else */
/* Leaves and branches over the entries, which ascend; the root's page. */
uint64_t bolt_tree(struct bolt_file *f, const struct bolt_entry *entries, size_t count);
/* Values of entries that are buckets; their lengths. */
size_t bolt_bucket(uint8_t out[16], uint64_t root);
size_t bolt_inline(uint8_t *out, size_t cap, const struct bolt_entry *entries, size_t count);
/* A freelist of these pages; count_first writes the count as the first id, as bbolt does from 65535 on. */
uint64_t bolt_freelist(struct bolt_file *f, const uint64_t *pages, size_t count, bool count_first);
#define BOLT_NO_FREELIST UINT64_MAX
/* Both metas, the second older; the file's bytes. */
size_t bolt_finish(struct bolt_file *f, uint64_t root, uint64_t freelist);
void bolt_seal(uint8_t *file, size_t bytes, uint32_t page_bytes); /* both metas' checksums, whatever they now say */

void bolt_put(uint8_t *at, unsigned bytes, uint64_t value); /* little endian */
uint64_t bolt_get(const uint8_t *at, unsigned bytes);

#endif
