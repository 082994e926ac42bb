/* hub: `holdfast run`. Opens what the configuration names, lets the agents run, and ends them on SIGTERM. */
#include "board/hub.h"
#include "board/hub_id.h"

#include "board/zones.h"

#include "board/rt/buf.h"
#include "board/rt/log.h"
#include "board/rt/metric.h"
#include "board/rt/os.h"
#include "board/rt/proc.h"
#include "net/format/crypto.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MS       SECONDS(1)
#define HUB_ID_MS_MAX SECONDS(10)
#define STOP_MS_MAX   SECONDS(7)  /* Talos kills an extension service 10 s after SIGTERM */
#define SERVER_MS_MAX SECONDS(2)  /* of those, for answers in work */
#define AGAIN_MS      SECONDS(10) /* a start that failed for another reason than the configuration */

static struct hub hub;

static void on_signal(int number)
{
    if (number == SIGTERM || number == SIGINT)
        hub.stop = number;
    if (hub.stop && hub.reading)
        group_cancel(hub.reading);
    hub.reload = hub.reload || number == SIGHUP;
    hub.dump = hub.dump || number == SIGUSR1;
    waitq_wake_all(&hub.wanted);
}

/* --- as long as the process --- */
/* The loop turns at least once a TICK_MS; a turn is where the watchdog is fed. */
static void on_tick(struct timer *t)
{
    ms now = loop_now();
    pulse_beat(TASK_BOARD, now);
    if (now >= hub.sample_at) {
        metric_sample(now);
        hub.sample_at = now + METRIC_SAMPLE_MS;
    }
    timer_arm(t, now + TICK_MS);
}

static void on_turn(ms now)
{
    enum task who = TASK_BOARD;
    err_ignore(watchdog_turn(&hub.watchdog, now, &who)); /* a stall is logged and counted by the pulse itself */
}

static err start_watchdog(struct hub *h)
{
    err e = watchdog_open(&h->watchdog, &watchdog_none, NULL, SECONDS(5), loop_now());
    h->tick.fire = on_tick;
    timer_arm(&h->tick, loop_now());
    loop_on_turn(on_turn);
    if (e == E_ABSENT)
        trail_clear();
    return e == E_ABSENT ? OK : e;
}

static err board_start(struct hub *h)
{
    pulse_boot(loop_now());
    loop_on_signal(on_signal);
    (void)proc_reap_orphans(); /* those that ended before we were PID 1 send no signal any more */
    TRY(crypto_boot());        /* before a pool thread needs it */
    TRY(start_watchdog(h));
    TRY(hub_config_metrics());
    TRY(hub_confine_metrics());
    return dns_open(&h->dns);
}

static void board_stop(struct hub *h)
{
    dns_close(h->dns);
    timer_disarm(&h->tick);
    loop_on_turn(NULL);
    watchdog_close(&h->watchdog);
    loop_on_signal(NULL);
}

static const char *not_ready(void *arg)
{
    const struct hub *h = arg;
    return h->epoch.config ? NULL : *h->why ? h->why : "starting";
}

err hub_listen(struct hub *h, const struct addr *at)
{
    struct metrics_options o = {
        .at = *at, .not_ready = not_ready, .not_ready_arg = h, .version = version_text(), .target = version_target()};
    if (h->metrics && addr_equal(&h->listen, at))
        return OK;
    metrics_stop(h->metrics, loop_now() + SERVER_MS_MAX);
    h->metrics = NULL;
    TRY(metrics_start(&o, &h->metrics));
    h->listen = *at;
    return OK;
}

/* --- as long as a configuration --- */
static bool configuration_is_well(void *arg, struct text *why)
{
    const struct hub *h = arg;
    text_add(why, h->why);
    return !*h->why;
}

static err start_notify(struct hub *h)
{
    struct hub_epoch *e = &h->epoch;
    struct notify_options o = {.config = e->config, .dns = h->dns, .version = version_text()};
    TRY(notify_open(&o, &e->notify));
    if (e->config->notify.webhook[0] || e->config->notify.ping_url[0])
        e->lines[e->line_count++] = (struct ready_line){"notify", notify_is_well, e->notify};
    return group_spawn(&e->agents, "notify", notify_run, e->notify);
}

/* Few servers need the id in names, and of those it is told when they do. */
static err know_ourselves(const struct config *c, char id[9])
{
    err e = hub_id_read(c, loop_now() + HUB_ID_MS_MAX, id);
    if (e == OK || e == E_CANCELED)
        return e;
    log_warn("this hub's id is not known", F_ERR(e));
    trail_clear();
    return OK;
}

static err start_backup(struct hub *h)
{
    struct hub_epoch *e = &h->epoch;
    if (!config_backs_up(e->config)) {
        log_info("no backup.etcd.endpoints: no backups", F("config", h->line->config_path));
        return OK;
    }
    TRY(start_notify(h));
    struct zones zones;
    zones_open(&zones);
    struct config_zones finder = zones_finder(&zones);
    err found = config_zone(e->config->backup.timezone, &finder, &e->zone);
    zones_close(&zones);
    TRY(found);
    struct backup_options o = {.config = e->config, .dns = h->dns, .store = h->services.store, .zone = &e->zone};
    o.events = (struct backup_events){
        .done = notify_done, .failed = notify_failed, .stale = notify_stale, .round = notify_round, .arg = e->notify};
    o.held = hub_guardian_is_holding;
    o.held_arg = e;
    TRY(know_ourselves(e->config, o.hub_id));
    TRY(backup_open(&o, &e->backup));
    e->lines[e->line_count++] = (struct ready_line){"backup", backup_is_well, e->backup};
    e->routes[0] = (struct metrics_route){"/backups", hub_backups, h};
    metrics_set_routes(h->metrics, e->routes, 1);
    return group_spawn(&e->agents, "backup schedule", backup_schedule, e->backup);
}

err epoch_start(struct hub *h, struct config *c)
{
    ASSERT(h->metrics); /* services_start() */
    h->epoch = (struct hub_epoch){.config = c, .lines = {{"configuration", configuration_is_well, h}}, .line_count = 1};
    group_open(&h->epoch.agents, TASK_BACKUP);
    err e = start_backup(h);
    if (e == OK)
        e = hub_guardian_start(h);
    if (e == OK)
        e = hub_ingest_start(h);
    if (e != OK) {
        (void)epoch_stop(h, loop_now() + STOP_MS_MAX);
        return e;
    }
    metrics_set_lines(h->metrics, h->epoch.lines, h->epoch.line_count);
    h->why[0] = 0;
    hub_config_good();
    return OK;
}

struct config *epoch_stop(struct hub *h, ms deadline)
{
    struct hub_epoch *e = &h->epoch;
    struct config *c = e->config;
    if (!c)
        return NULL;
    group_cancel(&e->agents);
    group_cancel(&e->guards);
    group_cancel(&e->streams);
    if (h->metrics)
        metrics_set_lines(h->metrics, NULL, 0);
    if (h->metrics)
        metrics_set_routes(h->metrics, NULL, 0);
    err ended = group_join(&e->agents, deadline);
    if (ended == E_TIMEOUT)
        log_error("an agent did not end in time", F_ERR(ended));
    group_close(&e->agents);
    hub_guardian_stop(h, deadline);
    hub_ingest_stop(h, deadline);
    backup_close(e->backup);
    notify_close(e->notify);
    *e = (struct hub_epoch){0};
    return c;
}

/* --- the first configuration --- */
/* Once, when it is known how the log is written, or that this is not to be known yet. */
static void tell_budget(struct hub *h)
{
    if (!h->budget_told)
        budget_log(mem_profile());
    h->budget_told = true;
}

static err attempt(struct hub *h)
{
    struct config *c = NULL;
    TRY(hub_config_read(h, &c));
    log_setup((enum log_level)c->log_level, (enum log_format)c->log_format, 2);
    tell_budget(h);
    struct text why = text_over(h->why, sizeof h->why);
    if (hub_confined_from(c, NULL, &why)) { /* the agents of an earlier one did not start */
        config_free(c);
        return E_CONFIG;
    }
    err e = services_start(h, c);
    if (e == OK)
        e = hub_confine(h, c);
    if (e == OK)
        e = epoch_start(h, c);
    if (e == OK)
        return OK;
    config_free(c);
    trail_text(e, h->why, sizeof h->why);
    return e;
}

/* Where a hub answers that has no configuration yet: HOLDFAST_LISTEN, else as DESIGN says, "Ports". */
static void idle_listen(struct hub *h)
{
    struct addr at = {0};
    const char *wanted = getenv("HOLDFAST_LISTEN");
    if (h->metrics)
        return;
    if (!wanted || !*wanted || addr_parse(bytes_of(wanted), &at) != OK)
        ASSERT(addr_parse(bytes_of(init_is_us() ? ":9464" : "127.0.0.1:9464"), &at) == OK);
    err e = hub_listen(h, &at);
    if (e != OK)
        log_error("nobody can ask why it is not ready", F_ERR(e));
}

static err first_configuration(struct hub *h)
{
    for (;;) {
        err e = attempt(h);
        if (e == OK || !h->waits)
            return e;
        tell_budget(h);
        if (strcmp(h->told, h->why) != 0)
            hub_config_wrong(h, "waiting for a configuration that can be used");
        (void)snprintf(h->told, sizeof h->told, "%s", h->why);
        trail_clear();
        idle_listen(h);
        TRY(hub_config_await(h, e == E_CONFIG ? FOREVER : AGAIN_MS));
    }
}

/* --- the whole --- */
static void announce(const struct hub *h)
{
    char at[ADDR_TEXT_MAX];
    log_info("holdfast is up", F("version", version_text()), F("profile", mem_profile()->name),
             F("listen", addr_text(metrics_address(h->metrics), at, sizeof at)), F("config", h->line->config_path));
    if (!os_wall_is_trusted())
        log_warn_0("the clock is before this build: certificates cannot be checked until it is set");
}

/* Where neither the new nor the old one starts, a hub that waited for a configuration waits again. */
static err reload(struct hub *h)
{
    err e = hub_reload(h);
    if (e == OK || e == E_CANCELED || !h->waits)
        return e;
    trail_clear();
    return first_configuration(h);
}

static err serve(struct hub *h)
{
    err e = OK;
    while (e == OK && !h->stop) {
        hub_dump_if_wanted(h);
        if (h->reload)
            e = reload(h);
        else if (loop_now() >= h->confine_again)
            e = hub_confine(h, h->epoch.config);
        else
            e = waitq_wait(&h->wanted, h->confine_again);
        if (e == E_TIMEOUT)
            e = OK;
    }
    log_info("stopping", F("why", h->stop ? "signal" : err_text(e)));
    return e;
}

static void stop(struct hub *h)
{
    ms deadline = loop_now() + STOP_MS_MAX;
    if (h->epoch.config)
        group_cancel(&h->epoch.agents);
    if (h->epoch.config)
        group_cancel(&h->epoch.guards);
    if (h->epoch.config)
        group_cancel(&h->epoch.streams);
    metrics_stop(h->metrics, loop_now() + SERVER_MS_MAX);
    h->metrics = NULL;
    config_free(epoch_stop(h, deadline));
    services_stop(h, deadline);
    board_stop(h);
}

static void tell_failure(const struct hub *h, err e)
{
    if (e == E_CONFIG)
        (void)fprintf(stderr, "%s\n", h->why);
    else if (e != E_CANCELED)
        log_error("cannot start", F_ERR(e));
}

static err hub_fiber(void *arg)
{
    struct hub *h = arg;
    err e = board_start(h);
    mem_seal();
    if (e == OK)
        e = first_configuration(h);
    if (e == OK) {
        announce(h);
        e = serve(h);
    } else {
        tell_failure(h, e);
    }
    stop(h);
    init_sync();
    if (e == E_CANCELED && h->stop)
        e = OK; /* ended while it waited for a configuration */
    if (e == OK)
        log_info_0("stopped");
    return e;
}

enum exit_code command_hub(const struct command_line *line)
{
    hub.line = line;
    hub.confine_again = FOREVER;
    hub.waits = line->wait || init_is_us();
    if (init_is_us())
        init_mount();
    err e = mem_boot(line->profile, MEM_TOUCH);
    if (e == OK)
        e = buf_boot();
    if (e == OK) {
        e = loop_run(hub_fiber, &hub);
        init_end(hub.stop);
        return exit_code_of(e);
    }
    char why[256];
    (void)fprintf(stderr, "holdfast: profile %s: %s\n", line->profile->name, trail_text(e, why, sizeof why));
    return exit_code_of(e);
}
