/* The store under every power cut, a full disk and single faults: what was acknowledged is there, whole; nothing else is half. */
#include "board/rt/fiber.h"
#include "hal/store.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_backup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SOON        (loop_now() + SECONDS(60))
#define WRITERS     3
#define WRITES_EACH 2
#define LONG_WRITES 60
#define VALUE_BYTES 3000

static const struct store_schema schema = {
    (const char *const[]){"CREATE TABLE item(id INTEGER, part INTEGER, value BLOB, PRIMARY KEY(id, part)) WITHOUT ROWID",
                          "CREATE TABLE count(one INTEGER PRIMARY KEY, items INTEGER); INSERT INTO count VALUES(1, 0)", NULL}};

static void setup_folder(void *arg)
{
    (void)arg;
    sim_boot(sim_metrics_boot);
    sim_disk_folder("/data");
}

/* --- work --- */

/* Both parts of an item and the count of all of them, or nothing. */
static err put_work(struct store_tx *tx, void *arg)
{
    static const uint8_t content[VALUE_BYTES] = {1, 2, 3};
    for (int64_t part = 0; part < 2; part++) {
        const struct store_value values[] = {store_integer(*(int64_t *)arg), store_integer(part),
                                             store_blob((struct bytes){content, sizeof content})};
        TRY(store_exec(tx, "INSERT INTO item VALUES(?1, ?2, ?3)", values, COUNT_OF(values)));
    }
    return store_exec(tx, "UPDATE count SET items = items + 1", NULL, 0);
}

struct look {
    uint64_t items; /* a bit each, of those whose parts are both there */
    uint64_t rows, counted;
};

static err item_row(void *arg, const struct store_value *columns, size_t count)
{
    struct look *l = arg;
    SIM_CHECK(count == 3 && columns[1].integer == 2 && columns[2].integer == 2 * VALUE_BYTES);
    l->items |= (uint64_t)1 << columns[0].integer;
    l->rows++;
    return OK;
}

static err counted_row(void *arg, const struct store_value *columns, size_t count)
{
    SIM_CHECK(count == 1);
    ((struct look *)arg)->counted = (uint64_t)columns[0].integer;
    return OK;
}

static err look_work(struct store_tx *tx, void *arg)
{
    TRY(store_query(tx, "SELECT id, count(*), sum(length(value)) FROM item GROUP BY id", NULL, 0, item_row, arg));
    return store_query(tx, "SELECT items FROM count", NULL, 0, counted_row, arg);
}

static err check_row(void *arg, const struct store_value *columns, size_t count)
{
    (void)arg;
    SIM_CHECK(count == 1 && columns[0].bytes.len == 2 && memcmp(columns[0].bytes.at, "ok", 2) == 0);
    return OK;
}

static err check_work(struct store_tx *tx, void *arg)
{
    (void)arg;
    return store_query(tx, "PRAGMA integrity_check", NULL, 0, check_row, NULL);
}

/* --- a run of acknowledged writes --- */

struct writing {
    struct store *store;
    unsigned number;
};

static void acknowledged(int64_t id)
{
    sim_note(0, sim_noted(0) | (uint64_t)1 << id);
}

static err writing_fiber(void *arg)
{
    const struct writing *w = arg;
    for (unsigned i = 0; i < WRITES_EACH; i++) {
        int64_t id = w->number * WRITES_EACH + i;
        TRY(store_write(w->store, put_work, &id, sizeof id, SOON));
        acknowledged(id);
    }
    return OK;
}

static err write_all(struct store *s)
{
    struct writing w[WRITERS];
    struct group g;
    err e = OK;
    group_open(&g, TASK_BACKUP);
    for (unsigned i = 0; e == OK && i < WRITERS; i++) {
        w[i] = (struct writing){s, i};
        e = group_spawn(&g, "writing", writing_fiber, &w[i]);
    }
    if (e == OK)
        e = group_join(&g, SOON);
    group_close(&g);
    return e;
}

static err run_writes(void *arg)
{
    struct store *s = NULL;
    (void)arg;
    TRY(store_open("/data", &schema, SOON, &s));
    err e = write_all(s);
    store_close(s, SOON);
    return e;
}

/* The next boot. */
static err look_after(void *arg)
{
    struct store *s = NULL;
    struct look l = {0};
    (void)arg;
    SIM_CHECK_ERR(store_open("/data", &schema, SOON, &s), OK);
    SIM_CHECK_ERR(store_read(s, look_work, &l, sizeof l, SOON), OK);
    SIM_CHECK_ERR(store_read(s, check_work, NULL, 0, SOON), OK);
    SIM_CHECK((l.items & sim_noted(0)) == sim_noted(0));
    SIM_CHECK(l.rows == l.counted);
    int64_t more = 62;
    SIM_CHECK_ERR(store_write(s, put_work, &more, sizeof more, SOON), OK);
    store_close(s, SOON);
    return OK;
}

static void reboot_writes(void *arg, bool ended, err result)
{
    SIM_CHECK(!ended || result == OK);
    sim_boot(sim_metrics_boot);
    SIM_CHECK_ERR(sim_loop(look_after, arg), OK);
}

/* Long enough for the WAL to be written back and begun anew, twice. */
static err run_long(void *arg)
{
    struct store *s = NULL;
    (void)arg;
    TRY(store_open("/data", &schema, SOON, &s));
    for (int64_t id = 0; id < LONG_WRITES; id++) {
        SIM_CHECK_ERR(store_write(s, put_work, &id, sizeof id, SOON), OK);
        acknowledged(id);
    }
    uint8_t any;
    size_t wal_bytes;
    SIM_CHECK(sim_disk_get("/data/holdfast.db-wal", &any, 1, &wal_bytes) && wal_bytes < 300 * 4120);
    store_close(s, SOON);
    return OK;
}

/* --- a full disk: at every place of the WAL, and of the database when it is written back --- */

static err room_work(struct store_tx *tx, void *arg)
{
    uint64_t *room = arg, all;
    (void)tx;
    return os_space("/data", room, &all);
}

static void only_acknowledged(struct store *s)
{
    struct look l = {0};
    SIM_CHECK_ERR(store_read(s, look_work, &l, sizeof l, SOON), OK);
    SIM_CHECK(l.items == sim_noted(0) && l.rows == l.counted);
}

static err run_full(void *arg)
{
    struct store *s = NULL;
    int64_t id = 0;
    uint64_t room;
    (void)arg;
    SIM_CHECK_ERR(store_open("/data", &schema, SOON, &s), OK);
    for (unsigned step = 0; step < 12; step++) {
        err e = OK;
        SIM_CHECK_ERR(store_read(s, room_work, &room, sizeof room, SOON), OK);
        sim.disk_bytes = sim.disk_bytes - room + step * 4096;
        for (int64_t n = 0; n < 20 && e == OK; n++, id += e == OK) {
            e = store_write(s, put_work, &id, sizeof id, SOON);
            if (e == OK)
                acknowledged(id);
        }
        SIM_CHECK_ERR(e, E_NOSPACE);
        only_acknowledged(s);
        if (step % 4 == 3) { /* closed and opened while it is full */
            store_close(s, SOON);
            SIM_CHECK_ERR(store_open("/data", &schema, SOON, &s), OK);
            only_acknowledged(s);
        }
        sim.disk_bytes = MIB(48);
        SIM_CHECK_ERR(store_write(s, put_work, &id, sizeof id, SOON), OK);
        acknowledged(id++);
    }
    only_acknowledged(s);
    store_close(s, SOON);
    return OK;
}

/* --- each fallible call fails once --- */

/* After a fault nothing else fails, and what failed has left nothing. */
static err run_faults(void *arg)
{
    struct store *s = NULL;
    (void)arg;
    err e = store_open("/data", &schema, SOON, &s);
    for (int64_t id = 0; e == OK && id < 2; id++) {
        e = store_write(s, put_work, &id, sizeof id, SOON);
        if (e == OK)
            acknowledged(id);
    }
    store_close(s, SOON);
    bool over = sim_fault_name() != NULL;
    struct look l = {0};
    SIM_CHECK(e == OK || over);
    err again = store_open("/data", &schema, SOON, &s);
    SIM_CHECK(again == OK || !over);
    if (again == OK) {
        again = store_read(s, look_work, &l, sizeof l, SOON);
        SIM_CHECK(again != OK || (l.items == sim_noted(0) && l.rows == l.counted));
        SIM_CHECK(again == OK || !over);
        store_close(s, SOON);
    }
    return e != OK ? e : again;
}

/* An error is told, or the fault was one that the library does without. */
static void check_faults(void *arg, err result)
{
    (void)arg;
    SIM_CHECK(result == OK || sim_fault_name() != NULL);
}

/* --- a disk that sticks --- */

static err run_stuck(void *arg)
{
    struct store *s = NULL;
    (void)arg;
    sim_stick_job(1 + (unsigned)sim_draw(8), SECONDS(50));
    ms began = loop_now();
    err e = store_open("/data", &schema, loop_now() + SECONDS(10), &s);
    for (int64_t id = 0; e == OK && id < 8; id++)
        e = store_write(s, put_work, &id, sizeof id, loop_now() + SECONDS(10));
    SIM_CHECK(e == OK || e == E_TIMEOUT || e == E_BUSY);
    store_close(s, loop_now() + SECONDS(10));
    SIM_CHECK(loop_now() - began < SECONDS(70)); /* two deadlines, and the 30 s of a commit */
    return fiber_sleep(loop_now() + SECONDS(100));
}

/* And comes back while the store is open: what timed out is there or not, what comes next is. */
static err run_recovers(void *arg)
{
    struct store *s = NULL;
    struct look l = {0};
    int64_t id = 0;
    (void)arg;
    SIM_CHECK_ERR(store_open("/data", &schema, SOON, &s), OK);
    sim_stick_job(1 + (unsigned)sim_draw(4), SECONDS(20 + (int64_t)sim_draw(60)));
    for (err e = OK; id < 6; id++) {
        e = id % 2 == 0 ? store_write(s, put_work, &id, sizeof id, loop_now() + SECONDS(10))
                        : store_read(s, look_work, &l, sizeof l, loop_now() + SECONDS(10));
        SIM_CHECK(e == OK || e == E_TIMEOUT || e == E_BUSY);
        if (e == OK && id % 2 == 0)
            acknowledged(id);
    }
    TRY(fiber_sleep(loop_now() + SECONDS(120)));
    SIM_CHECK_ERR(store_write(s, put_work, &id, sizeof id, SOON), OK);
    acknowledged(id);
    l = (struct look){0};
    SIM_CHECK_ERR(store_read(s, look_work, &l, sizeof l, SOON), OK);
    SIM_CHECK((l.items & sim_noted(0)) == sim_noted(0) && l.rows == l.counted);
    store_close(s, SOON);
    return OK;
}

static void test_full_disk(void **state)
{
    static const struct sim_case c = {.name = "full", .setup = setup_folder, .run = run_full, .fibers = true};
    (void)state;
    assert_true(sim_seeds(&c, 6));
}

static void test_stuck_disk(void **state)
{
    static const struct sim_case c = {.name = "stuck", .setup = setup_folder, .run = run_stuck, .fibers = true};
    static const struct sim_case back = {.name = "recovers", .setup = setup_folder, .run = run_recovers, .fibers = true};
    (void)state;
    assert_true(sim_seeds(&c, 25));
    assert_true(sim_seeds(&back, 25));
}

static void test_each_fault(void **state)
{
    static const struct sim_case c = {
        .name = "faults", .setup = setup_folder, .run = run_faults, .check = check_faults, .step = 3, .fibers = true};
    (void)state;
    assert_true(sim_each_fault(&c));
}

static void test_power_cuts_of_a_long_run(void **state)
{
    static const struct sim_case c = {
        .name = "long", .setup = setup_folder, .run = run_long, .reboot = reboot_writes, .step = 61, .fibers = true};
    (void)state;
    assert_true(sim_each_power_cut(&c));
}

static void test_power_cuts(void **state)
{
    static const struct sim_case c = {
        .name = "store", .setup = setup_folder, .run = run_writes, .reboot = reboot_writes, .fibers = true};
    (void)state;
    assert_true(sim_each_power_cut(&c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_stuck_disk),
        cmocka_unit_test(test_each_fault),
        cmocka_unit_test(test_power_cuts),
        cmocka_unit_test(test_power_cuts_of_a_long_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
