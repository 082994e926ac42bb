/* metric: families, series, values and samples. Their text is metric_text.c's. */
#include "board/rt/metric_inside.h"

#include "board/rt/mem.h"
#include "board/rt/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

unsigned metric_label_count(const struct family *f)
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
    unsigned count = metric_label_count(f);
    ASSERT(count == 0 || values != NULL);
    for (unsigned i = 0; i < count; i++)
        label_store(labels.of[i], values[i]);
    return labels;
}

static struct series *series_find(const struct family *f, const struct label_values *labels)
{
    unsigned count = metric_label_count(f);
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

struct family *metric_first(void)
{
    return registry.first;
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
