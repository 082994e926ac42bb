/* Retention: vectors whose answers a Python program gave that follows restic's rule literally, guards, what is read, and random
 * input against an implementation so slow that it is obvious. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agents/backup/retention_input.h"
#include "board/rt/heap.h"
#include "board/rt/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ITEMS_MAX 512
static struct retention_item items[ITEMS_MAX];

static void keep_of(const char *text, unsigned keep[RETENTION_RULE_COUNT])
{
    char storage[256];
    struct text why = text_over(storage, sizeof storage);
    if (retention_parse(bytes_of(text), keep, &why) != OK || why.len != 0)
        fail_msg("%s: %s", text, storage);
}

/* "3:dw": backup 3 is kept by daily and weekly. N, U, F: by a guard. x: goes, r: goes because a newer one replaces it. */
static void told(const struct retention_item *i, struct text *out)
{
    static const char letters[] = "lhdwmy", guards[] = " NUF";
    text_addf(out, "%s%u:", out->len > 0 ? " " : "", i->id);
    for (unsigned r = 0; r < RETENTION_RULE_COUNT; r++)
        if (i->rules >> r & 1)
            text_addf(out, "%c", letters[r]);
    if (i->guard != GUARD_NONE)
        text_addf(out, "%c", guards[i->guard]);
    if (!i->keep)
        text_add(out, i->replaced ? "r" : "x");
    assert_true(i->keep == (i->rules != 0 || i->guard != GUARD_NONE) && (i->rules == 0 || i->guard == GUARD_NONE));
}

static const struct {
    const char *name, *keep;
    int64_t begin_s, step_s;
    unsigned count;
    const char *want; /* those kept */
} series[] = {
    {"one", "daily=7,weekly=4,monthly=12", 1772330400, 86400, 1, "1:dwm"}, /* from 2026-03-01T02:00:00, 1 */
    {"ten daily", "daily=7,weekly=4,monthly=12", 1772330400, 86400, 10,
     "1:w 4:d 5:d 6:d 7:d 8:dw 9:d 10:dwm"}, /* from 2026-03-01T02:00:00, 8 */
    {"60 daily", "daily=7,weekly=4,monthly=12", 1767232800, 86400, 60,
     "31:m 39:w 46:w 53:w 54:d 55:d 56:d 57:d 58:d 59:dm 60:dwm"}, /* from 2026-01-01T02:00:00, 11 */
    {"400 days, every fifth", "daily=7,weekly=4,monthly=12", 1735696800, 432000, 80,
     "12:m 18:m 24:m 31:m 37:m 43:m 49:m 55:m 61:m 67:m 73:m 74:d 75:d 76:dw 77:dw 78:dw 79:d 80:dwm"}, /* from
                                                                                                           2025-01-01T02:00:00, 18
                                                                                                         */
    {"two a day", "daily=7,weekly=4,monthly=12", 1772330400, 43200, 20,
     "2:w 8:d 10:d 12:d 14:d 16:dw 18:d 20:dwm"}, /* from 2026-03-01T02:00:00, 8 */
    {"every six hours", "daily=7,weekly=4,monthly=12", 1780272000, 21600, 60,
     "28:w 36:d 40:d 44:d 48:d 52:d 56:dw 60:dwm"}, /* from 2026-06-01T00:00:00, 8 */
    {"15 months", "daily=7,weekly=4,monthly=12", 1736906400, 2592000, 16,
     "5:m 6:m 7:m 8:m 9:m 10:dm 11:dm 12:dm 13:dwm 14:dwm 15:dwm 16:dwm"},         /* from 2025-01-15T02:00:00, 12 */
    {"weekly only", "weekly=4", 1767232800, 86400, 40, "25:w 32:w 39:w 40:w"},     /* from 2026-01-01T02:00:00, 4 */
    {"yearly only", "yearly=3", 1514764800, 7862400, 36, "29:y 33:y 36:y"},        /* from 2018-01-01T00:00:00, 3 */
    {"hourly only", "hourly=5", 1767298200, 1200, 24, "12:h 15:h 18:h 21:h 24:h"}, /* from 2026-01-01T20:10:00, 5 */
    {"last only", "last=3", 1767232800, 60, 9, "7:l 8:l 9:l"},                     /* from 2026-01-01T02:00:00, 3 */
    {"all six", "last=2,hourly=2,daily=2,weekly=2,monthly=2,yearly=2", 1704067200, 277200, 250,
     "228:y 247:m 249:lhdw 250:lhdwmy"},                                         /* from 2024-01-01T00:00:00, 4 */
    {"ISO week 53", "weekly=3", 1797732000, 86400, 21, "8:w 15:w 21:w"},         /* from 2026-12-20T02:00:00, 3 */
    {"ISO week 53, days", "daily=1,weekly=2", 1798336800, 86400, 9, "8:w 9:dw"}, /* from 2026-12-27T02:00:00, 2 */
    {"more buckets than backups", "monthly=12", 1767232800, 86400, 3, "3:m"},    /* from 2026-01-01T02:00:00, 1 */
};

static void series_keep_their_buckets(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(series); i++) {
        unsigned keep[RETENTION_RULE_COUNT];
        char got[1024];
        struct text t = text_over(got, sizeof got);
        keep_of(series[i].keep, keep);
        for (unsigned n = 0; n < series[i].count; n++) /* any order: here the newest first */
            items[n] = (struct retention_item){.at_s = series[i].begin_s + (int64_t)(series[i].count - 1 - n) * series[i].step_s,
                                               .id = series[i].count - n};
        retention_decide(items, series[i].count, keep, RETENTION_NO_NOW);
        for (unsigned n = 0; n < series[i].count; n++)
            if (items[n].keep)
                told(&items[n], &t);
        if (strcmp(got, series[i].want) != 0)
            fail_msg("%s: %s", series[i].name, got);
    }
}

#define STANDARD "daily=7,weekly=4,monthly=12"
#define BAD      "\tbad"
#define OPEN     "\tunverified"
static const struct {
    const char *name, *keep, *now, *lines, *want; /* | ends a line; all of them are told, ascending */
} lists[] = {
    {"a second before and after midnight", "daily=7", NULL, "2026-03-01T23:59:59Z|2026-03-02T00:00:00Z", "1:d 2:d"},
    {"two seconds of a day", "daily=7", NULL, "2026-03-02T00:00:00Z|2026-03-02T00:00:01Z", "1:x 2:d"},
    {"Sunday and Monday", "weekly=4", NULL, "2026-03-01T23:59:59Z|2026-03-02T00:00:00Z", "1:w 2:w"},
    {"Monday and Sunday", "weekly=4", NULL, "2026-03-02T00:00:00Z|2026-03-08T23:59:59Z", "1:x 2:w"},
    {"2026-W53 and 2027-W01", "weekly=4", NULL,
     "2026-12-27T02:00:00Z|2026-12-28T02:00:00Z|2027-01-03T02:00:00Z|2027-01-04T02:00:00Z", "1:w 2:x 3:w 4:w"},
    {"leap day", "daily=3,monthly=2", NULL, "2024-02-28T02:00:00Z|2024-02-29T02:00:00Z|2024-03-01T02:00:00Z", "1:d 2:dm 3:dm"},
    {"month gap", "monthly=3", NULL, "2025-06-10T02:00:00Z|2025-11-10T02:00:00Z|2026-03-10T02:00:00Z|2026-03-11T02:00:00Z",
     "1:m 2:m 3:x 4:m"},
    {"before the epoch", "daily=2,yearly=2", NULL, "1969-12-31T23:59:59Z|1970-01-01T00:00:00Z", "1:dy 2:dy"},
    {"an offset moves the day", "daily=2", NULL, "2026-03-02T01:00:00+02:00|2026-03-01T23:30:00Z|2026-03-02T00:10:00Z",
     "1:x 2:d 3:d"},
    {"ties: the last line is the newest", "last=1", NULL, "1772330400|1772330400|1772330400", "1:x 2:x 3:l"},
    {"ties, daily", "daily=2", NULL, "1772330400|1772330400", "1:x 2:d"},
    {"unverified: kept, fills nothing", "daily=1", NULL, "1772330400|1772416800\tunverified", "1:d 2:U"},
    {"unverified and old", "daily=1", NULL, "1672330400" OPEN "|1772330400|1772416800", "1:U 2:x 3:d"},
    {"bad: replaced by a newer verified one", "daily=7", NULL, "1772330400\tbad|1772416800\tverified", "1:r 2:d"},
    {"bad: nothing newer", "daily=7", NULL, "1772330400|1772416800\tbad", "1:d 2:U"},
    {"bad: only an unverified one is newer", "daily=7", NULL, "1772330400" BAD "|1772416800" OPEN, "1:U 2:U"},
    {"bad: the same second is not newer", "daily=7", NULL, "1772330400\tbad|1772330400", "1:U 2:d"},
    {"bad: a verified one that goes replaced it too", "daily=1", NULL, "1772330400\tbad|1772330401|1772330402", "1:r 2:x 3:d"},
    {"all bad", "daily=7", NULL, "1772330400\tbad|1772416800\tbad", "1:U 2:U"},
    {"the newest verified is never let go", "daily=0,weekly=0,monthly=0,last=0,yearly=0,hourly=1", "2026-03-01T00:00:00Z",
     "2026-02-01T00:00:00Z|2026-03-02T00:00:00Z", "1:h 2:F"},
    {"future: kept, fills nothing", "daily=1", "2026-03-01T12:00:00Z",
     "2026-02-28T02:00:00Z|2026-03-01T02:00:00Z|2026-03-02T02:00:00Z", "1:x 2:d 3:F"},
    {"future: now itself is not", "daily=1", "2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z|2026-03-01T12:00:01Z", "1:d 2:F"},
    {"future: replaces nothing", "daily=1", "2026-03-01T00:00:00Z", "2026-02-01T00:00:00Z\tbad|2026-03-02T00:00:00Z", "1:U 2:F"},
    {"future and bad", "daily=1", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z\tbad|2026-03-03T00:00:00Z\tunverified",
     "1:F 2:F"},
    {"file names", STANDARD, NULL, "etcd-snapshot-20260302-020000.db.zst.age|etcd-snapshot-20260301-020000.db", "2:dw 1:dwm"},
    {"nothing", STANDARD, NULL, "", ""},
};

static size_t lines_read(const char *text)
{
    size_t count = 0;
    for (const char *at = text, *end; *at; at = end + (*end == '|')) {
        const char *why = NULL;
        end = strchr(at, '|') ? strchr(at, '|') : at + strlen(at);
        if (!retention_read_line((struct bytes){(const uint8_t *)at, (size_t)(end - at)}, &items[count], &why))
            fail_msg("%s: %s", at, why);
        items[count].id = (uint32_t)count + 1;
        count++;
    }
    return count;
}

static void lists_keep_and_guard(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        unsigned keep[RETENTION_RULE_COUNT];
        char got[256];
        const char *why = NULL;
        int64_t now_s = RETENTION_NO_NOW;
        struct text t = text_over(got, sizeof got);
        size_t count = lines_read(lists[i].lines);
        keep_of(lists[i].keep, keep);
        assert_true(!lists[i].now || retention_read_time(bytes_of(lists[i].now), &now_s, &why));
        retention_decide(items, count, keep, now_s);
        for (size_t n = 0; n < count; n++)
            told(&items[n], &t);
        if (strcmp(got, lists[i].want) != 0)
            fail_msg("%s: %s", lists[i].name, got);
    }
}

static void without_rules_the_newest_verified_stays(void **state)
{
    (void)state;
    static const unsigned none[RETENTION_RULE_COUNT];
    for (unsigned i = 0; i < 3; i++)
        items[i] = (struct retention_item){.at_s = i, .id = i};
    retention_decide(items, 3, none, RETENTION_NO_NOW);
    assert_true(!items[0].keep && !items[1].keep && items[2].keep);
    assert_string_equal(retention_guard_name(items[2].guard), "newest-verified");
    assert_null(retention_guard_name(items[0].guard));
}

/* --- reading --- */

#define NO_TIME "no time: epoch seconds, RFC 3339 or etcd-snapshot"
#define NO_DATE "does not exist"
#define NAME    "etcd-snapshot-20260301-020000"
static const struct {
    const char *name, *line;
    int64_t at_s;
    uint8_t state;
    const char *says;
} lines[] = {
    {"epoch", "1772330400", 1772330400, BACKUP_VERIFIED, NULL},
    {"zero", "0", 0, BACKUP_VERIFIED, NULL},
    {"the last second", "253402300799", 253402300799, BACKUP_VERIFIED, NULL},
    {"RFC 3339", "2026-03-01T02:00:00Z", 1772330400, BACKUP_VERIFIED, NULL},
    {"small letters", "2026-03-01t02:00:00z", 1772330400, BACKUP_VERIFIED, NULL},
    {"a blank", "2026-03-01 02:00:00Z", 1772330400, BACKUP_VERIFIED, NULL},
    {"east", "2026-03-01T03:30:00+01:30", 1772330400, BACKUP_VERIFIED, NULL},
    {"west", "2026-02-28T21:00:00-05:00", 1772330400, BACKUP_VERIFIED, NULL},
    {"offset unknown", "2026-03-01T02:00:00-00:00", 1772330400, BACKUP_VERIFIED, NULL},
    {"parts of a second", "2026-03-01T02:00:00.999999999Z", 1772330400, BACKUP_VERIFIED, NULL},
    {"leap second", "2016-12-31T23:59:60Z", 1483228800, BACKUP_VERIFIED, NULL},
    {"leap second elsewhere", "2017-01-01T00:59:60+01:00", 1483228800, BACKUP_VERIFIED, NULL},
    {"leap day", "2024-02-29T00:00:00Z", 1709164800, BACKUP_VERIFIED, NULL},
    {"before 1970", "1969-12-31T23:59:59Z", -1, BACKUP_VERIFIED, NULL},
    {"name", NAME ".db", 1772330400, BACKUP_VERIFIED, NULL},
    {"name, zst", NAME ".db.zst", 1772330400, BACKUP_VERIFIED, NULL},
    {"name, age", NAME ".db.age", 1772330400, BACKUP_VERIFIED, NULL},
    {"name, both", NAME ".db.zst.age", 1772330400, BACKUP_VERIFIED, NULL},
    {"name of a hub", NAME "-0a1b2c3d.db", 1772330400, BACKUP_VERIFIED, NULL},
    {"name of a hub, both", NAME "-0a1b2c3d.db.zst.age", 1772330400, BACKUP_VERIFIED, NULL},
    {"name of a hub, short", NAME "-0a1b2c3.db", 0, 0, NO_TIME},
    {"name of a hub, upper case", NAME "-0A1B2C3D.db", 0, 0, NO_TIME},
    {"verified", "1772330400\tverified", 1772330400, BACKUP_VERIFIED, NULL},
    {"unverified", NAME ".db\tunverified", 1772330400, BACKUP_UNVERIFIED, NULL},
    {"bad", "2026-03-01T02:00:00Z\tbad", 1772330400, BACKUP_BAD, NULL},
    {"empty", "", 0, 0, NO_TIME},
    {"words", "yesterday", 0, 0, NO_TIME},
    {"a sign", "-5", 0, 0, NO_TIME},
    {"a fraction", "1772330400.5", 0, 0, NO_TIME},
    {"a blank before", " 1772330400", 0, 0, NO_TIME},
    {"a blank behind", "1772330400 ", 0, 0, NO_TIME},
    {"milliseconds", "1772330400000", 0, 0, "not milliseconds"},
    {"very large", "99999999999999999999", 0, 0, "not milliseconds"},
    {"no zone", "2026-03-01T02:00:00", 0, 0, NO_TIME},
    {"date only", "2026-03-01", 0, 0, NO_TIME},
    {"minutes only", "2026-03-01T02:00Z", 0, 0, NO_TIME},
    {"offset without colon", "2026-03-01T02:00:00+0100", 0, 0, NO_TIME},
    {"offset of 24 hours", "2026-03-01T02:00:00+24:00", 0, 0, NO_TIME},
    {"point without digits", "2026-03-01T02:00:00.Z", 0, 0, NO_TIME},
    {"more behind", "2026-03-01T02:00:00Z!", 0, 0, NO_TIME},
    {"February 30", "2026-02-30T02:00:00Z", 0, 0, NO_DATE},
    {"no leap year", "2026-02-29T02:00:00Z", 0, 0, NO_DATE},
    {"month 13", "2026-13-01T02:00:00Z", 0, 0, NO_DATE},
    {"hour 24", "2026-03-01T24:00:00Z", 0, 0, NO_DATE},
    {"second 60 at noon", "2026-03-01T12:00:60Z", 0, 0, NO_DATE},
    {"second 61", "2016-12-31T23:59:61Z", 0, 0, NO_DATE},
    {"name with February 30", "etcd-snapshot-20260230-020000.db", 0, 0, NO_DATE},
    {"name with second 60", "etcd-snapshot-20161231-235960.db", 0, 0, NO_DATE},
    {"name of a part", NAME ".db.part-12345678", 0, 0, NO_TIME},
    {"name of a record", NAME ".db.json", 0, 0, NO_TIME},
    {"name without end", NAME, 0, 0, NO_TIME},
    {"name, age before zst", NAME ".db.age.zst", 0, 0, NO_TIME},
    {"name in a folder", "/backups/" NAME ".db", 0, 0, NO_TIME},
    {"another name", "etcd-20260301-020000.db", 0, 0, NO_TIME},
    {"unknown state", "1772330400\tgood", 0, 0, "behind the TAB"},
    {"state in capitals", "1772330400\tBAD", 0, 0, "behind the TAB"},
    {"state empty", "1772330400\t", 0, 0, "behind the TAB"},
    {"two states", "1772330400\tbad\tbad", 0, 0, "behind the TAB"},
    {"a blank for the TAB", "1772330400 bad", 0, 0, NO_TIME},
};

static void lines_are_read_or_say_why_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        struct retention_item item;
        const char *why = NULL;
        bool good = retention_read_line(bytes_of(lines[i].line), &item, &why);
        if (good != !lines[i].says || (good && (item.at_s != lines[i].at_s || item.state != lines[i].state)) ||
            (!good && !strstr(why, lines[i].says)))
            fail_msg("%s: %lld, %d, %s", lines[i].name, (long long)item.at_s, item.state, good ? "good" : why);
    }
}

static const struct {
    const char *name, *text, *says;
} wrong_keeps[] = {
    {"empty", "", "no number in \"\""},
    {"unknown", "dayly=7",
     "no such rule in \"dayly=7\": write rules as in daily=7,weekly=4,monthly=12; there are last hourly daily"},
    {"capitals", "Daily=7", "no such rule in \"Daily=7\""},
    {"a blank", "daily=7, weekly=4", "no such rule in \" weekly=4\""},
    {"no number", "daily", "no number in \"daily\""},
    {"empty number", "daily=", "no such number in \"daily=\""},
    {"negative", "daily=-1", "no such number in \"daily=-1\""},
    {"too large", "daily=10001", "no such number in \"daily=10001\""},
    {"no integer", "daily=7.5", "no such number"},
    {"twice", "daily=7,daily=8", "a second time \"daily=8\""},
    {"comma at the end", "daily=7,", "no number in \"\""},
    {"all zero", "daily=0,weekly=0", "nothing would be kept by \"daily=0,weekly=0\""},
};

static void keep_texts_are_refused_in_words(void **state)
{
    (void)state;
    unsigned keep[RETENTION_RULE_COUNT];
    for (size_t i = 0; i < COUNT_OF(wrong_keeps); i++) {
        char storage[256];
        struct text why = text_over(storage, sizeof storage);
        if (retention_parse(bytes_of(wrong_keeps[i].text), keep, &why) != E_USAGE || !strstr(storage, wrong_keeps[i].says) ||
            why.cut)
            fail_msg("%s: %s", wrong_keeps[i].name, storage);
    }
    keep_of("yearly=4000,last=0,hourly=24", keep);
    assert_true(keep[RETENTION_YEARLY] == 4000 && keep[RETENTION_LAST] == 0 && keep[RETENTION_HOURLY] == 24 &&
                keep[RETENTION_DAILY] == 0);
}

/* --- standard input --- */

static const struct {
    const char *name, *text;
    unsigned items[3], ignored[3]; /* lines, ended by 0 */
} inputs[] = {
    {"nothing", "", {0}, {0}},
    {"one", "5\n", {1}, {0}},
    {"no end", "5", {1}, {0}},
    {"CR", "5\r\n6\r", {1, 2}, {0}},
    {"CR alone is empty", "\r\n\n5\n\r", {3}, {0}},
    {"CR within", "5\r6\n", {0}, {1}},
    {"only empty ones", "\n\n\n", {0}, {0}},
    {"empty ones are counted", "\n5\n\n\nx\n6\n", {2, 6}, {5}},
    {"states", "5\tbad\r\n6\tbad \n", {1}, {2}},
    {"a blank line is not empty", " \n5\n", {2}, {1}},
};

/* Fed in pieces of each size: all the same. */
static void input_by(const char *text, size_t step, struct retention_input *in)
{
    *in = (struct retention_input){0};
    for (struct bytes left = bytes_of(text); left.len > 0;) {
        size_t len = size_min(step, left.len);
        assert_int_equal(retention_input_add(in, (struct bytes){left.at, len}), OK);
        left = (struct bytes){left.at + len, left.len - len};
    }
    assert_int_equal(retention_input_end(in), OK);
}

static void input_is_cut_into_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(inputs); i++)
        for (size_t step = 1; step < 20; step++) {
            struct retention_input in;
            input_by(inputs[i].text, step, &in);
            for (size_t n = 0; n < in.count; n++)
                assert_int_equal(in.items[n].id, inputs[i].items[n]);
            for (size_t n = 0; n < in.ignored_count; n++)
                assert_int_equal(in.ignored[n].line, inputs[i].ignored[n]);
            if (inputs[i].items[in.count] != 0 || inputs[i].ignored[in.ignored_count] != 0)
                fail_msg("%s: %zu and %zu", inputs[i].name, in.count, in.ignored_count);
            retention_input_close(&in);
        }
}

static void a_long_line_is_ignored_and_nothing_else(void **state)
{
    (void)state;
    static char text[3 * RETENTION_LINE_BYTES];
    for (size_t len = RETENTION_LINE_BYTES - 2; len <= RETENTION_LINE_BYTES + 3; len++)
        for (size_t step = 1; step < 300; step += 97) {
            struct retention_input in;
            (void)memset(text, '0', len);
            (void)strcpy(text + len, "\r\n7\n");
            input_by(text, step, &in);
            bool fits = len <= RETENTION_LINE_BYTES; /* a number this long is one, and it is 0 */
            if (in.count != (fits ? 2 : 1) || in.ignored_count != (fits ? 0 : 1) || in.items[in.count - 1].at_s != 7)
                fail_msg("%zu bytes in steps of %zu: %zu, %zu", len, step, in.count, in.ignored_count);
            retention_input_close(&in);
        }
}

static void too_many_lines_are_refused(void **state)
{
    (void)state;
    struct retention_input in = {0};
    for (unsigned i = 0; i < RETENTION_LINES_MAX; i++)
        assert_int_equal(retention_input_add(&in, bytes_of(i % 2 ? "x\n" : "5\n")), OK);
    assert_int_equal(retention_input_end(&in), OK);
    assert_true(in.count == RETENTION_LINES_MAX / 2 && in.ignored_count == RETENTION_LINES_MAX / 2);
    assert_int_equal(retention_input_add(&in, bytes_of("5")), OK);
    assert_int_equal(retention_input_end(&in), E_RANGE);
    retention_input_close(&in);
    retention_input_close(&in);
}

/* The allocation that is refused, counted down; 0: none. */
static unsigned refuse_in;
bool sim_fault_alloc(size_t bytes)
{
    (void)bytes;
    return refuse_in > 0 && --refuse_in == 0;
}

static err input_of_600(struct retention_input *in)
{
    for (unsigned i = 0; i < 600; i++)
        TRY(retention_input_add(in, bytes_of(i % 2 ? "x\n" : "5\n")));
    return retention_input_end(in);
}

static void each_allocation_fails_once(void **state)
{
    (void)state;
    unsigned failures = 0;
    for (unsigned n = 1;; n++) {
        struct retention_input in = {0};
        refuse_in = n;
        err e = input_of_600(&in);
        bool refused = refuse_in == 0;
        refuse_in = 0;
        assert_int_equal(e, refused ? E_BUDGET : OK);
        retention_decide(in.items, in.count, (const unsigned[RETENTION_RULE_COUNT]){1},
                         RETENTION_NO_NOW); /* what came is whole */
        retention_input_close(&in);
        trail_clear();
        if (!refused)
            break;
        failures++;
    }
    assert_true(failures >= 2 && failures <= 4); /* 256 and 512 of either; our heap may grow a block where it is */
}

/* --- against the obvious --- */

static uint32_t seed;
static unsigned random_below(unsigned n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

/* libc's calendar names the bucket. */
static void bucket_name(unsigned rule, const struct retention_item *i, char out[32])
{
    static const char *const formats[] = {"", "%Y-%m-%d %H", "%Y-%m-%d", "%G-%V", "%Y-%m", "%Y"};
    time_t t = (time_t)i->at_s;
    struct tm tm;
    assert_non_null(gmtime_r(&t, &tm));
    if (rule == RETENTION_LAST)
        (void)snprintf(out, 32, "%u", i->id);
    else
        assert_true(strftime(out, 32, formats[rule], &tm) > 0);
}

static bool is_newer(const struct retention_item *a, const struct retention_item *b)
{
    return a->at_s > b->at_s || (a->at_s == b->at_s && a->id > b->id);
}

static bool counts(const struct retention_item *i, int64_t now_s)
{
    return i->state == BACKUP_VERIFIED && i->at_s <= now_s;
}

/* Kept by a rule: the newest of its bucket, and fewer than n such newest ones are newer. */
static bool is_newest_of_bucket(const struct retention_item *all, size_t count, size_t which, unsigned rule, int64_t now_s)
{
    char own[32], other[32];
    bucket_name(rule, &all[which], own);
    for (size_t i = 0; i < count; i++) {
        bucket_name(rule, &all[i], other);
        if (i != which && counts(&all[i], now_s) && is_newer(&all[i], &all[which]) && strcmp(own, other) == 0)
            return false;
    }
    return counts(&all[which], now_s);
}

static bool slow_rule(const struct retention_item *all, size_t count, size_t which, unsigned rule, unsigned n, int64_t now_s)
{
    unsigned newer = 0;
    if (n == 0 || !is_newest_of_bucket(all, count, which, rule, now_s))
        return false;
    for (size_t i = 0; i < count; i++)
        newer += i != which && is_newer(&all[i], &all[which]) && is_newest_of_bucket(all, count, i, rule, now_s);
    return newer < n;
}

static enum retention_guard slow_guard(const struct retention_item *all, size_t count, size_t which, int64_t now_s)
{
    bool newer_verified = false, later_verified = false;
    if (all[which].at_s > now_s)
        return GUARD_FUTURE;
    for (size_t i = 0; i < count; i++) {
        newer_verified = newer_verified || (counts(&all[i], now_s) && is_newer(&all[i], &all[which]));
        later_verified = later_verified || (counts(&all[i], now_s) && all[i].at_s > all[which].at_s);
    }
    if (all[which].state == BACKUP_VERIFIED)
        return newer_verified ? GUARD_NONE : GUARD_NEWEST_VERIFIED;
    return all[which].state == BACKUP_BAD && later_verified ? GUARD_NONE : GUARD_UNVERIFIED;
}

#define RANDOM_MAX 24
static void one_random_case(unsigned n)
{
    struct retention_item all[RANDOM_MAX], fast[RANDOM_MAX];
    unsigned keep[RETENTION_RULE_COUNT], count = random_below(RANDOM_MAX + 1);
    int64_t span = (int64_t[]){20, 86400, 86400 * 40, INT64_C(86400) * 1200}[random_below(4)];
    int64_t now_s = random_below(3) == 0 ? 1767225600 + span / 2 : RETENTION_NO_NOW;
    for (unsigned r = 0; r < RETENTION_RULE_COUNT; r++)
        keep[r] = random_below(3) == 0 ? random_below(6) : 0;
    for (unsigned i = 0; i < count; i++)
        all[i] = (struct retention_item){.at_s = 1767225600 + (int64_t)random_below(1u << 20) * span / (1 << 20),
                                         .id = i,
                                         .state = random_below(4) ? BACKUP_VERIFIED : (uint8_t)(1 + random_below(2))};
    if (count > 0)
        (void)memcpy(fast, all, count * sizeof all[0]);
    retention_decide(fast, count, keep, now_s);
    for (unsigned i = 0; i < count; i++) {
        const struct retention_item *f = &fast[i];
        unsigned rules = 0;
        assert_true(i == 0 || is_newer(f, f - 1));
        for (unsigned r = 0; r < RETENTION_RULE_COUNT; r++)
            rules |= (unsigned)slow_rule(all, count, f->id, r, keep[r], now_s) << r;
        enum retention_guard guard = rules ? GUARD_NONE : slow_guard(all, count, f->id, now_s);
        if (f->rules != rules || f->guard != guard || f->keep != (rules != 0 || guard != GUARD_NONE) ||
            f->replaced != (!f->keep && f->state == BACKUP_BAD))
            fail_msg("case %u, item %u: rules %x, not %x; guard %d, not %d", n, f->id, f->rules, rules, f->guard, guard);
    }
}

static void it_is_what_the_obvious_one_says(void **state)
{
    (void)state;
    seed = 20261121;
    for (unsigned n = 0; n < 400; n++)
        one_random_case(n);
}

/* Its task's heap, as the command has it. */
static int boot(void **state)
{
    (void)state;
    err e = mem_boot(profile_find("hub32"), MEM_LAZY);
    mem_set_task(TASK_BACKUP);
    return e == OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(series_keep_their_buckets),
        cmocka_unit_test(lists_keep_and_guard),
        cmocka_unit_test(without_rules_the_newest_verified_stays),
        cmocka_unit_test(lines_are_read_or_say_why_not),
        cmocka_unit_test(keep_texts_are_refused_in_words),
        cmocka_unit_test(input_is_cut_into_lines),
        cmocka_unit_test(a_long_line_is_ignored_and_nothing_else),
        cmocka_unit_test(too_many_lines_are_refused),
        cmocka_unit_test(each_allocation_fails_once),
        cmocka_unit_test(it_is_what_the_obvious_one_says),
    };
    return cmocka_run_group_tests(tests, boot, NULL);
}
