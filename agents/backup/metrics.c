/* metrics: what a run leaves behind for the eye and the alert. */
#include "agents/backup/backup_internal.h"

#include "board/rt/text.h"

#include <ctype.h>
#include <math.h>

static struct family last_success = {.name = "holdfast_backup_last_success_timestamp_seconds",
                                     .help = "When the newest good snapshot was begun, Unix time.",
                                     .type = METRIC_GAUGE,
                                     .labels = {"destination"}};
static struct family size = {.name = "holdfast_backup_size_bytes",
                             .help = "Size of the newest good snapshot.",
                             .type = METRIC_GAUGE,
                             .labels = {"destination"}};
static struct family duration = {.name = "holdfast_backup_duration_seconds",
                                 .help = "How long the newest good snapshot took.",
                                 .type = METRIC_GAUGE,
                                 .labels = {"destination"}};
static struct family next_run = {.name = "holdfast_backup_next_run_timestamp_seconds",
                                 .help = "When the schedule runs next, Unix time.",
                                 .type = METRIC_GAUGE,
                                 .labels = {"destination"}};
static struct family failures = {.name = "holdfast_backup_failures_total",
                                 .help = "Snapshots that failed, by reason.",
                                 .type = METRIC_COUNTER,
                                 .labels = {"destination", "reason"}};

static struct family verified_level = {.name = "holdfast_backup_verified_level",
                                       .help =
                                           "What of the newest snapshot that is not damaged was verified: 2 its SHA-256, 4 all.",
                                       .type = METRIC_GAUGE,
                                       .labels = {"destination"}};

static struct family level_wanted = {.name = "holdfast_backup_verify_level_wanted",
                                     .help = "What the configuration lets be verified of a good snapshot: 4, or 2 (no scratch).",
                                     .type = METRIC_GAUGE,
                                     .labels = {"destination"}};

static struct family stale = {.name = "holdfast_backup_stale",
                              .help = "1: the newest good snapshot is older than max_age.",
                              .type = METRIC_GAUGE,
                              .labels = {"destination"}};

static struct family rate = {.name = "holdfast_backup_stream_bytes_per_second",
                             .help = "Plain bytes a second of the last stream for this destination.",
                             .type = METRIC_GAUGE,
                             .labels = {"destination"}};

static struct family through_stage = {.name = "holdfast_backup_through_stage",
                                      .help =
                                          "1: the last stream was slower than backup.min_rate, the next goes through the stage.",
                                      .type = METRIC_GAUGE,
                                      .labels = {"destination"}};

/* What is packed or remote is read at random only in scratch, or where the plain file lies that it is a copy of. A stage takes
 * part after a slow stream only: it promises nothing. */
static unsigned wanted_level(const struct backup_destination *d)
{
    const struct config *c = d->owner->config;
    bool at_random = *c->backup.scratch;
    for (unsigned i = 0; i < c->backup.destination_count; i++)
        at_random = at_random || backup_is_plain(&c->backup.destinations[i]);
    return at_random ? 4 : 2;
}

err backup_metrics_open(struct backup_destination *d)
{
    const char *const labels[] = {d->config->name};
    TRY(metric_series(&last_success, labels, &d->last_success));
    TRY(metric_series(&size, labels, &d->size));
    TRY(metric_series(&duration, labels, &d->duration));
    TRY(metric_series(&stale, labels, &d->stale_series));
    TRY(metric_series(&rate, labels, &d->rate));
    TRY(metric_series(&through_stage, labels, &d->through_stage));
    TRY(metric_series(&verified_level, labels, &d->level));
    TRY(metric_series(&level_wanted, labels, &d->level_wanted));
    series_set(d->level_wanted, wanted_level(d));
    return metric_series(&next_run, labels, &d->next_run);
}

void backup_metrics_close(struct backup_destination *d)
{
    struct series **const all[] = {&d->last_success, &d->size,     &d->duration, &d->stale_series, &d->level,
                                   &d->level_wanted, &d->next_run, &d->rate,     &d->through_stage};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        series_drop(*all[i]);
        *all[i] = NULL;
    }
}

void backup_metrics_kept(struct backup_destination *d, const struct backup_record *r)
{
    if (r->verification.verdict != VERDICT_BAD)
        series_set(d->level, r->verification.level);
}

void backup_metrics_done(struct backup_destination *d, const struct backup_record *r)
{
    series_set(d->last_success, (double)r->taken_at_s);
    series_set(d->size, (double)r->verification.bytes);
    series_set(d->duration, r->took_ms >= 0 ? (double)r->took_ms / 1000.0 : NAN);
}

void backup_metrics_stream(struct backup_destination *d, uint64_t bytes, ms took_ms)
{
    series_set(d->rate, (double)bytes * 1000.0 / (double)(took_ms > 0 ? took_ms : 1));
}

void backup_reason_of(err e, char out[BACKUP_REASON_MAX])
{
    struct text t = text_over(out, BACKUP_REASON_MAX);
    text_add(&t, err_name(e) + sizeof "E_" - 1);
    for (char *c = out; *c; c++)
        *c = (char)tolower((unsigned char)*c);
}

void backup_metrics_failed(struct backup_destination *d, const char *reason)
{
    const char *const labels[] = {d->config->name, reason};
    struct series *s = NULL;
    if (metric_series(&failures, labels, &s) == OK) /* none left is counted by the registry */
        series_add(s, 1);
}
