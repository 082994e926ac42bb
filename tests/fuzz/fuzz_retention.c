/* Fuzzes `backup retention`: the first line is --keep, the rest standard input, in pieces of a size that the input's length
 * chooses. Pieces change nothing, no line is in two lists, the newest verified one stays, a rule keeps no more than it may, a
 * second decision is the same, and one more rule takes nothing away. */
#include "agents/backup/retention_input.h"

#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static void input_by(struct bytes text, size_t step, struct retention_input *in)
{
    *in = (struct retention_input){0};
    while (text.len > 0) {
        size_t len = size_min(step, text.len);
        ASSERT(retention_input_add(in, (struct bytes){text.at, len}) == OK);
        text = (struct bytes){text.at + len, text.len - len};
    }
    ASSERT(retention_input_end(in) == OK);
}

static void check_same(const struct retention_input *a, const struct retention_input *b)
{
    ASSERT(a->count == b->count && a->ignored_count == b->ignored_count);
    for (size_t i = 0; i < a->count; i++)
        ASSERT(a->items[i].id == b->items[i].id && a->items[i].at_s == b->items[i].at_s &&
               a->items[i].state == b->items[i].state);
    for (size_t i = 0; i < a->ignored_count; i++)
        ASSERT(a->ignored[i].line == b->ignored[i].line && a->ignored[i].why == b->ignored[i].why);
}

static void check_decided(const struct retention_input *in, const unsigned keep[RETENTION_RULE_COUNT])
{
    unsigned kept[RETENTION_RULE_COUNT] = {0};
    bool verified = false;
    for (size_t i = in->count; i-- > 0;) {
        const struct retention_item *item = &in->items[i];
        ASSERT(item->keep == (item->rules != 0 || item->guard != GUARD_NONE) && (item->rules == 0 || item->guard == GUARD_NONE));
        ASSERT(i == 0 || item[-1].at_s < item->at_s || (item[-1].at_s == item->at_s && item[-1].id < item->id));
        ASSERT(item->rules == 0 || item->state == BACKUP_VERIFIED);
        ASSERT(item->keep || item->state != BACKUP_UNVERIFIED);
        ASSERT(item->keep || verified);
        verified = verified || item->state == BACKUP_VERIFIED;
        for (unsigned r = 0; r < RETENTION_RULE_COUNT; r++)
            kept[r] += item->rules >> r & 1;
    }
    for (unsigned r = 0; r < RETENTION_RULE_COUNT; r++)
        ASSERT(kept[r] <= keep[r]);
}

static void decide_twice(struct retention_input *in, unsigned keep[RETENTION_RULE_COUNT])
{
    retention_decide(in->items, in->count, keep, RETENTION_NO_NOW);
    check_decided(in, keep);
    struct retention_item *before = malloc(in->count * sizeof *before + 1);
    ASSERT(before);
    if (in->count > 0)
        memcpy(before, in->items, in->count * sizeof *before);
    retention_decide(in->items, in->count, keep, RETENTION_NO_NOW);
    ASSERT(in->count == 0 || memcmp(before, in->items, in->count * sizeof *before) == 0);
    keep[RETENTION_WEEKLY] += 3;
    retention_decide(in->items, in->count, keep, RETENTION_NO_NOW);
    for (size_t i = 0; i < in->count; i++)
        ASSERT(in->items[i].keep || !before[i].keep);
    free(before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char storage[512];
    struct text why = text_over(storage, sizeof storage);
    unsigned keep[RETENTION_RULE_COUNT];
    const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
    if (!end || size > RETENTION_LINES_MAX)
        return 0;
    struct bytes text = {end + 1, size - (size_t)(end - data) - 1};
    err e = retention_parse((struct bytes){data, (size_t)(end - data)}, keep, &why);
    ASSERT((e == OK) == (why.len == 0) && (e == OK || e == E_USAGE));
    if (e != OK)
        return 0;
    struct retention_input whole, pieces;
    input_by(text, size_max(text.len, 1), &whole);
    input_by(text, size % 37 + 1, &pieces);
    check_same(&whole, &pieces);
    decide_twice(&whole, keep);
    retention_input_close(&whole);
    retention_input_close(&pieces);
    return 0;
}
