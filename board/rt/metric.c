#include "board/rt/metric.h"

#include "board/rt/mem.h"
#include "board/rt/number.h"
#include "board/rt/utf8.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct label_values {
    char of[METRIC_LABELS_MAX][METRIC_LABEL_BYTES_MAX + 1];
};

struct series {
    struct family *family;
    struct series *next;        /* of its family, in order of making */
    bool gone;                  /* not exposed; its place is free for another of its family */
    atomic_uint_least64_t bits; /* of a double: there is no portable atomic one */
    double *samples;            /* a ring; NULL when the family is not sampled */
    unsigned samples_held;      /* <= registry.samples_max */
    struct label_values labels;
};

static struct {
    struct series *all; /* series_max of them, made at the first use, in the order they were handed out */
    unsigned series_max, series_count;
    unsigned samples_max, sample_next; /* all rings turn together */
    ms *sampled_at;
    struct family *first, *last;
    void (*collectors[METRIC_COLLECTORS_MAX])(void);
    unsigned collector_count;
} registry;

static struct family refused = {.name = "holdfast_metric_series_refused_total",
                                .help = "Label sets that found no series left in the profile.",
                                .type = METRIC_COUNTER};

/* --- making --- */
static void family_register(struct family *f)
{
    if (f == registry.first || f->next_registered || f == registry.last)
        return;
    if (registry.last)
        registry.last->next_registered = f;
    else
        registry.first = f;
    registry.last = f;
}

static unsigned label_count(const struct family *f)
{
    unsigned count = 0;
    while (count < METRIC_LABELS_MAX && f->labels[count])
        count++;
    return count;
}

/* What of a label's value is kept: whole characters, at most METRIC_LABEL_BYTES_MAX bytes of them. */
static struct bytes label_kept(const char *value)
{
    struct bytes all = bytes_of(value ? value : "");
    all.len = utf8_cut(all, METRIC_LABEL_BYTES_MAX);
    return all;
}

static void label_store(char *to, const char *value)
{
    struct bytes kept = label_kept(value);
    for (size_t i = 0, length; i < kept.len; i += size_max(length, 1)) {
        length = utf8_char((struct bytes){kept.at + i, kept.len - i});
        memcpy(to + i, length ? (const char *)kept.at + i : "?", size_max(length, 1)); /* both formats are UTF-8 */
    }
    to[kept.len] = 0;
}

static struct label_values labels_kept(const struct family *f, const char *const values[])
{
    struct label_values labels = {0};
    unsigned count = label_count(f);
    ASSERT(count == 0 || values != NULL);
    for (unsigned i = 0; i < count; i++)
        label_store(labels.of[i], values[i]);
    return labels;
}

static struct series *series_find(const struct family *f, const struct label_values *labels)
{
    unsigned count = label_count(f);
    for (struct series *s = f->series; s; s = s->next) {
        unsigned same = 0;
        while (same < count && strcmp(s->labels.of[same], labels->of[same]) == 0)
            same++;
        if (same == count && !s->gone)
            return s;
    }
    return NULL;
}

/* The registry's own memory, once, charged to BOARD whoever comes first. */
static err registry_boot(void)
{
    const struct profile *p = mem_profile();
    if (registry.all)
        return OK;
    if (!p)
        return trail(E_BUDGET, "metrics before mem_boot()");
    registry.sampled_at = calloc(p->metric_samples, sizeof *registry.sampled_at);
    registry.all = calloc(p->metric_series, sizeof *registry.all);
    if (!registry.all || !registry.sampled_at) {
        free(registry.sampled_at);
        free(registry.all);
        registry.all = NULL;
        return trail(E_BUDGET, "making %u metric series", p->metric_series);
    }
    registry.series_max = p->metric_series;
    registry.samples_max = p->metric_samples;
    return OK;
}

static struct series *series_free(const struct family *f)
{
    struct series *s = f->series;
    while (s && !s->gone)
        s = s->next;
    return s;
}

/* It stays in its family's list, where a cursor may stand. */
static void series_reuse(struct series *s, const struct label_values *labels)
{
    s->gone = false;
    s->samples_held = 0;
    s->labels = *labels;
    series_set(s, s->family->type == METRIC_INFO ? 1 : 0);
}

static err series_make(struct family *f, const struct label_values *labels, struct series **out)
{
    *out = series_free(f);
    if (*out) {
        series_reuse(*out, labels);
        return OK;
    }
    struct series *s = &registry.all[registry.series_count];
    if (registry.series_count >= registry.series_max)
        return trail(E_BUDGET, "metric %s: all %u series are in use", f->name, registry.series_max);
    if (f->sampled) {
        s->samples = calloc(registry.samples_max, sizeof *s->samples);
        if (!s->samples)
            return trail(E_BUDGET, "metric %s: no memory for samples", f->name);
    }
    registry.series_count++;
    s->family = f;
    s->labels = *labels;
    struct series **end = &f->series;
    while (*end)
        end = &(*end)->next;
    *end = s;
    *out = s;
    series_set(s, f->type == METRIC_INFO ? 1 : 0);
    return OK;
}

static err series_find_or_make(struct family *f, const char *const values[], struct series **out)
{
    struct label_values labels = labels_kept(f, values);
    *out = series_find(f, &labels);
    return *out ? OK : series_make(f, &labels, out);
}

err metric_series(struct family *f, const char *const values[], struct series **out)
{
    enum task payer = mem_task();
    struct series *refusals = NULL;
    *out = NULL;
    mem_set_task(TASK_BOARD);
    err e = registry_boot();
    if (e == OK)
        e = series_find_or_make(&refused, NULL, &refusals); /* takes the first series of all, so it cannot be refused later */
    if (e == OK) {
        family_register(f);
        e = series_find_or_make(f, values, out);
        family_register(&refused);
    }
    mem_set_task(payer);
    if (e != OK)
        series_add(refusals, 1);
    return e;
}

void series_drop(struct series *s)
{
    if (s)
        s->gone = true;
}

/* --- values --- */
void series_set(struct series *s, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (s)
        atomic_store_explicit(&s->bits, bits, memory_order_relaxed);
}

double series_get(const struct series *s)
{
    double value = NAN;
    if (s) {
        uint64_t bits = atomic_load_explicit(&s->bits, memory_order_relaxed);
        memcpy(&value, &bits, sizeof value);
    }
    return value;
}

void series_add(struct series *s, double value)
{
    if (!s)
        return;
    uint_least64_t old = atomic_load_explicit(&s->bits, memory_order_relaxed), sum;
    do {
        double now;
        memcpy(&now, &old, sizeof now);
        now += value;
        memcpy(&sum, &now, sizeof sum);
    } while (!atomic_compare_exchange_weak_explicit(&s->bits, &old, sum, memory_order_relaxed, memory_order_relaxed));
}

/* --- samples --- */
void metric_sample(ms now)
{
    if (registry.samples_max == 0)
        return;
    registry.sampled_at[registry.sample_next] = now;
    for (unsigned i = 0; i < registry.series_count; i++) {
        struct series *s = &registry.all[i];
        if (!s->samples)
            continue;
        s->samples[registry.sample_next] = series_get(s);
        if (s->samples_held < registry.samples_max)
            s->samples_held++;
    }
    registry.sample_next = (registry.sample_next + 1) % registry.samples_max;
}

double series_rate(const struct series *s, ms window_ms, ms now)
{
    double change = 0;
    unsigned used = 0;
    ms first_at = 0, last_at = 0;
    double before = 0;
    for (unsigned back = s ? s->samples_held : 0; back > 0; back--) {
        unsigned at = (registry.sample_next + registry.samples_max - back) % registry.samples_max;
        if (now - registry.sampled_at[at] > window_ms)
            continue;
        double value = s->samples[at];
        if (used++ == 0)
            first_at = registry.sampled_at[at];
        else
            change += s->family->type == METRIC_COUNTER && value < before ? value : value - before;
        before = value;
        last_at = registry.sampled_at[at];
    }
    return used < 2 || last_at <= first_at ? (double)NAN : change * 1000 / (double)(last_at - first_at);
}

/* --- reading --- */
void metric_collector(void (*collect)(void))
{
    for (unsigned i = 0; i < registry.collector_count; i++)
        if (registry.collectors[i] == collect)
            return;
    ASSERT(registry.collector_count < METRIC_COLLECTORS_MAX);
    registry.collectors[registry.collector_count++] = collect;
}

void metric_collect(void)
{
    for (unsigned i = 0; i < registry.collector_count; i++)
        registry.collectors[i]();
}

double metric_value(const char *family, const char *const values[])
{
    struct family *f = registry.first;
    while (f && strcmp(f->name, family) != 0)
        f = f->next_registered;
    if (!f)
        return (double)NAN;
    struct label_values labels = labels_kept(f, values);
    return series_get(series_find(f, &labels));
}

/* --- exposition --- */
enum stage { STAGE_HEAD, STAGE_SERIES, STAGE_END };

/* Backslash, newline and, in a label's value or anywhere in OpenMetrics, the quote. */
static void escaped_add(struct text *out, const char *s, bool quote)
{
    for (size_t plain; *s; s += plain) {
        plain = strcspn(s, quote ? "\\\n\"" : "\\\n");
        text_add_bytes(out, (struct bytes){(const uint8_t *)s, plain});
        if (s[plain]) {
            text_add(out, s[plain] == '\n' ? "\\n" : s[plain] == '"' ? "\\\"" : "\\\\");
            plain++;
        }
    }
}

static bool ends_with(const char *s, const char *end)
{
    size_t length = strlen(s), end_length = strlen(end);
    return length > end_length && strcmp(s + length - end_length, end) == 0;
}

/* OpenMetrics 1.0 names a family without the suffix of its samples: _total of a counter, _info of an info. */
static struct bytes name_in_head(const struct family *f, enum metric_format format)
{
    static const char *const suffixes[] = {[METRIC_COUNTER] = "_total", [METRIC_GAUGE] = "", [METRIC_INFO] = "_info"};
    struct bytes name = bytes_of(f->name);
    const char *suffix = suffixes[f->type];
    if (format == METRIC_OPENMETRICS && ends_with(f->name, suffix))
        name.len -= strlen(suffix);
    return name;
}

static void head_line(const struct family *f, enum metric_format format, const char *word, struct text *out)
{
    text_add(out, "# ");
    text_add(out, word);
    text_add(out, " ");
    text_add_bytes(out, name_in_head(f, format));
    text_add(out, " ");
}

static void head_write(const struct family *f, enum metric_format format, struct text *out)
{
    static const char *const types[][3] = {
        [METRIC_PROMETHEUS] = {[METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_INFO] = "gauge"},
        [METRIC_OPENMETRICS] = {[METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_INFO] = "info"},
    };
    head_line(f, format, "HELP", out);
    escaped_add(out, f->help, format == METRIC_OPENMETRICS);
    text_add(out, "\n");
    head_line(f, format, "TYPE", out);
    text_add(out, types[format][f->type]);
    text_add(out, "\n");
}

static void series_write(const struct series *s, struct text *out)
{
    char number[NUMBER_TEXT_MAX];
    unsigned count = label_count(s->family);
    text_add(out, s->family->name);
    for (unsigned i = 0; i < count; i++) {
        text_add(out, i == 0 ? "{" : ",");
        text_add(out, s->family->labels[i]);
        text_add(out, "=\"");
        escaped_add(out, s->labels.of[i], true);
        text_add(out, "\"");
    }
    text_add(out, count > 0 ? "} " : " ");
    text_add(out, number_text(series_get(s), number));
    text_add(out, "\n");
}

/* Moves to the next thing to write; families that never got a series are passed over. */
static void cursor_next(struct metric_cursor *c)
{
    if (c->stage == STAGE_HEAD)
        c->series = c->family->series;
    else
        c->series = c->series->next;
    c->stage = STAGE_SERIES;
    if (!c->series) {
        c->family = c->family->next_registered;
        c->stage = STAGE_HEAD;
    }
}

static void cursor_settle(struct metric_cursor *c)
{
    while (c->stage == STAGE_HEAD && c->family && !c->family->series)
        c->family = c->family->next_registered;
    if (!c->family)
        c->stage = STAGE_END;
}

void metric_write(struct metric_cursor *cursor, enum metric_format format, struct text *out)
{
    ASSERT(out->cap - out->len >= KIB(1)); /* else a long line would never fit and its caller would ask for ever */
    if (!cursor->family && cursor->stage == STAGE_HEAD)
        cursor->family = registry.first;
    while (!cursor->done) {
        size_t before = out->len;
        cursor_settle(cursor);
        if (cursor->stage == STAGE_END)
            text_add(out, format == METRIC_OPENMETRICS ? "# EOF\n" : "");
        else if (cursor->stage == STAGE_HEAD)
            head_write(cursor->family, format, out);
        else if (!cursor->series->gone)
            series_write(cursor->series, out);
        if (out->cut) {
            out->len = before;
            out->at[before] = 0;
            out->cut = false;
            return;
        }
        if (cursor->stage == STAGE_END)
            cursor->done = true;
        else
            cursor_next(cursor);
    }
}
