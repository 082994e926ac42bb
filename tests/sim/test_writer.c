/* The durable writer and the file calls under every power cut and every single fault: the whole file under its name, or nothing.
 */
#include "board/rt/file.h"
#include "tests/sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS        12
#define APPENDS      5
#define APPEND_BYTES 3000
#define FILE_BYTES   (APPENDS * APPEND_BYTES)
#define PATH         "/data/snapshot.db"

enum { COMMITTED };

static void setup_folder(void *arg)
{
    (void)arg;
    sim_disk_folder("/data");
    sim_disk_put("/data/earlier.db", (struct bytes){(const uint8_t *)"earlier", 7});
}

static void tap_add(void *state, struct bytes data)
{
    uint64_t *sum = state;
    for (size_t i = 0; i < data.len; i++)
        *sum = *sum * 31 + data.at[i];
}

static uint64_t sum_wanted(void)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < FILE_BYTES; i++)
        sum = sum * 31 + sim_pattern(i);
    return sum;
}

static err append_all(struct writer *w)
{
    for (size_t n = 0; n < APPENDS; n++) {
        struct buf *b = NULL;
        TRY(buf_wait(APPEND_BYTES, loop_now() + SECONDS(10), &b));
        for (b->len = 0; b->len < APPEND_BYTES; b->len++)
            b->at[b->len] = sim_pattern(n * APPEND_BYTES + b->len);
        TRY(writer_append(w, b, true, loop_now() + SECONDS(10)));
    }
    return writer_flush(w, loop_now() + SECONDS(10));
}

/* `arg`: NULL commits, else a deadline in ms for all of it. */
static err run_writer(void *arg)
{
    struct lane lane;
    struct writer *w = NULL;
    (void)arg;
    lane_open(&lane, "disk", TASK_BACKUP, 4);
    err e = writer_open(&lane, PATH, 3, tap_add, sizeof(uint64_t), loop_now() + SECONDS(10), &w);
    if (e == OK)
        e = append_all(w);
    if (e == OK) {
        SIM_CHECK(*(uint64_t *)writer_tap_state(w) == sum_wanted() && writer_bytes(w) == FILE_BYTES);
        e = writer_commit(w, loop_now() + SECONDS(10));
    }
    if (e == OK)
        sim_note(COMMITTED, 1);
    writer_close(w);
    lane_close(&lane);
    return e;
}

/* True when it is there, and then it is whole. */
static bool whole_file(void)
{
    static uint8_t back[FILE_BYTES];
    size_t len;
    if (!sim_disk_get(PATH, back, sizeof back, &len))
        return false;
    SIM_CHECK(len == FILE_BYTES);
    for (size_t i = 0; i < len; i++)
        SIM_CHECK(back[i] == sim_pattern(i));
    return true;
}

static void earlier_is_untouched(void)
{
    char back[8] = "";
    size_t len;
    SIM_CHECK(sim_disk_get("/data/earlier.db", back, sizeof back, &len) && len == 7 && memcmp(back, "earlier", 7) == 0);
}

static void only_known_names(void)
{
    const char *name;
    for (unsigned i = 0; (name = sim_disk_name("/data", i)); i++)
        SIM_CHECK(strcmp(name, "snapshot.db") == 0 || strcmp(name, "earlier.db") == 0 || writer_is_leftover(name));
}

static void check_writer(void *arg, err result)
{
    (void)arg;
    earlier_is_untouched();
    only_known_names();
    SIM_CHECK((result == OK) == !sim_fault_name()); /* no fault may pass in silence: a failed fsync least of all */
    SIM_CHECK(whole_file() == (result == OK));
    /* A leftover only when the removal itself was what failed; one fault cannot break both the write and that. */
    SIM_CHECK(sim_disk_names("/data") == (result == OK ? 2u : 1u));
}

/* The next boot, by the program's own calls. */
static err read_back(void *there)
{
    struct lane lane;
    struct os_stat st;
    lane_open(&lane, "disk", TASK_BACKUP, 4);
    err e = file_stat(&lane, PATH, loop_now() + SECONDS(10), &st);
    lane_close(&lane);
    *(bool *)there = e == OK && st.bytes == FILE_BYTES;
    return e == E_ABSENT ? OK : e;
}

static void reboot_writer(void *arg, bool ended, err result)
{
    (void)arg;
    SIM_CHECK(!ended || result == OK);
    earlier_is_untouched();
    only_known_names();
    bool there = false;
    SIM_CHECK(whole_file() || sim_noted(COMMITTED) == 0);
    SIM_CHECK_ERR(sim_loop(read_back, &there), OK);
    SIM_CHECK(there == whole_file());
}

/* A write that failed is not there after a power cut either. */
static err run_full(void *arg)
{
    sim.disk_bytes = 16000;
    err e = run_writer(arg);
    return e == E_NOSPACE ? OK : E_INVALID;
}

static void nothing_is_left(void *arg, err result)
{
    (void)arg;
    SIM_CHECK_ERR(result, OK);
    earlier_is_untouched();
    for (unsigned i = 0; i < sim_disk_names("/data"); i++)
        if (strcmp(sim_disk_name("/data", i), "earlier.db") != 0)
            sim_fail("%s is left behind", sim_disk_name("/data", i));
}

static void reboot_full(void *arg, bool ended, err result)
{
    (void)arg;
    SIM_CHECK(!ended || result == OK);
    earlier_is_untouched();
    only_known_names();
    SIM_CHECK(!whole_file());
    SIM_CHECK(!ended || sim_disk_names("/data") == 1);
}

/* The disk sticks: an error within the deadline, and when the thread comes back nothing is left. */
static err run_stuck_disk(void *arg)
{
    unsigned job = 1 + (unsigned)sim_draw(APPENDS + 3);
    (void)arg;
    sim_stick_job(job, SECONDS(30));
    ms began = os_mono();
    err e = run_writer(NULL);
    SIM_CHECK(e == E_TIMEOUT || e == E_BUSY);
    SIM_CHECK(os_mono() - began < SECONDS(26)); /* its deadline of 10 s, at most twice, and the bounded removal */
    TRY(fiber_sleep(loop_now() + SECONDS(60)));
    return OK;
}

static err run_exists(void *arg)
{
    struct lane lane;
    struct writer *w = NULL;
    (void)arg;
    lane_open(&lane, "disk", TASK_BACKUP, 4);
    SIM_CHECK_ERR(writer_open(&lane, "/data/earlier.db", 3, tap_add, sizeof(uint64_t), loop_now() + 10000, &w), OK);
    SIM_CHECK_ERR(append_all(w), OK);
    SIM_CHECK_ERR(writer_commit(w, loop_now() + 10000), E_EXISTS);
    SIM_CHECK_ERR(writer_rename(w, PATH), OK);
    SIM_CHECK_ERR(writer_commit(w, loop_now() + 10000), OK);
    writer_close(w);
    lane_close(&lane);
    return OK;
}

static void check_exists(void *arg, err result)
{
    (void)arg;
    SIM_CHECK_ERR(result, OK);
    earlier_is_untouched();
    SIM_CHECK(whole_file() && sim_disk_names("/data") == 2);
}

/* --- the other file calls --- */
static err each_name(void *arg, const char *name)
{
    unsigned *count = arg;
    SIM_CHECK(strcmp(name, "earlier.db") == 0);
    ++*count;
    return OK;
}

static err use_files(struct lane *l, unsigned *names)
{
    struct buf *b = NULL;
    struct os_stat st;
    uint64_t free_bytes, total_bytes;
    ms deadline = loop_now() + SECONDS(10);
    TRY(file_make_folder(l, "/data/a/b", deadline));
    TRY(file_read_small(l, "/data/earlier.db", 100, deadline, &b));
    bool same = b->len == 7 && memcmp(b->at, "earlier", 8) == 0;
    buf_release(b);
    SIM_CHECK(same);
    TRY(file_stat(l, "/data/a/b", deadline, &st));
    SIM_CHECK(st.kind == OS_FOLDER);
    TRY(file_space(l, "/data", deadline, &free_bytes, &total_bytes));
    TRY(file_list(l, "/data/a/b", deadline, each_name, names));
    SIM_CHECK(*names == 0);
    return file_remove(l, "/data/earlier.db", deadline);
}

static err run_files(void *arg)
{
    struct lane lane;
    unsigned names = 0;
    (void)arg;
    lane_open(&lane, "disk", TASK_BACKUP, 4);
    err e = use_files(&lane, &names);
    lane_close(&lane);
    return e;
}

static void check_files(void *arg, err result)
{
    (void)arg;
    SIM_CHECK(result == OK || sim_fault_name());
    SIM_CHECK(result != OK || sim_disk_names("/data/a") == 1);
}

static void reboot_files(void *arg, bool ended, err result)
{
    (void)arg;
    SIM_CHECK(!ended || result == OK);
    SIM_CHECK(!ended || (sim_disk_names("/data/a") == 1 && sim_disk_names("/data") == 1));
}

static const struct sim_case writer_case = {
    .name = "writer", .setup = setup_folder, .run = run_writer, .check = check_writer, .reboot = reboot_writer, .fibers = true};
static const struct sim_case full_case = {
    .name = "full", .setup = setup_folder, .run = run_full, .check = nothing_is_left, .reboot = reboot_full, .fibers = true};
static const struct sim_case stuck_case = {
    .name = "stuck", .setup = setup_folder, .run = run_stuck_disk, .check = nothing_is_left, .fibers = true};
static const struct sim_case exists_case = {
    .name = "exists", .setup = setup_folder, .run = run_exists, .check = check_exists, .fibers = true};
static const struct sim_case files_case = {
    .name = "files", .setup = setup_folder, .run = run_files, .check = check_files, .reboot = reboot_files, .fibers = true};

#define JUDGED(name, judgement)                                                                                                  \
    static void test_##name(void **state)                                                                                        \
    {                                                                                                                            \
        (void)state;                                                                                                             \
        assert_true(judgement);                                                                                                  \
    }
JUDGED(writer, sim_seeds(&writer_case, SEEDS))
JUDGED(writer_each_fault, sim_each_fault(&writer_case))
JUDGED(writer_each_power_cut, sim_each_power_cut(&writer_case))
JUDGED(full_disk, sim_seeds(&full_case, SEEDS))
JUDGED(full_disk_each_power_cut, sim_each_power_cut(&full_case))
JUDGED(stuck_disk, sim_seeds(&stuck_case, 2 * SEEDS))
JUDGED(name_is_taken, sim_seeds(&exists_case, SEEDS))
JUDGED(files, sim_seeds(&files_case, SEEDS))
JUDGED(files_each_fault, sim_each_fault(&files_case))
JUDGED(files_each_power_cut, sim_each_power_cut(&files_case))

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writer),
        cmocka_unit_test(test_writer_each_fault),
        cmocka_unit_test(test_writer_each_power_cut),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_full_disk_each_power_cut),
        cmocka_unit_test(test_stuck_disk),
        cmocka_unit_test(test_name_is_taken),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_files_each_fault),
        cmocka_unit_test(test_files_each_power_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
