/* metric_text: the exposition, in Prometheus' text format 0.0.4 and in OpenMetrics 1.0. */
#include "board/rt/metric_inside.h"

#include "board/rt/number.h"

#include <string.h>

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
    unsigned count = metric_label_count(s->family);
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
        cursor->family = metric_first();
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
