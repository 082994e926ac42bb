#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/os.h"
#include "board/rt/repeat.h"
#include "board/rt/text.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int pipe_out, pipe_in;

static void pipe_open(void)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pipe_out = fds[0];
    pipe_in = fds[1];
    assert_int_equal(fcntl(pipe_out, F_SETFL, O_NONBLOCK), 0);
}

static void pipe_close(void)
{
    log_setup(LOG_INFO, LOG_LOGFMT, STDERR_FILENO);
    close(pipe_out);
    close(pipe_in);
}

/* What was logged, with the time of day out of the way: from ` level=` or `,"level":` on. */
static const char *taken(void)
{
    static char line[LOG_LINE_MAX * 2];
    ssize_t got = read(pipe_out, line, sizeof line - 1);
    line[got > 0 ? got : 0] = 0;
    char *level = strstr(line, "level");
    return level ? level : line;
}

/* --- how values are written --- */
#define TEN     "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
static const struct {
    const char *name, *value, *logfmt, *json;
} values[] = {
    {"plain", "local", "local", "\"local\""},
    {"space", "a b", "\"a b\"", "\"a b\""},
    {"equals sign", "a=b", "\"a=b\"", "\"a=b\""},
    {"quote", "a\"b", "\"a\\\"b\"", "\"a\\\"b\""},
    {"backslash", "a\\b", "\"a\\\\b\"", "\"a\\\\b\""},
    {"empty", "", "\"\"", "\"\""},
    {"newline cannot forge a line", "a\nlevel=error", "\"a\\nlevel=error\"", "\"a\\nlevel=error\""},
    {"tab and return", "\t\r", "\"\\t\\r\"", "\"\\t\\r\""},
    {"escape sequence", "\x1b[31m", "\"\\u001b[31m\"", "\"\\u001b[31m\""},
    {"delete", "\x7f", "\"\\u007f\"", "\"\\u007f\""},
    {"C1 control",
     "\xC2\x9B"
     "31m",
     "\"\\u009b31m\"", "\"\\u009b31m\""},
    {"UTF-8", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x90\x9A", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x90\x9A",
     "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x90\x9A\""},
    {"U+00A0 is no control", "\xC2\xA0", "\xC2\xA0", "\"\xC2\xA0\""},
    {"not UTF-8", "a\xFFz", "\"a\\ufffdz\"", "\"a\\ufffdz\""},
    {"cut UTF-8", "\xE2\x82", "\"\\ufffd\\ufffd\"", "\"\\ufffd\\ufffd\""},
};

static void check_value(size_t i, enum log_format format)
{
    char message[32], expected[256];
    snprintf(message, sizeof message, "value %zu %d", i, (int)format);
    if (format == LOG_JSON)
        snprintf(expected, sizeof expected, "level\":\"info\",\"task\":\"board\",\"msg\":\"%s\",\"v\":%s}\n", message,
                 values[i].json);
    else
        snprintf(expected, sizeof expected, "level=info task=board msg=\"%s\" v=%s\n", message, values[i].logfmt);
    log_setup(LOG_INFO, format, pipe_in);
    log_info(message, F("v", values[i].value));
    const char *got = taken();
    if (strcmp(got, expected) != 0)
        fail_msg("%s: got %s wanted %s", values[i].name, got, expected);
}

static void test_values(void **state)
{
    (void)state;
    pipe_open();
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        check_value(i, LOG_LOGFMT);
        check_value(i, LOG_JSON);
    }
    pipe_close();
}

static void test_kinds(void **state)
{
    (void)state;
    uint8_t key[] = "hunter2";
    struct secret secret = {key, sizeof key - 1};
    pipe_open();
    log_setup(LOG_INFO, LOG_LOGFMT, pipe_in);
    mem_set_task(TASK_BACKUP);
    log_warn("kinds", F_I64("least", INT64_MIN), F_U64("most", UINT64_MAX), F_U64("zero", 0), F_MS("took", 41),
             F_BOOL("good", true), F("none", NULL), F_BYTES("span", ((struct bytes){(const uint8_t *)"abc", 2})),
             F_SECRET("password", secret));
    mem_set_task(TASK_BOARD);
    assert_string_equal(taken(), "level=warn task=backup msg=kinds least=-9223372036854775808 most=18446744073709551615 zero=0 "
                                 "took_ms=41 good=true none=null span=ab password=***\n");
    log_setup(LOG_INFO, LOG_JSON, pipe_in);
    log_error("kinds in JSON", F_I64("least", -1), F_MS("took", 41), F_BOOL("good", false), F("none", NULL),
              F_SECRET("password", secret));
    assert_string_equal(taken(), "level\":\"error\",\"task\":\"board\",\"msg\":\"kinds in JSON\",\"least\":-1,\"took_ms\":41,"
                                 "\"good\":false,\"none\":null,\"password\":\"***\"}\n");
    log_info_0("no fields");
    assert_string_equal(taken(), "level\":\"info\",\"task\":\"board\",\"msg\":\"no fields\"}\n");
    pipe_close();
}

static void test_time(void **state)
{
    (void)state;
    char line[LOG_LINE_MAX];
    pipe_open();
    log_setup(LOG_INFO, LOG_LOGFMT, pipe_in);
    log_info_0("time");
    ssize_t got = read(pipe_out, line, sizeof line);
    assert_true(got > 29);
    static const char shape[] = "ts=dddd-dd-ddTdd:dd:dd.dddZ level=";
    for (size_t i = 0; shape[i]; i++)
        assert_true(shape[i] == 'd' && i > 2 ? line[i] >= '0' && line[i] <= '9' : line[i] == shape[i]);
    assert_int_equal(line[3], '2');
    pipe_close();
}

static void test_error_takes_the_trail(void **state)
{
    (void)state;
    pipe_open();
    log_setup(LOG_INFO, LOG_LOGFMT, pipe_in);
    err e = trail(E_DENIED, "opening %s", "/x");
    log_error("trail", F_ERR(e));
    assert_string_equal(taken(), "level=error task=board msg=trail error=\"opening /x: refused: permission\" code=E_DENIED\n");
    log_error("no trail", F_ERR(E_IO));
    assert_string_equal(taken(), "level=error task=board msg=\"no trail\" error=\"input/output error\" code=E_IO\n");
    e = trail(E_DENIED, "a line below the level");
    log_debug("not written", F_ERR(e));
    log_error("trail gone all the same", F_ERR(E_IO));
    assert_null(strstr(taken(), "below"));
    pipe_close();
}

static void test_levels(void **state)
{
    (void)state;
    pipe_open();
    log_setup(LOG_WARN, LOG_LOGFMT, pipe_in);
    log_info_0("levels: quiet");
    assert_string_equal(taken(), "");
    log_warn_0("levels: loud");
    assert_string_equal(taken(), "level=warn task=board msg=\"levels: loud\"\n");
    log_setup(LOG_DEBUG, LOG_LOGFMT, pipe_in);
    log_debug("levels: fine", F_BOOL("x", true));
    assert_string_equal(taken(), "level=debug task=board msg=\"levels: fine\" x=true\n");
    pipe_close();
}

/* --- too long --- */
static void check_line(const char *line, const char *end)
{
    size_t length = strlen(line);
    assert_true(length > 0 && length <= LOG_LINE_MAX);
    assert_string_equal(line + length - strlen(end), end);
}

static void test_long_value_keeps_the_rest(void **state)
{
    (void)state;
    pipe_open();
    log_setup(LOG_INFO, LOG_LOGFMT, pipe_in);
    log_info("long value", F("v", HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED), F_U64("after", 7));
    check_line(taken(), "... after=7 cut=true\n");
    log_setup(LOG_INFO, LOG_JSON, pipe_in);
    log_info("long value, JSON", F("v", HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED), F_U64("after", 7));
    check_line(taken(), "...\",\"after\":7,\"cut\":true}\n");
    pipe_close();
}

/* Every length around every bound, with characters of each width: never over the line, never half a character or escape. */
static void test_cut_at_every_length(void **state)
{
    (void)state;
    static const char *const units[] = {"x", " ", "\n", "\x01", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x90\x9A"};
    static char value[1300];
    char message[16];
    pipe_open();
    for (size_t run = 0; run < COUNT_OF(units) * 70; run++) {
        const char *unit = units[run % COUNT_OF(units)];
        size_t len = 0, want = 440 + run / COUNT_OF(units);
        for (len = 0; len + strlen(unit) <= want; len += strlen(unit))
            memcpy(value + len, unit, strlen(unit));
        value[len] = 0;
        snprintf(message, sizeof message, "cut %zu", run);
        log_setup(LOG_INFO, run % 2 ? LOG_JSON : LOG_LOGFMT, pipe_in);
        log_info(message, F("a", value), F("b", value), F("c", value), F_U64("d", run));
        char *line = (char *)(uintptr_t)taken();
        check_line(line, run % 2 ? ",\"cut\":true}\n" : " cut=true\n");
        assert_null(strstr(line, "\xC3.")); /* half a character before the dots */
        assert_null(strstr(line, "\xE2\x82."));
        assert_null(strstr(line, "\xF0\x9F\x90."));
        assert_null(strstr(line, "\\u0."));
    }
    pipe_close();
}

static void test_many_fields(void **state)
{
    (void)state;
    struct field fields[200];
    pipe_open();
    for (size_t format = 0; format < 2; format++)
        for (size_t count = 50; count < COUNT_OF(fields); count += 3) {
            for (size_t i = 0; i < count; i++)
                fields[i] = i % 3 ? F_U64("number", UINT64_MAX) : F("text", "");
            log_setup(LOG_INFO, (enum log_format)format, pipe_in);
            char message[32];
            snprintf(message, sizeof message, "many %zu %zu", format, count);
            log_write(LOG_INFO, message, fields, count);
            check_line(taken(), format ? ",\"cut\":true}\n" : " cut=true\n");
        }
    pipe_close();
}

/* --- a full pipe, no pipe, threads --- */
static void test_full_pipe_drops_and_counts(void **state)
{
    (void)state;
    static char filler[4096];
    char message[32];
    pipe_open();
    assert_int_equal(fcntl(pipe_in, F_SETFL, O_NONBLOCK), 0);
    while (write(pipe_in, filler, sizeof filler) > 0)
        ;
    assert_int_equal(fcntl(pipe_in, F_SETFL, 0), 0); /* a blocking one, as stderr is */
    uint64_t before = log_dropped();
    log_setup(LOG_INFO, LOG_LOGFMT, pipe_in);
    for (int i = 0; i < 3; i++) {
        snprintf(message, sizeof message, "full %d", i);
        log_info_0(message);
    }
    assert_int_equal(log_dropped() - before, 3);
    assert_int_equal(fcntl(pipe_in, F_GETFL) & O_NONBLOCK, 0);
    while (read(pipe_out, filler, sizeof filler) > 0)
        ;
    log_info_0("room again");
    assert_string_equal(taken(), "level=info task=board msg=\"room again\"\n");
    assert_int_equal(log_dropped() - before, 3);
    pipe_close();
}

static void test_no_descriptor(void **state)
{
    (void)state;
    uint64_t before = log_dropped();
    log_setup(LOG_INFO, LOG_LOGFMT, -1);
    log_info_0("nobody listens");
    assert_int_equal(log_dropped() - before, 0);
    log_setup(LOG_INFO, LOG_LOGFMT, 1000000);
    log_info_0("not open");
    assert_int_equal(log_dropped() - before, 1);
    log_setup(LOG_INFO, LOG_LOGFMT, STDERR_FILENO);
}

#define THREADS    4
#define LINES_EACH 100
static void *chatter(void *arg)
{
    char message[32];
    for (int i = 0; i < LINES_EACH; i++) {
        snprintf(message, sizeof message, "thread %d line %d", *(int *)arg, i);
        log_info(message, F("v", HUNDRED));
    }
    return NULL;
}

static void test_threads_write_whole_lines(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    int numbers[THREADS], lines = 0;
    char line[LOG_LINE_MAX];
    FILE *file = tmpfile();
    assert_non_null(file);
    log_setup(LOG_INFO, LOG_LOGFMT, fileno(file));
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, chatter, &numbers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    log_setup(LOG_INFO, LOG_LOGFMT, STDERR_FILENO);
    rewind(file);
    for (; fgets(line, sizeof line, file); lines++) {
        assert_memory_equal(line, "ts=", 3);
        check_line(line, "v=" HUNDRED "\n");
    }
    assert_int_equal(lines, THREADS * LINES_EACH);
    fclose(file);
}

/* --- repeats --- */
static void test_burst_then_closing_line(void **state)
{
    (void)state;
    static char lines[8 * LOG_LINE_MAX];
    pipe_open();
    log_setup(LOG_INFO, LOG_LOGFMT, pipe_in);
    for (int i = 0; i < LOG_BURST; i++)
        log_info("burst", F_I64("i", i));
    ssize_t got = read(pipe_out, lines, sizeof lines - 1);
    lines[got] = 0;
    assert_non_null(strstr(lines, "msg=burst i=7\n"));
    for (int i = 0; i < 5; i++)
        log_info("burst", F_I64("i", i));
    assert_string_equal(taken(), "");
    log_warn("burst", F_I64("i", 0)); /* another level is another matter */
    assert_string_equal(taken(), "level=warn task=board msg=burst i=0\n");
    log_flush(os_mono()); /* their window is not over */
    assert_string_equal(taken(), "");
    log_flush(os_mono() + LOG_WINDOW_MS);
    assert_string_equal(taken(), "level=info task=board msg=\"repeats held back\" repeated=burst held_back=5\n");
    for (int i = 0; i <= LOG_BURST; i++)
        log_info("another", F_I64("i", i));
    assert_true(read(pipe_out, lines, sizeof lines - 1) > 0);
    log_setup(LOG_INFO, LOG_LOGFMT, pipe_in);
    assert_string_equal(taken(), "level=info task=board msg=\"repeats held back\" repeated=another held_back=1\n");
    pipe_close();
}

static void test_repeat_window(void **state)
{
    (void)state;
    struct repeats repeats = {0};
    struct repeat closing;
    ms now = 1000;
    for (int i = 0; i < LOG_BURST; i++)
        assert_true(repeat_allow(&repeats, LOG_INFO, "m", now, &closing));
    for (int i = 0; i < 3; i++)
        assert_false(repeat_allow(&repeats, LOG_INFO, "m", now + LOG_WINDOW_MS - 1, &closing));
    assert_false(repeat_close(&repeats, now + LOG_WINDOW_MS - 1, &closing));
    assert_true(repeat_close(&repeats, now + LOG_WINDOW_MS, &closing));
    assert_int_equal(closing.held, 3);
    assert_string_equal(closing.message, "m");
    assert_false(repeat_close(&repeats, FOREVER, &closing)); /* once */
    assert_true(repeat_allow(&repeats, LOG_INFO, "m", now + LOG_WINDOW_MS, &closing));
}

static void test_repeat_own_window_ends(void **state)
{
    (void)state;
    struct repeats repeats = {0};
    struct repeat closing;
    for (int i = 0; i < LOG_BURST + 2; i++)
        (void)repeat_allow(&repeats, LOG_INFO, "m", 0, &closing);
    assert_true(repeat_allow(&repeats, LOG_INFO, "m", LOG_WINDOW_MS, &closing));
    assert_int_equal(closing.held, 2);
    assert_false(repeat_close(&repeats, FOREVER, &closing));
}

static void test_repeat_full_table_gives_up_the_oldest(void **state)
{
    (void)state;
    struct repeats repeats = {0};
    struct repeat closing;
    char message[32];
    for (int i = 0; i < LOG_BURST + 4; i++)
        (void)repeat_allow(&repeats, LOG_ERROR, "oldest", 1, &closing);
    for (int i = 1; i < LOG_REPEATS_MAX; i++) {
        snprintf(message, sizeof message, "m%d", i);
        assert_true(repeat_allow(&repeats, LOG_INFO, message, 2, &closing));
        assert_int_equal(closing.held, 0);
    }
    assert_true(repeat_allow(&repeats, LOG_INFO, "one more", 3, &closing));
    assert_int_equal(closing.held, 4);
    assert_int_equal(closing.level, LOG_ERROR);
    assert_string_equal(closing.message, "oldest");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_error_takes_the_trail),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_long_value_keeps_the_rest),
        cmocka_unit_test(test_cut_at_every_length),
        cmocka_unit_test(test_many_fields),
        cmocka_unit_test(test_full_pipe_drops_and_counts),
        cmocka_unit_test(test_no_descriptor),
        cmocka_unit_test(test_threads_write_whole_lines),
        cmocka_unit_test(test_burst_then_closing_line),
        cmocka_unit_test(test_repeat_window),
        cmocka_unit_test(test_repeat_own_window_ends),
        cmocka_unit_test(test_repeat_full_table_gives_up_the_oldest),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
