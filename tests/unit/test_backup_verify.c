/* Verdicts: a file is looked at as it lies on the disk, and what cannot be told is "unknown", never good and never bad. */
#include "tests/unit/check.h"

#include "agents/backup/verify.h"
#include "board/rt/mem.h"
#include "tests/support/etcd_file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/test_verify-XXXXXX";
static uint8_t file[KIB(256)];
static size_t db_bytes;

struct verify_case {
    const char *name;
    unsigned level_max;
    size_t cut;          /* from the end */
    size_t flip_at;      /* from 1; the trailer is as it was */
    size_t damage_at;    /* from 1; the trailer is made anew */
    const char *missing; /* another file instead */
    enum backup_verdict verdict;
    unsigned level;
    const char *reason;
};
static const struct verify_case cases[] = {
    {"good", 4, 0, 0, 0, NULL, VERDICT_GOOD, 4, ""},
    {"to level 3", 3, 0, 0, 0, NULL, VERDICT_UNKNOWN, 3, "level"},
    {"to level 2", 2, 0, 0, 0, NULL, VERDICT_UNKNOWN, 2, "level"},
    {"to level 1", 1, 0, 0, 0, NULL, VERDICT_UNKNOWN, 1, "level"},
    {"a byte short", 4, 1, 0, 0, NULL, VERDICT_BAD, 0, "length"},
    {"a byte short, to level 1", 1, 1, 0, 0, NULL, VERDICT_BAD, 0, "length"},
    {"no trailer", 4, 32, 0, 0, NULL, VERDICT_BAD, 0, "length"},
    {"only a trailer", 4, SIZE_MAX - 32, 0, 0, NULL, VERDICT_BAD, 0, "length"},
    {"empty", 4, SIZE_MAX, 0, 0, NULL, VERDICT_BAD, 0, "length"},
    {"a page short", 4, 4096, 0, 0, NULL, VERDICT_BAD, 1, "sha256"},
    {"first bit", 4, 0, 1, 0, NULL, VERDICT_BAD, 1, "sha256"},
    {"first bit, to level 2", 2, 0, 1, 0, NULL, VERDICT_BAD, 1, "sha256"},
    {"first bit, to level 1", 1, 0, 1, 0, NULL, VERDICT_UNKNOWN, 1, "level"},
    {"a bit of a page's flags", 4, 0, 3 * ETCD_FILE_PAGE + 9, 0, NULL, VERDICT_BAD, 1, "sha256"},
    {"its flags in etcd already", 4, 0, 0, 3 * ETCD_FILE_PAGE + 9, NULL, VERDICT_BAD, 2, "page-flags"},
    {"no such file", 4, 0, 0, 0, "none.db", VERDICT_UNKNOWN, 0, "unreadable"},
    {"a folder", 4, 0, 0, 0, ".", VERDICT_UNKNOWN, 0, "unreadable"},
    {"below a file", 4, 0, 0, 0, "snapshot.db/x", VERDICT_UNKNOWN, 0, "unreadable"},
};

static void seal(void)
{
    struct sha256 sha;
    sha256_start(&sha);
    sha256_update(&sha, (struct bytes){file, db_bytes});
    sha256_finish(&sha, file + db_bytes);
}

static void file_make(const struct verify_case *c, const char *path)
{
    struct etcd_file f = {.keys = 300, .deleted = 3, .value_bytes = 200};
    etcd_file_make(&f, file, sizeof file - SHA256_BYTES);
    db_bytes = f.bytes;
    if (c->damage_at)
        file[c->damage_at - 1] ^= 4;
    seal();
    if (c->flip_at)
        file[c->flip_at - 1] ^= 4;
    size_t whole = db_bytes + SHA256_BYTES;
    size_t len = c->cut == SIZE_MAX ? 0 : c->cut == SIZE_MAX - 32 ? 32 : whole - c->cut;
    FILE *out = fopen(path, "wb");
    CHECK(out && fwrite(file, 1, len, out) == len && fclose(out) == 0);
}

static uint64_t told_done, told_total;

static void told(void *arg, const char *what, uint64_t done, uint64_t total)
{
    (void)arg;
    CHECK(strcmp(what, "verify") == 0 && done <= total);
    told_done = done;
    told_total = total;
}

static void case_run(const struct verify_case *c)
{
    char path[96], other[96];
    struct backup_verification v;
    struct backup_watcher w = {told, NULL};
    (void)snprintf(path, sizeof path, "%s/snapshot.db", folder);
    (void)snprintf(other, sizeof other, "%s/%s", folder, c->missing ? c->missing : "");
    told_done = told_total = 0;
    file_make(c, path);
    size_t used = mem_use(TASK_BACKUP).used_bytes;
    err e = backup_verify_file(c->missing ? other : path, c->level_max, &w, &v);
    if (e != OK || v.verdict != c->verdict || v.level != c->level || strcmp(v.reason, c->reason) != 0) {
        print_error("%s: %s, %s, level %u, \"%s\"\n", c->name, err_name(e), backup_verdict_name(v.verdict), v.level, v.reason);
        checks_failed++;
    }
    CHECK((v.finding_count > 0) == (c->reason[0] && strcmp(c->reason, "level") != 0));
    CHECK(v.verdict != VERDICT_GOOD || (v.keys == 297 && v.revision == 304 && v.db_bytes == db_bytes));
    CHECK(v.verdict != VERDICT_GOOD || (told_done == db_bytes && told_total == db_bytes));
    CHECK(mem_use(TASK_BACKUP).used_bytes == used);
}

static err all_cases(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        case_run(&cases[i]);
    for (unsigned i = 0; i < BUFFER_CLASSES; i++)
        CHECK(buf_use(i).used == 0);
    return OK;
}

static void every_verdict(void **state)
{
    (void)state;
    fibers_run(all_cases, NULL, OK);
}

/* With nearly all of the task's memory taken: unknown, and told. */
static err without_memory(void *arg)
{
    (void)arg;
    struct backup_verification v;
    char path[96];
    (void)snprintf(path, sizeof path, "%s/snapshot.db", folder);
    file_make(&cases[0], path);
    enum task before = mem_task();
    mem_set_task(TASK_BACKUP);
    struct mem_use use = mem_use(TASK_BACKUP);
    void *hog = malloc(use.limit_bytes - use.used_bytes - KIB(128));
    CHECK(hog);
    err e = backup_verify_file(path, 4, NULL, &v);
    free(hog);
    mem_set_task(before);
    CHECK(e == OK && v.verdict == VERDICT_UNKNOWN && strcmp(v.reason, "memory") == 0 && v.level == 2);
    CHECK(unlink(path) == 0 && rmdir(folder) == 0);
    return OK;
}

static void memory_is_short(void **state)
{
    (void)state;
    fibers_run(without_memory, NULL, OK);
}

static int boot(void **state)
{
    (void)state;
    return mkdtemp(folder) && mem_boot(&profile_edge16, MEM_LAZY) == OK && buf_boot() == OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_verdict), cmocka_unit_test(memory_is_short)};
    return cmocka_run_group_tests(tests, boot, NULL);
}
