/* Small files, folders and listings on the pool. */
#include "tests/unit/check.h"

#include "board/rt/file.h"
#include "board/rt/mem.h"
#include "board/rt/path.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOON (loop_now() + SECONDS(60))

static char folder[] = "/tmp/test_file-XXXXXX";
static struct lane lane;

static const char *at(const char *name)
{
    static char path[OS_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(at(name), "w");
    CHECK(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

/* --- paths --- */

struct path_case {
    const char *path, *folder;
};
static const struct path_case path_cases[] = {
    {"a/b", "a"}, {"b", "."}, {"/b", "/"}, {"/a/b/c", "/a/b"}, {"./b", "."},
};

static void the_folder_of_a_path(void **state)
{
    (void)state;
    char out[OS_PATH_MAX], longest[OS_PATH_MAX + 1];
    for (size_t i = 0; i < COUNT_OF(path_cases); i++) {
        path_folder(path_cases[i].path, out);
        assert_string_equal(out, path_cases[i].folder);
    }
    memset(longest, 'a', sizeof longest);
    longest[OS_PATH_MAX] = 0;
    assert_int_equal(path_copy(out, longest), E_RANGE);
    longest[OS_PATH_MAX - 1] = 0;
    assert_int_equal(path_copy(out, longest), OK);
    assert_int_equal(path_copy(out, ""), E_INVALID);
}

/* --- reading --- */

struct read_case {
    const char *name, *text;
    size_t bytes_max;
    err want;
};
static const struct read_case read_cases[] = {
    {"empty", "", 10, OK},
    {"shorter", "abc", 10, OK},
    {"exactly the bound", "abcdefghij", 10, OK},
    {"one too many", "abcdefghijk", 10, E_RANGE},
    {"missing", NULL, 10, E_ABSENT},
};

static unsigned buffers_used(void)
{
    unsigned used = 0;
    for (unsigned i = 0; i < BUFFER_CLASSES; i++)
        used += buf_use(i).used;
    return used;
}

static void read_check(const struct read_case *c)
{
    struct buf *b = (struct buf *)(void *)&lane;
    if (c->text != NULL)
        put("small", c->text);
    else
        unlink(at("small"));
    CHECK(file_read_small(&lane, at("small"), c->bytes_max, SOON, &b) == c->want);
    trail_clear();
    CHECK((b != NULL) == (c->want == OK));
    if (b != NULL)
        CHECK(b->len == strlen(c->text) && strcmp((char *)b->at, c->text) == 0);
    buf_release(b);
    CHECK(buffers_used() == 0);
}

static err read_body(void *arg)
{
    (void)arg;
    struct buf *b;
    for (size_t i = 0; i < COUNT_OF(read_cases); i++) {
        unsigned failed = checks_failed;
        read_check(&read_cases[i]);
        if (checks_failed != failed)
            print_error("in: %s\n", read_cases[i].name);
    }
    CHECK(file_read_small(&lane, folder, 10, SOON, &b) == E_INVALID); /* a folder */
    CHECK(file_read_small(&lane, "", 10, SOON, &b) == E_INVALID);
    CHECK(file_read_small(&lane, at("small"), MIB(8), SOON, &b) == E_RANGE); /* no such buffer */
    trail_clear();
    CHECK(buffers_used() == 0);
    return OK;
}

static void a_small_file_is_read_whole_or_not(void **state)
{
    (void)state;
    fibers_run(read_body, NULL, OK);
}

static void only_a_plain_file_is_opened(void **state)
{
    (void)state;
    os_fd fd = 7;
    uint64_t bytes = 0;
    put("plain", "abc");
    assert_int_equal(file_open_plain(at("plain"), &fd, &bytes), OK);
    assert_true(fd >= 0 && bytes == 3);
    os_file_close(fd);
    assert_int_equal(unlink(at("plain")), 0);
    assert_int_equal(file_open_plain(at("plain"), &fd, &bytes), E_ABSENT);
    assert_int_equal(fd, -1);
    assert_int_equal(mkfifo(at("fifo"), 0600), 0);
    assert_int_equal(file_open_plain(at("fifo"), &fd, &bytes), E_INVALID); /* and it does not wait */
    assert_int_equal(unlink(at("fifo")), 0);
    assert_int_equal(file_open_plain(folder, &fd, &bytes), E_INVALID);
    trail_clear();
}

static err stuck_open_body(void *arg)
{
    (void)arg;
    struct buf *b;
    CHECK(mkfifo(at("fifo"), 0600) == 0); /* opening it waits for a writer, in the kernel */
    for (ms span = 20; pool_stats().written_off == 0 && span < SECONDS(60); span *= 2) /* a thread has to have begun by then */
        CHECK(file_read_small(&lane, at("fifo"), 10, loop_now() + span, &b) == E_TIMEOUT);
    CHECK(b == NULL && buffers_used() == 1); /* the thread may still fill it */
    CHECK(file_read_small(&lane, at("small"), 10, SOON, &b) == E_BUSY);
    trail_clear();
    FILE *f = fopen(at("fifo"), "w");
    CHECK(f != NULL && fclose(f) == 0);
    ms give_up = SOON;
    while (pool_stats().written_off > 0 && loop_now() < give_up)
        CHECK(fiber_sleep(loop_now() + 1) == OK);
    CHECK(pool_stats().written_off == 0 && buffers_used() == 0);
    CHECK(unlink(at("fifo")) == 0);
    return OK;
}

static void a_stuck_read_keeps_its_buffer_until_it_ends(void **state)
{
    (void)state;
    fibers_run(stuck_open_body, NULL, OK);
}

/* --- names --- */

static err names_body(void *arg)
{
    (void)arg;
    struct os_stat stat;
    uint64_t free_bytes, total_bytes;
    put("thing", "12345");
    CHECK(file_stat(&lane, at("thing"), SOON, &stat) == OK && stat.kind == OS_FILE && stat.bytes == 5);
    CHECK(file_remove(&lane, at("thing"), SOON) == OK);
    CHECK(file_remove(&lane, at("thing"), SOON) == E_ABSENT);
    CHECK(file_stat(&lane, at("thing"), SOON, &stat) == E_ABSENT);
    CHECK(file_space(&lane, folder, SOON, &free_bytes, &total_bytes) == OK && total_bytes >= free_bytes && total_bytes > 0);
    CHECK(file_make_folder(&lane, at("x/y//z/"), SOON) == OK);
    CHECK(file_stat(&lane, at("x/y/z"), SOON, &stat) == OK && stat.kind == OS_FOLDER);
    CHECK(file_make_folder(&lane, at("x/y/z"), SOON) == OK);
    CHECK(file_make_folder(&lane, "/", SOON) == OK);
    put("x/file", "");
    CHECK(file_make_folder(&lane, at("x/file"), SOON) == E_EXISTS);
    CHECK(file_make_folder(&lane, at("x/file/below"), SOON) == E_EXISTS);
    trail_clear();
    return OK;
}

static void names_are_looked_at_made_and_removed(void **state)
{
    (void)state;
    fibers_run(names_body, NULL, OK);
}

/* --- listing --- */

#define NAMES 1000

struct listed {
    bool seen[NAMES];
    unsigned count, stop_at;
};

static err each_name(void *arg, const char *name)
{
    struct listed *l = arg;
    int i = atoi(name + strcspn(name, "0123456789"));
    CHECK(i >= 0 && i < NAMES && !l->seen[i]);
    l->seen[i] = true;
    return ++l->count == l->stop_at ? E_FULL : OK;
}

static err list_body(void *arg)
{
    (void)arg;
    static struct listed all, some;
    char name[OS_NAME_MAX];
    CHECK(mkdir(at("many"), 0700) == 0);
    for (int i = 0; i < NAMES; i++) { /* of every length up to the longest */
        snprintf(name, sizeof name, "many/%.*s%d", i % 230, "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn", i);
        put(name, "");
    }
    CHECK(file_list(&lane, at("many"), SOON, each_name, &all) == OK);
    CHECK(all.count == NAMES);
    some.stop_at = 7;
    CHECK(file_list(&lane, at("many"), SOON, each_name, &some) == E_FULL);
    CHECK(some.count == 7);
    CHECK(file_list(&lane, at("none"), SOON, each_name, &some) == E_ABSENT);
    trail_clear();
    return OK;
}

static void a_thousand_names_are_listed_once_each(void **state)
{
    (void)state;
    fibers_run(list_body, NULL, OK);
}

static int folder_make(void **state)
{
    (void)state;
    lane_open(&lane, "tmp", TASK_BOARD, 4);
    return mkdtemp(folder) == NULL;
}

static int folder_remove(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

int main(void)
{
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK || buf_boot() != OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_folder_of_a_path),
        cmocka_unit_test(a_small_file_is_read_whole_or_not),
        cmocka_unit_test(only_a_plain_file_is_opened),
        cmocka_unit_test(a_stuck_read_keeps_its_buffer_until_it_ends),
        cmocka_unit_test(names_are_looked_at_made_and_removed),
        cmocka_unit_test(a_thousand_names_are_listed_once_each),
    };
    return cmocka_run_group_tests_name("file", tests, folder_make, folder_remove);
}
