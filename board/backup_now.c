/* backup_now: `holdfast backup now`. Works by itself, whether a hub runs or not: names are unique and files appear whole. */
#include "board/command.h"

#include "agents/backup/backup.h"
#include "board/rt/buf.h"
#include "board/rt/log.h"
#include "net/format/json_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define JSON_BYTES  KIB(8)
#define PROGRESS_MS 200

struct progress {
    ms began, shown_at;
    bool terminal, shown;
};

static void show(void *arg, uint64_t received, uint64_t total)
{
    struct progress *p = arg;
    ms now = loop_now();
    if (!p->terminal || now < p->shown_at + PROGRESS_MS)
        return;
    p->shown_at = now;
    p->shown = true;
    uint64_t rate = received * 1000 / (uint64_t)(now - p->began + 1);
    uint64_t left_s = rate ? (total - received) / rate : 0;
    (void)fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " MiB, %" PRIu64 " MiB/s, %" PRIu64 " s left   ", received >> 20,
                  total >> 20, rate >> 20, left_s);
}

static void record_json(struct json_writer *w, const struct backup_record *r)
{
    char when[TIME_TEXT_MAX], id[2][17];
    text_rfc3339(r->taken_at_s, when, sizeof when);
    (void)snprintf(id[0], sizeof id[0], "%016" PRIx64, r->cluster_id);
    (void)snprintf(id[1], sizeof id[1], "%016" PRIx64, r->member_id);
    json_object(w);
    json_put_text(w, "name", r->name);
    json_put_text(w, "destination", r->destination);
    json_put_text(w, "path", r->path);
    json_put_text(w, "verdict", "good");
    json_put_u64(w, "level", 2); /* 1 length, 2 SHA-256 */
    json_put_text(w, "reason", NULL);
    json_put_u64(w, "bytes", r->bytes);
    json_put_u64(w, "db_bytes", r->db_bytes);
    json_put_text(w, "sha256", r->sha256);
    json_put_text(w, "cluster_id", id[0]);
    json_put_text(w, "member_id", id[1]);
    json_put_text(w, "endpoint", r->endpoint);
    json_put_text(w, "etcd_version", r->etcd_version);
    json_put_text(w, "taken_at", when);
    json_put_u64(w, "took_ms", (uint64_t)r->took_ms);
    json_object_end(w);
}

static void record_text(const struct backup_record *r)
{
    (void)printf("%s: %" PRIu64 " bytes in %lld ms from %s (etcd %s), SHA-256 good: %s\n", r->path, r->bytes,
                 (long long)r->took_ms, r->endpoint, r->etcd_version, r->sha256);
}

static void tell_failure(err e)
{
    char why[512];
    (void)fprintf(stderr, "holdfast: %s\n", trail_text(e, why, sizeof why));
    trail_clear();
}

/* One after another; one failing does not stop the others. */
static enum exit_code take_all(const struct config *c, struct backup *b, struct json_writer *json)
{
    unsigned good = 0;
    for (unsigned i = 0; i < c->backup.destination_count; i++) {
        struct backup_record record;
        struct progress p = {.began = loop_now(), .terminal = !json && isatty(STDERR_FILENO)};
        err e = backup_take(b, i, &(struct backup_watcher){show, &p}, &record);
        if (p.shown)
            (void)fprintf(stderr, "\r%60s\r", "");
        if (e == E_CANCELED) {
            (void)fprintf(stderr, "holdfast: canceled; nothing of this snapshot is left behind\n");
            return EXIT_BAD;
        }
        good += e == OK;
        if (e != OK)
            tell_failure(e);
        else if (json)
            record_json(json, &record);
        else
            record_text(&record);
    }
    return good == c->backup.destination_count ? EXIT_GOOD : good ? EXIT_PARTLY : EXIT_BAD;
}

static enum exit_code take_and_print(const struct config *c, struct backup *b, bool json)
{
    if (!json)
        return take_all(c, b, NULL);
    struct buf *page = NULL;
    if (buf_take(JSON_BYTES, &page) != OK)
        return EXIT_BAD;
    struct text t = text_over((char *)page->at, JSON_BYTES);
    struct json_writer w = json_write_to(&t);
    json_array(&w);
    enum exit_code code = take_all(c, b, &w);
    json_array_end(&w);
    ASSERT(json_done(&w)); /* CONFIG_DESTINATIONS_MAX records fit */
    (void)printf("%s\n", t.at);
    buf_release(page);
    return code;
}

static enum exit_code backup_now(struct work *w)
{
    struct config *config = NULL;
    struct dns *dns = NULL;
    struct backup *backup = NULL;
    err e = command_config(w->line, &config);
    if (e != OK)
        return exit_code_of(e);
    log_setup(LOG_WARN, (enum log_format)config->log_format, STDERR_FILENO);
    enum exit_code code = EXIT_WRONG_USE;
    if (config->backup.endpoint_count == 0) {
        (void)fprintf(stderr, "holdfast: %s: backup.etcd.endpoints is not set: nothing to back up\n", w->line->config_path);
        goto cleanup;
    }
    e = dns_open(&dns);
    if (e == OK)
        e = backup_open(config, dns, &backup);
    if (e == OK)
        code = take_and_print(config, backup, w->line->json);
    else
        code = exit_code_of(e);
cleanup:
    backup_close(backup);
    dns_close(dns);
    config_free(config);
    return code;
}

enum exit_code command_backup_now(const struct command_line *line)
{
    return command_run(&(struct work){.run = backup_now, .line = line, .task = TASK_BACKUP, .name = "backup now"});
}
