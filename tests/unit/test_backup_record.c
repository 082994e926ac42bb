/* A record is read back as it was written; one that was tampered with is told by its key. */
#include "agents/backup/backup_internal.h"
#include "board/rt/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char page[BACKUP_RECORD_JSON_MAX];

static const char *written(const struct backup_record *r)
{
    struct text t = text_over(page, sizeof page);
    struct json_writer w = json_write_to(&t);
    backup_record_json(&w, r);
    assert_true(json_done(&w));
    return page;
}

static struct backup_record good_one(void)
{
    return (struct backup_record){.name = "etcd-snapshot-20260304-050607.db",
                                  .path = "/data/b \"x\"/etcd-snapshot-20260304-050607.db",
                                  .destination = "local",
                                  .endpoint = "https://127.0.0.1:2379",
                                  .etcd_version = "3.5.21",
                                  .cluster_id = 0xFEDCBA9876543210,
                                  .member_id = 7,
                                  .taken_at_s = 1772600767,
                                  .took_ms = 1234,
                                  .hash_kv = 1,
                                  .verification = {.verdict = VERDICT_GOOD,
                                                   .level = 4,
                                                   .bytes = 20512,
                                                   .db_bytes = 20480,
                                                   .sha256 = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
                                                   .hash = 0xDEADBEEF,
                                                   .revision = 42,
                                                   .keys = 17,
                                                   .pairs = 23}};
}

static struct backup_record packed_one(void)
{
    struct backup_record r = good_one();
    (void)snprintf(r.name, sizeof r.name, "etcd-snapshot-20260304-050607-0a1b2c3d.db.zst.age");
    (void)snprintf(r.stored_sha256, sizeof r.stored_sha256, "%s", r.verification.sha256);
    (void)snprintf(r.etag, sizeof r.etag, "\"9b2cf535f27731c974343645a3985328-3\"");
    (void)snprintf(r.source, sizeof r.source, "talos");
    (void)snprintf(r.copied_from, sizeof r.copied_from, "nas");
    r.stored_bytes = 5000;
    r.compressed = r.encrypted = true;
    r.rehearsal = (struct backup_rehearsal){.at_s = 1772700000,
                                            .took_ms = 99,
                                            .verdict = VERDICT_GOOD,
                                            .level = 4,
                                            .reason = "no-scratch",
                                            .warning = "cluster-went-back"};
    return r;
}

static struct backup_record damaged_one(void)
{
    struct backup_record r = good_one();
    r.hash_kv = 0;
    (void)snprintf(r.hash_kv_why, sizeof r.hash_kv_why, "not asked");
    r.verification = (struct backup_verification){.bytes = 20512};
    for (unsigned i = 0; i < ETCD_DB_FINDINGS_MAX + 3; i++)
        backup_finding_add(&r.verification, i ? "page-flags" : "sha256", i * 1000003ull, "%u: %0120d", i,
                           7); /* longer than there is room */
    return r;
}

static struct backup_record anew(void)
{
    struct backup_record r = {.name = "etcd-snapshot-19700101-000000.db", .took_ms = -1};
    (void)snprintf(r.verification.reason, sizeof r.verification.reason, "level");
    return r;
}

static void there_and_back(void **state)
{
    (void)state;
    struct backup_record all[] = {good_one(), packed_one(), damaged_one(), anew()};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        struct backup_record back;
        assert_int_equal(backup_record_parse(bytes_of(written(&all[i])), &back), OK);
        assert_memory_equal(&back, &all[i], sizeof back);
    }
}

static void the_first_finding_is_the_reason(void **state)
{
    (void)state;
    struct backup_record r = damaged_one();
    assert_int_equal(r.verification.verdict, VERDICT_BAD);
    assert_string_equal(r.verification.reason, "sha256");
    assert_int_equal(r.verification.finding_count, ETCD_DB_FINDINGS_MAX);
}

static void what_is_not_known_is_null(void **state)
{
    (void)state;
    struct backup_record r = anew();
    const char *json = written(&r);
    static const char *const nulls[] = {"sha256",        "hash",    "revision", "keys",         "pairs",    "cluster_id",
                                        "member_id",     "took_ms", "endpoint", "etcd_version", "hash_kv",  "hash_kv_why",
                                        "stored_sha256", "etag",    "source",   "copied_from",  "rehearsal"};
    for (size_t i = 0; i < COUNT_OF(nulls); i++) {
        char wanted[32];
        (void)snprintf(wanted, sizeof wanted, "\"%s\":null", nulls[i]);
        if (!strstr(json, wanted))
            fail_msg("no %s in %s", wanted, json);
    }
}

/* One thing of a packed one's record changed. */
static const struct {
    const char *from, *to, *key;
} tampered[] = {
    {"\"verdict\":\"good\"", "\"verdict\":\"fine\"", "verdict"},
    {"\"verdict\":\"good\"", "\"verdict\":true", "verdict"},
    {"\"verdict\":\"good\",", "", "verdict"},
    {"20260304", "20260231", "name"},
    {"0a1b2c3d", "0a1b2c3", "name"},
    {"\"stored_bytes\":5000", "\"stored_bytes\":-1", "stored_bytes"},
    {"\"etag\":\"", "\"etag\":\"012345678901234567890123456789012345678", "etag"},
    {"\"compressed\":true", "\"compressed\":1", "compressed"},
    {"\"encrypted\":true", "\"encrypted\":\"yes\"", "encrypted"},
    {"\"source\":\"talos\"", "\"source\":\"somewhere\"", "source"},
    {"\"rehearsal\":{", "\"rehearsal\":[],\"was\":{", "rehearsal"},
    {"\"at\":\"2026", "\"at\":\"x", "rehearsal"},
    {"\"warning\":\"", "\"warning\":\"a warning longer than any ", "rehearsal"},
    {"\"name\":", "\"nom\":", "name"},
    {"\"level\":4", "\"level\":5", "level"},
    {"\"level\":4", "\"level\":-1", "level"},
    {"\"bytes\":20512", "\"bytes\":\"20512\"", "bytes"},
    {"\"bytes\":20512", "\"bytes\":1e300", "bytes"},
    {"\"hash\":3735928559", "\"hash\":4294967296", "hash"},
    {"\"errors\":[]", "\"errors\":{}", "errors"},
    {"\"errors\":[]", "\"errors\":[1]", "errors"},
    {"\"errors\":[]", "\"errors\":[{\"page\":\"x\"}]", "errors"},
    {"fedcba9876543210", "fedcba987654321g", "cluster_id"},
    {"fedcba9876543210", "0fedcba9876543210", "cluster_id"},
    {"fedcba9876543210", "-1", "cluster_id"},
    {"\"hash_kv\":true", "\"hash_kv\":1", "hash_kv"},
    {"\"took_ms\":1234", "\"took_ms\":12.5", "took_ms"},
    {"\"destination\":\"local\"", "\"destination\":\"a name that is longer than any we let a destination have\"", "destination"},
};

static void tampering_is_told(void **state)
{
    (void)state;
    struct backup_record r = packed_one(), back;
    for (size_t i = 0; i < COUNT_OF(tampered); i++) {
        static char changed[2 * BACKUP_RECORD_JSON_MAX];
        char why[512], key[64];
        const char *json = written(&r), *at = strstr(json, tampered[i].from);
        assert_non_null(at);
        (void)snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - json), json, tampered[i].to,
                       at + strlen(tampered[i].from));
        (void)snprintf(key, sizeof key, "\"%s\"", tampered[i].key);
        trail_clear();
        err e = backup_record_parse(bytes_of(changed), &back);
        if (e != E_CORRUPT || !strstr(trail_text(e, why, sizeof why), key))
            fail_msg("%s: %s, %s", tampered[i].to, err_name(e), trail_text(e, why, sizeof why));
    }
}

static void what_is_no_record(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "[]", "null", "{}", "{\"name\":1}", "half", "{\"name\":\"etcd-snapshot-20260304-050607.db\""};
    struct backup_record back;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (backup_record_parse(bytes_of(texts[i]), &back) != E_CORRUPT)
            fail_msg("%s", texts[i]);
}

static void later_keys_are_let_be(void **state)
{
    (void)state;
    static char changed[BACKUP_RECORD_JSON_MAX + 64];
    struct backup_record r = good_one(), back;
    (void)snprintf(changed, sizeof changed, "{\"of_tomorrow\":[1,{\"a\":2}],%s", written(&r) + 1);
    assert_int_equal(backup_record_parse(bytes_of(changed), &back), OK);
    assert_memory_equal(&back, &r, sizeof back);
}

static void older_records_have_less(void **state)
{
    (void)state;
    static char shortened[BACKUP_RECORD_JSON_MAX];
    struct backup_record r = good_one(), back;
    const char *json = written(&r), *end = strstr(json, ",\"stored_bytes\"");
    assert_non_null(end);
    (void)snprintf(shortened, sizeof shortened, "%.*s}", (int)(end - json), json);
    assert_int_equal(backup_record_parse(bytes_of(shortened), &back), OK);
    assert_memory_equal(&back, &r, sizeof back);
}

static int boot(void **state)
{
    (void)state;
    return mem_boot(&profile_edge16, MEM_LAZY) == OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(the_first_finding_is_the_reason),
        cmocka_unit_test(what_is_not_known_is_null),
        cmocka_unit_test(tampering_is_told),
        cmocka_unit_test(what_is_no_record),
        cmocka_unit_test(later_keys_are_let_be),
        cmocka_unit_test(older_records_have_less),
    };
    return cmocka_run_group_tests(tests, boot, NULL);
}
