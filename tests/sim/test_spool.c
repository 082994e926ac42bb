/* The spool under every power cut and single faults, against the model. */
#include "tests/sim/sim.h"
#include "tests/sim/sim_backup.h"
#include "tests/sim/spool_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define LIVES 3

/* The next boot: it holds, and so it does for what is done then. */
static err look_after(void *arg)
{
    struct life *l = calloc(1, sizeof *l);
    struct look *k = calloc(2, sizeof *k);
    (void)arg;
    SIM_CHECK(l && k);
    SIM_CHECK_ERR(model_open("/data/spool", &l->s), OK);
    model_law(l, &k[0], spool_model->committed);
    model_new_page();
    SIM_CHECK_ERR(model_live(l, 40), OK);
    SIM_CHECK_ERR(model_flush(l), OK);
    spool_close(l->s, SOON);
    SIM_CHECK_ERR(model_open("/data/spool", &l->s), OK);
    model_law(l, &k[1], spool_model->events);
    spool_close(l->s, SOON);
    model_end();
    free(k);
    free(l);
    return OK;
}

static void reboot(void *arg, bool ended, err result)
{
    SIM_CHECK(!ended || result == OK);
    sim_boot(sim_metrics_boot);
    SIM_CHECK_ERR(sim_loop(look_after, arg), OK);
}

static err run_short(void *arg)
{
    for (unsigned i = 0; i < *(const unsigned *)arg; i++)
        (void)sim_draw(2); /* other dice */
    return model_life(150);
}

static err run_long(void *arg)
{
    (void)arg;
    return model_life(600);
}

static void test_power_cut(void **state)
{
    (void)state;
    for (unsigned dice = 0; dice < LIVES; dice++) {
        struct sim_case c = {.name = "power", .setup = model_setup, .run = run_short, .reboot = reboot, .fibers = true};
        c.arg = &dice;
        assert_true(sim_each_power_cut(&c));
    }
}

static void test_power_cut_long(void **state)
{
    (void)state;
    unsigned dice = LIVES;
    struct sim_case c = {.name = "long", .setup = model_setup, .run = run_long, .reboot = reboot, .fibers = true, .step = 11};
    c.arg = &dice;
    assert_true(sim_each_power_cut(&c));
}

/* --- each fallible call fails once: what was refused is not in it, all else is --- */

/* After a fault nothing else fails; the next boot has all that was told durable. */
static err faults_look(struct life *l)
{
    struct look *k = calloc(1, sizeof *k);
    err e = k ? model_open("/data/spool", &l->s) : E_BUDGET;
    if (e == OK && sim_fault_name()) {
        l->outs = 0;
        model_law(l, k, spool_model->committed);
        model_new_page();
        e = model_live(l, 20);
    }
    if (e == OK)
        spool_close(l->s, SOON);
    free(k);
    return e;
}

static err run_faults(void *arg)
{
    struct life *l = calloc(1, sizeof *l);
    (void)arg;
    err e = l ? model_open("/data/spool", &l->s) : E_BUDGET;
    bool open = e == OK;
    for (unsigned i = 0; open && i < 60; i++) {
        err one = model_op(l);
        e = e == OK ? one : e;
        model_told(l);
    }
    if (open)
        spool_close(l->s, SOON);
    if (open) {
        err one = faults_look(l);
        e = e == OK ? one : e;
    }
    model_end();
    free(l);
    return e;
}

static void check_faults(void *arg, err result)
{
    (void)arg;
    SIM_CHECK(result == OK || sim_fault_name() != NULL);
}

static void test_each_fault(void **state)
{
    (void)state;
    struct sim_case c = {.name = "fault", .setup = model_setup, .run = run_faults, .check = check_faults, .fibers = true};
    assert_true(sim_each_fault(&c));
}

int main(void)
{
    spool_model = sim_shared(sizeof *spool_model);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power_cut),
        cmocka_unit_test(test_power_cut_long),
        cmocka_unit_test(test_each_fault),
    };
    return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
