#include "config/schema.h"

#include "config/schema_check.h"
#include "net/format/age.h"

#include <string.h>

/* --- the rows --- */
static const char *const levels[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error", NULL};
static const char *const formats[] = {[LOG_LOGFMT] = "logfmt", [LOG_JSON] = "json", NULL};
static const char *const destination_types[] = {
    [DESTINATION_DIRECTORY] = "directory", [DESTINATION_S3] = "s3", [DESTINATION_NFS] = "nfs", NULL};
static const char *const compressions[] = {[COMPRESS_NONE] = "none", [COMPRESS_ZSTD] = "zstd", NULL};
static const char *const addressings[] = {[ADDRESSING_PATH] = "path", [ADDRESSING_VIRTUAL] = "virtual", NULL};
static const char *const ingest_sources[] = {[INGEST_CRD] = "crd", [INGEST_CONFIG] = "config", NULL};
static const char *const event_types[] = {[INGEST_TYPES_LOWER] = "lower", [INGEST_TYPES_UPPER] = "upper", NULL};
static const char *const environments[] = {[ENVIRONMENT_OFF] = "off", [ENVIRONMENT_AUTO] = "auto", NULL};
const char *const config_ingest_kinds[CONFIG_KINDS_MAX + 1] = {"Namespace",
                                                               "Pod",
                                                               "Service",
                                                               "Node",
                                                               "Deployment",
                                                               "StatefulSet",
                                                               "DaemonSet",
                                                               "Job",
                                                               "CronJob",
                                                               "Ingress",
                                                               "NetworkPolicy",
                                                               "ConfigMap",
                                                               "Secret",
                                                               "PersistentVolumeClaim",
                                                               "ServiceAccount",
                                                               "Role",
                                                               "ClusterRole",
                                                               "RoleBinding",
                                                               "ClusterRoleBinding",
                                                               "Event",
                                                               NULL};
static const char *const sources[] = {[SOURCE_ETCD] = "etcd", [SOURCE_TALOS] = "talos", NULL};

#define SIZE_OF(type, member) sizeof(((type *)0)->member)
#define AT(member)            .offset = offsetof(struct config, member), .bytes = SIZE_OF(struct config, member)
#define AT_DESTINATION(member)                                                                                                   \
    .offset = offsetof(struct config_destination, member), .bytes = SIZE_OF(struct config_destination, member)
#define LIST(member, count)                                                                                                      \
    .offset = offsetof(struct config, member), .bytes = SIZE_OF(struct config, member[0]),                                       \
    .count_offset = offsetof(struct config, count), .most = (int64_t)COUNT_OF(((struct config *)0)->member)

#define LIST_OF_DESTINATION(member, count)                                                                                       \
    .offset = offsetof(struct config_destination, member), .bytes = SIZE_OF(struct config_destination, member[0]),               \
    .count_offset = offsetof(struct config_destination, count),                                                                  \
    .most = (int64_t)COUNT_OF(((struct config_destination *)0)->member)
#define OF_S3     .kinds = 1U << DESTINATION_S3
#define OF_NFS    .kinds = 1U << DESTINATION_NFS
#define OF_FOLDER .kinds = 1U << DESTINATION_DIRECTORY | 1U << DESTINATION_NFS

#define RETENTION(number) .type = CONFIG_INTEGER, AT_DESTINATION(retention[number]), .most = CONFIG_RETENTION_MAX

static const struct config_row rows[] = {
    {"version", "Version of this file's format.", .type = CONFIG_INTEGER, AT(version), .least = 1, .most = 1, .required = true,
     .file_only = true},
    {"data", "Folder of everything the hub keeps for itself.", "/var/lib/holdfast", .type = CONFIG_PATH, AT(data)},
    {"listen", "Where /metrics, /healthz and /readyz are served.", "127.0.0.1:9464", .type = CONFIG_ADDRESS, AT(listen)},
    {"log", "What is written to standard error.", .type = CONFIG_SECTION},
    {"log.level", "The least important lines that are written.", "info", levels, .type = CONFIG_CHOICE, AT(log_level)},
    {"log.format", "How lines are written.", "logfmt", formats, .type = CONFIG_CHOICE, AT(log_format)},
    {"backup", "Snapshots of etcd.", .type = CONFIG_SECTION},
    {"backup.etcd", "The etcd that is backed up.", .type = CONFIG_SECTION},
    {"backup.etcd.endpoints", "URLs of its members; a snapshot is read from a healthy follower, else from the leader.", NULL,
     NULL, check_endpoint, .type = CONFIG_STRINGS, LIST(backup.endpoints, backup.endpoint_count)},
    {"backup.etcd.ca", "Certificates (PEM) that sign the members'; needed for https.", .type = CONFIG_PATH, AT(backup.ca)},
    {"backup.etcd.cert", "Our client certificate (PEM); goes with the key.", .type = CONFIG_PATH, AT(backup.cert)},
    {"backup.etcd.key", "Its private key (PEM).", .type = CONFIG_PATH, AT(backup.key)},
    {"backup.etcd.guardian",
     "Watches the members: size, leader, alarms, certificates; of several hubs one does. Repairs only what is allowed besides.",
     "false", .type = CONFIG_BOOL, AT(backup.guardian)},
    {"backup.etcd.quota",
     "quota-backend-bytes of an etcd before 3.6, which does not tell it. Without it what needs the quota rests.",
     .type = CONFIG_SIZE, AT(backup.etcd.quota), .least = MIB(1), .most = (int64_t)1 << 40},
    {"backup.etcd.defrag", "The guardian may defragment members, one by one, the leader last.", "false", .type = CONFIG_BOOL,
     AT(backup.etcd.defrag)},
    {"backup.etcd.defrag_fragmentation", "Percent of a member's file that must be unused.", "50", .type = CONFIG_INTEGER,
     AT(backup.etcd.defrag_fragmentation), .least = 1, .most = 99},
    {"backup.etcd.defrag_floor", "So much must be won, or it is not worth the pause.", "100MiB", .type = CONFIG_SIZE,
     AT(backup.etcd.defrag_floor), .least = MIB(1), .most = (int64_t)1 << 40},
    {"backup.etcd.defrag_quota", "A file of that percent of the quota need not be fragmented: the floor decides.", "80",
     .type = CONFIG_INTEGER, AT(backup.etcd.defrag_quota), .least = 1, .most = 99},
    {"backup.etcd.nospace", "The guardian may end a NOSPACE alarm: compact, defragment, disarm, in that order.", "false",
     .type = CONFIG_BOOL, AT(backup.etcd.nospace)},
    {"backup.source", "Where snapshots come from: etcd itself, or Talos' machine API.", "etcd", sources, .type = CONFIG_CHOICE,
     AT(backup.source)},
    {"backup.talos", "Talos' machine API, with `source: talos`. It gives its own member only.", .type = CONFIG_SECTION},
    {"backup.talos.socket", "Its unix socket on this node.", "/system/run/machined/machine.sock", .type = CONFIG_PATH,
     AT(backup.talos_socket)},
    {"backup.talos.config",
     "A talosconfig, to go over TCP instead. Its certificates must be ECDSA or RSA; Talos' default is Ed25519, which cannot be "
     "used.",
     .type = CONFIG_PATH, AT(backup.talos_config)},
    {"backup.schedule",
     "When snapshots are taken, as crontab(5) has it: minute, hour, day of month, month, day of week; or @daily "
     "and the like. Not together with `backup.every`.",
     "0 2 * * *", .type = CONFIG_STRING, AT(backup.schedule)},
    {"backup.every", "Instead of a schedule: time from one snapshot's start to the next.", .type = CONFIG_DURATION,
     AT(backup.every_ms), .least = SECONDS(10), .most = HOURS(24 * 366)},
    {"backup.timezone",
     "Whose clock the schedule goes by: UTC, a name like Europe/Berlin where the host has zoneinfo, or a POSIX TZ "
     "string.",
     "UTC", .type = CONFIG_STRING, AT(backup.timezone)},
    {"backup.max_age", "A destination whose newest good snapshot is older is stale.", "26h", .type = CONFIG_DURATION,
     AT(backup.max_age_ms), .least = SECONDS(10), .most = HOURS(24 * 800)},
    {"backup.idle_timeout", "A snapshot of which no byte came for so long is given up.", "30s", .type = CONFIG_DURATION,
     AT(backup.idle_timeout_ms), .least = SECONDS(1), .most = HOURS(1)},
    {"backup.total_timeout", "A snapshot that took so long is given up.", "2h", .type = CONFIG_DURATION,
     AT(backup.total_timeout_ms), .least = SECONDS(1), .most = HOURS(24)},
    {"backup.min_rate",
     "Bytes a second. A stream that is slower for 60 s keeps etcd from freeing pages: the next run goes through `backup.stage`, "
     "or a warning is given. 0: any pace.",
     "4MiB", .type = CONFIG_SIZE, AT(backup.min_rate), .most = (int64_t)1 << 40},
    {"backup.stage", "Folder that a slow destination's snapshot is kept in until it is sent.", .type = CONFIG_PATH,
     AT(backup.stage)},
    {"backup.verify", "How what cannot be read at random is verified.", .type = CONFIG_SECTION},
    {"backup.verify.scratch",
     "Folder for one snapshot at a time, so that encrypted, compressed and remote ones are verified to level 4. Without it they "
     "are verified to level 2, in the stream.",
     .type = CONFIG_PATH, AT(backup.scratch)},
    {"backup.verify.scratch_max", "A larger database is not written there.", "8GiB", .type = CONFIG_SIZE, AT(backup.scratch_max),
     .least = (int64_t)1 << 20, .most = (int64_t)1 << 40},
    {"backup.rehearse", "The newest backup of each destination is read back as for a restore.", .type = CONFIG_SECTION},
    {"backup.rehearse.schedule", "When, as crontab(5) has it. Without it never.", .type = CONFIG_STRING,
     AT(backup.rehearse_schedule)},
    {"backup.rehearse.identity_file",
     "age identities that open what `encrypt.recipients` seals. Without it only the stored bytes are compared with the record.",
     .type = CONFIG_PATH, AT(backup.identity_file)},
    {"backup.destinations", "Where snapshots are kept.", .type = CONFIG_OBJECTS,
     LIST(backup.destinations, backup.destination_count)},
    {"backup.destinations[].name", "What it is called in metrics, logs and commands.", NULL, NULL, check_name,
     .type = CONFIG_STRING, AT_DESTINATION(name), .required = true, .unique = true},
    {"backup.destinations[].type", "What kind of place it is.", NULL, destination_types, .type = CONFIG_CHOICE,
     AT_DESTINATION(type), .required = true},
    {"backup.destinations[].path", "The folder; made when it is not there. Of nfs: where it is mounted.", .type = CONFIG_PATH,
     AT_DESTINATION(path), OF_FOLDER, .required = true},
    {"backup.destinations[].endpoint", "URL of the S3 server.", NULL, NULL, check_s3_endpoint, .type = CONFIG_STRING,
     AT_DESTINATION(endpoint), OF_S3, .required = true},
    {"backup.destinations[].bucket", "The bucket; it must be there.", NULL, NULL, check_bucket, .type = CONFIG_STRING,
     AT_DESTINATION(bucket), OF_S3, .required = true},
    {"backup.destinations[].prefix",
     "What keys begin with; nothing else is listed or deleted. A slash is added when it ends without.", NULL, NULL, check_prefix,
     .type = CONFIG_STRING, AT_DESTINATION(prefix), OF_S3},
    {"backup.destinations[].region", "What requests are signed for.", "us-east-1", NULL, check_region, .type = CONFIG_STRING,
     AT_DESTINATION(region), OF_S3},
    {"backup.destinations[].access_key_file",
     "File with the access key; read anew when it changes. Without it AWS_ACCESS_KEY_ID of the environment.", .type = CONFIG_PATH,
     AT_DESTINATION(access_key_file), OF_S3},
    {"backup.destinations[].secret_key_file", "File with the secret key. Without it AWS_SECRET_ACCESS_KEY.", .type = CONFIG_PATH,
     AT_DESTINATION(secret_key_file), OF_S3},
    {"backup.destinations[].session_token_file", "File with the session token, if there is one. Without it AWS_SESSION_TOKEN.",
     .type = CONFIG_PATH, AT_DESTINATION(session_token_file), OF_S3},
    {"backup.destinations[].ca", "Certificates (PEM) that sign the server's; without it the system's.", .type = CONFIG_PATH,
     AT_DESTINATION(ca), OF_S3},
    {"backup.destinations[].addressing", "Where the bucket is named: in the path, or before the host.", "path", addressings,
     .type = CONFIG_CHOICE, AT_DESTINATION(addressing), OF_S3},
    {"backup.destinations[].server", "Name or address of the NFS server.", NULL, NULL, check_server, .type = CONFIG_STRING,
     AT_DESTINATION(server), OF_NFS, .required = true},
    {"backup.destinations[].port", "Where it listens, TCP.", "2049", .type = CONFIG_INTEGER, AT_DESTINATION(port), OF_NFS,
     .least = 1, .most = UINT16_MAX},
    {"backup.destinations[].export", "What it exports: a path that begins with a slash.", .type = CONFIG_PATH,
     AT_DESTINATION(export), OF_NFS, .required = true},
    {"backup.destinations[].mount",
     "Mount it (NFSv4, soft) on `path`, for which CAP_SYS_ADMIN is needed. false: it is mounted there already.", "true",
     .type = CONFIG_BOOL, AT_DESTINATION(mount), OF_NFS},
    {"backup.destinations[].compress", "zstd, or not at all. Without it `zstd` for s3, else `none`.", NULL, compressions,
     .type = CONFIG_CHOICE, AT_DESTINATION(compress)},
    {"backup.destinations[].encrypt", "age encryption.", .type = CONFIG_SECTION},
    {"backup.destinations[].encrypt.recipients", "X25519 recipients (age1…): each of their identities opens it.", NULL, NULL,
     age_check_recipient, .type = CONFIG_STRINGS, LIST_OF_DESTINATION(recipients, recipient_count), .secret = true},
    {"backup.destinations[].retention",
     "Which backups stay: the newest of each bucket. Without it daily 7, weekly 4, monthly 12.", .type = CONFIG_SECTION},
    {"backup.destinations[].retention.last", "So many of the newest stay.", RETENTION(0)},
    {"backup.destinations[].retention.hourly", "The newest of each of the last so many hours that have one stays.", RETENTION(1)},
    {"backup.destinations[].retention.daily", "The same of days (UTC); 7 without `retention`.", RETENTION(2)},
    {"backup.destinations[].retention.weekly", "The same of ISO weeks; 4 without `retention`.", RETENTION(3)},
    {"backup.destinations[].retention.monthly", "The same of months; 12 without `retention`.", RETENTION(4)},
    {"backup.destinations[].retention.yearly", "The same of years.", RETENTION(5)},
    {"kubernetes", "The cluster's API server. Without `kubeconfig`: that of the pod we run in.", .type = CONFIG_SECTION},
    {"kubernetes.kubeconfig", "A kubeconfig file; with a client certificate or a token in it.", .type = CONFIG_PATH,
     AT(kubernetes.kubeconfig)},
    {"kubernetes.context", "Which of its contexts; without it its current-context.", .type = CONFIG_STRING,
     AT(kubernetes.context)},
    {"ingest", "Streams what is in the cluster, never a Secret's value, to a platform.", .type = CONFIG_SECTION},
    {"ingest.enabled", "Whether it does.", "false", .type = CONFIG_BOOL, AT(ingest.enabled)},
    {"ingest.source", "Where platform and names are said: in ObsykAgent resources of the cluster, or below.", "crd",
     ingest_sources, .type = CONFIG_CHOICE, AT(ingest.source)},
    {"ingest.platform_url", "With `source: config`: URL of the platform; /api/v1/agent/… is added to it.", NULL, NULL,
     check_platform_url, .type = CONFIG_STRING, AT(ingest.platform_url)},
    {"ingest.allow_plaintext", "A platform that is not this machine may have an http:// URL.", "false", .type = CONFIG_BOOL,
     AT(ingest.allow_plaintext)},
    {"ingest.ca", "Certificates (PEM) that sign the platform's; without it the system's.", .type = CONFIG_PATH, AT(ingest.ca)},
    {"ingest.cluster_name", "With `source: config`: what the platform shows.", NULL, NULL, check_cluster_name,
     .type = CONFIG_STRING, AT(ingest.cluster_name)},
    {"ingest.cluster_uid", "Who the cluster is; without it the UID of its namespace kube-system.", NULL, NULL, check_cluster_uid,
     .type = CONFIG_STRING, AT(ingest.cluster_uid)},
    {"ingest.agent_version", "What the platform is told of us; without it our version.", .type = CONFIG_STRING,
     AT(ingest.agent_version)},
    {"ingest.credentials", "With `source: config`: what the platform knows us by.", .type = CONFIG_SECTION},
    {"ingest.credentials.client_id_file", "File with the client id.", .type = CONFIG_PATH, AT(ingest.client_id_file)},
    {"ingest.credentials.private_key_file", "File with the P-256 key (PEM, SEC1 or PKCS#8); read anew when it changes.",
     .type = CONFIG_PATH, AT(ingest.private_key_file)},
    {"ingest.sync_interval", "With `source: config`: time between two heartbeats.", "5m", .type = CONFIG_DURATION,
     AT(ingest.sync_interval_ms), .least = SECONDS(1), .most = HOURS(24)},
    {"ingest.rate_limit", "With `source: config`: how fast events may leave.", .type = CONFIG_SECTION},
    {"ingest.rate_limit.events_per_second", "So many a second.", "10", .type = CONFIG_INTEGER, AT(ingest.events_per_second),
     .least = 1, .most = CONFIG_RATE_MAX},
    {"ingest.rate_limit.burst_size", "So many at once after a pause.", "20", .type = CONFIG_INTEGER, AT(ingest.burst_size),
     .least = 1, .most = CONFIG_RATE_MAX},
    {"ingest.event_types", "lower: added, modified, deleted, as the platform takes them; upper: ADDED, UPDATED, DELETED.",
     "lower", event_types, .type = CONFIG_CHOICE, AT(ingest.event_types)},
    {"ingest.kinds", "Which kinds leave the cluster; without it all 20.", NULL, NULL, check_kind, .type = CONFIG_STRINGS,
     LIST(ingest.kinds, ingest.kind_count)},
    {"ingest.suppress_unchanged", "No event for an object of which nothing changed that would be sent.", "true",
     .type = CONFIG_BOOL, AT(ingest.suppress_unchanged)},
    {"ingest.environment", "auto: snapshots name the version of Kubernetes, the cloud and its region.", "off", environments,
     .type = CONFIG_CHOICE, AT(ingest.environment)},
    {"ingest.spool", "Where events wait that cannot be sent yet.", .type = CONFIG_SECTION},
    {"ingest.spool.path", "The folder; without it `ingest` in `data`.", .type = CONFIG_PATH, AT(ingest.spool_path)},
    {"ingest.spool.bytes_max", "For one platform. When it is full, a fresh snapshot takes the place of what waits.", "64MiB",
     .type = CONFIG_SIZE, AT(ingest.spool_bytes_max), .least = MIB(1), .most = (int64_t)1 << 34},
    {"ingest.snapshot_bytes_max", "A larger snapshot is not sent; a condition and a metric say so.", "256MiB",
     .type = CONFIG_SIZE, AT(ingest.snapshot_bytes_max), .least = KIB(64), .most = (int64_t)1 << 34},
    {"notify", "Who is told of failures and recovery.", .type = CONFIG_SECTION},
    {"notify.webhook", "URL that gets a POST of JSON when a backup failed or is stale, and on recovery.", NULL, NULL, check_url,
     .type = CONFIG_STRING, AT(notify.webhook), .secret = true},
    {"notify.ping_url", "URL that gets a GET after each good backup.", NULL, NULL, check_url, .type = CONFIG_STRING,
     AT(notify.ping_url), .secret = true},
    {"notify.ca", "Certificates (PEM) that sign those of the two; without it the system's.", .type = CONFIG_PATH, AT(notify.ca)},
};
_Static_assert(COUNT_OF(rows) <= CONFIG_ROWS_MAX, "raise CONFIG_ROWS_MAX");

const struct schema config_schema = {rows, COUNT_OF(rows), sizeof(struct config), config_item_rules, config_rules};

const char *destination_type_name(enum destination_type t)
{
    return destination_types[t];
}

/* --- asking rows --- */
const char *config_type_name(enum config_type t)
{
    static const char *const names[] = {
#define X(type, name, how) name,
        CONFIG_TYPE_TABLE(X)
#undef X
    };
    return names[t];
}

const char *config_type_how(enum config_type t)
{
    static const char *const hows[] = {
#define X(type, name, how) how,
        CONFIG_TYPE_TABLE(X)
#undef X
    };
    return hows[t];
}

bool config_type_is_scalar(enum config_type t)
{
    return t != CONFIG_SECTION && t != CONFIG_STRINGS && t != CONFIG_OBJECTS;
}

bool config_type_is_text(enum config_type t)
{
    return t == CONFIG_STRING || t == CONFIG_PATH;
}

const char *row_key(const struct config_row *r)
{
    const char *dot = strrchr(r->path, '.');
    return dot ? dot + 1 : r->path;
}

bool row_is_child(const struct config_row *r, const char *prefix)
{
    size_t length = strlen(prefix);
    if (length == 0)
        return row_key(r) == r->path;
    return strncmp(r->path, prefix, length) == 0 && row_key(r) == r->path + length + 1;
}

bool row_is_in_item(const struct config_row *r)
{
    return strstr(r->path, "[].") != NULL;
}

bool row_applies(const struct schema *s, const struct config_row *r, const void *base)
{
    if (r->kinds == 0)
        return true;
    for (size_t i = 0; i < s->count; i++) {
        const struct config_row *type = &s->rows[i];
        size_t head = strlen(type->path) - strlen("type");
        if (type->type != CONFIG_CHOICE || strcmp(row_key(type), "type") != 0 || strncmp(type->path, r->path, head) != 0)
            continue;
        int kind = *(const int *)(const void *)((const char *)base + type->offset);
        return kind >= 0 && (r->kinds & 1U << kind) != 0;
    }
    return true;
}

const struct config_row *row_find(const struct schema *s, const char *path)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->rows[i].path, path) == 0)
            return &s->rows[i];
    return NULL;
}

bool row_environment(const struct config_row *r, char out[CONFIG_PATH_MAX + 16])
{
    struct text name = text_over(out, CONFIG_PATH_MAX + 16);
    text_add(&name, "HOLDFAST_");
    for (const char *c = r->path; *c; c++) {
        char upper[2] = {*c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c == '.' ? '_' : *c, 0};
        text_add(&name, upper);
    }
    return config_type_is_scalar(r->type) && !r->file_only && !row_is_in_item(r);
}
