/* Distinct live keys in a fixed table. A pass takes the keys whose fingerprint lies in its range; when the table fills, the
 * range gives up its upper quarter, and a later pass begins there. A key's last record decides: it lives unless that is a
 * tombstone. */
#include "net/format/etcd_db_inside.h"

#include <string.h>

#define TOMBSTONE    (UINT32_C(1) << 31)
#define ORDINAL_MASK (TOMBSTONE - 1)

void key_table_give(struct key_table *t, void *at, size_t bytes, uint64_t keep_bytes)
{
    size_t cap = (bytes - keep_bytes) / (sizeof *t->fingerprints + sizeof *t->ordinals);
    *t = (struct key_table){.keeps = true, .keep_bits = keep_bytes * 8, .keep = at};
    t->cap = (uint32_t)size_min(cap, ORDINAL_MASK);
    t->used_max = t->cap - t->cap / 8;
    t->fingerprints = t->keep + keep_bytes / 8;
    t->ordinals = (uint32_t *)(t->fingerprints + t->cap);
    memset(at, 0, bytes);
}

static bool is_below(const struct key_table *t, uint64_t fingerprint)
{
    return t->below == 0 || fingerprint < t->below;
}

/* The place by the low half: the high half says which pass, and is much the same for all of one. */
static uint32_t place_of(const struct key_table *t, uint64_t fingerprint)
{
    uint32_t i = (uint32_t)((uint64_t)(uint32_t)fingerprint * t->cap >> 32);
    while (t->fingerprints[i] != 0 && t->fingerprints[i] != fingerprint)
        i = i + 1 == t->cap ? 0 : i + 1;
    return i;
}

/* Takes every key out, from the start of a cluster on, and puts back those still in range; each goes where it was or before. */
static void drop_above(struct key_table *t)
{
    uint32_t start = 0;
    while (t->fingerprints[start] != 0)
        start++;
    for (uint32_t n = 0, i = start; n < t->cap; n++, i = i + 1 == t->cap ? 0 : i + 1) {
        uint64_t fingerprint = t->fingerprints[i];
        uint32_t ordinal = t->ordinals[i];
        if (fingerprint == 0)
            continue;
        t->fingerprints[i] = 0;
        if (!is_below(t, fingerprint)) {
            t->used--;
            continue;
        }
        uint32_t place = place_of(t, fingerprint);
        t->fingerprints[place] = fingerprint;
        t->ordinals[place] = ordinal;
    }
}

static void range_shrink(struct key_table *t)
{
    while (t->used >= t->used_max) {
        uint64_t width = t->below - t->from; /* wraps as it must: below 0 is 2^64 */
        if (width == 0)
            width = UINT64_MAX; /* all of them */
        t->below = t->from + width - (width / 4 + 1);
        drop_above(t);
    }
}

void key_table_note(struct key_table *t, uint64_t fingerprint, uint64_t ordinal, bool tombstone)
{
    if (fingerprint < t->from || !is_below(t, fingerprint))
        return;
    uint32_t i = place_of(t, fingerprint);
    if (t->fingerprints[i] == 0) {
        if (t->used >= t->used_max) {
            range_shrink(t);
            if (!is_below(t, fingerprint))
                return;
            i = place_of(t, fingerprint);
        }
        t->used++;
        t->fingerprints[i] = fingerprint;
    }
    if (ordinal >= t->keep_bits)
        t->keeps = false;
    t->ordinals[i] = (uint32_t)(ordinal & ORDINAL_MASK) | (tombstone ? TOMBSTONE : 0);
}

/* The rest in one pass, or in as many as it will take by what was seen so far. */
static void range_next(struct key_table *t)
{
    const double whole = 18446744073709551616.0; /* 2^64 */
    double seen = (double)t->seen, left = (whole - (double)t->below) / (double)t->below * seen;
    double passes = left / ((double)t->used_max * 0.95);
    t->from = t->below;
    t->below = 0;
    if (passes > 1)
        t->below = t->from + (uint64_t)((whole - (double)t->from) / (double)((uint64_t)passes + 1));
}

bool key_table_pass_end(struct key_table *t)
{
    for (uint32_t i = 0; i < t->cap; i++) {
        if (t->fingerprints[i] == 0 || (t->ordinals[i] & TOMBSTONE) != 0)
            continue;
        t->live++;
        if (t->ordinals[i] < t->keep_bits)
            bbolt_bit_set(t->keep, t->ordinals[i]);
    }
    t->seen += t->used;
    t->used = 0;
    memset(t->fingerprints, 0, t->cap * sizeof *t->fingerprints);
    if (t->below == 0)
        return true;
    range_next(t);
    return false;
}
