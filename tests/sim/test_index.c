/* The index while its disk fails, is full or sticks: what it says it has is true, and it says so when something is missing. */
#include "agents/ingest/index.h"
#include "board/rt/fiber.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_backup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS   8
#define SOON    (loop_now() + SECONDS(20))
#define OBJECTS 400
#define ENTRIES 512
#define TURNS   3 /* each fills more than the 256 KiB from which on a file is compacted */
#define STICKS  SECONDS(60)

static struct world {
    struct lane lane;
    struct index *x;
    bool in_it[OBJECTS];
    unsigned gone;
    err first; /* error that was told */
} w;

static void setup(void *arg)
{
    (void)arg;
    memset(&w, 0, sizeof w);
    sim_boot(sim_metrics_boot);
    sim_disk_folder("/data");
}

struct object {
    char text[1024];
    struct info_names names;
    uint8_t key[INDEX_KEY_BYTES];
};

static void object_make(struct object *o, unsigned n)
{
    int length = snprintf(o->text, sizeof o->text, "%u %0*u", n, (int)(500 + n), n);
    o->names = (struct info_names){.uid = {(const uint8_t *)o->text, (size_t)length}};
    index_key(INGEST_POD, o->names.uid, o->key);
}

/* An error loses at most everything, and that is told: index_is_whole(). */
static void told(err e)
{
    if (e == OK)
        return;
    w.first = w.first == OK ? e : w.first;
    trail_clear();
    SIM_CHECK(!index_is_whole(w.x));
    if (index_count(w.x, INGEST_POD) == 0) /* it was cleared */
        memset(w.in_it, 0, sizeof w.in_it);
}

static void put(unsigned n)
{
    struct object o;
    enum index_was was = INDEX_SAME;
    object_make(&o, n);
    err e = index_put(w.x, INGEST_POD, o.key, n, &o.names, SOON, &was);
    SIM_CHECK(was == (w.in_it[n] ? INDEX_SAME : INDEX_NEW));
    if (e == OK)
        w.in_it[n] = true;
    told(e);
}

static void take_away(unsigned n)
{
    struct object o;
    object_make(&o, n);
    SIM_CHECK(index_remove(w.x, INGEST_POD, o.key) == w.in_it[n]);
    w.in_it[n] = false;
}

static unsigned count(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < OBJECTS; i++)
        n += w.in_it[i];
    return n;
}

static err take_gone(void *arg, enum ingest_kind kind, const uint8_t key[INDEX_KEY_BYTES], const struct info_names *names)
{
    unsigned n = OBJECTS;
    struct object o;
    (void)arg;
    SIM_CHECK(kind == INGEST_POD && sscanf((const char *)names->uid.at, "%u ", &n) == 1 && n < OBJECTS);
    object_make(&o, n);
    SIM_CHECK(names->uid.len == o.names.uid.len && memcmp(names->uid.at, o.names.uid.at, names->uid.len) == 0);
    SIM_CHECK(memcmp(key, o.key, sizeof o.key) == 0 && w.in_it[n] && n % 5 != 0);
    w.in_it[n] = false;
    w.gone++;
    return OK;
}

/* All come, some go, some are listed; the rest is told to be gone, or it stays. */
static err turn(void)
{
    for (unsigned n = 0; n < OBJECTS; n++) {
        put(n);
        if (n % 3 == 1)
            take_away(n);
        SIM_CHECK(index_count(w.x, INGEST_POD) == count());
    }
    index_list_begin(w.x, INGEST_POD);
    for (unsigned n = 0; n < OBJECTS; n += 5)
        put(n);
    err e = index_list_end(w.x, INGEST_POD, take_gone, NULL, SOON);
    SIM_CHECK(index_count(w.x, INGEST_POD) == count());
    if (e != OK) {
        w.first = w.first == OK ? e : w.first;
        trail_clear();
        e = index_list_end(w.x, INGEST_POD, take_gone, NULL, loop_now() + 2 * STICKS);
    }
    for (unsigned n = 0; e == OK && n < OBJECTS; n++)
        SIM_CHECK(!w.in_it[n] || n % 5 == 0);
    return e;
}

static err run(void *arg)
{
    (void)arg;
    lane_open(&w.lane, "index", TASK_BOARD, 2);
    err e = index_open("/data", &w.lane, ENTRIES, &w.x);
    for (unsigned i = 0; e == OK && i < TURNS; i++)
        e = turn();
    bool was_open = w.x != NULL;
    if (w.first == E_TIMEOUT || w.first == E_BUSY)
        err_ignore(fiber_sleep(loop_now() + 2 * STICKS));
    index_close(w.x, SOON);
    lane_close(&w.lane);
    SIM_CHECK(sim_fault_name() || !was_open || sim_disk_names("/data") == 0);
    return e == OK ? w.first : e;
}

static void check_faults(void *arg, err result)
{
    (void)arg;
    SIM_CHECK(sim_fault_name() || (result == OK && w.gone > OBJECTS / 2));
}

static void setup_full(void *arg)
{
    setup(arg);
    sim.disk_bytes = KIB(64) + sim_draw(KIB(256));
}

static void check_full(void *arg, err result)
{
    (void)arg;
    SIM_CHECK_ERR(result, E_NOSPACE);
}

/* A job that sticks is waited for 20 s; the file that it made meanwhile is nobody's, and is closed. */
static void setup_stuck(void *arg)
{
    setup(arg);
    sim_stick_job(1 + (unsigned)sim_draw(40), STICKS);
}

static void check_stuck(void *arg, err result)
{
    (void)arg;
    SIM_CHECK(result == OK || result == E_TIMEOUT || result == E_BUSY);
}

static void no_world_breaks_it(void **state)
{
    struct sim_case c = {.name = "index", .setup = setup, .run = run, .check = check_faults, .fibers = true};
    (void)state;
    assert_true(sim_seeds(&c, 2));
}

static void each_call_fails_once(void **state)
{
    struct sim_case c = {.name = "index", .setup = setup, .run = run, .check = check_faults, .fibers = true, .step = 7};
    (void)state;
    assert_true(sim_each_fault(&c));
}

static void a_full_disk(void **state)
{
    struct sim_case c = {.name = "full", .setup = setup_full, .run = run, .check = check_full, .fibers = true};
    (void)state;
    assert_true(sim_seeds(&c, SEEDS));
}

static void a_stuck_disk(void **state)
{
    struct sim_case c = {.name = "stuck", .setup = setup_stuck, .run = run, .check = check_stuck, .fibers = true};
    (void)state;
    assert_true(sim_seeds(&c, 3 * SEEDS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_world_breaks_it),
        cmocka_unit_test(each_call_fails_once),
        cmocka_unit_test(a_full_disk),
        cmocka_unit_test(a_stuck_disk),
    };
    return cmocka_run_group_tests_name("index", tests, NULL, NULL);
}
