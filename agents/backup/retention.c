/* retention: one walk from the newest to the oldest. */
#include "agents/backup/retention.h"

#include "net/format/civil.h"

#include <stdlib.h>

const char *retention_rule_name(enum retention_rule r)
{
    static const char *const names[] = {
#define X(id, name) name,
        RETENTION_RULE_TABLE(X)
#undef X
    };
    return names[r];
}

const char *retention_guard_name(enum retention_guard g)
{
    static const char *const names[] = {
#define X(id, name) name,
        RETENTION_GUARD_TABLE(X)
#undef X
    };
    return names[g];
}

static int by_time(const void *left, const void *right)
{
    const struct retention_item *a = left, *b = right;
    if (a->at_s != b->at_s)
        return a->at_s < b->at_s ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* A number that all moments of one bucket share, and no others. */
static int64_t bucket(enum retention_rule r, int64_t at_s)
{
    int64_t days = floor_div(at_s, DAY_SECONDS);
    struct civil date = civil_of(days);
    switch (r) {
    case RETENTION_HOURLY:
        return floor_div(at_s, 3600);
    case RETENTION_DAILY:
        return days;
    case RETENTION_WEEKLY:
        return civil_monday(days);
    case RETENTION_MONTHLY:
        return date.year * 12 + date.month;
    case RETENTION_YEARLY:
        return date.year;
    case RETENTION_LAST:
    case RETENTION_RULE_COUNT:
    default:
        return 0;
    }
}

struct walk {
    unsigned left[RETENTION_RULE_COUNT]; /* buckets */
    int64_t last[RETENTION_RULE_COUNT];  /* the bucket taken last; valid when any was */
    bool any;                            /* a verified one was met: it is the newest */
    int64_t newest_s;                    /* of them */
};

/* Newest first, so a bucket's moments follow one another: comparing with the last one taken suffices. */
static void verified(struct walk *w, struct retention_item *item)
{
    for (enum retention_rule r = 0; r < RETENTION_RULE_COUNT; r++) {
        int64_t b = bucket(r, item->at_s);
        if (w->left[r] == 0 || (w->any && r != RETENTION_LAST && b == w->last[r]))
            continue;
        w->left[r]--;
        w->last[r] = b;
        item->rules = (uint8_t)(item->rules | 1u << r);
    }
    if (!w->any && item->rules == 0)
        item->guard = GUARD_NEWEST_VERIFIED;
    if (!w->any)
        w->newest_s = item->at_s;
    w->any = true;
}

static void decide(struct walk *w, struct retention_item *item, int64_t now_s)
{
    item->rules = 0;
    item->guard = GUARD_NONE;
    item->replaced = false;
    if (item->at_s > now_s)
        item->guard = GUARD_FUTURE;
    else if (item->state == BACKUP_VERIFIED)
        verified(w, item);
    else if (item->state == BACKUP_BAD && w->any && w->newest_s > item->at_s)
        item->replaced = true;
    else
        item->guard = GUARD_UNVERIFIED;
    item->keep = item->rules != 0 || item->guard != GUARD_NONE;
}

void retention_decide(struct retention_item *items, size_t count, const unsigned keep[RETENTION_RULE_COUNT], int64_t now_s)
{
    struct walk w = {.any = false};
    for (unsigned r = 0; r < RETENTION_RULE_COUNT; r++)
        w.left[r] = keep[r];
    if (count > 0)
        qsort(items, count, sizeof *items, by_time);
    for (size_t i = count; i-- > 0;)
        decide(&w, &items[i], now_s);
}
