/* names: the time a snapshot was begun is its name. UTC, so that names sort as times do. */
#include "agents/backup/backup_internal.h"

#include "board/rt/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define PREFIX "etcd-snapshot-"
#define SUFFIX ".db"

void backup_name(int64_t epoch_s, char out[BACKUP_NAME_MAX])
{
    time_t t = (time_t)epoch_s;
    struct tm tm;
    (void)gmtime_r(&t, &tm);
    (void)strftime(out, BACKUP_NAME_MAX, PREFIX "%Y%m%d-%H%M%S" SUFFIX, &tm);
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

bool backup_name_time(const char *name, int64_t *epoch_s)
{
    const char *at = name + strlen(PREFIX);
    struct tm tm = {0};
    if (strlen(name) != strlen(PREFIX "YYYYMMDD-HHMMSS" SUFFIX) || strncmp(name, PREFIX, strlen(PREFIX)) != 0 || at[8] != '-' ||
        strcmp(at + 15, SUFFIX) != 0)
        return false;
    if (!digits(at, 4, &tm.tm_year) || !digits(at + 4, 2, &tm.tm_mon) || !digits(at + 6, 2, &tm.tm_mday) ||
        !digits(at + 9, 2, &tm.tm_hour) || !digits(at + 11, 2, &tm.tm_min) || !digits(at + 13, 2, &tm.tm_sec))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *epoch_s = (int64_t)timegm(&tm);
    char again[BACKUP_NAME_MAX]; /* 20260231 is no day: it would come back as another name */
    backup_name(*epoch_s, again);
    return strcmp(again, name) == 0;
}

static enum backup_name_kind kind_of_suffix(const char *suffix)
{
    static const struct {
        const char *suffix;
        enum backup_name_kind kind;
    } kinds[] = {{"", NAME_SNAPSHOT}, {".json", NAME_RECORD}, {".bad", NAME_BAD}};
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (strcmp(suffix, kinds[i].suffix) == 0)
            return kinds[i].kind;
    const char *mark = strstr(suffix, ".part-");
    for (size_t i = 0; mark && i < COUNT_OF(kinds); i++)
        if ((size_t)(mark - suffix) == strlen(kinds[i].suffix) && strncmp(suffix, kinds[i].suffix, (size_t)(mark - suffix)) == 0)
            return writer_is_leftover(suffix - 1) ? NAME_LEFTOVER : NAME_OTHER;
    return NAME_OTHER;
}

enum backup_name_kind backup_name_kind(const char *name, int64_t *epoch_s)
{
    char whole[BACKUP_NAME_MAX];
    size_t len = strlen(PREFIX "YYYYMMDD-HHMMSS" SUFFIX);
    if (strlen(name) < len)
        return NAME_OTHER;
    memcpy(whole, name, len);
    whole[len] = 0;
    return backup_name_time(whole, epoch_s) ? kind_of_suffix(name + len) : NAME_OTHER;
}

err backup_path(const struct backup_destination *to, int64_t epoch_s, enum backup_name_kind kind, char out[OS_PATH_MAX])
{
    char name[BACKUP_NAME_MAX];
    struct text t = text_over(out, OS_PATH_MAX);
    backup_name(epoch_s, name);
    text_addf(&t, "%s/%s%s", to->config->path, name, kind == NAME_RECORD ? ".json" : kind == NAME_BAD ? ".bad" : "");
    return t.cut ? trail(E_RANGE, "%s: path too long", to->config->path) : OK;
}
