/* check: `holdfast check`. Is the configuration good, and what does it mean? */
#include "board/check.h"

#include "agents/backup/retention.h"
#include "board/rt/buf.h"
#include "board/zones.h"
#include "net/format/json_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES        KIB(64)
#define CHECK_PLACE_BYTES (CONFIG_URL_MAX + 2 * OS_PATH_MAX)

/* 2026-11-22T02:00:00+01:00, by the clock of the place. */
static void print_moment(const struct zone *z, int64_t at_s, struct text *out)
{
    int32_t offset = zone_offset_s(z, at_s);
    char local[TIME_TEXT_MAX];
    text_rfc3339(at_s + offset, local, sizeof local);
    if (offset == 0) {
        text_add(out, local);
        return;
    }
    int32_t minutes = (offset < 0 ? -offset : offset) / 60;
    text_addf(out, "%.*s%c%02d:%02d", (int)strlen(local) - 1, local, offset < 0 ? '-' : '+', (int)(minutes / 60),
              (int)(minutes % 60));
}

/* --- for people --- */
/* 26 h 30 min */
static void print_span(ms span, struct text *out)
{
    static const struct {
        ms worth;
        const char *unit;
    } parts[] = {{HOURS(1), "h"}, {MINUTES(1), "min"}, {SECONDS(1), "s"}};
    const char *between = "";
    for (size_t i = 0; i < COUNT_OF(parts); span %= parts[i++].worth)
        if (span >= parts[i].worth) {
            text_addf(out, "%s%lld %s", between, (long long)(span / parts[i].worth), parts[i].unit);
            between = " ";
        }
}

static void print_when(const struct checked *c, struct text *out)
{
    const struct config *g = c->config;
    if (!*g->backup.schedule) {
        text_add(out, "  runs          every ");
        print_span(g->backup.every_ms, out);
        text_add(out, ", counted from the newest backup\n");
    } else {
        text_addf(out, "  schedule      %s (%s)\n  next runs     ", g->backup.schedule, g->backup.timezone);
        for (unsigned i = 0; i < c->next_count; i++) {
            text_add(out, i ? ", " : "");
            print_moment(&c->zone, c->next_s[i], out);
        }
        text_add(out, "\n");
    }
    text_add(out, "  stale after   ");
    print_span(g->backup.max_age_ms, out);
    text_add(out, "\n");
}

static void print_place(const struct config_destination *d, struct text *out)
{
    if (d->type == DESTINATION_S3)
        text_addf(out, "%s/%s/%s", d->endpoint, d->bucket, d->prefix);
    else if (d->type == DESTINATION_NFS)
        text_addf(out, "%s:%s on %s", d->server, d->export, d->path);
    else
        text_add(out, d->path);
}

static void print_destination(const struct config_destination *d, struct text *out)
{
    const char *between = " ";
    text_addf(out, "  %-13s ", d->name);
    print_place(d, out);
    if (d->compress == COMPRESS_ZSTD)
        text_add(out, ", compressed");
    if (d->recipient_count)
        text_addf(out, ", encrypted for %u", d->recipient_count);
    text_add(out, ", keeps");
    for (enum retention_rule r = 0; r < RETENTION_RULE_COUNT; r++)
        if (d->retention[r] > 0) {
            text_addf(out, "%s%s %lld", between, retention_rule_name(r), (long long)d->retention[r]);
            between = ", ";
        }
    text_add(out, "\n");
}

static void print_text(const struct checked *c, const char *path, struct text *out)
{
    const struct config *g = c->config;
    text_addf(out, "%s: good\n", path);
    for (unsigned i = 0; i < g->backup.endpoint_count; i++)
        text_addf(out, "  %-13s %s\n", i ? "" : "etcd", g->backup.endpoints[i]);
    if (g->backup.source == SOURCE_TALOS)
        text_addf(out, "  %-13s %s\n", "talos", *g->backup.talos_config ? g->backup.talos_config : g->backup.talos_socket);
    if (!config_backs_up(g)) {
        text_add(out, "  backs up nothing: backup.etcd.endpoints is not set\n");
    } else {
        print_when(c, out);
        for (unsigned i = 0; i < g->backup.destination_count; i++)
            print_destination(&g->backup.destinations[i], out);
    }
    if (g->ingest.enabled)
        text_addf(out, "  %-13s %u kinds to %s%s%s\n", "streams", g->ingest.kind_count,
                  g->ingest.source == INGEST_CRD ? "where ObsykAgents say" : g->ingest.platform_url,
                  g->ingest.source == INGEST_CRD ? "" : ", as ", g->ingest.cluster_name);
    text_addf(out, "  tells         %s\n",
              *g->notify.webhook && *g->notify.ping_url ? "notify.webhook and notify.ping_url"
              : *g->notify.webhook                      ? "notify.webhook"
              : *g->notify.ping_url                     ? "notify.ping_url"
                                                        : "nobody: see notify.webhook and notify.ping_url");
}

/* --- for programs --- */
static void json_destination(struct json_writer *w, const struct config_destination *d)
{
    json_object(w);
    json_put_text(w, "name", d->name);
    char place[CHECK_PLACE_BYTES];
    struct text t = text_over(place, sizeof place);
    print_place(d, &t);
    json_put_text(w, "type", destination_type_name((enum destination_type)d->type));
    json_put_text(w, "path", *d->path ? d->path : NULL);
    json_put_text(w, "place", place);
    json_put_bool(w, "compressed", d->compress == COMPRESS_ZSTD);
    json_put_u64(w, "recipients", d->recipient_count);
    json_key(w, "retention");
    json_object(w);
    for (enum retention_rule r = 0; r < RETENTION_RULE_COUNT; r++)
        json_put_i64(w, retention_rule_name(r), d->retention[r]);
    json_object_end(w);
    json_object_end(w);
}

static void json_when(struct json_writer *w, const struct checked *c)
{
    const struct config *g = c->config;
    char moment[TIME_TEXT_MAX];
    json_put_text(w, "schedule", *g->backup.schedule ? g->backup.schedule : NULL);
    json_put_i64(w, "every_ms", g->backup.every_ms);
    json_put_text(w, "timezone", g->backup.timezone);
    json_put_i64(w, "max_age_ms", g->backup.max_age_ms);
    json_key(w, "next_runs");
    json_array(w);
    for (unsigned i = 0; i < c->next_count; i++) {
        text_rfc3339(c->next_s[i], moment, sizeof moment);
        json_text(w, moment);
    }
    json_array_end(w);
}

static void json_good(struct json_writer *w, const struct checked *c)
{
    const struct config *g = c->config;
    json_key(w, "endpoints");
    json_array(w);
    for (unsigned i = 0; i < g->backup.endpoint_count; i++)
        json_text(w, g->backup.endpoints[i]);
    json_array_end(w);
    json_when(w, c);
    json_key(w, "destinations");
    json_array(w);
    for (unsigned i = 0; i < g->backup.destination_count; i++)
        json_destination(w, &g->backup.destinations[i]);
    json_array_end(w);
    json_put_text(w, "ingest", !g->ingest.enabled ? NULL : g->ingest.source == INGEST_CRD ? "crd" : g->ingest.platform_url);
    json_put_bool(w, "webhook", *g->notify.webhook != 0);
    json_put_bool(w, "ping_url", *g->notify.ping_url != 0);
}

static void json_lines(struct json_writer *w, const char *key, const struct checked *c, struct bytes errors)
{
    json_key(w, key);
    json_array(w);
    for (unsigned i = 0; c && i < c->warning_count; i++)
        json_text(w, check_warning(c, i));
    while (!c && errors.len > 0) {
        const uint8_t *end = memchr(errors.at, '\n', errors.len);
        size_t len = end ? (size_t)(end - errors.at) : errors.len;
        json_bytes(w, (struct bytes){errors.at, len});
        len += end ? 1 : 0;
        errors = (struct bytes){errors.at + len, errors.len - len};
    }
    json_array_end(w);
}

static void print_json(const struct checked *c, const char *path, struct bytes errors, struct text *out)
{
    struct json_writer w = json_write_to(out);
    json_object(&w);
    json_put_text(&w, "path", path);
    json_put_text(&w, "verdict", c ? "good" : "bad");
    if (c)
        json_good(&w, c);
    json_lines(&w, c ? "warnings" : "errors", c, errors);
    json_object_end(&w);
    ASSERT(json_done(&w)); /* a configuration's texts are bounded */
    text_add(out, "\n");
}

/* --- the command --- */
static void print(const struct command_line *line, const struct checked *c, struct bytes errors, struct text *page)
{
    if (line->print && c)
        config_print(c->config, page);
    else if (line->json)
        print_json(c, line->config_path, errors, page);
    else if (c)
        print_text(c, line->config_path, page);
    for (unsigned i = 0; c && i < c->warning_count; i++)
        (void)fprintf(stderr, "%s: warning: %s\n", line->config_path, check_warning(c, i));
    if (!c)
        (void)fprintf(stderr, "%.*s", (int)errors.len, (const char *)errors.at);
    (void)fwrite(page->at, 1, page->len, stdout);
}

static void refuse(const struct command_line *line, const char *words, struct text *page)
{
    char told[OS_PATH_MAX + CHECK_REFUSAL_BYTES];
    struct text t = text_over(told, sizeof told);
    text_addf(&t, "%s: %s\n", line->config_path, words);
    print(line, NULL, (struct bytes){(const uint8_t *)told, t.len}, page);
}

static enum exit_code check_good(const struct command_line *line, const struct config *config, struct text *page)
{
    struct zones zones;
    struct checked *c = malloc(sizeof *c);
    if (!c)
        return EXIT_CANNOT_TELL;
    zones_open(&zones);
    struct config_zones finder = zones_finder(&zones);
    err e = check_look(c, config, &finder, loop_wall_ms() / 1000);
    zones_close(&zones);
    bool refused = e == OK && c->refusal[0];
    if (refused)
        refuse(line, c->refusal, page);
    else if (e == OK)
        print(line, c, (struct bytes){0}, page);
    free(c);
    return refused ? EXIT_WRONG_USE : e == OK ? EXIT_GOOD : EXIT_CANNOT_TELL;
}

static enum exit_code check(struct work *w)
{
    struct buf *page = NULL, *lines = NULL;
    struct config *config = NULL;
    enum exit_code code = EXIT_CANNOT_TELL;
    if (buf_take(PAGE_BYTES, &page) != OK || buf_take(CONFIG_ERRORS_BYTES, &lines) != OK)
        goto cleanup;
    struct text errors = text_over((char *)lines->at, CONFIG_ERRORS_BYTES), out = text_over((char *)page->at, PAGE_BYTES);
    err e = command_config_text(w->line->config_path, &config, &errors);
    if (e == OK) {
        code = check_good(w->line, config, &out);
    } else if (e != E_CANCELED) {
        print(w->line, NULL, (struct bytes){(const uint8_t *)errors.at, errors.len}, &out);
        code = EXIT_WRONG_USE;
    }
cleanup:
    config_free(config);
    buf_release(lines);
    buf_release(page);
    trail_clear();
    return code;
}

enum exit_code command_check(const struct command_line *line)
{
    return command_run(&(struct work){.run = check, .line = line, .task = TASK_BOARD, .name = "check"});
}
