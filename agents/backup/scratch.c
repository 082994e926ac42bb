/* scratch: two folders whose files nobody is to find. */
#include "agents/backup/scratch.h"

#include "board/rt/log.h"
#include "board/rt/text.h"

#include <stdlib.h>
#include <string.h>

#define LEFTOVERS_MAX 32 /* the rest next time */

err scratch_room(struct lane *l, const char *folder, int64_t at_s, uint64_t db_bytes, ms deadline, char out[OS_PATH_MAX])
{
    char name[BACKUP_NAME_MAX];
    struct text t = text_over(out, OS_PATH_MAX);
    uint64_t free_bytes = 0, total_bytes = 0;
    backup_name(&(struct backup_entry){.at_s = at_s}, NAME_SNAPSHOT, name);
    text_addf(&t, "%s/%s", folder, name);
    if (t.cut)
        return trail(E_RANGE, "%s: path too long", folder);
    TRY(file_make_folder(l, folder, deadline));
    TRY(file_space(l, folder, deadline, &free_bytes, &total_bytes));
    if (free_bytes < db_bytes + SHA256_BYTES)
        return trail(E_NOSPACE, "%s has %llu bytes free, the database has %llu", folder, (unsigned long long)free_bytes,
                     (unsigned long long)db_bytes);
    return OK;
}

err scratch_open(struct backup *b, int64_t at_s, uint64_t db_bytes, ms deadline, struct writer **out)
{
    char path[OS_PATH_MAX];
    const struct config *c = b->config;
    *out = NULL;
    if (!*c->backup.scratch)
        return E_ABSENT;
    if (db_bytes > (uint64_t)c->backup.scratch_max)
        return trail(E_RANGE, "the database has %llu bytes, backup.verify.scratch_max is %llu", (unsigned long long)db_bytes,
                     (unsigned long long)c->backup.scratch_max);
    TRY(scratch_room(&b->scratch, c->backup.scratch, at_s, db_bytes, deadline, path));
    return writer_open(&b->scratch, path, SCRATCH_APPENDS_MAX, NULL, 0, deadline, out);
}

/* --- what killed runs left --- */

struct leftovers {
    char names[LEFTOVERS_MAX][BACKUP_NAME_MAX];
    size_t count;
};

static err see(void *arg, const char *name)
{
    struct leftovers *l = arg;
    struct backup_entry entry;
    if (l->count < LEFTOVERS_MAX && strlen(name) < BACKUP_NAME_MAX && backup_name_kind(name, &entry) == NAME_LEFTOVER)
        memcpy(l->names[l->count++], name, strlen(name) + 1);
    return OK;
}

static err remove_one(struct lane *l, const char *folder, const char *name)
{
    char path[OS_PATH_MAX];
    struct text t = text_over(path, sizeof path);
    text_addf(&t, "%s/%s", folder, name);
    err e = t.cut ? E_RANGE : file_remove_leftover(l, path, loop_now() + BACKUP_DISK_MS_MAX);
    if (e == OK)
        log_info("removed what an interrupted backup left", F("path", path));
    else if (e != E_BUSY && e != E_ABSENT && e != E_CANCELED)
        log_warn("cannot remove what an interrupted backup left", F("path", path), F_ERR(e));
    trail_clear();
    return e == E_CANCELED ? e : OK;
}

static err tidy(struct lane *l, const char *folder)
{
    struct leftovers *left = *folder ? calloc(1, sizeof *left) : NULL;
    if (!left)
        return OK;
    err e = file_list(l, folder, loop_now() + BACKUP_DISK_MS_MAX, see, left);
    if (e != OK && e != E_ABSENT && e != E_CANCELED)
        log_warn("cannot look for what interrupted backups left", F("path", folder), F_ERR(e));
    trail_clear();
    for (size_t i = 0; e != E_CANCELED && i < left->count; i++)
        e = remove_one(l, folder, left->names[i]);
    free(left);
    return e == E_CANCELED ? e : OK;
}

err scratch_tidy(struct backup *b)
{
    TRY(tidy(&b->scratch, b->config->backup.scratch));
    return tidy(&b->stage, b->config->backup.stage);
}
