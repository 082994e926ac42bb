/* The spool on the real disk: what stands in for what, order, marks, bounds, identity, damage. Power cuts are tests/sim's. */
#include "tests/support/skip.h"
#include "tests/unit/check.h"

#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/os.h"
#include "hal/spool.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOON       (loop_now() + SECONDS(20))
#define SEGMENT    KIB(64)
#define BODY_MAX   (KIB(16) - SPOOL_OVERHEAD_BYTES)
#define OUTPUT_MAX 256
#define CLUSTER    "cluster-a https://platform.example"

static char folder[] = "/tmp/test_spool-XXXXXX";
static struct lane lane;

static void folder_each(void (*each)(const char *path, void *arg), void *arg)
{
    char path[OS_PATH_MAX];
    DIR *d = opendir(folder);
    for (const struct dirent *e; d && (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
            each(path, arg);
        }
    if (d)
        closedir(d);
}

static void remove_one(const char *path, void *arg)
{
    (void)arg;
    unlink(path);
}

static void folder_empty(void)
{
    folder_each(remove_one, NULL);
}

static void count_one(const char *path, void *arg)
{
    (void)path;
    ++*(unsigned *)arg;
}

static unsigned folder_files(void)
{
    unsigned count = 0;
    folder_each(count_one, &count);
    return count;
}

static void lane_once(void)
{
    if (!lane.open)
        lane_open(&lane, "spool", TASK_BOARD, 4);
}

static struct spool_options options(void)
{
    return (struct spool_options){.folder = folder,
                                  .identity = CLUSTER,
                                  .lane = &lane,
                                  .task = TASK_BOARD,
                                  .bytes_max = 6 * SEGMENT,
                                  .segment_bytes = SEGMENT,
                                  .buffer_bytes = KIB(16),
                                  .records_max = 64,
                                  .gather_ms = 100};
}

static struct spool *opened_with(const struct spool_options *o)
{
    struct spool *s = NULL;
    char why[300];
    lane_once();
    err e = spool_open(o, SOON, &s);
    if (e != OK)
        print_error("%s\n", trail_text(e, why, sizeof why));
    CHECK(e == OK);
    return s;
}

static struct spool *opened(void)
{
    struct spool_options o = options();
    return opened_with(&o);
}

struct body {
    err (*run)(void);
};

static err loop_body(void *arg)
{
    err e = ((const struct body *)arg)->run();
    lane_close(&lane);
    return e;
}

static void run(err (*body)(void))
{
    folder_empty();
    size_t before = mem_use(TASK_BOARD).used_bytes; /* the test library's own */
    fibers_run(loop_body, &(struct body){body}, OK);
    assert_int_equal(mem_use(TASK_BOARD).used_bytes, before);
}

static err put(struct spool *s, uint8_t key, enum spool_type type, const char *body, size_t bytes)
{
    uint8_t digest[SPOOL_KEY_BYTES] = {key};
    uint64_t seq;
    return spool_append(s, digest, type, (struct bytes){(const uint8_t *)body, bytes}, SOON, &seq);
}

/* --- a row: what is done, and what comes out. A word each:
 * +aX ~aX -a   added, modified, deleted: key a, body X     |    a mark
 * n            next, given out and printed                 D    flush, then next and done until there is no more, printed
 * da ba        done, back: the one of key a that is out    F    flush         R    close and open      C    clear
 * A printed record ends with ! when it may have been sent before. --- */
static const struct row {
    const char *name, *words, *out;
} rows[] = {
    {"in order", "+a1 +b2 ~c3 -d D", "+a1 +b2 ~c3 -d"},
    {"added, added", "+a1 +b0 +a2 D", "+a2 +b0"},
    {"added, modified", "+a1 +b0 ~a2 D", "+a2 +b0"},
    {"added, deleted", "+a1 +b0 -a D", "+b0"},
    {"modified, added", "~a1 +b0 +a2 D", "~a2 +b0"},
    {"modified, modified", "~a1 +b0 ~a2 D", "~a2 +b0"},
    {"modified, deleted", "~a1 +b0 -a D", "-a +b0"},
    {"deleted, added", "-a +b0 +a1 D", "-a +b0 +a1"},
    {"deleted, modified", "-a +b0 ~a1 D", "-a +b0 ~a1"},
    {"deleted, deleted", "-a +b0 -a D", "-a +b0"},
    {"deleted, added, deleted", "-a +a1 -a D", "-a"},
    {"deleted, added, modified", "-a +a1 ~a2 D", "-a +a2"},
    {"many of one", "+a1 ~a2 ~a3 ~a4 +b0 ~a5 D", "+a5 +b0"},
    {"in the files as in memory", "+a1 +b0 F ~a2 D", "+a2 +b0"},
    {"added in a file, deleted", "+a1 F -a +b0 D R D", "+b0"},
    {"added in a file, deleted, at once opened", "+a1 F -a F R D", ""},
    {"modified in a file, deleted", "~a1 F -a F R D", "-a!"},
    {"what is out stays as it is", "+a1 n ~a2 n da n", "+a1 . ~a2"},
    {"what is out, then deleted", "+a1 n -a n da D", "+a1 . -a"},
    {"behind one that is out, two", "+a1 n ~a2 ~a3 n da D", "+a1 . ~a3"},
    {"deleted, added, and the first is out", "-a +a1 n n da n", "-a . +a1"},
    {"given back keeps its place", "+a1 +b2 n ba D", "+a1 +a1! +b2"},
    {"given back, then modified", "+a1 +b0 n ba ~a2 D", "+a1 +a2! +b0"},
    {"given back, then deleted: it may be there", "+a1 +b0 n ba -a D", "+a1 -a! +b0"},
    {"given back with a newer one behind", "+a1 n ~a2 ba D", "+a1 +a1! ~a2"},
    {"given back with a newer one behind, which is coalesced", "+a1 n ~a2 ba -a D", "+a1 +a1! -a"},
    {"several are out", "+a1 +b2 +c3 n n n db da dc n", "+a1 +b2 +c3 ."},
    {"done twice is done once", "+a1 +b2 n da da n", "+a1 +b2"},
    {"a mark waits for what is before it", "+a1 | +b2 n n da n n d| n", "+a1 . | . +b2"},
    {"a mark alone", "| n n d| n", "| . ."},
    {"two marks", "| | n n d| n d| n", "| . | ."},
    {"a mark given back", "| +a1 n b| D", "| |! +a1"},
    {"nothing is coalesced over a mark", "+a1 | ~a2 D", "+a1 | ~a2"},
    {"nothing is cancelled over a mark", "+a1 | -a D", "+a1 | -a"},
    {"after a mark it is", "+a1 | ~a2 ~a3 D", "+a1 | ~a3"},
    {"a cancelled one frees the mark", "+a1 | -a n da n", "+a1 |"},
    {"opened again", "+a1 +b2 -c R D", "+a1! +b2! -c!"},
    {"opened again, one was out", "+a1 +b2 n R D", "+a1 +a1! +b2!"},
    {"opened again, some are done", "+a1 +b2 +c3 n n db R D", "+a1 +b2 +a1! +c3!"},
    {"done before it is written", "+a1 n da R D", "+a1"},
    {"opened again, then modified", "+a1 +b2 R ~a3 D", "+a3! +b2!"},
    {"opened again, then deleted", "+a1 +b2 R -a D", "-a! +b2!"},
    {"a place is kept over two openings", "+a1 +b2 F ~a3 R +c4 R D", "+a3! +b2! +c4!"},
    {"a mark is durable", "+a1 | +b2 R n n da F n n d| F n", "+a1! . |! . +b2!"},
    {"not over a mark, opened again", "+a1 | R ~a2 D", "+a1! |! ~a2"},
    {"done is durable", "+a1 +b2 F n da R D", "+a1 +b2!"},
    {"all done, opened again", "+a1 +b2 F D R D +c3 D", "+a1 +b2 +c3"},
    {"a newer one waits for the disk to have it", "+a1 +b2 F ~a3 n n F n", "+b2 . +a3"},
    {"a newer one waits for the older to be done on the disk", "+a1 F n da ~a2 n F n", "+a1 . ~a2"},
    {"also when the older is being written", "+a1 F n ~a2 F da n F n", "+a1 . ~a2"},
    {"others do not wait", "+a1 +b1 F n da ~a2 n n", "+a1 +b1 ."},
    {"a mark waits for what is done to be so on the disk", "+a1 | F n da n F n", "+a1 . |"},
    {"what comes after a mark waits for the mark to be done on the disk", "| +a1 F n d| n F n", "| . +a1"},
    {"cleared", "+a1 +b2 | C n +c3 D", ". +c3"},
    {"cleared, opened again", "+a1 +b2 F C R D", ""},
    {"cleared while one is out", "+a1 n C da +a2 D", "+a1 +a2"},
    {"cleared, and then more", "+a1 F C +b2 R D", "+b2!"},
    {"opened many times", "+a1 R +b2 R +c3 R +d4 R n da R +e5 R D", "+a1! +b2! +c3! +d4! +e5!"},
};

struct play {
    struct spool *s;
    const struct row *row;
    char out[OUTPUT_MAX];
    struct {
        char key;
        uint64_t place;
    } given[16];
    unsigned given_count;
};

static void print(struct play *p, const char *format, ...) PRINTF_LIKE(2, 3);
static void print(struct play *p, const char *format, ...)
{
    size_t len = strlen(p->out);
    va_list arguments;
    va_start(arguments, format);
    if (len > 0)
        p->out[len++] = ' ';
    vsnprintf(p->out + len, sizeof p->out - len, format, arguments);
    va_end(arguments);
}

static bool play_next(struct play *p)
{
    uint8_t body[8] = {0};
    struct spool_record r;
    err e = spool_next(p->s, body, sizeof body, 0, &r);
    CHECK(e == OK || e == E_TIMEOUT);
    if (e != OK)
        return false;
    const char *again = r.repeated ? "!" : "";
    char key = r.type == SPOOL_MARK ? '|' : (char)r.key[0];
    if (r.type == SPOOL_MARK)
        print(p, "|%s", again);
    else
        print(p, "%c%c%.*s%s", "?+~-"[r.type], key, (int)r.bytes, (const char *)body, again);
    p->given[p->given_count].key = key;
    p->given[p->given_count++].place = r.place;
    return true;
}

static uint64_t play_given(const struct play *p, char key)
{
    for (unsigned i = p->given_count; i-- > 0;)
        if (p->given[i].key == key)
            return p->given[i].place;
    CHECK(key == 0); /* none of it is out */
    return 0;
}

static void play_drain(struct play *p)
{
    for (bool any = true; any;) {
        any = false;
        CHECK(spool_flush(p->s, SOON) == OK);
        for (; play_next(p); any = true)
            spool_done(p->s, p->given[--p->given_count].place);
    }
}

static void play_word(struct play *p, const char *word, size_t len)
{
    static const char types[] = "?+~-";
    uint64_t seq = 0;
    const char *type = strchr(types, *word);
    if (type)
        CHECK(put(p->s, (uint8_t)word[1], (enum spool_type)(type - types), word + 2, len - 2) == OK);
    else if (*word == '|')
        CHECK(spool_mark(p->s, SOON, &seq) == OK);
    else if (*word == 'n' && !play_next(p))
        print(p, ".");
    else if (*word == 'D')
        play_drain(p);
    else if (*word == 'd')
        spool_done(p->s, play_given(p, word[1]));
    else if (*word == 'b')
        spool_back(p->s, play_given(p, word[1]));
    else if (*word == 'F')
        CHECK(spool_flush(p->s, SOON) == OK);
    else if (*word == 'C')
        CHECK(spool_clear(p->s, SOON) == OK);
    else if (*word == 'R') {
        spool_close(p->s, SOON);
        p->s = opened();
    }
}

static void adds_up(const struct spool *s)
{
    struct spool_stats st;
    spool_look(s, &st);
    CHECK(st.appended == st.depth + st.coalesced + st.acknowledged + st.dropped);
    CHECK(st.lost == 0 && st.error == OK && st.overflows == 0);
}

static void play(const struct row *row)
{
    struct play p = {.s = opened(), .row = row};
    const char *at = row->words;
    while (*at) {
        size_t len = strcspn(at, " ");
        play_word(&p, at, len);
        at += len + (at[len] == ' ');
    }
    adds_up(p.s);
    CHECK(!spool_lost(p.s));
    spool_close(p.s, SOON);
    if (strcmp(p.out, row->out) != 0) {
        print_error("%s: `%s` gave `%s`, wanted `%s`\n", row->name, row->words, p.out, row->out);
        checks_failed++;
    }
    folder_empty();
}

static err rows_body(void)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        play(&rows[i]);
    return OK;
}

static void what_comes_out(void **state)
{
    (void)state;
    run(rows_body);
}

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

static int folder_make(void **state)
{
    (void)state;
    log_setup(LOG_ERROR, LOG_LOGFMT, STDERR_FILENO);
    return mkdtemp(folder) == NULL;
}

static int folder_remove(void **state)
{
    (void)state;
    folder_empty();
    return rmdir(folder);
}

int main(void)
{
    if (mem_boot(&profile_hub64, MEM_LAZY) != OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_out),        cmocka_unit_test(what_is_delivered_at_once_is_not_written),
        cmocka_unit_test(a_full_index_is_told),  cmocka_unit_test(bytes_are_bounded_and_files_go),
        cmocka_unit_test(options_are_checked),   cmocka_unit_test(another_ones_records_are_dropped),
        cmocka_unit_test(a_flipped_bit_is_told), cmocka_unit_test(a_cut_end_is_none),
        cmocka_unit_test(pace_is_printed),
    };
    return cmocka_run_group_tests_name("spool", tests, folder_make, folder_remove);
}
