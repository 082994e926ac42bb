/* Fuzzes the streaming JSON reader: the first two bytes choose the arena and the pieces. Whole, in pieces and byte by byte the
 * same is read, by every kernel: the tree, the items, how much was taken, what is said to be wrong. */
#include "board/rt/text.h"
#include "net/format/json_pick.h"
#include "net/format/json_scan.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>

#define FNV_PRIME 1099511628211u /* FNV-1a, 64 bits */

#define END                                                                                                                      \
    {                                                                                                                            \
        NULL, PICK_SCALAR, NULL                                                                                                  \
    }
static const struct pick_field inner[] = {{"a", PICK_SCALAR, NULL}, {"m", PICK_MAP, NULL}, {"ab", PICK_LIST, NULL}, END};
static const struct pick_field fields[] = {{"s", PICK_SCALAR, NULL},
                                           {"o", PICK_OBJECT, inner},
                                           {"l", PICK_LIST, inner},
                                           {"ls", PICK_LIST, NULL},
                                           {"e", PICK_EACH, inner},
                                           {"m", PICK_MAP, NULL},
                                           {"k", PICK_KEYS, NULL},
                                           {"p", PICK_PRESENT, NULL},
                                           {"c", PICK_COUNT, NULL},
                                           {"y", PICK_ANY, NULL},
                                           END};

struct seen {
    uint64_t sum;
    size_t taken, peak;
    err e;
    bool done;
    char told[200];
};

static void mix(struct seen *s, struct bytes b)
{
    for (size_t i = 0; i < b.len; i++)
        s->sum = (s->sum ^ b.at[i]) * FNV_PRIME;
    s->sum = (s->sum ^ b.len) * FNV_PRIME;
}

static void see(struct seen *s, const struct pick_node *n, bool keyed)
{
    s->sum = (s->sum ^ (unsigned)pick_kind_of(n) ^ pick_count(n) << 8) * FNV_PRIME;
    if (keyed)
        mix(s, pick_key(n));
    mix(s, pick_text(n));
    for (const struct pick_node *c = pick_first(n); c; c = pick_next(c))
        see(s, c, pick_kind_of(n) == PICK_IS_OBJECT);
}

static err one_item(void *arg, const struct pick_node *item)
{
    see(arg, item, false);
    return OK;
}

static struct seen read_by(struct bytes in, unsigned seed, size_t arena_bytes)
{
    static uint64_t arena[1024];
    struct seen s = {.sum = 1};
    struct json_pick p;
    json_pick_open(&p, &(struct json_pick_options){fields, arena, arena_bytes, one_item, &s});
    while (s.e == OK && !s.done && s.taken < in.len) {
        size_t used = 0, n = in.len - s.taken;
        if (seed > 0) {
            seed = seed * 1103515245u + 12345u;
            n = size_min(n, seed >> 16 & 64 ? 1 + (seed >> 24) : 1 + (seed >> 16 & 7));
        }
        s.e = json_pick_feed(&p, (struct bytes){in.at + s.taken, n}, &used, &s.done);
        ASSERT(used <= n && (used == n || s.done || s.e != OK));
        s.taken += used;
    }
    if (s.e == OK)
        s.e = json_pick_end(&p);
    ASSERT(s.e == OK || s.e == E_CORRUPT || s.e == E_BUDGET || s.e == E_RANGE);
    memcpy(s.told, json_pick_wrong(&p), strlen(json_pick_wrong(&p)) + 1);
    ASSERT((s.told[0] == 0) == (s.e == OK) && json_pick_peak(&p) <= arena_bytes);
    s.peak = s.e == OK ? json_pick_peak(&p) : 0;
    if (s.done)
        see(&s, json_pick_root(&p), false);
    return s;
}

static void is_same(const struct seen *a, const struct seen *b)
{
    ASSERT(a->e == b->e && a->done == b->done && strcmp(a->told, b->told) == 0);
    ASSERT(a->sum == b->sum && a->peak == b->peak);
    ASSERT(a->e != OK || a->taken == b->taken);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct bytes in = {data + 2, size - 2};
    size_t arena_bytes = (size_t)(data[0] & 1 ? 8192 : 64 + data[0]) & ~(size_t)7;
    ASSERT(json_scan_force(JSON_SCAN_PORTABLE));
    struct seen whole = read_by(in, 0, arena_bytes);
    for (unsigned kind = 0; kind < JSON_SCAN_KIND_COUNT; kind++) {
        if (!json_scan_force((enum json_scan_kind)kind))
            continue;
        struct seen again = read_by(in, 0, arena_bytes), cut = read_by(in, data[1] + 1u, arena_bytes);
        is_same(&whole, &again);
        is_same(&whole, &cut);
    }
    return 0;
}
