/* A spool that was written with larger buffers, as by a hub with a larger profile: what does not fit never holds up the others,
 * and does not come back when the buffers are large again. */
#include "tests/unit/spool_here.h"

#include <string.h>

#define BUFFER   KIB(16)
#define LARGER   KIB(64)
#define BODY_MAX (BUFFER - SPOOL_OVERHEAD_BYTES)

static const struct row {
    const char *name;
    size_t body;      /* of the one between two small ones */
    unsigned batches; /* three: each is in one of its own, one: all are in one */
    unsigned depth, oversized;
} rows[] = {
    {"the largest that fits", BODY_MAX, 3, 3, 0},
    {"one byte more", BODY_MAX + 1, 3, 0, 1},
    {"one that can be read, but not be moved", KIB(18), 3, 0, 1},
    {"a batch that cannot be read", KIB(40), 3, 0, 1},
    {"the largest that fits, in a batch with others", BODY_MAX, 1, 3, 0},
    {"a batch that cannot be read, with small ones in it", KIB(40), 1, 0, 1},
};
static const struct row *now;

static struct spool *open_with(size_t buffer_bytes)
{
    struct spool_options o = options();
    o.buffer_bytes = buffer_bytes;
    o.segment_bytes = 2 * LARGER;
    o.bytes_max = 8 * o.segment_bytes;
    return opened_with(&o);
}

static void write_them(void)
{
    static char body[KIB(40)];
    struct spool *s = open_with(LARGER);
    for (uint8_t i = 1; i <= 3; i++) {
        CHECK(put(s, i, SPOOL_ADDED, body, i == 2 ? now->body : 1) == OK);
        if (now->batches == 3)
            CHECK(spool_flush(s, SOON) == OK);
    }
    spool_close(s, SOON);
}

/* What comes now is given, whatever was there; as long as the files are there nothing else is. */
static void gives(struct spool *s, uint8_t first, unsigned count)
{
    static uint8_t into[BUFFER];
    struct spool_record r;
    for (uint8_t i = 0; i < count; i++) {
        CHECK(spool_next(s, into, sizeof into, SOON, &r) == OK && r.key[0] == first + i);
        spool_done(s, r.place);
    }
    CHECK(spool_next(s, into, sizeof into, 0, &r) == E_TIMEOUT);
    trail_clear();
}

static err row_body(void)
{
    struct spool_stats st;
    write_them();
    struct spool *s = open_with(BUFFER);
    spool_look(s, &st);
    if (st.depth != now->depth || st.oversized != now->oversized || spool_lost(s))
        print_error("%s: depth %u, oversized %llu, lost %d\n", now->name, st.depth, (unsigned long long)st.oversized,
                    spool_lost(s));
    CHECK(st.depth == now->depth && st.oversized == now->oversized && !spool_lost(s));
    CHECK(st.appended == st.depth + st.dropped);
    gives(s, 1, now->depth);
    CHECK(put(s, 4, SPOOL_ADDED, "4", 1) == OK && put(s, 5, SPOOL_ADDED, "5", 1) == OK);
    gives(s, 4, 2);
    CHECK(put(s, 6, SPOOL_ADDED, "6", 1) == OK);
    spool_close(s, SOON);
    s = open_with(LARGER);
    spool_look(s, &st);
    CHECK(st.oversized == 0 && !spool_lost(s));
    gives(s, 6, 1);
    spool_close(s, SOON);
    return OK;
}

static void a_row(void **state)
{
    now = *state;
    run(row_body);
}

int main(void)
{
    if (mem_boot(&profile_hub64, MEM_LAZY) != OK)
        return 1;
    struct CMUnitTest tests[COUNT_OF(rows)];
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        tests[i] = (struct CMUnitTest){rows[i].name, a_row, NULL, NULL, (void *)(uintptr_t)&rows[i]};
    return cmocka_run_group_tests_name("larger spool", tests, folder_make, folder_remove);
}
