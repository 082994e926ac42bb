/* hub: `holdfast run`. Opens what the configuration names, lets the agents run, and ends them on SIGTERM. */
#include "board/command.h"

#include "agents/backup/backup.h"
#include "agents/metrics/metrics.h"
#include "board/rt/buf.h"
#include "board/rt/log.h"
#include "board/rt/metric.h"
#include "board/rt/os.h"
#include "board/rt/sync.h"
#include "hal/watchdog.h"
#include "net/format/crypto.h"

#include <signal.h>
#include <stdio.h>

#define TICK_MS       SECONDS(1)
#define STOP_MS_MAX   SECONDS(7) /* Talos kills an extension service 10 s after SIGTERM */
#define SERVER_MS_MAX SECONDS(2) /* of those, for answers in work */

static struct hub {
    const struct command_line *line;
    struct config *config;
    struct dns *dns;
    struct backup *backup;
    struct metrics *metrics;
    struct group agents;
    struct watchdog watchdog;
    struct timer tick;
    struct waitq stop_wanted;
    bool stopping;
    ms sample_at;
} hub;

static void on_signal(int number)
{
    if (number == SIGHUP) {
        log_warn("SIGHUP: a changed configuration is read at the next start", F("config", hub.line->config_path));
        return;
    }
    if (number != SIGTERM && number != SIGINT)
        return;
    hub.stopping = true;
    waitq_wake_all(&hub.stop_wanted);
}

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

static err start_watchdog(void)
{
    err e = watchdog_open(&hub.watchdog, &watchdog_none, NULL, SECONDS(5), loop_now());
    hub.tick.fire = on_tick;
    timer_arm(&hub.tick, loop_now());
    loop_on_turn(on_turn);
    return e == E_ABSENT ? OK : e;
}

static err start_backup(void)
{
    if (hub.config->backup.endpoint_count == 0) {
        log_info("no backup.etcd.endpoints: no backups", F("config", hub.line->config_path));
        return OK;
    }
    TRY(backup_open(hub.config, hub.dns, &hub.backup));
    return group_spawn(&hub.agents, "backup schedule", backup_schedule, hub.backup);
}

static err start_metrics(void)
{
    static struct ready_line lines[1];
    struct metrics_options o = {.at = hub.config->listen, .lines = lines, .version = version_text(), .target = version_target()};
    if (hub.backup)
        lines[o.line_count++] = (struct ready_line){"backup", backup_is_well, hub.backup};
    return metrics_start(&o, &hub.metrics);
}

static err start(void)
{
    pulse_boot(loop_now());
    TRY(crypto_boot()); /* before a pool thread needs it */
    TRY(start_watchdog());
    TRY(dns_open(&hub.dns));
    group_open(&hub.agents, TASK_BACKUP);
    TRY(start_backup());
    return start_metrics();
}

static void announce(void)
{
    char at[ADDR_TEXT_MAX];
    log_info("holdfast is up", F("version", version_text()), F("profile", mem_profile()->name),
             F("listen", addr_text(metrics_address(hub.metrics), at, sizeof at)), F("config", hub.line->config_path));
    if (!os_wall_is_trusted())
        log_warn_0("the clock is before this build: certificates cannot be checked until it is set");
}

static void stop(void)
{
    ms deadline = loop_now() + STOP_MS_MAX;
    group_cancel(&hub.agents);
    metrics_stop(hub.metrics, loop_now() + SERVER_MS_MAX);
    err e = group_join(&hub.agents, deadline);
    if (e == E_TIMEOUT)
        log_error("an agent did not end in time", F_ERR(e));
    group_close(&hub.agents);
    backup_close(hub.backup);
    dns_close(hub.dns);
    timer_disarm(&hub.tick);
    loop_on_turn(NULL);
    watchdog_close(&hub.watchdog);
}

static err hub_fiber(void *arg)
{
    (void)arg;
    TRY(command_config(hub.line, &hub.config));
    log_setup((enum log_level)hub.config->log_level, (enum log_format)hub.config->log_format, 2);
    loop_on_signal(on_signal);
    err e = start();
    if (e == OK) {
        mem_seal();
        announce();
        while (e == OK && !hub.stopping)
            e = waitq_wait(&hub.stop_wanted, FOREVER);
        log_info("stopping", F("why", hub.stopping ? "signal" : err_text(e)));
    } else {
        log_error("cannot start", F_ERR(e));
    }
    stop();
    loop_on_signal(NULL);
    config_free(hub.config);
    if (e == OK)
        log_info_0("stopped");
    return e;
}

enum exit_code command_hub(const struct command_line *line)
{
    hub.line = line;
    err e = mem_boot(line->profile, MEM_TOUCH);
    if (e == OK)
        e = buf_boot();
    if (e == OK)
        return exit_code_of(loop_run(hub_fiber, NULL));
    char why[256];
    (void)fprintf(stderr, "holdfast: profile %s: %s\n", line->profile->name, trail_text(e, why, sizeof why));
    return exit_code_of(e);
}
