/* retention: which backups stay. A pure function, behind `backup prune`, the scheduled pruning and `backup retention --explain`.
 *
 * Layer    agents/backup.            Blocks   never.         Memory   the caller's array; sorts it in place, allocates nothing.
 * Owner    the caller.               Errors   none.          Time     O(n log n); no clock but `now_s`.
 *
 * The rule is restic's `forget --keep-…`: newest first; each rule keeps the newest verified backup of each of its last N buckets
 * that have one (last: each backup is its own bucket; hour, day, ISO 8601 week, month, year, in UTC); empty buckets do not count;
 * the union stays. And, kept by a guard where no rule does: the newest verified one; unverified ones; bad ones that no newer
 * verified one replaces (told as `unverified` too: they are not verified; the same second is not newer); with now_s, those later
 * than it (`future`), whatever they are. Bad, unverified and future ones fill no bucket, and a future one replaces nothing. */
#ifndef HOLDFAST_RETENTION_H
#define HOLDFAST_RETENTION_H

#include "board/rt/err.h"
#include "board/rt/text.h"
#include "config/config.h"

/* In this order wherever reasons are told. The same list is the keys of `retention:` in holdfast.yaml and of --keep. */
#define RETENTION_RULE_TABLE(X)                                                                                                  \
    X(LAST, "last")                                                                                                              \
    X(HOURLY, "hourly")                                                                                                          \
    X(DAILY, "daily")                                                                                                            \
    X(WEEKLY, "weekly")                                                                                                          \
    X(MONTHLY, "monthly")                                                                                                        \
    X(YEARLY, "yearly")
enum retention_rule {
#define X(id, name) RETENTION_##id,
    RETENTION_RULE_TABLE(X)
#undef X
        RETENTION_RULE_COUNT
};
_Static_assert((int)RETENTION_RULE_COUNT == (int)CONFIG_RETENTION_RULES, "config's table is the same one");

#define RETENTION_GUARD_TABLE(X)                                                                                                 \
    X(NONE, NULL)                                                                                                                \
    X(NEWEST_VERIFIED, "newest-verified")                                                                                        \
    X(UNVERIFIED, "unverified")                                                                                                  \
    X(FUTURE, "future")
enum retention_guard {
#define X(id, name) GUARD_##id,
    RETENTION_GUARD_TABLE(X)
#undef X
};
enum retention_state { BACKUP_VERIFIED, BACKUP_UNVERIFIED, BACKUP_BAD };

#define RETENTION_NO_NOW INT64_MAX

struct retention_item {
    int64_t at_s;
    uint32_t id;   /* the caller's: a line, an index */
    uint8_t state; /* enum retention_state */
    uint8_t rules; /* out: bit r: rule r keeps it */
    uint8_t guard; /* out: enum retention_guard; GUARD_NONE where a rule keeps it */
    bool keep;     /* out */
    bool replaced; /* out, of what goes: true: bad, and a newer verified one is there; false: no rule wants it */
};
/* Sorted ascending by time, then id, afterwards; of one second the last is taken for the newest. keep[r]: how many buckets rule r
 * keeps; 0 none. */
void retention_decide(struct retention_item *items, size_t count, const unsigned keep[RETENTION_RULE_COUNT], int64_t now_s);
const char *retention_rule_name(enum retention_rule r);
const char *retention_guard_name(enum retention_guard g); /* NULL for GUARD_NONE */
/* "daily=7,weekly=4": absent ones are 0. E_USAGE with the words in `why`: unknown or repeated rule, no number, all zero. */
MUST_USE err retention_parse(struct bytes text, unsigned keep[RETENTION_RULE_COUNT], struct text *why);
/* One line of --stdin: epoch seconds, RFC 3339 (any offset; parts of a second are let go) or
 * etcd-snapshot-YYYYMMDD-HHMMSS[-HUBID8].db[.zst][.age], then perhaps TAB and verified|unverified|bad; verified when nothing is
 * said. Years 0000 to 9999. Sets at_s and state only. False: not readable, *why (static) says what. */
bool retention_read_line(struct bytes line, struct retention_item *out, const char **why);
/* Epoch seconds or RFC 3339, as --now takes it. */
bool retention_read_time(struct bytes text, int64_t *at_s, const char **why);

#endif
