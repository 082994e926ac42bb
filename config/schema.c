#include "config/schema.h"

#include "net/format/url.h"

#include <string.h>

/* --- what values may be --- */
static bool is_name_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

static const char *check_name(struct bytes value)
{
    for (size_t i = 0; i < value.len; i++)
        if (!is_name_char(value.at[i]))
            return "is not a name; use a-z, 0-9 and -, at most 32 of them";
    return NULL;
}

static bool is_host_char(uint8_t c, bool ipv6)
{
    uint8_t lower = c | 0x20;
    if (ipv6)
        return (c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'f') || c == ':' || c == '.';
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

static bool is_port(struct bytes text)
{
    uint64_t port;
    return text.len <= 5 && text_to_u64(text, &port) && port >= 1 && port <= UINT16_MAX;
}

/* RFC 3986 authority without user information: HOST, HOST:PORT, [IPV6], [IPV6]:PORT. */
static bool is_authority(struct bytes a)
{
    bool ipv6 = a.len > 0 && a.at[0] == '[';
    size_t start = ipv6 ? 1 : 0, end = start;
    while (end < a.len && is_host_char(a.at[end], ipv6))
        end++;
    if (end == start || (ipv6 && (end == a.len || a.at[end] != ']')))
        return false;
    end += ipv6 ? 1 : 0;
    if (end == a.len)
        return true;
    return a.at[end] == ':' && is_port((struct bytes){a.at + end + 1, a.len - end - 1});
}

static const char *check_endpoint(struct bytes value)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < COUNT_OF(schemes); i++) {
        size_t length = strlen(schemes[i]);
        if (value.len < length || memcmp(value.at, schemes[i], length) != 0)
            continue;
        struct bytes rest = {value.at + length, value.len - length};
        if (rest.len > 0 && rest.at[rest.len - 1] == '/')
            rest.len--;
        if (is_authority(rest))
            return NULL;
    }
    return "is not an endpoint; write it like https://10.0.0.2:2379";
}

static const char *check_url(struct bytes value)
{
    char text[CONFIG_URL_MAX];
    struct url url;
    if (value.len >= sizeof text) /* told as too long */
        return NULL;
    memcpy(text, value.at, value.len);
    text[value.len] = 0;
    if (url_parse(text, &url) == OK)
        return NULL;
    trail_clear(); /* not its words: a token may be in them */
    return "is not a URL without user and password; write it like https://hooks.lan/path";
}

/* --- the rows --- */
static const char *const levels[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error", NULL};
static const char *const formats[] = {[LOG_LOGFMT] = "logfmt", [LOG_JSON] = "json", NULL};
static const char *const destination_types[] = {[DESTINATION_DIRECTORY] = "directory", NULL};

#define SIZE_OF(type, member) sizeof(((type *)0)->member)
#define AT(member)            .offset = offsetof(struct config, member), .bytes = SIZE_OF(struct config, member)
#define AT_DESTINATION(member)                                                                                                   \
    .offset = offsetof(struct config_destination, member), .bytes = SIZE_OF(struct config_destination, member)
#define LIST(member, count)                                                                                                      \
    .offset = offsetof(struct config, member), .bytes = SIZE_OF(struct config, member[0]),                                       \
    .count_offset = offsetof(struct config, count), .most = (int64_t)COUNT_OF(((struct config *)0)->member)

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
    {"backup.etcd.endpoints", "URLs of its members; the first that answers and is no learner is used.", NULL, NULL,
     check_endpoint, .type = CONFIG_STRINGS, LIST(backup.endpoints, backup.endpoint_count)},
    {"backup.etcd.ca", "Certificates (PEM) that sign the members'; needed for https.", .type = CONFIG_PATH, AT(backup.ca)},
    {"backup.etcd.cert", "Our client certificate (PEM); goes with the key.", .type = CONFIG_PATH, AT(backup.cert)},
    {"backup.etcd.key", "Its private key (PEM).", .type = CONFIG_PATH, AT(backup.key)},
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
    {"backup.destinations", "Where snapshots are kept.", .type = CONFIG_OBJECTS,
     LIST(backup.destinations, backup.destination_count)},
    {"backup.destinations[].name", "What it is called in metrics, logs and commands.", NULL, NULL, check_name,
     .type = CONFIG_STRING, AT_DESTINATION(name), .required = true, .unique = true},
    {"backup.destinations[].type", "What kind of place it is.", NULL, destination_types, .type = CONFIG_CHOICE,
     AT_DESTINATION(type), .required = true},
    {"backup.destinations[].path", "The folder; made when it is not there.", .type = CONFIG_PATH, AT_DESTINATION(path),
     .required = true},
    {"backup.destinations[].retention",
     "Which backups stay: the newest of each bucket. Without it daily 7, weekly 4, monthly 12.", .type = CONFIG_SECTION},
    {"backup.destinations[].retention.last", "So many of the newest stay.", RETENTION(0)},
    {"backup.destinations[].retention.hourly", "The newest of each of the last so many hours that have one stays.", RETENTION(1)},
    {"backup.destinations[].retention.daily", "The same of days (UTC); 7 without `retention`.", RETENTION(2)},
    {"backup.destinations[].retention.weekly", "The same of ISO weeks; 4 without `retention`.", RETENTION(3)},
    {"backup.destinations[].retention.monthly", "The same of months; 12 without `retention`.", RETENTION(4)},
    {"backup.destinations[].retention.yearly", "The same of years.", RETENTION(5)},
    {"notify", "Who is told of failures and recovery.", .type = CONFIG_SECTION},
    {"notify.webhook", "URL that gets a POST of JSON when a backup failed or is stale, and on recovery.", NULL, NULL, check_url,
     .type = CONFIG_STRING, AT(notify.webhook), .secret = true},
    {"notify.ping_url", "URL that gets a GET after each good backup.", NULL, NULL, check_url, .type = CONFIG_STRING,
     AT(notify.ping_url), .secret = true},
    {"notify.ca", "Certificates (PEM) that sign those of the two; without it the system's.", .type = CONFIG_PATH, AT(notify.ca)},
};
_Static_assert(COUNT_OF(rows) <= CONFIG_ROWS_MAX, "raise CONFIG_ROWS_MAX");

const struct schema config_schema = {rows, COUNT_OF(rows), sizeof(struct config), config_item_rules, config_rules};

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
