/* The spool on a full disk and on one that sticks, against the model; and what still waits in old files when they go. */
#include "tests/sim/sim.h"
#include "tests/sim/sim_backup.h"
#include "tests/sim/spool_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* --- a full disk: told, nothing of what was taken is lost, and cleared it works again --- */

static err run_full(void *arg)
{
    struct life *l = calloc(1, sizeof *l);
    struct look *k = calloc(1, sizeof *k);
    (void)arg;
    SIM_CHECK(l && k);
    SIM_CHECK_ERR(model_open("/data/spool", &l->s), OK);
    SIM_CHECK_ERR(model_live(l, 60), OK);
    SIM_CHECK_ERR(model_flush(l), OK);
    sim.disk_bytes = KIB(4) + sim_draw(KIB(64));
    err e = model_live(l, 200);
    SIM_CHECK(e == OK || e == E_NOSPACE);
    e = spool_flush(l->s, SOON);
    SIM_CHECK(e == OK || e == E_NOSPACE);
    sim.disk_bytes = MIB(48);
    SIM_CHECK_ERR(model_flush(l), OK);
    model_told(l);
    spool_close(l->s, SOON);
    SIM_CHECK_ERR(model_open("/data/spool", &l->s), OK);
    model_law(l, k, spool_model->committed);
    spool_close(l->s, SOON);
    model_end();
    free(k);
    free(l);
    return OK;
}

static void test_full_disk(void **state)
{
    (void)state;
    struct sim_case c = {.name = "full", .setup = model_setup, .run = run_full, .fibers = true};
    assert_true(sim_seeds(&c, 12));
}

/* --- a disk that sticks for a while: nothing hangs, nothing is lost --- */

static err run_stuck(void *arg)
{
    struct life *l = calloc(1, sizeof *l);
    struct look *k = calloc(1, sizeof *k);
    (void)arg;
    SIM_CHECK(l && k);
    SIM_CHECK_ERR(model_open("/data/spool", &l->s), OK);
    sim_stick_job(1 + (unsigned)sim_draw(8), SECONDS(20 + (int64_t)sim_draw(60)));
    ms began = loop_now();
    for (unsigned i = 0; i < 60; i++) {
        err e = model_op(l);
        SIM_CHECK(e == OK || e == E_TIMEOUT || e == E_BUSY);
        model_told(l);
    }
    SIM_CHECK(loop_now() - began < MINUTES(20));
    for (unsigned i = 0; i < 4 && model_flush(l) != OK; i++) /* one job sticks, it may be this one */
        SIM_CHECK_ERR(fiber_sleep(loop_now() + SECONDS(100)), OK);
    SIM_CHECK_ERR(model_flush(l), OK);
    model_told(l);
    spool_close(l->s, SOON);
    err e = model_open("/data/spool", &l->s);
    if (e == E_TIMEOUT) { /* it was this one */
        SIM_CHECK_ERR(fiber_sleep(loop_now() + SECONDS(100)), OK);
        e = model_open("/data/spool", &l->s);
    }
    SIM_CHECK_ERR(e, OK);
    sim_stick_job(0, 0); /* too few jobs came for it to be one of them */
    model_law(l, k, spool_model->events);
    spool_close(l->s, SOON);
    model_end();
    free(k);
    free(l);
    return OK;
}

static void test_stuck_disk(void **state)
{
    (void)state;
    struct sim_case c = {.name = "stuck", .setup = model_setup, .run = run_stuck, .fibers = true};
    assert_true(sim_seeds(&c, 12));
}

/* --- old files go: what still waits in them is written again, and keeps its place; so is the note --- */

#define STAY  8
#define CHURN 90 /* of 3,000 bytes: more than all files may have */
#define NOTE  "what was believed then"

static err churn(struct spool *s, unsigned count)
{
    static uint8_t body[BODY_MAX];
    uint8_t key[SPOOL_KEY_BYTES] = {STAY + 1};
    struct spool_record r;
    uint64_t seq;
    for (unsigned i = 0; i < count; i++) {
        TRY(spool_append(s, key, SPOOL_MODIFIED, (struct bytes){body, sizeof body}, SOON, &seq));
        TRY(spool_flush(s, SOON));
        TRY(spool_next(s, body, sizeof body, SOON, &r));
        SIM_CHECK(r.key[0] == STAY + 1);
        spool_done(s, r.place);
    }
    return spool_flush(s, SOON);
}

/* All that stay are taken, in their order, and held. */
static err take_those_that_stay(struct spool *s)
{
    struct spool_record r;
    uint8_t body[4];
    for (uint8_t n = 1; n <= STAY; n++) {
        TRY(spool_next(s, body, sizeof body, SOON, &r));
        SIM_CHECK(r.key[0] == n && r.bytes == 1 && body[0] == n && r.type == SPOOL_ADDED);
    }
    return OK;
}

static err run_old_files(void *arg)
{
    struct spool *s = NULL;
    struct spool_stats stats;
    uint64_t seq;
    (void)arg;
    err e = model_open("/data/spool", &s);
    for (uint8_t n = 1; e == OK && n <= STAY; n++)
        e = spool_append(s, (const uint8_t[SPOOL_KEY_BYTES]){n}, SPOOL_ADDED, (struct bytes){&n, 1}, SOON, &seq);
    if (e == OK)
        e = spool_note_set(s, bytes_of(NOTE));
    if (e == OK)
        e = spool_flush(s, SOON);
    sim_note(0, e == OK);
    if (e == OK)
        e = take_those_that_stay(s);
    if (e == OK)
        e = churn(s, CHURN);
    spool_look(s, &stats);
    SIM_CHECK(stats.moved >= 2 * STAY && stats.bytes < KIB(160)); /* more than once */
    spool_close(s, SOON);
    model_end();
    return e;
}

static err look_at_old_files(void *arg)
{
    uint8_t body[BODY_MAX];
    struct spool_record r;
    (void)arg;
    for (unsigned times = 0; times < 3; times++) {
        struct spool *s = NULL;
        SIM_CHECK_ERR(model_open("/data/spool", &s), OK);
        SIM_CHECK(!spool_lost(s) && bytes_equal_text(spool_note_get(s), NOTE));
        SIM_CHECK_ERR(take_those_that_stay(s), OK);
        while (spool_next(s, body, sizeof body, 0, &r) == OK) {
            SIM_CHECK(r.key[0] == STAY + 1);
            spool_done(s, r.place);
        }
        SIM_CHECK_ERR(churn(s, CHURN / 3), OK);
        spool_close(s, SOON);
    }
    model_end();
    return OK;
}

static void reboot_old_files(void *arg, bool ended, err result)
{
    SIM_CHECK(!ended || result == OK);
    sim_boot(sim_metrics_boot);
    if (sim_noted(0))
        SIM_CHECK_ERR(sim_loop(look_at_old_files, arg), OK);
}

static void test_old_files_go(void **state)
{
    (void)state;
    struct sim_case c = {
        .name = "old files", .setup = model_setup, .run = run_old_files, .reboot = reboot_old_files, .fibers = true, .step = 7};
    assert_true(sim_each_power_cut(&c));
}

int main(void)
{
    spool_model = sim_shared(sizeof *spool_model);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_stuck_disk),
        cmocka_unit_test(test_old_files_go),
    };
    return cmocka_run_group_tests_name("spool, its disk", tests, NULL, NULL);
}
