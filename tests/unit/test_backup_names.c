/* Names of snapshots: the time they begin, in UTC, there and back; every other name is nobody's. */
#include "agents/backup/backup_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    int64_t epoch_s;
    const char *name;
} times[] = {
    {0, "etcd-snapshot-19700101-000000.db"},          {951782400, "etcd-snapshot-20000229-000000.db"},
    {1763683200, "etcd-snapshot-20251121-000000.db"}, {1767225599, "etcd-snapshot-20251231-235959.db"},
    {1767225600, "etcd-snapshot-20260101-000000.db"}, {2147483648, "etcd-snapshot-20380119-031408.db"},
    {4107542399, "etcd-snapshot-21000228-235959.db"}, {4107542400, "etcd-snapshot-21000301-000000.db"},
};

static void there_and_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        char name[BACKUP_NAME_MAX];
        int64_t back = -1;
        backup_name(times[i].epoch_s, name);
        assert_string_equal(name, times[i].name);
        assert_true(backup_name_time(name, &back));
        assert_int_equal(back, times[i].epoch_s);
    }
}

static const char *const strange[] = {
    "",
    "etcd-snapshot-",
    "etcd-snapshot-20260101-000000",
    "etcd-snapshot-20260101-000000.db.part-0123abcd",
    "etcd-snapshot-20260101-000000.dbx",
    "etcd-snapshot-20260101-000000.DB",
    "etcd-snapshot-20260101_000000.db",
    "etcd-snapshot-2026010a-000000.db",
    "etcd-snapshot--2026101-000000.db",
    "etcd-snapshot-20260231-000000.db",
    "etcd-snapshot-20260001-000000.db",
    "etcd-snapshot-20261301-000000.db",
    "etcd-snapshot-20260101-240000.db",
    "etcd-snapshot-20260101-006000.db",
    "etcd-snapshot-20260101-000060.db",
    "etcd-snapshot-00000000-000000.db",
    "Etcd-snapshot-20260101-000000.db",
    "xetcd-snapshot-20260101-000000.d",
};

static void nobodys(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(strange); i++) {
        int64_t at_s = 0;
        if (backup_name_time(strange[i], &at_s))
            fail_msg("%s is no name of ours", strange[i]);
    }
}

#define ONE "etcd-snapshot-20260101-000000.db"
static const struct {
    const char *name;
    enum backup_name_kind kind;
} kinds[] = {
    {ONE, NAME_SNAPSHOT},
    {ONE ".json", NAME_RECORD},
    {ONE ".bad", NAME_BAD},
    {ONE ".part-0123abcd", NAME_LEFTOVER},
    {ONE ".json.part-0123abcd", NAME_LEFTOVER},
    {ONE ".bad.part-0123abcd", NAME_LEFTOVER},
    {ONE ".part-0123abc", NAME_OTHER},
    {ONE ".part-0123abcde", NAME_OTHER},
    {ONE ".part-0123abcg", NAME_OTHER},
    {ONE ".zst.part-0123abcd", NAME_OTHER},
    {ONE ".zst", NAME_OTHER},
    {ONE ".bad.json", NAME_OTHER},
    {ONE ".JSON", NAME_OTHER},
    {ONE "x.part-0123abcd", NAME_OTHER},
    {"holdfast.db.part-0123abcd", NAME_OTHER},
    {"etcd-snapshot-20260231-000000.db.json", NAME_OTHER},
    {"", NAME_OTHER},
};

static void what_lies_beside(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        int64_t at_s = 0;
        if (backup_name_kind(kinds[i].name, &at_s) != kinds[i].kind || (kinds[i].kind && at_s != 1767225600))
            fail_msg("%s", kinds[i].name);
    }
}

static void they_sort_as_times_do(void **state)
{
    (void)state;
    for (size_t i = 1; i < COUNT_OF(times); i++)
        assert_true(strcmp(times[i - 1].name, times[i].name) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(there_and_back), cmocka_unit_test(nobodys),
                                       cmocka_unit_test(what_lies_beside), cmocka_unit_test(they_sort_as_times_do)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
