/* config: holdfast.yaml, checked whole before anything uses it. What may be in it is one table, config/schema.h.
 *
 * Layer    config.                                 Blocks   never; the caller reads the file (board/rt/file.h).
 * Owner    the caller owns the struct config and   Memory   one heap block a struct config; while parsing also libyaml's,
 *          frees it; spans are read before return.          freed before return. Charged to the calling task.
 * Errors   E_CONFIG the file is wrong, `errors` says where and what to do; E_BUDGET no memory for it, also said there.
 *
 * Environment: HOLDFAST_ + the path in upper case with `_` for `.` overrides a scalar (HOLDFAST_LOG_LEVEL=debug). An empty value
 * is as none. `version` and what is inside lists cannot be set so. Other HOLDFAST_ names are let be: Kubernetes makes some for
 * Services. */
#ifndef HOLDFAST_CONFIG_H
#define HOLDFAST_CONFIG_H

#include "board/rt/addr.h"
#include "board/rt/err.h"
#include "board/rt/log.h"
#include "board/rt/os.h"
#include "board/rt/text.h"
#include "net/format/cron.h"
#include "net/format/zone.h"

#define CONFIG_BYTES_MAX        KIB(255) /* of the file; the largest I/O buffer holds it and a zero */
#define CONFIG_ERRORS_MAX       10       /* lines told; the rest is counted */
#define CONFIG_ENDPOINTS_MAX    8
#define CONFIG_DESTINATIONS_MAX 4
#define CONFIG_URL_MAX          256 /* with the zero, as all below */
#define CONFIG_NAME_MAX         33

#define CONFIG_RETENTION_RULES 6    /* last, hourly, daily, weekly, monthly, yearly; agents/backup/retention.h */
#define CONFIG_RETENTION_MAX   4000 /* of one rule, and of all of a destination together: see BACKUP_RECORDS_MAX */

enum destination_type { DESTINATION_DIRECTORY };

struct config_destination {
    char name[CONFIG_NAME_MAX]; /* unique */
    int type;                   /* enum destination_type */
    char path[OS_PATH_MAX];
    int64_t retention[CONFIG_RETENTION_RULES]; /* buckets kept; not all 0. None given: daily 7, weekly 4, monthly 12; else absent
                                                  ones are 0 */
};

struct config {
    int64_t version;
    char data[OS_PATH_MAX];
    struct addr listen;
    int log_level;  /* enum log_level */
    int log_format; /* enum log_format */
    struct {
        char endpoints[CONFIG_ENDPOINTS_MAX][CONFIG_URL_MAX];      /* http(s)://host:port, no path */
        unsigned endpoint_count;                                   /* 0: no backups; else there is a destination too */
        char ca[OS_PATH_MAX], cert[OS_PATH_MAX], key[OS_PATH_MAX]; /* "": not given; cert and key go together */
        char schedule[CRON_TEXT_MAX];                              /* "": by every_ms */
        char timezone[ZONE_NAME_MAX];                              /* "UTC", an IANA name, a POSIX TZ string; see config_zone() */
        ms every_ms;                                               /* 0: by schedule */
        ms max_age_ms;                                             /* an older newest backup is stale */
        ms idle_timeout_ms, total_timeout_ms;
        struct config_destination destinations[CONFIG_DESTINATIONS_MAX];
        unsigned destination_count;
    } backup;
    struct {
        char webhook[CONFIG_URL_MAX], ping_url[CONFIG_URL_MAX]; /* "": none */
        char ca[OS_PATH_MAX];                                   /* "": the system's certificates */
    } notify;
};

/* Finds the place a name stands for; what no file of this host knows is refused like any wrong value. May wait. */
struct config_zones {
    err (*find)(void *arg, const char *name, struct zone *out);
    void *arg;
};

/* file_name is for the messages only; environment is as environ(7), NULL for none. zones: NULL: any name that may be one of
 * IANA's is taken for good. On OK *out is complete and consistent, else NULL. errors: a line each, FILE:LINE:COLUMN: path.to.key:
 * what is wrong; what to do. It should hold 4 KiB. */
MUST_USE err config_parse(struct bytes yaml, const char *file_name, const char *const environment[],
                          const struct config_zones *zones, struct config **out, struct text *errors);
/* What backup.timezone means: UTC, a POSIX TZ string, or what zones->find says of an IANA name. E_INVALID it is none of these;
 * E_ABSENT no such name, or zones is NULL; those of find(). */
MUST_USE err config_zone(const char *timezone, const struct config_zones *zones, struct zone *out);
void config_free(struct config *c); /* NULL is fine */
/* The configuration in force as YAML, defaults written out; config_parse() reads it back as the same. */
void config_print(const struct config *c, struct text *out);
/* All options as a Markdown table, from the schema. */
void config_reference(struct text *out);

#endif
