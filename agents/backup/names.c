/* names: the time a snapshot was begun is its name. UTC, so that names sort as times do. */
#include "agents/backup/backup_internal.h"

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
