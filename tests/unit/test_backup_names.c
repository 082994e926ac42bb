/* Names of snapshots: the time they begin, in UTC, whose they are and how they are packed, there and back; every other name is
 * nobody's. */
#include "agents/backup/backup_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* In the order in which they sort. */
static const struct {
    struct backup_entry of;
    const char *name;
} names[] = {
    {{.at_s = 0}, "etcd-snapshot-19700101-000000.db"},
    {{.at_s = 951782400}, "etcd-snapshot-20000229-000000.db"},
    {{.at_s = 1763683200}, "etcd-snapshot-20251121-000000.db"},
    {{.at_s = 1767225599}, "etcd-snapshot-20251231-235959.db"},
    {{.at_s = 1767225600, .hub = 1, .form = FORM_AGE | FORM_ZSTD}, "etcd-snapshot-20260101-000000-00000001.db.zst.age"},
    {{.at_s = 1767225600, .hub = 0x0A1B2C3D}, "etcd-snapshot-20260101-000000-0a1b2c3d.db"},
    {{.at_s = 1767225600, .hub = 0x0A1B2C3D, .form = FORM_ZSTD}, "etcd-snapshot-20260101-000000-0a1b2c3d.db.zst"},
    {{.at_s = 1767225600, .hub = 0xFFFFFFFF}, "etcd-snapshot-20260101-000000-ffffffff.db"},
    {{.at_s = 1767225600}, "etcd-snapshot-20260101-000000.db"},
    {{.at_s = 1767225600, .form = FORM_AGE}, "etcd-snapshot-20260101-000000.db.age"},
    {{.at_s = 1767225600, .form = FORM_ZSTD}, "etcd-snapshot-20260101-000000.db.zst"},
    {{.at_s = 1767225600, .form = FORM_AGE | FORM_ZSTD}, "etcd-snapshot-20260101-000000.db.zst.age"},
    {{.at_s = 1767225601, .hub = 1}, "etcd-snapshot-20260101-000001-00000001.db"},
    {{.at_s = 2147483648}, "etcd-snapshot-20380119-031408.db"},
    {{.at_s = 4107542399}, "etcd-snapshot-21000228-235959.db"},
    {{.at_s = 4107542400}, "etcd-snapshot-21000301-000000.db"},
};

static void there_and_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char name[BACKUP_NAME_MAX];
        struct backup_entry back;
        backup_name(&names[i].of, NAME_SNAPSHOT, name);
        assert_string_equal(name, names[i].name);
        assert_int_equal(backup_name_kind(name, &back), NAME_SNAPSHOT);
        if (back.at_s != names[i].of.at_s || back.hub != names[i].of.hub || back.form != names[i].of.form ||
            back.kinds != NAME_SNAPSHOT)
            fail_msg("%s comes back as another one", name);
    }
}

static int sign(int n)
{
    return (n > 0) - (n < 0);
}

static void they_sort_as_what_they_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        for (size_t j = 0; j < COUNT_OF(names); j++) {
            int by_text = sign(strcmp(names[i].name, names[j].name));
            if (backup_name_compare(&names[i].of, &names[j].of) != by_text || by_text != (i > j) - (i < j))
                fail_msg("%s and %s", names[i].name, names[j].name);
        }
}

#define ONE "etcd-snapshot-20260101-000000.db"
#define HUB "etcd-snapshot-20260101-000000-0a1b2c3d.db"
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
    {ONE ".zst", NAME_SNAPSHOT},
    {ONE ".zst.json", NAME_RECORD},
    {ONE ".zst.age", NAME_SNAPSHOT},
    {ONE ".zst.age.json", NAME_RECORD},
    {ONE ".zst.age.bad", NAME_BAD},
    {ONE ".age.json", NAME_RECORD},
    {ONE ".zst.part-0123abcd", NAME_LEFTOVER},
    {ONE ".zst.age.json.part-0123abcd", NAME_LEFTOVER},
    {HUB, NAME_SNAPSHOT},
    {HUB ".zst.age.json", NAME_RECORD},
    {HUB ".zst.part-0123abcd", NAME_LEFTOVER},
    {ONE ".age.zst", NAME_OTHER},
    {ONE ".zst.zst", NAME_OTHER},
    {ONE ".part-0123abc", NAME_OTHER},
    {ONE ".part-0123abcde", NAME_OTHER},
    {ONE ".part-0123abcg", NAME_OTHER},
    {ONE ".gz", NAME_OTHER},
    {ONE ".bad.json", NAME_OTHER},
    {ONE ".JSON", NAME_OTHER},
    {ONE "x.part-0123abcd", NAME_OTHER},
    {"holdfast.db.part-0123abcd", NAME_OTHER},
    {"etcd-snapshot-20260231-000000.db.json", NAME_OTHER},
    {"etcd-snapshot-20260101-000000-0a1b2c3.db", NAME_OTHER},
    {"etcd-snapshot-20260101-000000-0a1b2c3d4.db", NAME_OTHER},
    {"etcd-snapshot-20260101-000000-0A1B2C3D.db", NAME_OTHER},
    {"etcd-snapshot-20260101-000000-0a1b2c3g.db", NAME_OTHER},
    {"etcd-snapshot-20260101-000000-00000000.db", NAME_OTHER},
    {"etcd-snapshot-20260101-000000-.db", NAME_OTHER},
    {"etcd-snapshot-20260101-000000_0a1b2c3d.db", NAME_OTHER},
    {"etcd-snapshot-20260101-0000000a1b2c3d.db", NAME_OTHER},
    {"", NAME_OTHER},
    {"etcd-snapshot-", NAME_OTHER},
    {"etcd-snapshot-20260101-000000", NAME_OTHER},
    {"etcd-snapshot-20260101-000000-0a1b2c3d", NAME_OTHER},
    {ONE "x", NAME_OTHER},
    {"etcd-snapshot-20260101-000000.DB", NAME_OTHER},
    {"etcd-snapshot-20260101_000000.db", NAME_OTHER},
    {"etcd-snapshot-2026010a-000000.db", NAME_OTHER},
    {"etcd-snapshot--2026101-000000.db", NAME_OTHER},
    {"etcd-snapshot-20260231-000000.db", NAME_OTHER},
    {"etcd-snapshot-20260001-000000.db", NAME_OTHER},
    {"etcd-snapshot-20261301-000000.db", NAME_OTHER},
    {"etcd-snapshot-20260101-240000.db", NAME_OTHER},
    {"etcd-snapshot-20260101-006000.db", NAME_OTHER},
    {"etcd-snapshot-20260101-000060.db", NAME_OTHER},
    {"etcd-snapshot-00000000-000000.db", NAME_OTHER},
    {"Etcd-snapshot-20260101-000000.db", NAME_OTHER},
    {"xetcd-snapshot-20260101-000000.d", NAME_OTHER},
};

static void what_lies_there(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct backup_entry entry;
        char again[BACKUP_NAME_MAX];
        if (backup_name_kind(kinds[i].name, &entry) != kinds[i].kind)
            fail_msg("%s", kinds[i].name);
        if (kinds[i].kind == NAME_OTHER || kinds[i].kind == NAME_LEFTOVER)
            continue;
        backup_name(&entry, kinds[i].kind, again);
        assert_string_equal(again, kinds[i].name);
    }
}

static void of_a_record(void **state)
{
    (void)state;
    struct backup_record r = {.name = HUB ".zst", .taken_at_s = 1767225601, .encrypted = true};
    struct backup_entry entry = backup_entry_of(&r);
    char name[BACKUP_NAME_MAX];
    backup_name(&entry, NAME_RECORD, name);
    assert_string_equal(name, "etcd-snapshot-20260101-000001-0a1b2c3d.db.age.json");
    r = (struct backup_record){.taken_at_s = 1767225600};
    entry = backup_entry_of(&r);
    backup_name(&entry, NAME_SNAPSHOT, name);
    assert_string_equal(name, ONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(there_and_back), cmocka_unit_test(they_sort_as_what_they_say),
                                       cmocka_unit_test(what_lies_there), cmocka_unit_test(of_a_record)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
