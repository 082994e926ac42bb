/* hub: what the files of `holdfast run` share. Two layers of state: what lives as long as the process, and what lives as long as
 * a configuration.
 *
 * Layer    board, private to its hub*.c.           Blocks   parks the main fiber.
 * Owner    one static struct hub.                  Memory   TASK_BOARD: two configurations while one takes over from the other.
 * Errors   told in the log, in /readyz and by the exit code.
 *
 * Order of start: board_start() (no configuration needed), then for the first good configuration services_start(), epoch_start(),
 * confinement. A reload is epoch_stop() and epoch_start(); the services stay as they are, so `data` and `listen` do too. */
#ifndef HOLDFAST_HUB_H
#define HOLDFAST_HUB_H

#include "board/command.h"
#include "board/control.h"

#include "agents/backup/backup.h"
#include "agents/backup/notify.h"
#include "agents/guardian/guardian.h"
#include "agents/ingest/ingest.h"
#include "agents/metrics/metrics.h"
#include "board/rt/sync.h"
#include "hal/confine.h"
#include "hal/watchdog.h"

#define HUB_LINES_MAX 8

/* As long as one configuration: its agents. */
struct hub_epoch {
    struct config *config; /* NULL: there is none */
    struct group agents;   /* their fibers; work that others start for an agent is spawned here too, so that it ends with it */
    struct backup *backup; /* NULL: nothing to back up, and nothing to tell of */
    struct notify *notify;
    struct group guards;       /* the guardian's fibers */
    struct guardian *guardian; /* NULL: there is no etcd. Its fibers run where backup.etcd.guardian says so */
    struct group streams;      /* the ingest agent's fiber */
    struct ingest *ingest;     /* NULL: ingest.enabled is false */
    struct zone zone;          /* backup.timezone */
    struct ready_line lines[HUB_LINES_MAX];
    size_t line_count;
    struct metrics_route routes[1];
};

/* From the first good configuration to the end of the process: what is opened where `data` and `listen` say. */
struct hub_services {
    bool open;
    char data[OS_PATH_MAX];
    struct control_lock lock;
    struct control *control;
    struct store *store; /* NULL: it cannot be had, and the hub goes on without */
};

struct hub {
    const struct command_line *line;
    bool waits; /* for a configuration, instead of ending: PID 1, or --wait */
    struct watchdog watchdog;
    struct timer tick;
    ms sample_at;
    struct dns *dns;
    struct metrics *metrics;
    struct addr listen; /* what it was started with */
    struct hub_services services;
    struct hub_epoch epoch;
    struct waitq wanted; /* a signal wants something: */
    bool reload, dump;
    struct group *reading; /* of a new configuration, ended by a stop; NULL: nobody reads */
    bool budget_told;
    ms confine_again;               /* FOREVER: done, or not wanted */
    int stop;                       /* SIGTERM or SIGINT; 0: not yet */
    char why[CONFIG_ERRORS_BYTES];  /* what is wrong with the file that was read last, lines; "": nothing */
    char told[CONFIG_ERRORS_BYTES]; /* of that, what the log has */
};

/* --- hub_services.c --- */
MUST_USE err services_start(struct hub *h,
                            const struct config *c); /* undoes itself when it fails; E_BUSY another hub runs there */
void services_stop(struct hub *h, ms deadline);

/* --- hub_control.c: what others ask of the agents --- */
MUST_USE err hub_control_start(struct hub *h, const char *data, struct control **out);
err hub_backups(void *hub, struct http_exchange *x); /* GET /backups: the array of `backup list`, in pieces */

/* --- hub.c: adding an agent: one line in epoch_start, one in epoch_stop --- */
/* Takes over c when OK; else c is the caller's still, and there is no epoch. */
MUST_USE err epoch_start(struct hub *h, struct config *c);
/* The agents are canceled and joined; what of a snapshot is under way leaves nothing. Returns the configuration, NULL: none. */
struct config *epoch_stop(struct hub *h, ms deadline);
/* The address where a hub without a configuration answers. */
MUST_USE err hub_listen(struct hub *h, const struct addr *at);

/* --- hub_guardian.c --- */
MUST_USE err hub_guardian_start(struct hub *h); /* after the backups; on an error hub_guardian_stop() is still to be called */
bool hub_guardian_is_holding(void *epoch);      /* for struct backup_options: a member is being defragmented */
void hub_guardian_stop(struct hub *h, ms deadline);

/* --- hub_ingest.c --- */
MUST_USE err hub_ingest_start(struct hub *h); /* on an error hub_ingest_stop() is still to be called */
void hub_ingest_stop(struct hub *h, ms deadline);
err hub_ingest_status(void *hub, struct http_exchange *x); /* GET /ingest/status of the control socket */

/* --- hub_config.c --- */
/* E_CONFIG: h->why has the lines of what is wrong. */
MUST_USE err hub_config_read(struct hub *h, struct config **out);
/* Until the file is another one than was last read, or a signal wants something; at most wait_ms. */
MUST_USE err hub_config_await(struct hub *h, ms wait_ms);
void hub_config_wrong(struct hub *h, const char *message); /* logs h->why, and counts */
void hub_config_good(void);                                /* the metrics of a configuration that is in force now */
MUST_USE err hub_config_metrics(void);
/* OK also when the file is not taken: the log says why, the old one stays. An error: no configuration is in force any more;
 * E_CANCELED: because of a stop. */
MUST_USE err hub_reload(struct hub *h);

/* --- hub_confine.c --- */
/* Gives up what the configuration does not need. OK also when it is to be called again later: then h->confine_again says when. */
MUST_USE err hub_confine(struct hub *h, const struct config *c);
/* Does c need a path that was given up, and `now` (NULL: there is none) does not need it as well? Says so in `why`. */
bool hub_confined_from(const struct config *c, const struct config *now, struct text *why);
MUST_USE err hub_confine_metrics(void);

/* --- hub_kube_files.c --- */
#define HUB_KUBE_FILES 4 /* CA, certificate, key, token */
struct hub_kube_files {
    char path[HUB_KUBE_FILES][OS_PATH_MAX]; /* "": none */
};
void hub_kube_files(const struct config *c, struct hub_kube_files *out);

/* --- hub_tasks.c --- */
void hub_dump_if_wanted(struct hub *h); /* SIGUSR1: what each task uses now, into the log */

/* --- init.c: PID 1 --- */
bool init_is_us(void);
/* Before anything else as PID 1: /proc, /sys and /dev, where they are not there. */
void init_mount(void);
/* PID 1 of the machine itself, and allowed to switch it off; false in a container, whose PID 1 just ends. */
bool init_of_machine(void);
/* SIGTERM: powers off; SIGINT (Ctrl-Alt-Del): restarts. Returns when it may not. */
void init_sync(void); /* parks the fiber, a bounded while */
void init_end(int signal_number);

#endif
