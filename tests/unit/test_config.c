#include "agents/backup/retention.h"
#include "board/rt/mem.h"
#include "config/load.h"
#include "config/print.h"
#include "config/suggest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/skip.h"
#include <cmocka.h>

#define V "version: 1\n"

static struct config *parsed(const char *name, struct bytes yaml, const char *const environment[])
{
    char storage[KIB(4)];
    struct text errors = text_over(storage, sizeof storage);
    struct config *c = NULL;
    if (config_parse(yaml, "h.yaml", environment, NULL, &c, &errors) != OK)
        fail_msg("%s: %s", name, storage);
    assert_string_equal(storage, "");
    return c;
}

/* --- good files --- */
#define SHOWN(...) SHOWN_(__VA_ARGS__, INGEST)
#define SHOWN_(listen, level, format, endpoints, tls, when, idle, total, destinations, rest)                                     \
    V "data: \"/var/lib/holdfast\"\nlisten: \"" listen "\"\nlog:\n  level: " level "\n  format: " format                         \
      "\nbackup:\n  etcd:\n    endpoints:" endpoints "\n" tls GUARDIAN SOURCE when "  idle_timeout: " idle                       \
      "\n  total_timeout: " total "\n  min_rate: 4MiB\n  verify:\n    scratch_max: 8GiB\n  destinations:" destinations "\n" rest
#define INGEST "ingest:\n  enabled: false\n" INGEST_REST
#define INGEST_REST                                                                                                              \
    "  source: crd\n  allow_plaintext: false\n  sync_interval: 5m\n  rate_limit:\n    events_per_second: 10\n    burst_size: "   \
    "20\n  event_types: lower\n  kinds:\n" KINDS                                                                                 \
    "  suppress_unchanged: true\n  environment: off\n  spool:\n    bytes_max: 64MiB\n  snapshot_bytes_max: 256MiB\n"
#define KIND(name) "    - \"" name "\"\n"
#define KINDS                                                                                                                    \
    KIND("Namespace")                                                                                                            \
    KIND("Pod")                                                                                                                  \
    KIND("Service")                                                                                                              \
    KIND("Node")                                                                                                                 \
    KIND("Deployment")                                                                                                           \
    KIND("StatefulSet")                                                                                                          \
    KIND("DaemonSet")                                                                                                            \
    KIND("Job")                                                                                                                  \
    KIND("CronJob")                                                                                                              \
    KIND("Ingress")                                                                                                              \
    KIND("NetworkPolicy")                                                                                                        \
    KIND("ConfigMap")                                                                                                            \
    KIND("Secret")                                                                                                               \
    KIND("PersistentVolumeClaim")                                                                                                \
    KIND("ServiceAccount") KIND("Role") KIND("ClusterRole") KIND("RoleBinding") KIND("ClusterRoleBinding") KIND("Event")
#define SHOWN_HEAD(rest) SHOWN_("127.0.0.1:9464", "info", "logfmt", " []", "", WHEN_DEFAULT, "30s", "2h", " []", rest)
#define GUARDIAN                                                                                                                 \
    "    guardian: false\n    defrag: false\n    defrag_fragmentation: 50\n    defrag_floor: 100MiB\n    defrag_quota: 80\n"     \
    "    nospace: false\n"
#define SOURCE                               "  source: etcd\n  talos:\n    socket: \"/system/run/machined/machine.sock\"\n"
#define WHEN(schedule, timezone, max_age)    "  schedule: \"" schedule "\"\n  timezone: \"" timezone "\"\n  max_age: " max_age "\n"
#define WHEN_DEFAULT                         WHEN("0 2 * * *", "UTC", "1d2h")
#define EVERY(every)                         "  every: " every "\n  timezone: \"UTC\"\n  max_age: 1d2h\n"
#define SHOWN_DEFAULT(listen, level, format) SHOWN(listen, level, format, " []", "", WHEN_DEFAULT, "30s", "2h", " []")
#define SHOWN_WHEN(when)                     SHOWN("127.0.0.1:9464", "info", "logfmt", " []", "", when, "30s", "2h", " []")
#define SHOWN_EVERY(every)                   SHOWN_WHEN(EVERY(every))
#define SHOWN_BACKUP(endpoints, tls, destinations)                                                                               \
    SHOWN("127.0.0.1:9464", "info", "logfmt", endpoints, tls, WHEN_DEFAULT, "30s", "2h", destinations)
#define KEPT              "\n      compress: none\n      retention:\n        daily: 7\n        weekly: 4\n        monthly: 12"
#define DESTINATION(yaml) V "backup:\n  destinations:\n    - {name: a, type: directory, path: /b, retention: " yaml "}\n"
#define RECIPIENT         "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
#define SHOWN_KEPT(kept)                                                                                                         \
    SHOWN_BACKUP(                                                                                                                \
        " []", "",                                                                                                               \
        "\n    - name: \"a\"\n      type: directory\n      path: \"/b\"\n      compress: none\n      retention:\n" kept)

static const struct {
    const char *name, *yaml, *printed;
} good[] = {
    {"only the version", V, SHOWN_DEFAULT("127.0.0.1:9464", "info", "logfmt")},
    {"JSON is YAML", "{\"version\": 1, \"log\": {\"level\": \"warn\"}}", SHOWN_DEFAULT("127.0.0.1:9464", "warn", "logfmt")},
    {"byte order mark", "\xEF\xBB\xBF" V, SHOWN_DEFAULT("127.0.0.1:9464", "info", "logfmt")},
    {"byte order mark before more", "\xEF\xBB\xBF" V "log:\n  level: debug\n",
     SHOWN_DEFAULT("127.0.0.1:9464", "debug", "logfmt")},
    {"document markers", "---\n" V "...\n", SHOWN_DEFAULT("127.0.0.1:9464", "info", "logfmt")},
    {"lines of another system", "version: 1\r\nlog:\r\n  format: json\r\n", SHOWN_DEFAULT("127.0.0.1:9464", "info", "json")},
    {"sections with nothing in them", V "log:\nbackup:\n  # etcd: {}\n", SHOWN_DEFAULT("127.0.0.1:9464", "info", "logfmt")},
    {"every level", V "log: {level: debug, format: json}\n", SHOWN_DEFAULT("127.0.0.1:9464", "debug", "json")},
    {"IPv6", V "listen: \"[::1]:80\"\n", SHOWN_DEFAULT("[::1]:80", "info", "logfmt")},
    {"all addresses", V "listen: :9464\n", SHOWN_DEFAULT("[::]:9464", "info", "logfmt")},
    {"unix socket", V "listen: unix:/run/h.sock\n", SHOWN_DEFAULT("unix:/run/h.sock", "info", "logfmt")},
    {"seconds", V "backup: {every: 10s}\n", SHOWN_EVERY("10s")},
    {"quoted duration", V "backup: {every: \"5m\"}\n", SHOWN_EVERY("5m")},
    {"parts", V "backup: {every: 1h30m}\n", SHOWN_EVERY("1h30m")},
    {"days", V "backup: {every: 2d}\n", SHOWN_EVERY("2d")},
    {"the same, normalised", V "backup: {every: 48h}\n", SHOWN_EVERY("2d")},
    {"milliseconds", V "backup: {every: 90500ms}\n", SHOWN_EVERY("1m30s500ms")},
    {"leading zeros in a duration", V "backup: {every: 010s}\n", SHOWN_EVERY("10s")},
    {"least", V "backup: {every: 10000ms}\n", SHOWN_EVERY("10s")},
    {"most", V "backup: {every: 366d}\n", SHOWN_EVERY("366d")},
    {"timeouts", V "backup: {idle_timeout: 5s, total_timeout: 24h}\n",
     SHOWN("127.0.0.1:9464", "info", "logfmt", " []", "", WHEN_DEFAULT, "5s", "1d", " []")},
    {"schedule", V "backup: {schedule: \"*/15 8-18 * * mon-fri\"}\n", SHOWN_WHEN(WHEN("*/15 8-18 * * mon-fri", "UTC", "1d2h"))},
    {"schedule by name", V "backup: {schedule: \"@daily\"}\n", SHOWN_WHEN(WHEN("@daily", "UTC", "1d2h"))},
    {"time zone by name", V "backup: {timezone: Europe/Berlin}\n", SHOWN_WHEN(WHEN("0 2 * * *", "Europe/Berlin", "1d2h"))},
    {"time zone by rule", V "backup: {timezone: \"CET-1CEST,M3.5.0,M10.5.0/3\"}\n",
     SHOWN_WHEN(WHEN("0 2 * * *", "CET-1CEST,M3.5.0,M10.5.0/3", "1d2h"))},
    {"max_age", V "backup: {max_age: 90m}\n", SHOWN_WHEN(WHEN("0 2 * * *", "UTC", "1h30m"))},
    {"retention of one rule", DESTINATION("{last: 3}"), SHOWN_KEPT("        last: 3")},
    {"retention of all rules", DESTINATION("{last: 1, hourly: 2, daily: 3, weekly: 4, monthly: 5, yearly: 3985}"),
     SHOWN_KEPT("        last: 1\n        hourly: 2\n        daily: 3\n        weekly: 4\n        monthly: 5\n        yearly: "
                "3985")},
    {"retention with a zero", DESTINATION("{daily: 0, weekly: 1}"), SHOWN_KEPT("        weekly: 1")},
    {"notify", V "notify: {webhook: \"https://hooks.lan/a?b=c\", ping_url: \"http://[fd00::1]:8000/ping\", ca: /ca.pem}\n",
     SHOWN_WHEN(
         WHEN_DEFAULT) "notify:\n  webhook: \"https://hooks.lan/a?b=c\"\n  ping_url: \"http://[fd00::1]:8000/ping\"\n  ca: "
                       "\"/ca.pem\"\n"},
    {"ingest by resources", V "kubernetes: {kubeconfig: /k, context: home}\ningest: {enabled: true}\n",
     SHOWN_HEAD("kubernetes:\n  kubeconfig: \"/k\"\n  context: \"home\"\ningest:\n  enabled: true\n" INGEST_REST)},
    {"ingest by configuration",
     V "ingest:\n  enabled: true\n  source: config\n  platform_url: http://localhost:8443/x\n  cluster_name: \"Oslo 1\"\n"
       "  cluster_uid: 7f0e\n  credentials: {client_id_file: /i, private_key_file: /p}\n  kinds: [Pod, Event]\n"
       "  rate_limit: {events_per_second: 5000, burst_size: 1}\n  event_types: upper\n  environment: auto\n"
       "  spool: {path: /s, bytes_max: 1MiB}\n",
     SHOWN_HEAD(
         "ingest:\n  enabled: true\n  source: config\n  platform_url: \"http://localhost:8443/x\"\n  allow_plaintext: false\n"
         "  cluster_name: \"Oslo 1\"\n  cluster_uid: \"7f0e\"\n  credentials:\n    client_id_file: \"/i\"\n"
         "    private_key_file: \"/p\"\n  sync_interval: 5m\n  rate_limit:\n    events_per_second: 5000\n    burst_size: 1\n"
         "  event_types: upper\n  kinds:\n" KIND("Pod")
             KIND("Event") "  suppress_unchanged: true\n  environment: auto\n"
                           "  spool:\n    path: \"/s\"\n    bytes_max: 1MiB\n  snapshot_bytes_max: 256MiB\n")},
    {"notify with nothing in it", V "notify:\n  # webhook: x\n", SHOWN_WHEN(WHEN_DEFAULT)},
    {"empty lists", V "backup: {etcd: {endpoints: []}, destinations: []}\n", SHOWN_DEFAULT("127.0.0.1:9464", "info", "logfmt")},
    {"destinations without endpoints", V "backup:\n  destinations:\n    - {name: a, type: directory, path: /b}\n",
     SHOWN_BACKUP(" []", "", "\n    - name: \"a\"\n      type: directory\n      path: \"/b\"" KEPT)},
    {"S3, sealed for two",
     V "backup:\n  destinations:\n  - name: a\n    type: s3\n    endpoint: https://s3.lan:9000\n    bucket: etcd\n    prefix: "
       "home/\n"
       "    encrypt: {recipients: [" RECIPIENT ", " RECIPIENT "]}\n  - {name: n, type: nfs, server: nas, export: /x, path: /m}\n",
     SHOWN_BACKUP(
         " []", "",
         "\n    - name: \"a\"\n      type: s3\n      endpoint: \"https://s3.lan:9000\"\n      bucket: \"etcd\"\n      prefix: "
         "\"home/\"\n      region: \"us-east-1\"\n      addressing: path\n      compress: zstd\n      encrypt:\n        "
         "recipients:\n          - \"" RECIPIENT "\"\n          - \"" RECIPIENT "\"\n      retention:\n        daily: "
         "7\n        weekly: 4\n        monthly: 12\n    - name: \"n\"\n      type: nfs\n      path: \"/m\"\n      "
         "server: \"nas\"\n      port: 2049\n      export: \"/x\"\n      mount: true" KEPT)},
    {"plain http", V "backup:\n  etcd: {endpoints: [http://e:2379]}\n  destinations:\n  - {name: a, type: directory, path: /b}\n",
     SHOWN_BACKUP("\n      - \"http://e:2379\"", "", "\n    - name: \"a\"\n      type: directory\n      path: \"/b\"" KEPT)},
    {"all of it",
     V "backup:\n  destinations:\n    - name: local\n      type: directory\n      path: \"/a b/\\\"c\\\\\"\n"
       "    - {path: /\xC3\xA9, type: directory, name: nas-2}\n"
       "  etcd:\n    ca: /ca.pem\n    cert: /c.pem\n    key: /k.pem\n    endpoints:\n      - https://10.0.0.2:2379\n"
       "      - https://[fd00::2]:2379/\n      - http://etcd_3.lan\n",
     SHOWN_BACKUP("\n      - \"https://10.0.0.2:2379\"\n      - \"https://[fd00::2]:2379/\"\n      - \"http://etcd_3.lan\"",
                  "    ca: \"/ca.pem\"\n    cert: \"/c.pem\"\n    key: \"/k.pem\"\n",
                  "\n    - name: \"local\"\n      type: directory\n      path: \"/a b/\\\"c\\\\\"" KEPT
                  "\n    - name: \"nas-2\"\n      type: directory\n      path: \"/\xC3\xA9\"" KEPT)},
};

/* What is in force reads back as the same struct, byte for byte. */
static void check_printed(const char *name, const struct config *c, const char *wanted)
{
    char storage[KIB(8)];
    struct text printed = text_over(storage, sizeof storage);
    config_print(c, &printed);
    if (wanted && strcmp(storage, wanted) != 0)
        fail_msg("%s: printed\n%s wanted\n%s", name, storage, wanted);
    struct config *again = parsed(name, bytes_of(storage), NULL);
    assert_memory_equal(again, c, sizeof *c);
    config_free(again);
}

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct config *c = parsed(good[i].name, bytes_of(good[i].yaml), NULL);
        check_printed(good[i].name, c, good[i].printed);
        config_free(c);
    }
    config_free(NULL);
}

static void test_fields(void **state)
{
    (void)state;
    struct config *c = parsed("fields", bytes_of(good[COUNT_OF(good) - 1].yaml), NULL);
    assert_int_equal(c->version, 1);
    assert_int_equal(c->listen.kind, ADDR_IPV4);
    assert_int_equal(c->listen.port, 9464);
    assert_int_equal(c->log_level, LOG_INFO);
    assert_int_equal(c->backup.every_ms, 0);
    assert_string_equal(c->backup.schedule, "0 2 * * *");
    assert_int_equal(c->backup.destinations[1].retention[4], 12);
    assert_int_equal(c->backup.endpoint_count, 3);
    assert_string_equal(c->backup.endpoints[2], "http://etcd_3.lan");
    assert_int_equal(c->backup.destination_count, 2);
    assert_string_equal(c->backup.destinations[1].name, "nas-2");
    assert_int_equal(c->backup.destinations[1].type, DESTINATION_DIRECTORY);
    config_free(c);
}

/* --- environment --- */
static void test_environment(void **state)
{
    (void)state;
    static const char *const environment[] = {
        "HOLDFAST_LOG_LEVEL=debug",          /* over the file */
        "HOLDFAST_LOG_LEVELS=x",             /* none of ours, as the next four */
        "HOLDFAST_PORT=tcp://10.0.0.1:9464", /* Kubernetes, for a Service of that name */
        "HOLDFAST_VERSION=0.9.1",            /* an image's */
        "HOLDFAST_LOG=noise",                /* no scalar */
        "HOLDFAST_BACKUP_DESTINATIONS=/b",   /* a list */
        "HOLDFAST_BACKUP_EVERY=",            /* empty is none */
        "HOLDFAST_BACKUP_IDLE_TIMEOUT=45s",  /* over the default */
        "HOLDFAST_DATA=/data = here",        /* as it is */
        NULL,
    };
    struct config *c = parsed("environment", bytes_of(V "log: {level: warn}\nbackup: {every: 1h}\n"), environment);
    assert_int_equal(c->log_level, LOG_DEBUG);
    assert_int_equal(c->backup.every_ms, HOURS(1));
    assert_int_equal(c->backup.idle_timeout_ms, SECONDS(45));
    assert_string_equal(c->data, "/data = here");
    assert_int_equal(c->backup.destination_count, 0);
    config_free(c);
}

/* --- every type, by a schema of the test's own --- */
struct sample_item {
    bool on;
    int64_t bytes;
    struct {
        int64_t daily;
    } keep;
};
struct sample {
    int64_t count;
    int64_t bytes;
    bool on;
    char word[8];
    struct sample_item items[2];
    unsigned item_count;
};
#define FIELD(type, member) .offset = offsetof(type, member), .bytes = sizeof(((type *)0)->member)
static const struct config_row sample_rows[] = {
    {"count", "Help.", "-3", .type = CONFIG_INTEGER, FIELD(struct sample, count), .least = -5, .most = 5},
    {"bytes", "Help.", "16MiB", .type = CONFIG_SIZE, FIELD(struct sample, bytes), .least = 1, .most = INT64_MAX},
    {"on", "Help.", "true", .type = CONFIG_BOOL, FIELD(struct sample, on)},
    {"word", "Help.", "abc", .type = CONFIG_STRING, FIELD(struct sample, word)},
    {"items", "Help.", .type = CONFIG_OBJECTS, .offset = offsetof(struct sample, items), .bytes = sizeof(struct sample_item),
     .count_offset = offsetof(struct sample, item_count), .most = 2},
    {"items[].on", "Help.", "true", .type = CONFIG_BOOL, FIELD(struct sample_item, on)},
    {"items[].bytes", "Help.", .type = CONFIG_SIZE, FIELD(struct sample_item, bytes), .required = true},
    {"items[].keep", "Help.", .type = CONFIG_SECTION},
    {"items[].keep.daily", "Help.", "7", .type = CONFIG_INTEGER, FIELD(struct sample_item, keep.daily), .most = 100},
};
static const struct schema sample_schema = {sample_rows, COUNT_OF(sample_rows), sizeof(struct sample), NULL, NULL};

static const struct {
    const char *name, *yaml, *result; /* printed, or the errors */
} samples[] = {
    {"defaults", "{}", "count: -3\nbytes: 16MiB\non: true\nword: \"abc\"\nitems: []\n"},
    {"given", "{count: 5, bytes: 65536, on: false, word: 1}", "count: 5\nbytes: 64KiB\non: false\nword: \"1\"\nitems: []\n"},
    {"decimal units", "{bytes: 4MB}", "count: -3\nbytes: 4000000\non: true\nword: \"abc\"\nitems: []\n"},
    {"items", "items:\n- {bytes: 1GiB, on: false, keep: {daily: 3}}\n- bytes: 2TB\n",
     "count: -3\nbytes: 16MiB\non: true\nword: \"abc\"\nitems:\n  - on: false\n    bytes: 1GiB\n    keep:\n      daily: 3\n"
     "  - on: true\n    bytes: 1953125000KiB\n    keep:\n      daily: 7\n"},
    {"bool words", "{on: yes}", "s:1:6: on: \"yes\" is not true or false; write true or false\n"},
    {"bool in quotes", "{on: \"true\"}", "s:1:6: on: \"true\" is not true or false; write true or false\n"},
    {"bool number", "{on: 1}", "s:1:6: on: \"1\" is not true or false; write true or false\n"},
    {"integer below", "{count: -6}", "s:1:9: count: \"-6\" is less than -5; write -5 or more\n"},
    {"integer sign alone", "{count: \"-\"}", "s:1:9: count: \"-\" is not a whole number; write digits\n"},
    {"integer far below", "{count: -99999999999999999999}",
     "s:1:9: count: \"-99999999999999999999\" is less than -5; write -5 or more\n"},
    {"size of nothing", "{bytes: 0}", "s:1:9: bytes: \"0\" is less than 1; write 1 or more\n"},
    {"size negative", "{bytes: -1}", "s:1:9: bytes: \"-1\" is not a size; write it like 65536, 64KiB, 16MiB or 4MB\n"},
    {"size in another's units", "{bytes: 16M}",
     "s:1:9: bytes: \"16M\" is not a size; write it like 65536, 64KiB, 16MiB or 4MB\n"},
    {"size in two parts", "{bytes: 1MiB1KiB}",
     "s:1:9: bytes: \"1MiB1KiB\" is not a size; write it like 65536, 64KiB, 16MiB or 4MB\n"},
    {"long text", "{word: 12345678}", "s:1:8: word: is longer than 7 bytes; shorten it\n"},
    {"in an item's section", "items: [{bytes: 1, keep: {daily: x, weekly: 1}}]",
     "s:1:34: items[0].keep.daily: \"x\" is not a whole number; write digits\n"
     "s:1:37: items[0].keep.weekly: unknown key; known here: daily\n"},
    {"required in the second item", "items: [{bytes: 1}, {on: true}]",
     "s:1:21: items[1].bytes: required and missing; add \"bytes:\"\n"},
};

static void check_sample(size_t i)
{
    char storage[KIB(2)];
    struct text out = text_over(storage, sizeof storage);
    struct sample sample = {0};
    struct loader l = {.schema = &sample_schema, .config = &sample, .file_name = "s", .errors = &out};
    if (load(&l, bytes_of(samples[i].yaml)) == OK)
        print_yaml(&sample_schema, &sample, &out);
    if (strcmp(storage, samples[i].result) != 0)
        fail_msg("%s: got %s", samples[i].name, storage);
}

static void test_every_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(samples); i++)
        check_sample(i);
}

/* --- suggestions --- */
static const struct {
    const char *wrong, *best;
} suggestions[] = {
    {"endpoint", "endpoints"},
    {"enpdoints", "endpoints"},
    {"ENDPOINTS", "endpoints"},
    {"end_points", "endpoints"},
    {"evry", "every"},
    {"c", "ca"},
    {"xx", NULL},
    {"cas", "ca"},
    {"schedule", NULL},
    {"", NULL},
};

static void test_suggestions(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(suggestions); i++) {
        struct suggestion s = suggest_start(bytes_of(suggestions[i].wrong));
        suggest_offer(&s, "endpoints");
        suggest_offer(&s, "every");
        suggest_offer(&s, "ca");
        if (suggestions[i].best ? !s.best || strcmp(s.best, suggestions[i].best) != 0 : s.best != NULL)
            fail_msg("%s: %s", suggestions[i].wrong, s.best ? s.best : "none");
    }
}

/* --- reference --- */
static void test_reference(void **state)
{
    (void)state;
    static char storage[KIB(16)];
    struct text out = text_over(storage, sizeof storage);
    config_reference(&out);
    assert_false(out.cut);
    assert_non_null(strstr(storage, "| `version` | a whole number | required | 1 | | Version of this file's format. |\n"));
    assert_non_null(strstr(storage, "| `backup.every` | a duration | none | 10s to 366d | `HOLDFAST_BACKUP_EVERY` | "));
    assert_non_null(strstr(storage, "| `log.level` | `debug`, `info`, `warn`, `error` | `info` |  | `HOLDFAST_LOG_LEVEL` | "));
    assert_non_null(strstr(storage, "| `backup.destinations[].name` | a text | required | at most 32 bytes, unique | | "));
    assert_null(strstr(storage, "| `backup` |"));
    for (char *line = storage; *line; line = strchr(line, '\n') + 1) { /* six columns each */
        int bars = 0;
        for (const char *c = line; *c != '\n'; c++)
            bars += *c == '|';
        assert_int_equal(bars, 7);
    }
}

/* --- the rules of retention are a table of agents/backup/retention.h, and rows here --- */
static void test_retention_is_the_same_list(void **state)
{
    (void)state;
    for (enum retention_rule r = 0; r < RETENTION_RULE_COUNT; r++) {
        char path[CONFIG_PATH_MAX];
        (void)snprintf(path, sizeof path, "backup.destinations[].retention.%s", retention_rule_name(r));
        const struct config_row *row = row_find(&config_schema, path);
        assert_non_null(row);
        assert_int_equal(row->offset, offsetof(struct config_destination, retention) + r * sizeof(int64_t));
    }
}

/* --- faults --- */
#define HOARD_MAX   4096
#define HOARD_BYTES 240
static void *hoard[HOARD_MAX];

/* Takes all the heap of the task, then gives it back block by block: each call finds a little more, so each of its allocations is
 * the first to fail once. It says so, and leaves nothing behind. */
static void test_every_allocation_fails_once(void **state)
{
    (void)state;
    unsigned held = 0, refused = 0;
    while (held < HOARD_MAX && (hoard[held] = malloc(HOARD_BYTES)))
        held++;
    bool bounded = held < HOARD_MAX; /* not in the builds whose malloc is the host's */
    err e = E_BUDGET;
    while (bounded && held > 0 && e != OK) {
        char storage[256];
        struct text errors = text_over(storage, sizeof storage);
        struct config *c = NULL;
        size_t before = mem_use(TASK_BOARD).used_bytes;
        e = config_parse(bytes_of(good[COUNT_OF(good) - 1].yaml), "h.yaml", NULL, NULL, &c, &errors);
        assert_true(e == OK ||
                    (e == E_BUDGET && !c && strstr(storage, "h.yaml:") && strstr(storage, "no memory left to read it")));
        refused += e == E_BUDGET;
        config_free(c);
        trail_clear();
        assert_int_equal(mem_use(TASK_BOARD).used_bytes, before);
        free(hoard[--held]);
    }
    while (held > 0)
        free(hoard[--held]);
    if (!bounded)
        SKIP_BECAUSE("malloc has no limit in this build");
    assert_int_equal(e, OK);
    assert_true(refused > 20);
}

/* Bytes of a good file changed, dropped and doubled: either it is good and prints as itself, or something is said. */
static void test_mutations(void **state)
{
    (void)state;
    static const char odd[] = "\t\n :-[]{}\"'#&*!|>%@`,?~\\\0\xFF\xC3"
                              "0a";
    const char *sample = good[COUNT_OF(good) - 1].yaml;
    uint8_t yaml[1024];
    char storage[KIB(4)];
    uint64_t seed = 88172645463325252u;
    unsigned accepted = 0;
    for (int run = 0; run < 3000; run++) {
        size_t len = strlen(sample);
        memcpy(yaml, sample, len);
        for (int change = 0; change <= run % 3; change++) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17; /* xorshift64, Marsaglia 2003 */
            size_t at = (seed >> 8) % len;
            if (seed % 4 == 0)
                memmove(yaml + at, yaml + at + 1, --len - at);
            else
                yaml[at] = (uint8_t)odd[(seed >> 32) % (sizeof odd - 1)];
        }
        struct text errors = text_over(storage, sizeof storage);
        struct config *c = NULL;
        err e = config_parse((struct bytes){yaml, len}, "h.yaml", NULL, NULL, &c, &errors);
        assert_true(e == OK ? c != NULL : e == E_CONFIG && !c && strncmp(storage, "h.yaml:", 7) == 0);
        accepted += e == OK;
        if (c)
            check_printed("mutation", c, NULL);
        config_free(c);
        trail_clear();
    }
    assert_true(accepted > 100 && accepted < 2900);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_suggestions),
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_retention_is_the_same_list),
        cmocka_unit_test(test_every_allocation_fails_once),
        cmocka_unit_test(test_mutations),
    };
    if (mem_boot(&profile_edge16, MEM_LAZY) != OK)
        return 1;
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
