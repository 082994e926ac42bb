/* Go's durations: what time.ParseDuration and time.Duration.String() of Go 1.25 do. */
#include "net/format/go_time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define S   INT64_C(1000000000)
#define BAD INT64_MIN

static const struct {
    const char *text;
    int64_t ns;        /* BAD: refused */
    const char *again; /* as it is written; NULL: as it was read */
} durations[] = {
    {"5m0s", 300 * S, NULL},
    {"5m", 300 * S, "5m0s"},
    {"1h30m", 5400 * S, "1h30m0s"},
    {"1h", 3600 * S, "1h0m0s"},
    {"30s", 30 * S, NULL},
    {"0", 0, "0s"},
    {"+0", 0, "0s"},
    {"0s", 0, NULL},
    {"-2m", -120 * S, "-2m0s"},
    {"+90s", 90 * S, "1m30s"},
    {"1.5s", 1500000000, NULL},
    {".5s", 500000000, "500ms"},
    {"1.s", S, "1s"},
    {"100ms", 100000000, NULL},
    {"1.5ms", 1500000, NULL},
    {"7us", 7000, "7\xC2\xB5s"},
    {"7\xC2\xB5s", 7000, NULL},
    {"7\xCE\xBCs", 7000, "7\xC2\xB5s"},
    {"3ns", 3, NULL},
    {"2h45m30.5s", 9930500000000, NULL},
    {"0.1h", 360 * S, "6m0s"},
    {"1.000000000000000000001s", S, "1s"},
    {"9223372036854775807ns", INT64_MAX, "2562047h47m16.854775807s"},
    {"9223372036854775808ns", BAD, NULL},
    {"2562048h", BAD, NULL},
    {"99999999999999999999s", BAD, NULL},
    {"", BAD, NULL},
    {"-", BAD, NULL},
    {".", BAD, NULL},
    {".s", BAD, NULL},
    {"5", BAD, NULL},
    {"5 m", BAD, NULL},
    {" 5m", BAD, NULL},
    {"5m ", BAD, NULL},
    {"5d", BAD, NULL},
    {"m", BAD, NULL},
    {"5M", BAD, NULL},
    {"1m-1s", BAD, NULL},
    {"five minutes", BAD, NULL},
};

static void durations_are_gos(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(durations); i++) {
        char text[GO_DURATION_TEXT_MAX];
        int64_t ns = BAD;
        bool good = go_duration_read(bytes_of(durations[i].text), &ns);
        if (good != (durations[i].ns != BAD) || ns != durations[i].ns)
            fail_msg("\"%s\": %s, %lld ns", durations[i].text, good ? "read" : "refused", (long long)ns);
        if (!good)
            continue;
        go_duration_write(ns, text, sizeof text);
        assert_string_equal(text, durations[i].again ? durations[i].again : durations[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_gos),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
