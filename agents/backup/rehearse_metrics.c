/* rehearse_metrics: what a rehearsal leaves behind for the eye and the alert. */
#include "agents/backup/rehearse.h"

#include <math.h>

static struct family at = {.name = "holdfast_backup_rehearsal_last_timestamp_seconds",
                           .help = "When a backup was last read back, Unix time.",
                           .type = METRIC_GAUGE,
                           .labels = {"destination"}};
static struct family level = {.name = "holdfast_backup_rehearsal_level",
                              .help = "What of it held: 4 all, 2 its SHA-256, 0 only the stored bytes.",
                              .type = METRIC_GAUGE,
                              .labels = {"destination"}};
static struct family verdict = {.name = "holdfast_backup_rehearsal_verdict",
                                .help = "1: it was good; 0: it was bad; NaN: it could not be told, or none was read back.",
                                .type = METRIC_GAUGE,
                                .labels = {"destination"}};
static struct family duration = {.name = "holdfast_backup_rehearsal_duration_seconds",
                                 .help = "How long reading back and verifying took.",
                                 .type = METRIC_GAUGE,
                                 .labels = {"destination"}};
static struct family age = {.name = "holdfast_backup_rehearsal_age_seconds",
                            .help = "How old the backup was that was read back.",
                            .type = METRIC_GAUGE,
                            .labels = {"destination"}};
static struct family failures = {.name = "holdfast_backup_rehearsal_failures_total",
                                 .help = "Rehearsals that did not find a good backup, by reason.",
                                 .type = METRIC_COUNTER,
                                 .labels = {"destination", "reason"}};

err rehearse_metrics_open(struct backup_destination *d)
{
    const char *const labels[] = {d->config->name};
    struct rehearse_state *s = &d->rehearse;
    TRY(metric_series(&at, labels, &s->at));
    TRY(metric_series(&level, labels, &s->level));
    TRY(metric_series(&verdict, labels, &s->verdict));
    TRY(metric_series(&duration, labels, &s->duration));
    TRY(metric_series(&age, labels, &s->age));
    struct series *const all[] = {s->at, s->level, s->verdict, s->duration, s->age};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        series_set(all[i], (double)NAN); /* 0 would be a bad one of 1970, and both have an alert */
    return OK;
}

void rehearse_metrics_close(struct backup_destination *d)
{
    struct series **const all[] = {&d->rehearse.at, &d->rehearse.level, &d->rehearse.verdict, &d->rehearse.duration,
                                   &d->rehearse.age};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        series_drop(*all[i]);
        *all[i] = NULL;
    }
}

void rehearse_metrics_set(struct backup_destination *d, const struct backup_record *r)
{
    const struct backup_rehearsal *h = &r->rehearsal;
    series_set(d->rehearse.at, (double)h->at_s);
    series_set(d->rehearse.level, h->level);
    series_set(d->rehearse.verdict, h->verdict == VERDICT_GOOD ? 1 : h->verdict == VERDICT_BAD ? 0 : NAN);
    series_set(d->rehearse.duration, (double)h->took_ms / 1000.0);
    series_set(d->rehearse.age, (double)(h->at_s - r->taken_at_s));
}

void rehearse_metrics_failed(struct backup_destination *d, const char *reason)
{
    const char *const labels[] = {d->config->name, reason};
    struct series *s = NULL;
    if (metric_series(&failures, labels, &s) == OK) /* none left is counted by the registry */
        series_add(s, 1);
}
