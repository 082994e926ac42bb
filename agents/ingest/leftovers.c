/* leftovers: looking through the spool's folder, one job a folder found. */
#include "agents/ingest/leftovers.h"

#include <stdio.h>
#include <string.h>

#define FILES_MAX  512                                      /* of a spool, and more */
#define NAME_CHARS "abcdefghijklmnopqrstuvwxyz0123456789-." /* RFC 1123 */
#define HEX_CHARS  "0123456789abcdef"

/* --- names --- */

static bool is_name(const char *s, size_t len)
{
    bool ends_well = len > 0 && strchr("-.", s[0]) == NULL && strchr("-.", s[len - 1]) == NULL;
    return ends_well && strspn(s, NAME_CHARS) >= len;
}

bool leftover_split(const char *folder, char name_space[OS_NAME_MAX], char name[OS_NAME_MAX])
{
    const char *line = strchr(folder, '_');
    if (!line || !is_name(folder, (size_t)(line - folder)) || !is_name(line + 1, strlen(line + 1)))
        return false;
    (void)snprintf(name_space, OS_NAME_MAX, "%.*s", (int)(line - folder), folder);
    (void)snprintf(name, OS_NAME_MAX, "%s", line + 1);
    return true;
}

static bool is_spools(const char *name)
{
    bool is_log = strspn(name, HEX_CHARS) == 8 && strcmp(name + 8, ".spool") == 0;
    return is_log || strcmp(name, "snapshot.json") == 0;
}

/* --- jobs --- */

struct leftover_job {
    char parent[OS_PATH_MAX];
    char name[OS_NAME_MAX], found[OS_NAME_MAX];
};
_Static_assert(sizeof(struct leftover_job) <= JOB_BYTES_MAX, "a path and two names");

static err path_in(const char *parent, const char *name, char out[OS_PATH_MAX])
{
    int n = snprintf(out, OS_PATH_MAX, "%s/%s", parent, name);
    return n > 0 && n < OS_PATH_MAX ? OK : trail(E_RANGE, "%s/%s", parent, name);
}

static err is_folder(const char *parent, const char *name, bool *out)
{
    char path[OS_PATH_MAX];
    struct os_stat s;
    TRY(path_in(parent, name, path));
    TRY(os_stat_name(path, &s)); /* a symbolic link is none */
    *out = s.kind == OS_FOLDER;
    return OK;
}

static err run_next(void *arg)
{
    struct leftover_job *j = arg;
    char name[OS_NAME_MAX], name_space[OS_NAME_MAX], rest[OS_NAME_MAX];
    for (uint64_t cursor = 0;;) {
        bool folder = false;
        TRY(os_list(j->parent, &cursor, name));
        if (!*name)
            return OK;
        bool better = strcmp(name, j->name) > 0 && (!*j->found || strcmp(name, j->found) < 0);
        if (!better || !leftover_split(name, name_space, rest))
            continue;
        TRY(is_folder(j->parent, name, &folder));
        if (folder)
            memcpy(j->found, name, sizeof name);
    }
}

static err look_inside(const char *folder)
{
    char name[OS_NAME_MAX], path[OS_PATH_MAX];
    struct os_stat s;
    for (uint64_t cursor = 0;;) {
        TRY(os_list(folder, &cursor, name));
        if (!*name)
            return OK;
        TRY(path_in(folder, name, path));
        TRY(os_stat_name(path, &s));
        if (!is_spools(name) || s.kind != OS_FILE)
            return trail(E_INVALID, "%s is no file of a spool", path);
    }
}

/* One at a time, and from the start: the folder changes under the cursor. */
static err run_remove(void *arg)
{
    const struct leftover_job *j = arg;
    char folder[OS_PATH_MAX], name[OS_NAME_MAX], path[OS_PATH_MAX];
    TRY(path_in(j->parent, j->name, folder));
    TRY(look_inside(folder));
    for (unsigned i = 0; i < FILES_MAX; i++) {
        uint64_t cursor = 0;
        TRY(os_list(folder, &cursor, name));
        if (!*name)
            return os_rmdir(folder);
        TRY(path_in(folder, name, path));
        TRY(os_unlink(path));
    }
    return trail(E_RANGE, "%s has more than %d files", folder, FILES_MAX);
}

/* --- for fibers --- */

static struct leftover_job job_of(const char *parent, const char *name)
{
    struct leftover_job j = {.found = ""};
    (void)snprintf(j.parent, sizeof j.parent, "%s", parent);
    (void)snprintf(j.name, sizeof j.name, "%s", name);
    return j;
}

err leftover_next(struct lane *l, const char *parent, char name[OS_NAME_MAX], ms deadline)
{
    struct leftover_job j = job_of(parent, name);
    TRY(lane_call(l, run_next, &j, sizeof j, NULL, deadline));
    memcpy(name, j.found, OS_NAME_MAX);
    return OK;
}

err leftover_remove(struct lane *l, const char *parent, const char *name, ms deadline)
{
    struct leftover_job j = job_of(parent, name);
    return lane_call(l, run_remove, &j, sizeof j, NULL, deadline);
}
