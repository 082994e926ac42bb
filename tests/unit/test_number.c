#include "board/rt/number.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    double value;
    const char *text;
} cases[] = {
    {0, "0"},
    {-0.0, "0"},
    {1, "1"},
    {-1, "-1"},
    {1048608, "1048608"},
    {9007199254740991.0, "9007199254740991"},
    {1763718692.104, "1763718692.104"},
    {0.041, "0.041"},
    {-0.5, "-0.5"},
    {0.1, "0.1"},
    {100.25, "100.25"},
    {1e-9, "0.000000001"},
    {0.1 + 0.2, "0.30000000000000004"},
    {1e300, "1e+300"},
    {1.0 / 3, "0.3333333333333333"},
    {5e-324, "4.94065645841247e-324"},
    {1.7976931348623157e308, "1.7976931348623157e+308"},
    {18446744073709551616.0, "1.8446744073709552e+19"},
    {1e15, "1000000000000000"},
    {(double)INFINITY, "+Inf"},
    {-(double)INFINITY, "-Inf"},
    {(double)NAN, "NaN"},
};

static void test_cases(void **state)
{
    (void)state;
    char out[NUMBER_TEXT_MAX];
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_string_equal(number_text(cases[i].value, out), cases[i].text);
}

/* Any bits of a double read back as the same double; so do sums of decimals, the common case. */
static void test_reads_back(void **state)
{
    (void)state;
    char out[NUMBER_TEXT_MAX];
    uint64_t seed = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17; /* xorshift64, Marsaglia 2003 */
        double any, decimal = (double)(seed >> 20) / 1000;
        memcpy(&any, &seed, sizeof any);
        assert_true(isnan(any) || strtod(number_text(any, out), NULL) == any);
        assert_true(strtod(number_text(decimal, out), NULL) == decimal);
        assert_true(strlen(out) < 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_reads_back)};
    return cmocka_run_group_tests_name("number", tests, NULL, NULL);
}
