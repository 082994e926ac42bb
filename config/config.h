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

#define CONFIG_RECIPIENTS_MAX  8
#define CONFIG_RECIPIENT_BYTES 72  /* of "age1…", 62 and a zero */
#define CONFIG_BUCKET_MAX      64  /* 63 and a zero: S3's rule */
#define CONFIG_PREFIX_MAX      256 /* of object keys, with the last "/" */
#define CONFIG_REGION_MAX      33

#define CONFIG_KINDS_MAX        20
#define CONFIG_KIND_BYTES       24   /* of "PersistentVolumeClaim", 21 and a zero */
#define CONFIG_RATE_MAX         5000 /* events a second */
#define CONFIG_CLUSTER_NAME_MAX 254
#define CONFIG_UID_MAX          129

enum destination_type { DESTINATION_DIRECTORY, DESTINATION_S3, DESTINATION_NFS };
const char *destination_type_name(enum destination_type t); /* "s3", as it is configured; static */
enum destination_compress { COMPRESS_NONE, COMPRESS_ZSTD };
enum destination_addressing { ADDRESSING_PATH, ADDRESSING_VIRTUAL };

struct config_destination {
    char name[CONFIG_NAME_MAX]; /* unique */
    int type;                   /* enum destination_type */
    char path[OS_PATH_MAX];     /* directory; nfs: where it is, or is to be, mounted */
    /* s3 */
    char endpoint[CONFIG_URL_MAX], bucket[CONFIG_BUCKET_MAX], region[CONFIG_REGION_MAX];
    char prefix[CONFIG_PREFIX_MAX]; /* "" or ends with "/" */
    int addressing;                 /* enum destination_addressing */
    char ca[OS_PATH_MAX];           /* "": the system's */
    /* "": from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN. The first two go together. */
    char access_key_file[OS_PATH_MAX], secret_key_file[OS_PATH_MAX], session_token_file[OS_PATH_MAX];
    /* nfs */
    char server[CONFIG_URL_MAX], export[OS_PATH_MAX];
    int64_t port;
    bool mount; /* we mount it */
    /* all */
    int compress; /* enum destination_compress; none given: zstd for s3 */
    char recipients[CONFIG_RECIPIENTS_MAX][CONFIG_RECIPIENT_BYTES];
    unsigned recipient_count;                  /* 0: not encrypted */
    int64_t retention[CONFIG_RETENTION_RULES]; /* buckets kept; not all 0. None given: daily 7, weekly 4, monthly 12; else absent
                                                  ones are 0 */
};

struct config_guardian {  /* what the guardian may do; config.backup.guardian says whether there is one */
    int64_t quota;        /* bytes, where etcd does not tell it; 0: unknown */
    bool defrag, nospace; /* by rule; the chain that ends a NOSPACE alarm */
    int64_t defrag_fragmentation /* percent of the file */, defrag_floor /* bytes to be won */;
    int64_t defrag_quota; /* percent of the quota from which defrag_floor alone decides */
};

enum backup_source { SOURCE_ETCD, SOURCE_TALOS };

enum ingest_source { INGEST_CRD, INGEST_CONFIG };
enum ingest_event_types { INGEST_TYPES_LOWER, INGEST_TYPES_UPPER };
enum ingest_environment { ENVIRONMENT_OFF, ENVIRONMENT_AUTO };
extern const char *const config_ingest_kinds[CONFIG_KINDS_MAX + 1]; /* as they may be written; NULL ends */

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
        bool guardian;                                             /* backup.etcd.guardian */
        int source;                                                /* enum backup_source */
        char talos_socket[OS_PATH_MAX];                            /* used when talos_config is "" */
        char talos_config[OS_PATH_MAX];                            /* a talosconfig: its endpoints, over TCP */
        ms every_ms;                                               /* 0: by schedule */
        ms max_age_ms;                                             /* an older newest backup is stale */
        ms idle_timeout_ms, total_timeout_ms;
        int64_t min_rate;                      /* bytes a second; 0: any */
        char stage[OS_PATH_MAX];               /* "": none */
        char scratch[OS_PATH_MAX];             /* "": none */
        int64_t scratch_max;                   /* bytes */
        char rehearse_schedule[CRON_TEXT_MAX]; /* "": never */
        char identity_file[OS_PATH_MAX];       /* "": none */
        struct config_destination destinations[CONFIG_DESTINATIONS_MAX];
        unsigned destination_count;
        struct config_guardian etcd; /* backup.etcd.quota and below */
    } backup;
    struct {
        char kubeconfig[OS_PATH_MAX]; /* "": we are in a pod */
        char context[254];            /* "": its current-context */
    } kubernetes;
    struct {
        bool enabled, allow_plaintext, suppress_unchanged;
        int source;                        /* enum ingest_source */
        char platform_url[CONFIG_URL_MAX]; /* source: config, as the next ones up to the rate */
        char cluster_name[CONFIG_CLUSTER_NAME_MAX];
        char client_id_file[OS_PATH_MAX], private_key_file[OS_PATH_MAX];
        ms sync_interval_ms;
        int64_t events_per_second, burst_size;
        char ca[OS_PATH_MAX];             /* "": the system's */
        char cluster_uid[CONFIG_UID_MAX]; /* "": of kube-system */
        char agent_version[64];           /* "": ours */
        int event_types;                  /* enum ingest_event_types */
        int environment;                  /* enum ingest_environment */
        char kinds[CONFIG_KINDS_MAX][CONFIG_KIND_BYTES];
        unsigned kind_count;          /* at least one */
        char spool_path[OS_PATH_MAX]; /* "": data + "/ingest" */
        int64_t spool_bytes_max, snapshot_bytes_max;
    } ingest;
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
bool config_backs_up(const struct config *c); /* is there a source and a destination */
void config_free(struct config *c);           /* NULL is fine */
/* The configuration in force as YAML, defaults written out; config_parse() reads it back as the same. */
void config_print(const struct config *c, struct text *out);
/* All options as a Markdown table, from the schema. */
void config_reference(struct text *out);

#endif
