/* metric: the registry. Families are static, series are made once and then cost a store.
 *
 * Layer    rt.                                     Blocks   never.
 * Owner    families are static; series belong      Memory   profile->metric_series series and, for sampled ones,
 *          to the registry for ever.                        profile->metric_samples ring entries each, charged to BOARD.
 * Threads  series_* any (relaxed atomics); the rest: the loop thread.
 * Errors   E_BUDGET no series left (counted in holdfast_metric_series_refused_total); writing to a NULL series is fine.
 * Formats  Prometheus text 0.0.4 and OpenMetrics 1.0 (https://prometheus.io/docs/specs/om/open_metrics_spec/). */
#ifndef HOLDFAST_METRIC_H
#define HOLDFAST_METRIC_H

#include "board/rt/err.h"
#include "board/rt/text.h"

#define METRIC_LABELS_MAX      3
#define METRIC_LABEL_BYTES_MAX 64 /* a value longer than this is cut */

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_INFO /* a gauge of 1 whose labels tell */ };

struct family {
    const char *name; /* the full name; a counter's ends in _total, a unit is in the name */
    const char *help;
    enum metric_type type;
    bool sampled;                          /* keep a ring, for series_rate() */
    const char *labels[METRIC_LABELS_MAX]; /* names; NULL ends */
    struct family *next_registered;        /* the registry's */
    struct series *series;                 /* the registry's */
};

struct series;

/* Finds or makes the series with these label values (as many as the family has names). Also registers the family. */
MUST_USE err metric_series(struct family *f, const char *const values[], struct series **out);
/* What it tells of is gone: it is not exposed any more, and its place serves the next one of its family. The caller forgets it.
 * For gauges. NULL is fine. */
void series_drop(struct series *s);
void series_set(struct series *s, double value);
void series_add(struct series *s, double value);
double series_get(const struct series *s);
/* Per second, over the samples of the last window_ms; counter resets taken as a restart from 0. NAN: fewer than two samples. */
double series_rate(const struct series *s, ms window_ms, ms now);
void metric_sample(ms now); /* one entry for each sampled series; called every METRIC_SAMPLE_MS */
#define METRIC_SAMPLE_MS SECONDS(15)
/* Called before an exposition or a walk, to bring gauges up to date that are read from elsewhere. Up to METRIC_COLLECTORS_MAX. */
void metric_collector(void (*collect)(void));
#define METRIC_COLLECTORS_MAX 16
double metric_value(const char *family, const char *const values[]); /* in-process reader; NAN when there is none */

enum metric_format { METRIC_PROMETHEUS, METRIC_OPENMETRICS };
struct metric_cursor { /* zeroed: the start */
    struct family *family;
    struct series *series;
    unsigned stage;
    bool done;
};
void metric_collect(void); /* runs the collectors; once before the first metric_write() */
/* Whole lines into `out`, as many as fit; call again until cursor->done. `out` needs >= 1 KiB free. */
void metric_write(struct metric_cursor *cursor, enum metric_format format, struct text *out);

#endif
