/* hub_config: the hub's configuration: read at start, waited for where there is none, read again on SIGHUP. */
#include "board/hub.h"

#include "board/rt/file.h"
#include "board/rt/log.h"
#include "board/rt/metric.h"

#include <string.h>

#define LOOK_EVERY_MS SECONDS(2)
#define LOOK_MS_MAX   SECONDS(10)
#define STOP_MS_MAX   SECONDS(5) /* of the old agents, on a reload; a SIGTERM may come meanwhile */

static struct family failures = {.name = "holdfast_config_reload_failures_total",
                                 .help = "Configurations that were read and not taken.",
                                 .type = METRIC_COUNTER};
static struct family success_at = {.name = "holdfast_config_last_reload_success_timestamp_seconds",
                                   .help = "When the configuration in force was taken.",
                                   .type = METRIC_GAUGE};
static struct family successful = {.name = "holdfast_config_last_reload_successful",
                                   .help = "1 when the file that was read last is in force.",
                                   .type = METRIC_GAUGE};
static struct series *failures_series, *success_at_series, *successful_series;

err hub_config_metrics(void)
{
    TRY(metric_series(&failures, NULL, &failures_series));
    TRY(metric_series(&success_at, NULL, &success_at_series));
    return metric_series(&successful, NULL, &successful_series);
}

void hub_config_good(void)
{
    series_set(success_at_series, (double)loop_wall_ms() / 1000.0);
    series_set(successful_series, 1);
}

/* One line of the log for all that is wrong: of many lines with the same message some would be held back. */
void hub_config_wrong(struct hub *h, const char *message)
{
    log_error(message, F("config", h->line->config_path), F("why", h->why));
    series_add(failures_series, 1);
    series_set(successful_series, 0);
}

/* --- reading --- */
static struct os_stat seen; /* the file as it was last read; all zero: it was not there */

static struct os_stat look(const char *path)
{
    struct lane l;
    struct os_stat stat = {0};
    lane_open(&l, "configuration", TASK_BOARD, 1);
    uint64_t mark = trail_mark();
    if (file_stat(&l, path, loop_now() + LOOK_MS_MAX, &stat) != OK)
        stat = (struct os_stat){0};
    trail_rewind(mark);
    lane_close(&l);
    return stat;
}

static void lines_join(struct text *t)
{
    while (t->len > 0 && t->at[t->len - 1] == '\n')
        t->at[--t->len] = 0;
}

err hub_config_read(struct hub *h, struct config **out)
{
    struct text why = text_over(h->why, sizeof h->why);
    seen = look(h->line->config_path);
    err e = command_config_text(h->line->config_path, out, &why);
    lines_join(&why);
    return e;
}

static bool is_another(const struct os_stat *a, const struct os_stat *b)
{
    return a->kind != b->kind || a->bytes != b->bytes || a->modified_ms != b->modified_ms;
}

err hub_config_await(struct hub *h, ms wait_ms)
{
    ms until = wait_ms == FOREVER ? FOREVER : loop_now() + wait_ms;
    while (!h->stop && !h->reload && loop_now() < until) {
        err e = waitq_wait(&h->wanted, ms_min(until, loop_now() + LOOK_EVERY_MS));
        if (e != OK && e != E_TIMEOUT)
            return e;
        hub_dump_if_wanted(h);
        struct os_stat now = look(h->line->config_path);
        if (is_another(&now, &seen))
            return OK;
    }
    h->reload = false;
    return h->stop ? E_CANCELED : OK;
}

/* --- again --- */
/* What is opened once keeps its place: the store under data, the listener. */
static bool needs_restart(const struct hub *h, const struct config *c, struct text *why)
{
    char from[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX];
    const struct config *now = h->epoch.config;
    if (strcmp(now->data, c->data) != 0)
        text_addf(why, "restart needed: data changed from %s to %s", now->data, c->data);
    else if (!addr_equal(&now->listen, &c->listen))
        text_addf(why, "restart needed: listen changed from %s to %s", addr_text(&now->listen, from, sizeof from),
                  addr_text(&c->listen, to, sizeof to));
    return why->len > 0 || hub_confined_from(c, now, why);
}

/* The old one takes over again when the new one does not start. */
static err change(struct hub *h, struct config *c)
{
    struct config *old = epoch_stop(h, loop_now() + STOP_MS_MAX);
    if (h->stop) {
        config_free(c);
        config_free(old);
        return E_CANCELED;
    }
    log_setup((enum log_level)c->log_level, (enum log_format)c->log_format, 2);
    err e = epoch_start(h, c);
    if (e == OK) {
        config_free(old);
        return OK;
    }
    config_free(c);
    trail_text(e, h->why, sizeof h->why);
    trail_clear();
    hub_config_wrong(h, "the new configuration does not start, the one before takes over again");
    log_setup((enum log_level)old->log_level, (enum log_format)old->log_format, 2);
    e = epoch_start(h, old);
    if (e != OK)
        config_free(old);
    return e;
}

static err take(struct hub *h, struct config *c)
{
    if (memcmp(c, h->epoch.config, sizeof *c) == 0) { /* both were zeroed before they were filled */
        log_info("the configuration is as before", F("config", h->line->config_path));
        config_free(c);
        hub_config_good();
        return OK;
    }
    log_info("the configuration changed, the agents start anew", F("config", h->line->config_path));
    return change(h, c);
}

struct reading {
    struct hub *hub;
    struct config *config;
    err result;
};

/* E_CONFIG: h->why tells, whatever it was. */
static err read_new(void *arg)
{
    struct reading *r = arg;
    struct hub *h = r->hub;
    struct text why = text_over(h->why, sizeof h->why);
    r->result = hub_config_read(h, &r->config);
    if (r->result == OK && needs_restart(h, r->config, &why))
        r->result = E_CONFIG;
    if (r->result != OK && r->result != E_CONFIG)
        trail_text(r->result, h->why, sizeof h->why);
    trail_clear();
    return OK;
}

/* In a fiber that SIGTERM cancels: a folder that hangs holds up the end no longer than that. */
static err read_until_stopped(struct hub *h, struct config **out)
{
    struct reading r = {.hub = h, .result = E_CANCELED};
    struct group g;
    group_open(&g, TASK_BOARD);
    h->reading = &g;
    err e = group_spawn(&g, "reads the configuration", read_new, &r);
    if (e == OK)
        e = group_join(&g, FOREVER);
    else
        trail_text(e, h->why, sizeof h->why);
    h->reading = NULL;
    group_close(&g);
    if (e == OK)
        e = r.result;
    if (e == OK && !h->stop) {
        *out = r.config;
        return OK;
    }
    config_free(r.config);
    return h->stop ? E_CANCELED : e;
}

err hub_reload(struct hub *h)
{
    struct config *c = NULL;
    h->reload = false;
    err e = read_until_stopped(h, &c);
    if (e == OK)
        return take(h, c);
    if (e != E_CANCELED)
        hub_config_wrong(h, "the new configuration is not taken, the one before stays in force");
    trail_clear();
    return OK;
}
