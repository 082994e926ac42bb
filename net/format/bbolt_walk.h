/* bbolt_walk: goes through a bbolt file's tree in key order, proves it on the way, and shows what it holds to a visitor. For
 * etcd_db; nobody else.
 *
 * Layer    format.                                        Blocks   as the source does; a step is bounded.
 * Owner    etcd_db owns struct bbolt and all it points    Memory   what etcd_db gives it (bbolt_memory_bytes()).
 *          to. What a visitor is shown lives until
 *          its leave().
 * Errors   those of source.read(), passed on. What is wrong with the file is told with bbolt_found(); a damaged page is left
 *          out and the walk goes on behind it. On a later walk (not proving) any finding means that the file changed. */
#ifndef HOLDFAST_BBOLT_WALK_H
#define HOLDFAST_BBOLT_WALK_H

#include "net/format/bbolt_page.h"
#include "net/format/etcd_db.h"

#define BBOLT_WINDOW_MAX KIB(64)
#define BBOLT_WINDOW_MIN KIB(32) /* a whole key or inline bucket is looked at in one piece */
#define BBOLT_SLOTS_MAX  8

struct bbolt_record {
    struct bytes key;
    uint64_t value_bytes;
    struct bytes value; /* .at is NULL: it follows through value() */
    bool is_bucket;     /* one within a top-level bucket; it has no value */
};

struct bbolt_visitor {
    /* A top-level bucket begins: walk it? */
    bool (*bucket)(void *arg, struct bytes name);
    /* An entry of it, in order. */
    void (*record)(void *arg, const struct bbolt_record *r);
    /* The last record's value in pieces; false: the rest is not wanted. */
    bool (*value)(void *arg, struct bytes piece, bool last);
    /* The bytes shown since the last leave() are about to go. */
    void (*leave)(void *arg);
};

enum bbolt_level { BBOLT_LEVEL_ROOT, BBOLT_LEVEL_TOP, BBOLT_LEVEL_NESTED };

struct bbolt_frame { /* a page on the way down */
    uint64_t page, run_bytes;
    uint64_t taken; /* where the element before ended */
    uint32_t next;  /* the element that comes next */
    uint16_t count;
    bool leaf, misordered;
    enum bbolt_level level;
};

struct bbolt {
    const struct etcd_db_source *source;
    struct etcd_db_status *status;
    uint32_t page_bytes;
    uint64_t pages; /* high water mark */
    struct bbolt_meta meta;

    uint8_t *window; /* a stretch of the file, for reading ahead and for what is larger than a page */
    size_t window_bytes;
    uint64_t window_at;
    size_t window_len;
    struct {
        uint64_t page; /* 0: none */
        uint8_t *at;   /* page_bytes */
    } slots[BBOLT_SLOTS_MAX];
    unsigned slot_count;

    uint8_t *last_key; /* BBOLT_KEY_MAX */
    size_t last_len;
    enum { BBOLT_BOUND_NONE, BBOLT_BOUND_LEAST, BBOLT_BOUND_ABOVE } bound; /* what the next key is to be against it */
    bool bound_stale; /* a nested bucket ended: the bound is the key before */

    uint64_t *reached, *freed; /* bit = page */
    struct bbolt_frame frames[BBOLT_DEPTH_MAX];
    unsigned depth;
    uint64_t value_at, value_left; /* of a value that is being shown in pieces */

    const struct bbolt_visitor *visit;
    void *visit_arg;
    bool proving; /* the first walk */
    bool changed; /* a later walk found what the first did not */
    uint64_t pages_walked;
    unsigned cost; /* pages read since the step began */

    uint64_t free_left, free_at, free_last; /* the freelist: ids to come, where in the file, the one before */
};

/* Records it; the first ETCD_DB_FINDINGS_MAX are kept with their text. */
void bbolt_found(struct bbolt *b, enum etcd_db_code code, uint64_t page, const char *format, ...) PRINTF_LIKE(4, 5);

/* `len` bytes (<= window_bytes) of the file at `at`, valid until the next call; `wanted` >= len: how many will be read on from
 * there, as far as is known. */
MUST_USE err bbolt_bytes(struct bbolt *b, uint64_t at, size_t len, uint64_t wanted, const uint8_t **out);

/* Reads both metas: false with findings when there is none to go by, else sets meta, page_bytes and pages. */
MUST_USE err bbolt_metas(struct bbolt *b, bool *good);
/* Bytes of bbolt_memory_give() for this page size: last key, window, slots; `rich`: more of them than it must be. */
size_t bbolt_memory_bytes(uint32_t page_bytes, bool rich);
void bbolt_memory_give(struct bbolt *b, uint8_t *at, bool rich);

/* Marks pages as reached: false with a finding when some are already, or are free. */
bool bbolt_mark(struct bbolt *b, uint64_t page, uint64_t count);
static inline bool bbolt_bit(const uint64_t *bits, uint64_t i)
{
    return (bits[i / 64] >> i % 64 & 1) != 0;
}
static inline void bbolt_bit_set(uint64_t *bits, uint64_t i)
{
    bits[i / 64] |= UINT64_C(1) << i % 64;
}

/* The freelist, before the walk: start, then step until done. */
MUST_USE err bbolt_free_start(struct bbolt *b);
MUST_USE err bbolt_free_step(struct bbolt *b, unsigned pages_max, bool *done);
void bbolt_lost_find(struct bbolt *b); /* after the walk */

MUST_USE err bbolt_walk_start(struct bbolt *b, const struct bbolt_visitor *visit, void *arg, bool proving);
MUST_USE err bbolt_walk_step(struct bbolt *b, unsigned pages_max, bool *done);
/* Checks and shows a bucket that lies whole within its entry's value. */
void bbolt_inline(struct bbolt *b, uint64_t page, struct bytes value, enum bbolt_level level);

#endif
