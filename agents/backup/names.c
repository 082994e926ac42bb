/* names: the time a snapshot was begun is its name. UTC, so that names sort as times do; then the hub, where more than one hub
 * writes there and none can be refused, and how the bytes are packed. */
#include "agents/backup/place.h"

#include "board/rt/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PREFIX   "etcd-snapshot-"
#define TIME_LEN (sizeof "YYYYMMDD-HHMMSS" - 1)
#define HUB_LEN  (sizeof "-01234567" - 1)

/* By enum backup_form: as texts they sort as the numbers do. */
static const char *const forms[] = {".db", ".db.age", ".db.zst", ".db.zst.age"};

static const struct {
    const char *suffix;
    enum backup_name_kind kind;
} kinds[] = {{"", NAME_SNAPSHOT}, {".json", NAME_RECORD}, {".bad", NAME_BAD}};

static const char *suffix_of(enum backup_name_kind kind)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (kinds[i].kind == kind)
            return kinds[i].suffix;
    return "";
}

void backup_name(const struct backup_entry *of, enum backup_name_kind kind, char out[BACKUP_NAME_MAX])
{
    time_t t = (time_t)of->at_s;
    struct tm tm;
    char hub[HUB_LEN + 1] = "";
    (void)gmtime_r(&t, &tm);
    size_t len = strftime(out, BACKUP_NAME_MAX, PREFIX "%Y%m%d-%H%M%S", &tm);
    ASSERT(len > 0 && of->form < COUNT_OF(forms));
    if (of->hub)
        (void)snprintf(hub, sizeof hub, "-%08" PRIx32, of->hub);
    (void)snprintf(out + len, BACKUP_NAME_MAX - len, "%s%s%s", hub, forms[of->form], suffix_of(kind));
}

static bool digits(const char *at, size_t count, int *out)
{
    *out = 0;
    for (size_t i = 0; i < count; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
        *out = *out * 10 + (at[i] - '0');
    }
    return true;
}

/* The second that a name begins with. False: there is none. */
static bool read_time(const char *name, int64_t *at_s)
{
    const char *at = name + strlen(PREFIX);
    struct tm tm = {0};
    if (strlen(name) < strlen(PREFIX) + TIME_LEN || strncmp(name, PREFIX, strlen(PREFIX)) != 0 || at[8] != '-')
        return false;
    if (!digits(at, 4, &tm.tm_year) || !digits(at + 4, 2, &tm.tm_mon) || !digits(at + 6, 2, &tm.tm_mday) ||
        !digits(at + 9, 2, &tm.tm_hour) || !digits(at + 11, 2, &tm.tm_min) || !digits(at + 13, 2, &tm.tm_sec))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *at_s = (int64_t)timegm(&tm);
    return true;
}

/* "-0123abcd", where there is one. */
static const char *read_hub(const char *at, uint32_t *hub)
{
    *hub = 0;
    if (strlen(at) < HUB_LEN || *at != '-')
        return at;
    for (size_t i = 1; i < HUB_LEN; i++) {
        const char *digit = strchr("0123456789abcdef", at[i]);
        if (!digit)
            return at;
        *hub = *hub << 4 | (uint32_t)(digit - "0123456789abcdef");
    }
    return at + HUB_LEN;
}

static enum backup_name_kind kind_of_suffix(const char *suffix)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (strcmp(suffix, kinds[i].suffix) == 0)
            return kinds[i].kind;
    const char *mark = strstr(suffix, ".part-");
    for (size_t i = 0; mark && i < COUNT_OF(kinds); i++)
        if ((size_t)(mark - suffix) == strlen(kinds[i].suffix) && strncmp(suffix, kinds[i].suffix, (size_t)(mark - suffix)) == 0)
            return writer_is_leftover(suffix - 1) ? NAME_LEFTOVER : NAME_OTHER;
    return NAME_OTHER;
}

/* 20260231 is no day and 00000000 no hub: they would come back as another name. */
static bool is_its_own(const char *name, size_t len, const struct backup_entry *entry)
{
    char again[BACKUP_NAME_MAX];
    backup_name(entry, NAME_SNAPSHOT, again);
    return strlen(again) == len && strncmp(again, name, len) == 0;
}

enum backup_name_kind backup_name_kind(const char *name, struct backup_entry *out)
{
    *out = (struct backup_entry){0};
    if (!read_time(name, &out->at_s))
        return NAME_OTHER;
    const char *rest = read_hub(name + strlen(PREFIX) + TIME_LEN, &out->hub);
    for (uint16_t form = COUNT_OF(forms); form-- > 0;) { /* the longest first */
        size_t len = strlen(forms[form]);
        if (strncmp(rest, forms[form], len) != 0)
            continue;
        out->form = form;
        if (!is_its_own(name, (size_t)(rest - name) + len, out))
            return NAME_OTHER;
        enum backup_name_kind kind = kind_of_suffix(rest + len);
        out->kinds = (uint16_t)kind;
        return kind;
    }
    return NAME_OTHER;
}

static int order(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* A name without a hub comes last: "." is after "-". */
int backup_name_compare(const struct backup_entry *a, const struct backup_entry *b)
{
    if (a->at_s != b->at_s)
        return a->at_s < b->at_s ? -1 : 1;
    return a->hub != b->hub ? order(a->hub - 1U, b->hub - 1U) : order(a->form, b->form);
}

struct backup_entry backup_entry_of(const struct backup_record *r)
{
    struct backup_entry named;
    (void)backup_name_kind(r->name, &named);
    return (struct backup_entry){.at_s = r->taken_at_s,
                                 .hub = named.hub,
                                 .form = (uint16_t)((r->compressed ? FORM_ZSTD : 0) | (r->encrypted ? FORM_AGE : 0))};
}

err backup_path(const struct backup_destination *to, const struct backup_entry *of, enum backup_name_kind kind,
                char out[OS_PATH_MAX])
{
    char name[BACKUP_NAME_MAX];
    backup_name(of, kind, name);
    return place_path(to->place, name, out);
}
