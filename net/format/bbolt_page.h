/* bbolt_page: bbolt's file format, one page at a time: header, meta, elements, each read from bytes and checked for itself.
 *
 * Layer    format.                             Blocks   never.
 * Owner    the caller; nothing is kept.        Memory   the caller's.
 * Errors   none: a predicate tells whether what stands there can be.
 *
 * Numbers are little-endian on the disk (bbolt writes the machine's own order; nobody runs etcd on another). Facts: bbolt's
 * internal/common/{page,meta,bucket}.go. */
#ifndef HOLDFAST_BBOLT_PAGE_H
#define HOLDFAST_BBOLT_PAGE_H

#include "board/rt/base.h"

#define BBOLT_PAGE_MIN            512
#define BBOLT_PAGE_MAX            65536
#define BBOLT_MAGIC               0xED0CDAEDu
#define BBOLT_VERSION             2
#define BBOLT_HEADER_BYTES        16
#define BBOLT_ELEMENT_BYTES       16 /* of a branch or a leaf */
#define BBOLT_BUCKET_HEADER_BYTES 16
#define BBOLT_META_BYTES          64
#define BBOLT_META_SUMMED_BYTES   56
#define BBOLT_KEY_MAX             32768                                            /* MaxKeySize */
#define BBOLT_INLINE_MAX          (BBOLT_PAGE_MAX / 4 + BBOLT_BUCKET_HEADER_BYTES) /* a bucket's page within its value */
#define BBOLT_NO_FREELIST         UINT64_MAX
#define BBOLT_COUNT_IS_FIRST      0xFFFF /* a freelist's count: the real one is its first id */

enum bbolt_flags { BBOLT_BRANCH = 0x01, BBOLT_LEAF = 0x02, BBOLT_META = 0x04, BBOLT_FREELIST = 0x10 };

struct bbolt_header {
    uint64_t id;
    uint16_t flags, count;
    uint32_t overflow; /* pages that follow and belong to it */
};

struct bbolt_meta {
    uint32_t page_bytes;
    uint64_t root, freelist, pages, txid;
};

struct bbolt_element {
    uint32_t flags; /* leaf: 1 is a bucket */
    uint32_t key_bytes, value_bytes;
    uint64_t child; /* branch */
    uint64_t at;    /* of the key, from the start of the page; the value follows it */
};

uint32_t bbolt_u32(const uint8_t *at);
uint64_t bbolt_u64(const uint8_t *at);
struct bbolt_header bbolt_header_read(const uint8_t at[BBOLT_HEADER_BYTES]);
/* A meta's body, after the page's header. False with the reason in *why (static): magic, version, page size or checksum. */
MUST_USE bool bbolt_meta_read(const uint8_t at[BBOLT_META_BYTES], struct bbolt_meta *out, const char **why);
uint64_t bbolt_fnv64a(struct bytes data);
/* Element `index`, given its 16 bytes; sizes and places are as found, not checked. */
struct bbolt_element bbolt_element_read(const uint8_t at[BBOLT_ELEMENT_BYTES], uint16_t index, bool leaf);
/* Whether key and value lie in the page (its overflow included), behind the elements and behind what came before (`taken`: the
 * end of the element before). bbolt writes them in order and without overlap, which also bounds what reading a page can cost. */
MUST_USE bool bbolt_element_fits(const struct bbolt_element *e, uint16_t count, uint64_t taken, uint64_t page_bytes);
/* Memory order, as Go compares bytes. */
int bbolt_compare(struct bytes a, struct bytes b);

#endif
