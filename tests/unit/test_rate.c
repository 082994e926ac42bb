#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agents/ingest/rate.h"

static const struct {
    const char *name;
    int64_t per_second, burst;
    ms first, last; /* asked for at every millisecond of it, as often as there is a token */
    unsigned want;
} runs[] = {
    {"starts full", 10, 20, 0, 0, 20},
    {"one more after 100 ms", 10, 20, 0, 100, 21},
    {"not before", 10, 20, 0, 99, 20},
    {"a minute", 10, 20, 0, 60000, 620},
    {"5,000 a second", 5000, 1, 0, 1000, 1 + 1000}, /* one a millisecond: the bucket holds one */
    {"5,000 a second, wide", 5000, 5000, 0, 1000, 10000},
    {"3 a second for 10 s: every 334 ms", 3, 1, 0, 10000, 30},
    {"the same with room for the rest", 3, 2, 0, 10000, 32},
    {"defaults", 0, 0, 0, 1000, 30},
    {"less than none", -1, -5, 0, 1000, 30},
    {"above the maximum", 1000000, 1000000, 0, 0, 5000},
    {"far in time", 10, 20, INT64_C(1) << 60, (INT64_C(1) << 60) + 100, 21},
};

static void rates_are_kept(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(runs); i++) {
        struct rate r;
        unsigned got = 0;
        rate_start(&r, runs[i].per_second, runs[i].burst, runs[i].first);
        for (ms now = runs[i].first; now <= runs[i].last; now++)
            while (rate_take(&r, now))
                got++;
        if (got != runs[i].want)
            fail_msg("%s: %u, not %u", runs[i].name, got, runs[i].want);
    }
}

/* Waiting as told gives a token, and not a millisecond earlier. */
static void next_is_exact(void **state)
{
    (void)state;
    for (int64_t per_second = 1; per_second <= 5000; per_second += 7) {
        struct rate r;
        ms now = 1000;
        rate_start(&r, per_second, 1, now);
        assert_int_equal(rate_next(&r, now), now);
        for (unsigned i = 0; i < 20; i++) {
            assert_true(rate_take(&r, now));
            ms next = rate_next(&r, now);
            assert_true(next > now && next - now <= 1000 / per_second + 1);
            if (next - 1 > now)
                assert_false(rate_take(&r, next - 1));
            assert_int_equal(rate_next(&r, next), next);
            now = next;
        }
    }
}

static void clocks_may_jump(void **state)
{
    (void)state;
    struct rate r;
    rate_start(&r, 10, 2, 5000);
    assert_true(rate_take(&r, 5000) && rate_take(&r, 5000));
    assert_false(rate_take(&r, 4000)); /* back: nothing */
    assert_false(rate_take(&r, 5099));
    assert_true(rate_take(&r, 5100));
    assert_true(rate_take(&r, INT64_MAX - 10000) && rate_take(&r, INT64_MAX - 10000));
    assert_false(rate_take(&r, INT64_MAX - 10000));
}

static void changes_apply_at_once(void **state)
{
    (void)state;
    struct rate r;
    rate_start(&r, 10, 20, 0);
    rate_change(&r, 1000, 5, 0); /* */
    for (unsigned i = 0; i < 5; i++)
        assert_true(rate_take(&r, 0));
    assert_false(rate_take(&r, 0));
    assert_true(rate_take(&r, 1));
    rate_change(&r, 1000, 100, 1); /* a wider bucket is not filled by being wider */
    assert_false(rate_take(&r, 1));
    rate_give(&r);
    assert_true(rate_take(&r, 1));
    rate_start(&r, 10, 3, 1);
    rate_give(&r); /* full is full */
    for (unsigned i = 0; i < 3; i++)
        assert_true(rate_take(&r, 1));
    assert_false(rate_take(&r, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_are_kept),
        cmocka_unit_test(next_is_exact),
        cmocka_unit_test(clocks_may_jump),
        cmocka_unit_test(changes_apply_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
