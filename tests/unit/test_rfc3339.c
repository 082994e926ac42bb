/* Moments as time.Parse(time.RFC3339, …) of Go 1.25 takes them, a comma before the fraction and an offset of a day, too; what
 * becomes of them in an object's Info is in test_info.c. */
#include "net/format/rfc3339.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define BAD INT64_MIN

static const struct {
    const char *text;
    int64_t epoch_s; /* BAD: refused */
} moments[] = {
    {"1970-01-01T00:00:00Z", 0},
    {"2026-11-21T09:51:32Z", 1795254692},
    {"2026-11-21T10:51:32+01:00", 1795254692},
    {"2026-11-21T08:21:32-01:30", 1795254692},
    {"2026-11-21T09:51:32.123456Z", 1795254692},
    {"2026-11-21T09:51:32,123456Z", 1795254692},
    {"2026-11-22T09:51:32+24:00", 1795254692},
    {"0001-01-01T00:00:00Z", INT64_C(-62135596800)},
    {"2026-02-29T00:00:00Z", BAD},
    {"2026-11-21T24:00:00Z", BAD},
    {"2026-11-21T09:51:32", BAD},
    {"2026-11-21T09:51:32.Z", BAD},
    {"2026-11-21T09:51:32Zx", BAD},
    {"2026-11-21 09:51:32Z", BAD},
    {"2026-11-21T09:51:32+25:00", BAD},
    {"2026-11-21", BAD},
    {"", BAD},
};

static void moments_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(moments); i++) {
        int64_t at = BAD;
        if (rfc3339_read(bytes_of(moments[i].text), &at) != (moments[i].epoch_s != BAD) || at != moments[i].epoch_s)
            fail_msg("\"%s\": %lld", moments[i].text, (long long)at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(moments_are_read)};
    return cmocka_run_group_tests_name("rfc3339", tests, NULL, NULL);
}
