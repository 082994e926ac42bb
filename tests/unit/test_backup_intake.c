/* The intake of a snapshot: whatever pieces it comes in, the last 32 bytes are the trailer, and only a digest that is right is
 * taken. */
#include "tests/unit/check.h"

#include "agents/backup/backup_internal.h"
#include "board/rt/buf.h"
#include "board/rt/mem.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOON (loop_now() + SECONDS(60))

static char folder[] = "/tmp/test_intake-XXXXXX";
static uint8_t snapshot[KIB(700) + SHA256_BYTES], back[sizeof snapshot + 1];

struct intake_case {
    const char *name;
    size_t db_bytes;
    size_t pieces[4];   /* sizes, in turn and again; 0 too */
    size_t cut;         /* from its end */
    size_t flip_at;     /* from 1 */
    unsigned level;     /* 2: good as far as it goes; less: bad */
    const char *reason; /* then */
};
static const struct intake_case cases[] = {
    {"whole", KIB(512), {KIB(32)}, 0, 0, 2, ""},
    {"etcd's way", KIB(600), {KIB(32)}, 0, 0, 2, ""},
    {"one page", 512, {544}, 0, 0, 2, ""},
    {"byte by byte", 1024, {1}, 0, 0, 2, ""},
    {"31 and 33", KIB(40), {31, 33}, 0, 0, 2, ""},
    {"32", KIB(40), {32}, 0, 0, 2, ""},
    {"empty pieces", KIB(40), {0, 7, 0, 5000}, 0, 0, 2, ""},
    {"a buffer exactly", BACKUP_PIECE_BYTES, {BACKUP_PIECE_BYTES}, 0, 0, 2, ""},
    {"one more", BACKUP_PIECE_BYTES + 512, {BACKUP_PIECE_BYTES + 1}, 0, 0, 2, ""},
    {"nothing", 0, {KIB(32)}, 32, 0, 0, "length"},
    {"only a trailer", 0, {KIB(32)}, 0, 0, 0, "length"},
    {"half a trailer", 0, {KIB(32)}, 16, 0, 0, "length"},
    {"no trailer", KIB(40), {KIB(32)}, 32, 0, 0, "length"},
    {"a byte short", KIB(40), {KIB(32)}, 1, 0, 0, "length"},
    {"a page short", KIB(40), {KIB(32)}, 512, 0, 1, "sha256"},
    {"first byte wrong", KIB(40), {KIB(32)}, 0, 1, 1, "sha256"},
    {"last byte wrong", KIB(40), {KIB(32)}, 0, KIB(40), 1, "sha256"},
    {"digest wrong", KIB(40), {KIB(32)}, 0, KIB(40) + 32, 1, "sha256"},
    {"not whole pages", 1000, {KIB(32)}, 0, 0, 0, "length"},
};

static void snapshot_make(const struct intake_case *c)
{
    struct sha256 sha;
    for (size_t i = 0; i < c->db_bytes; i++)
        snapshot[i] = (uint8_t)(i * 131 + (i >> 9) * 7);
    sha256_start(&sha);
    sha256_update(&sha, (struct bytes){snapshot, c->db_bytes});
    sha256_finish(&sha, snapshot + c->db_bytes);
    if (c->flip_at)
        snapshot[c->flip_at - 1] ^= 4;
}

static err feed(struct backup_intake *i, const struct intake_case *c, struct backup_verification *found)
{
    size_t total = c->db_bytes + SHA256_BYTES - c->cut, turn = 0, turns = 1;
    while (turns < 4 && c->pieces[turns])
        turns++;
    if (!c->pieces[0])
        turns = 4;
    for (size_t at = 0, n; at < total; at += n) {
        n = size_min(c->pieces[turn++ % turns], total - at);
        TRY(intake_add(i, (struct bytes){n ? snapshot + at : NULL, n}, SOON));
    }
    CHECK(i->trailer.total_bytes == total);
    TRY(intake_check(i, SOON, found));
    return writer_commit(i->writer, SOON);
}

static size_t file_bytes(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return 0;
    size_t len = fread(back, 1, sizeof back, f);
    (void)fclose(f);
    (void)unlink(path);
    return len;
}

static void case_run(struct lane *l, const struct intake_case *c)
{
    char path[64];
    struct backup_verification v;
    struct backup_intake i;
    trail_clear();
    snapshot_make(c);
    (void)snprintf(path, sizeof path, "%s/snapshot.db", folder);
    CHECK(intake_open(&i, l, path, SOON) == OK);
    err e = feed(&i, c, &v);
    intake_close(&i);
    intake_close(&i);                                                            /* idempotent */
    size_t len = file_bytes(path), wanted = c->db_bytes + SHA256_BYTES - c->cut; /* what came is kept, good or not */
    bool right = e == OK && len == wanted && memcmp(back, snapshot, len) == 0 && v.bytes == len && v.level == c->level &&
                 strcmp(v.reason, c->reason) == 0 && (v.verdict == VERDICT_BAD) == (c->level < 2) &&
                 (v.level == 0 || (strlen(v.sha256) == 64 && v.db_bytes == len - SHA256_BYTES)) &&
                 v.finding_count == (c->level < 2 ? 1 : 0);
    if (!right) {
        print_error("%s: %s, %zu bytes, level %u, \"%s\"\n", c->name, err_name(e), len, v.level, v.reason);
        checks_failed++;
    }
}

static err all_cases(void *arg)
{
    struct lane l;
    (void)arg;
    lane_open(&l, "test disk", TASK_BACKUP, BACKUP_APPENDS_MAX + 1);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        case_run(&l, &cases[i]);
    lane_close(&l);
    for (unsigned i = 0; i < BUFFER_CLASSES; i++)
        CHECK(buf_use(i).used == 0);
    CHECK(rmdir(folder) == 0); /* nothing is left in it */
    return OK;
}

static void every_shape(void **state)
{
    (void)state;
    fibers_run(all_cases, NULL, OK);
}

static int boot(void **state)
{
    (void)state;
    return mkdtemp(folder) && mem_boot(&profile_edge16, MEM_LAZY) == OK && buf_boot() == OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_shape)};
    return cmocka_run_group_tests(tests, boot, NULL);
}
