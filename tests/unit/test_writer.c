/* The durable writer: the whole file under its name, or nothing; whatever the disk, the caller or the kernel does. */
#include "tests/support/skip.h"
#include "tests/unit/check.h"

#include "board/rt/file.h"
#include "board/rt/mem.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOON  (loop_now() + SECONDS(60))
#define CHUNK KIB(4)

static char folder[] = "/tmp/test_writer-XXXXXX";
static struct lane lane;

static const char *at(const char *name)
{
    static char path[OS_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* Names in the folder; leftovers are counted apart. */
static unsigned names(unsigned *leftovers)
{
    unsigned count = 0;
    DIR *d = opendir(folder);
    *leftovers = 0;
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        if (writer_is_leftover(e->d_name))
            (*leftovers)++;
        else if (e->d_name[0] != '.')
            count++;
    closedir(d);
    return count;
}

static void nothing_left(unsigned files)
{
    unsigned leftovers;
    CHECK(names(&leftovers) == files && leftovers == 0);
    for (unsigned i = 0; i < BUFFER_CLASSES; i++)
        CHECK(buf_use(i).used == 0);
    CHECK(pool_stats().jobs == 0);
}

static struct buf *chunk_of(unsigned number)
{
    struct buf *b = NULL;
    CHECK(buf_wait(CHUNK, SOON, &b) == OK);
    memset(b->at, (int)('a' + number % 26), CHUNK);
    b->len = CHUNK;
    return b;
}

struct sum {
    uint64_t bytes, sum;
};

static void sum_tap(void *state, struct bytes data)
{
    struct sum *s = state;
    for (size_t i = 0; i < data.len; i++)
        s->sum = s->sum * 31 + data.at[i];
    s->bytes += data.len;
}

/* --- the good way --- */

static err whole_body(void *arg)
{
    unsigned depth = *(const unsigned *)arg;
    enum { CHUNKS = 600 };
    struct writer *w;
    struct sum want = {0};
    unsigned leftovers;
    CHECK(writer_open(&lane, at("whole"), depth, sum_tap, sizeof(struct sum), SOON, &w) == OK);
    for (unsigned i = 0; i < CHUNKS; i++) {
        struct buf *b = chunk_of(i);
        bool tapped = i + 1 < CHUNKS; /* as a trailer */
        if (tapped)
            sum_tap(&want, (struct bytes){.at = b->at, .len = b->len});
        CHECK(writer_append(w, b, tapped, SOON) == OK);
        CHECK(lane.outstanding <= lane.depth); /* those that ended may not have been collected */
    }
    CHECK(writer_flush(w, SOON) == OK);
    CHECK(memcmp(writer_tap_state(w), &want, sizeof want) == 0);
    CHECK(names(&leftovers) == 0 && leftovers == 1); /* not under its name yet */
    CHECK(writer_bytes(w) == CHUNKS * CHUNK);
    CHECK(writer_commit(w, SOON) == OK);
    writer_close(w);
    struct stat s;
    CHECK(stat(at("whole"), &s) == 0 && s.st_size == CHUNKS * CHUNK && (s.st_mode & 0777) == 0600);
    FILE *f = fopen(at("whole"), "r");
    for (unsigned i = 0; i < CHUNKS; i++) {
        CHECK(fseek(f, (long)(i * CHUNK), SEEK_SET) == 0);
        CHECK(fgetc(f) == (int)('a' + i % 26));
    }
    fclose(f);
    nothing_left(1);
    CHECK(unlink(at("whole")) == 0);
    return OK;
}

static void a_file_appears_whole(void **state)
{
    (void)state;
    static const unsigned depths[] = {1, 3, 8};
    for (size_t i = 0; i < COUNT_OF(depths); i++)
        fibers_run(whole_body, (void *)(uintptr_t)&depths[i], OK);
}

/* --- names --- */

static err exists_body(void *arg)
{
    (void)arg;
    struct writer *w;
    char longest[OS_PATH_MAX];
    FILE *f = fopen(at("taken"), "w");
    CHECK(f != NULL && fputs("before", f) >= 0 && fclose(f) == 0);
    CHECK(writer_open(&lane, at("taken"), 2, NULL, 0, SOON, &w) == OK);
    CHECK(writer_append(w, chunk_of(0), false, SOON) == OK);
    CHECK(writer_commit(w, SOON) == E_EXISTS);
    CHECK(writer_commit(w, SOON) == E_EXISTS);
    CHECK(writer_rename(w, "/elsewhere") == E_INVALID);
    CHECK(writer_rename(w, at("free")) == OK);
    CHECK(writer_commit(w, SOON) == OK);
    writer_close(w);
    trail_clear();
    struct stat s;
    CHECK(stat(at("taken"), &s) == 0 && s.st_size == 6);
    CHECK(stat(at("free"), &s) == 0 && s.st_size == CHUNK);
    CHECK(writer_open(&lane, at("taken"), 2, NULL, 0, SOON, &w) == OK);
    CHECK(writer_append(w, chunk_of(0), false, SOON) == OK);
    CHECK(writer_commit_over(w, SOON) == OK);
    writer_close(w);
    CHECK(stat(at("taken"), &s) == 0 && s.st_size == CHUNK);
    nothing_left(2);
    CHECK(unlink(at("taken")) == 0 && unlink(at("free")) == 0);
    CHECK(writer_open(&lane, at("none/x"), 2, NULL, 0, SOON, &w) == E_ABSENT && w == NULL);
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 5] = 0; /* no room for the mark */
    CHECK(writer_open(&lane, longest, 2, NULL, 0, SOON, &w) == E_RANGE);
    CHECK(writer_open(&lane, at(""), 2, NULL, 0, SOON, &w) == E_INVALID);
    trail_clear();
    writer_close(NULL);
    nothing_left(0);
    return OK;
}

static void a_file_that_is_there_is_never_replaced(void **state)
{
    (void)state;
    fibers_run(exists_body, NULL, OK);
}

struct leftover_case {
    const char *name;
    bool ours;
};
static const struct leftover_case leftover_cases[] = {
    {"etcd-snapshot-20261121-095132.db.part-0123abcd", true},
    {"a.part-ffffffff", true},
    {"etcd-snapshot-20261121-095132.db", false},
    {"a.part-0123abc", false},
    {"a.part-0123abcde", false},
    {"a.part-0123ABCD", false},
    {"a.part-0123abcg", false},
    {"a.parx-0123abcd", false},
    {".part-0123abcd", false}, /* a name of ours is never empty */
    {"", false},
};

static void leftovers_are_recognised(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(leftover_cases); i++) {
        if (writer_is_leftover(leftover_cases[i].name) != leftover_cases[i].ours)
            print_error("%s\n", leftover_cases[i].name);
        assert_int_equal(writer_is_leftover(leftover_cases[i].name), leftover_cases[i].ours);
    }
}

/* --- giving up --- */

static err abort_body(void *arg)
{
    (void)arg;
    struct writer *w;
    CHECK(writer_open(&lane, at("gone"), 4, NULL, 0, SOON, &w) == OK);
    for (unsigned i = 0; i < 4; i++)
        CHECK(writer_append(w, chunk_of(i), false, SOON) == OK);
    writer_close(w); /* with all of them in flight */
    nothing_left(0);
    CHECK(writer_open(&lane, at("gone"), 4, NULL, 0, SOON, &w) == OK);
    writer_close(w);
    nothing_left(0);
    return OK;
}

static void a_close_without_a_commit_leaves_nothing(void **state)
{
    (void)state;
    fibers_run(abort_body, NULL, OK);
}

static err canceled_append_run(void *arg)
{
    struct writer **w = arg;
    struct buf *b = chunk_of(1);
    CHECK(fiber_sleep(FOREVER) == E_CANCELED);
    CHECK(writer_append(*w, b, false, FOREVER) == E_CANCELED);
    CHECK(writer_commit(*w, FOREVER) == E_CANCELED); /* a gap in the bytes is never kept */
    trail_clear();
    writer_close(*w); /* shielded */
    return OK;
}

static err cancel_append_body(void *arg)
{
    (void)arg;
    struct writer *w;
    struct group g;
    CHECK(writer_open(&lane, at("gone"), 2, NULL, 0, SOON, &w) == OK);
    group_open(&g, TASK_BOARD);
    CHECK(group_spawn(&g, "canceled", canceled_append_run, &w) == OK);
    CHECK(fiber_sleep(loop_now() + 2) == OK);
    group_close(&g);
    nothing_left(0);
    return OK;
}

static void a_canceled_writer_cleans_up(void **state)
{
    (void)state;
    fibers_run(cancel_append_body, NULL, OK);
}

/* --- a thread that sticks in the middle of an append --- */

static int stick_pipe[2];
static atomic_uint stuck_count;

static void stuck_tap(void *state, struct bytes data)
{
    char byte;
    (void)state;
    (void)data;
    atomic_fetch_add(&stuck_count, 1);
    if (read(stick_pipe[0], &byte, 1) != 1)
        abort();
}

static err stuck_body(void *arg)
{
    (void)arg;
    struct writer *w, *other;
    unsigned leftovers;
    CHECK(pipe(stick_pipe) == 0);
    stuck_count = 0;
    CHECK(writer_open(&lane, at("stuck"), 2, stuck_tap, 0, SOON, &w) == OK);
    CHECK(writer_append(w, chunk_of(0), true, SOON) == OK);
    AWAIT(stuck_count == 1); /* what no thread has begun is taken back at a deadline, not written off */
    CHECK(writer_append(w, chunk_of(1), true, SOON) == OK);
    CHECK(writer_append(w, chunk_of(2), true, loop_now() + 20) == E_TIMEOUT);
    CHECK(lane.written_off && pool_stats().written_off == 1);
    CHECK(writer_flush(w, SOON) == E_TIMEOUT); /* sticky */
    CHECK(writer_commit(w, SOON) == E_TIMEOUT);
    ms before = loop_now();
    writer_close(w);
    CHECK(loop_now() < before + SECONDS(60));
    CHECK(names(&leftovers) == 0 && leftovers == 1); /* for as long as the thread is in the kernel */
    CHECK(writer_open(&lane, at("next"), 2, NULL, 0, SOON, &other) == E_BUSY);
    trail_clear();
    CHECK(write(stick_pipe[1], "x", 1) == 1);
    AWAIT(pool_stats().written_off == 0);
    nothing_left(0); /* it removed the file itself */
    CHECK(stuck_count == 1);
    CHECK(writer_open(&lane, at("next"), 2, NULL, 0, SOON, &other) == OK); /* and the lane works again */
    CHECK(writer_append(other, chunk_of(0), true, SOON) == OK);
    CHECK(writer_commit(other, SOON) == OK);
    writer_close(other);
    nothing_left(1);
    CHECK(unlink(at("next")) == 0);
    close(stick_pipe[0]);
    close(stick_pipe[1]);
    return OK;
}

/* Its lane was closed and opened anew: no job of the writer may run beside the stuck one. */
static err reopened_body(void *arg)
{
    (void)arg;
    struct writer *w;
    unsigned leftovers;
    CHECK(pipe(stick_pipe) == 0);
    stuck_count = 0;
    CHECK(writer_open(&lane, at("stuck"), 2, stuck_tap, 0, SOON, &w) == OK);
    CHECK(writer_append(w, chunk_of(0), true, SOON) == OK);
    AWAIT(stuck_count == 1);
    lane_close(&lane);
    CHECK(writer_append(w, chunk_of(1), true, SOON) == E_CLOSED);
    lane_open(&lane, "tmp", TASK_BOARD, 8);
    CHECK(writer_flush(w, SOON) == E_CLOSED);
    writer_close(w);
    CHECK(names(&leftovers) == 0 && leftovers == 1);
    trail_clear();
    CHECK(write(stick_pipe[1], "x", 1) == 1);
    AWAIT(pool_stats().written_off == 0);
    nothing_left(0);
    close(stick_pipe[0]);
    close(stick_pipe[1]);
    return OK;
}

static void a_lane_opened_anew_is_not_the_writers(void **state)
{
    (void)state;
    fibers_run(reopened_body, NULL, OK);
}

static void a_stuck_append_is_given_up_and_cleans_up_when_it_comes_back(void **state)
{
    (void)state;
    fibers_run(stuck_body, NULL, OK);
}

/* --- a disk that is full, or read-only --- */

static err full_body(void *arg)
{
    err want = *(const err *)arg, e = OK;
    struct writer *w;
    CHECK(writer_open(&lane, at("full"), 3, NULL, 0, SOON, &w) == OK);
    for (unsigned i = 0; i < 64 && e == OK; i++)
        e = writer_append(w, chunk_of(i), false, SOON);
    if (e == OK)
        e = writer_flush(w, SOON);
    CHECK(e == want);
    CHECK(writer_commit(w, SOON) == want);
    trail_clear();
    writer_close(w);
    nothing_left(0);
    return OK;
}

/* Its own mounts, gone with the process. */
static bool disk_mount(const char *options)
{
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("holdfast-test", folder, "tmpfs", 0, options) == 0;
}

static void a_full_disk_is_an_answer(void **state)
{
    (void)state;
    static const err no_space = E_NOSPACE, too_large = E_RANGE;
    struct rlimit before, small;
    if (disk_mount("size=64k")) {
        fibers_run(full_body, (void *)(uintptr_t)&no_space, OK);
        assert_int_equal(umount(folder), 0);
        return;
    }
    print_message("no mounting here: a limit on the file's size instead\n");
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){.rlim_cur = KIB(64), .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    fibers_run(full_body, (void *)(uintptr_t)&too_large, OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
}

static err readonly_body(void *arg)
{
    (void)arg;
    struct writer *w;
    CHECK(writer_open(&lane, at("x"), 2, NULL, 0, SOON, &w) == E_READONLY);
    trail_clear();
    return OK;
}

static void a_read_only_disk_is_told_apart(void **state)
{
    (void)state;
    if (!disk_mount("size=64k,ro"))
        SKIP_BECAUSE("a small file system cannot be mounted here");
    fibers_run(readonly_body, NULL, OK);
    assert_int_equal(umount(folder), 0);
}

static int folder_make(void **state)
{
    (void)state;
    lane_open(&lane, "tmp", TASK_BOARD, 8);
    return mkdtemp(folder) == NULL;
}

static int folder_remove(void **state)
{
    (void)state;
    return rmdir(folder); /* it is empty */
}

int main(void)
{
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK || buf_boot() != OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_appears_whole),
        cmocka_unit_test(a_file_that_is_there_is_never_replaced),
        cmocka_unit_test(leftovers_are_recognised),
        cmocka_unit_test(a_close_without_a_commit_leaves_nothing),
        cmocka_unit_test(a_canceled_writer_cleans_up),
        cmocka_unit_test(a_stuck_append_is_given_up_and_cleans_up_when_it_comes_back),
        cmocka_unit_test(a_lane_opened_anew_is_not_the_writers),
        cmocka_unit_test(a_full_disk_is_an_answer),
        cmocka_unit_test(a_read_only_disk_is_told_apart),
    };
    return cmocka_run_group_tests_name("writer", tests, folder_make, folder_remove);
}
