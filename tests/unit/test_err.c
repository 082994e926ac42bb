#include "board/rt/err.h"
#include "board/rt/mem.h"
#include "tests/unit/child.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void every_code_has_a_name_and_a_text(void **state)
{
    (void)state;
    for (unsigned e = 0; e < ERR_COUNT; e++) {
        assert_true(strncmp(err_name((err)e), e == OK ? "OK" : "E_", 2) == 0);
        assert_true(strlen(err_text((err)e)) > 0);
        for (unsigned other = 0; other < e; other++) {
            assert_string_not_equal(err_name((err)e), err_name((err)other));
            assert_string_not_equal(err_text((err)e), err_text((err)other));
        }
    }
    assert_string_equal(err_name(E_TIMEOUT), "E_TIMEOUT");
    assert_string_equal(err_text(E_TIMEOUT), "deadline passed");
    assert_string_equal(err_name(ERR_COUNT), "E_?");
}

static const struct {
    err error;
    enum retry retry;
} retries[] = {
    {OK, RETRY_NONE},        {E_CANCELED, RETRY_STOP}, {E_TIMEOUT, RETRY_LATER},   {E_ABSENT, RETRY_NEVER},
    {E_DENIED, RETRY_NEVER}, {E_NOSPACE, RETRY_LATER}, {E_CERT_NAME, RETRY_NEVER}, {E_CERT_TIME, RETRY_LATER},
    {E_CONFIG, RETRY_NEVER}, {ERR_COUNT, RETRY_NEVER},
};

static void retry_classes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(retries); i++)
        if (err_retry(retries[i].error) != retries[i].retry)
            fail_msg("%s", err_name(retries[i].error));
}

static err open_inner(void)
{
    return trail(E_DENIED, "opening %s", "/x");
}

static err open_outer(void)
{
    err e = open_inner();
    return trail(e, "reading member %d", 3);
}

static void trail_reads_outermost_first(void **state)
{
    (void)state;
    char out[200];
    assert_int_equal(open_outer(), E_DENIED);
    assert_string_equal(trail_text(E_DENIED, out, sizeof out), "reading member 3: opening /x: refused: permission");
    assert_string_equal(trail_text(E_DENIED, out, 12), "reading mem");
    trail_clear();
    assert_string_equal(trail_text(E_DENIED, out, sizeof out), "refused: permission");
}

static void trail_leaves_out_what_is_no_failure(void **state)
{
    (void)state;
    char out[200];
    trail_clear();
    assert_int_equal(trail(OK, "never seen"), OK);
    assert_int_equal(trail(E_CANCELED, "never seen"), E_CANCELED);
    assert_string_equal(trail_text(E_IO, out, sizeof out), "input/output error");
}

/* A probe that fails is no failure, and one failure does not tell of another. */
static void trail_tells_one_failure(void **state)
{
    (void)state;
    char out[200];
    trail_clear();
    err_ignore(trail(E_INVALID, "\"nas\" is not an address"));
    err_ignore(trail(E_REFUSED, "connecting to 10.0.0.1"));
    err_ignore(trail(E_REFUSED, "etcd"));
    assert_string_equal(trail_text(E_REFUSED, out, sizeof out), "etcd: connecting to 10.0.0.1: connection refused");
    assert_string_equal(trail_text(E_INVALID, out, sizeof out), "not valid");
    uint64_t mark = trail_mark();
    err_ignore(trail(E_ABSENT, "removing what is left"));
    err_ignore(trail(E_REFUSED, "cleaning"));
    trail_rewind(mark);
    assert_string_equal(trail_text(E_REFUSED, out, sizeof out), "etcd: connecting to 10.0.0.1: connection refused");
    trail_clear();
    assert_string_equal(trail_text(E_REFUSED, out, sizeof out), "connection refused");
}

static void trail_cuts_long_entries(void **state)
{
    (void)state;
    char out[400], want[400], longest[300];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    trail_clear();
    assert_int_equal(trail(E_IO, "%s", longest), E_IO);
    trail_text(E_IO, out, sizeof out);
    snprintf(want, sizeof want, "%.*s...: input/output error", TRAIL_TEXT_MAX - 4, longest);
    assert_string_equal(out, want);
    trail_take(E_IO, out, TRAIL_TEXT_MAX + 8); /* no part of the error's text, however little fits */
    snprintf(want, sizeof want, "%.*s...", TRAIL_TEXT_MAX - 4, longest);
    assert_string_equal(out, want);
    trail_take(E_IO, out, sizeof out);
    assert_string_equal(out, "");
}

static void trail_forgets_the_oldest(void **state)
{
    (void)state;
    char out[1024], first[16];
    trail_clear();
    for (int i = 0; i < TRAIL_ENTRIES_MAX + 5; i++)
        assert_int_equal(trail(E_IO, "<%d>", i), E_IO);
    trail_text(E_IO, out, sizeof out);
    snprintf(first, sizeof first, "<%d>: ", TRAIL_ENTRIES_MAX + 4);
    assert_true(strncmp(out, first, strlen(first)) == 0);
    assert_non_null(strstr(out, "<5>: input/output error"));
    assert_null(strstr(out, "<4>"));
    trail_clear();
}

static void *other_thread(void *seen)
{
    char out[4096];
    for (int i = 0; i < 2000; i++) {
        if (trail(E_RESET, "%s", "other other other other other") != E_RESET)
            return NULL;
        trail_text(E_RESET, out, sizeof out);
        if (strstr(out, "mine") != NULL)
            *(bool *)seen = true;
        trail_clear();
    }
    return seen;
}

static void trail_belongs_to_its_thread(void **state)
{
    (void)state;
    pthread_t thread;
    bool seen = false;
    void *result;
    char out[4096];
    trail_clear();
    assert_int_equal(pthread_create(&thread, NULL, other_thread, &seen), 0);
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(trail(E_IO, "%s", "mine mine mine"), E_IO);
        trail_text(E_IO, out, sizeof out);
        assert_null(strstr(out, "other"));
        trail_clear();
    }
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, &seen);
    assert_false(seen);
}

static void fail_an_assertion(void)
{
    int one = 1;
    mem_set_task(TASK_BACKUP);
    if (trail(E_NOSPACE, "writing the snapshot") == E_NOSPACE)
        trail_clear(); /* forgotten by its owner, kept for the dump */
    ASSERT(one == 2);
}

static void assertions_tell_where_and_what_led_there(void **state)
{
    (void)state;
    char said[CHILD_TEXT_MAX];
    assert_int_equal(child_run(fail_an_assertion, said), 1000 + SIGABRT);
    assert_non_null(strstr(said, "assertion failed: one == 2 at tests/unit/test_err.c:"));
    assert_non_null(strstr(said, " in task backup\n"));
    assert_non_null(strstr(said, "trail: backup: writing the snapshot: E_NOSPACE\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_name_and_a_text),
        cmocka_unit_test(retry_classes),
        cmocka_unit_test(trail_reads_outermost_first),
        cmocka_unit_test(trail_leaves_out_what_is_no_failure),
        cmocka_unit_test(trail_cuts_long_entries),
        cmocka_unit_test(trail_forgets_the_oldest),
        cmocka_unit_test(trail_tells_one_failure),
        cmocka_unit_test(trail_belongs_to_its_thread),
        cmocka_unit_test(assertions_tell_where_and_what_led_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
