#include "board/rt/mem.h"
#include "board/rt/metric.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/skip.h"
#include <cmocka.h>

#define LABEL(value) ((const char *const[]){(value)})

/* --- what is written; first, while the registry holds nothing else --- */
static struct family build = {
    .name = "holdfast_build_info", .help = "What runs.", .type = METRIC_INFO, .labels = {"version", "arch"}};
static struct family bytes = {
    .name = "holdfast_test_size_bytes", .help = "A \"size\",\nin \\ bytes.", .type = METRIC_GAUGE, .labels = {"task"}};
static struct family total = {.name = "holdfast_test_runs_total", .help = "Runs.", .type = METRIC_COUNTER, .sampled = true};

static const char prometheus[] =
    "# HELP holdfast_build_info What runs.\n"
    "# TYPE holdfast_build_info gauge\n"
    "holdfast_build_info{version=\"1.0\",arch=\"x86_64\"} 1\n"
    "# HELP holdfast_metric_series_refused_total Label sets that found no series left in the profile.\n"
    "# TYPE holdfast_metric_series_refused_total counter\n"
    "holdfast_metric_series_refused_total 0\n"
    "# HELP holdfast_test_size_bytes A \"size\",\\nin \\\\ bytes.\n"
    "# TYPE holdfast_test_size_bytes gauge\n"
    "holdfast_test_size_bytes{task=\"backup\"} 1048608\n"
    "holdfast_test_size_bytes{task=\"a\\\"b\\\\c\\nd\"} NaN\n"
    "holdfast_test_size_bytes{task=\"up\"} +Inf\n"
    "holdfast_test_size_bytes{task=\"?x\"} 0.041\n"
    "# HELP holdfast_test_runs_total Runs.\n"
    "# TYPE holdfast_test_runs_total counter\n"
    "holdfast_test_runs_total 3\n";
static const char openmetrics[] = "# HELP holdfast_build What runs.\n"
                                  "# TYPE holdfast_build info\n"
                                  "holdfast_build_info{version=\"1.0\",arch=\"x86_64\"} 1\n"
                                  "# HELP holdfast_metric_series_refused Label sets that found no series left in the profile.\n"
                                  "# TYPE holdfast_metric_series_refused counter\n"
                                  "holdfast_metric_series_refused_total 0\n"
                                  "# HELP holdfast_test_size_bytes A \\\"size\\\",\\nin \\\\ bytes.\n"
                                  "# TYPE holdfast_test_size_bytes gauge\n"
                                  "holdfast_test_size_bytes{task=\"backup\"} 1048608\n"
                                  "holdfast_test_size_bytes{task=\"a\\\"b\\\\c\\nd\"} NaN\n"
                                  "holdfast_test_size_bytes{task=\"up\"} +Inf\n"
                                  "holdfast_test_size_bytes{task=\"?x\"} 0.041\n"
                                  "# HELP holdfast_test_runs Runs.\n"
                                  "# TYPE holdfast_test_runs counter\n"
                                  "holdfast_test_runs_total 3\n"
                                  "# EOF\n";

static char *written(enum metric_format format, size_t cap)
{
    static char whole[KIB(256)];
    static char piece[KIB(64)];
    struct metric_cursor cursor = {0};
    whole[0] = 0;
    for (int turns = 0; !cursor.done; turns++) {
        struct text out = text_over(piece, cap);
        metric_write(&cursor, format, &out);
        assert_false(out.cut);
        assert_true(turns < 10000 && (out.len > 0 || cursor.done));
        assert_true(out.len == 0 || piece[out.len - 1] == '\n');
        strcat(whole, piece);
    }
    return whole;
}

static struct series *made(struct family *f, const char *const values[])
{
    struct series *s = NULL;
    assert_int_equal(metric_series(f, values, &s), OK);
    assert_non_null(s);
    return s;
}

static void test_exposition(void **state)
{
    (void)state;
    made(&build, (const char *const[]){"1.0", "x86_64"});
    series_set(made(&bytes, LABEL("backup")), 1048608);
    series_set(made(&bytes, LABEL("a\"b\\c\nd")), (double)NAN);
    series_set(made(&bytes, LABEL("up")), (double)INFINITY);
    series_set(made(&bytes, LABEL("\xFFx")), 0.041);
    series_set(made(&total, NULL), 2);
    series_add(made(&total, NULL), 1);
    assert_string_equal(written(METRIC_PROMETHEUS, KIB(64)), prometheus);
    assert_string_equal(written(METRIC_OPENMETRICS, KIB(64)), openmetrics);
}

/* However small the pieces, the whole is the same. */
static void test_pieces(void **state)
{
    (void)state;
    char whole[KIB(8)];
    strcpy(whole, written(METRIC_OPENMETRICS, KIB(64)));
    for (size_t cap = KIB(1); cap < KIB(1) + 700; cap += 7)
        assert_string_equal(written(METRIC_OPENMETRICS, cap), whole);
}

static void test_promtool(void **state)
{
    (void)state;
    if (system("command -v promtool >/dev/null 2>&1") != 0)
        SKIP_BECAUSE("promtool is not installed");
    FILE *promtool = popen("promtool check metrics >/dev/null 2>&1", "w");
    assert_non_null(promtool);
    fputs(written(METRIC_PROMETHEUS, KIB(64)), promtool);
    assert_int_equal(pclose(promtool), 0);
}

/* --- series --- */
static void test_same_labels_same_series(void **state)
{
    (void)state;
    static struct family f = {.name = "test_same", .help = "h", .type = METRIC_GAUGE, .labels = {"a", "b", "c"}};
    struct series *s = made(&f, (const char *const[]){"1", "2", "3"});
    assert_ptr_equal(s, made(&f, (const char *const[]){"1", "2", "3"}));
    assert_ptr_not_equal(s, made(&f, (const char *const[]){"1", "2", "4"}));
    assert_ptr_not_equal(s, made(&f, (const char *const[]){"1", "2", NULL}));
    series_set(s, 7);
    assert_true(metric_value("test_same", (const char *const[]){"1", "2", "3"}) == 7);
    assert_true(isnan(metric_value("test_same", (const char *const[]){"1", "2", "5"})));
    assert_true(isnan(metric_value("test_other", NULL)));
}

static void test_what_is_gone_is_not_told(void **state)
{
    static struct family size = {
        .name = "holdfast_test_gone_bytes", .help = "Some.", .type = METRIC_GAUGE, .labels = {"destination"}};
    (void)state;
    struct series *first = made(&size, LABEL("first")), *second = made(&size, LABEL("second"));
    series_set(first, 1);
    series_set(second, 2);
    series_drop(first);
    series_drop(NULL);
    assert_null(strstr(written(METRIC_PROMETHEUS, KIB(64)), "\"first\""));
    assert_non_null(strstr(written(METRIC_PROMETHEUS, KIB(64)), "{destination=\"second\"} 2\n"));
    assert_true(isnan(metric_value(size.name, LABEL("first"))));
    assert_ptr_equal(made(&size, LABEL("third")), first); /* its place */
    assert_non_null(strstr(written(METRIC_OPENMETRICS, KIB(64)), "{destination=\"third\"} 0\n"));
    assert_ptr_not_equal(made(&size, LABEL("first")), first);
    assert_ptr_equal(made(&size, LABEL("second")), second);
}

static void test_null_series(void **state)
{
    (void)state;
    series_set(NULL, 1);
    series_add(NULL, 1);
    assert_true(isnan(series_get(NULL)));
    assert_true(isnan(series_rate(NULL, 1000, 0)));
}

static void test_long_label_is_cut_between_characters(void **state)
{
    (void)state;
    static struct family f = {.name = "test_long", .help = "h", .type = METRIC_GAUGE, .labels = {"a"}};
    char value[METRIC_LABEL_BYTES_MAX * 2] = "";
    for (int i = 0; i < 40; i++)
        strcat(value, "\xE2\x82\xAC"); /* 64 is not a multiple of 3 */
    struct series *s = made(&f, LABEL(value));
    const char *line = strstr(written(METRIC_PROMETHEUS, KIB(64)), "test_long{");
    assert_non_null(line);
    assert_int_equal(strcspn(line + strlen("test_long{a=\""), "\""), 63);
    assert_ptr_equal(s, made(&f, LABEL(value)));
}

static enum task payer_seen;
static struct family collected = {.name = "test_collected", .help = "h", .type = METRIC_GAUGE};
static void collect(void)
{
    payer_seen = mem_task();
    series_add(made(&collected, NULL), 1);
}

static void test_collectors(void **state)
{
    (void)state;
    metric_collector(collect);
    metric_collector(collect); /* once is enough */
    mem_set_task(TASK_METRICS);
    metric_collect();
    metric_collect();
    assert_int_equal(payer_seen, TASK_METRICS); /* metric_series() gives the task back */
    mem_set_task(TASK_BOARD);
    assert_true(metric_value("test_collected", NULL) == 2);
}

#define THREADS 4
#define ADDS    5000
static void *adder(void *arg)
{
    for (int i = 0; i < ADDS; i++)
        series_add(arg, 1);
    return NULL;
}

static void test_threads_lose_nothing(void **state)
{
    (void)state;
    static struct family f = {.name = "test_threads_total", .help = "h", .type = METRIC_COUNTER};
    struct series *s = made(&f, NULL);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, adder, s), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_true(series_get(s) == THREADS * ADDS);
}

/* --- rates --- */
#define STEPS_MAX 6
static const struct {
    const char *name;
    enum metric_type type;
    double values[STEPS_MAX]; /* one every 10 s; the rest after the last is not sampled */
    unsigned count;
    ms window_ms;
    double rate; /* NAN: none */
} rates[] = {
    {"nothing yet", METRIC_COUNTER, {0}, 0, SECONDS(60), (double)NAN},
    {"one sample is no rate", METRIC_COUNTER, {5}, 1, SECONDS(60), (double)NAN},
    {"steady", METRIC_COUNTER, {0, 10, 20, 30}, 4, SECONDS(60), 1},
    {"restart from zero", METRIC_COUNTER, {100, 120, 5, 15}, 4, SECONDS(60), 35.0 / 30},
    {"only the window", METRIC_COUNTER, {0, 1000, 1010, 1020}, 4, SECONDS(20), 1},
    {"window with one sample", METRIC_COUNTER, {0, 10}, 2, SECONDS(5), (double)NAN},
    {"a gauge may fall", METRIC_GAUGE, {100, 80, 60}, 3, SECONDS(60), -2},
};

static void test_rates(void **state)
{
    (void)state;
    static struct family families[COUNT_OF(rates)];
    static char names[COUNT_OF(rates)][32];
    ms now = SECONDS(1000);
    for (size_t i = 0; i < COUNT_OF(rates); i++, now += HOURS(1)) {
        snprintf(names[i], sizeof names[i], "test_rate_%zu", i);
        families[i] = (struct family){.name = names[i], .help = "h", .type = rates[i].type, .sampled = true};
        struct series *s = made(&families[i], NULL);
        for (unsigned n = 0; n < rates[i].count; n++) {
            series_set(s, rates[i].values[n]);
            metric_sample(now += SECONDS(10));
        }
        double rate = series_rate(s, rates[i].window_ms, now);
        if (isnan(rates[i].rate) ? !isnan(rate) : fabs(rate - rates[i].rate) > 1e-9)
            fail_msg("%s: %f", rates[i].name, rate);
    }
}

static void test_ring_is_bounded(void **state)
{
    (void)state;
    static struct family f = {.name = "test_ring_total", .help = "h", .type = METRIC_COUNTER, .sampled = true};
    struct series *s = made(&f, NULL);
    unsigned samples = mem_profile()->metric_samples;
    ms now = HOURS(100);
    for (unsigned i = 0; i < samples * 3; i++) { /* 1 a second, then 5 a second for the last turn of the ring */
        series_add(s, i < samples * 2 ? 1 : 5);
        metric_sample(now += SECONDS(1));
    }
    assert_true(series_rate(s, FOREVER, now) == 5);
}

/* Last: it uses the registry up. */
static void test_full_registry_refuses_and_counts(void **state)
{
    (void)state;
    static struct family f = {.name = "test_many", .help = "h", .type = METRIC_GAUGE, .labels = {"n"}};
    char value[16];
    struct series *s = NULL;
    err e = OK;
    unsigned made_count = 0;
    for (; e == OK && made_count <= mem_profile()->metric_series; made_count++) {
        snprintf(value, sizeof value, "%u", made_count);
        e = metric_series(&f, LABEL(value), &s);
    }
    assert_int_equal(e, E_BUDGET);
    assert_null(s);
    assert_true(metric_value("holdfast_metric_series_refused_total", NULL) == 1);
    assert_int_equal(metric_series(&f, LABEL("0"), &s), OK); /* what is there stays */
    assert_non_null(strstr(written(METRIC_OPENMETRICS, KIB(4)), "# EOF\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exposition),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_promtool),
        cmocka_unit_test(test_same_labels_same_series),
        cmocka_unit_test(test_what_is_gone_is_not_told),
        cmocka_unit_test(test_null_series),
        cmocka_unit_test(test_long_label_is_cut_between_characters),
        cmocka_unit_test(test_collectors),
        cmocka_unit_test(test_threads_lose_nothing),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_ring_is_bounded),
        cmocka_unit_test(test_full_registry_refuses_and_counts),
    };
    if (mem_boot(&profile_edge16, MEM_LAZY) != OK)
        return 1;
    return cmocka_run_group_tests_name("metric", tests, NULL, NULL);
}
