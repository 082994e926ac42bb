/* The simulated disk, asked at os.h: what it keeps, what it loses, and that it is no kinder than a real one. */
#include "tests/sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/support/skip.h"
#include <cmocka.h>

#define SEEDS 12
#define BYTES 20000

static uint8_t content[BYTES];

static void fill(uint8_t with)
{
    memset(content, with, sizeof content);
}

/* How many bytes of the file are `value`; its length in *len, or false. */
static bool count_of(const char *path, uint8_t value, size_t *len, size_t *count)
{
    static uint8_t back[BYTES];
    *count = 0;
    if (!sim_disk_get(path, back, sizeof back, len))
        return false;
    SIM_CHECK(*len <= sizeof back);
    for (size_t i = 0; i < *len; i++)
        *count += back[i] == value;
    return true;
}

static void setup_folder(void *arg)
{
    (void)arg;
    sim_disk_folder("/data");
    fill('o');
    sim_disk_put("/data/old", (struct bytes){content, BYTES});
    fill('n');
}

/* --- plain use --- */
static err run_plain(void *arg)
{
    os_fd fd, again;
    uint8_t back[8];
    size_t got;
    struct os_stat st;
    uint64_t cursor = 0, free_bytes, total_bytes;
    char name[OS_NAME_MAX];
    (void)arg;
    SIM_CHECK_ERR(os_file_open("/data/none", OS_READ, &fd), E_ABSENT);
    SIM_CHECK_ERR(os_file_open("/none/a", OS_CREATE_NEW, &fd), E_ABSENT);
    SIM_CHECK_ERR(os_file_open("/data/old", OS_CREATE_NEW, &fd), E_EXISTS);
    SIM_CHECK_ERR(os_file_open("/data/a", OS_CREATE_NEW, &fd), OK);
    SIM_CHECK_ERR(os_file_open("/data/a", OS_WRITE, &again), OK);
    SIM_CHECK_ERR(os_file_lock(fd), OK);
    SIM_CHECK_ERR(os_file_lock(again), E_BUSY);
    os_file_close(fd);
    SIM_CHECK_ERR(os_file_lock(again), OK);
    SIM_CHECK_ERR(os_file_write(again, 5000, "holdfast", 8), OK);
    SIM_CHECK_ERR(os_file_read(again, 4999, back, 8, &got), OK);
    SIM_CHECK(got == 8 && memcmp(back, "\0holdfas", 8) == 0);
    SIM_CHECK_ERR(os_file_read(again, 5004, back, 8, &got), OK);
    SIM_CHECK(got == 4);
    SIM_CHECK(os_file_stat(again, &st) == OK && st.bytes == 5008 && st.kind == OS_FILE);
    SIM_CHECK_ERR(os_rename_new("/data/a", "/data/old"), E_EXISTS);
    SIM_CHECK_ERR(os_rename_over("/data/a", "/data/old"), OK);
    SIM_CHECK(os_stat_path("/data/old", &st) == OK && st.bytes == 5008);
    SIM_CHECK_ERR(os_stat_path("/data/a", &st), E_ABSENT);
    SIM_CHECK_ERR(os_unlink("/data/old"), OK);
    SIM_CHECK_ERR(os_file_read(again, 5000, back, 8, &got), OK); /* still open, so still there */
    SIM_CHECK(got == 8);
    os_file_close(again);
    SIM_CHECK_ERR(os_file_open("/data/made", OS_CREATE, &fd), OK);
    SIM_CHECK_ERR(os_file_write(fd, 0, content, BYTES), OK);
    SIM_CHECK_ERR(os_file_open("/data/made", OS_CREATE, &again), OK);
    SIM_CHECK_ERR(os_file_lock_range(fd, 100, 10), OK);
    SIM_CHECK_ERR(os_file_lock_range(again, 109, 1), E_BUSY);
    SIM_CHECK_ERR(os_file_lock_range(again, 110, 10), OK);
    SIM_CHECK_ERR(os_file_truncate(again, 5000), OK);
    SIM_CHECK(os_file_stat(fd, &st) == OK && st.bytes == 5000);
    SIM_CHECK_ERR(os_file_truncate(fd, 9000), OK);
    SIM_CHECK(os_file_read(fd, 4998, back, 8, &got) == OK && got == 8 && memcmp(back, "nn\0\0\0\0\0", 8) == 0);
    SIM_CHECK(os_file_read(fd, 8996, back, 8, &got) == OK && got == 4);
    SIM_CHECK_ERR(os_file_write(fd, 8500, "n", 1), OK); /* in a block that the truncation took away */
    SIM_CHECK(os_file_read(fd, 8499, back, 3, &got) == OK && got == 3 && memcmp(back, "\0n", 3) == 0);
    os_file_close(fd);
    os_file_close(again);
    SIM_CHECK_ERR(os_unlink("/data/made"), OK);
    SIM_CHECK_ERR(os_mkdir("/data/sub"), OK);
    SIM_CHECK_ERR(os_mkdir("/data/sub"), E_EXISTS);
    SIM_CHECK_ERR(os_mkdir("/data/sub/below"), OK);
    SIM_CHECK_ERR(os_rmdir("/data/sub"), E_EXISTS);
    SIM_CHECK_ERR(os_rmdir("/data/sub/below"), OK);
    SIM_CHECK_ERR(os_rmdir("/data/sub/below"), E_ABSENT);
    SIM_CHECK(os_list("/data", &cursor, name) == OK && strcmp(name, "sub") == 0);
    SIM_CHECK(os_list("/data", &cursor, name) == OK && name[0] == 0);
    SIM_CHECK(os_space("/data", &free_bytes, &total_bytes) == OK && free_bytes == total_bytes);
    return OK;
}

static err run_full(void *arg)
{
    os_fd fd;
    (void)arg;
    sim.disk_bytes = 40000; /* 20480 of them taken by /data/old */
    TRY(os_file_open("/data/a", OS_CREATE_NEW, &fd));
    SIM_CHECK_ERR(os_file_write(fd, 0, content, 8192), OK);
    SIM_CHECK_ERR(os_file_write(fd, 8192, content, BYTES), E_NOSPACE);
    SIM_CHECK_ERR(os_unlink("/data/old"), OK);
    SIM_CHECK_ERR(os_file_write(fd, 8192, content, BYTES), OK);
    os_file_close(fd);
    return OK;
}

static err run_readonly(void *arg)
{
    os_fd fd;
    (void)arg;
    sim.disk_readonly = true;
    SIM_CHECK_ERR(os_file_open("/data/a", OS_CREATE_NEW, &fd), E_READONLY);
    SIM_CHECK_ERR(os_file_open("/data/old", OS_WRITE, &fd), E_READONLY);
    SIM_CHECK_ERR(os_unlink("/data/old"), E_READONLY);
    SIM_CHECK_ERR(os_file_open("/data/old", OS_READ, &fd), OK);
    os_file_close(fd);
    return OK;
}

static err run_slow(void *arg)
{
    os_fd fd;
    (void)arg;
    sim.disk_bytes_per_s = 1000;
    ms began = os_mono();
    TRY(os_file_open("/data/a", OS_CREATE_NEW, &fd));
    SIM_CHECK_ERR(os_file_write(fd, 0, content, BYTES), OK);
    SIM_CHECK(os_mono() - began >= SECONDS(20) && os_mono() - began < SECONDS(21));
    os_file_close(fd);
    return OK;
}

/* --- power cuts. Notes tell how far run() got and, over all cuts of a case, what was seen: a kind disk would show less. --- */
enum { STEP, PARTS_SEEN, LOST_SEEN, KEPT_SEEN, WILD_SEEN };
static uint64_t *seen; /* over all lives and boots, unlike notes */

/* The safe way: whoever was told "done" finds all of it. */
static err run_safe(void *arg)
{
    os_fd fd;
    (void)arg;
    TRY(os_file_open("/data/a.part", OS_CREATE_NEW, &fd));
    SIM_CHECK_ERR(os_file_write(fd, 0, content, BYTES), OK);
    SIM_CHECK_ERR(os_file_sync(fd), OK);
    os_file_close(fd);
    SIM_CHECK_ERR(os_rename_new("/data/a.part", "/data/a"), OK);
    SIM_CHECK_ERR(os_sync_folder("/data"), OK);
    sim_note(STEP, 1);
    return OK;
}

static void reboot_safe(void *arg, bool ended, err result)
{
    size_t len, count;
    (void)arg;
    SIM_CHECK(ended == (sim_noted(STEP) == 1) && result == OK);
    bool there = count_of("/data/a", 'n', &len, &count);
    SIM_CHECK(there || !ended);
    SIM_CHECK(!there || (len == BYTES && count == BYTES));
    SIM_CHECK(count_of("/data/old", 'o', &len, &count) && count == BYTES);
}

/* Not safe, and the disk must say so: it counts in *seen. `arg`: what is left out. */
enum unsafe { NO_SYNC, NO_FOLDER_SYNC, IN_PLACE };

static err run_unsafe(void *arg)
{
    os_fd fd;
    enum unsafe left_out = *(enum unsafe *)arg;
    sim.disk_flush_permille = 0;
    TRY(os_file_open(left_out == IN_PLACE ? "/data/old" : "/data/a", left_out == IN_PLACE ? OS_WRITE : OS_CREATE_NEW, &fd));
    SIM_CHECK_ERR(os_file_write(fd, 0, content, BYTES), OK);
    if (left_out != NO_SYNC)
        SIM_CHECK_ERR(os_file_sync(fd), OK);
    os_file_close(fd);
    if (left_out == NO_SYNC)
        SIM_CHECK_ERR(os_sync_folder("/data"), OK);
    return OK;
}

static void reboot_unsafe(void *arg, bool ended, err result)
{
    size_t len = 0, count = 0;
    bool in_place = *(enum unsafe *)arg == IN_PLACE;
    bool there = count_of(in_place ? "/data/old" : "/data/a", 'n', &len, &count);
    SIM_CHECK(result == OK && (there || !in_place));
    SIM_CHECK(!in_place || len == BYTES);
    seen[!there || count == 0 ? LOST_SEEN : len == BYTES && count == BYTES ? KEPT_SEEN : PARTS_SEEN]++;
    if (ended && !(there && count == BYTES))
        seen[WILD_SEEN]++; /* told done, and not so */
}

/* fsync failed once and then "succeeded": the data is not there. */
static err run_sync_gate(void *arg)
{
    os_fd fd;
    (void)arg;
    TRY(os_file_open("/data/old", OS_WRITE, &fd));
    err written = os_file_write(fd, 0, content, BYTES), first = os_file_sync(fd), second = os_file_sync(fd);
    os_file_close(fd);
    SIM_CHECK(first == OK || second == OK);
    return written != OK ? written : first != OK ? first : second;
}

static void check_sync_gate(void *arg, err result)
{
    size_t len, count;
    (void)arg;
    if (sim_fault_name() && strcmp(sim_fault_name(), "os_file_sync") == 0) {
        SIM_CHECK_ERR(result, E_IO);
        SIM_CHECK(count_of("/data/old", 'n', &len, &count) && count == BYTES); /* the cache still shows it */
        seen[WILD_SEEN]++;
    }
}

static err run_gated_then_cut(void *arg)
{
    os_fd fd;
    (void)arg;
    TRY(os_file_open("/data/old", OS_WRITE, &fd));
    SIM_CHECK_ERR(os_file_write(fd, 0, content, BYTES), OK);
    sim_disk_fail_sync(1);
    SIM_CHECK_ERR(os_file_sync(fd), E_IO);
    SIM_CHECK_ERR(os_file_sync(fd), OK);
    os_file_close(fd);
    return OK;
}

static void reboot_gated(void *arg, bool ended, err result)
{
    size_t len, count;
    (void)arg;
    SIM_CHECK(result == OK && count_of("/data/old", 'n', &len, &count) && len == BYTES);
    if (ended && count < BYTES)
        seen[WILD_SEEN]++;
}

/* A truncation is as durable as a write: the old length or the new one until it is synced; then the new one. */
static err run_truncate(void *arg)
{
    os_fd fd;
    (void)arg;
    TRY(os_file_open("/data/old", OS_WRITE, &fd));
    SIM_CHECK_ERR(os_file_truncate(fd, 5000), OK);
    SIM_CHECK_ERR(os_file_truncate(fd, BYTES), OK);
    SIM_CHECK_ERR(os_file_truncate(fd, 3000), OK);
    sim_note(STEP, 1);
    SIM_CHECK_ERR(os_file_sync(fd), OK);
    sim_note(STEP, 2);
    os_file_close(fd);
    return OK;
}

static void reboot_truncate(void *arg, bool ended, err result)
{
    size_t len, count;
    (void)arg;
    SIM_CHECK(result == OK && count_of("/data/old", 'o', &len, &count));
    SIM_CHECK(len == BYTES || len == 5000 || len == 3000);
    SIM_CHECK(!ended || (len == 3000 && count == 3000));
    seen[len == 3000 ? KEPT_SEEN : LOST_SEEN] += sim_noted(STEP) == 1;
    seen[PARTS_SEEN] += len == BYTES && count < BYTES;
}

static void test_truncations(void **state)
{
    static const struct sim_case c = {.name = "truncate", .setup = setup_folder, .run = run_truncate, .reboot = reboot_truncate};
    (void)state;
    memset(seen, 0, SIM_NOTES_MAX * sizeof *seen);
    assert_true(sim_each_power_cut(&c));
    assert_true(sim_is_narrowed() || (seen[LOST_SEEN] > 0 && seen[KEPT_SEEN] > 0));
}

static void test_plain(void **state)
{
    static const struct sim_case cases[] = {
        {.name = "plain", .setup = setup_folder, .run = run_plain},
        {.name = "full", .setup = setup_folder, .run = run_full},
        {.name = "readonly", .setup = setup_folder, .run = run_readonly},
        {.name = "slow", .setup = setup_folder, .run = run_slow},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_true(sim_seeds(&cases[i], SEEDS));
}

static void test_the_safe_way_is_safe(void **state)
{
    static const struct sim_case c = {.name = "safe", .setup = setup_folder, .run = run_safe, .reboot = reboot_safe};
    (void)state;
    assert_true(sim_each_power_cut(&c));
}

static void test_unsafe_ways_are_caught(void **state)
{
    static enum unsafe ways[] = {NO_SYNC, NO_FOLDER_SYNC, IN_PLACE};
    (void)state;
    if (sim_is_narrowed())
        SKIP_BECAUSE("one seed or fault is being repeated");
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        const struct sim_case c = {
            .name = "unsafe", .setup = setup_folder, .run = run_unsafe, .reboot = reboot_unsafe, .arg = &ways[i]};
        memset(seen, 0, SIM_NOTES_MAX * sizeof *seen);
        assert_true(sim_each_power_cut(&c));
        assert_true(seen[LOST_SEEN] > 0 && seen[KEPT_SEEN] > 0);
        assert_true(ways[i] == NO_FOLDER_SYNC || seen[PARTS_SEEN] > 0);
        assert_int_equal(seen[WILD_SEEN] > 0, ways[i] != IN_PLACE);
    }
}

static void test_a_failed_sync_loses_data(void **state)
{
    static const struct sim_case once = {.name = "gate", .setup = setup_folder, .run = run_sync_gate, .check = check_sync_gate};
    static const struct sim_case cut = {
        .name = "gate_cut", .setup = setup_folder, .run = run_gated_then_cut, .reboot = reboot_gated};
    (void)state;
    if (sim_is_narrowed())
        SKIP_BECAUSE("one seed or fault is being repeated");
    memset(seen, 0, SIM_NOTES_MAX * sizeof *seen);
    assert_true(sim_each_fault(&once));
    assert_true(seen[WILD_SEEN] > 0);
    memset(seen, 0, SIM_NOTES_MAX * sizeof *seen);
    assert_true(sim_each_power_cut(&cut));
    assert_true(seen[WILD_SEEN] > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_the_safe_way_is_safe),
        cmocka_unit_test(test_truncations),
        cmocka_unit_test(test_unsafe_ways_are_caught),
        cmocka_unit_test(test_a_failed_sync_loses_data),
    };
    seen = mmap(NULL, SIM_NOTES_MAX * sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(seen, MAP_FAILED);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
