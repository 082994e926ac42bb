/* The spool's files: what is never written, bounds, identity, damage, pace. Power cuts are tests/sim's. */
#include "tests/unit/spool_here.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define BODY_MAX (KIB(16) - SPOOL_OVERHEAD_BYTES)

/* --- what is delivered at once is never written --- */

static unsigned deliver(struct spool *s, unsigned wanted)
{
    static uint8_t into[KIB(16)];
    struct spool_record r;
    unsigned count = 0;
    for (; count < wanted && spool_next(s, into, sizeof into, SOON, &r) == OK; count++)
        spool_done(s, r.place);
    return count;
}

static err unwritten_body(void)
{
    struct spool_stats st;
    struct spool *s = opened();
    for (unsigned i = 0; i < 200; i++) {
        CHECK(put(s, (uint8_t)(1 + i % 100), SPOOL_MODIFIED, "body", 4) == OK);
        CHECK(deliver(s, 1) == 1);
        if (i % 20 == 0)
            CHECK(fiber_sleep(loop_now() + 10) == OK);
    }
    ms until = loop_now() + SECONDS(10);
    while (spool_committed(s) < 200 && loop_now() < until)
        CHECK(fiber_sleep(loop_now() + 20) == OK);
    spool_look(s, &st);
    CHECK(spool_committed(s) == 200 && st.written_bytes == 0 && st.commits == 0 && st.depth == 0 && st.acknowledged == 200);
    spool_close(s, SOON);
    CHECK(folder_files() == 0);
    return OK;
}

static void what_is_delivered_at_once_is_not_written(void **state)
{
    (void)state;
    run(unwritten_body);
}

/* --- bounds --- */

static err records_body(void)
{
    struct spool_stats st;
    struct spool *s = opened();
    uint64_t seq;
    for (uint8_t i = 1; i <= 64; i++)
        CHECK(put(s, i, SPOOL_ADDED, "1", 1) == OK);
    CHECK(put(s, 65, SPOOL_ADDED, "1", 1) == E_FULL);
    CHECK(spool_mark(s, SOON, &seq) == E_FULL);
    CHECK(put(s, 64, SPOOL_MODIFIED, "2", 1) == OK); /* takes no place of its own */
    CHECK(spool_flush(s, SOON) == OK);
    CHECK(deliver(s, 1) == 1);
    CHECK(put(s, 65, SPOOL_ADDED, "1", 1) == OK); /* waits for the disk to know */
    spool_look(s, &st);
    CHECK(st.overflows == 2 && st.depth == 64 && st.coalesced == 1 && st.oldest_ms >= 0);
    CHECK(spool_clear(s, SOON) == OK && put(s, 1, SPOOL_ADDED, "1", 1) == OK);
    spool_look(s, &st);
    CHECK(st.dropped == 64 && st.depth == 1 && st.appended == 66 + 1);
    trail_clear();
    spool_close(s, SOON);
    return OK;
}

static void a_full_index_is_told(void **state)
{
    (void)state;
    run(records_body);
}

static uint64_t file_bytes;
static void add_bytes(const char *path, void *arg)
{
    struct stat st;
    (void)arg;
    file_bytes += stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static err bytes_body(void)
{
    static char body[BODY_MAX];
    struct spool_options o = options();
    struct spool *s = opened_with(&o);
    struct spool_stats st;
    err e = OK;
    CHECK(put(s, 1, SPOOL_ADDED, body, BODY_MAX + 1) == E_RANGE);
    trail_clear();
    for (uint8_t i = 61; i <= 63; i++) /* they stay, whatever becomes of the files */
        CHECK(put(s, i, SPOOL_ADDED, body, 100) == OK);
    for (unsigned round = 0; round < 40; round++) { /* forty times what it may have on the disk */
        for (uint8_t i = 1; i <= 10; i++)
            CHECK(put(s, i, SPOOL_MODIFIED, body, KIB(7)) == OK);
        CHECK(spool_flush(s, SOON) == OK);
    }
    spool_look(s, &st);
    CHECK(st.moved > 0 && st.bytes <= o.bytes_max && st.depth == 13);
    for (uint8_t i = 11; i <= 60 && e == OK; i++)
        e = put(s, i, SPOOL_ADDED, body, BODY_MAX);
    CHECK(e == E_FULL);
    trail_clear();
    file_bytes = 0;
    folder_each(add_bytes, NULL);
    spool_look(s, &st);
    CHECK(file_bytes <= o.bytes_max && st.overflows == 1 && st.depth > 20);
    unsigned depth = st.depth;
    CHECK(deliver(s, depth) == depth);
    CHECK(spool_flush(s, SOON) == OK);
    CHECK(folder_files() == 1);
    spool_close(s, SOON);
    return OK;
}

static void bytes_are_bounded_and_files_go(void **state)
{
    (void)state;
    run(bytes_body);
}

static err options_body(void)
{
    struct spool *s = NULL;
    struct spool_options o = options(), bad[] = {o, o, o, o, o};
    lane_once();
    bad[0].gather_ms = 99;
    bad[1].records_max = SPOOL_RECORDS_MAX + 1;
    bad[2].segment_bytes = o.buffer_bytes;
    bad[3].bytes_max = o.segment_bytes;
    bad[4].folder = "";
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        CHECK(spool_open(&bad[i], SOON, &s) == E_INVALID && s == NULL);
    trail_clear();
    o.records_max = 20000;
    o.buffer_bytes = KIB(64);
    print_message("    spool of 20000 records, buffers of 64 KiB: %zu bytes\n", spool_memory(&o));
    CHECK(spool_memory(&o) - 3 * KIB(70) < KIB(512) + KIB(16));
    return OK;
}

static void options_are_checked(void **state)
{
    (void)state;
    run(options_body);
}

/* --- another's, and damage --- */

static err identity_body(void)
{
    struct spool_options o = options();
    struct spool_stats st;
    struct spool *s = opened();
    uint8_t into[8];
    struct spool_record r;
    CHECK(put(s, 1, SPOOL_ADDED, "1", 1) == OK && spool_note_set(s, (struct bytes){(const uint8_t *)"note", 4}) == OK);
    spool_close(s, SOON);
    o.identity = "cluster-b https://platform.example";
    s = opened_with(&o);
    spool_look(s, &st);
    CHECK(st.depth == 0 && st.dropped == 1 && !spool_lost(s) && spool_note_get(s).len == 0);
    CHECK(spool_next(s, into, sizeof into, 0, &r) == E_TIMEOUT);
    CHECK(put(s, 2, SPOOL_ADDED, "2", 1) == OK);
    spool_close(s, SOON);
    s = opened_with(&o);
    CHECK(spool_next(s, into, sizeof into, 0, &r) == OK && r.key[0] == 2 && !spool_lost(s));
    spool_close(s, SOON);
    return OK;
}

static void another_ones_records_are_dropped(void **state)
{
    (void)state;
    run(identity_body);
}

static char damaged_path[OS_PATH_MAX];
static void first_path(const char *path, void *arg)
{
    (void)arg;
    if (!*damaged_path || strcmp(path, damaged_path) < 0)
        snprintf(damaged_path, sizeof damaged_path, "%s", path);
}

/* The same file again, with one bit turned. */
static void flip(const uint8_t *content, off_t bytes, off_t at)
{
    uint8_t byte = content[at] ^ 0x10;
    folder_empty();
    int fd = open(damaged_path, O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0 && pwrite(fd, content, (size_t)bytes, 0) == bytes && pwrite(fd, &byte, 1, at) == 1);
    close(fd);
}

static off_t content_of(uint8_t *out, size_t cap)
{
    int fd = open(damaged_path, O_RDONLY);
    ssize_t got = read(fd, out, cap);
    close(fd);
    return got;
}

/* Three commits in one file, in the order of their keys. */
static void three_commits(void)
{
    struct spool *s = opened();
    for (uint8_t i = 1; i <= 3; i++) {
        CHECK(put(s, i, SPOOL_ADDED, "body", 4) == OK && spool_note_set(s, (struct bytes){&i, 1}) == OK);
        CHECK(spool_flush(s, SOON) == OK);
    }
    spool_close(s, SOON);
    *damaged_path = 0;
    folder_each(first_path, NULL);
}

/* What is given is what was put in, in order; what is not is told, but for the very last commit. */
static void look_at_damage(off_t at, off_t last_commit)
{
    uint8_t into[8], before = 0;
    unsigned given = 0;
    struct spool_record r;
    struct spool *s = opened();
    while (spool_next(s, into, sizeof into, 0, &r) == OK) {
        CHECK(r.key[0] > before && r.bytes == 4 && memcmp(into, "body", 4) == 0 && r.type == SPOOL_ADDED);
        before = r.key[0];
        given++;
    }
    bool noted = spool_note_get(s).len == 1 && *spool_note_get(s).at == given;
    if (spool_lost(s))
        CHECK(spool_note_get(s).len == 0);
    else
        CHECK(noted && (given == 3 || (given == 2 && at >= last_commit)));
    spool_close(s, SOON);
}

static err damage_body(void)
{
    static uint8_t content[KIB(2)];
    three_commits();
    off_t bytes = content_of(content, sizeof content), commit = (bytes - 32 - (off_t)strlen(CLUSTER)) / 3;
    CHECK(bytes > 300 && bytes < (off_t)sizeof content);
    for (off_t at = 0; at < bytes; at++) {
        flip(content, bytes, at);
        look_at_damage(at, bytes - commit);
    }
    return OK;
}

static void a_flipped_bit_is_told(void **state)
{
    (void)state;
    run(damage_body);
}

static err cut_body(void)
{
    static uint8_t content[KIB(2)];
    three_commits();
    for (off_t at = content_of(content, sizeof content) - 1; at >= 0 && access(damaged_path, F_OK) == 0; at -= 7) {
        CHECK(truncate(damaged_path, at) == 0);
        struct spool *s = opened();
        CHECK(!spool_lost(s));
        spool_close(s, SOON);
    }
    CHECK(folder_files() == 0); /* with less than a header it is none, and goes */
    return OK;
}

static void a_cut_end_is_none(void **state)
{
    (void)state;
    run(cut_body);
}

/* --- pace, printed --- */

#define PACE 20000u

static err pace_body(void)
{
    static char body[900];
    struct spool_options o = options();
    uint8_t key[SPOOL_KEY_BYTES] = {0};
    uint64_t seq;
    o.records_max = PACE;
    o.buffer_bytes = KIB(64);
    o.segment_bytes = MIB(4);
    o.bytes_max = MIB(256);
    struct spool *s = opened_with(&o);
    int64_t began = os_thread_cpu_ns();
    for (uint32_t i = 0; i < PACE; i++) {
        memcpy(key, &i, sizeof i);
        CHECK(spool_append(s, key, SPOOL_ADDED, (struct bytes){(const uint8_t *)body, sizeof body}, SOON, &seq) == OK);
    }
    int64_t put_in = os_thread_cpu_ns();
    CHECK(deliver(s, PACE) == PACE);
    int64_t out = os_thread_cpu_ns();
    print_message("    %u appended per CPU second of the loop's thread, %u given and done\n",
                  (unsigned)(1e9 * PACE / (double)(put_in - began)), (unsigned)(1e9 * PACE / (double)(out - put_in)));
    spool_close(s, SOON);
    return OK;
}

static void pace_is_printed(void **state)
{
    (void)state;
    run(pace_body);
}

/* Its place tells the newest mark from one of before, also in a spool that was opened again. */
static err marked_body(void)
{
    static uint8_t into[64];
    uint64_t seq;
    struct spool_record first, second;
    struct spool *s = opened();
    CHECK(spool_marked(s) == 0 && spool_mark(s, SOON, &seq) == OK && spool_flush(s, SOON) == OK);
    spool_close(s, SOON);
    s = opened();
    CHECK(put(s, 1, SPOOL_ADDED, "1", 1) == OK && spool_mark(s, SOON, &seq) == OK);
    uint64_t last = spool_marked(s);
    CHECK(spool_next(s, into, sizeof into, SOON, &first) == OK && first.type == SPOOL_MARK && first.place < last);
    spool_done(s, first.place);
    CHECK(deliver(s, 1) == 1);
    CHECK(spool_next(s, into, sizeof into, SOON, &second) == OK && second.type == SPOOL_MARK && second.place == last);
    spool_done(s, second.place);
    CHECK(spool_marked(s) == last && spool_clear(s, SOON) == OK && spool_marked(s) == 0);
    spool_close(s, SOON);
    return OK;
}

static void the_newest_mark_is_known(void **state)
{
    (void)state;
    run(marked_body);
}

int main(void)
{
    if (mem_boot(&profile_hub64, MEM_LAZY) != OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_delivered_at_once_is_not_written),
        cmocka_unit_test(a_full_index_is_told),
        cmocka_unit_test(bytes_are_bounded_and_files_go),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(another_ones_records_are_dropped),
        cmocka_unit_test(a_flipped_bit_is_told),
        cmocka_unit_test(a_cut_end_is_none),
        cmocka_unit_test(pace_is_printed),
        cmocka_unit_test(the_newest_mark_is_known),
    };
    return cmocka_run_group_tests_name("spool files", tests, folder_make, folder_remove);
}
