#include "config/config.h"

#include "config/load.h"

#include <stdlib.h>
#include <string.h>

err config_parse(struct bytes yaml, const char *file_name, const char *const environment[], const struct config_zones *zones,
                 struct config **out, struct text *errors)
{
    *out = NULL;
    struct config *c = calloc(1, sizeof *c);
    struct loader *l = calloc(1, sizeof *l); /* 2 KiB: too much for a fiber's stack */
    err e = E_BUDGET;
    if (!c || !l) {
        text_addf(errors, "%s:1:1: no memory left to read it\n", file_name);
        goto cleanup;
    }
    *l = (struct loader){.schema = &config_schema,
                         .config = c,
                         .file_name = file_name,
                         .environment = environment,
                         .zones = zones,
                         .errors = errors};
    e = load(l, yaml);
    if (e == OK) {
        *out = c;
        c = NULL;
    }
cleanup:
    free(l);
    free(c);
    return e == OK ? OK : trail(e, "configuration %s", file_name);
}

void config_free(struct config *c)
{
    free(c);
}

err config_zone(const char *timezone, const struct config_zones *zones, struct zone *out)
{
    struct bytes text = bytes_of(timezone);
    if (bytes_equal_text(text, "UTC")) {
        *out = zone_utc;
        return OK;
    }
    if (zone_from_posix(text, out) == OK)
        return OK;
    trail_clear();
    if (!zone_name_is_plausible(text))
        return E_INVALID;
    return zones ? zones->find(zones->arg, timezone, out) : E_ABSENT;
}

bool config_backs_up(const struct config *c)
{
    return (c->backup.endpoint_count > 0 || c->backup.source == SOURCE_TALOS) && c->backup.destination_count > 0;
}

/* --- what no single field can tell --- */
static bool has_https(const struct config *c)
{
    for (unsigned i = 0; i < c->backup.endpoint_count; i++)
        if (strncmp(c->backup.endpoints[i], "https:", 6) == 0)
            return true;
    return false;
}

static void etcd_rules(const struct config *c, struct loader *l)
{
    if (c->backup.source == SOURCE_TALOS && c->backup.destination_count == 0)
        load_wrong(l, "backup.source", "there is nowhere to keep backups; add one under backup.destinations");
    if ((c->backup.etcd.defrag || c->backup.etcd.nospace) && !c->backup.guardian)
        load_wrong(l, c->backup.etcd.defrag ? "backup.etcd.defrag" : "backup.etcd.nospace",
                   "nobody would do it; add guardian: true, or remove it");
    if (c->backup.guardian && c->backup.endpoint_count == 0)
        load_wrong(l, "backup.etcd.guardian", "there is no etcd to guard; add backup.etcd.endpoints");
    if (c->backup.endpoint_count > 0 && c->backup.destination_count == 0)
        load_wrong(l, "backup.etcd.endpoints", "there is nowhere to keep backups; add one under backup.destinations");
    /* destinations without endpoints are fine: the hub runs and says that it backs up nothing */
    if (has_https(c) && !*c->backup.ca)
        load_wrong(l, "backup.etcd.endpoints", "https needs the CA of the members; add backup.etcd.ca");
    if (*c->backup.cert && !*c->backup.key)
        load_wrong(l, "backup.etcd.cert", "a certificate needs its key; add backup.etcd.key");
    if (*c->backup.key && !*c->backup.cert)
        load_wrong(l, "backup.etcd.key", "a key needs its certificate; add backup.etcd.cert");
}

/* "": says what is wrong with a schedule. */
static void cron_words(const char *schedule, char *out, size_t cap)
{
    struct text why = text_over(out, cap);
    struct cron cron;
    err e = cron_parse(bytes_of(schedule), &cron, &why);
    trail_clear();
    if (e == OK && cron_next(&cron, &zone_utc, 0) == INT64_MAX)
        text_add(&why, "names a day that never comes, like February 30; write another");
}

/* One of the two, and of a schedule only what can be understood. */
static void schedule_rules(struct config *c, struct loader *l)
{
    static const char schedule[] = "backup.schedule", every[] = "backup.every";
    bool both = load_is_given(l, schedule) && load_is_given(l, every);
    bool schedule_last = both && load_is_later(l, schedule, every);
    if (both)
        load_wrong(l, schedule_last ? schedule : every, "%s is given too, and only one of them can hold; remove one",
                   schedule_last ? every : schedule);
    if (load_is_given(l, every)) {
        memset(c->backup.schedule, 0, sizeof c->backup.schedule); /* the default is for those who say nothing */
        return;
    }
    char words[160] = "";
    cron_words(c->backup.schedule, words, sizeof words);
    if (*words)
        load_wrong(l, schedule, "%s", words);
}

static void rehearse_rules(const struct config *c, struct loader *l)
{
    char words[160] = "";
    if (*c->backup.rehearse_schedule)
        cron_words(c->backup.rehearse_schedule, words, sizeof words);
    if (*words)
        load_wrong(l, "backup.rehearse.schedule", "%s", words);
}

static void zone_rules(const struct config *c, struct loader *l)
{
    static const char path[] = "backup.timezone", posix[] = "a POSIX string like CET-1CEST,M3.5.0,M10.5.0/3";
    const char *name = c->backup.timezone;
    err e = config_zone(name, l->zones, &l->zone);
    trail_clear(); /* the words below say it */
    if (e == OK || (e == E_ABSENT && !l->zones))
        return;
    if (!zone_name_is_plausible(bytes_of(name)))
        load_wrong(l, path, "\"%s\" is no time zone; write UTC, a name like Europe/Berlin, or %s", name, posix);
    else if (e == E_ABSENT)
        load_wrong(l, path, "this machine has no zoneinfo file for \"%s\"%s; write UTC or %s", name,
                   strpbrk(name, "0123456789") && !strchr(name, '/') ? ", and no POSIX string has summer time without its rule"
                                                                     : "",
                   posix);
    else
        load_wrong(l, path, "the zoneinfo file of \"%s\" cannot be used: %s; write UTC or %s", name, err_text(e), posix);
}

void config_rules(void *config, struct loader *l)
{
    ingest_rules(config, l);
    etcd_rules(config, l);
    schedule_rules(config, l);
    rehearse_rules(config, l);
    zone_rules(config, l);
}

/* --- and of one destination --- */

/* The last name of path[0, *end), which then ends before it: without . and .. and what .. takes back. False: there is none. */
static bool name_before(const char *path, size_t *end, struct bytes *name)
{
    for (unsigned back = 0;;) {
        while (*end > 0 && path[*end - 1] == '/')
            (*end)--;
        size_t begin = *end;
        while (begin > 0 && path[begin - 1] != '/')
            begin--;
        *name = (struct bytes){(const uint8_t *)path + begin, *end - begin};
        *end = begin;
        if (name->len == 0)
            return false;
        if (bytes_equal_text(*name, "."))
            continue;
        if (bytes_equal_text(*name, ".."))
            back++;
        else if (back == 0)
            return true;
        else
            back--;
    }
}

static bool is_same_folder(const char *a, const char *b)
{
    size_t a_end = strlen(a), b_end = strlen(b);
    struct bytes one, other;
    for (;;) {
        bool more = name_before(a, &a_end, &one);
        if (more != name_before(b, &b_end, &other))
            return false;
        if (!more)
            return true;
        if (one.len != other.len || memcmp(one.at, other.at, one.len) != 0)
            return false;
    }
}

/* Each would prune what the other keeps. */
static void folder_rules(const struct config_destination *d, struct loader *l)
{
    const struct config *c = l->config;
    for (const struct config_destination *earlier = c->backup.destinations; earlier < d; earlier++)
        if (*earlier->path && *d->path && is_same_folder(earlier->path, d->path)) {
            load_wrong(l, "backup.destinations[].path", "is the folder of destination \"%s\" too; give each its own",
                       earlier->name);
            return;
        }
}

/* Under one prefix each would prune what the other keeps. */
static void bucket_rules(const struct config_destination *d, struct loader *l)
{
    const struct config *c = l->config;
    for (const struct config_destination *earlier = c->backup.destinations; earlier < d; earlier++)
        if (earlier->type == DESTINATION_S3 && strcmp(earlier->endpoint, d->endpoint) == 0 &&
            strcmp(earlier->bucket, d->bucket) == 0 && strcmp(earlier->prefix, d->prefix) == 0)
            load_wrong(l, "backup.destinations[].bucket",
                       "is that of destination \"%s\" too, with the same prefix; give each its own prefix", earlier->name);
}

static void s3_rules(struct config_destination *d, struct loader *l)
{
    bool access = *d->access_key_file != 0, secret = *d->secret_key_file != 0;
    if (access != secret)
        load_wrong(l, access ? "backup.destinations[].access_key_file" : "backup.destinations[].secret_key_file",
                   "the two keys go together; add %s", access ? "secret_key_file" : "access_key_file");
    size_t end = strlen(d->endpoint), len = strlen(d->prefix);
    if (end > 0 && d->endpoint[end - 1] == '/') /* one server, one way to write it */
        d->endpoint[end - 1] = 0;
    if (len + 1 == sizeof d->prefix && d->prefix[len - 1] != '/')
        load_wrong(l, "backup.destinations[].prefix", "has no room for the slash at its end; write %zu characters at most",
                   len - 1);
    else if (len > 0 && d->prefix[len - 1] != '/')
        d->prefix[len] = '/'; /* the rest is zero */
    bucket_rules(d, l);
}

static void kind_rules(struct config_destination *d, struct loader *l)
{
    bool is_s3 = d->type == DESTINATION_S3;
    if (is_s3)
        s3_rules(d, l);
    if (d->compress < 0)
        d->compress = is_s3 ? COMPRESS_ZSTD : COMPRESS_NONE;
}

/* last, hourly, daily, weekly, monthly, yearly */
static const int64_t retention_default[CONFIG_RETENTION_RULES] = {0, 0, 7, 4, 12, 0};

void config_item_rules(void *item, const struct config_row *list, struct loader *l)
{
    (void)list; /* destinations are the only list of maps */
    struct config_destination *d = item;
    int64_t all = 0;
    for (unsigned i = 0; i < CONFIG_RETENTION_RULES; i++)
        all += d->retention[i];
    folder_rules(d, l);
    kind_rules(d, l);
    if (all > CONFIG_RETENTION_MAX)
        load_wrong(l, "backup.destinations[].retention",
                   "keeps %lld backups in all, and one destination holds %d at most; lower some of the numbers", (long long)all,
                   CONFIG_RETENTION_MAX);
    if (all > 0)
        return;
    if (load_is_given(l, "backup.destinations[].retention"))
        load_wrong(l, "backup.destinations[].retention",
                   "keeps no backup at all; write at least one rule, like daily: 7, or remove the key for the default");
    memcpy(d->retention, retention_default, sizeof retention_default);
}
