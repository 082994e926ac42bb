/* The snapshot's file: what was added and nothing taken back is in it, or it has no length; whatever the disk does. */
#include "agents/ingest/snapshot_file.h"
#include "tests/sim/sim.h"

#include "board/rt/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS     8
#define PATH      "/data/snapshot.json"
#define PODS      400
#define INFO_MAX  800
#define WHOLE_MAX KIB(256)
#define WAIT      (loop_now() + SECONDS(10))

static const struct envelope envelope = {.cluster_uid = "c", .cluster_name = "n", .agent_version = "v"};
static char wanted[WHOLE_MAX], got[WHOLE_MAX];
static size_t wanted_bytes;

static struct bytes info(unsigned n)
{
    static char text[INFO_MAX];
    int len = snprintf(text, sizeof text, "{\"n\":%u,\"x\":\"%0*u\"}", n, (int)(n * 37 % 700), n);
    return (struct bytes){(const uint8_t *)text, (size_t)len};
}

/* What write_all() leaves, written down in another way. */
static void want(void)
{
    struct text t = text_over(wanted, sizeof wanted);
    text_add(&t, "{\"cluster_uid\":\"c\",\"cluster_name\":\"n\",\"agent_version\":\"v\"");
    for (unsigned k = 0; k < INGEST_KIND_COUNT; k++) {
        unsigned count = k == INGEST_POD ? PODS : k == INGEST_SERVICE || k == INGEST_ROLE ? 1 : 0;
        text_addf(&t, ",\"%s\":[", ingest_kinds[k].snapshot_key);
        for (unsigned n = 0; n < count; n++) {
            text_add(&t, n ? "," : "");
            text_add_bytes(&t, info(n));
        }
        text_add(&t, "]");
    }
    text_add(&t, "}");
    ASSERT(!t.cut);
    wanted_bytes = t.len;
}

static void setup(void *arg)
{
    (void)arg;
    want();
    sim_disk_folder("/data");
    sim_disk_put(PATH, (struct bytes){(const uint8_t *)"of an earlier life", 18});
}

static err add(struct snapshot_file *f, unsigned from, unsigned count)
{
    for (unsigned n = from; n < from + count; n++)
        TRY(snapshot_file_add(f, info(n), WAIT));
    return OK;
}

/* A kind is listed again: over what is in the file already, over what is still in the buffer, and over nothing. */
static err write_all(struct snapshot_file *f)
{
    TRY(snapshot_file_begin(f, &envelope, WAIT));
    TRY(snapshot_file_kind(f, INGEST_NAMESPACE, WAIT));
    TRY(snapshot_file_kind(f, INGEST_POD, WAIT));
    TRY(add(f, 7, PODS));
    TRY(snapshot_file_kind(f, INGEST_POD, WAIT));
    TRY(add(f, 0, PODS));
    TRY(snapshot_file_kind(f, INGEST_SERVICE, WAIT));
    TRY(add(f, 3, 2));
    TRY(snapshot_file_kind(f, INGEST_SERVICE, WAIT));
    TRY(add(f, 0, 1));
    TRY(snapshot_file_kind(f, INGEST_NODE, WAIT));
    TRY(snapshot_file_kind(f, INGEST_NODE, WAIT));
    TRY(snapshot_file_kind(f, INGEST_ROLE, WAIT)); /* those between are empty */
    TRY(add(f, 0, 1));
    return snapshot_file_finish(f, WAIT);
}

/* Its length and what lies on the disk agree. */
static void is_whole(const struct snapshot_file *f)
{
    size_t len;
    SIM_CHECK(snapshot_file_bytes(f) == wanted_bytes);
    SIM_CHECK(sim_disk_get(snapshot_file_path(f), got, sizeof got, &len) && len == wanted_bytes);
    SIM_CHECK(memcmp(got, wanted, len) == 0);
}

/* Failed: nothing more is written, told each time; a new beginning is as if it had not been. */
static void begins_anew(struct snapshot_file *f)
{
    SIM_CHECK(snapshot_file_bytes(f) == 0);
    SIM_CHECK(snapshot_file_kind(f, INGEST_EVENT, WAIT) != OK);
    SIM_CHECK(snapshot_file_add(f, info(0), WAIT) != OK);
    SIM_CHECK(snapshot_file_finish(f, WAIT) != OK);
    SIM_CHECK(snapshot_file_bytes(f) == 0);
    SIM_CHECK_ERR(write_all(f), OK);
    is_whole(f);
}

static err use(struct snapshot_file *f)
{
    err e = write_all(f);
    if (e == OK) {
        is_whole(f);
        e = write_all(f); /* the next one, over it */
    }
    if (e == OK)
        is_whole(f);
    else
        begins_anew(f);
    return e;
}

static err run_file(void *arg)
{
    struct lane lane;
    struct snapshot_file *f = NULL;
    (void)arg;
    lane_open(&lane, "ingest", TASK_INGEST, 2);
    err e = snapshot_file_open(PATH, &lane, WHOLE_MAX, &f);
    if (e == OK) {
        SIM_CHECK(sim_disk_names("/data") == 0);
        e = use(f);
    }
    snapshot_file_close(f, WAIT);
    lane_close(&lane);
    return e;
}

static void check_file(void *arg, err result)
{
    (void)arg;
    /* A fault of the removal at the end leaves the file, for the next open. */
    SIM_CHECK(sim_fault_name() || result == OK);
    SIM_CHECK(sim_disk_names("/data") == 0 || sim_fault_name());
}

/* --- the bound --- */
static err run_bound(void *arg)
{
    struct lane lane;
    struct snapshot_file *f = NULL;
    (void)arg;
    lane_open(&lane, "ingest", TASK_INGEST, 2);
    const uint64_t bounds[] = {wanted_bytes + 7 * INFO_MAX, 0, 1, 50, wanted_bytes / 2, wanted_bytes - 1};
    for (unsigned i = 0; i < COUNT_OF(bounds); i++) {
        SIM_CHECK_ERR(snapshot_file_open(PATH, &lane, bounds[i], &f), OK);
        SIM_CHECK_ERR(write_all(f), i == 0 ? OK : E_RANGE);
        SIM_CHECK(snapshot_file_bytes(f) == (i == 0 ? wanted_bytes : 0));
        snapshot_file_close(f, WAIT);
        SIM_CHECK(sim_disk_names("/data") == 0);
        trail_clear();
    }
    lane_close(&lane);
    return OK;
}

/* Exactly as long as it may be. */
static err run_brim(void *arg)
{
    struct lane lane;
    struct snapshot_file *f = NULL;
    struct text t = text_over(got, sizeof got);
    (void)arg;
    lane_open(&lane, "ingest", TASK_INGEST, 2);
    SIM_CHECK_ERR(envelope_snapshot_head(&envelope, &t), OK);
    for (unsigned k = 0; k < INGEST_KIND_COUNT; k++)
        text_addf(&t, ",\"%s\":[]", ingest_kinds[k].snapshot_key);
    for (uint64_t bound = t.len; bound <= t.len + 1; bound++) {
        SIM_CHECK_ERR(snapshot_file_open(PATH, &lane, bound, &f), OK);
        SIM_CHECK_ERR(snapshot_file_begin(f, &envelope, WAIT), OK);
        err e = snapshot_file_finish(f, WAIT); /* the bracket is one byte more */
        SIM_CHECK_ERR(e, bound == t.len ? E_RANGE : OK);
        SIM_CHECK(snapshot_file_bytes(f) == (e == OK ? bound : 0));
        snapshot_file_close(f, WAIT);
        trail_clear();
    }
    lane_close(&lane);
    return OK;
}

/* --- the disk is full, then not; it sticks, then not --- */
static err run_full(void *arg)
{
    struct lane lane;
    struct snapshot_file *f = NULL;
    (void)arg;
    lane_open(&lane, "ingest", TASK_INGEST, 2);
    SIM_CHECK_ERR(snapshot_file_open(PATH, &lane, WHOLE_MAX, &f), OK);
    sim.disk_bytes = KIB(20);
    SIM_CHECK_ERR(write_all(f), E_NOSPACE);
    sim.disk_bytes = MIB(4);
    begins_anew(f);
    snapshot_file_close(f, WAIT);
    lane_close(&lane);
    trail_clear();
    return OK;
}

static err run_stuck(void *arg)
{
    struct lane lane;
    struct snapshot_file *f = NULL;
    (void)arg;
    lane_open(&lane, "ingest", TASK_INGEST, 2);
    SIM_CHECK_ERR(snapshot_file_open(PATH, &lane, WHOLE_MAX, &f), OK);
    sim_stick_job(1 + (unsigned)sim_draw(3), SECONDS(30));
    SIM_CHECK_ERR(write_all(f), E_TIMEOUT);
    SIM_CHECK_ERR(snapshot_file_begin(f, &envelope, WAIT), E_BUSY);
    TRY(fiber_sleep(loop_now() + SECONDS(40)));
    begins_anew(f);
    if (sim_chance(500)) { /* closed while it sticks: the thread's last look frees it */
        sim_stick_job(1, SECONDS(30));
        SIM_CHECK_ERR(write_all(f), E_TIMEOUT);
    }
    snapshot_file_close(f, WAIT);
    TRY(fiber_sleep(loop_now() + SECONDS(60)));
    lane_close(&lane);
    trail_clear();
    return OK;
}

static void check_good(void *arg, err result)
{
    (void)arg;
    SIM_CHECK_ERR(result, OK);
}

static const struct sim_case file_case = {.name = "file", .setup = setup, .run = run_file, .check = check_file, .fibers = true};
static const struct sim_case bound_case = {
    .name = "bound", .setup = setup, .run = run_bound, .check = check_good, .fibers = true};
static const struct sim_case brim_case = {.name = "brim", .setup = setup, .run = run_brim, .check = check_good, .fibers = true};
static const struct sim_case full_case = {.name = "full", .setup = setup, .run = run_full, .check = check_good, .fibers = true};
static const struct sim_case stuck_case = {
    .name = "stuck", .setup = setup, .run = run_stuck, .check = check_good, .fibers = true};

#define JUDGED(name, judgement)                                                                                                  \
    static void test_##name(void **state)                                                                                        \
    {                                                                                                                            \
        (void)state;                                                                                                             \
        assert_true(judgement);                                                                                                  \
    }
JUDGED(file, sim_seeds(&file_case, SEEDS))
JUDGED(file_each_fault, sim_each_fault(&file_case))
JUDGED(bound, sim_seeds(&bound_case, SEEDS))
JUDGED(brim, sim_seeds(&brim_case, 1))
JUDGED(full_disk, sim_seeds(&full_case, SEEDS))
JUDGED(stuck_disk, sim_seeds(&stuck_case, 2 * SEEDS))

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file), cmocka_unit_test(test_file_each_fault), cmocka_unit_test(test_bound),
        cmocka_unit_test(test_brim), cmocka_unit_test(test_full_disk),       cmocka_unit_test(test_stuck_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
