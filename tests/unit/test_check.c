/* What `holdfast check` finds in a good configuration: the next runs, the longest gap, what is likely wrong. And the host's
 * zones. The words and exit codes of the command: tests/e2e/test_check.py. */
#include "board/check.h"
#include "board/rt/buf.h"
#include "board/rt/mem.h"
#include "board/zones.h"
#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/skip.h"

#define V         "version: 1\n"
#define NOW_S     1772323200 /* 2026-03-01T00:00:00Z, a Sunday */
#define HOUR_S    3600
#define DAY_S     (24 * HOUR_S)
#define BERLIN    "/usr/share/zoneinfo/Europe/Berlin"
#define TO_B      "  destinations: [{name: a, type: directory, path: /b}]\n"
#define D(n)      "{name: d" n ", type: directory, path: /none/" n "}"
#define PLAIN(ip) "http://" ip ":2379"
#define LONG_50   "/0123456789012345678901234567890123456789012345678"
#define LONG_500  LONG_50 LONG_50 LONG_50 LONG_50 LONG_50 LONG_50 LONG_50 LONG_50 LONG_50 LONG_50

static const struct {
    const char *name, *yaml;
    unsigned runs;
    int64_t first_s, gap_s; /* from NOW_S */
    unsigned warnings;
    const char *says; /* the first warning; NULL: none */
} cases[] = {
    {"the default", V, 3, 2 * HOUR_S, DAY_S, 0, NULL},
    {"every", V "backup: {every: 6h}\n", 0, 0, 6 * HOUR_S, 0, NULL},
    {"every, beyond max_age", V "backup: {every: 27h}\n", 0, 0, 27 * HOUR_S, 1, "shorter than the 27 h 0 min"},
    {"every as long as max_age", V "backup: {every: 26h}\n", 0, 0, 26 * HOUR_S, 0, NULL},
    {"each minute", V "backup: {schedule: \"* * * * *\"}\n", 3, 60, 60, 0, NULL},
    {"office hours", V "backup: {schedule: \"0 8-17 * * 1-5\", max_age: 3d}\n", 3, 32 * HOUR_S, 63 * HOUR_S, 0, NULL},
    {"weekends", V "backup: {schedule: \"0 8-17 * * 1-5\"}\n", 3, 32 * HOUR_S, 63 * HOUR_S, 1, "shorter than the 63 h 0 min"},
    {"monthly", V "backup: {schedule: \"@monthly\", max_age: 32d}\n", 3, 31 * DAY_S, 31 * DAY_S, 0, NULL},
    {"a clock that is set forward", V "backup: {timezone: \"CET-1CEST,M3.5.0,M10.5.0/3\"}\n", 3, HOUR_S, 25 * HOUR_S, 0, NULL},
    {"the same, hourly", V "backup: {schedule: \"@hourly\", timezone: \"CET-1CEST,M3.5.0,M10.5.0/3\", max_age: 1h}\n", 3, HOUR_S,
     2 * HOUR_S, 1, "shorter than the 2 h 0 min"},
    {"plain http here", V "backup:\n  etcd: {endpoints: [http://127.0.0.1, \"http://[::1]:1\", http://localhost]}\n" TO_B, 3,
     2 * HOUR_S, DAY_S, 0, NULL},
    {"plain http there", V "backup:\n  etcd: {endpoints: [http://127.0.0.1, http://etcd.lan]}\n" TO_B, 3, 2 * HOUR_S, DAY_S, 1,
     "backup.etcd.endpoints[1]: http://etcd.lan is not encrypted"},
    {"no such file", V "notify: {ca: /none/ca.pem}\n", 3, 2 * HOUR_S, DAY_S, 1, "notify.ca: there is no /none/ca.pem"},
    {"a folder", V "notify: {ca: /}\n", 3, 2 * HOUR_S, DAY_S, 1, "notify.ca: / is no file"},
    {"a destination that is none", V "backup:\n  destinations: [{name: a, type: directory, path: /dev/null}]\n", 3, 2 * HOUR_S,
     DAY_S, 1, "backup.destinations[0].path: /dev/null is not a folder"},
    {"much at once",
     V "backup:\n  every: 27h\n  etcd:\n    endpoints: [" PLAIN("1.1.1.1") ", " PLAIN("1.1.1.2") ", " PLAIN("1.1.1.3") ", " PLAIN(
         "1.1.1.4") ", " PLAIN("1.1.1.5") "]\n    cert: " LONG_500 "\n    key: " LONG_500
                                          "\n  destinations: [" D("1") ", " D("2") ", " D("3") ", " D(
                                              "4") "]\nnotify: {ca: " LONG_500 "}\n",
     0, 0, 27 * HOUR_S, 9, "shorter than the 27 h 0 min"},
};

static struct config *parsed(const char *name, const char *yaml)
{
    char storage[KIB(4)];
    struct text errors = text_over(storage, sizeof storage);
    struct config *c = NULL;
    if (config_parse(bytes_of(yaml), "h.yaml", NULL, NULL, &c, &errors) != OK)
        print_error("%s: %s\n", name, storage);
    return c;
}

static void check_case(size_t i)
{
    unsigned failed = checks_failed;
    struct config *c = parsed(cases[i].name, cases[i].yaml);
    struct checked *found = malloc(sizeof *found);
    CHECK(c && found && check_look(found, c, NULL, NOW_S) == OK);
    if (c && found) {
        CHECK(found->next_count == cases[i].runs && found->gap_s == cases[i].gap_s);
        CHECK(cases[i].runs == 0 || found->next_s[0] == NOW_S + cases[i].first_s);
        CHECK(found->warning_count == cases[i].warnings);
        CHECK(!cases[i].says || (found->warning_count > 0 && strstr(check_warning(found, 0), cases[i].says)));
        for (unsigned w = 0; w < found->warning_count; w++)
            CHECK(strlen(check_warning(found, w)) > 20);
        if (checks_failed > failed)
            print_error("%s: gap %lld s, %u warnings: %s\n", cases[i].name, (long long)found->gap_s, found->warning_count,
                        found->warning_count ? check_warning(found, 0) : "");
    }
    free(found);
    config_free(c);
}

static err look_at_all(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_case(i);
    return OK;
}

/* --- a key, by its mode --- */
static const struct {
    mode_t mode;
    bool warned;
} modes[] = {{0600, false}, {0400, false}, {0640, true}, {0604, true}, {0666, true}, {0610, true}};

static err look_at_keys(void *arg)
{
    char yaml[512];
    struct checked *found = malloc(sizeof *found);
    (void)snprintf(yaml, sizeof yaml, V "backup: {etcd: {cert: %s, key: %s}}\n", (char *)arg, (char *)arg);
    struct config *c = parsed("key", yaml);
    CHECK(found && c);
    for (size_t i = 0; found && c && i < COUNT_OF(modes); i++) {
        CHECK(chmod(arg, modes[i].mode) == 0 && check_look(found, c, NULL, NOW_S) == OK);
        CHECK(found->warning_count == (modes[i].warned ? 1 : 0));
        CHECK(!modes[i].warned || strstr(check_warning(found, 0), "backup.etcd.key: "));
    }
    free(found);
    config_free(c);
    return OK;
}

/* --- rehearsals: keys, recipients, scratch --- */
/* Made by age-keygen for these tests. */
#define OURS       "age1nz8c8hettukegtlxaxupkgvj6647vdedq66z8uzftkk5vlpdgflqe8z6j8"
#define IDENTITY   "# ours\nAGE-SECRET-KEY-175NSU9356TSZL6ZLCYFN3JFSZWYLJS6L7TGVHNE6VF73PHPC66WSXK4VJ9\n"
#define THEIRS     "age19g69tejljfzr0sp0j9s9wzmf2e8phaw2dqq5fxth93un52elnd5sc745ze"
#define SEALED(to) "{name: s, type: directory, path: /none/s, encrypt: {recipients: [" to "]}}"
#define TO(d)      "backup:\n  destinations: [" d "]\n"

static const struct {
    const char *name, *yaml; /* %s in it: the identity file; IDENTITY's recipient is OURS */
    const char *says;        /* NULL: no warning */
} rehearsals[] = {
    {"not sealed", V TO("{name: a, type: directory, path: /none/a}"), NULL},
    {"sealed, no identity", V TO(SEALED(OURS)), "rehearsals of s only compare the stored bytes"},
    {"sealed, ours", V TO(SEALED(OURS)) "  rehearse: {identity_file: %s}\n", NULL},
    {"sealed, ours among others", V TO(SEALED(THEIRS ", " OURS)) "  rehearse: {identity_file: %s}\n", NULL},
    {"sealed, theirs", V TO(SEALED(THEIRS)) "  rehearse: {identity_file: %s}\n", "no identity of backup.rehearse.identity_file"},
    {"no identities", V TO(SEALED(OURS)) "  rehearse: {identity_file: /dev/null}\n", "backup.rehearse.identity_file: "},
    {"scratch beside", V TO("{name: a, type: directory, path: /none/a}") "  verify: {scratch: /none/ab}\n", NULL},
    {"scratch in it", V TO("{name: a, type: directory, path: /none/a}") "  verify: {scratch: /none/a/b}\n",
     "/none/a/b lies in the folder of the destination a"},
    {"scratch is it", V TO("{name: a, type: directory, path: /none/a/}") "  verify: {scratch: /none/a}\n", "lies in the folder"},
};

static err look_at_rehearsals(void *arg)
{
    struct checked *found = malloc(sizeof *found);
    for (size_t i = 0; found && i < COUNT_OF(rehearsals); i++) {
        char yaml[1024];
        const char *at = strstr(rehearsals[i].yaml, "%s");
        int before = at ? (int)(at - rehearsals[i].yaml) : (int)strlen(rehearsals[i].yaml);
        (void)snprintf(yaml, sizeof yaml, "%.*s%s%s", before, rehearsals[i].yaml, at ? (char *)arg : "", at ? at + 2 : "");
        struct config *c = parsed(rehearsals[i].name, yaml);
        CHECK(c && check_look(found, c, NULL, NOW_S) == OK);
        unsigned last = found->warning_count - 1;
        bool right = rehearsals[i].says
                         ? found->warning_count > 0 && strstr(check_warning(found, last), rehearsals[i].says) != NULL
                         : found->warning_count == 0;
        CHECK(right);
        if (!right)
            print_error("%s: %u warnings: %s\n", rehearsals[i].name, found->warning_count,
                        found->warning_count ? check_warning(found, last) : "");
        config_free(c);
    }
    free(found);
    return OK;
}

/* --- the host's zones --- */
static err find_zones(void *arg)
{
    struct zones z;
    struct zone *found = malloc(sizeof *found);
    bool there = access(BERLIN, R_OK) == 0;
    (void)arg;
    zones_open(&z);
    struct config_zones finder = zones_finder(&z);
    if (there && found) {
        CHECK(config_zone("Europe/Berlin", &finder, found) == OK);
        CHECK(zone_offset_s(found, NOW_S) == HOUR_S && zone_offset_s(found, NOW_S + 122 * DAY_S) == 2 * HOUR_S);
    }
    CHECK(found && config_zone("Europe/Nowhere", &finder, found) == E_ABSENT);
    CHECK(found && config_zone("../zoneinfo/UTC", &finder, found) == E_INVALID);
    CHECK(found && config_zone("UTC", &finder, found) == OK && zone_offset_s(found, NOW_S) == 0);
    CHECK(found && config_zone("EST5", NULL, found) == OK && zone_offset_s(found, NOW_S) == -5 * HOUR_S);
    CHECK(found && config_zone("Europe/Berlin", NULL, found) == E_ABSENT);
    trail_clear();
    zones_close(&z);
    free(found);
    return OK;
}

static void test_look(void **state)
{
    (void)state;
    fibers_run(look_at_all, NULL, OK);
}

static void test_keys(void **state)
{
    char path[] = "/tmp/holdfast-key-XXXXXX";
    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    fibers_run(look_at_keys, path, OK);
    assert_int_equal(unlink(path), 0);
}

static void test_rehearsals(void **state)
{
    char path[] = "/tmp/test_check-XXXXXX";
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0 && write(fd, IDENTITY, strlen(IDENTITY)) == (ssize_t)strlen(IDENTITY) && close(fd) == 0);
    fibers_run(look_at_rehearsals, path, OK);
    assert_int_equal(unlink(path), 0);
}

static void test_zones(void **state)
{
    (void)state;
    fibers_run(find_zones, NULL, OK);
    if (access(BERLIN, R_OK) != 0)
        SKIP_BECAUSE("there is no " BERLIN);
}

int main(void)
{
    if (mem_boot(&profile_edge16, MEM_LAZY) != OK || buf_boot() != OK)
        return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_look), cmocka_unit_test(test_keys),
                                       cmocka_unit_test(test_rehearsals), cmocka_unit_test(test_zones)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
